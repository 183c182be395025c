//! Chat completions, whole or streamed, and text completions.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};

use super::backend::Backend;
use super::parrot::{PromptKey, prompt_key, read_messages, unit};
use super::response::Reply;
use super::scenario::Scenario;
use blabbermouth_core::chat::{Message, Role};

/// State that all completions of a server share.
#[derive(Debug)]
pub(super) struct Sampler {
    scenario: Scenario,
    seed: u64,
    /// Counts requests without a seed, so that each gets a random stream of its own.
    asked: AtomicU64,
    /// Attempts of each request: faults strike the first one only.
    attempts: Mutex<HashMap<PromptKey, u32>>,
}

/// One answer.
struct Said {
    text: String,
    finish: &'static str,
    /// Tokens of a real model, each with the natural logarithm of its probability. `None` for a parrot, and after a cut
    /// at a stop text.
    drawn: Option<Vec<(String, f32)>>,
}

impl Said {
    /// The answer in tokens. Without real ones: words, each with the white space before it.
    fn tokens(&self) -> Vec<&str> {
        match &self.drawn {
            Some(drawn) => drawn.iter().map(|(token, _)| token.as_str()).collect(),
            None => pieces(&self.text),
        }
    }

    /// Natural logarithm of a token's probability; -0.01 where there is none.
    fn logprob(&self, index: usize) -> f64 {
        let drawn = self.drawn.as_ref().and_then(|drawn| drawn.get(index));
        drawn.map_or(-0.01, |(_, ln)| f64::from(*ln))
    }
}

fn pieces(text: &str) -> Vec<&str> {
    let mut cuts: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at).collect();
    cuts.push(text.len());
    let mut begin = 0;
    let mut pieces = Vec::with_capacity(cuts.len());
    for cut in cuts {
        if cut > begin {
            pieces.push(&text[begin..cut]);
            begin = cut;
        }
    }
    pieces
}

impl Sampler {
    pub(super) fn new(scenario: Scenario, seed: u64) -> Self {
        Self { scenario, seed, asked: AtomicU64::new(0), attempts: Mutex::default() }
    }

    /// Answers a chat request that names `model`.
    pub(super) fn chat(&self, voice: &Backend, model: &str, request: &Value, now: u64) -> Reply {
        let messages = read_messages(request);
        if messages.is_empty() {
            return Reply::fault(400, "invalid_value", "'messages' must have at least one message.", Some("messages"));
        }
        let (said, mut stream) = match self.say(voice, &messages, request) {
            Ok(said) => said,
            Err(fault) => return fault,
        };
        let prompt: usize = messages.iter().map(|m| m.content.len() / 4 + 4).sum();
        let usage = usage(prompt, &said);
        let head = json!({"id": format!("chatcmpl-{:016x}", bits(&mut stream)), "created": now, "model": model,
                          "service_tier": "default", "system_fingerprint": null});
        if request["stream"] == true {
            let whole = request.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
            return streamed(head, &said, whole.then_some(usage));
        }
        let logprobs = request["logprobs"] == true;
        let top = request["top_logprobs"].as_u64().unwrap_or(0);
        let function = wanted_function(request);
        let choices: Vec<Value> = said
            .iter()
            .enumerate()
            .map(|(index, said)| {
                let message = message(said, function.as_deref(), index);
                let finish = if function.is_some() { "tool_calls" } else { said.finish };
                json!({"index": index, "message": message, "finish_reason": finish,
                       "logprobs": if logprobs { chat_logprobs(said, top) } else { Value::Null }})
            })
            .collect();
        let mut body = head;
        body["object"] = json!("chat.completion");
        body["choices"] = json!(choices);
        body["usage"] = usage;
        Reply::ok(&body)
    }

