//! Requests of the OpenAI-compatible API.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::refused_fields::{Learned, Refusable, RefusedFields, refused_field};
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
    /// What the model was seen to refuse.
    refused: Arc<RefusedFields>,
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
            refused: Arc::default(),
        }
    }
}

impl Fields {
    /// Name of the field for the length limit of an answer.
    pub(super) fn longest(&self) -> &'static str {
        if self.has_old_name() { "max_tokens" } else { "max_completion_tokens" }
    }

    /// The value of a sampling setting that is sent; `None` where the server's own holds. A refused setting is left out only
    /// where its value is the usual one.
    pub(super) fn sent(&self, field: Refusable, sampling: &Sampling) -> Option<f64> {
        let (value, is_known) = match field {
            Refusable::TopP => (sampling.top_p, self.top_p),
            _ => (sampling.temperature, true),
        };
        let is_sent = is_known && !sampling.server_default && (!self.refused.has(field) || value != 1.0);
        is_sent.then_some(value)
    }

    /// Further sampling settings that are sent.
    pub(super) fn decoding(&self, sampling: &Sampling) -> BTreeMap<&str, Value> {
        decoding(sampling, &self.decoding)
    }

    /// The set of fields that are left out now.
    pub(super) fn left_out(&self) -> u8 {
        self.refused.all()
    }

    pub(super) fn takes_store(&self) -> bool {
        self.store && !self.refused.has(Refusable::Store)
    }

    /// Whether the length limit goes by its older name.
    fn has_old_name(&self) -> bool {
        self.old_name != self.refused.has(Refusable::Longest)
    }

    /// Learns from the error of a refused request which field the model does not take. Returns whether the next request differs
    /// from `request`, with the text that tells the user.
    ///
    /// `sent` is the set of left-out fields when the request was made: a field that it did not carry teaches nothing.
    pub(super) fn learn(&self, request: &Request, body: &[u8], sent: u8) -> Option<Learned> {
        let field = refused_field(body).filter(|field| sent & *field as u8 == 0)?;
        let sampling = &request.sampling;
        let is_usual = sampling.server_default
            || match field {
                Refusable::Temperature => sampling.temperature == 1.0,
                Refusable::TopP => sampling.top_p == 1.0,
                _ => true,
            };
        // Any other value is a decoding that the user asked for, and that the answers would not have.
        if !is_usual {
            return None;
        }
        let name = if field == Refusable::Longest { self.longest() } else { field.name() };
        let is_new = self.refused.insert(field);
        let text = match field {
            Refusable::Longest => format!("request    the model takes no `{name}`: `{}` is sent", self.longest()),
            Refusable::N => "request    the model takes no `n`: one answer is asked for in each request".to_owned(),
            _ => format!("request    the model takes no `{name}`: it is left out"),
        };
        Some(Learned { text: is_new.then_some(text) })
    }
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, fields: &'a Fields) -> Self {
        let begun = request.messages.last().is_some_and(|m| m.role == Role::Assistant) && !fields.text;
        let sampling = &request.sampling;
        let longest = sampling.max_tokens;
        let takes = |field| !fields.refused.has(field);
        Self {
            model,
            messages: (!fields.text).then_some(&request.messages),
            prompt: fields.text.then(|| prompt(&request.messages)),
            temperature: fields.sent(Refusable::Temperature, sampling),
            top_p: fields.sent(Refusable::TopP, sampling),
            max_completion_tokens: (!fields.has_old_name()).then_some(longest),
            max_tokens: fields.has_old_name().then_some(longest),
            n: (fields.n && takes(Refusable::N)).then_some(request.choices),
            seed: (fields.seed && takes(Refusable::Seed)).then_some(request.seed),
            store: fields.takes_store().then_some(false),
            stream: takes(Refusable::Stream).then_some(false),
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
