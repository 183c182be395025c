//! Bodies of responses of any service: unpacked, and read tolerantly with everything in them.

mod beside;
mod coding;
mod json;
mod seam;
mod stream;

use super::ProviderError;

pub(super) use beside::{BesideTexts, is_tier, is_usual};
pub(super) use coding::{End, unpack};
pub(super) use json::{Fault, Node, Reader};
pub(super) use seam::{add_line, join};
pub(super) use stream::{DONE, events};

/// Default limit of a body in bytes, compressed or not. HTTP answers with many tokens have a larger one.
pub(super) const LARGEST_BODY: usize = 4 << 20;

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        let what = match fault {
            Fault::Cut => "JSON that is cut",
            Fault::Doubled => "JSON with a doubled key",
            Fault::Other => "not JSON",
        };
        Self::Malformed { what: what.to_owned() }
    }
}

/// Whether a field at the top of a body is filled by the service and not by the model.
pub(super) fn is_metadata(key: &str) -> bool {
    matches!(key, "id" | "object" | "created" | "model" | "usage" | "system_fingerprint")
}

/// Whether a field at the top of a body is not searched.
pub(super) fn is_own(key: &str, value: &Node<'_>) -> bool {
    is_metadata(key) || (key == "service_tier" && value.as_str().is_some_and(is_tier))
}

/// Hash of a response's id, equal in every process; 0 for no id.
pub(super) fn id_hash(id: Option<&Node<'_>>) -> u64 {
    match id {
        Some(Node::Text(id)) => hash(id),
        Some(Node::Number(id)) => hash(id),
        _ => 0,
    }
}

/// Hash of an id, equal in every process; 0 for an empty one.
pub(super) fn hash(id: &str) -> u64 {
    if id.is_empty() { 0 } else { twox_hash::XxHash3_64::oneshot(id.as_bytes()).max(1) }
}

/// Everything that can be read of a body that is no answer, or is cut: JSON or an event stream. Empty for other forms.
pub(super) fn everything(text: &str) -> String {
    let mut all = BesideTexts::default();
    let mut add = |body: &str| {
        let body = Node::begin(body);
        // In a line of a batch's files, the body is an inner field.
        let inner = body.get("custom_id").and_then(|_| body.at(&["response", "body"]));
        let body = inner.unwrap_or(&body);
        if let Node::List(_) = body {
            all.value("", body);
        }
        for (key, value) in body.fields().iter().filter(|(key, value)| !is_own(key, value)) {
            all.field(key, value);
        }
    };
    match events(text) {
        Some(stream) => {
            stream.events.iter().for_each(|event| add(event));
            stream.rest.into_iter().for_each(|line| all.value("", &Node::Text(line.into())));
        }
        None => add(text),
    }
    all.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_body_is_read_with_its_parts_joined() {
        let cut = r#"{"id":"48","choices":[{"message":{"content":[{"text":"PIN 4829"},{"text":"1377"},{"te"#;
        assert_eq!(everything(cut), "PIN 4829\n1377\nPIN 48291377\nchoices\nte");
        let stream = "data: {\"id\":\"x\",\"c\":[{\"delta\":{\"content\":\"4829\"}}]}\n\ndata: {\"c\":[{\"delta\":{\"content\":\"13";
        assert_eq!(everything(stream), "4829\n13\n482913\nc");
        assert_eq!(everything("<html>"), "");
        assert_eq!(everything(r#"[{"error": {"message": "48", "code": 4829137755}}"#), "48\n4829137755\ncode");
    }

    #[test]
    fn an_id_has_one_hash_and_no_id_has_none() {
        assert_eq!(id_hash(Some(&Node::Text("a".into()))), id_hash(Some(&Node::Text("a".into()))));
        assert_ne!(hash("a"), hash("b"));
        assert_ne!(hash("a"), 0);
        assert_eq!([id_hash(None), id_hash(Some(&Node::Null)), hash("")], [0; 3]);
        // Journals store this hash: it must not change.
        assert_eq!(hash("chatcmpl-1"), 10_176_580_302_260_744_976);
    }
}
