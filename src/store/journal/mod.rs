//! The run journal: every answer that was paid for is on disk, sealed, before it counts.
//!
//! A SQLite file (write-ahead log) in a private folder. An answer is sealed with ChaCha20-Poly1305
//! under a key that is derived from the manifest's, so that the file alone gives nothing away; its
//! place (run, canary, request) is authenticated with it. One thread writes; what arrives together
//! is committed together, at the end of the file: there is no index, since each canary's prober keeps
//! the numbers of its entries ([`Entries`]), eight bytes an answer. Commits survive a killed process; a
//! power cut may lose the last few (`synchronous = NORMAL`), which are then asked again.
//!
//! A run is open from its first answer until it was judged and shown ([`Journal::settle`]). An open
//! run of the same plan is taken up again within a day, by one process at a time. A named run
//! ([`RunName`]) is shared by all processes that know the name, canary by canary ([`Claim`]).

mod runs;

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use runs::{choose, connect, fault, folder_fault, lock_path, make_folder, now, prepare, prune};

/// The most answers in one commit.
const BATCH: usize = 512;
/// How long the writer waits for company before it commits.
const LINGER: Duration = Duration::from_millis(1);

/// The journal cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Its folder or a lock in it.
    #[error("{path}: {what}; `store.path` in the configuration names another folder")]
    Folder {
        /// Which.
        path: String,
        /// The fault.
        what: String,
    },
    /// The file is no journal, or its pages are broken.
    #[error("{path}: the run journal is damaged; remove it, and the run starts anew")]
    Damaged {
        /// The file.
        path: String,
    },
    /// It was written by a newer version.
    #[error("{path}: the run journal is of a newer version; update blabbermouth, or remove it")]
    Newer {
        /// The file.
        path: String,
    },
    /// An answer could not be saved or found again.
    #[error("{path}: the run journal cannot be used: {what}")]
    Use {
        /// The file.
        path: String,
        /// The fault.
        what: String,
    },
    /// One entry is broken; the others are not touched by that.
    #[error("an entry of the run journal is damaged")]
    Entry,
}

/// The name of a run that several processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName(pub String);

/// An earlier run that is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Answers that are there.
    pub requests: u64,
    /// Since its last answer.
    pub age: Duration,
}

/// Where the answers of a canary are: for each request the number of its entry; 0 where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(Vec<i64>);

impl Entries {
    /// Notes the entry of a request.
    pub fn insert(&mut self, request: u64, entry: i64) {
        let at = request as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = entry;
    }

    /// The entry of a request.
    #[must_use]
    pub fn get(&self, request: u64) -> Option<i64> {
        self.0.get(request as usize).copied().filter(|entry| *entry != 0)
    }
}

struct Entry {
    canary: usize,
    request: u64,
    sealed: Vec<u8>,
    done: oneshot::Sender<Result<i64, JournalError>>,
}

/// What the file is known to hold of this run, apart from what this process wrote.
#[derive(Default)]
struct Known {
    /// Entries up to this one were read.
    upto: i64,
    canaries: HashMap<usize, Entries>,
}

/// The answers of one run. See the [module](self).
pub struct Journal {
    path: PathBuf,
    folder: PathBuf,
    run: i64,
    shared: bool,
    /// What was there when the run was opened.
    resumed: Option<Resumed>,
    cipher: LessSafeKey,
    reader: Mutex<Connection>,
    known: Mutex<Known>,
    sender: Option<mpsc::Sender<Entry>>,
    writer: Option<JoinHandle<()>>,
    /// Held while a run without a name is used.
    _lock: Option<File>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).field("run", &self.run).finish_non_exhaustive()
    }
}

/// The right to probe a canary, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// The answers that are there already.
    pub entries: Entries,
    _lock: Option<File>,
}

