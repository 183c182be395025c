//! The name under which a run's model answers, kept from one process to the next.

use std::path::PathBuf;

use ring::hmac;
use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::runs::{connect, fault};
use super::{Journal, JournalError};

/// The name of the model that answers a run: that of the first answer, in whichever process it came. The file has a
/// keyed hash of it, so that it tells nobody whose model it is.
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

/// The key of the names, from that of the journal.
pub(super) fn naming_key(key: &[u8; 32]) -> hmac::Key {
    let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"names of models");
    hmac::Key::new(hmac::HMAC_SHA256, own.as_ref())
}

impl Journal {
    /// The name of the model that answers this run.
    #[must_use]
    pub fn model_name(&self) -> ModelName {
        ModelName { path: self.path.clone(), folder: self.folder.clone(), run: self.run, key: self.naming.clone() }
    }
}

impl ModelName {
    /// Keeps a name, unless the run has one, and tells whether it is the one that is kept. To be called for the first
    /// answer of a process, before that is recorded: it writes to the disk.
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
        // A shared run that nobody came back to for a day may be forgotten meanwhile, with all of its answers.
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

    /// Keeps a name, and then an answer, without which the run would begin anew.
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
        // A settled run is over, and its name with it.
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
