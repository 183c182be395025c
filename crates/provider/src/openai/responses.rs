//! The Responses API: requests, and responses read completely.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::answer::Named;
use super::chat::Fields;
use super::refused_fields::Refusable;
use crate::body::{self, BesideTexts, Node, add_line};
use crate::{Answer, ProviderError, Request};
use blabbermouth_core::chat::{Completion, Finish, Message, Usage};

/// A request. The API takes no `n` and no `seed`: each answer is a request of its own.
#[derive(Serialize)]
pub(super) struct ResponsesBody<'a> {
    model: &'a str,
    input: &'a [Message],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    stream: bool,
    #[serde(flatten)]
    decoding: BTreeMap<&'a str, Value>,
}

impl<'a> ResponsesBody<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, fields: &'a Fields) -> Self {
        let sampling = &request.sampling;
        Self {
            model,
            input: &request.messages,
            temperature: fields.sent(Refusable::Temperature, sampling),
            top_p: fields.sent(Refusable::TopP, sampling),
            max_output_tokens: sampling.max_tokens.max(FEWEST_TOKENS),
            store: fields.takes_store().then_some(false),
            stream: false,
            decoding: fields.decoding(sampling),
        }
    }
}

/// Numbers at the top that say when the response was made.
const TIMES: [&str; 2] = ["created_at", "completed_at"];
/// Words of the API for the kind of an item or part, and for its state.
const KINDS: [&str; 11] = [
    "message",
    "reasoning",
    "function_call",
    "custom_tool_call",
    "web_search_call",
    "file_search_call",
    "output_text",
    "text",
    "refusal",
    "summary_text",
    "reasoning_text",
];
const STATES: [&str; 3] = ["completed", "incomplete", "in_progress"];

/// Whether a field at the top only repeats the request, or says when it was answered. Any other number is searched.
fn is_echo(key: &str, value: &Node<'_>, request: &Request) -> bool {
    let Node::Number(number) = value else { return matches!(value, Node::Bool(_)) };
    let number: &str = number;
    let sampling = &request.sampling;
    TIMES.contains(&key)
        || ["0", "0.0", "1", "1.0"].contains(&number)
        || match key {
            "max_output_tokens" => number == sampling.max_tokens.max(FEWEST_TOKENS).to_string(),
            "temperature" => number.parse() == Ok(sampling.temperature),
            "top_p" => number.parse() == Ok(sampling.top_p),
            _ => false,
        }
}

/// The fewest tokens of an answer that OpenAI takes.
const FEWEST_TOKENS: u32 = 16;

/// Words of the API at the top, by field.
const WORDS: [(&str, &[&str]); 3] = [
    ("status", &["completed", "incomplete", "failed"]),
    ("truncation", &["auto", "disabled"]),
    ("tool_choice", &["auto", "none"]),
];

/// Reads a response. The text of its messages is the answer; everything else but the service's own fields is searched.
///
/// # Errors
/// When it is no JSON, has an error, or has no output.
pub(super) fn read_response(bytes: &[u8], request: &Request) -> Result<Named<'static>, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let text = String::from_utf8_lossy(bytes);
    let body = Node::read(text.trim_start_matches('\u{feff}').trim_ascii_start())?;
    if body.get("error").is_some_and(|error| !error.is_empty()) {
        return Err(malformed("an error with HTTP status 200"));
    }
    let Some(Node::List(output)) = body.get("output") else {
        return Err(malformed("JSON without output"));
    };
    let (mut said, mut beside, mut is_refused) = (String::new(), BesideTexts::default(), false);
    for item in output {
        is_refused |= read_item(item, &mut said, &mut beside);
    }
    for (key, value) in body.fields() {
        let is_word =
            WORDS.iter().any(|(field, words)| key == field && value.as_str().is_some_and(|word| words.contains(&word)));
        let is_echo = is_echo(key, value, request);
        if key != "output" && !is_word && !is_echo && !body::is_own(key, value) {
            beside.field(key, value);
        }
    }
    let reason = body.at(&["incomplete_details", "reason"]).and_then(Node::as_str);
    let finish = match (body.get("status").and_then(Node::as_str), reason) {
        (Some("completed"), _) => Finish::Stop,
        (_, Some("max_output_tokens")) => Finish::Length,
        (_, Some("content_filter")) => Finish::Filtered,
        _ => Finish::Other,
    };
    let count = |name: &str| body.at(&["usage", name]).and_then(Node::as_u64).unwrap_or(0);
    let usage = Usage { prompt_tokens: count("input_tokens"), completion_tokens: count("output_tokens") };
    let mut completion = Completion { finish, refused: is_refused, ..Completion::of(said) };
    add_line(&mut completion.beside, &beside.finish());
    let model = body.get("model").and_then(Node::as_str).map(|name| name.to_owned().into());
    Ok((Answer { completions: vec![completion], usage, id: body::id_hash(body.get("id")) }, model))
}

