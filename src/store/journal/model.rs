//! Keeps the name of the model that answers a run, from one process to the next.

use std::path::PathBuf;

use ring::hmac;
use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::runs::{connect, fault};
use super::{Journal, JournalError};

/// Name of the model that answers a run: the name in the first answer, of whichever process. The file has a keyed hash,
/// which does not reveal the name.
#[derive(Clone)]
pub struct ModelName {
    path: PathBuf,
    folder: PathBuf,
    run: i64,
    key: hmac::Key,
}

impl std::fmt::Debug for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelName").field("run", &self.run).finish_non_exhaustive()
    }
}

/// Derives the key of model names from the journal's key.
pub(super) fn naming_key(key: &[u8; 32]) -> hmac::Key {
    let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"names of models");
    hmac::Key::new(hmac::HMAC_SHA256, own.as_ref())
}

impl Journal {
    /// Handle to the name of the model that answers this run.
    #[must_use]
    pub fn model_name(&self) -> ModelName {
        ModelName { path: self.path.clone(), folder: self.folder.clone(), run: self.run, key: self.naming.clone() }
    }
}

impl ModelName {
    /// Keeps a name, unless the run has one. Returns whether the name is the one that is kept. Call it for the first
    /// answer of a process, before the answer is recorded: it writes to the disk.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn keep(&self, name: &str) -> Result<bool, JournalError> {
        let at = |e: rusqlite::Error| fault(&self.path, &e);
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&self.run.to_le_bytes());
        context.update(name.as_bytes());
        let tag = context.sign();
        let name: &[u8] = tag.as_ref();
        let mut connection = connect(&self.path, &self.folder)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        let keep = "UPDATE runs SET model = ?2 WHERE id = ?1 AND model IS NULL";
        transaction.execute(keep, params![self.run, name]).map_err(at)?;
        let kept: Option<Vec<u8>> = transaction
            .query_row("SELECT model FROM runs WHERE id = ?1", [self.run], |row| row.get(0))
            .optional()
            .map_err(at)?;
        transaction.commit().map_err(at)?;
        // The run may be gone: a shared run that nobody uses for a day is deleted with all its answers.
        Ok(kept.is_none_or(|kept| kept == name))
    }
}

impl blabbermouth_provider::ModelIdentity for ModelName {
    fn keep(&self, name: &str) -> Result<bool, String> {
        ModelName::keep(self, name).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::RunName;

    const KEY: [u8; 32] = [7; 32];

    fn open(folder: &Path, name: Option<&RunName>, fresh: bool) -> Journal {
        Journal::open(folder, KEY, "a", name, fresh).expect("a journal")
    }

    /// Keeps a name, and then an answer: a run without answers is not resumed.
    fn answer(journal: &Journal, name: &str) -> bool {
        let same = journal.model_name().keep(name).expect("kept");
        journal.record(0, 0, b"said").expect("recorded");
        same
    }

    #[test]
    fn the_name_of_the_first_answer_stays_with_its_run() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, same) in [("one", true), ("one", true), ("two", false), ("one", true)] {
            assert_eq!(answer(&open(folder.path(), None, false), name), same, "{name}");
        }
        assert!(answer(&open(folder.path(), None, true), "two"));
        // A settled run is deleted together with its name.
        let journal = open(folder.path(), None, false);
        assert!(answer(&journal, "two"));
        journal.settle(&[0]).expect("settled");
        assert!(answer(&open(folder.path(), None, false), "three"));
        let bytes = std::fs::read(folder.path().join("journal.sqlite")).expect("a file");
        assert!(!bytes.windows(5).any(|window| window == b"three"));
    }

    #[test]
    fn processes_of_a_named_run_share_the_name_of_its_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let share = |name: &str| open(folder.path(), Some(&RunName(name.into())), false);
        let (one, two, other) = (share("r"), share("r"), share("s"));
        assert!(answer(&one, "one") && answer(&two, "one") && answer(&other, "two"));
        assert!(!answer(&two, "two") && !answer(&other, "one"));
    }
}
