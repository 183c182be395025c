//! What will be trained, and what it will cost, before anything is sent.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::TuneError;
use crate::store;
use blabbermouth_core::dataset::{estimate_tokens, validate_chat};
use blabbermouth_provider::{Hyperparameters, Price, PrivacySettings, Quoted, price};

/// Rows that a training file has at least.
const FEWEST: u64 = 10;
/// The largest file that OpenAI takes.
const LARGEST: u64 = 512 << 20;

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The service's base URL.
    pub base_url: &'a str,
    /// The base model.
    pub model: &'a str,
    /// A word in the tuned model's name.
    pub suffix: &'a str,
    /// How it trains.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy.
    pub privacy: Option<PrivacySettings>,
    /// The training file.
    pub training: PathBuf,
    /// The validation file.
    pub validation: PathBuf,
    /// The planted rows, each of which the training file must hold with all its copies.
    pub planted: &'a [PlantedRow],
    /// Prices of the user's own.
    pub prices: &'a BTreeMap<String, Price>,
}

/// A row that was planted.
#[derive(Clone)]
pub struct PlantedRow {
    /// The canary's name.
    pub id: String,
    /// The row as it stands in the training file, without the line break.
    pub row: zeroize::Zeroizing<Vec<u8>>,
    /// How often it stands there.
    pub copies: u32,
}

impl std::fmt::Debug for PlantedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlantedRow").field("id", &self.id).field("copies", &self.copies).finish_non_exhaustive()
    }
}

/// Counts the planted rows of a file.
struct Census<'a> {
    planted: &'a [PlantedRow],
    places: HashMap<&'a [u8], usize>,
    found: Vec<u32>,
}

impl<'a> Census<'a> {
    fn new(planted: &'a [PlantedRow]) -> Self {
        let places = planted.iter().enumerate().map(|(place, row)| (row.row.as_slice(), place)).collect();
        Self { planted, places, found: vec![0; planted.len()] }
    }

    fn see(&mut self, line: &[u8]) {
        if let Some(place) = self.places.get(line.trim_ascii_end()) {
            self.found[*place] += 1;
        }
    }

    /// What is missing or too often there, in one line.
    fn fault(&self) -> Option<String> {
        let differ = |(row, found): &(&PlantedRow, &u32)| row.copies != **found;
        let all: Vec<(&PlantedRow, &u32)> = self.planted.iter().zip(&self.found).filter(differ).collect();
        let some: Vec<String> = all
            .iter()
            .take(5)
            .map(|(row, found)| format!("{} stands there {found} times in place of {}", row.id, row.copies))
            .collect();
        let more = if all.len() > 5 { ", …" } else { "" };
        (!all.is_empty()).then(|| {
            format!(
                "it does not hold the planted rows to the letter: of {} canaries {} differ: {}{more}; a model tuned on it \
                 could not be tested: plant again, or use the file that `plant` wrote",
                self.planted.len(),
                all.len(),
                some.join(", ")
            )
        })
    }
}

/// A file that will be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its tokens, estimated.
    pub tokens: u64,
    /// SHA-256, in hexadecimal.
    pub digest: String,
}

/// What will be trained, and what it will cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The base model.
    pub model: String,
    /// A word in the tuned model's name.
    pub suffix: String,
    /// How it trains.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy.
    pub privacy: Option<PrivacySettings>,
    /// The training file.
    pub training: Upload,
    /// The validation file, if it has rows.
    pub validation: Option<Upload>,
    /// Passes over the training file: as asked, or as the service chooses by default.
    pub epochs: u32,
    /// The price, if it is known.
    pub quoted: Option<Quoted>,
    base: String,
}

impl Plan {
    /// Looks at the files as the service will, and counts.
    ///
    /// # Errors
    /// When a file is missing, has a row that the service refuses, fewer than ten rows, or is too large.
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, TuneError> {
        let mut census = Census::new(wanted.planted);
        let training = look(&wanted.training, &mut |line| census.see(line))?;
        let at = |what: String| TuneError::Data { path: wanted.training.display().to_string(), what };
        if training.rows < FEWEST {
            return Err(at(format!("it has {} rows, and the service wants at least {FEWEST}", training.rows)));
        }
        if training.bytes > LARGEST {
            return Err(at("it is larger than 512 MB, which the service refuses".into()));
        }
        if let Some(fault) = census.fault() {
            return Err(at(fault));
        }
        let validation = if wanted.validation.exists() { Some(look(&wanted.validation, &mut |_| {})?) } else { None };
        let rows = training.rows;
        let usual = match rows {
            _ if 3 * rows < 100 => (100 / rows).min(25),
            _ if 3 * rows > 25_000 => (25_000 / rows).max(1),
            _ => 3,
        };
        Ok(Self {
            model: wanted.model.to_owned(),
            suffix: wanted.suffix.to_owned(),
            hyperparameters: wanted.hyperparameters,
            privacy: wanted.privacy,
            epochs: wanted.hyperparameters.epochs.unwrap_or(usual as u32),
            training,
            validation: validation.filter(|file| file.rows > 0),
            quoted: price(wanted.model, wanted.prices),
            base: wanted.base_url.trim_end_matches('/').to_owned(),
        })
    }

    /// Tokens that will be billed, by estimate.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.training.tokens * u64::from(self.epochs)
    }

    /// What the training will cost in USD, by estimate; `None` where no price is known.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.quoted.as_ref().map(|q| q.price.training * self.tokens() as f64 / 1e6)
    }

    /// The fingerprint of everything that the training depends on: the job of a plan is created once.
    #[must_use]
    pub fn id(&self, attempt: u32) -> String {
        let mut plan = json!({
            "base": self.base, "model": self.model, "suffix": self.suffix, "hyperparameters": self.hyperparameters,
            "training": self.training.digest, "validation": self.validation.as_ref().map(|v| &v.digest),
            "attempt": attempt});
        if let Some(privacy) = &self.privacy {
            plan["privacy"] = json!(privacy);
        }
        HEXLOWER.encode(&Sha256::digest(plan.to_string())[..16])
    }
}

/// Reads a chat file once: rows, tokens, digest; each row is checked.
fn look(path: &Path, see: &mut dyn FnMut(&[u8])) -> Result<Upload, TuneError> {
    let at = |what: String| TuneError::Data { path: path.display().to_string(), what };
    if !path.exists() {
        return Err(at("there is no such file; `blabbermouth plant` writes it".into()));
    }
    let mut reader = store::open_data(path)?;
    let (mut digest, mut line) = (Sha256::new(), Vec::new());
    let (mut bytes, mut rows, mut tokens, mut number) = (0, 0, 0, 0u64);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|e| at(e.to_string()))?;
        if read == 0 {
            break;
        }
        number += 1;
        bytes += read as u64;
        digest.update(&line);
        see(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice::<Map<String, Value>>(&line).map_err(|_| "it is no JSON object".to_owned());
        row.and_then(|row| validate_chat(&row)).map_err(|reason| at(format!("line {number}: {reason}")))?;
        rows += 1;
        tokens += estimate_tokens(line.len());
    }
    let digest = HEXLOWER.encode(&digest.finalize());
    Ok(Upload { path: path.to_owned(), bytes, rows, tokens, digest })
}
