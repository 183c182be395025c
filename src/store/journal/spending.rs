//! Counts what a run spends, over all its processes.

use std::path::PathBuf;
use std::sync::Mutex;

use blabbermouth_provider::{Amount, SpendCounter};
use rusqlite::{Connection, params};

use super::runs::{connect, fault};
use super::{Journal, JournalError, lock};

/// Spending of a run. An amount is on disk before it is spent, so that no process, and no run that is resumed after a
/// kill, exceeds the limit. Amounts in flight at a kill count as spent.
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
    /// Spending counter of this run.
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
    /// Reserves an amount, if the sum of all reserved amounts stays within `limit`. Returns whether it did.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn reserve(&self, amount: Amount, limit: Amount) -> Result<bool, JournalError> {
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

    /// Gives back an amount that was reserved and not spent.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn release(&self, amount: Amount) -> Result<(), JournalError> {
        let put =
            "UPDATE spent SET requests = requests - ?2, tokens = tokens - ?3, micros = micros - ?4 WHERE run = ?1";
        let connection = lock(&self.connection);
        let mut query = connection.prepare_cached(put).map_err(|e| fault(&self.path, &e))?;
        let values = params![self.run, amount.requests as i64, amount.tokens as i64, amount.micros as i64];
        query.execute(values).map_err(|e| fault(&self.path, &e))?;
        Ok(())
    }
}

impl SpendCounter for Spending {
    fn reserve(&self, amount: Amount, limit: Amount) -> Result<bool, String> {
        Spending::reserve(self, amount, limit).map_err(|e| e.to_string())
    }

    fn release(&self, amount: Amount) -> Result<(), String> {
        Spending::release(self, amount).map_err(|e| e.to_string())
    }
}
