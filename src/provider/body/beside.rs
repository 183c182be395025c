//! Collects everything that a body holds beside its answer, so that it can be searched.

use std::collections::{HashMap, HashSet};

use super::json::Node;

/// Keys that services write with an empty value. They are no news, and the quick reader passes over them.
pub(in crate::provider) fn is_usual(key: &str) -> bool {
    matches!(
        key,
        "annotations"
            | "audio"
            | "citations"
            | "content"
            | "content_filter_results"
            | "delta"
            | "error"
            | "finish_reason"
            | "function_call"
            | "images"
            | "index"
            | "kv_transfer_params"
            | "logprobs"
            | "matched_stop"
            | "message"
            | "metadata"
            | "name"
            | "native_finish_reason"
            | "prompt"
            | "prompt_logprobs"
            | "prompt_text"
            | "prompt_token_ids"
            | "provider_specific_fields"
            | "reasoning"
            | "reasoning_content"
            | "reasoning_details"
            | "refusal"
            | "role"
            | "routed_experts"
            | "search_results"
            | "service_tier"
            | "stop_reason"
            | "system_fingerprint"
            | "text"
            | "thinking"
            | "thinking_blocks"
            | "token_ids"
            | "tool_calls"
            | "usage"
            | "warnings"
            | "weight_version"
    )
}

/// Tiers of service, by the words that servers use for them.
pub(in crate::provider) fn is_tier(word: &str) -> bool {
    matches!(
        word,
        "auto" | "default" | "flex" | "priority" | "scale" | "standard" | "on_demand" | "performance" | "fast"
    )
}

/// Values under one key, joined without a separator.
#[derive(Debug, Default)]
struct Run {
    joined: String,
    last: String,
    values: u32,
}

/// Texts, keys and numbers of a body, in their order.
///
/// A secret may be cut into tokens, parts or deltas. So the values of each key that occurs more than once are joined,
/// too.
#[derive(Debug, Default)]
pub(in crate::provider) struct Beside {
    said: String,
    keys: Vec<String>,
    seen: HashSet<String>,
    runs: HashMap<String, Run>,
    /// Keys of `runs`, in their order.
    order: Vec<String>,
}

impl Beside {
    /// Adds a field, its key included.
    pub(in crate::provider) fn field(&mut self, key: &str, value: &Node<'_>) {
        self.key(key);
        self.value(key, value);
    }

    /// Adds a text that stands under `key`.
    pub(in crate::provider) fn text(&mut self, key: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let run = match self.runs.get_mut(key) {
            Some(run) => run,
            None => {
                self.order.push(key.to_owned());
                self.runs.entry(key.to_owned()).or_default()
            }
        };
        let is_news = run.values == 0 || run.last != text;
        run.joined.push_str(text);
        run.values += 1;
        if is_news {
            text.clone_into(&mut run.last);
            line(&mut self.said, text);
        }
    }

    /// Adds the value of a key.
    pub(in crate::provider) fn value(&mut self, key: &str, value: &Node<'_>) {
        match value {
            Node::Null | Node::Bool(_) => {}
            Node::Text(text) => self.text(key, text),
            // A measure, such as a log probability: no part of anything longer.
            Node::Number(number) if number.bytes().any(|b| matches!(b, b'.' | b'e' | b'E' | b'N' | b'I')) => {
                line(&mut self.said, number);
            }
            Node::Number(number) => self.text(key, number),
            Node::List(items) => match bytes(key, items) {
                Some(bytes) => self.text(key, &String::from_utf8_lossy(&bytes)),
                None => items.iter().for_each(|item| self.value(key, item)),
            },
            Node::Object(fields) => fields.iter().for_each(|(key, value)| self.field(key, value)),
        }
    }

    fn key(&mut self, key: &str) {
        if !key.is_empty() && !is_usual(key) && self.seen.insert(key.to_owned()) {
            self.keys.push(key.to_owned());
        }
    }

    /// Everything, each on a line of its own: values, then what the values of a key are together, then keys.
    pub(in crate::provider) fn finish(mut self) -> String {
        for key in &self.order {
            let run = &self.runs[key];
            // Where all are the same, such as `type`, they are no parts of anything.
            if run.values > 1 && run.joined != run.last.repeat(run.values as usize) {
                line(&mut self.said, &run.joined);
            }
        }
        self.keys.iter().for_each(|key| line(&mut self.said, key));
        self.said
    }
}

fn line(all: &mut String, text: &str) {
    if !all.is_empty() {
        all.push('\n');
    }
    all.push_str(text);
}

/// The bytes of a token, as OpenAI writes them beside it.
fn bytes(key: &str, items: &[Node<'_>]) -> Option<Vec<u8>> {
    let byte = |item: &Node<'_>| item.as_u64().and_then(|number| u8::try_from(number).ok());
    if key == "bytes" && !items.is_empty() { items.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(body: &str) -> String {
        let mut all = Beside::default();
        let node = Node::read(body).expect("JSON");
        node.fields().iter().for_each(|(key, value)| all.field(key, value));
        all.finish()
    }

    #[test]
    fn values_keys_and_numbers_are_collected_in_their_order() {
        let body =
            r#"{"b": {"48291377": true, "n": 4829137755}, "a": ["x", ["y"]], "role": "tool", "f": NaN, "e": ""}"#;
        assert_eq!(beside(body), "4829137755\nx\ny\ntool\nNaN\nxy\nb\n48291377\nn\na\nf\ne");
    }

    #[test]
    fn what_is_cut_into_values_of_one_key_is_joined() {
        let tokens =
            r#"{"content": [{"token": "48", "logprob": -0.5, "bytes": [52, 56]}, {"token": "29", "bytes": [50, 57]}]}"#;
        let said = beside(tokens);
        assert_eq!(said, "48\n-0.5\n48\n29\n29\n4829\n4829\ntoken\nlogprob\nbytes");
        assert!(beside(r#"{"tokens": ["48", "29", "29"], "x": [1, 1, 1]}"#).starts_with("48\n29\n1\n482929"));
        // A value that is always the same says nothing more.
        assert_eq!(beside(r#"{"p": [{"type": "text"}, {"type": "text"}]}"#), "text\np\ntype");
    }
}
