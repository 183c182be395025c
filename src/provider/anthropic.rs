//! Messages of Anthropic, for probing.

use reqwest::Url;
use serde_json::{Value, json};

use super::http::{Endpoint, Http};
use super::text::collect;
use super::{Answer, Completing, Profile, Provider, ProviderError, Request};
use crate::chat::{Completion, Finish, Role, Usage};

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
        // The service takes temperatures up to 1, and wants either of temperature and top_p.
        let mut body = json!({"model": self.model, "max_tokens": request.sampling.max_tokens, "messages": turns,
                              "temperature": request.sampling.temperature.min(1.0)});
        if request.sampling.top_p < 1.0 {
            body["top_p"] = json!(request.sampling.top_p);
        }
        if !system.is_empty() {
            body["system"] = json!(system.join("\n"));
        }
        body
    }
}

fn read(value: &Value) -> Result<Answer, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let blocks = value.get("content").and_then(Value::as_array).ok_or_else(|| malformed("JSON without content"))?;
    let mut text = String::new();
    for block in blocks {
        for field in ["text", "thinking", "input"] {
            collect(block.get(field), &mut text);
        }
    }
    let reason = value.get("stop_reason").and_then(Value::as_str);
    let finish = match reason {
        Some("end_turn" | "stop_sequence" | "tool_use" | "refusal") => Finish::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        _ => Finish::Other,
    };
    let count = |name: &str| value.pointer(&format!("/usage/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let usage = Usage { prompt_tokens: count("input_tokens"), completion_tokens: count("output_tokens") };
    let refused = reason == Some("refusal");
    Ok(Answer::new(vec![Completion { finish, refused, ..Completion::of(text) }], usage))
}

impl Provider for Anthropic {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.http.ask(&self.url, &self.model, request, move || self.body(request), read))
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

    #[test]
    fn text_and_its_end_are_read() {
        let body = json!({"content": [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": "c"}}], "stop_reason": "max_tokens",
            "usage": {"input_tokens": 3, "output_tokens": 4}});
        let answer = read(&body).expect("a message");
        assert_eq!((answer.completions[0].text.as_str(), answer.usage.completion_tokens), ("a\nb\nc", 4));
        assert_eq!(answer.completions[0].finish, Finish::Length);
        let refusal = json!({"content": [], "stop_reason": "refusal"});
        assert!(read(&refusal).expect("a message").completions[0].refused);
        assert!(read(&json!({"type": "error"})).is_err());
    }
}
