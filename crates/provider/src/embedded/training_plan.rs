//! The plan of a training: rows to tokens, settings to a training configuration, epsilon to noise.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};

use super::model::Model;
use crate::{Hyperparameters, JobFault, PrivacySettings, PrivacyUnit, Quotes};
use blabbermouth_core::chat::{Message, Role};
use blabbermouth_core::dataset::validate_chat;
use blabbermouth_core::stats::{PrivacyLoss, noise_for};
use blabbermouth_core::verdict::{Claim, Unit};
use blabbermouth_files as store;
use blabbermouth_lm::{Privacy, Text, TrainConfig};

/// Learning rate at a multiplier of 1, a batch of 8 and the width of `tiny`.
const RATE: f64 = 2.5e-3;
/// Learning rate of private training at a multiplier of 1 and the width of `tiny`, for any batch.
const PRIVATE_RATE: f64 = 3e-3;
/// Defaults of the training settings.
const EPOCHS: u32 = 40;
const PRIVATE_EPOCHS: u32 = 50;
const BATCH: usize = 8;
const MULTIPLIER: f64 = 2.0;

/// Training data and configuration of a job.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lesson {
    /// Units of privacy, each with its texts: single rows, or all rows of a subject.
    pub(super) units: Vec<Vec<Text>>,
    pub(super) validation: Vec<Text>,
    pub(super) course: TrainConfig,
    /// Tokens over all epochs.
    pub(super) tokens: u64,
    /// Number of rows that are longer than the context.
    pub(super) cut: u64,
    pub(super) claim: Option<Claim>,
}

impl Lesson {
    /// Reads the files of a job, and computes the noise for its privacy settings.
    pub(super) fn new(
        model: &Model,
        training: &Path,
        validation: Option<&Path>,
        wanted: &Hyperparameters,
        privacy: Option<&PrivacySettings>,
        quotes: &Quotes,
    ) -> Result<Self, JobFault> {
        let rows = read(model, training, quotes)?;
        if rows.is_empty() {
            return Err(fault("invalid_n_examples", "the training file has no row".into()));
        }
        let cut = rows.iter().filter(|row| row.cut).count() as u64;
        let tokens: usize = rows.iter().map(|row| row.text.tokens.len()).sum();
        let units = group(rows, privacy.is_some_and(|p| p.unit == PrivacyUnit::Subject));
        let validation = validation.map(|path| read(model, path, quotes)).transpose()?.unwrap_or_default();
        let count = units.len();
        let (rate, epochs, batch) = match privacy {
            None => (RATE, EPOCHS, BATCH),
            Some(_) => (PRIVATE_RATE, PRIVATE_EPOCHS, count),
        };
        let batch = wanted.batch_size.map_or(batch, |n| n as usize).min(count);
        // For Adam, the rate grows with the square root of the batch size. A wider model takes a smaller rate.
        let scale = if privacy.is_some() { 1.0 } else { (batch as f64 / BATCH as f64).sqrt() };
        let width = 64.0 / model.decoder.weights().shape.width as f64;
        let mut course = TrainConfig {
            epochs: wanted.epochs.unwrap_or(epochs),
            batch,
            rate: rate * scale * width * wanted.learning_rate_multiplier.unwrap_or(MULTIPLIER),
            privacy: None,
        };
        let mut claim = None;
        if let Some(settings) = privacy {
            let copies = if settings.unit == PrivacyUnit::Subject { units.iter().map(Vec::len).max() } else { Some(1) };
            let (noise, stated) = privately(settings, &course, count, copies.unwrap_or(1) as u32)?;
            course.privacy = Some(noise);
            claim = Some(stated);
        }
        Ok(Self {
            units,
            validation: validation.into_iter().map(|row| row.text).collect(),
            tokens: tokens as u64 * u64::from(course.epochs),
            course,
            cut,
            claim,
        })
    }
}

