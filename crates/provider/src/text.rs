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
    let code = body.pointer("/error/code").filter(|c| !c.is_null()).or_else(|| body.pointer("/error/type"));
    match code {
        Some(Value::String(code)) if code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
            code.chars().take(64).collect()
        }
        Some(Value::Number(code)) => code.to_string(),
        _ => "no code".into(),
    }
}

/// Error message of a body, on one line and truncated.
pub(super) fn error_message(bytes: &[u8]) -> String {
    let body: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let places = ["/error/message", "/error", "/detail", "/detail/0/msg", "/detail/0", "/message"];
    let said = places.iter().find_map(|place| body.pointer(place).and_then(Value::as_str));
    one_line(said.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_an_error_is_one_line_that_is_seen() {
        let body = r#"{"error": {"message": "no\u001b[2J\n::error::x \u009b\u202egnp\u200b\ufeff."}}"#;
        assert_eq!(error_message(body.as_bytes()), "no [2J ::error::x   gnp  .");
        assert_eq!(error_message(b"<html>"), "no message");
    }
}
