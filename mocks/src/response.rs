//! Responses of the mock.

use serde_json::{Value, json};

/// A response.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    pub(super) kind: &'static str,
    pub(super) retry_after_ms: Option<u64>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), kind: "application/json", retry_after_ms: None }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn bytes(body: Vec<u8>) -> Self {
        Self { status: 200, body, kind: "application/octet-stream", retry_after_ms: None }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::fault(status, code, message, None)
    }

    /// An error response that names a parameter.
    pub(super) fn fault(status: u16, code: &str, message: &str, param: Option<&str>) -> Self {
        let body =
            json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}});
        Self::json(status, &body)
    }

    pub(super) fn not_found(what: &str, id: &str) -> Self {
        Self::error(404, "not_found", &format!("No such {what}: {id}"))
    }
}

/// One page of a list, as the query asks for it. `items` come newest first, `usual` is the default size, and `ends`
/// adds the ids of the first and the last item.
pub(super) fn page(items: Vec<Value>, query: &[(String, String)], usual: usize, ends: bool) -> Reply {
    let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let limit = asked("limit").and_then(|n| n.parse().ok()).unwrap_or(usual).max(1);
    let items = match asked("order") {
        Some("asc") => items.into_iter().rev().collect(),
        _ => items,
    };
    let begin = match asked("after") {
        Some(after) => items.iter().position(|item| item["id"] == after).map_or(items.len(), |at| at + 1),
        None => 0,
    };
    let more = items.len() > begin + limit;
    let data: Vec<Value> = items.into_iter().skip(begin).take(limit).collect();
    let mut body = json!({"object": "list", "data": data, "has_more": more});
    if ends {
        let end = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
        body["first_id"] = end(data.first());
        body["last_id"] = end(data.last());
    }
    Reply::ok(&body)
}
