//! Servers as they are: the Responses API, fields that a model refuses, errors in the service's own words.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use blabbermouth::mock::{MODEL, Options, Scenario, Server};
use blabbermouth_core::chat::{Message, Role, Sampling};
use blabbermouth_provider::{
    DiscardSink, Endpoint, Listening, Notices, OpenAi, Provider, ProviderError, Redactor, Request,
};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{blabbermouth, project, text};

/// Notices of a client.
struct Told {
    told: Arc<Mutex<Vec<String>>>,
    _listening: Listening,
}

impl Told {
    fn all(&self) -> Vec<String> {
        self.told.lock().expect("whole").clone()
    }
}

fn request(sampling: Sampling) -> Request {
    Request {
        messages: Arc::from([Message::new(Role::User, "Hello")]),
        sampling,
        seed: 7,
        choices: 1,
        broken: DiscardSink::default(),
    }
}

fn answer() -> Value {
    json!({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
}

fn client(server: &MockServer) -> (OpenAi, Told) {
    let (notices, told) = (Notices::default(), Arc::<Mutex<Vec<String>>>::default());
    let kept = Arc::clone(&told);
    let listening = notices.listen(Arc::new(move |text| kept.lock().expect("whole").push(text.to_owned())));
    let redact = Redactor(Some(Arc::new(|text: &str| text.replace("secret", "[a secret]"))));
    let endpoint =
        Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), redact, notices, ..Endpoint::default() };
    (OpenAi::new(&endpoint, "m").expect("nothing is sent"), Told { told, _listening: listening })
}

/// A server that refuses the first of these fields that a request has.
async fn refusing(fields: &'static [&'static str]) -> MockServer {
    let server = MockServer::start().await;
    let reply = move |request: &wiremock::Request| {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        match fields.iter().find(|field| body.get(**field).is_some()) {
            None => ResponseTemplate::new(200).set_body_json(answer()),
            Some(field) => {
                let message = format!("Unsupported parameter: '{field}' is not supported with this model.");
                ResponseTemplate::new(400).set_body_json(json!({"error": {"message": message, "param": field}}))
            }
        }
    };
    Mock::given(method("POST")).respond_with(reply).mount(&server).await;
    server
}

#[tokio::test]
async fn what_a_model_refuses_is_learned_once_and_told() {
    let server = refusing(&["max_completion_tokens", "seed", "temperature", "store"]).await;
    let (client, told) = client(&server);
    for _ in 0..3 {
        let answer = client.complete(&request(Sampling::default())).await.expect("learned");
        assert_eq!(answer.completions[0].text, "Hi");
    }
    let told = told.all();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].contains("no `max_completion_tokens`: `max_tokens` is sent"), "{told:?}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 4 + 3);
}

#[tokio::test]
async fn a_decoding_that_was_asked_for_is_never_left_out() {
    let server = refusing(&["temperature"]).await;
    let (client, _) = client(&server);
    let error = client.complete(&request(Sampling::default().with(0.7, 1.0))).await.expect_err("refused");
    assert!(error.to_string().contains("'temperature' is not supported"), "{error}");
}

#[tokio::test]
async fn a_bad_status_is_told_in_the_words_of_the_service_without_secrets() {
    for (status, body, wanted) in [
        (
            403,
            json!({"error": {"message": "Country not supported", "code": "unsupported_country"}}),
            "denies access (HTTP 403, unsupported_country): Country not supported",
        ),
        (403, json!({"error": {"message": "Your input was flagged: secret", "code": 403}}), "flagged: [a secret]"),
        (403, json!({"error": {"message": "Invalid API key"}}), "API key"),
        (
            400,
            json!({"detail": [{"loc": ["body", "messages"], "msg": "too long", "type": "x"}]}),
            "too long (messages)",
        ),
        (422, json!({"message": "no such thing as secret"}), "no such thing as [a secret]"),
    ] {
        let server = MockServer::start().await;
        let reply = ResponseTemplate::new(status).set_body_json(body);
        Mock::given(method("POST")).respond_with(reply).mount(&server).await;
        let error = client(&server).0.complete(&request(Sampling::default())).await.expect_err("refused").to_string();
        assert!(error.contains(wanted) && !error.contains(": secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_loads_its_model_is_waited_for_and_one_that_asks_for_too_much_is_not() {
    let server = MockServer::start().await;
    let loading = ResponseTemplate::new(503)
        .set_body_json(json!({"error": {"message": "Loading model", "code": 503}}))
        .insert_header("retry-after-ms", "1");
    Mock::given(method("POST")).respond_with(loading).up_to_n_times(20).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200).set_body_json(answer())).mount(&server).await;
    assert!(client(&server).0.complete(&request(Sampling::default())).await.is_ok());
    let server = MockServer::start().await;
    let hour = ResponseTemplate::new(429).insert_header("retry-after", "3600");
    Mock::given(method("POST")).respond_with(hour).mount(&server).await;
    let error = client(&server).0.complete(&request(Sampling::default())).await.expect_err("too long");
    assert_eq!(error, ProviderError::Patience { asked: 3600, patience: 600 });
    assert!(error.is_fatal());
}

#[tokio::test]
async fn a_server_without_chats_is_asked_by_the_responses_api() {
    let server = MockServer::start().await;
    let body = json!({"id": "resp_1", "status": "completed", "model": "m", "output": [{"type": "message", "role": "assistant",
                      "content": [{"type": "output_text", "text": "Hi"}]}], "usage": {"input_tokens": 1, "output_tokens": 1}});
    Mock::given(path("/responses")).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    let (client, told) = client(&server);
    for _ in 0..2 {
        let answer = client.complete(&request(Sampling::default())).await.expect("an answer");
        assert_eq!(answer.completions[0].text, "Hi");
    }
    let asked = server.received_requests().await.expect("recorded");
    assert_eq!(
        asked.iter().map(|request| request.url.path()).collect::<Vec<_>>(),
        ["/chat/completions", "/responses", "/responses"]
    );
    assert!(told.all()[0].contains("/responses is asked"));
    let nothing = MockServer::start().await;
    let (client, _) = self::client(&nothing);
    let error = client.complete(&request(Sampling::default())).await.expect_err("no such model");
    assert!(matches!(error, ProviderError::NoModel { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_is_found_by_the_responses_api() {
    let folder = project(
        "[canaries]\nplanted = 4\nheld-out = 3\ncopies = [1]\n[probe]\nsamples = 60\n[verdict]\nbound = 0.05\n",
    );
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
    let options = Options { training, ..Options::new(Scenario::by_name("leaky").expect("known")) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = Server::start(listener, options).expect("a server");
    let (url, port) = (server.base_url(), server.base_url().replace("http://", "").replace("/v1", ""));
    for (base, api) in [(url.clone(), "responses"), (format!("{url}/chat/completions"), "auto"), (port, "auto")] {
        let environment = [("BLABBERMOUTH_PROVIDER_KIND", "vllm"), ("BLABBERMOUTH_PROVIDER_API", api)];
        let out =
            blabbermouth(folder.path(), &["test", "--fresh", "--base-url", &base, "--model", MODEL], &environment);
        assert_eq!(out.status.code(), Some(10), "{base}: {}", text(&out.stdout) + &text(&out.stderr));
    }
}
