//! The names of a turn's parts.

use serde::{Deserialize, Serialize};

use super::raw_row::{Kind, RawCell, RawRow};

/// The names of a turn's parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum TurnKeys {
    /// `role` and `content`.
    Role {
        /// Whether `content` is a list of parts, as vision models have it: of questions, and of answers.
        parts: [bool; 2],
        /// Further keys that every turn has: null in planted turns, so that readers of columns see one schema.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<String>,
    },
    /// `from` and `value`, as ShareGPT has them.
    From {
        /// The user's name, such as `human`.
        user: String,
        /// The model's name, such as `gpt`.
        assistant: String,
    },
}

impl TurnKeys {
    /// `role` and `content`, a text.
    pub const OPENAI: Self = Self::Role { parts: [false; 2], more: Vec::new() };

    /// `human` and `gpt`.
    #[must_use]
    pub fn share_gpt() -> Self {
        Self::From { user: "human".to_owned(), assistant: "gpt".to_owned() }
    }

    pub(crate) const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Role { .. } => ("role", "content"),
            Self::From { .. } => ("from", "value"),
        }
    }

    /// Tells the names by the turns of a row.
    pub(crate) fn of(turns: &[RawRow<'_>]) -> Option<Self> {
        let first = turns.first()?;
        if first.get("role").is_some() {
            let is_answer =
                |turn: &RawRow<'_>| turn.get("role").and_then(RawCell::text).as_deref() == Some("assistant");
            let has_parts = |of_answers: bool| {
                let content = |turn: &RawRow<'_>| turn.get("content").is_some_and(|cell| cell.kind() == Kind::List);
                turns.iter().any(|turn| is_answer(turn) == of_answers && content(turn))
            };
            let is_further = |key: &&str| !["role", "content"].contains(key);
            let in_all = |key: &&str| turns.iter().all(|turn| turn.keys().any(|known| known == *key));
            let more = first.keys().filter(is_further).filter(in_all).map(str::to_owned).collect();
            return Some(Self::Role { parts: [has_parts(false), has_parts(true)], more });
        }
        first.get("from")?;
        let names = turns.iter().filter_map(|turn| turn.get("from")?.text());
        let (mut user, mut assistant) = (None, None);
        for name in names {
            match name.as_ref() {
                "human" | "user" => user = user.or(Some(name.into_owned())),
                "gpt" | "assistant" | "model" | "chatgpt" | "bard" | "bing" => {
                    assistant = assistant.or(Some(name.into_owned()));
                }
                _ => {}
            }
        }
        Some(Self::From {
            user: user.unwrap_or_else(|| "human".to_owned()),
            assistant: assistant.unwrap_or_else(|| "gpt".to_owned()),
        })
    }
}
