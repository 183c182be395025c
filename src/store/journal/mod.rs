//! The run journal: every answer that was paid for is on disk, sealed, before it counts.
//!
//! A SQLite file (write-ahead log) in a private folder. What is recorded within a millisecond is
//! sealed together, with ChaCha20-Poly1305 under a key that is derived from the manifest's, so that
//! the file alone gives nothing away, and committed as one row at the end of the table. There is no
//! index: each canary's prober keeps the numbers of its entries ([`Entries`]), eight bytes an answer.

mod bill;
mod model;
mod runs;
mod spending;
mod writer;

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use ring::hmac;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use bill::Paid;
use runs::{
    age, choose, connect, fault, folder_fault, lock_path, make_folder, now, prepare, prune, set_right, try_share,
};
use writer::{Row, Writer, places};

use crate::store::open_own;
use blabbermouth_core::chat::Usage;

pub use bill::Rates;
pub use model::ModelName;
pub use spending::Spending;

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
    /// Since its last answer; none where that is still to come by the clock, which was set back.
    pub age: Option<Duration>,
}

/// No canary is asked so often.
const MOST_REQUESTS: usize = 1 << 24;

/// Where the answers of a canary are: for each request the number of its entry; 0 where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(Vec<i64>);

impl Entries {
    /// Notes the entry of a request. One with a number that no run has is damaged, and is not noted.
    pub fn insert(&mut self, request: u64, entry: i64) {
        let at = request as usize;
        if at >= MOST_REQUESTS {
            return;
        }
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = entry;
    }

    /// The number after that of the last request that has one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.len() as u64
    }

    /// How many requests have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().filter(|entry| **entry != 0).count()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of a request.
    #[must_use]
    pub fn get(&self, request: u64) -> Option<i64> {
        self.0.get(request as usize).copied().filter(|entry| *entry != 0)
    }
}

/// The answers of one run: a SQLite file (write-ahead log) in a private folder, sealed with
/// ChaCha20-Poly1305 under a key of the caller's. Commits survive a killed process; a power cut may
/// lose the last few, which are then asked again. A damaged row loses the answers in it, no others.
///
/// A run is open from its first answer until it was judged and shown ([`Journal::settle`]). An open
/// run of the same plan is taken up again within a day, by one process at a time. A named run
/// ([`RunName`]) is shared by all processes that know the name, canary by canary ([`Claim`]).
pub struct Journal {
    path: PathBuf,
    folder: PathBuf,
    run: i64,
    shared: bool,
    /// What was there when the run was opened.
    resumed: Option<Resumed>,
    forgotten: u64,
    cipher: LessSafeKey,
    /// Of the names of models.
    naming: hmac::Key,
    reader: Mutex<Connection>,
    known: Mutex<Known>,
    writer: Arc<Writer>,
    thread: Option<JoinHandle<()>>,
    /// Held while the run is used.
    _lock: Option<File>,
}

