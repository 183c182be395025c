//! The plan of a fine-tuning and its estimated cost, before anything is sent.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::TuneError;
use crate::store;
use blabbermouth_core::dataset::{convert_rows, estimate_tokens, validate_chat};
use blabbermouth_core::shape::Shape;
use blabbermouth_provider::{Hyperparameters, Price, PrivacySettings, Quoted, price};

/// Minimum number of rows that the service accepts in a training file.
const FEWEST: u64 = 10;
/// Largest file that OpenAI accepts, in bytes.
const LARGEST: u64 = 512 << 20;

/// The input of [`Plan::new`].
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The service's base URL.
    pub base_url: &'a str,
    /// The base model.
    pub model: &'a str,
    /// A word for the tuned model's name.
    pub suffix: &'a str,
    /// Settings of the training; `None` in a field leaves it to the service.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy; `None` to train without.
    pub privacy: Option<PrivacySettings>,
    /// The training file.
    pub training: PathBuf,
    /// The validation file; it may be missing.
    pub validation: PathBuf,
    /// The shape of the rows in these files.
    pub shape: &'a Shape,
    /// A private folder for files in the shape that the service takes.
    pub store: PathBuf,
    /// The planted rows, each of which the training file must hold with all its copies.
    pub planted: &'a [PlantedRow],
    /// The user's own prices, by model.
    pub prices: &'a BTreeMap<String, Price>,
}

/// Files in the shape that the service takes, in the store while `tune` runs.
const UPLOADS: [&str; 2] = ["upload-training.jsonl", "upload-validation.jsonl"];

/// Removes converted files at the end: they hold the canaries.
#[derive(Debug)]
pub struct Uploads(
    /// The folder of the store.
    pub PathBuf,
);

impl Drop for Uploads {
    fn drop(&mut self) {
        for name in UPLOADS {
            let _ = store::remove(&self.0.join(name));
        }
    }
}

impl Wanted<'_> {
    /// Reads a file as the service will get it: rows of another shape are converted first.
    fn look(&self, path: &Path, see: &mut dyn FnMut(&[u8])) -> Result<Upload, TuneError> {
        if self.shape.is_openai() || !path.exists() {
            return look(path, see);
        }
        let at = |what: String| TuneError::Data { path: path.display().to_string(), what };
        let mut lines = store::open_data(path)?;
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(|e| at(e.to_string()))? > 0 {
            see(&line);
            line.clear();
        }
        store::private_folder(&self.store).map_err(|e| at(e.to_string()))?;
        let name = UPLOADS[usize::from(path != self.training)];
        let converted = self.store.join(name);
        let mut pending = store::Pending::create(&converted, false)?;
        let mut out = std::io::BufWriter::with_capacity(1 << 16, pending.writer());
        convert_rows(store::open_data(path)?, &path.display().to_string(), self.shape, &mut out)
            .map_err(|e| TuneError::Data { path: "training rows".to_owned(), what: e.to_string() })?;
        out.flush().map_err(|e| at(e.to_string()))?;
        drop(out);
        pending.persist()?;
        look(&converted, &mut |_| {})
    }
}

/// A row that was planted.
#[derive(Clone)]
pub struct PlantedRow {
    /// The canary's name.
    pub id: String,
    /// The row as in the training file, without the line break.
    pub row: zeroize::Zeroizing<Vec<u8>>,
    /// Number of times that the row is in the training file.
    pub copies: u32,
}

impl std::fmt::Debug for PlantedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlantedRow").field("id", &self.id).field("copies", &self.copies).finish_non_exhaustive()
    }
}

/// Counts how often each planted row is in a file.
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

    /// Describes the planted rows with a wrong count, in one line; `None` if every count is right.
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
    /// Path of the file.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// Number of rows that are not blank.
    pub rows: u64,
    /// Estimated number of tokens.
    pub tokens: u64,
    /// SHA-256 digest, in hexadecimal.
    pub digest: String,
}

/// The model, files, settings and price of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The base model.
    pub model: String,
    /// A word for the tuned model's name.
    pub suffix: String,
    /// Settings of the training.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy; `None` to train without.
    pub privacy: Option<PrivacySettings>,
    /// The training file.
    pub training: Upload,
    /// The validation file; `None` if it is missing or has no row.
    pub validation: Option<Upload>,
    /// Passes over the training file: the configured number, or an estimate of the service's choice.
    pub epochs: u32,
    /// The price; `None` if it is unknown.
    pub quoted: Option<Quoted>,
    base: String,
}

impl Plan {
    /// Reads and checks the files as the service does, and counts rows and tokens.
    ///
    /// # Errors
    /// When a file is missing or too large, has fewer than ten rows or a row that the service refuses, or differs from
    /// the planted rows.
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, TuneError> {
        let mut census = Census::new(wanted.planted);
        let training = wanted.look(&wanted.training, &mut |line| census.see(line))?;
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
        let validation =
            if wanted.validation.exists() { Some(wanted.look(&wanted.validation, &mut |_| {})?) } else { None };
        let rows = training.rows;
        // Estimates the service's choice: 3 epochs, changed within 1 to 25 so that 100 to 25,000 rows are trained.
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

    /// Estimated number of billed tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.training.tokens * u64::from(self.epochs)
    }

    /// Estimated cost of the training in USD; `None` if no price is known.
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.quoted.as_ref().map(|q| q.price.training * self.tokens() as f64 / 1e6)
    }

    /// Fingerprint of everything that the training depends on. One job is created for each fingerprint.
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

/// Reads a chat file once: validates each row, counts rows and tokens, and computes the digest. Calls `see` with every
/// line.
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
