//! The client of the OpenAI-compatible API against a mocked server: what it sends, what it retries, and which errors
//! are final.

use std::sync::Arc;
use std::time::Duration;

use blabbermouth::chat::{Finish, Message, Quality, Role, Sampling};
use blabbermouth::provider::{Answer, Endpoint, OpenAi, Provider, ProviderError, Request};
use secrecy::SecretString;
use serde_json::json;
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "sk-test-0123456789";

fn request() -> Request {
    Request {
        messages: Arc::new([Message::new(Role::User, "Hi, I'm Mr Ash")]),
        sampling: Sampling { temperature: 1.0, top_p: 0.9, max_tokens: 64, ..Sampling::default() },
        seed: 7,
        choices: 2,
        broken: Default::default(),
    }
}

async fn ask(server: &MockServer) -> Result<Answer, ProviderError> {
    let options = Endpoint {
        base_url: format!("{}/v1", server.uri()),
        key: Some(SecretString::from(KEY)),
        key_variable: "OPENAI_API_KEY".into(),
        timeout: Duration::from_secs(5),
        ..Endpoint::default()
    };
    OpenAi::new(&options, "tuned").expect("a sound address").complete(&request()).await
}

fn chat() -> wiremock::MockBuilder {
    Mock::given(method("POST")).and(path("/v1/chat/completions"))
}

fn fault(status: u16, code: &str) -> ResponseTemplate {
    let body = json!({"error": {"message": "secret detail", "type": "x", "param": null, "code": code}});
    ResponseTemplate::new(status).insert_header("retry-after-ms", "1").set_body_json(body)
}

fn completion() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "one"}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": "two"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6}}))
}

#[tokio::test]
async fn the_request_is_of_the_dialect_and_all_choices_are_read() {
    let server = MockServer::start().await;
    let body = json!({
        "model": "tuned", "messages": [{"role": "user", "content": "Hi, I'm Mr Ash"}], "temperature": 1.0, "top_p": 0.9,
        "max_completion_tokens": 64, "n": 2, "seed": 7, "store": false, "stream": false});
    let bearer = format!("Bearer {KEY}");
    let mock = chat().and(body_partial_json(body)).and(header("authorization", bearer.as_str()));
    mock.respond_with(completion()).expect(1).mount(&server).await;
    let answer = ask(&server).await.expect("an answer");
    let texts: Vec<_> = answer.completions.iter().map(|c| (c.text.as_str(), c.finish.clone())).collect();
    assert_eq!(texts, [("one", Finish::Stop), ("two", Finish::Length)]);
    assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (5, 6));
}

#[tokio::test]
async fn passing_faults_are_tried_again_and_lasting_ones_six_times() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let server = MockServer::start().await;
        chat().respond_with(fault(status, "busy")).up_to_n_times(2).expect(2).mount(&server).await;
        chat().respond_with(completion()).expect(1).mount(&server).await;
        assert!(ask(&server).await.is_ok(), "{status}");
    }
    let server = MockServer::start().await;
    chat().respond_with(fault(503, "busy")).expect(6).mount(&server).await;
    assert_eq!(
        ask(&server).await.expect_err("busy"),
        ProviderError::Status { status: 503, code: "busy".into(), message: String::new() }
    );
}

