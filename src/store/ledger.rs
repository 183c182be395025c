//! The ledger: a line for everything that was spent.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// What was spent at one go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// When, in seconds since 1970.
    pub time: u64,
    /// On what: `test` or `tune`.
    pub on: String,
    /// The model.
    pub model: String,
    /// Answers that were paid for; 0 for training.
    pub answers: u64,
    /// Tokens of questions, or of the training.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// USD by the price list; none where no price is known.
    pub usd: Option<f64>,
}

/// Adds a line to the ledger in a folder: `ledger.jsonl`.
///
/// # Errors
/// When it cannot be written.
pub fn note_spent(folder: &Path, mut spent: Spent) -> Result<(), StoreError> {
    spent.time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let path = folder.join("ledger.jsonl");
    let mut line = serde_json::to_vec(&spent).expect("a line is plain data");
    line.push(b'\n');
    super::private_folder(folder).map_err(StoreError::at(folder))?;
    let file = std::fs::File::options().create(true).append(true).open(&path);
    // One write: lines of several processes do not mix.
    file.and_then(|mut file| file.write_all(&line)).map_err(StoreError::at(&path))
}
