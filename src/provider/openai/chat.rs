//! Requests of the OpenAI dialect.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::chat::{Message, Role};
use crate::provider::{Profile, Request};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(flatten)]
    begun: Option<&'a BTreeMap<String, bool>>,
}

/// Which fields a service takes.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    text: bool,
    old_name: bool,
    top_p: bool,
    n: bool,
    seed: bool,
    store: bool,
    /// Of requests whose answer was begun.
    begun: BTreeMap<String, bool>,
}

impl Fields {
    pub(super) fn new(profile: &Profile) -> Self {
        let sends = |field| profile.sends(field);
        let old_name = profile.max_tokens == "max_tokens";
        Self {
            text: profile.completions,
            old_name,
            top_p: sends("top_p"),
            n: sends("n"),
            seed: sends("seed"),
            store: sends("store"),
            begun: profile.prefill_fields.clone(),
        }
    }
}

impl Fields {
    /// The name of the field for the longest answer.
    pub(super) fn longest(&self) -> &'static str {
        if self.old_name { "max_tokens" } else { "max_completion_tokens" }
    }
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, fields: &'a Fields) -> Self {
        let begun = request.messages.last().is_some_and(|m| m.role == Role::Assistant) && !fields.text;
        let longest = request.sampling.max_tokens;
        Self {
            model,
            messages: (!fields.text).then_some(&request.messages),
            prompt: fields.text.then(|| prompt(&request.messages)),
            temperature: request.sampling.temperature,
            top_p: fields.top_p.then_some(request.sampling.top_p),
            max_completion_tokens: (!fields.old_name).then_some(longest),
            max_tokens: fields.old_name.then_some(longest),
            n: fields.n.then_some(request.choices),
            seed: fields.seed.then_some(request.seed),
            store: fields.store.then_some(false),
            begun: begun.then_some(&fields.begun),
        }
    }
}

/// Between what is said by one and by another, where texts are completed.
pub(super) const APART: &str = "\n\n";

/// A chat as a text to go on with: what was said, one after the other.
pub(super) fn prompt(messages: &[Message]) -> String {
    let said: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    said.join(APART)
}
