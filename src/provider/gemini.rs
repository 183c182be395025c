//! `generateContent` of Gemini and Vertex, for probing.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::http::{Endpoint, Http};
use super::text::collect;
use super::{Answer, Completing, Profile, Provider, ProviderError, Request};
use crate::chat::{Completion, Finish, Role, Usage};

/// A client of one model.
#[derive(Debug)]
pub(super) struct Gemini {
    http: Http,
    url: Url,
    model: String,
}

impl Gemini {
    pub(super) fn new(
        endpoint: &Endpoint,
        profile: &Profile,
        model: &str,
        warm_up: Duration,
    ) -> Result<Self, ProviderError> {
        let http = Http::new(endpoint)?.warm_up(warm_up);
        let url = http.url(&profile.path(model, "/models/{model}:generateContent"))?;
        Ok(Self { http, url, model: model.to_owned() })
    }
}

fn body(request: &Request) -> Value {
    let parts = |text: &str| json!([{"text": text}]);
    let system: Vec<&str> =
        request.messages.iter().filter(|m| m.role == Role::System).map(|m| m.content.as_str()).collect();
    let turns: Vec<Value> = request
        .messages
        .iter()
        .filter(|m| m.role != Role::System)
        .map(|m| json!({"role": if m.role == Role::Assistant { "model" } else { "user" }, "parts": parts(&m.content)}))
        .collect();
    let sampling = request.sampling;
    let mut body = json!({"contents": turns, "generationConfig": {
        "temperature": sampling.temperature, "topP": sampling.top_p, "maxOutputTokens": sampling.max_tokens,
        "candidateCount": request.choices, "seed": request.seed}});
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": parts(&system.join("\n"))});
    }
    body
}

fn read(value: &Value) -> Result<Answer, ProviderError> {
    let filtered = || Completion { finish: Finish::Filtered, ..Completion::default() };
    let count = |name: &str| value.pointer(&format!("/usageMetadata/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let completion_tokens = count("candidatesTokenCount").saturating_add(count("thoughtsTokenCount"));
    let usage = Usage { prompt_tokens: count("promptTokenCount"), completion_tokens };
    let candidates = value.get("candidates").and_then(Value::as_array).filter(|c| !c.is_empty());
    let Some(candidates) = candidates else {
        // The prompt itself was blocked.
        let blocked = value.pointer("/promptFeedback/blockReason").is_some();
        return if blocked {
            Ok(Answer::new(vec![filtered()], usage))
        } else {
            Err(ProviderError::Malformed { what: "JSON without candidates".into() })
        };
    };
    let completions = candidates
        .iter()
        .map(|candidate| {
            let mut text = String::new();
            for part in candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten() {
                for field in ["text", "functionCall", "executableCode", "codeExecutionResult"] {
                    collect(part.get(field), &mut text);
                }
            }
            let finish = match candidate.get("finishReason").and_then(Value::as_str) {
                Some("STOP") => Finish::Stop,
                Some("MAX_TOKENS") => Finish::Length,
                Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII") => Finish::Filtered,
                _ => Finish::Other,
            };
            Completion { finish, ..Completion::of(text) }
        })
        .collect();
    Ok(Answer::new(completions, usage))
}

impl Provider for Gemini {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.http.ask(&self.url, &self.model, request, move || body(request), read))
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
    fn candidates_and_blocks_are_read() {
        let body = json!({"candidates": [
            {"content": {"role": "model", "parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {"x": "b"}}}]},
             "finishReason": "STOP"}, {"finishReason": "SPII"}], "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3}});
        let answer = read(&body).expect("candidates");
        assert_eq!(answer.completions[0].text, "a\nb\nf");
        assert_eq!(answer.completions[1].finish, Finish::Filtered);
        let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
        assert_eq!(read(&blocked).expect("an outcome").completions[0].finish, Finish::Filtered);
        assert!(read(&json!({})).is_err());
    }
}