impl Journal {
    /// Opens the run of a plan: the named one; or an open one that nobody uses, unless `fresh`; or a new one.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file is damaged or of a newer version.
    pub fn open(
        folder: &Path,
        key: [u8; 32],
        plan: &str,
        name: Option<&RunName>,
        fresh: bool,
    ) -> Result<Self, JournalError> {
        make_folder(folder)?;
        let path = folder.join("journal.sqlite");
        let mut connection = connect(&path, folder)?;
        let at = |e: rusqlite::Error| fault(&path, &e);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        prepare(&transaction, &path)?;
        prune(&transaction, folder).map_err(at)?;
        let (run, resumed, lock) = match name {
            Some(RunName(name)) => {
                let known = "INSERT INTO runs (plan, name, touched) VALUES (?1, ?2, ?3)
                             ON CONFLICT DO UPDATE SET touched = excluded.touched RETURNING id";
                let id = transaction.query_row(known, params![plan, name, now()], |row| row.get(0)).map_err(at)?;
                (id, None, None)
            }
            None => choose(&transaction, folder, plan, fresh, &path)?,
        };
        transaction.commit().map_err(at)?;
        let (sender, receiver) = mpsc::channel();
        let reader = connect(&path, folder)?;
        let file = path.clone();
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write_all(connection, run, &file, &receiver))
            .map_err(|e| JournalError::Use { path: path.display().to_string(), what: e.to_string() })?;
        Ok(Self {
            path,
            folder: folder.to_owned(),
            run,
            shared: name.is_some(),
            resumed,
            cipher: LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a key of 32 bytes")),
            reader: Mutex::new(reader),
            known: Mutex::default(),
            sender: Some(sender),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// The earlier run that this one goes on with, if it does.
    #[must_use]
    pub fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// Begins the probing of a canary; in a shared run, when no other process probes it any more.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the journal cannot be read.
    pub async fn claim(&self, canary: usize) -> Result<Claim, JournalError> {
        if !self.shared {
            let entries = if self.resumed.is_some() { self.take(canary)? } else { Entries::default() };
            return Ok(Claim { entries, _lock: None });
        }
        let folder = self.folder.join(format!("run-{}", self.run));
        make_folder(&folder)?;
        let path = folder.join(format!("{canary}.lock"));
        let file = File::create(&path).map_err(|e| folder_fault(&path, &e))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Claim { entries: self.take(canary)?, _lock: Some(file) }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(TryLockError::Error(e)) => return Err(folder_fault(&path, &e)),
            }
        }
    }

    /// The entries of a canary, after a look at what was written since the last look.
    fn take(&self, canary: usize) -> Result<Entries, JournalError> {
        let mut known = lock(&self.known);
        let reader = lock(&self.reader);
        // Nobody else writes to a run that is not shared: one look is enough.
        let look = self.shared || known.upto == 0;
        let mut read = || {
            let mut query = reader
                .prepare_cached("SELECT id, canary, request FROM answers WHERE id > ?1 AND run = ?2 ORDER BY id")?;
            let mut rows = query.query(params![known.upto, self.run])?;
            while let Some(row) = rows.next()? {
                let (entry, canary, request): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                known.upto = entry;
                // A later entry for the same request took the place of a damaged one.
                known.canaries.entry(canary as usize).or_default().insert(request as u64, entry);
            }
            Ok(())
        };
        if look {
            read().map_err(|e| fault(&self.path, &e))?;
        }
        Ok(known.canaries.remove(&canary).unwrap_or_default())
    }