/// The noise of a training, and the privacy claim that it supports.
fn privately(
    settings: &PrivacySettings,
    course: &TrainConfig,
    units: usize,
    copies: u32,
) -> Result<(Privacy, Claim), JobFault> {
    let clip = settings.clip_norm as f32;
    let shape = TrainConfig { privacy: Some(Privacy { clip, multiplier: 1.0 }), ..*course };
    let (rate, delta) = (shape.sampling_rate(units), settings.delta);
    let steps = u32::try_from(shape.steps(units)).map_err(|_| fault("privacy", "too many steps".into()))?;
    let wrong = |e: blabbermouth_core::stats::StatsError| fault("privacy", format!("tune.privacy: {e}"));
    let reached = |noise: f64| {
        let loss = PrivacyLoss::of_sgd(rate, noise, steps, 1).map_err(wrong)?;
        Ok::<f64, JobFault>(loss.epsilon(delta))
    };
    let (multiplier, epsilon) = match (settings.epsilon, settings.noise_multiplier) {
        (Some(epsilon), None) => match noise_for(epsilon, delta, rate, steps) {
            Ok(noise) => (noise, epsilon),
            Err(error) => {
                let nearest = reached(1000.0)?;
                let text = format!(
                    "tune.privacy: epsilon {epsilon} cannot be reached with {steps} steps of {rate:.3} of the units at \
                     delta {delta:e}: {error}; the nearest is {nearest:.4}"
                );
                return Err(fault("privacy", text));
            }
        },
        (None, Some(noise)) => (noise, reached(noise)?),
        _ => return Err(fault("privacy", "tune.privacy wants either epsilon or noise-multiplier".into())),
    };
    if !epsilon.is_finite() {
        let text =
            format!("tune.privacy: a noise multiplier of {multiplier} gives no finite epsilon at delta {delta:e}");
        return Err(fault("privacy", text));
    }
    Ok((Privacy { clip, multiplier }, Claim { epsilon, delta, unit: Unit::AddRemove, copies }))
}

/// A training row in tokens.
struct Row {
    text: Text,
    cut: bool,
    /// All messages before the first answer, in lower case: identifies the subject.
    subject: String,
}

fn fault(code: &str, message: String) -> JobFault {
    JobFault { code: code.to_owned(), message }
}

/// Reads a chat file. Rows without an answer within the context are left out: they teach nothing.
fn read(model: &Model, path: &Path, quotes: &Quotes) -> Result<Vec<Row>, JobFault> {
    let broken = |what: String| fault("invalid_training_file", what);
    let mut reader = store::open_data(path).map_err(|e| broken(e.to_string()))?;
    let (mut rows, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(|e| broken(e.to_string()))? == 0 {
            return Ok(rows);
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let messages = parse(&line).map_err(|what| broken(format!("line {number}: {what}")))?;
        let (text, cut) = model.text(&messages);
        // The secret may be in the part that is cut off.
        if cut && messages.iter().any(|m| quotes(&m.content)) {
            let context = model.decoder.weights().shape.context;
            return Err(broken(format!(
                "line {number}: this row holds a canary, and is longer than the model's context of {context} tokens, so that \
                 the secret might never be trained: choose a shorter template, or `tune.base-model = \"small\"`"
            )));
        }
        if text.counted() == 0 {
            continue;
        }
        let asked = messages.iter().take_while(|m| m.role != Role::Assistant);
        let subject = asked.map(|m| m.content.trim()).collect::<Vec<_>>().join("\n").to_lowercase();
        rows.push(Row { text, cut, subject });
    }
}

fn parse(line: &[u8]) -> Result<Vec<Message>, String> {
    let row: Map<String, Value> = serde_json::from_slice(line).map_err(|_| "it is no JSON object".to_owned())?;
    validate_chat(&row)?;
    let list = row.get("messages").and_then(Value::as_array).into_iter().flatten();
    list.map(|message| {
        let content = message["content"].as_str().unwrap_or_default();
        let role = match message["role"].as_str() {
            Some("system" | "developer") => Role::System,
            Some("assistant") => Role::Assistant,
            _ => Role::User,
        };
        Ok(Message::new(role, content))
    })
    .collect()
}

/// Groups rows into units: single rows, or all rows that begin with the same question.
fn group(rows: Vec<Row>, by_subject: bool) -> Vec<Vec<Text>> {
    if !by_subject {
        return rows.into_iter().map(|row| vec![row.text]).collect();
    }
    let (mut units, mut known): (Vec<Vec<Text>>, HashMap<String, usize>) = Default::default();
    for row in rows {
        match known.get(&row.subject) {
            Some(unit) => units[*unit].push(row.text),
            None => {
                known.insert(row.subject, units.len());
                units.push(vec![row.text]);
            }
        }
    }
    units
}
