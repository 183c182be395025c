//! What a run spends, counted by all its processes together.

use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::{Connection, params};

use super::runs::{connect, fault};
use super::{Journal, JournalError, lock};

/// Requests, tokens and millionths of a USD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens of questions and answers.
    pub tokens: u64,
    /// Millionths of a USD.
    pub micros: u64,
}

/// The purse of a run: what is taken out of it is on disk before it is spent, so that no process, and no
/// run that goes on after a kill, spends more than there is. What was in flight at a kill counts as
/// spent.
pub struct Spending {
    path: PathBuf,
    run: i64,
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Spending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spending").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Journal {
    /// The purse of this run.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn spending(&self) -> Result<Spending, JournalError> {
        let connection = connect(&self.path, &self.folder)?;
        let open = "INSERT OR IGNORE INTO spent (run, requests, tokens, micros) VALUES (?1, 0, 0, 0)";
        connection.execute(open, [self.run]).map_err(|e| fault(&self.path, &e))?;
        Ok(Spending { path: self.path.clone(), run: self.run, connection: Mutex::new(connection) })
    }
}

impl Spending {
    /// Takes out an amount, if all that was taken stays within `limit` with it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn take(&self, amount: Amount, limit: Amount) -> Result<bool, JournalError> {
        let take =
            "UPDATE spent SET requests = requests + ?2, tokens = tokens + ?3, micros = micros + ?4 WHERE run = ?1
                    AND requests + ?2 <= ?5 AND tokens + ?3 <= ?6 AND micros + ?4 <= ?7";
        let most = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let values = params![
            self.run,
            most(amount.requests),
            most(amount.tokens),
            most(amount.micros),
            most(limit.requests),
            most(limit.tokens),
            most(limit.micros)
        ];
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(take).map_err(|e| fault(&self.path, &e))?;
        Ok(query.execute(values).map_err(|e| fault(&self.path, &e))? == 1)
    }

    /// Puts back what was taken and not spent.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_back(&self, amount: Amount) -> Result<(), JournalError> {
        let put =
            "UPDATE spent SET requests = requests - ?2, tokens = tokens - ?3, micros = micros - ?4 WHERE run = ?1";
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(put).map_err(|e| fault(&self.path, &e))?;
        let values = params![self.run, amount.requests as i64, amount.tokens as i64, amount.micros as i64];
        query.execute(values).map_err(|e| fault(&self.path, &e))?;
        Ok(())
    }
}