    /// Answers a legacy completion request; the prompt is taken as a user message.
    pub(super) fn complete(&self, voice: &Backend, model: &str, request: &Value, now: u64) -> Reply {
        // A parrot has no probabilities: its scores of texts would be invented.
        if request["prompt"].is_array() && request["echo"] == true && request["max_tokens"] == 0 {
            return Reply::fault(400, "unsupported_value", "A parrot cannot score texts.", Some("echo"));
        }
        let prompt = match &request["prompt"] {
            Value::String(prompt) => prompt.clone(),
            Value::Array(prompts) if prompts.len() == 1 && prompts[0].is_string() => {
                prompts[0].as_str().unwrap_or_default().to_owned()
            }
            _ => return Reply::fault(400, "invalid_value", "'prompt' must be one text here.", Some("prompt")),
        };
        let (said, mut stream) = match self.say(voice, &[Message::new(Role::User, prompt.clone())], request) {
            Ok(said) => said,
            Err(fault) => return fault,
        };
        let echo = request["echo"] == true;
        let logprobs = request["logprobs"].as_u64();
        let choices: Vec<Value> = said
            .iter()
            .enumerate()
            .map(|(index, said)| {
                let text = if echo { format!("{prompt}{}", said.text) } else { said.text.clone() };
                let logprobs = logprobs.map_or(Value::Null, |_| text_logprobs(&text, echo));
                json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": said.finish})
            })
            .collect();
        Reply::ok(&json!({
            "id": format!("cmpl-{:016x}", bits(&mut stream)), "object": "text_completion", "created": now, "model": model,
            "choices": choices, "usage": usage(prompt.len() / 4 + 1, &said)}))
    }

