//! What a run was paid for: counted with its answers, in the same rows, so that a kill takes both or none.
//!
//! The ledger has a line for each run, by a name that no other run has. It is written whenever a process of the run
//! ends, also where the provider failed, and before a run is forgotten that nobody took up again; each time it says all
//! that was counted, in place of what it said before. So no kill makes it stand there twice, and none makes it missing.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::runs::fault;
use super::{Journal, JournalError, lock};
use crate::store::StoreError;
use crate::store::ledger::{Ledger, Spent};
use blabbermouth_core::chat::Usage;

/// USD for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of questions.
    pub input: f64,
    /// Of answers.
    pub output: f64,
}

/// Answers that were paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Paid {
    answers: u64,
    usage: Usage,
}

impl Paid {
    pub(super) const fn new(answers: u64, usage: Usage) -> Self {
        Self { answers, usage }
    }

    /// What stands beside the answers on disk: how many, tokens of questions and of answers, and USD where rates are known.
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

/// What was counted of a run; `None` where nothing was, or nobody is paid.
fn spent(connection: &Connection, run: i64) -> rusqlite::Result<Option<Spent>> {
    // Where the rates of some answers are not known, the sum is not. A number that is too large stays at the largest.
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
        // To a millionth: what many small sums leave behind that is no money.
        usd: row.get::<_, Option<f64>>(5)?.map(|usd| (usd * 1e6).round() / 1e6),
    })
}

/// Notes in the ledger what was counted of a run.
pub(super) fn note(connection: &Connection, path: &Path, folder: &Path, run: i64) -> Result<(), JournalError> {
    let counted = || spent(connection, run).map_err(|e| fault(path, &e));
    if counted()?.is_none() {
        return Ok(());
    }
    let unnoted = |e: StoreError| JournalError::Folder { path: folder.display().to_string(), what: e.to_string() };
    // Counted while no other process notes anything: an older count never takes the place of a newer one.
    let ledger = Ledger::hold(folder).map_err(unnoted)?;
    match counted()? {
        Some(spent) => ledger.note(spent).map_err(unnoted),
        None => Ok(()),
    }
}

impl Journal {
    /// Says who is paid for answers from now on, and how much, where that is known. Without this nobody is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn bill(&self, model: &str, rates: Option<Rates>) -> Result<(), JournalError> {
        let set = "UPDATE paid SET model = ?2 WHERE run = ?1";
        lock(&self.reader).execute(set, params![self.run, model]).map_err(|e| fault(&self.path, &e))?;
        self.writer.bill(rates);
        Ok(())
    }

    /// Ends the writing, and notes in the ledger what this run was paid for up to now, by all its processes.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn note(&mut self) -> Result<(), JournalError> {
        self.close();
        note(&lock(&self.reader), &self.path, &self.folder, self.run)
    }
}
