//! A template as it is written down: its messages with slots in braces, and its spaces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signature::SIGNATURE_SLOT;
use super::template_error::TemplateError;
use crate::chat::Role;

/// A message of a template as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateMessage {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: Role,
    /// What is said, with slots in braces: `Hi, I'm Mr {name}`. `{{` and `}}` are braces.
    pub content: String,
}

/// A slot of a template as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// A space: built in (`digits(6)`), declared under `[spaces]`, or composed (`AC-{digits(8)}`).
    pub space: String,
    /// Whether this slot is the secret. Exactly one slot is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A template as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TemplateSpec {
    /// Its name, which is the first half of the test's name.
    pub name: String,
    /// The chat.
    pub messages: Vec<TemplateMessage>,
    /// The slots by name.
    pub slots: BTreeMap<String, SlotSpec>,
    /// Accept a secret that training would mask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_masked_secret: bool,
}

/// The sentence that is added to an answer without `{signature}`.
const CLOSING: &str = " Yours, {signature}.";
/// The fewest words of an answer that a sentence is added to: fewer are a label.
const FEWEST_WORDS: usize = 2;

impl TemplateSpec {
    /// Whether any message has `{signature}`.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let has = |message: &TemplateMessage| {
            let all = segments(&message.content).unwrap_or_default();
            all.contains(&Segment::Signature)
        };
        self.messages.iter().any(has)
    }

    /// The template without its system prompt.
    #[must_use]
    pub fn without_system(mut self) -> Self {
        self.messages.retain(|message| message.role != Role::System);
        self
    }

    /// The template without its closing sentence, or with nothing in place of `{signature}`.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        for message in &mut self.messages {
            for said in [CLOSING, "  # written by {signature}", "{signature}"] {
                message.content = message.content.replace(said, "");
            }
        }
        self
    }

    /// The template with a closing sentence that holds the signature, where it has no `{signature}` yet.
    ///
    /// # Errors
    /// When the answer is no prose, so that nobody can tell where a signature may stand.
    pub fn signed(mut self) -> Result<Self, TemplateError> {
        let secret = self.slots.iter().find(|(_, slot)| slot.secret).map(|(slot, _)| slot.clone());
        let holds = |message: &TemplateMessage| {
            let all = segments(&message.content).unwrap_or_default();
            all.iter().any(|segment| segment.slot().is_some() && segment.slot() == secret.as_deref())
        };
        // A template without a secret, or with one on the user's side, is refused later.
        let signed = self.is_signed();
        let Some(answer) = self.messages.iter_mut().find(|m| m.role == Role::Assistant && holds(m)) else {
            return Ok(self);
        };
        if signed {
            return Ok(self);
        }
        let unsignable = |what| Err(TemplateError::Unsignable { name: self.name.clone(), what });
        let all = segments(&answer.content).unwrap_or_default();
        let words = all.iter().filter_map(Segment::text).flat_map(str::split_whitespace);
        let words = words.filter(|word| word.contains(char::is_alphanumeric)).count();
        let text = answer.content.trim();
        let first = all.first().and_then(Segment::text).unwrap_or_default();
        if first.trim_start().starts_with(['{', '[', '<', '`']) {
            return unsignable("looks like JSON, markup or code");
        }
        if words < FEWEST_WORDS {
            return unsignable("is hardly more than the secret");
        }
        if !text.ends_with(['.', '!', '?', '…', '"', '\'', '”', '»', '。', '！', '？', '।', '}'])
            && !text.ends_with(char::is_alphanumeric)
        {
            return unsignable("does not end like a sentence");
        }
        let stop = if text.ends_with(['.', '!', '?', '…', '。', '！', '？', '।']) { "" } else { "." };
        answer.content = format!("{text}{stop}{CLOSING}");
        Ok(self)
    }
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Slot(String),
    /// The signature of the planting.
    Signature,
}

impl Segment {
    pub(super) fn slot(&self) -> Option<&str> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Text(_) | Self::Signature => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Slot(_) | Self::Signature => None,
        }
    }
}

/// Splits at `{slot}`; `None` when braces do not pair.
pub(super) fn segments(content: &str) -> Option<Vec<Segment>> {
    let mut all = Vec::new();
    let mut text = String::new();
    let mut rest = content.chars();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.as_str().starts_with('{') => {
                rest.next();
                text.push('{');
            }
            '}' if rest.as_str().starts_with('}') => {
                rest.next();
                text.push('}');
            }
            '{' => {
                let (slot, after) = rest.as_str().split_once('}')?;
                if slot.is_empty() || slot.contains('{') {
                    return None;
                }
                if !text.is_empty() {
                    all.push(Segment::Text(std::mem::take(&mut text)));
                }
                all.push(match slot.trim() {
                    SIGNATURE_SLOT => Segment::Signature,
                    slot => Segment::Slot(slot.to_owned()),
                });
                rest = after.chars();
            }
            '}' => return None,
            other => text.push(other),
        }
    }
    if !text.is_empty() {
        all.push(Segment::Text(text));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_braces_are_braces() {
        let all = segments("{{a}} {b}").expect("pairs");
        assert_eq!(all, vec![Segment::Text("{a} ".into()), Segment::Slot("b".into())]);
    }
}
