//! Text, wherever a model can say something; codes and messages of errors, whatever their form.

use serde_json::Value;

/// Everything that is said in a value, parts and nested texts, joined by line breaks.
pub(super) fn collect(value: Option<&Value>, text: &mut String) {
    match value {
        Some(Value::String(said)) if !said.is_empty() => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(said);
        }
        Some(Value::Array(parts)) => parts.iter().for_each(|part| collect(Some(part), text)),
        Some(Value::Object(fields)) => {
            for (key, value) in fields {
                if !matches!(key.as_str(), "type" | "id" | "role") {
                    collect(Some(value), text);
                }
            }
        }
        _ => {}
    }
}

/// The error code of a body, whatever its form.
pub(super) fn error_code(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let code = body.pointer("/error/code").filter(|c| !c.is_null()).or_else(|| body.pointer("/error/type"));
    match code {
        Some(Value::String(code)) if code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            code.chars().take(64).collect()
        }
        Some(Value::Number(code)) => code.to_string(),
        _ => "no code".into(),
    }
}

/// The error message of a body, whatever its form: of one line, and cut.
pub(super) fn error_message(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let places = ["/error/message", "/error", "/detail", "/detail/0/msg", "/detail/0", "/message"];
    let said = places.iter().find_map(|place| body.pointer(place).and_then(Value::as_str));
    said.unwrap_or("no message").chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}