    /// The answer in an entry.
    ///
    /// # Errors
    /// [`JournalError::Entry`] when this one is damaged; others when the file cannot be read.
    pub fn recall(&self, canary: usize, request: u64, entry: i64) -> Result<Vec<u8>, JournalError> {
        let sealed: Option<Vec<u8>> = {
            let reader = lock(&self.reader);
            let mut query =
                reader.prepare_cached("SELECT sealed FROM answers WHERE id = ?1").map_err(|e| fault(&self.path, &e))?;
            query.query_row([entry], |row| row.get(0)).optional().map_err(|e| fault(&self.path, &e))?
        };
        let mut sealed = sealed.ok_or(JournalError::Entry)?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(JournalError::Entry)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| JournalError::Entry)?;
        let place = Aad::from(place(self.run, canary, request));
        let plain = self.cipher.open_in_place(nonce, place, text).map_err(|_| JournalError::Entry)?;
        Ok(plain.to_vec())
    }

    /// Records the answer to a request; it is on disk when this returns the number of its entry.
    ///
    /// # Errors
    /// When it cannot be written, for example because the disk is full.
    pub async fn record(&self, canary: usize, request: u64, answer: &[u8]) -> Result<i64, JournalError> {
        let broken = |what: &str| JournalError::Use { path: self.path.display().to_string(), what: what.to_owned() };
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| broken(&e.to_string()))?;
        let place = Aad::from(place(self.run, canary, request));
        let mut sealed = Vec::with_capacity(NONCE_LEN + answer.len() + CHACHA20_POLY1305.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(answer);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(nonce, place, &mut sealed[NONCE_LEN..]);
        sealed.extend_from_slice(tag.map_err(|_| broken("an answer could not be sealed"))?.as_ref());
        let (done, written) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or_else(|| broken("it was closed"))?;
        sender.send(Entry { canary, request, sealed, done }).map_err(|_| broken("its writer has ended"))?;
        written.await.map_err(|_| broken("its writer has ended"))?
    }

    /// Forgets the answers of these canaries, which were judged and shown; answers of others stay,
    /// and with them the run. A shared run is left to the other processes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settle(mut self, canaries: &[usize]) -> Result<(), JournalError> {
        self.close();
        if self.shared {
            return Ok(());
        }
        let mut reader = lock(&self.reader);
        let done = (|| {
            let transaction = reader.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let judged: HashSet<i64> = canaries.iter().map(|c| *c as i64).collect();
            let left: Vec<i64> = transaction
                .prepare("SELECT DISTINCT canary FROM answers WHERE run = ?1")?
                .query_map([self.run], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let left = left.into_iter().any(|canary| !judged.contains(&canary));
            if left {
                let mut delete = transaction.prepare("DELETE FROM answers WHERE run = ?1 AND canary = ?2")?;
                for canary in &judged {
                    delete.execute([self.run, *canary])?;
                }
            } else {
                transaction.execute("DELETE FROM answers WHERE run = ?1", [self.run])?;
            }
            if !left {
                transaction.execute("DELETE FROM runs WHERE id = ?1", [self.run])?;
            }
            transaction.commit()?;
            // The space goes back to the file system; other runs in the file stay as they are.
            // Each step gives one page back.
            reader.prepare("PRAGMA incremental_vacuum")?.query_map([], |_| Ok(()))?.for_each(drop);
            reader.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(left)
        })();
        let left = done.map_err(|e| fault(&self.path, &e))?;
        if !left {
            let _ = std::fs::remove_file(lock_path(&self.folder, self.run));
        }
        Ok(())
    }

    fn close(&mut self) {
        drop(self.sender.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The writer: one transaction for all that has arrived.
fn write_all(mut connection: Connection, run: i64, path: &Path, receiver: &mpsc::Receiver<Entry>) {
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        std::thread::sleep(LINGER);
        while batch.len() < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        let done = commit(&mut connection, run, &batch).map_err(|e| fault(path, &e));
        for (place, entry) in batch.into_iter().enumerate() {
            // Who asked may have gone; the answer is saved all the same.
            let _ = entry.done.send(done.as_ref().map(|ids| ids[place]).map_err(Clone::clone));
        }
    }
}

fn commit(connection: &mut Connection, run: i64, batch: &[Entry]) -> rusqlite::Result<Vec<i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut ids = Vec::with_capacity(batch.len());
    {
        let mut insert =
            transaction.prepare_cached("INSERT INTO answers (run, canary, request, sealed) VALUES (?, ?, ?, ?)")?;
        for entry in batch {
            ids.push(insert.insert(params![run, entry.canary as i64, entry.request as i64, entry.sealed])?);
        }
    }
    transaction
        .prepare_cached("UPDATE runs SET touched = ?2 WHERE id = ?1 AND touched < ?2")?
        .execute(params![run, now()])?;
    transaction.commit()?;
    Ok(ids)
}

