//! Example requests and files of the OpenAI-compatible API: the mock accepts them, and the client sends no other
//! fields.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blabbermouth::chat::{Message, Role, Sampling};
use blabbermouth::mock::{Options, Scenario, Server};
use blabbermouth::provider::{Endpoint, Hyperparameters, JobSpec, OpenAi, Profile, Provider, Request, Tuner};
use serde_json::{Map, Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{blabbermouth, project, text};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai").join(name);
    std::fs::read_to_string(path).expect(name)
}

fn mock(scenario: &str) -> Server {
    let options = Options { speed: 1e6, ..Options::new(Scenario::by_name(scenario).expect("built in")) };
    Server::start(std::net::TcpListener::bind("127.0.0.1:0").expect("a port"), options).expect("served")
}

/// Sends a request unchanged, and returns status and body.
fn send(server: &Server, head: &str, body: &str) -> (u16, Value) {
    let address = server.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let mut stream = TcpStream::connect(&address).expect("connected");
    let length = body.len();
    write!(stream, "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let json = body.find(['{', '[']).and_then(|at| serde_json::from_str(body[at..].trim()).ok());
    // A chunked body has lengths around its one chunk.
    let chunk = || body.lines().find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object));
    (status, json.or_else(chunk).unwrap_or(Value::Null))
}

