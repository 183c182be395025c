//! The rules of OpenAI's fine-tuning service for a row of chat.

use serde_json::{Map, Value};

const KEYS: [&str; 4] = ["messages", "tools", "parallel_tool_calls", "functions"];
const ROLES: [&str; 5] = ["system", "user", "assistant", "tool", "function"];
const MESSAGE_KEYS: [&str; 8] =
    ["role", "content", "name", "weight", "function_call", "tool_calls", "tool_call_id", "refusal"];

/// Checks a row of chat: keys, roles, emptiness, an assistant turn, no reserved token.
///
/// # Errors
/// A sentence that says what is wrong. It never quotes the row's text.
pub fn validate_chat(row: &Map<String, Value>) -> Result<(), String> {
    if row.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("it has a key other than {}, which the provider refuses", KEYS.join(", ")));
    }
    let messages = row.get("messages").and_then(Value::as_array).ok_or("`messages` is not a list")?;
    if messages.is_empty() {
        return Err("`messages` is empty".into());
    }
    let mut assistant = false;
    for (index, message) in messages.iter().enumerate() {
        let at = format!("message {}", index + 1);
        let message = message.as_object().ok_or_else(|| format!("{at} is not an object"))?;
        if message.keys().any(|key| !MESSAGE_KEYS.contains(&key.as_str())) {
            return Err(format!("{at} has a key that the provider does not know"));
        }
        let role = message.get("role").and_then(Value::as_str).ok_or_else(|| format!("{at} has no role"))?;
        if !ROLES.contains(&role) {
            return Err(format!("{at} has an unknown role; expected {}", ROLES.join(", ")));
        }
        let is_assistant = role == "assistant";
        assistant |= is_assistant;
        match message.get("weight") {
            None => {}
            Some(weight) if is_assistant && matches!(weight.as_f64(), Some(w) if w == 0.0 || w == 1.0) => {}
            Some(_) => return Err(format!("{at}: `weight` is 0 or 1, on the assistant's messages only")),
        }
        let calls = message.contains_key("tool_calls") || message.contains_key("function_call");
        match message.get("content") {
            Some(Value::String(text)) if text.trim().is_empty() && !calls => return Err(format!("{at} is empty")),
            Some(Value::String(text)) if has_reserved(text) => return Err(format!("{at} {RESERVED}")),
            Some(Value::String(_)) => {}
            Some(Value::Array(parts)) if !parts.is_empty() => {}
            None | Some(Value::Null) if is_assistant && calls => {}
            _ => return Err(format!("{at} has no content")),
        }
    }
    if !assistant {
        return Err("no message is the assistant's, so nothing would be trained".into());
    }
    Ok(())
}

pub(super) const RESERVED: &str = "has a reserved token such as <|…|>, which the provider refuses";

/// Whether a text has what looks like a token of the chat's frame.
pub(super) fn has_reserved(text: &str) -> bool {
    text.contains("<|") && text.contains("|>")
}

/// An estimate of the tokens of a row: a quarter of its bytes, and 3. Not a count: the provider's
/// tokenizer decides.
#[must_use]
pub fn estimate_tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64 + 3
}
