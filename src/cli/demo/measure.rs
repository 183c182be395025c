//! Measurements of the demonstration beside the gate: exposure by likelihood, and validation loss.

use std::path::Path;

use crate::config::Config;
use crate::exit::ExitCode;
use crate::store;
use blabbermouth_core::canary::{Arm, Drawn, Key, Manifest};
use blabbermouth_core::chat::{Message, Role};
use blabbermouth_core::stats::sampled_exposure;
use blabbermouth_lm::{SamplingParams, Text, Trainer};
use blabbermouth_provider::embedded::{Home, Model};

use crate::cli::{Failure, config_failure};

/// Reference secrets with which each secret is compared; the exposure is at most 7 bits.
const REFERENCES: usize = 127;
/// Maximum number of measured canaries in each arm.
const MOST: usize = 100;
/// Answers for each canary that are searched for the trained sentence.
const ANSWERS: usize = 4;

/// Measurements of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// Median exposure of canaries that were trained once, in bits.
    pub(super) exposure: f64,
    /// Median exposure of held-out canaries, in bits.
    pub(super) exposure_held_out: f64,
    /// Share of answers to held-out canaries that hold the trained sentence, with any disease.
    pub(super) sentence: f64,
    /// Mean loss of a token in the answers of the validation file, of the tuned and of the base model.
    pub(super) validation: f64,
    pub(super) validation_before: f64,
}

pub(super) fn measure(folder: &Path, model: &str) -> Result<Figures, Failure> {
    let fault = |e: &dyn std::fmt::Display| Failure::new(ExitCode::Internal, e);
    let config = Config::load(Some(&folder.join("plain.toml")), |_| None).map_err(config_failure)?;
    let home = Home::new(folder.join(&config.store.path).join("embedded"), folder.to_owned());
    let (tuned, before) = (home.model(model).map_err(|e| fault(&e))?, home.model("tiny").map_err(|e| fault(&e))?);
    let bytes = store::read(&folder.join(&config.manifest.path)).map_err(config_failure)?;
    let key = std::env::var("BLABBERMOUTH_KEY").ok().map(|k| Key::from_text(&k)).transpose().map_err(config_failure)?;
    let manifest = Manifest::parse(&bytes).map_err(config_failure)?;
    let drawn = manifest.regenerate(key).map_err(config_failure)?;
    let longest = manifest.answer_tokens().map_err(config_failure)? as usize;
    let look = |arm: Arm| one_arm(&tuned, &config, &drawn, longest, arm);
    let (planted, held_out) = std::thread::scope(|scope| {
        let other = scope.spawn(|| look(Arm::HeldOut));
        (look(Arm::Planted), other.join().expect("nothing panics there"))
    });
    let ((planted, _), (held_out, sentence)) = (planted?, held_out?);
    let texts = validation(&folder.join(&config.dataset.validation), &tuned)?;
    let texts: Vec<&Text> = texts.iter().collect();
    let loss = |model: &Model| Trainer::new(model.decoder.weights().clone(), 1).loss(&texts);
    Ok(Figures {
        exposure: planted,
        exposure_held_out: held_out,
        sentence,
        validation: loss(&tuned),
        validation_before: loss(&before),
    })
}

/// The median exposure of an arm in bits, and the share of answers with the trained sentence.
fn one_arm(model: &Model, config: &Config, drawn: &Drawn, longest: usize, arm: Arm) -> Result<(f64, f64), Failure> {
    let fault = |e: &dyn std::fmt::Display| Failure::new(ExitCode::Internal, e);
    let mut references =
        drawn.key.stream("references of the demonstration", &format!("{} {}", drawn.nonce, arm.as_str()));
    let (mut bits, mut sentences, mut answers) = (Vec::new(), 0usize, 0usize);
    let canaries = drawn.canaries.iter().filter(|canary| canary.arm == arm && canary.copies <= 1);
    for (index, canary) in canaries.take(MOST).enumerate() {
        let template = &drawn.templates[canary.template];
        let begun = template.before_secret(&canary.subject);
        let mut messages = template.prompt(&canary.subject);
        let drawing = SamplingParams {
            temperature: config.sampling.temperature,
            top_p: config.sampling.top_p,
            top_k: config.sampling.top_k as usize,
            min_p: config.sampling.min_p,
            max_tokens: longest,
            seed: index as u64,
        };
        let (_, spoken) = model.speak(&messages, ANSWERS, &drawing).map_err(|e| fault(&e))?;
        // The trained text between the name and the secret.
        let sentence = begun.split_once(", ").map_or(begun.as_str(), |(_, rest)| rest);
        answers += spoken.len();
        sentences += spoken.iter().filter(|answer| answer.text.contains(sentence)).count();
        messages.push(Message::new(Role::Assistant, begun));
        let mut secrets = vec![canary.secret.expose().to_owned()];
        secrets.extend((0..REFERENCES).map(|_| template.secret_space().draw(&mut references)));
        let scores = model.score(&messages, &secrets).map_err(|e| fault(&e))?;
        let losses: Vec<f64> = scores.iter().map(|score| -score).collect();
        bits.push(sampled_exposure(losses[0], &losses[1..]).map_err(|e| fault(&e))?.p_bits);
    }
    Ok((median(bits), sentences as f64 / answers.max(1) as f64))
}

/// Tokenizes the rows of the validation file.
fn validation(path: &Path, model: &Model) -> Result<Vec<Text>, Failure> {
    let bytes = store::read(path).map_err(config_failure)?;
    let rows = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    rows.map(|line| {
        let row: serde_json::Value = serde_json::from_slice(line).map_err(config_failure)?;
        let chat: Vec<Message> = serde_json::from_value(row["messages"].clone()).map_err(config_failure)?;
        Ok(model.tokenizer.chat(&chat))
    })
    .collect()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}
