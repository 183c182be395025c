//! `generateContent` of Gemini and Vertex, for probing.

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::body::{self as bodies, BesideTexts, Node};
use super::budget::worst_case;
use super::http::{Endpoint, Http, Whom};
use super::{Answer, Completing, Profile, Provider, ProviderError, Request};
use blabbermouth_core::chat::{Completion, Finish, Role, Usage};

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
        "maxOutputTokens": sampling.max_tokens, "candidateCount": request.choices, "seed": request.seed}});
    if !sampling.server_default {
        body["generationConfig"]["temperature"] = json!(sampling.temperature);
        body["generationConfig"]["topP"] = json!(sampling.top_p);
    }
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": parts(&system.join("\n"))});
    }
    body
}

fn read(bytes: &[u8]) -> Result<Answer, ProviderError> {
    let text = String::from_utf8_lossy(bytes);
    let node = Node::read(&text)?;
    let count = |name: &str| node.at(&["usageMetadata", name]).and_then(Node::as_u64).unwrap_or(0);
    let completion_tokens = count("candidatesTokenCount").saturating_add(count("thoughtsTokenCount"));
    let usage = Usage { prompt_tokens: count("promptTokenCount"), completion_tokens };
    let candidates = node.get("candidates").map(Node::items).unwrap_or_default();
    let mut completions: Vec<Completion> = candidates.iter().map(candidate).collect();
    if completions.is_empty() {
        // The prompt itself was blocked.
        if node.at(&["promptFeedback", "blockReason"]).is_none() {
            return Err(ProviderError::Malformed { what: "JSON without candidates".into() });
        }
        completions.push(Completion { finish: Finish::Filtered, ..Completion::default() });
    }
    let mut outside = BesideTexts::default();
    for (key, value) in node.fields() {
        if !matches!(key.as_ref(), "candidates" | "usageMetadata" | "modelVersion" | "responseId" | "createTime") {
            outside.field(key, value);
        }
    }
    bodies::add_line(&mut completions[0].beside, &outside.finish());
    bodies::join(&mut completions);
    Ok(Answer { completions, usage, id: bodies::id_hash(node.get("responseId")) })
}

fn candidate(candidate: &Node<'_>) -> Completion {
    let (mut said, mut beside, mut finish) = (String::new(), BesideTexts::default(), Finish::Other);
    if !matches!(candidate, Node::Object(_)) {
        beside.value("candidates", candidate);
    }
    for (key, value) in candidate.fields() {
        match (key.as_ref(), value) {
            ("content", Node::Object(fields)) => {
                for (key, value) in fields {
                    match (key.as_ref(), value) {
                        ("parts", Node::List(parts)) => {
                            parts.iter().for_each(|part| read_part(part, &mut said, &mut beside));
                        }
                        ("role", Node::Text(role)) if role == "model" => {}
                        (key, value) => beside.field(key, value),
                    }
                }
            }
            ("finishReason", Node::Text(word)) if ended(word).is_some() => finish = ended(word).unwrap_or_default(),
            ("index", Node::Number(number)) if number.len() == 1 => {}
            (key, value) => beside.field(key, value),
        }
    }
    Completion { text: said, beside: beside.finish(), finish, refused: false }
}

/// Texts are joined to the answer without a separator. Thoughts, function calls and code go beside it.
fn read_part(part: &Node<'_>, said: &mut String, beside: &mut BesideTexts) {
    let is_thought = part.get("thought").is_some_and(|thought| !thought.is_empty());
    for (key, value) in part.fields() {
        match value {
            Node::Text(text) if key == "text" && !is_thought => said.push_str(text),
            value => beside.field(key, value),
        }
    }
    if !matches!(part, Node::Object(_)) {
        beside.value("parts", part);
    }
}

/// Why the model stopped; `None` for an unknown word.
fn ended(word: &str) -> Option<Finish> {
    Some(match word {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Finish::Filtered,
        "FINISH_REASON_UNSPECIFIED" | "OTHER" | "LANGUAGE" | "MALFORMED_FUNCTION_CALL" => Finish::Other,
        _ => return None,
    })
}

impl Provider for Gemini {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        let whom = Whom { url: &self.url, model: &self.model, broken: &request.broken, learn: None };
        Box::pin(self.http.ask(whom, || worst_case(request), move || body(request), read))
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
    fn candidates_and_blocks_are_read() {
        let body = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}, {"text": "A"},
                {"text": "thought", "thought": true}, {"functionCall": {"name": "f", "args": {"x": 48}}}]},
             "finishReason": "STOP", "index": 0, "citationMetadata": {"uri": "c"}}, {"finishReason": "SPII"}],
            "usageMetadata": {"promptTokenCount": 2, "candidatesTokenCount": 3}, "responseId": "r", "more": ["d"]});
        let answer = read(&body).expect("candidates");
        assert_eq!(answer.completions[0].text, "aA");
        for said in ["thought", "f", "48", "c", "d", "x"] {
            assert!(answer.completions[0].beside.lines().any(|line| line == said), "{said}");
        }
        assert_eq!((&answer.completions[1].finish, answer.id), (&Finish::Filtered, bodies::hash("r")));
        let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
        assert_eq!(read(&blocked).expect("an outcome").completions[0].finish, Finish::Filtered);
        assert!(read(&json!({})).is_err());
    }
}
