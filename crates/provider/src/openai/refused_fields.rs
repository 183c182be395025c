//! Request fields that a model turns out not to take.

use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;

use crate::text::{error_message, error_parameter};

/// A field that can be left out, or sent under its other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusable {
    /// `max_tokens` or `max_completion_tokens`: the other one is sent.
    Longest = 1,
    Temperature = 2,
    TopP = 4,
    Seed = 8,
    N = 16,
    Store = 32,
    Stream = 64,
}

impl Refusable {
    const ALL: [Self; 7] =
        [Self::Longest, Self::Temperature, Self::TopP, Self::Seed, Self::N, Self::Store, Self::Stream];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Longest => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::Seed => "seed",
            Self::N => "n",
            Self::Store => "store",
            Self::Stream => "stream",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        if name == "max_completion_tokens" {
            return Some(Self::Longest);
        }
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Fields that a request of the Responses API does not carry.
pub(super) const NOT_OF_RESPONSES: u8 =
    Refusable::Longest as u8 | Refusable::Seed as u8 | Refusable::N as u8 | Refusable::Stream as u8;

/// A set of fields, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct RefusedFields(AtomicU8);

impl RefusedFields {
    pub(super) fn has(&self, field: Refusable) -> bool {
        self.0.load(Ordering::Relaxed) & field as u8 != 0
    }

    /// All fields, as bits.
    pub(super) fn all(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds a field. Returns whether it is new.
    pub(super) fn insert(&self, field: Refusable) -> bool {
        self.0.fetch_or(field as u8, Ordering::Relaxed) & field as u8 == 0
    }
}

/// What was learned from an error.
pub(super) struct Learned {
    /// What the user is told; `None` where it was told before.
    pub(super) text: Option<String>,
}

/// The field that an error says the model does not take: by its parameter, else by a name in quotes in the message.
pub(super) fn refused_field(body: &[u8]) -> Option<Refusable> {
    let parsed: Value = serde_json::from_slice(body).ok()?;
    let message = error_message(body).to_lowercase();
    let is_refusal = [
        "unsupported",
        "not support",
        "unknown",
        "unrecogni",
        "not permitted",
        "extra",
        "not allowed",
        "unexpected",
        "not accept",
    ]
    .iter()
    .any(|word| message.contains(word));
    if !is_refusal {
        return None;
    }
    if let Some(field) = error_parameter(&parsed).and_then(|name| Refusable::by_name(&name)) {
        return Some(field);
    }
    let quoted = message.split(['`', '\'', '"']).skip(1).step_by(2);
    quoted.filter_map(|name| Refusable::by_name(name.trim())).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_a_refusal_is_found() {
        let field = |body: &str| refused_field(body.as_bytes());
        let openai = r#"{"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}}"#;
        assert_eq!(field(openai), Some(Refusable::Longest));
        let fastapi = r#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}"#;
        assert_eq!(field(fastapi), Some(Refusable::Seed));
        assert_eq!(field(r#"{"error": "unknown field `store`"}"#), Some(Refusable::Store));
        let value = r#"{"error": {"message": "Unsupported value: 'temperature' does not support 1.5 with this model.", "param": "temperature"}}"#;
        assert_eq!(field(value), Some(Refusable::Temperature));
        assert_eq!(field(r#"{"error": {"message": "messages too long", "param": "n"}}"#), None);
        assert_eq!(field(r#"{"error": {"message": "unsupported image"}}"#), None);
        assert_eq!(field("<html>"), None);
    }

    #[test]
    fn a_field_is_new_once() {
        let fields = RefusedFields::default();
        assert!(!fields.has(Refusable::N) && fields.insert(Refusable::N) && !fields.insert(Refusable::N));
        assert!(fields.has(Refusable::N) && !fields.has(Refusable::Seed));
    }
}
