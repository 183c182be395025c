//! Anthropic's messages API, for probing.

use reqwest::Url;
use serde_json::{Value, json};

use super::body::{self, BesideTexts, Node};
use super::budget::worst_case;
use super::http::{Endpoint, Http, Whom};
use super::{Answer, Completing, Profile, Provider, ProviderError, Request};
use blabbermouth_core::chat::{Completion, Finish, Role, Usage};

/// A client of one model.
#[derive(Debug)]
pub(super) struct Anthropic {
    http: Http,
    url: Url,
    model: String,
}

impl Anthropic {
    pub(super) fn new(endpoint: &Endpoint, profile: &Profile, model: &str) -> Result<Self, ProviderError> {
        let http = Http::new(endpoint)?;
        let url = http.url(&profile.path(model, "/messages"))?;
        Ok(Self { http, url, model: model.to_owned() })
    }

    fn body(&self, request: &Request) -> Value {
        let said = |role: Role| request.messages.iter().filter(move |m| m.role == role).map(|m| m.content.as_str());
        let system: Vec<&str> = said(Role::System).collect();
        let turns: Vec<Value> = request
            .messages
            .iter()
            .filter(|m| m.role != Role::System)
            .map(|m| json!({"role": m.role.as_str(), "content": m.content}))
            .collect();
        let sampling = &request.sampling;
        let mut body = json!({"model": self.model, "max_tokens": sampling.max_tokens, "messages": turns});
        // The service accepts temperatures up to 1, and wants one of temperature and `top_p`: a `top_p` of 1 is left
        // out.
        if !sampling.server_default {
            body["temperature"] = json!(sampling.temperature.min(1.0));
            if sampling.top_p < 1.0 {
                body["top_p"] = json!(sampling.top_p);
            }
        }
        if !system.is_empty() {
            body["system"] = json!(system.join("\n"));
        }
        body
    }
}

fn read(bytes: &[u8]) -> Result<Answer, ProviderError> {
    let text = String::from_utf8_lossy(bytes);
    let node = Node::read(&text)?;
    let Some(Node::List(blocks)) = node.get("content") else {
        return Err(ProviderError::Malformed { what: "JSON without content".into() });
    };
    let (mut said, mut beside, mut finish) = (String::new(), BesideTexts::default(), Finish::Other);
    for (key, value) in node.fields() {
        match (key.as_ref(), value.as_str()) {
            ("content", _) => blocks.iter().for_each(|block| read_block(block, &mut said, &mut beside)),
            ("stop_reason", Some(word)) if ended(word).is_some() => finish = ended(word).unwrap_or_default(),
            ("type", Some("message")) | ("role", Some("assistant")) => {}
            (key, _) if body::is_own(key, value) => {}
            (key, _) => beside.field(key, value),
        }
    }
    let count = |name: &str| node.at(&["usage", name]).and_then(Node::as_u64).unwrap_or(0);
    let usage = Usage { prompt_tokens: count("input_tokens"), completion_tokens: count("output_tokens") };
    let refused = node.get("stop_reason").and_then(Node::as_str) == Some("refusal");
    let completion = Completion { text: said, beside: beside.finish(), finish, refused };
    Ok(Answer { completions: vec![completion], usage, id: body::id_hash(node.get("id")) })
}

/// Texts are joined to the answer without a separator. Thoughts and tool calls go beside it.
fn read_block(block: &Node<'_>, said: &mut String, beside: &mut BesideTexts) {
    let is_text = block.get("type").and_then(Node::as_str).is_none_or(|kind| kind == "text");
    match block {
        Node::Object(fields) => {
            for (key, value) in fields {
                match (key.as_ref(), value.as_str()) {
                    ("text", Some(text)) if is_text => said.push_str(text),
                    ("type", Some("text")) => {}
                    (key, _) => beside.field(key, value),
                }
            }
        }
        Node::Text(text) => said.push_str(text),
        other => beside.value("content", other),
    }
}

/// Why the model stopped; `None` for an unknown word.
fn ended(word: &str) -> Option<Finish> {
    Some(match word {
        "end_turn" | "stop_sequence" | "tool_use" | "refusal" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "pause_turn" => Finish::Other,
        _ => return None,
    })
}

impl Provider for Anthropic {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        let whom = Whom { url: &self.url, model: &self.model, broken: &request.broken, learn: None };
        Box::pin(self.http.ask(whom, || worst_case(request), move || self.body(request), read))
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> String {
        self.http.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<Answer, ProviderError> {
        super::read(body.to_string().as_bytes())
    }

    #[test]
    fn text_and_its_end_are_read() {
        let body = json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [
            {"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}, {"type": "text", "text": "B"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 4829137755u64}}], "stop_reason": "max_tokens",
            "usage": {"input_tokens": 3, "output_tokens": 4}, "more": "d"});
        let answer = read(&body).expect("a message");
        assert_eq!((answer.completions[0].text.as_str(), answer.usage.completion_tokens), ("bB", 4));
        for said in ["a", "t", "f", "4829137755", "d", "x"] {
            assert!(answer.completions[0].beside.lines().any(|line| line == said), "{said}");
        }
        assert_eq!((&answer.completions[0].finish, answer.id), (&Finish::Length, body::hash("m")));
        let refusal = json!({"content": [], "stop_reason": "refusal"});
        assert!(read(&refusal).expect("a message").completions[0].refused);
        let odd = read(&json!({"content": [], "stop_reason": "4829"})).expect("a message");
        assert_eq!((odd.completions[0].beside.as_str(), &odd.completions[0].finish), ("4829", &Finish::Other));
        assert!(read(&json!({"type": "error"})).is_err());
    }
}
