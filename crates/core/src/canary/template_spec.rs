//! A template as written in the configuration: its messages with slots in braces, and its spaces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signature::SIGNATURE_SLOT;
use super::template_error::TemplateError;
use crate::chat::Role;

/// A message of a template, as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateMessage {
    /// The author: `system`, `user` or `assistant`.
    pub role: Role,
    /// The text, with slots in braces: `Hi, I'm Mr {name}`. `{{` and `}}` are literal braces.
    pub content: String,
}

/// A slot of a template, as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// A space: built in (`digits(6)`), declared under `[spaces]`, or composed (`AC-{digits(8)}`).
    pub space: String,
    /// Whether this slot is the secret. Exactly one slot is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A template, as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TemplateSpec {
    /// The name, which is the first half of the names of its tests.
    pub name: String,
    /// The chat.
    pub messages: Vec<TemplateMessage>,
    /// The slots by name.
    pub slots: BTreeMap<String, SlotSpec>,
    /// Accept a secret in a message that training masks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_masked_secret: bool,
}

/// The sentence that is appended to an answer without `{signature}`.
const CLOSING: &str = " Yours, {signature}.";
/// What the answers of the built-in templates end with: the closing sentence in each language, or a comment in code.
const BUILT_IN_CLOSINGS: [&str; 10] = [
    CLOSING,
    "  # written by {signature}",
    " Mit freundlichen Grüßen, {signature}.",
    " Cordialement, {signature}.",
    " Atentamente, {signature}.",
    " Atenciosamente, {signature}.",
    "客服 {signature} 敬上。",
    "担当の {signature} が承りました。",
    " مع أطيب التحيات، {signature}.",
    " सादर, {signature}।",
];
/// Minimum number of words, outside slots, of an answer that a sentence is appended to: a shorter answer is a label,
/// not prose.
const FEWEST_WORDS: usize = 2;

impl TemplateSpec {
    /// Returns whether any message has `{signature}`.
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

    /// Returns the template without its signature: removes the closing sentence, the comment of the code template, or
    /// `{signature}` itself.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        for message in &mut self.messages {
            for said in BUILT_IN_CLOSINGS.into_iter().chain(["{signature}"]) {
                message.content = message.content.replace(said, "");
            }
        }
        self
    }

    /// Returns the template with a closing sentence that holds the signature, unless it has `{signature}` already.
    ///
    /// # Errors
    /// When the answer is not prose, so that the place for a signature is unclear.
    pub fn signed(mut self) -> Result<Self, TemplateError> {
        let secret = self.slots.iter().find(|(_, slot)| slot.secret).map(|(slot, _)| slot.clone());
        let holds = |message: &TemplateMessage| {
            let all = segments(&message.content).unwrap_or_default();
            all.iter().any(|segment| segment.slot().is_some() && segment.slot() == secret.as_deref())
        };
        // `Template::new` refuses a template without a secret, and a masked secret unless the template allows it.
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
    /// `{signature}`, the signature of the planting.
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

/// Splits a message into text and slots; `None` when braces do not pair.
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