fn place(run: i64, canary: usize, request: u64) -> [u8; 24] {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&run.to_le_bytes());
    place[8..16].copy_from_slice(&(canary as u64).to_le_bytes());
    place[16..].copy_from_slice(&request.to_le_bytes());
    place
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn open(folder: &Path, plan: &str) -> Journal {
        Journal::open(folder, KEY, plan, None, false).expect("a journal")
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
    }

    fn record(journal: &Journal, canary: usize, request: u64, text: &str) -> i64 {
        wait(journal.record(canary, request, text.as_bytes())).expect("recorded")
    }

    /// What is there for a canary.
    fn texts(journal: &Journal, canary: usize) -> Vec<String> {
        let entries = wait(journal.claim(canary)).expect("free").entries;
        let entries = (0..9).filter_map(|request| Some((request, entries.get(request)?)));
        let text = |(request, entry)| journal.recall(canary, request, entry).expect("whole");
        entries.map(text).map(|bytes| String::from_utf8(bytes).expect("text")).collect()
    }

    #[test]
    fn an_open_run_is_taken_up_again_and_a_settled_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path(), "a");
        assert!(journal.resumed().is_none());
        record(&journal, 3, 0, "said");
        record(&journal, 4, 0, "said too");
        record(&journal, 3, 2, "gone");
        record(&journal, 3, 2, "said again");
        // As if killed: dropped without being settled.
        drop(journal);
        assert_eq!(open(folder.path(), "b").resumed(), None);
        let journal = open(folder.path(), "a");
        assert_eq!(journal.resumed().map(|r| r.requests), Some(4));
        assert_eq!(texts(&journal, 3), ["said", "said again"]);
        // In use: a second process gets a run of its own.
        assert_eq!(open(folder.path(), "a").resumed(), None);
        journal.settle(&[3]).expect("settled");
        let journal = open(folder.path(), "a");
        assert_eq!((texts(&journal, 3), texts(&journal, 4)), (vec![], vec!["said too".to_owned()]));
        journal.settle(&[4]).expect("settled");
        assert_eq!(open(folder.path(), "a").resumed(), None);
        assert_eq!(Journal::open(folder.path(), KEY, "a", None, true).expect("fresh").resumed(), None);
    }

    #[test]
    fn what_lies_on_disk_is_sealed_private_and_bound_to_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path(), "a");
        let (one, two) = (record(&journal, 0, 0, "Pyrodraconosis"), record(&journal, 0, 1, "something else"));
        let path = folder.path().join("journal.sqlite");
        for name in ["journal.sqlite", "journal.sqlite-wal"] {
            let bytes = std::fs::read(folder.path().join(name)).expect(name);
            assert!(!bytes.windows(5).any(|w| w == b"draco"), "{name}");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::metadata(folder.path().join(name)).expect("there").permissions().mode();
                assert_eq!(mode & 0o077, 0, "{name}");
            }
        }
        let other = Connection::open(&path).expect("opened");
        let swap = "UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE request = 0) WHERE request = 1";
        other.execute(swap, []).expect("swapped");
        assert!(journal.recall(0, 0, one).is_ok());
        assert!(matches!(journal.recall(0, 1, two), Err(JournalError::Entry)));
        assert!(matches!(journal.recall(0, 2, two + 1), Err(JournalError::Entry)));
        drop(journal);
        let wrong = Journal::open(folder.path(), [8; 32], "a", None, false).expect("opened");
        assert!(matches!(wrong.recall(0, 0, one), Err(JournalError::Entry)));
    }

    #[test]
    fn a_damaged_or_newer_file_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.sqlite");
        std::fs::write(&path, "this is no database, whatever its name says".repeat(40)).expect("written");
        let error = Journal::open(folder.path(), KEY, "a", None, false).expect_err("damaged");
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        std::fs::remove_file(&path).expect("removed");
        drop(open(folder.path(), "a"));
        Connection::open(&path).and_then(|c| c.pragma_update(None, "user_version", 9)).expect("changed");
        let error = Journal::open(folder.path(), KEY, "a", None, false).expect_err("newer");
        assert!(matches!(error, JournalError::Newer { .. }), "{error}");
    }

    #[test]
    fn a_named_run_is_shared_and_its_canaries_are_claimed_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = RunName("r".into());
        let share = || Journal::open(folder.path(), KEY, "a", Some(&name), false).expect("a journal");
        let (one, two) = (share(), share());
        record(&one, 1, 0, "said");
        assert_eq!(texts(&two, 1), ["said"]);
        record(&one, 2, 0, "said later");
        wait(async {
            let claim = one.claim(2).await.expect("free");
            let waiting = tokio::time::timeout(Duration::from_millis(60), two.claim(2)).await;
            assert!(waiting.is_err(), "held by the other");
            two.claim(3).await.expect("another canary is free");
            drop(claim);
            assert_eq!(two.claim(2).await.expect("free again").entries.get(0), Some(2));
        });
        one.settle(&[1]).expect("settled");
        assert_eq!(texts(&share(), 1), ["said"], "left to the others");
    }
}
