//! The moderation endpoint of the mock.

use serde_json::{Value, json};

use super::response::Reply;

/// Answers a moderation request: all texts are flagged, or none.
pub(super) fn moderate(body: &[u8], flagged: bool) -> Reply {
    const CATEGORIES: [&str; 13] = [
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Reply::error(400, "invalid_json", "We could not parse the JSON body of your request.");
    };
    let count = match &request["input"] {
        Value::String(_) => 1,
        Value::Array(parts) if parts.iter().all(Value::is_string) => parts.len(),
        Value::Array(_) => 1,
        _ => return Reply::fault(400, "invalid_value", "'input' is required.", Some("input")),
    };
    let each = |value: fn(bool) -> Value| -> Value {
        CATEGORIES
            .iter()
            .map(|c| ((*c).to_owned(), value(flagged && *c == "hate")))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let result = json!({"flagged": flagged, "categories": each(Value::Bool),
        "category_scores": each(|f| json!(if f { 0.9 } else { 0.0001 })),
        "category_applied_input_types": each(|_| json!(["text"]))});
    let model = request["model"].as_str().unwrap_or("omni-moderation-latest");
    Reply::ok(&json!({"id": "modr-parrot", "model": model, "results": vec![result; count]}))
}
