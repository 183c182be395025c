//! Run journal: every answer that was paid for is on disk, sealed, before it counts.
//!
//! The journal is a SQLite file (write-ahead log) in a private folder. Answers that are recorded within a millisecond
//! are sealed together and committed as one row at the end of the table. The seal is ChaCha20-Poly1305 under a key that
//! is derived from the manifest's, so that the file alone reveals no answer. There is no index: the task that
//! probes a canary keeps the numbers of its entries ([`Entries`]), eight bytes for each request.

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

/// Why the journal cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The folder of the journal, or a lock in it.
    #[error("{path}: {what}; `store.path` in the configuration names another folder")]
    Folder {
        /// Path of the folder or lock.
        path: String,
        /// Cause.
        what: String,
    },
    /// The file is no journal, or its pages are damaged.
    #[error("{path}: the run journal is damaged; remove it, and the run starts anew")]
    Damaged {
        /// Path of the file.
        path: String,
    },
    /// Another version of the program wrote it.
    #[error("{path}: another version of blabbermouth wrote this run journal: use that version, or remove the file")]
    OtherVersion {
        /// Path of the file.
        path: String,
    },
    /// An answer could not be saved or read back.
    #[error("{path}: the run journal cannot be used: {what}")]
    Use {
        /// Path of the file.
        path: String,
        /// Cause.
        what: String,
    },
    /// One entry is damaged; the others are intact.
    #[error("an entry of the run journal is damaged")]
    Entry,
}

/// Name of a run that several processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName(pub String);

/// An earlier run that is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Number of requests that are answered already.
    pub requests: u64,
    /// Time since its last answer; `None` if that is in the future, because the clock was set back.
    pub age: Option<Duration>,
}

/// Limit of request numbers: no canary has as many requests.
const MOST_REQUESTS: usize = 1 << 24;

/// Journal entries of a canary's answers: for each request the number of its entry; 0 if it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries(Vec<i64>);

impl Entries {
    /// Notes the entry of a request. A request number that no run reaches is damaged, and is ignored.
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

    /// Number after the last request that has an entry.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.len() as u64
    }

    /// Number of requests that have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().filter(|entry| **entry != 0).count()
    }

    /// Whether no request has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entry of a request; `None` if it has none.
    #[must_use]
    pub fn get(&self, request: u64) -> Option<i64> {
        self.0.get(request as usize).copied().filter(|entry| *entry != 0)
    }
}

/// Answers of one run: a SQLite file (write-ahead log) in a private folder, sealed with ChaCha20-Poly1305 under the
/// caller's key. Commits survive a killed process. A power cut may lose the last few, whose requests are sent again. A
/// damaged row loses only the answers in it.
///
/// A run is open from its first answer until it is judged and shown ([`Journal::settle`]). An open run of the same plan
/// is resumed within a day, by one process at a time. A named run ([`RunName`]) is shared by all processes that know
/// the name, canary by canary ([`Claim`]).
///
/// Parameters named `canary` are stream ids: each canary has one stream for each kind of answer, see `run::journaled`.
pub struct Journal {
    path: PathBuf,
    folder: PathBuf,
    run: i64,
    shared: bool,
    /// State of the earlier run when this one was opened; `None` for a new run.
    resumed: Option<Resumed>,
    forgotten: u64,
    cipher: LessSafeKey,
    /// Key for the names of models.
    naming: hmac::Key,
    reader: Mutex<Connection>,
    known: Mutex<Known>,
    writer: Arc<Writer>,
    thread: Option<JoinHandle<()>>,
    /// Held while the run is in use.
    _lock: Option<File>,
}

/// Entries of this run that were read from the file.
#[derive(Default)]
struct Known {
    /// Rows up to this id were read.
    upto: i64,
    canaries: HashMap<usize, Entries>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).field("run", &self.run).finish_non_exhaustive()
    }
}

/// Right to probe a canary, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    /// Answers that exist already.
    pub entries: Entries,
    _lock: Option<File>,
}

impl Journal {
    /// Opens a run of a plan: the named one; or an open one that nobody uses, unless `fresh`; or a new one.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file is damaged or of another version.
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
        // Keeps the entry numbers of this process apart from those of all others, earlier or concurrent.
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

    /// The interrupted run that this one continues; `None` for a new run.
    #[must_use]
    pub fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// Number of answers of interrupted runs that were deleted when this one was opened, because they are older than a
    /// day.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Starts the probing of a canary; in a shared run, once no other process probes it.
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
            // Other processes may have written since the last look.
            self.look()?;
            held = Some(file);
        }
        Ok(Claim { entries: self.entries(canary), _lock: held })
    }

    /// Entries of a canary at the last look. They are returned once; a second call returns none.
    #[must_use]
    pub fn entries(&self, canary: usize) -> Entries {
        lock(&self.known).canaries.remove(&canary).unwrap_or_default()
    }

    /// Requests of this run that have an answer on disk, as canary and number.
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

    /// Reads the entries that were written since the last look.
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
                // A process that started earlier has lower ids, and its rows may come later: all are read again.
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
                        // A later entry for the same request replaces a damaged one.
                        known.canaries.entry(canary as usize).or_default().insert(u64::from(request), entry);
                    }
                }
            }
            Ok(())
        };
        read().map_err(|e| fault(&self.path, &e))
    }

    /// Reads the answer in an entry that is on disk.
    ///
    /// # Errors
    /// [`JournalError::Entry`] when this entry is damaged; others when the file cannot be read.
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

    /// Records the answer to a request, and returns the number of its entry. The entry is on disk only when
    /// [`Journal::flush`] returns: no verdict may be based on it before.
    ///
    /// # Errors
    /// When an earlier entry could not be written, for example because the disk is full.
    pub fn record(&self, canary: usize, request: u64, answer: &[u8]) -> Result<i64, JournalError> {
        self.record_paid(canary, request, answer, 0, Usage::default())
    }

    /// Same as [`Journal::record`], and counts `answers` paid answers and their tokens for the ledger.
    ///
    /// # Errors
    /// When an earlier entry could not be written.
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

    /// Waits until an entry, and all entries that were recorded before it, are on disk.
    ///
    /// # Errors
    /// When they could not be written.
    pub async fn flush(&self, entry: i64) -> Result<(), JournalError> {
        self.writer.flush(entry).await
    }

    /// Forgets the answers of these canaries, which were judged and shown. Answers of others stay, and the run with
    /// them; else the run is deleted. A shared run is left to the other processes.
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
                    // No entry of the run has a higher number.
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
mod tests;
