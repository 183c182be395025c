//! The file of the journal, its runs, and the locks on them.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, Transaction, params};

use super::{JournalError, bill};
use crate::store::{is_link, linked, open_own};

/// Version of the file format. Files of other versions are refused.
const VERSION: i64 = 6;
/// How long an open run is kept after its last answer.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a process waits for others that use the file.
const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, plan TEXT NOT NULL, name TEXT, touched INTEGER NOT NULL,
  used INTEGER NOT NULL DEFAULT 0, model BLOB);
CREATE UNIQUE INDEX named ON runs (plan, name) WHERE name IS NOT NULL;
CREATE TABLE writers (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE judged (run INTEGER NOT NULL, canary INTEGER NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (run, canary));
CREATE TABLE spent (run INTEGER PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, micros INTEGER NOT NULL);
CREATE TABLE paid (run INTEGER PRIMARY KEY, name TEXT NOT NULL, model TEXT);
CREATE TABLE answers (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, number INTEGER, input INTEGER, output INTEGER, usd REAL,
  places BLOB NOT NULL, sealed BLOB NOT NULL);
";

/// Creates the tables if they do not exist.
pub(super) fn prepare(transaction: &Transaction<'_>, path: &Path) -> Result<(), JournalError> {
    let at = |e: rusqlite::Error| fault(path, &e);
    match transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map_err(at)? {
        VERSION => Ok(()),
        0 => {
            transaction.execute_batch(SCHEMA).map_err(at)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(at)
        }
        _ => Err(JournalError::OtherVersion { path: path.display().to_string() }),
    }
}

/// Deletes runs that nobody resumed for a day, unless they are in use or cannot be noted in the ledger. Returns the
/// number of answers in those that were interrupted.
pub(super) fn prune(transaction: &Transaction<'_>, folder: &Path, path: &Path) -> rusqlite::Result<u64> {
    let oldest = now() - KEPT.as_secs() as i64;
    let stale: Vec<(i64, bool)> = transaction
        .prepare("SELECT id, name IS NULL FROM runs WHERE touched < ?1")?
        .query_map([oldest], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut lost = 0;
    for (run, is_own) in stale {
        if let Ok(Some(_lock)) = try_lock(folder, run)
            && bill::note(transaction, path, folder, run).is_ok()
        {
            // A shared run remains when its processes end, so nobody can tell whether it was interrupted.
            if is_own {
                let count = "SELECT coalesce(sum(length(places) / 8), 0) FROM answers WHERE run = ?1";
                let answers: i64 = transaction.query_row(count, [run], |row| row.get(0))?;
                lost += u64::try_from(answers).unwrap_or(0);
            }
            forget(transaction, folder, run)?;
        }
    }
    Ok(lost)
}

/// Corrects times of a clock that was ahead: such a run would be kept until that time, however old it is.
pub(super) fn set_right(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE runs SET touched = ?1 WHERE touched > ?1", [now()])?;
    Ok(())
}

/// Age of something that happened this many seconds ago by the clock; `None` if that is in the future.
pub(super) fn age(seconds: i64) -> Option<Duration> {
    // Up to a minute ahead counts as now: clocks are adjusted by a little all the time.
    (seconds > -60).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Deletes a run and all that belongs to it.
pub(super) fn forget(transaction: &Transaction<'_>, folder: &Path, run: i64) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM answers WHERE run = ?1", [run])?;
    transaction.execute("DELETE FROM judged WHERE run = ?1", [run])?;
    transaction.execute("DELETE FROM spent WHERE run = ?1", [run])?;
    transaction.execute("DELETE FROM paid WHERE run = ?1", [run])?;
    transaction.execute("DELETE FROM runs WHERE id = ?1", [run])?;
    let _ = std::fs::remove_file(lock_path(folder, run));
    let _ = std::fs::remove_dir_all(folder.join(format!("run-{run}")));
    Ok(())
}

/// Maximum number of 4 KiB pages to copy in order to return the others to the file system.
const FEW_PAGES: i64 = 1024;

/// Returns the space of deleted runs to the file system if little is left in the file; else the next runs use it. A
/// full disk, or a damaged page of another run, is no error of this run, which is judged and deleted: the space stays
/// with the file then.
pub(super) fn give_back(connection: &Connection) {
    let count = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let free = count("PRAGMA freelist_count").unwrap_or(0);
    if free > 0 && count("PRAGMA page_count").is_ok_and(|all| all - free <= FEW_PAGES) {
        let _ = connection.execute_batch("VACUUM");
    }
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}

/// Id of the run; seconds since its last answer, if it is an earlier one; its lock.
pub(super) type Chosen = (i64, Option<i64>, Option<File>);

/// Returns an open run of the plan that nobody uses, or a new one; locked. On the way it deletes free runs without
/// answers, and with `fresh` all free runs.
pub(super) fn choose(
    transaction: &Transaction<'_>,
    folder: &Path,
    plan: &str,
    fresh: bool,
    path: &Path,
) -> Result<Chosen, JournalError> {
    let at = |e: rusqlite::Error| fault(path, &e);
    let open: Vec<(i64, i64, bool)> = transaction
        .prepare("SELECT id, touched, used FROM runs WHERE plan = ?1 AND name IS NULL ORDER BY used DESC, id DESC")
        .and_then(|mut query| query.query_map([plan], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .map_err(at)?;
    for (run, touched, used) in open {
        let Some(lock) = try_lock(folder, run)? else { continue };
        if fresh || !used {
            bill::note(transaction, path, folder, run)?;
            forget(transaction, folder, run).map_err(at)?;
            continue;
        }
        return Ok((run, Some(now().saturating_sub(touched)), Some(lock)));
    }
    transaction.execute("INSERT INTO runs (plan, touched) VALUES (?1, ?2)", params![plan, now()]).map_err(at)?;
    let run = transaction.last_insert_rowid();
    let lock = try_lock(folder, run)?;
    Ok((run, None, lock))
}

pub(super) fn connect(path: &Path, folder: &Path) -> Result<Connection, JournalError> {
    let at = |e: rusqlite::Error| fault(path, &e);
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        if is_link(Path::new(&name)) {
            return Err(folder_fault(Path::new(&name), &linked()));
        }
    }
    if !path.exists() {
        // The file is private from its first byte on; SQLite gives the same mode to the files beside it.
        let made = tempfile::NamedTempFile::new_in(folder).map_err(|e| folder_fault(folder, &e))?;
        // Another process may have created it first.
        let _ = made.persist_noclobber(path);
    }
    crate::store::make_private(path).map_err(|e| folder_fault(folder, &e))?;
    let connection = Connection::open(path).map_err(at)?;
    connection.busy_timeout(PATIENCE).map_err(at)?;
    connection.set_prepared_statement_cache_capacity(16);
    let begin = Instant::now();
    loop {
        let set = connection.execute_batch(
            "PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096;",
        );
        match set {
            // If processes start together, one of them turns the new file into a write-ahead log. SQLite does not wait
            // for that.
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            set => return set.map(|()| connection).map_err(at),
        }
    }
}

pub(super) fn make_folder(folder: &Path) -> Result<(), JournalError> {
    if crate::store::is_link(folder) {
        return Err(folder_fault(folder, &crate::store::linked()));
    }
    crate::store::private_folder(folder).map_err(|e| folder_fault(folder, &e))
}

pub(super) fn lock_path(folder: &Path, run: i64) -> PathBuf {
    folder.join(format!("run-{run}.lock"))
}

/// Exclusive lock of a run; `None` while another process holds a lock of it.
pub(super) fn try_lock(folder: &Path, run: i64) -> Result<Option<File>, JournalError> {
    locked(folder, run, File::try_lock)
}

/// Shared lock of a run. Every process of a shared run holds it, so that no run in use is deleted, whatever the clock
/// says.
pub(super) fn try_share(folder: &Path, run: i64) -> Result<Option<File>, JournalError> {
    locked(folder, run, File::try_lock_shared)
}

fn locked(
    folder: &Path,
    run: i64,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>, JournalError> {
    let path = lock_path(folder, run);
    let file = open_own(&path).map_err(|e| folder_fault(&path, &e))?;
    match lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(folder_fault(&path, &e)),
    }
}

pub(super) fn folder_fault(path: &Path, error: &std::io::Error) -> JournalError {
    JournalError::Folder { path: path.display().to_string(), what: error.to_string() }
}

pub(super) fn fault(path: &Path, error: &rusqlite::Error) -> JournalError {
    let path = path.display().to_string();
    // A sound page with a row that this program does not write.
    let strange =
        matches!(error, rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..));
    match error.sqlite_error_code() {
        _ if strange => JournalError::Damaged { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => JournalError::Damaged { path },
        _ => JournalError::Use { path, what: error.to_string() },
    }
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}
