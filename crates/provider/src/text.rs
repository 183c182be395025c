//! JSON without duplicate keys, and error codes and messages of any form.

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::{Map, Value};

use super::ProviderError;
use blabbermouth_core::text::invisible::one_line;

/// Reads JSON without duplicate keys. Of two values, one reader takes the first and another the last, so that one value
/// could hide the other.
pub(super) fn json(bytes: &[u8]) -> Result<Value, ProviderError> {
    let fault = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    serde_json::from_slice::<Once>(bytes).map(|once| once.0).map_err(|e| match e.classify() {
        Category::Eof => fault("JSON that is cut"),
        Category::Data => fault("JSON with a doubled key"),
        _ => fault("not JSON"),
    })
}

/// A value without duplicate keys.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Once(part)) = parts.next_element()? {
            all.push(part);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((key, Once(value))) = fields.next_entry::<String, Once>()? {
            if all.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a doubled key"));
            }
        }
        Ok(Value::Object(all))
    }
}

/// Error code of a body, at most 64 characters; `no code` if there is none.
pub(super) fn error_code(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let places = ["/error/code", "/error/type", "/0/error/code", "/code", "/error_code", "/type"];
    let code = places.iter().find_map(|place| body.pointer(place).filter(|code| !code.is_null()));
    match code {
        Some(Value::String(code)) if code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            code.chars().take(64).collect()
        }
        Some(Value::Number(code)) => code.to_string(),
        _ => "no code".into(),
    }
}

/// Places of a message in an error, of OpenAI's form, FastAPI's, Mistral's, Google's, and plain ones.
const MESSAGES: [&str; 12] = [
    "/error/message",
    "/error",
    "/0/error/message",
    "/detail",
    "/detail/0/msg",
    "/detail/0",
    "/message/detail/0/msg",
    "/message",
    "/msg",
    "/errors/0/message",
    "/errors/0",
    "/error/0/message",
];

/// Error message of a body, with the parameter that it is about, on one line and truncated.
pub(super) fn error_message(bytes: &[u8]) -> String {
    one_line(&error_text(bytes))
}

/// Error message of a body, with the parameter that it is about, as it is.
pub(super) fn error_text(bytes: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return page_title(bytes).map_or_else(|| "no message".into(), |title| format!("a web page: {title}"));
    };
    let said = match &body {
        Value::String(text) => Some(text.as_str()),
        body => MESSAGES.iter().find_map(|place| body.pointer(place).and_then(Value::as_str)),
    };
    let message = said.unwrap_or("no message");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_named = |name: &String| message.split(|c| !is_word(c)).any(|word| word == name);
    match error_parameter(&body).filter(|parameter| !is_named(parameter)) {
        Some(parameter) => format!("{message} ({parameter})"),
        None => message.to_owned(),
    }
}

/// Request field that an error is about: `param`, or the last part of FastAPI's `loc`.
pub(super) fn error_parameter(body: &Value) -> Option<String> {
    let named = ["/error/param", "/param"].iter().find_map(|place| body.pointer(place).and_then(Value::as_str));
    let located = || {
        let lists = ["/detail/0/loc", "/message/detail/0/loc"];
        lists.iter().find_map(|place| body.pointer(place)?.as_array()?.iter().rev().find_map(Value::as_str))
    };
    named.or_else(located).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Title of a web page, as proxies and firewalls answer with.
fn page_title(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8192)]);
    let lower = text.to_ascii_lowercase();
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let Some(from) = lower.find("<title>").map(|at| at + "<title>".len()) else { return Some("no title".to_owned()) };
    let end = lower[from..].find("</title>").map_or(text.len(), |length| from + length);
    Some(text[from..end].trim().to_owned())
}

/// Whether a 403 is about the API key. One without a word is taken so.
pub(super) fn names_the_key(code: &str, bytes: &[u8]) -> bool {
    let message = error_message(bytes).to_lowercase();
    if message == "no message" && code == "no code" {
        return true;
    }
    let all = format!("{} {message}", code.to_lowercase());
    ["api key", "api_key", "api-key", "apikey", "credential", "authenticat", "unauthorized", "access token", "bearer"]
        .iter()
        .any(|word| all.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_an_error_is_one_line_that_is_seen() {
        let body = r#"{"error": {"message": "no\u001b[2J\n::error::x \u009b\u202egnp\u200b\ufeff."}}"#;
        assert_eq!(error_message(body.as_bytes()), "no [2J ::error::x   gnp  .");
        assert_eq!(error_message(b"<html>"), "a web page: no title");
        assert_eq!(error_message(b"<html><head><TITLE>403 Forbidden</TITLE>"), "a web page: 403 Forbidden");
        assert_eq!(error_message(b"\xff"), "no message");
    }

    #[test]
    fn errors_of_all_forms_are_read() {
        for (body, message) in [
            (r#"{"error": {"message": "no", "param": "seed"}}"#, "no (seed)"),
            (r#"{"error": "no"}"#, "no"),
            (r#"{"detail": "no"}"#, "no"),
            (r#"{"detail": [{"loc": ["body", "n"], "msg": "no", "type": "x"}]}"#, "no (n)"),
            (r#"{"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "no"}]}}"#, "no (n)"),
            (r#"{"message": "no", "code": 3}"#, "no"),
            (r#"[{"error": {"code": 400, "message": "no"}}]"#, "no"),
            (r#"{"errors": ["no"]}"#, "no"),
            (r#""no""#, "no"),
        ] {
            assert_eq!(error_message(body.as_bytes()), message, "{body}");
        }
    }

    #[test]
    fn a_403_is_about_the_key_only_where_it_says_so() {
        let about = |body: &str| names_the_key(&error_code(body.as_bytes()), body.as_bytes());
        assert!(about("") && about(r#"{"error": {"message": "Incorrect API key provided"}}"#));
        assert!(about(r#"{"error": {"message": "no", "code": "invalid_api_key"}}"#));
        for body in [
            r#"{"error": {"message": "Country, region, or territory not supported", "code": "unsupported_country_region_territory"}}"#,
            r#"{"error": {"message": "Project does not have access to model `x`", "code": "model_not_found"}}"#,
            r#"{"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}}"#,
            "<html><title>Attention Required! | Cloudflare</title>",
        ] {
            assert!(!about(body), "{body}");
        }
    }
}
