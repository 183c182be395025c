//! The bodies of the OpenAI dialect, read tolerantly.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::{Completion, Finish, Message, Role, Usage};
use crate::provider::text::{collect, json};
use crate::provider::{Answer, Profile, ProviderError, Request};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(flatten)]
    begun: Option<&'a BTreeMap<String, bool>>,
}

/// Which fields a service takes.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    text: bool,
    old_name: bool,
    top_p: bool,
    n: bool,
    seed: bool,
    store: bool,
    /// Of requests whose answer was begun.
    begun: BTreeMap<String, bool>,
}

impl Fields {
    pub(super) fn new(profile: &Profile) -> Self {
        let sends = |field| profile.sends(field);
        let old_name = profile.max_tokens == "max_tokens";
        Self {
            text: profile.completions,
            old_name,
            top_p: sends("top_p"),
            n: sends("n"),
            seed: sends("seed"),
            store: sends("store"),
            begun: profile.prefill_fields.clone(),
        }
    }
}

impl Fields {
    /// The name of the field for the longest answer.
    pub(super) fn longest(&self) -> &'static str {
        if self.old_name { "max_tokens" } else { "max_completion_tokens" }
    }
}

impl<'a> Body<'a> {
    pub(super) fn new(model: &'a str, request: &'a Request, fields: &'a Fields) -> Self {
        let begun = request.messages.last().is_some_and(|m| m.role == Role::Assistant) && !fields.text;
        let longest = request.sampling.max_tokens;
        Self {
            model,
            messages: (!fields.text).then_some(&request.messages),
            prompt: fields.text.then(|| prompt(&request.messages)),
            temperature: request.sampling.temperature,
            top_p: fields.top_p.then_some(request.sampling.top_p),
            max_completion_tokens: (!fields.old_name).then_some(longest),
            max_tokens: fields.old_name.then_some(longest),
            n: fields.n.then_some(request.choices),
            seed: fields.seed.then_some(request.seed),
            store: fields.store.then_some(false),
            begun: begun.then_some(&fields.begun),
        }
    }
}

/// Between what is said by one and by another, where texts are completed.
pub(super) const APART: &str = "\n\n";

/// A chat as a text to go on with: what was said, one after the other.
pub(super) fn prompt(messages: &[Message]) -> String {
    let said: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    said.join(APART)
}

/// The body that servers nearly always send. Anything unusual (another type, a field of the message
/// that may hold text, a doubled key) is left to the tolerant reader.
#[derive(Deserialize)]
struct Plain<'a> {
    #[serde(borrow)]
    choices: Vec<PlainChoice<'a>>,
    usage: PlainUsage,
    error: Option<()>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct PlainChoice<'a> {
    #[serde(borrow)]
    message: PlainMessage<'a>,
    #[serde(borrow)]
    finish_reason: Cow<'a, str>,
    #[serde(rename = "text")]
    _text: Option<()>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainMessage<'a> {
    #[serde(borrow, rename = "role")]
    _role: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(rename = "refusal")]
    _refusal: Option<()>,
    #[serde(default, rename = "annotations")]
    _annotations: [(); 0],
}

#[derive(Deserialize)]
struct PlainUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

/// An answer, and which model the server says it is of.
type Named<'a> = (Answer, Option<Cow<'a, str>>);

fn read_plain(bytes: &[u8]) -> Option<Named<'_>> {
    // Checked as a whole: quicker than text by text.
    let body: Plain<'_> = serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
    if body.choices.is_empty() {
        return None;
    }
    debug_assert!(body.error.is_none());
    let completions = body.choices.into_iter().map(|choice| {
        // What is not named here may mean several things.
        let finish = match choice.finish_reason.as_ref() {
            "stop" => Finish::Stop,
            "length" => Finish::Length,
            "content_filter" => Finish::Filtered,
            _ => return None,
        };
        Some(Completion { finish, ..Completion::of(choice.message.content.into_owned()) })
    });
    let usage = Usage { prompt_tokens: body.usage.prompt_tokens, completion_tokens: body.usage.completion_tokens };
    Some((Answer::new(completions.collect::<Option<_>>()?, usage), body.model))
}

/// Reads a chat completion. Unknown fields, nulls and a missing usage are accepted; a missing list
/// of choices, or an error in the body, is not.
pub(in crate::provider) fn read_answer(bytes: &[u8], max_tokens: u32) -> Result<Answer, ProviderError> {
    read_named(bytes, max_tokens).map(|(answer, _)| answer)
}

/// The same, and which model the server says it is of.
pub(super) fn read_named(bytes: &[u8], max_tokens: u32) -> Result<Named<'_>, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let head = bytes.trim_ascii_start();
    if head.first() == Some(&b'<') {
        return Err(malformed("HTML or XML"));
    }
    if let Some(answer) = read_plain(head) {
        return Ok(answer);
    }
    read_tolerantly(head, max_tokens)
}

