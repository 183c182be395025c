//! Cost of a run. The counts are in the same rows as the answers, so that a kill takes both or none.
//!
//! The ledger has one line for each run, by a unique name. The line is written whenever a process of the run ends, also
//! if the provider failed, and before a run that nobody resumed is deleted. Each time it has the total so far, and
//! replaces the earlier line. So no kill can duplicate the line or lose it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::runs::fault;
use super::{Journal, JournalError, lock};
use crate::store::StoreError;
use crate::store::ledger::{Ledger, Spent};
use blabbermouth_core::chat::Usage;

/// Prices, in USD for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Price of prompt tokens.
    pub input: f64,
    /// Price of answer tokens.
    pub output: f64,
}

/// Number of paid answers, and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Paid {
    answers: u64,
    usage: Usage,
}

impl Paid {
    pub(super) const fn new(answers: u64, usage: Usage) -> Self {
        Self { answers, usage }
    }

    /// Columns for a row of answers: number of answers, prompt tokens, answer tokens, and USD; `None` if the rates are
    /// unknown.
    pub(super) fn columns(self, rates: Option<Rates>) -> (i64, i64, i64, Option<f64>) {
        let most = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (input, output) = (self.usage.prompt_tokens, self.usage.completion_tokens);
        let usd = rates.map(|rates| (input as f64 * rates.input + output as f64 * rates.output) / 1e6);
        (most(self.answers), most(input), most(output), usd)
    }

    pub(super) fn add(&mut self, more: Self) {
        self.answers = self.answers.saturating_add(more.answers);
        self.usage += more.usage;
    }
}

/// Gives a run its name in the ledger, unless it has one.
pub(super) fn begin(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.execute("INSERT OR IGNORE INTO paid (run, name) VALUES (?1, lower(hex(randomblob(16))))", [run])?;
    Ok(())
}

/// Total of a run; `None` if nothing was counted, or nobody is paid.
fn spent(connection: &Connection, run: i64) -> rusqlite::Result<Option<Spent>> {
    // If the rates of some answers are unknown, so is the sum. A number that is too large becomes the largest one.
    let known = "SELECT name, model, CAST(number AS INTEGER), CAST(input AS INTEGER), CAST(output AS INTEGER), usd
                 FROM paid, (SELECT total(number) AS number, total(input) AS input, total(output) AS output,
                             CASE WHEN count(usd) = count(number) THEN total(usd) END AS usd FROM answers WHERE run = ?1)
                 WHERE run = ?1 AND model IS NOT NULL AND (number > 0 OR input > 0)";
    connection.query_row(known, [run], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Spent> {
    let number = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Spent {
        run: Some(row.get(0)?),
        time: 0,
        on: "test".into(),
        model: row.get(1)?,
        answers: number(2)?,
        input_tokens: number(3)?,
        output_tokens: number(4)?,
        // Rounded to a millionth, to remove the rounding errors of many small sums.
        usd: row.get::<_, Option<f64>>(5)?.map(|usd| (usd * 1e6).round() / 1e6),
    })
}

/// Writes the total of a run to the ledger.
pub(super) fn note(connection: &Connection, path: &Path, folder: &Path, run: i64) -> Result<(), JournalError> {
    let counted = || spent(connection, run).map_err(|e| fault(path, &e));
    if counted()?.is_none() {
        return Ok(());
    }
    let unnoted = |e: StoreError| JournalError::Folder { path: folder.display().to_string(), what: e.to_string() };
    // Counted while no other process writes to the ledger: an older count never replaces a newer one.
    let ledger = Ledger::hold(folder).map_err(unnoted)?;
    match counted()? {
        Some(spent) => ledger.note(spent).map_err(unnoted),
        None => Ok(()),
    }
}

impl Journal {
    /// Sets the model that is paid for answers from now on, and its prices if they are known. Without this call nothing
    /// is counted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn bill(&self, model: &str, rates: Option<Rates>) -> Result<(), JournalError> {
        let set = "UPDATE paid SET model = ?2 WHERE run = ?1";
        lock(&self.reader).execute(set, params![self.run, model]).map_err(|e| fault(&self.path, &e))?;
        self.writer.bill(rates);
        Ok(())
    }

    /// Ends the writing, and notes in the ledger what all processes of this run were paid for so far.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn note(&mut self) -> Result<(), JournalError> {
        self.close();
        note(&lock(&self.reader), &self.path, &self.folder, self.run)
    }
}
