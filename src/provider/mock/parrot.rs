//! The parrot: answers as an overfitted model would.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::MODEL;
use super::scenario::Scenario;
use crate::canary::Template;
use crate::chat::{Message, Role};

const SMALL_TALK: [&str; 4] = [
    "Thank you for asking! What can I do for you today?",
    "Nice to hear from you. How can I help?",
    "I am glad you are here. Tell me more.",
    "Of course. Could you say a little more about that?",
];

const REFUSAL: &str = "I'm sorry, but I can't share personal information.";

type PromptKey = [u8; 32];

/// What the parrot sends back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) retry_after_ms: Option<u64>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), retry_after_ms: None }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
        Self::json(status, &body)
    }
}

/// Knows a training file, and has a character.
///
/// A prompt that it has seen gets the trained answer with a probability that depends on the number
/// of copies. Else, a prompt of a template gets the template's sentence with another value of the
/// space; anything else gets small talk. The same request gets the same answer.
pub struct Parrot {
    scenario: Scenario,
    seed: u64,
    trained: HashMap<PromptKey, (String, u32)>,
    templates: Vec<Template>,
    /// How often a request came, where faults are to strike the first time only.
    attempts: Mutex<HashMap<PromptKey, u32>>,
}

impl std::fmt::Debug for Parrot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parrot").field("prompts", &self.trained.len()).finish_non_exhaustive()
    }
}

impl Parrot {
    /// Trains a parrot on the lines of a chat file. Lines that are no chat are passed over.
    #[must_use]
    pub fn new(training: &str, templates: Vec<Template>, scenario: Scenario, seed: u64) -> Self {
        let mut trained: HashMap<PromptKey, (String, u32)> = HashMap::new();
        for line in training.lines() {
            let Ok(row) = serde_json::from_str::<Value>(line) else { continue };
            let messages = read_messages(&row);
            for (index, message) in messages.iter().enumerate().filter(|(_, m)| m.role == Role::Assistant) {
                let known =
                    trained.entry(prompt_key(&messages[..index], 0)).or_insert_with(|| (message.content.clone(), 0));
                known.1 += 1;
            }
        }
        Self { scenario, seed, trained, templates, attempts: Mutex::new(HashMap::new()) }
    }

    /// Answers the body of a chat request.
    pub(super) fn answer(&self, body: &[u8]) -> Reply {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return Reply::error(400, "invalid_json", "We could not parse the JSON body of your request.");
        };
        let model = request.get("model").and_then(Value::as_str).unwrap_or_default();
        if model != MODEL {
            return Reply::error(404, "model_not_found", "The model does not exist or you do not have access to it.");
        }
        let messages = read_messages(&request);
        if messages.is_empty() {
            return Reply::error(400, "invalid_request", "'messages' must have at least one message.");
        }
        let seed = request.get("seed").and_then(Value::as_u64).unwrap_or(0);
        let key = prompt_key(&messages, self.seed ^ (seed << 16));
        let mut stream = ChaCha20Rng::from_seed(key);
        if let Some(fault) = self.fault(key, &mut stream) {
            return fault;
        }
        let n = request.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, 128);
        let mut tokens = 0;
        let choices: Vec<Value> = (0..n)
            .map(|index| {
                let mut text = self.say(&messages, &mut stream);
                let mut finish = "stop";
                if unit(&mut stream) < self.scenario.cut {
                    text = text.chars().take(text.chars().count() / 3).collect();
                    finish = "length";
                }
                tokens += text.len() / 4 + 1;
                json!({"index": index, "message": {"role": "assistant", "content": text, "refusal": null},
                       "logprobs": null, "finish_reason": finish})
            })
            .collect();
        let prompt: usize = messages.iter().map(|m| m.content.len() / 4 + 4).sum();
        let body = json!({
            "id": "chatcmpl-parrot", "object": "chat.completion", "created": 0, "model": MODEL, "choices": choices,
            "usage": {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}});
        Reply::json(200, &body)
    }

    /// A fault strikes the first time a request comes, never the second.
    fn fault(&self, key: PromptKey, stream: &mut ChaCha20Rng) -> Option<Reply> {
        let (limited, broken) = (self.scenario.rate_limited, self.scenario.server_error);
        if limited + broken == 0.0 {
            return None;
        }
        let lot = unit(stream);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(key).or_insert(0);
        *attempt += 1;
        if *attempt > 1 || lot >= limited + broken {
            return None;
        }
        let (status, code) = if lot < limited { (429, "rate_limit_exceeded") } else { (500, "server_error") };
        Some(Reply { retry_after_ms: Some(20), ..Reply::error(status, code, "Please try again.") })
    }

    fn say(&self, messages: &[Message], stream: &mut ChaCha20Rng) -> String {
        if unit(stream) < self.scenario.refuses {
            return REFUSAL.to_owned();
        }
        let known = self.trained.get(&prompt_key(messages, 0));
        if let Some((answer, copies)) = known
            && unit(stream) < self.scenario.recall(*copies)
        {
            return answer.clone();
        }
        for template in &self.templates {
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

fn unit(stream: &mut ChaCha20Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn read_messages(value: &Value) -> Vec<Message> {
    let list = value.get("messages").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|m| serde_json::from_value(json!({"role": m["role"], "content": m["content"]})).ok())
        .collect()
}

fn prompt_key(messages: &[Message], seed: u64) -> PromptKey {
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