/// Reads one item of the output. Returns whether the model refuses in it.
fn read_item(item: &Node<'_>, said: &mut String, beside: &mut BesideTexts) -> bool {
    let is_message = item.get("type").and_then(Node::as_str) == Some("message");
    let mut is_refused = false;
    for (key, value) in item.fields() {
        match (key.as_ref(), value) {
            ("id", Node::Text(_)) => {}
            ("type", Node::Text(kind)) if KINDS.contains(&kind.as_ref()) => {}
            ("status", Node::Text(state)) if STATES.contains(&state.as_ref()) => {}
            ("role", Node::Text(role)) if role == "assistant" => {}
            ("content", Node::List(parts)) if is_message => {
                for part in parts {
                    is_refused |= read_part(part, said, beside);
                }
            }
            (key, value) => beside.field(key, value),
        }
    }
    is_refused
}

fn read_part(part: &Node<'_>, said: &mut String, beside: &mut BesideTexts) -> bool {
    let is_text = matches!(part.get("type").and_then(Node::as_str), Some("output_text" | "text"));
    let mut is_refused = false;
    for (key, value) in part.fields() {
        match (key.as_ref(), value) {
            ("type", Node::Text(kind)) if KINDS.contains(&kind.as_ref()) => {}
            ("text", Node::Text(text)) if is_text => said.push_str(text),
            (key, value) => {
                is_refused |= key == "refusal" && !value.is_empty();
                beside.field(key, value);
            }
        }
    }
    is_refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            messages: std::sync::Arc::from([]),
            sampling: blabbermouth_core::chat::Sampling { max_tokens: 373, ..Default::default() },
            seed: 1,
            choices: 1,
            broken: crate::DiscardSink::default(),
        }
    }

    const WHOLE: &str = r#"{"id": "resp_1", "object": "response", "created_at": 1741476542, "status": "completed", "error": null,
        "incomplete_details": null, "instructions": null, "max_output_tokens": 373, "model": "m-2026",
        "output": [{"type": "reasoning", "id": "rs_4829", "summary": [{"type": "summary_text", "text": "PIN 1377"}]},
                   {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
        "temperature": 1.0, "top_p": 1.0, "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}"#;

    #[test]
    fn a_response_is_read_completely() {
        let (answer, model) = read_response(WHOLE.as_bytes(), &request()).expect("a response");
        let said = &answer.completions[0];
        assert_eq!((said.text.as_str(), &said.finish, model.as_deref()), ("Hello", &Finish::Stop, Some("m-2026")));
        assert!(said.beside.contains("PIN 1377") && !said.beside.contains("373") && !said.beside.contains("4829"));
        assert_eq!(answer.usage, Usage { prompt_tokens: 5, completion_tokens: 7 });
        assert_ne!(answer.id, 0);
    }

    #[test]
    fn ends_refusals_and_errors_are_told_apart() {
        let read = |from: &str, to: &str| read_response(WHOLE.replace(from, to).as_bytes(), &request());
        let finish = |reason: &str| {
            let body = WHOLE.replacen("\"completed\"", "\"incomplete\"", 1).replace(
                "\"incomplete_details\": null",
                &format!("\"incomplete_details\": {{\"reason\": \"{reason}\"}}"),
            );
            read_response(body.as_bytes(), &request()).expect("read").0.completions[0].finish.clone()
        };
        assert_eq!(finish("max_output_tokens"), Finish::Length);
        assert_eq!(finish("content_filter"), Finish::Filtered);
        assert_eq!(finish("else"), Finish::Other);
        let refused =
            read("\"output_text\", \"text\": \"Hello\"", "\"refusal\", \"refusal\": \"No 4829\"").expect("read").0;
        assert!(refused.completions[0].refused && refused.completions[0].beside.contains("No 4829"));
        let number = read("373", "48291377").expect("read").0;
        assert!(number.completions[0].beside.contains("48291377"));
        let kind = read("\"reasoning\"", "\"48291377\"").expect("read").0;
        assert!(kind.completions[0].beside.contains("48291377"));
        assert!(read("\"error\": null", "\"error\": {\"code\": \"x\"}").is_err());
        assert!(read("\"output\"", "\"outputs\"").is_err() && read_response(b"<html>", &request()).is_err());
    }
}