    /// Answers a request of the Responses API: one message, after an empty reasoning item.
    pub(super) fn respond(&self, voice: &Backend, model: &str, request: &Value, now: u64) -> Reply {
        let refused =
            ["n", "seed", "messages"].into_iter().find(|field| request.get(*field).is_some_and(|v| !v.is_null()));
        if let Some(field) = refused {
            return Reply::fault(400, "unknown_parameter", &format!("Unknown parameter: '{field}'."), Some(field));
        }
        let mut chat = request.clone();
        let input = match &request["input"] {
            Value::String(text) => json!([{"role": "user", "content": text}]),
            list => list.clone(),
        };
        let instructions = request["instructions"].as_str().map(|text| json!({"role": "system", "content": text}));
        let turns = input.as_array().into_iter().flatten().cloned();
        chat["messages"] = instructions.into_iter().chain(turns).collect();
        chat["max_completion_tokens"] = request["max_output_tokens"].clone();
        let messages = read_messages(&chat);
        if messages.is_empty() {
            return Reply::fault(400, "invalid_value", "'input' must have at least one message.", Some("input"));
        }
        let (said, mut stream) = match self.say(voice, &messages, &chat) {
            Ok(said) => said,
            Err(fault) => return fault,
        };
        let prompt: usize = messages.iter().map(|m| m.content.len() / 4 + 4).sum();
        let usage = usage(prompt, &said);
        let Some(said) = said.first() else { return Reply::error(500, "server_error", "No answer.") };
        let is_cut = said.finish == "length";
        let id = format!("{:016x}", bits(&mut stream));
        let content = json!([{"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}]);
        let status = if is_cut { "incomplete" } else { "completed" };
        let details = if is_cut { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        Reply::ok(&json!({
            "id": format!("resp_{id}"), "object": "response", "created_at": now, "status": status, "error": null,
            "incomplete_details": details, "instructions": request["instructions"], "model": model,
            "max_output_tokens": request["max_output_tokens"], "metadata": {}, "parallel_tool_calls": true,
            "previous_response_id": null, "temperature": request["temperature"], "top_p": request["top_p"],
            "tool_choice": "auto", "tools": [], "truncation": "disabled",
            "output": [{"type": "reasoning", "id": format!("rs_{id}"), "summary": []},
                       {"type": "message", "id": format!("msg_{id}"), "status": status, "role": "assistant",
                        "content": content}],
            "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
                      "total_tokens": usage["total_tokens"], "input_tokens_details": {"cached_tokens": 0},
                      "output_tokens_details": {"reasoning_tokens": 0}}}))
    }

    fn say(&self, voice: &Backend, messages: &[Message], request: &Value) -> Result<(Vec<Said>, ChaCha20Rng), Reply> {
        let n = request.get("n").map_or(Some(1), Value::as_u64).filter(|n| (1..=128).contains(n));
        let n = n.ok_or_else(|| Reply::fault(400, "invalid_value", "'n' must lie from 1 to 128.", Some("n")))?;
        if request["temperature"].as_f64().is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            return Err(Reply::fault(400, "invalid_value", "'temperature' must lie from 0 to 2.", Some("temperature")));
        }
        // A request with a seed or at temperature 0 always gets the same answer.
        let seed = match request["seed"].as_u64() {
            Some(seed) => seed << 16,
            None if request["temperature"].as_f64() == Some(0.0) => 0,
            None => u64::MAX ^ self.asked.fetch_add(1, Ordering::Relaxed),
        };
        let key = prompt_key(messages, self.seed ^ seed);
        let mut stream = ChaCha20Rng::from_seed(key);
        if let Some(fault) = self.fault(key, &mut stream) {
            return Err(fault);
        }
        let stop: Vec<&str> = match &request["stop"] {
            Value::String(stop) => vec![stop],
            Value::Array(stops) => stops.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let longest = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| request[*key].as_u64());
        #[cfg_attr(
            not(feature = "embedded"),
            expect(clippy::infallible_destructuring_match, reason = "there is no other voice then")
        )]
        let parrot = match voice {
            Backend::Parrot(parrot) => parrot,
            #[cfg(feature = "embedded")]
            Backend::Model(model) => {
                let said = speak(model, messages, n as usize, request, bits(&mut stream), &stop)?;
                return Ok((said, stream));
            }
        };
        let mut said = Vec::with_capacity(n as usize);
        for _ in 0..n {
            let mut text = parrot.say(messages, &mut stream);
            let mut finish = "stop";
            if unit(&mut stream) < self.scenario.cut {
                text = text.chars().take(text.chars().count() / 3).collect();
                finish = "length";
            }
            if let Some(at) = stop.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s)).min() {
                text.truncate(at);
                finish = "stop";
            }
            if let Some(longest) = longest
                && text.len() / 4 > longest as usize
            {
                text = text.chars().take(4 * longest as usize).collect();
                finish = "length";
            }
            said.push(Said { text, finish, drawn: None });
        }
        Ok((said, stream))
    }

    /// An injected 429 or 500. With a seed, only the first attempt of a request fails; without one, every attempt
    /// counts as the first.
    fn fault(&self, key: PromptKey, stream: &mut ChaCha20Rng) -> Option<Reply> {
        let (limited, broken) = (self.scenario.rate_limited, self.scenario.server_error);
        if limited + broken == 0.0 {
            return None;
        }
        let lot = unit(stream);
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.entry(key).or_insert(0);
        *attempt += 1;
        if *attempt > 1 || lot >= limited + broken {
            return None;
        }
        let (status, code) = if lot < limited { (429, "rate_limit_exceeded") } else { (500, "server_error") };
        Some(Reply { retry_after_ms: Some(20), ..Reply::error(status, code, "Please try again.") })
    }
}

/// Answers of a real model.
#[cfg(feature = "embedded")]
fn speak(
    model: &blabbermouth_provider::embedded::Model,
    messages: &[Message],
    count: usize,
    request: &Value,
    seed: u64,
    stop: &[&str],
) -> Result<Vec<Said>, Reply> {
    let longest = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| request[*key].as_u64());
    let drawing = blabbermouth_lm::SamplingParams {
        temperature: request["temperature"].as_f64().unwrap_or(1.0),
        top_p: request["top_p"].as_f64().unwrap_or(1.0),
        top_k: request["top_k"].as_u64().unwrap_or(0) as usize,
        min_p: request["min_p"].as_f64().unwrap_or(0.0),
        max_tokens: longest.unwrap_or(u64::from(u32::MAX)) as usize,
        seed,
    };
    let (_, spoken) = super::engine::speak(model, messages, count, &drawing)
        .map_err(|e| Reply::fault(400, "context_length_exceeded", &e, Some("messages")))?;
    let one = |spoken: blabbermouth_provider::embedded::Spoken| {
        let mut said = Said {
            text: spoken.text,
            finish: if spoken.ended { "stop" } else { "length" },
            drawn: Some(spoken.tokens),
        };
        if let Some(at) = stop.iter().filter(|s| !s.is_empty()).filter_map(|s| said.text.find(s)).min() {
            said.text.truncate(at);
            said.finish = "stop";
            said.drawn = None;
        }
        said
    };
    Ok(spoken.into_iter().map(one).collect())
}

