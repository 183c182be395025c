//! Requests of the OpenAI-compatible API.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{Profile, Request};
use blabbermouth_core::chat::{Message, Role, Sampling};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
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
    /// `false` outside of batches: without the field, a gateway may stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(flatten)]
    decoding: BTreeMap<&'a str, Value>,
    #[serde(flatten)]
    begun: Option<&'a BTreeMap<String, bool>>,
}

/// The request fields that a service accepts.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    text: bool,
    old_name: bool,
    top_p: bool,
    n: bool,
    seed: bool,
    store: bool,
    /// Names of the fields for further sampling settings.
    decoding: BTreeMap<String, String>,
    /// Additional fields of requests that begin the answer.
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
            decoding: profile.decoding.clone(),
            begun: profile.prefill_fields.clone(),
        }
    }
}

impl Fields {
    /// Name of the field for the length limit of an answer.
    pub(super) fn longest(&self) -> &'static str {
        if self.old_name { "max_tokens" } else { "max_completion_tokens" }
    }
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, fields: &'a Fields) -> Self {
        let begun = request.messages.last().is_some_and(|m| m.role == Role::Assistant) && !fields.text;
        let sampling = &request.sampling;
        let (longest, is_said) = (sampling.max_tokens, !sampling.server_default);
        Self {
            model,
            messages: (!fields.text).then_some(&request.messages),
            prompt: fields.text.then(|| prompt(&request.messages)),
            temperature: is_said.then_some(sampling.temperature),
            top_p: (is_said && fields.top_p).then_some(sampling.top_p),
            max_completion_tokens: (!fields.old_name).then_some(longest),
            max_tokens: fields.old_name.then_some(longest),
            n: fields.n.then_some(request.choices),
            seed: fields.seed.then_some(request.seed),
            store: fields.store.then_some(false),
            stream: Some(false),
            decoding: decoding(sampling, &fields.decoding),
            begun: begun.then_some(&fields.begun),
        }
    }

    /// The body for a batch, which does not accept `stream`.
    pub(super) fn in_batch(self) -> Self {
        Self { stream: None, ..self }
    }
}

/// Further sampling settings, under the service's names for them.
pub(crate) fn decoding<'a>(sampling: &Sampling, names: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, Value> {
    if sampling.server_default {
        return BTreeMap::new();
    }
    let settings = [
        ("top-k", sampling.top_k.map(Value::from)),
        ("min-p", sampling.min_p.map(Value::from)),
        ("repetition-penalty", sampling.repetition_penalty.map(Value::from)),
    ];
    let named = |(name, value): (&str, Option<Value>)| Some((names.get(name)?.as_str(), value?));
    settings.into_iter().filter_map(named).collect()
}

/// Separator between messages where texts are completed.
pub(super) const APART: &str = "\n\n";

/// A chat as a text to complete: the contents of its messages, without roles.
pub(super) fn prompt(messages: &[Message]) -> String {
    let said: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    said.join(APART)
}