/// What the file is known to hold of this run, apart from what this process wrote.
#[derive(Default)]
struct Known {
    /// Rows up to this one were read.
    upto: i64,
    canaries: HashMap<usize, Entries>,
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
        let forgotten = prune(&transaction, folder, &path).map_err(at)?;
        let (run, ago, held) = match name {
            Some(RunName(name)) => {
                let known = "INSERT INTO runs (plan, name, touched) VALUES (?1, ?2, ?3)
                             ON CONFLICT DO UPDATE SET touched = excluded.touched RETURNING id";
                let id = transaction.query_row(known, params![plan, name, now()], |row| row.get(0)).map_err(at)?;
                (id, None, try_share(folder, id)?)
            }
            None => choose(&transaction, folder, plan, fresh, &path)?,
        };
        bill::begin(&transaction, run).map_err(at)?;
        set_right(&transaction).map_err(at)?;
        // Numbers the entries of this process apart from those of any other, earlier or beside it.
        transaction.execute("INSERT INTO writers DEFAULT VALUES", []).map_err(at)?;
        let session = transaction.last_insert_rowid();
        transaction.execute("DELETE FROM writers", []).map_err(at)?;
        transaction.commit().map_err(at)?;
        let reader = connect(&path, folder)?;
        let cipher = || LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a key of 32 bytes"));
        let writer = Arc::new(Writer::new(path.clone(), run, session, cipher()));
        let working = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || working.work(connection))
            .map_err(|e| JournalError::Use { path: path.display().to_string(), what: e.to_string() })?;
        let mut journal = Self {
            path,
            folder: folder.to_owned(),
            run,
            shared: name.is_some(),
            resumed: None,
            forgotten,
            cipher: cipher(),
            naming: model::naming_key(&key),
            reader: Mutex::new(reader),
            known: Mutex::default(),
            writer,
            thread: Some(thread),
            _lock: held,
        };
        if let Some(ago) = ago {
            journal.look()?;
            let requests: usize = lock(&journal.known).canaries.values().map(Entries::len).sum();
            journal.resumed = (requests > 0).then_some(Resumed { requests: requests as u64, age: age(ago) });
        }
        Ok(journal)
    }

    /// The earlier run that this one goes on with, if it does.
    #[must_use]
    pub fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// Answers of interrupted runs that were forgotten as this one was opened, because they are older than a day.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Begins the probing of a canary; in a shared run, when no other process probes it any more.
    ///
    /// # Errors
    /// When the lock file cannot be made, or the journal cannot be read.
    pub async fn claim(&self, canary: usize) -> Result<Claim, JournalError> {
        let mut held = None;
        if self.shared {
            let folder = self.folder.join(format!("run-{}", self.run));
            make_folder(&folder)?;
            let path = folder.join(format!("{canary}.lock"));
            let file = open_own(&path).map_err(|e| folder_fault(&path, &e))?;
            while let Err(error) = file.try_lock() {
                match error {
                    TryLockError::WouldBlock => tokio::time::sleep(Duration::from_millis(20)).await,
                    TryLockError::Error(e) => return Err(folder_fault(&path, &e)),
                }
            }
            // Others may have written since the last look.
            self.look()?;
            held = Some(file);
        }
        Ok(Claim { entries: self.entries(canary), _lock: held })
    }

    /// The answers of a canary, or of a name beside one that is claimed, that were there at the last look. They are
    /// given once.
    #[must_use]
    pub fn entries(&self, canary: usize) -> Entries {
        lock(&self.known).canaries.remove(&canary).unwrap_or_default()
    }

    /// Which requests of this run have an answer on disk, as canary and number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn answered(&self) -> Result<HashSet<(usize, u64)>, JournalError> {
        *lock(&self.known) = Known::default();
        self.look()?;
        let known = lock(&self.known);
        let of = |(canary, entries): (&usize, &Entries)| {
            let there = entries.0.iter().enumerate().filter(|(_, entry)| **entry != 0);
            there.map(|(number, _)| (*canary, number as u64)).collect::<Vec<_>>()
        };
        Ok(known.canaries.iter().flat_map(of).collect())
    }

    /// Reads which answers were written since the last look.
    fn look(&self) -> Result<(), JournalError> {
        let mut known = lock(&self.known);
        let reader = lock(&self.reader);
        let mut read = || {
            let mut query = reader.prepare_cached("SELECT canary, upto FROM judged WHERE run = ?1")?;
            let judged: HashMap<i64, i64> =
                query.query_map([self.run], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
            let mut query =
                reader.prepare_cached("SELECT id, places FROM answers WHERE id > ?1 AND run = ?2 ORDER BY id")?;
            if self.shared {
                // Rows of a process that is older than another may come later: all are read again.
                *known = Known::default();
            }
            let mut rows = query.query(params![known.upto, self.run])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                known.upto = known.upto.max(id);
                for (entry, (canary, request)) in
                    (0..).map(|n| id.saturating_add(n)).zip(places(row.get_ref(1)?.as_blob().unwrap_or_default()))
                {
                    if judged.get(&i64::from(canary)).is_none_or(|upto| entry > *upto) {
                        // A later entry for the same request took the place of a damaged one.
                        known.canaries.entry(canary as usize).or_default().insert(u64::from(request), entry);
                    }
                }
            }
            Ok(())
        };
        read().map_err(|e| fault(&self.path, &e))
    }

    /// The answer in an entry that is on disk.
    ///
    /// # Errors
    /// [`JournalError::Entry`] when this one is damaged; others when the file cannot be read.
    pub fn recall(&self, canary: usize, request: u64, entry: i64) -> Result<Vec<u8>, JournalError> {
        let row: Option<Row> = {
            let reader = lock(&self.reader);
            let mut query = reader
                .prepare_cached("SELECT id, places, sealed FROM answers WHERE id <= ?1 ORDER BY id DESC LIMIT 1")
                .map_err(|e| fault(&self.path, &e))?;
            query
                .query_row([entry], |row| Ok(Row { id: row.get(0)?, places: row.get(1)?, sealed: row.get(2)? }))
                .optional()
                .map_err(|e| fault(&self.path, &e))?
        };
        row.and_then(|row| row.open(&self.cipher, self.run, entry, (canary as u32, request as u32)))
            .ok_or(JournalError::Entry)
    }

    /// Records the answer to a request, and gives the number of its entry. It is on its way to the
    /// disk then, and there when [`Journal::flush`] returns: nothing may be made of it before.
    ///
    /// # Errors
    /// When an earlier one could not be written, for example because the disk is full.
    pub fn record(&self, canary: usize, request: u64, answer: &[u8]) -> Result<i64, JournalError> {
        self.record_paid(canary, request, answer, 0, Usage::default())
    }

    /// The same for so many answers that were paid for: they are counted with it, for the ledger.
    ///
    /// # Errors
    /// When an earlier one could not be written.
    pub fn record_paid(
        &self,
        canary: usize,
        request: u64,
        answer: &[u8],
        answers: u64,
        usage: Usage,
    ) -> Result<i64, JournalError> {
        self.writer.push(canary as u32, request as u32, answer, Paid::new(answers, usage))
    }

    /// Waits until an entry, and all that were recorded before it, are on disk.
    ///
    /// # Errors
    /// When they could not be written.
    pub async fn flush(&self, entry: i64) -> Result<(), JournalError> {
        self.writer.flush(entry).await
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
        self.look()?;
        let judged: HashSet<usize> = canaries.iter().copied().collect();
        let left = lock(&self.known).canaries.keys().any(|canary| !judged.contains(canary));
        let mut reader = lock(&self.reader);
        let done = (|| {
            let transaction = reader.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if left {
                let upto = "INSERT OR REPLACE INTO judged (run, canary, upto) VALUES (?1, ?2, ?3)";
                let mut note = transaction.prepare(upto)?;
                for canary in &judged {
                    // Up to all that may be in the row that was written last.
                    note.execute(params![self.run, *canary as i64, self.writer.last()])?;
                }
            } else {
                runs::forget(&transaction, &self.folder, self.run)?;
            }
            transaction.commit()
        })();
        done.map_err(|e| fault(&self.path, &e))?;
        runs::give_back(&reader);
        if !left {
            let _ = std::fs::remove_file(lock_path(&self.folder, self.run));
        }
        Ok(())
    }

    fn close(&mut self) {
        self.writer.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
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
        let entry = journal.record(canary, request, text.as_bytes()).expect("recorded");
        wait(journal.flush(entry)).expect("written");
        entry
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
        assert_eq!(journal.resumed().map(|r| r.requests), Some(3));
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
    fn what_a_run_was_paid_for_is_noted_once_whatever_becomes_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let bill = |plan: &str, fresh: bool| {
            let journal = Journal::open(folder.path(), KEY, plan, None, fresh).expect("a journal");
            journal.bill("m", Some(Rates { input: 1e5, output: 2e5 })).expect("billed");
            journal
        };
        let answer = |journal: &Journal, canary: usize, request: u64| {
            let usage = Usage { prompt_tokens: 10, completion_tokens: 1 };
            let entry = journal.record_paid(canary, request, b"said", 1, usage).expect("recorded");
            wait(journal.flush(entry)).expect("written");
        };
        let noted = || -> Vec<(u64, Option<f64>)> {
            let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).unwrap_or_default();
            let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line"));
            let all: Vec<crate::store::Spent> = lines.collect();
            let names: HashSet<&Option<String>> = all.iter().map(|spent| &spent.run).collect();
            assert_eq!(names.len(), all.len(), "{text}");
            all.iter().map(|spent| (spent.answers, spent.usd)).collect()
        };
        let mut journal = bill("a", false);
        journal.note().expect("nothing to note");
        assert!(noted().is_empty());
        drop(journal);
        // The provider failed: noted, and not settled.
        let mut journal = bill("a", false);
        answer(&journal, 3, 0);
        answer(&journal, 4, 0);
        journal.note().expect("noted");
        assert_eq!(noted(), [(2, Some(2.4))]);
        drop(journal);
        // Taken up again, and killed between the line and the end of the journal.
        let mut journal = bill("a", false);
        answer(&journal, 3, 1);
        journal.note().expect("noted");
        drop(journal);
        assert_eq!(noted(), [(3, Some(3.6))]);
        // Settled in part, and then to the end.
        let mut journal = bill("a", false);
        journal.note().expect("noted");
        journal.settle(&[3]).expect("settled");
        let mut journal = bill("a", false);
        answer(&journal, 4, 1);
        journal.note().expect("noted");
        journal.settle(&[4]).expect("settled");
        assert_eq!(noted(), [(4, Some(4.8))]);
        // Killed, and never taken up again: noted before it is forgotten.
        let journal = bill("a", false);
        answer(&journal, 0, 0);
        drop(journal);
        assert_eq!(noted().len(), 1);
        let journal = bill("a", true);
        assert_eq!(noted()[1..], [(1, Some(1.2))]);
        answer(&journal, 0, 0);
        answer(&journal, 0, 1);
        drop(journal);
        let connection = Connection::open(folder.path().join("journal.sqlite")).expect("opened");
        connection.execute("UPDATE runs SET touched = 0", []).expect("changed");
        drop(open(folder.path(), "b"));
        assert_eq!(noted()[2..], [(2, Some(2.4))]);
        // Nobody is paid, or nobody knows how much.
        let mut free = open(folder.path(), "b");
        record(&free, 0, 0, "said");
        free.note().expect("nothing to note");
        let mut unpriced = open(folder.path(), "c");
        unpriced.bill("m", None).expect("billed");
        answer(&unpriced, 0, 0);
        unpriced.note().expect("noted");
        assert_eq!(noted()[3..], [(1, None)]);
        drop(unpriced);
        // What it was in all is not known then, and a server that counts without sense breaks no sum.
        let mut journal = open(folder.path(), "c");
        journal.bill("m", Some(Rates { input: 1.0, output: 1.0 })).expect("billed");
        for request in 1..4 {
            let usage = Usage { prompt_tokens: u64::MAX, completion_tokens: 1 };
            let entry = journal.record_paid(0, request, b"said", 1, usage).expect("recorded");
            wait(journal.flush(entry)).expect("written");
        }
        journal.note().expect("noted");
        assert_eq!(noted()[3..], [(4, None)]);
        let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
        assert!(text.contains(&format!("\"input_tokens\":{}", i64::MAX)), "{text}");
    }

    #[test]
    fn what_all_processes_of_a_named_run_were_paid_for_is_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = RunName("r".into());
        let mut all: Vec<Journal> =
            (0..3).map(|_| Journal::open(folder.path(), KEY, "a", Some(&name), false).expect("a journal")).collect();
        for (canary, journal) in all.iter().enumerate() {
            journal.bill("m", None).expect("billed");
            let entry = journal.record_paid(canary, 0, b"said", 2, Usage::default()).expect("recorded");
            wait(journal.flush(entry)).expect("written");
        }
        all.iter_mut().rev().for_each(|journal| journal.note().expect("noted"));
        let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
        assert!(text.lines().count() == 1 && text.contains("\"answers\":6"), "{text}");
    }

    #[test]
    fn a_file_of_an_older_version_is_taken_over() {
        let beside = "ALTER TABLE answers DROP COLUMN number; ALTER TABLE answers DROP COLUMN input;
                      ALTER TABLE answers DROP COLUMN output; ALTER TABLE answers DROP COLUMN usd;";
        let counted = "ALTER TABLE paid ADD COLUMN answers; ALTER TABLE paid ADD COLUMN input;
                       ALTER TABLE paid ADD COLUMN output; ALTER TABLE paid ADD COLUMN usd REAL;
                       UPDATE paid SET answers = 2, input = 300, output = 5, usd = 0.25;";
        let unnamed = "ALTER TABLE runs DROP COLUMN model;";
        for (version, was) in [
            (4, [beside, counted, ""]),
            (3, [beside, counted, unnamed]),
            (2, [beside, "DROP TABLE paid;", unnamed]),
            (1, [beside, "DROP TABLE paid; DROP TABLE spent;", unnamed]),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let journal = open(folder.path(), "a");
            record(&journal, 3, 0, "said");
            record(&journal, 3, 1, "said again");
            drop(journal);
            let connection = Connection::open(folder.path().join("journal.sqlite")).expect("opened");
            connection.execute_batch(&was.concat()).expect("as it was");
            connection.pragma_update(None, "user_version", version).expect("changed");
            drop(connection);
            let mut journal = open(folder.path(), "a");
            assert_eq!(texts(&journal, 3), ["said", "said again"]);
            journal.bill("m", Some(Rates { input: 1e5, output: 2e5 })).expect("billed");
            journal.spending().expect("a purse");
            // What answered before is not known: the next one is taken.
            let named = |name: &str| journal.model_name().keep(name).expect("kept");
            assert!(named("two") && !named("one"), "{version}");
            let usage = Usage { prompt_tokens: 10, completion_tokens: 5 };
            journal.record_paid(3, 2, b"said once more", 1, usage).expect("recorded");
            journal.note().expect("noted");
            let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
            let (answers, input, output, usd) = if version >= 3 { (3, 310, 10, 2.25) } else { (1, 10, 5, 2.0) };
            let noted =
                format!("\"answers\":{answers},\"input_tokens\":{input},\"output_tokens\":{output},\"usd\":{usd:?}");
            assert!(text.lines().count() == 1 && text.contains(&noted), "{version}: {text}");
        }
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
        let swap = "UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE id = ?1) WHERE id = ?2";
        other.execute(swap, [one, two]).expect("swapped");
        assert!(journal.recall(0, 0, one).is_ok());
        assert!(matches!(journal.recall(0, 1, two), Err(JournalError::Entry)));
        assert!(matches!(journal.recall(0, 2, two + 1), Err(JournalError::Entry)));
        drop(journal);
        let wrong = Journal::open(folder.path(), [8; 32], "a", None, false).expect("opened");
        assert!(matches!(wrong.recall(0, 0, one), Err(JournalError::Entry)));
    }

    #[test]
    fn what_is_recorded_together_is_found_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path(), "a");
        let record = |n: usize| journal.record(n % 7, n as u64, format!("answer {n}").as_bytes()).expect("recorded");
        let entries: Vec<i64> = (0..500).map(record).collect();
        wait(journal.flush(entries[499])).expect("written");
        for (n, entry) in entries.iter().enumerate() {
            let text = journal.recall(n % 7, n as u64, *entry).expect("whole");
            assert_eq!(text, format!("answer {n}").as_bytes());
            assert!(journal.recall(n % 7 + 1, n as u64, *entry).is_err(), "of another canary");
        }
        let rows: i64 =
            lock(&journal.reader).query_row("SELECT count(*) FROM answers", [], |r| r.get(0)).expect("rows");
        assert!(rows < 100, "{rows}");
        drop(journal);
        let journal = open(folder.path(), "a");
        assert_eq!(journal.resumed().map(|r| r.requests), Some(500));
        let claim = wait(journal.claim(3)).expect("free");
        assert_eq!((claim.entries.len(), claim.entries.get(10)), (71, Some(entries[10])));
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
    fn a_clock_that_was_set_loses_no_answer_in_silence_and_keeps_none_for_ever() {
        const DAY: i64 = 24 * 60 * 60;
        let folder = tempfile::tempdir().expect("a folder");
        let touched = |at: i64| {
            let file = Connection::open(folder.path().join("journal.sqlite")).expect("opened");
            file.execute("UPDATE runs SET touched = ?1", [at]).expect("set");
        };
        record(&open(folder.path(), "a"), 3, 0, "said");
        for ahead in [now() + 365 * DAY, i64::MAX] {
            touched(ahead);
            assert_eq!(open(folder.path(), "a").resumed(), Some(Resumed { requests: 1, age: None }));
        }
        // Set right by then, so that the day of grace runs.
        let journal = open(folder.path(), "a");
        assert!(journal.resumed().and_then(|r| r.age).is_some_and(|age| age < Duration::from_secs(60)));
        drop(journal);
        for past in [now() - 2 * DAY, i64::MIN] {
            touched(past);
            let journal = open(folder.path(), "a");
            assert_eq!((journal.resumed(), journal.forgotten()), (None, 1));
            record(&journal, 3, 0, "said");
        }
        assert_eq!(open(folder.path(), "a").forgotten(), 0);
        let share = || Journal::open(folder.path(), KEY, "a", Some(&RunName("r".into())), false).expect("a journal");
        let one = share();
        record(&one, 1, 0, "said");
        touched(now() - 2 * DAY);
        assert_eq!(texts(&share(), 1), ["said"], "it is in use");
        drop(one);
        touched(now() - 2 * DAY);
        assert!(texts(&share(), 1).is_empty());
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
            assert_eq!(two.claim(2).await.expect("free again").entries.len(), 1);
        });
        one.settle(&[1]).expect("settled");
        assert_eq!(texts(&share(), 1), ["said"], "left to the others");
    }

    #[test]
    fn the_space_of_a_settled_run_goes_back_and_others_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let size = || std::fs::metadata(folder.path().join("journal.sqlite")).expect("there").len();
        let (other, one) = (open(folder.path(), "other"), open(folder.path(), "plan"));
        let kept = record(&other, 3, 0, "of another run");
        let fill = |of: &Journal, times| (0..times).map(|number| record(of, 3, number, &"x".repeat(1 << 18))).max();
        fill(&one, 8);
        drop(other);
        one.settle(&[3]).expect("settled");
        assert!(size() < 1 << 17, "{}", size());
        let other = open(folder.path(), "other");
        assert_eq!(other.recall(3, 0, kept).expect("there"), b"of another run");
        // Where more is left than is worth copying, the space waits for the next run.
        let large = record(&other, 3, 1, &"x".repeat(5 << 20));
        let one = open(folder.path(), "plan");
        fill(&one, 8);
        one.settle(&[3]).expect("settled");
        let before = size();
        let one = open(folder.path(), "plan");
        fill(&one, 4);
        drop(one);
        assert!(before > 7 << 20 && size() <= before + (1 << 16), "{before}, {}", size());
        assert_eq!(other.recall(3, 1, large).expect("there").len(), 5 << 20);
    }
}