fn post(server: &Server, path: &str, body: &str) -> (u16, Value) {
    send(server, &format!("POST /v1/{path} HTTP/1.1\r\nContent-Type: application/json"), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_takes_the_requests_of_the_dialect() {
    let server = mock("leaky");
    let upload = |purpose: &str, name: &str, rows: &str| {
        let part = |field: &str, text: &str| {
            format!("--X\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{text}\r\n")
        };
        let body = format!(
            "{}--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{rows}\r\n--X--\r\n",
            part("purpose", purpose)
        );
        let head = "POST /v1/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=X";
        let (status, stored) = send(&server, head, &body);
        assert_eq!(status, 200, "{stored}");
        stored["id"].as_str().expect("an id").to_owned()
    };
    // The example as sent over the network, with the line ends of HTTP.
    let example = file("files-create.request.txt").replace("\r\n", "\n").replace('\n', "\r\n");
    let (head, body) = example.split_once("\r\n\r\n").expect("a head");
    let (status, stored) = send(&server, head, body);
    assert!(status == 200 && stored["object"] == "file" && stored["bytes"].as_u64() > Some(0), "{status} {stored}");
    let rows = file("train.sample.jsonl");
    let training = upload("fine-tune", "train.jsonl", &rows.repeat(10));
    for name in ["ft-create.request.json", "ft-create.legacy-hyperparameters.request.json"] {
        let mut body: Value = serde_json::from_str(&file(name)).expect(name);
        body["training_file"] = json!(training);
        if body.get("validation_file").is_some() {
            body["validation_file"] = json!(training);
        }
        let (status, job) = post(&server, "fine_tuning/jobs", &body.to_string());
        assert!(status == 200 && job["object"] == "fine_tuning.job", "{name}: {status} {job}");
    }
    let mut chat: Value = serde_json::from_str(&file("chat.request.json")).expect("JSON");
    chat["model"] = json!("gpt-4o-mini-2024-07-18");
    let (status, answer) = post(&server, "chat/completions", &chat.to_string());
    assert!(status == 200 && answer["choices"].as_array().map(Vec::len) == Some(2), "{status} {answer}");
    let (status, answer) = post(&server, "moderations", &file("moderations.request.json"));
    assert!(status == 200 && answer["results"].as_array().map(Vec::len) == Some(2), "{status} {answer}");
    let mut echo: Value = serde_json::from_str(&file("completions-echo.request.json")).expect("JSON");
    echo["model"] = json!("gpt-4o-mini-2024-07-18");
    let (status, answer) = post(&server, "completions", &echo.to_string());
    assert_eq!((status, &answer["choices"][0]["text"]), (200, &echo["prompt"]), "{answer}");
    let input = upload("batch", "probes.jsonl", &file("batch-input.jsonl"));
    let mut batch: Value = serde_json::from_str(&file("batch-create.request.json")).expect("JSON");
    batch["input_file_id"] = json!(input);
    let (status, batch) = post(&server, "batches", &batch.to_string());
    assert!(status == 200 && batch["object"] == "batch", "{status} {batch}");
}

#[tokio::test]
async fn our_requests_have_no_field_that_the_dialect_does_not_know() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let client = OpenAi::new(&endpoint, "tuned").expect("connected");
    let request = Request {
        messages: Arc::new([Message::new(Role::User, "Hi")]),
        sampling: Sampling { temperature: 0.7, top_p: 1.0, max_tokens: 64, ..Sampling::default() },
        seed: 7,
        choices: 1,
        broken: Default::default(),
    };
    let _ = client.complete(&request).await;
    let spec = JobSpec {
        model: "m".into(),
        training_file: "f".into(),
        validation_file: Some("v".into()),
        suffix: "s".into(),
        seed: Some(1),
        hyperparameters: Hyperparameters { epochs: Some(5), batch_size: Some(1), learning_rate_multiplier: Some(2.0) },
        privacy: None,
        metadata: [("plan".to_owned(), "x".to_owned())].into(),
    };
    let _ = client.create(&spec).await;
    let _ = client.moderate(&["x".to_owned()]).await;
    let sent = server.received_requests().await.expect("recorded");
    let examples = ["chat.request.json", "ft-create.request.json", "moderations.request.json"];
    for (request, example) in sent.iter().zip(examples) {
        let ours: Map<String, Value> = serde_json::from_slice(&request.body).expect("an object");
        let theirs: Map<String, Value> = serde_json::from_str(&file(example)).expect("an object");
        for (field, value) in &ours {
            // Fields that the examples leave out.
            let Some(known) = theirs.get(field) else {
                assert!(example == examples[0] && matches!(field.as_str(), "top_p" | "stream"), "{example}: {field}");
                continue;
            };
            assert_eq!(std::mem::discriminant(known), std::mem::discriminant(value), "{example}: {field}");
        }
    }
    assert_eq!(sent.len(), 3);
}

#[tokio::test]
async fn a_stream_that_nobody_asked_for_is_named() {
    let server = MockServer::start().await;
    let stream = ResponseTemplate::new(200).set_body_raw(file("chat.stream.sse.txt"), "text/event-stream");
    Mock::given(any()).respond_with(stream).mount(&server).await;
    let folder = project("[canaries]\nplanted = 4\nheld-out = 2\n[dataset]\nvalidation-share = 0.0\n");
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let url = server.uri();
    let output = tokio::task::spawn_blocking(move || {
        let arguments = ["test", "--base-url", &url, "--model", "tuned", "--deadline", "0.05"];
        let output = blabbermouth(folder.path(), &arguments, &[]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    });
    let (code, said) = output.await.expect("no panic");
    assert!(code != Some(0) && code != Some(1), "{code:?} {said}");
}

#[test]
fn result_files_are_of_the_form_that_the_service_writes() {
    let decoded = data_encoding::BASE64.decode(file("ft-result-file.base64.txt").trim().as_bytes()).expect("base64");
    let decoded = String::from_utf8(decoded).expect("text");
    for text in [file("ft-result-file.csv"), decoded] {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"));
        assert!(lines.all(|line| line.split(',').count() == 5));
    }
}

#[tokio::test]
async fn a_base_model_without_chats_is_asked_for_texts() {
    let server = MockServer::start().await;
    let said = json!({"choices": [{"text": "Hello", "index": 0, "finish_reason": "stop"}],
                      "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    Mock::given(wiremock::matchers::path("/completions"))
        .and(wiremock::matchers::body_partial_json(json!({"prompt": "Be kind.\n\nHi", "max_tokens": 64})))
        .respond_with(ResponseTemplate::new(200).set_body_json(said))
        .mount(&server)
        .await;
    let profile = Profile::load("vllm-completions", Path::new("")).expect("built in");
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let client = OpenAi::with_profile(&endpoint, &profile, "base").expect("connected");
    let request = Request {
        messages: Arc::new([Message::new(Role::System, "Be kind."), Message::new(Role::User, "Hi")]),
        sampling: Sampling { temperature: 0.7, top_p: 1.0, max_tokens: 64, ..Sampling::default() },
        seed: 7,
        choices: 1,
        broken: Default::default(),
    };
    assert_eq!(client.complete(&request).await.expect("an answer").completions[0].text, "Hello");
    let sent = &server.received_requests().await.expect("recorded")[0];
    assert!(!text(&sent.body).contains("messages"));
}