fn bits(stream: &mut ChaCha20Rng) -> u64 {
    (unit(stream) * (1u64 << 53) as f64) as u64
}

fn usage(prompt: usize, said: &[Said]) -> Value {
    let tokens: usize = said.iter().map(|s| s.text.len() / 4 + 1).sum();
    json!({"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens,
           "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
           "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
                                         "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

/// Name of the function that `tool_choice` forces, if any.
fn wanted_function(request: &Value) -> Option<String> {
    let named = request.pointer("/tool_choice/function/name").and_then(Value::as_str);
    let first = || request.pointer("/tools/0/function/name").and_then(Value::as_str);
    named.or_else(|| first().filter(|_| request["tool_choice"] == "required")).map(str::to_owned)
}

fn message(said: &Said, function: Option<&str>, index: usize) -> Value {
    let Some(function) = function else {
        return json!({"role": "assistant", "content": said.text, "refusal": null, "annotations": []});
    };
    let arguments = json!({"text": said.text}).to_string();
    json!({"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
        {"id": format!("call_{index:024}"), "type": "function", "function": {"name": function, "arguments": arguments}}]})
}

/// Log-probabilities in the API's shape. Without a real model, the values are invented.
fn chat_logprobs(said: &Said, top: u64) -> Value {
    let tokens = said.tokens();
    let content: Vec<Value> = tokens
        .iter()
        .enumerate()
        .map(|(index, token)| {
            let entry = |logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
            let own = said.logprob(index);
            let mut one = entry(own);
            one["top_logprobs"] = (0..top).map(|rank| entry(if rank == 0 { own } else { -9999.0 })).collect();
            one
        })
        .collect();
    json!({"content": content, "refusal": null})
}

fn text_logprobs(text: &str, echo: bool) -> Value {
    let tokens = pieces(text);
    let mut end = 0;
    let offsets: Vec<usize> = tokens
        .iter()
        .map(|token| {
            end += token.chars().count();
            end - token.chars().count()
        })
        .collect();
    let one = |at: usize| if echo && at == 0 { Value::Null } else { json!(-0.01) };
    let logprobs: Vec<Value> = (0..tokens.len()).map(one).collect();
    let top: Vec<Value> = logprobs
        .iter()
        .zip(&tokens)
        .map(|(p, token)| if p.is_null() { Value::Null } else { json!({(*token): p}) })
        .collect();
    json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets})
}

/// A response of server-sent events, ended by `[DONE]`.
fn streamed(mut head: Value, said: &[Said], usage: Option<Value>) -> Reply {
    head["object"] = json!("chat.completion.chunk");
    let mut body = String::new();
    let mut send = |choices: Value, usage: Option<&Value>| {
        head["choices"] = choices;
        if let Some(usage) = usage {
            head["usage"] = usage.clone();
        }
        let _ = write!(body, "data: {head}\n\n");
    };
    let choice = |index: usize, delta: Value, finish: Option<&str>| json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    for (index, said) in said.iter().enumerate() {
        send(choice(index, json!({"role": "assistant", "content": "", "refusal": null}), None), None);
        for token in said.tokens() {
            send(choice(index, json!({"content": token}), None), None);
        }
        send(choice(index, json!({}), Some(said.finish)), None);
    }
    if let Some(usage) = usage {
        send(json!([]), Some(&usage));
    }
    body.push_str("data: [DONE]\n\n");
    Reply { kind: "text/event-stream", ..Reply::bytes(body.into_bytes()) }
}