fn read_tolerantly(head: &[u8], max_tokens: u32) -> Result<Named<'static>, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let body = json(head)?;
    if body.get("error").is_some_and(|e| !e.is_null()) {
        return Err(malformed("an error with HTTP status 200"));
    }
    let choices = body.get("choices").and_then(Value::as_array).filter(|c| !c.is_empty());
    let choices = choices.ok_or_else(|| malformed("JSON without choices"))?;
    let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let usage = Usage { prompt_tokens: count("prompt_tokens"), completion_tokens: count("completion_tokens") };
    // A server that names no reason, but spent fewer tokens than it might, was not cut.
    let short = choices.len() == 1 && usage.completion_tokens > 0 && usage.completion_tokens < u64::from(max_tokens);
    let completions = choices.iter().map(|choice| completion(choice, short)).collect();
    let model = body.get("model").and_then(Value::as_str).map(|name| Cow::Owned(name.to_owned()));
    Ok((Answer::new(completions, usage), model))
}

fn completion(choice: &Value, short: bool) -> Completion {
    let message = choice.get("message").unwrap_or(&Value::Null);
    let mut text = String::new();
    // Of a text that was completed; empty elsewhere.
    collect(choice.get("text"), &mut text);
    const KNOWN: [&str; 6] = ["content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call"];
    match message.as_object() {
        Some(fields) => {
            KNOWN.iter().for_each(|field| collect(fields.get(*field), &mut text));
            // Whatever else a server may let a model say.
            let others = fields.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str()) && *key != "role");
            others.for_each(|(_, value)| collect(Some(value), &mut text));
        }
        None => collect(Some(message), &mut text),
    }
    let refused = message.get("refusal").and_then(Value::as_str).is_some_and(|r| !r.is_empty());
    let finish = match choice.get("finish_reason").and_then(Value::as_str) {
        Some("stop" | "eos" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call") => Finish::Stop,
        Some("length" | "max_tokens") => Finish::Length,
        Some("content_filter") => Finish::Filtered,
        None | Some("") if short => Finish::Stop,
        _ => Finish::Other,
    };
    Completion { finish, refused, ..Completion::of(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_wherever_a_model_can_say_something() {
        let body = br#"{"choices":[{"message":{"content":[{"type":"text","text":"A"}],"refusal":null,
            "reasoning":"B","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"C\":1}"}}]},
            "finish_reason":"tool_calls","unknown":1}],"usage":null}"#;
        let answer = read_answer(body, 100).expect("a completion");
        assert_eq!(answer.completions[0].text, "A\nB\n{\"C\":1}\nf");
        assert_eq!(answer.completions[0].finish, Finish::Stop);
    }

    #[test]
    fn the_plain_reader_agrees_with_the_tolerant_one_or_stands_back() {
        let body = |message: &str, more: &str| {
            format!(
                r#"{{"id":"x","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}],
                "usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}{more}}}"#
            )
        };
        let plain = [
            body(r#"{"role":"assistant","content":"a\u0041\n","refusal":null,"annotations":[]}"#, ""),
            body(r#"{"role":"assistant","content":""}"#, r#","error":null,"system_fingerprint":"f""#),
            body(r#"{"role":"assistant","content":"a"}"#, "").replace("stop", "length"),
        ];
        for body in &plain {
            let (fast, slow) = (read_plain(body.as_bytes()), read_tolerantly(body.as_bytes(), 100).expect("sound"));
            let fast = fast.expect(body);
            assert_eq!((fast.0.completions, fast.0.usage), (slow.0.completions, slow.0.usage), "{body}");
            assert_eq!(fast.1, slow.1);
        }
        for unusual in [
            body(r#"{"role":"assistant","content":"a","reasoning":"b"}"#, ""),
            body(r#"{"role":"assistant","content":null,"refusal":"no"}"#, ""),
            body(r#"{"role":"assistant","content":"a","content":"b"}"#, ""),
            body(r#"{"role":"assistant","content":[{"type":"text","text":"a"}]}"#, ""),
            body(r#"{"role":"assistant","content":"a"}"#, r#","error":{"code":1}"#),
            body(r#"{"role":"assistant","content":"a"}"#, "").replace("stop", "tool_calls"),
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#.to_owned(),
        ] {
            assert!(read_plain(unusual.as_bytes()).is_none(), "{unusual}");
        }
    }

    #[test]
    fn no_field_of_a_message_is_left_out() {
        for message in [
            r#""B""#,
            r#"{"content":"A","reasoning_details":[{"type":"x","text":"B"}]}"#,
            r#"{"audio":{"transcript":"B"}}"#,
        ] {
            let body = format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}],"model":"m"}}"#);
            let (answer, model) = read_named(body.as_bytes(), 100).expect("a completion");
            assert!(answer.completions[0].text.ends_with('B'), "{message}");
            assert_eq!(model.as_deref(), Some("m"));
        }
    }

    #[test]
    fn what_is_no_completion_is_named() {
        for (body, what) in [
            (&b"<html>"[..], "HTML"),
            (b"{\"choices\":[", "cut"),
            (b"hello", "not JSON"),
            (b"{\"choices\":null}", "without choices"),
            (b"{\"choices\":[]}", "without choices"),
            (b"{\"error\":{\"message\":\"x\"}}", "status 200"),
            (b"{\"choices\":[{\"message\":{\"content\":\"a secret\",\"content\":\"none\"}}]}", "doubled key"),
        ] {
            assert!(read_answer(body, 1).expect_err(what).to_string().contains(what));
        }
    }
}
