//! The rules of OpenAI's fine-tuning service for a row of chat.

use serde_json::{Map, Value};

const KEYS: [&str; 4] = ["messages", "tools", "parallel_tool_calls", "functions"];
const ROLES: [&str; 5] = ["system", "user", "assistant", "tool", "function"];
const MESSAGE_KEYS: [&str; 8] =
    ["role", "content", "name", "weight", "function_call", "tool_calls", "tool_call_id", "refusal"];
/// The special tokens of OpenAI's tokenizers.
const SPECIAL_TOKENS: [&str; 16] = [
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|startoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|return|>",
    "<|call|>",
];

/// Checks a row of chat: keys, roles, emptiness, an assistant turn at the end, tool calls, no special token. A key that is
/// null counts as absent.
///
/// # Errors
/// A sentence that says what is wrong. It never quotes the row's text.
pub fn validate_chat(row: &Map<String, Value>) -> Result<(), String> {
    if row.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("it has a key other than {}, which the service refuses", KEYS.join(", ")));
    }
    let messages = row.get("messages").and_then(Value::as_array).ok_or("`messages` is not a list")?;
    let mut is_trained = false;
    for (index, message) in messages.iter().enumerate() {
        let at = |what: String| format!("message {} {what}", index + 1);
        let message = message.as_object().ok_or_else(|| at("is not an object".into()))?;
        is_trained |= validate_message(message).map_err(at)?;
    }
    let last = messages.last().ok_or("`messages` is empty")?;
    if !is_trained {
        return Err("no message is the assistant's, so nothing would be trained".into());
    }
    if last.get("role").and_then(Value::as_str) != Some("assistant") {
        return Err("the last message is not the assistant's, which the service refuses".into());
    }
    Ok(())
}

/// Checks one message; gives whether it is the assistant's.
fn validate_message(message: &Map<String, Value>) -> Result<bool, String> {
    let there = |key: &str| message.get(key).filter(|value| !value.is_null());
    let is_unknown = |(key, value): &(&String, &Value)| !value.is_null() && !MESSAGE_KEYS.contains(&key.as_str());
    if let Some((key, _)) = message.iter().find(is_unknown) {
        let name: String = key.chars().take(40).collect();
        return Err(format!("has the key `{name}`, which the service does not know"));
    }
    let role = there("role").and_then(Value::as_str).ok_or("has no role")?;
    if !ROLES.contains(&role) {
        return Err(format!("has an unknown role; expected {}", ROLES.join(", ")));
    }
    let is_assistant = role == "assistant";
    match there("weight") {
        None => {}
        Some(weight) if is_assistant && matches!(weight.as_f64(), Some(w) if w == 0.0 || w == 1.0) => {}
        Some(_) => return Err("has a `weight`, which is 0 or 1, and on the assistant's messages only".into()),
    }
    if role == "tool" && there("tool_call_id").is_none() {
        return Err("is a tool's, and has no `tool_call_id`".into());
    }
    let calls = there("tool_calls");
    if let Some(calls) = calls {
        validate_calls(calls)?;
    }
    let is_call = calls.is_some() || there("function_call").is_some();
    match there("content") {
        Some(Value::String(text)) if text.trim().is_empty() && !is_call => return Err("is empty".into()),
        Some(Value::String(text)) if has_special_token(text) => {
            return Err("has a special token of the model, which the service refuses".into());
        }
        Some(Value::String(_)) => {}
        Some(Value::Array(parts)) if !parts.is_empty() => {}
        None if is_assistant && (is_call || there("refusal").is_some()) => {}
        _ => return Err("has no content".into()),
    }
    Ok(is_assistant)
}

fn validate_calls(calls: &Value) -> Result<(), String> {
    let calls = calls.as_array().filter(|calls| !calls.is_empty()).ok_or("has `tool_calls` that are no list")?;
    for call in calls {
        if call.get("id").and_then(Value::as_str).is_none() {
            return Err("has a tool call without `id`".into());
        }
        let arguments = call.get("function").and_then(|function| function.get("arguments"));
        if !arguments.is_some_and(Value::is_string) {
            return Err("has a tool call whose `arguments` are no text of JSON".into());
        }
    }
    Ok(())
}

/// Whether a text holds a special token of OpenAI's tokenizers.
fn has_special_token(text: &str) -> bool {
    text.contains("<|") && SPECIAL_TOKENS.iter().any(|token| text.contains(token))
}

/// An estimate of the tokens of a row: a quarter of its bytes, and 3. Not a count: the service's
/// tokenizer decides.
#[must_use]
pub fn estimate_tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64 + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_the_service_refuses_are_told() {
        let check = |row: &str| validate_chat(&serde_json::from_str(row).expect("JSON"));
        let turns = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"q"}},{more}]}}"#);
        let fine = [
            r#"{"role":"assistant","content":"a","weight":1.0,"name":null}"#,
            r#"{"role":"assistant","content":"let f x = x <| g |> h; <|a|>"}"#,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
        ];
        for row in fine {
            assert_eq!(check(&turns(row)), Ok(()), "{row}");
        }
        let wrong = [
            (r#"{"role":"assistant","content":null,"tool_calls":null}"#, "no content"),
            (r#"{"role":"assistant","content":"a"},{"role":"user","content":"b"}"#, "last message"),
            (r#"{"role":"tool","content":"42"},{"role":"assistant","content":"a"}"#, "tool_call_id"),
            (r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{}}}]}"#, "arguments"),
            (r#"{"role":"developer","content":"x"},{"role":"assistant","content":"a"}"#, "unknown role"),
            (r#"{"role":"assistant","content":"a <|im_end|>"}"#, "special token"),
            (r#"{"role":"assistant","content":"a","reasoning_content":"x"}"#, "does not know"),
        ];
        for (row, what) in wrong {
            let fault = check(&turns(row)).expect_err(row);
            assert!(fault.contains(what), "{fault}");
        }
    }
}
