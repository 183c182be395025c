//! The formats of training rows, and how each becomes a chat.

use serde_json::{Map, Value};

use super::validate::validate_chat;
use crate::chat::{Message, Role};

/// The fields of a row that is not in a known format, each another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// What the user says.
    pub prompt: String,
    /// What the assistant answers.
    pub response: String,
    /// Instructions, if the rows have them.
    pub system: Option<String>,
}

/// A format of training rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// `messages`: the format of OpenAI's fine-tuning service, passed through byte for byte.
    OpenAi,
    /// `instruction`, `context`, `response`.
    Dolly,
    /// `instruction`, `input`, `output`.
    Alpaca,
    /// `prompt`, `completion`.
    PromptCompletion,
    /// `conversations` with `from` and `value`.
    ShareGpt,
    /// Any two fields.
    Fields(Fields),
}

impl Format {
    /// The names of the formats that can be asked for.
    pub const NAMES: [&'static str; 6] = ["auto", "openai", "dolly", "alpaca", "prompt-completion", "sharegpt"];

    /// The format of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "openai" => Self::OpenAi,
            "dolly" => Self::Dolly,
            "alpaca" => Self::Alpaca,
            "prompt-completion" => Self::PromptCompletion,
            "sharegpt" => Self::ShareGpt,
            _ => return None,
        })
    }

    /// Tells the format by the keys of a row.
    #[must_use]
    pub fn sniff(row: &Map<String, Value>) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().all(|key| row.contains_key(*key));
        if has(&["messages"]) {
            Some(Self::OpenAi)
        } else if has(&["conversations"]) {
            Some(Self::ShareGpt)
        } else if has(&["instruction", "response"]) {
            Some(Self::Dolly)
        } else if has(&["instruction", "output"]) {
            Some(Self::Alpaca)
        } else if has(&["prompt", "completion"]) {
            Some(Self::PromptCompletion)
        } else if has(&["question", "answer"]) {
            Some(Self::Fields(Fields { prompt: "question".into(), response: "answer".into(), system: None }))
        } else {
            None
        }
    }

    /// Turns a row into a chat, whose texts are taken out of it; `None` when the row is in the target format already and
    /// stays as it is.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the row.
    pub fn convert(&self, row: &mut Map<String, Value>) -> Result<Option<Vec<Message>>, String> {
        let pair = |user: String, assistant: String| {
            Some(vec![Message::new(Role::User, user), Message::new(Role::Assistant, assistant)])
        };
        match self {
            Self::OpenAi => {
                validate_chat(row)?;
                Ok(None)
            }
            Self::Dolly => Ok(pair(with_context(row, "instruction", "context")?, text(row, "response")?)),
            Self::Alpaca => Ok(pair(with_context(row, "instruction", "input")?, text(row, "output")?)),
            Self::PromptCompletion => Ok(pair(text(row, "prompt")?, text(row, "completion")?)),
            Self::Fields(fields) => {
                let mut chat = Vec::new();
                if let Some(system) = &fields.system {
                    chat.push(Message::new(Role::System, text(row, system)?));
                }
                chat.extend(pair(text(row, &fields.prompt)?, text(row, &fields.response)?).into_iter().flatten());
                Ok(Some(chat))
            }
            Self::ShareGpt => share_gpt(row).map(Some),
        }
    }
}

fn text(row: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match row.get_mut(key) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(std::mem::take(text)),
        Some(Value::String(_)) => Err(format!("`{key}` is empty")),
        Some(_) => Err(format!("`{key}` is not a text")),
        None => Err(format!("`{key}` is missing")),
    }
}

fn with_context(row: &mut Map<String, Value>, instruction: &str, context: &str) -> Result<String, String> {
    let instruction = text(row, instruction)?;
    match row.get(context) {
        None | Some(Value::Null) => Ok(instruction),
        Some(Value::String(context)) if context.trim().is_empty() => Ok(instruction),
        Some(Value::String(context)) => Ok(instruction + "\n\n" + context),
        Some(_) => Err(format!("`{context}` is not a text")),
    }
}

fn share_gpt(row: &mut Map<String, Value>) -> Result<Vec<Message>, String> {
    let turns = row.get_mut("conversations").and_then(Value::as_array_mut).ok_or("`conversations` is not a list")?;
    let mut chat = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter_mut().enumerate() {
        let turn = turn.as_object_mut().ok_or_else(|| format!("turn {} is not an object", index + 1))?;
        let role = match turn.get("from").and_then(Value::as_str) {
            Some("human" | "user") => Role::User,
            Some("gpt" | "assistant" | "chatgpt" | "bard" | "model") => Role::Assistant,
            Some("system") => Role::System,
            Some(_) => return Err(format!("turn {} has an unknown role in `from`", index + 1)),
            None => return Err(format!("turn {} has no `from`", index + 1)),
        };
        let said = text(turn, "value").map_err(|e| format!("turn {}: {e}", index + 1))?;
        chat.push(Message::new(role, said));
    }
    if !chat.iter().any(|m| m.role == Role::Assistant) {
        return Err("no turn is the assistant's, so nothing would be trained".into());
    }
    Ok(chat)
}