#[tokio::test]
async fn what_is_final_is_asked_once_and_says_no_secret() {
    for (status, code, named) in [
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (403, "invalid_api_key", "OPENAI_API_KEY"),
        (403, "forbidden", "denies access (HTTP 403, forbidden)"),
        (404, "model_not_found", "tuned"),
        (429, "insufficient_quota", "quota"),
        (400, "bad_request", "HTTP 400 (bad_request)"),
        (418, "<script>", "no code"),
    ] {
        let server = MockServer::start().await;
        chat().respond_with(fault(status, code)).expect(1).mount(&server).await;
        let error = ask(&server).await.expect_err("final").to_string();
        assert!(error.contains(named), "{error}");
        assert!(!error.contains(KEY) && !error.contains("secret detail"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let away = ResponseTemplate::new(307).insert_header("location", format!("{}/v1/chat/completions", other.uri()));
    chat().respond_with(away).expect(1).mount(&server).await;
    Mock::given(wiremock::matchers::any()).respond_with(completion()).expect(0).mount(&other).await;
    assert_eq!(
        ask(&server).await.expect_err("no answer"),
        ProviderError::Status { status: 307, code: "no code".into(), message: String::new() }
    );
}

/// Bodies that real servers of the OpenAI-compatible API send: each is read, or refused with a reason that names a
/// remedy.
#[tokio::test]
async fn bodies_of_many_servers_are_read_or_named() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai");
    let mut seen = 0;
    for (name, expected) in [
        ("chat.response", Ok(("sk-canary-7f3a", Quality::Answered))),
        ("chat.response.minimal", Ok(("ok", Quality::Answered))),
        ("chat.response.refusal", Ok(("I can't help with that.", Quality::Refused))),
        ("chat.response.content-filter", Ok(("", Quality::Filtered))),
        ("azure.chat", Ok(("hi", Quality::Answered))),
        ("llama-cpp.chat", Ok(("hi", Quality::Answered))),
        ("together.chat", Ok(("hi", Quality::Answered))),
        ("transformers-serve.chat", Ok(("The cow says", Quality::Answered))),
        ("vllm.chat-prompt-logprobs", Ok(("ok", Quality::Answered))),
        ("content-parts", Ok(("hi", Quality::Answered))),
        // An unknown finish reason: the text is searched, but does not count as silence.
        ("http-200-with-error", Ok(("partial", Quality::Answered))),
        ("odd-scalars", Ok(("hi", Quality::Answered))),
        ("choices-null", Err("without choices")),
        ("error-as-list", Err("HTTP 422")),
        ("error-as-string", Err("HTTP 400")),
        ("plain-text-500", Err("HTTP 500")),
        ("litellm.error", Err("HTTP 400 (400)")),
        ("llama-cpp.error", Err("OPENAI_API_KEY")),
        ("transformers-serve.error", Err("HTTP 400")),
        ("azure.rate-limit-error", Err("HTTP 429")),
        ("401-invalid-api-key", Err("OPENAI_API_KEY")),
        ("404-model-not-found", Err("knows no model")),
        ("429-insufficient-quota", Err("quota")),
        ("429-rate-limit", Err("HTTP 429")),
        ("500-server-error", Err("HTTP 500")),
        ("503-overloaded", Err("HTTP 503")),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect(name);
        let file: serde_json::Value = serde_json::from_str(&text).expect(name);
        let wrapped = file.get("status").and_then(serde_json::Value::as_u64);
        let mut response = ResponseTemplate::new(wrapped.unwrap_or(200) as u16).insert_header("retry-after-ms", "1");
        response = match (wrapped, file.get("body_text").and_then(|t| t.as_str())) {
            (Some(_), Some(text)) => response.set_body_string(text),
            (Some(_), None) => response.set_body_json(&file["body"]),
            (None, _) => response.set_body_json(&file),
        };
        let server = MockServer::start().await;
        chat().respond_with(response).mount(&server).await;
        match (ask(&server).await, expected) {
            (Ok(answer), Ok((said, quality))) => {
                let completion = &answer.completions[0];
                let is_said = if quality == Quality::Refused { &completion.beside } else { &completion.text };
                assert!(is_said.contains(said), "{name}");
                assert_eq!(completion.quality(), quality, "{name}");
            }
            (Err(error), Err(named)) => assert!(error.to_string().contains(named), "{name}: {error}"),
            (Ok(_), Err(named)) => panic!("{name} was read, expected: {named}"),
            (Err(error), Ok(_)) => panic!("{name}: {error}"),
        }
        seen += 1;
    }
    // Files that other tests read: for files, jobs, batches, requests, scores and streams.
    let other = [
        "ft-",
        "files-",
        "models-",
        "moderations",
        "400-",
        "403-",
        "batch-",
        "404-file",
        "404-job",
        "azure.content",
        "together.ft",
        "fireworks",
        "chat.request",
        "chat.response-headers",
        "chat.stream",
        "completions",
        "llama-cpp.comp",
        "train.",
    ];
    let there = std::fs::read_dir(folder).expect("a folder").filter(|file| {
        let name = file.as_ref().expect("a file").file_name();
        !other.iter().any(|begin| name.to_string_lossy().starts_with(begin))
    });
    assert_eq!(seen + 1, there.count(), "every body is in the table, or in that of `services`");
}
