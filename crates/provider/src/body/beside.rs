//! Collects everything in a body besides its answer, so that it can be searched.

use std::collections::{HashMap, HashSet};

use super::json::Node;

/// Keys that services often send with an empty value. Their names are not searched, and the quick reader skips the
/// empty values.
pub(crate) fn is_usual(key: &str) -> bool {
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

/// Whether a word is a usual value of `service_tier`.
pub(crate) fn is_tier(word: &str) -> bool {
    matches!(
        word,
        "auto" | "default" | "flex" | "priority" | "scale" | "standard" | "on_demand" | "performance" | "fast"
    )
}

/// Values of one key, joined without a separator.
#[derive(Debug, Default)]
struct Run {
    joined: String,
    last: String,
    values: u32,
}

impl Run {
    fn add(&mut self, text: &str) {
        self.joined.push_str(text);
        text.clone_into(&mut self.last);
        self.values += 1;
    }

    /// Whether a secret may be split over the values. Equal values, as of `type`, are not parts of anything.
    fn is_cut(&self) -> bool {
        self.values > 1 && self.joined != self.last.repeat(self.values as usize)
    }
}

/// The most parent keys that are told apart per key.
const PARENTS: usize = 16;

/// Texts, keys and numbers of a body, in their order.
///
/// A secret may be split into tokens, parts or deltas. So the values of a key that occurs more than once are also
/// joined: once all of them, and once per parent key, since alternatives of a token come between the tokens.
#[derive(Debug, Default)]
pub(crate) struct BesideTexts {
    said: String,
    keys: Vec<String>,
    seen: HashSet<String>,
    runs: HashMap<String, Run>,
    /// Keys of `runs`, in order of appearance.
    order: Vec<String>,
    /// For each key, its parent keys with their runs.
    inner: HashMap<String, Vec<(String, Run)>>,
}

impl BesideTexts {
    /// Adds a key and its value.
    pub(crate) fn field(&mut self, key: &str, value: &Node<'_>) {
        self.key(key);
        self.walk("", key, value);
    }

    /// Adds a value without its key.
    pub(crate) fn value(&mut self, key: &str, value: &Node<'_>) {
        self.walk("", key, value);
    }

    fn walk(&mut self, parent: &str, key: &str, value: &Node<'_>) {
        match value {
            Node::Null | Node::Bool(_) => {}
            Node::Text(text) => self.text(parent, key, text),
            // A measurement such as a log probability is never part of a longer value, and is not joined.
            Node::Number(number) if number.bytes().any(|b| matches!(b, b'.' | b'e' | b'E' | b'N' | b'I')) => {
                line(&mut self.said, number);
            }
            Node::Number(number) => self.text(parent, key, number),
            Node::List(items) => match bytes(key, items) {
                Some(bytes) => self.text(parent, key, &String::from_utf8_lossy(&bytes)),
                None => items.iter().for_each(|item| self.walk(parent, key, item)),
            },
            Node::Object(fields) => {
                for (inner, value) in fields {
                    self.key(inner);
                    self.walk(key, inner, value);
                }
            }
        }
    }

    /// Adds the text of `key` in an object that is the value of `parent`.
    fn text(&mut self, parent: &str, key: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        if !self.runs.contains_key(key) {
            self.order.push(key.to_owned());
            self.runs.insert(key.to_owned(), Run::default());
            self.inner.insert(key.to_owned(), Vec::new());
        }
        let (Some(run), Some(inner)) = (self.runs.get_mut(key), self.inner.get_mut(key)) else { return };
        if run.values == 0 || run.last != text {
            line(&mut self.said, text);
        }
        run.add(text);
        match inner.iter().position(|(name, _)| name == parent) {
            Some(at) => inner[at].1.add(text),
            None if inner.len() < PARENTS => {
                let mut run = Run::default();
                run.add(text);
                inner.push((parent.to_owned(), run));
            }
            None => {}
        }
    }

    fn key(&mut self, key: &str) {
        if !key.is_empty() && !is_usual(key) && self.seen.insert(key.to_owned()) {
            self.keys.push(key.to_owned());
        }
    }

    /// Returns everything, one item per line: values, then the joined values of each key, then keys.
    pub(crate) fn finish(mut self) -> String {
        for key in &self.order {
            let run = &self.runs[key];
            let inner = self.inner[key].iter().map(|(_, inner)| inner).filter(|inner| inner.joined != run.joined);
            for run in std::iter::once(run).chain(inner).filter(|run| run.is_cut()) {
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

/// The bytes of a token, which OpenAI sends as a list of numbers.
fn bytes(key: &str, items: &[Node<'_>]) -> Option<Vec<u8>> {
    let byte = |item: &Node<'_>| item.as_u64().and_then(|number| u8::try_from(number).ok());
    if key == "bytes" && !items.is_empty() { items.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(body: &str) -> String {
        let mut all = BesideTexts::default();
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
        let alternatives = r#"{"content": [{"token": "48", "top_logprobs": [{"token": "48"}, {"token": "7"}]},
            {"token": "29", "top_logprobs": [{"token": "29"}, {"token": "8"}]}]}"#;
        assert!(beside(alternatives).contains("\n4848729298\n4829\n487298\n"), "{}", beside(alternatives));
        // Equal values are not joined.
        assert_eq!(beside(r#"{"p": [{"type": "text"}, {"type": "text"}]}"#), "text\np\ntype");
    }
}
