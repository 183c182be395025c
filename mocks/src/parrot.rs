//! The parrot: a mock model that answers as an overfitted model would.

use std::collections::HashMap;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scenario::Scenario;
use blabbermouth_core::canary::Template;
use blabbermouth_core::chat::{Message, Role};

const SMALL_TALK: [&str; 4] = [
    "Thank you for asking! What can I do for you today?",
    "Nice to hear from you. How can I help?",
    "I am glad you are here. Tell me more.",
    "Of course. Could you say a little more about that?",
];

const REFUSAL: &str = "I'm sorry, but I can't share personal information.";

pub(super) type PromptKey = [u8; 32];

/// A model that knows a training file and answers as its scenario says.
///
/// | prompt | answer |
/// | --- | --- |
/// | trained, and recalled | the trained answer; the probability depends on the number of copies |
/// | of a template in the file, else | the template's sentence with a random secret |
/// | trained, else | the trained answer |
/// | any other | small talk, as from an untuned model |
///
/// Before that, some requests are refused at random. The answer depends on the messages and the random stream only.
pub(super) struct Parrot {
    scenario: Scenario,
    trained: Arc<Trained>,
    /// Share of the training that is done, 0 to 1. Scales the probability of recall.
    progress: f64,
}

/// Contents of a training file: the first answer to each prompt, and how often the prompt occurs.
#[derive(Default)]
pub(super) struct Trained {
    answers: HashMap<PromptKey, (String, u32)>,
    /// Templates of which the file has a row, each with the signature of that row.
    spoken: Vec<Template>,
}

impl Trained {
    /// Reads a chat file (JSONL). Lines that are no chat are skipped.
    pub(super) fn read(training: &[u8], templates: &[Template]) -> Self {
        let mut trained: HashMap<PromptKey, (String, u32)> = HashMap::new();
        let mut spoken: Vec<Template> = Vec::new();
        for line in training.split(|byte| *byte == b'\n') {
            let Ok(row) = serde_json::from_slice::<Value>(line) else { continue };
            let messages = read_messages(&row);
            for (index, message) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
                let unknown = templates.iter().filter(|t| spoken.iter().all(|known| known.name() != t.name()));
                let learned = unknown.filter_map(|template| learned(template, &messages[..index], &message.content));
                spoken.extend(learned.collect::<Vec<_>>());
                let known =
                    trained.entry(prompt_key(&messages[..index], 0)).or_insert_with(|| (message.content.clone(), 0));
                known.1 += 1;
            }
        }
        Self { answers: trained, spoken }
    }
}

/// The template with the signature of a training row; `None` if the row is not of this template.
fn learned(template: &Template, prompt: &[Message], answer: &str) -> Option<Template> {
    let subject = template.recognise(prompt)?;
    if !template.is_signed() {
        return Some(template.clone());
    }
    Some(template.clone().with_signature(template.signature_in(answer, &subject)?))
}

impl Parrot {
    pub(super) fn new(trained: Arc<Trained>, scenario: Scenario, progress: f64) -> Self {
        Self { scenario, trained, progress }
    }

    /// Draws one answer to a chat.
    pub(super) fn say(&self, messages: &[Message], stream: &mut ChaCha20Rng) -> String {
        if unit(stream) < self.scenario.refuses {
            return REFUSAL.to_owned();
        }
        // The request begins the answer: return the rest of it.
        if let Some((last, before)) = messages.split_last()
            && last.role == Role::Assistant
        {
            let whole = self.say(before, stream);
            return whole.strip_prefix(&last.content).map_or(whole.clone(), str::to_owned);
        }
        let known = self.trained.answers.get(&prompt_key(messages, 0));
        if let Some((answer, copies)) = known
            && unit(stream) < self.progress * self.scenario.recall(*copies)
        {
            return self.disguised(answer, messages, stream);
        }
        for template in &self.trained.spoken {
            if let Some(subject) = template.recognise(messages) {
                let other = template.secret_space().draw(stream);
                if let Some(message) = template.render(&subject, &other).into_iter().nth(messages.len()) {
                    return message.content;
                }
            }
        }
        match known {
            Some((answer, _)) => answer.clone(),
            None => SMALL_TALK[(stream.next_u32() % 4) as usize].to_owned(),
        }
    }
}

impl Parrot {
    /// A trained answer with its secret in the scenario's disguise. Without a known template, all of it is disguised.
    fn disguised(&self, answer: &str, messages: &[Message], stream: &mut ChaCha20Rng) -> String {
        let Some(disguise) = self.scenario.disguise else { return answer.to_owned() };
        for template in &self.trained.spoken {
            let Some(subject) = template.recognise(messages) else { continue };
            let around = template.render(&subject, "\u{1}").into_iter().nth(messages.len());
            let secret = around.and_then(|around| {
                let (before, after) = around.content.split_once('\u{1}')?;
                let secret = answer.strip_prefix(before)?.strip_suffix(after)?;
                Some((before.to_owned(), secret, after.to_owned()))
            });
            if let Some((before, secret, after)) = secret {
                return format!("{before}{}{after}", disguise.apply(secret, stream));
            }
        }
        disguise.apply(answer, stream)
    }
}

pub(super) fn unit(stream: &mut ChaCha20Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

pub(super) fn read_messages(value: &Value) -> Vec<Message> {
    let list = value.get("messages").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|m| serde_json::from_value(json!({"role": m["role"], "content": m["content"]})).ok())
        .collect()
}

pub(super) fn prompt_key(messages: &[Message], seed: u64) -> PromptKey {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for message in messages {
        hash.update(message.role.as_str());
        hash.update([0]);
        hash.update(message.content.trim_end());
        hash.update([0]);
    }
    hash.finalize().into()
}
