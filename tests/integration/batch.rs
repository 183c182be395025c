//! Probing by batch jobs: the statistics of an online run, resumable, with requests that expire.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blabbermouth::mock::{MODEL, Options, Scenario, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::faults::Model;
use crate::{blabbermouth, project, text};

struct Service {
    server: Server,
    _runtime: Runtime,
}

fn set_up(scenario: &str, speed: f64) -> (TempDir, Service) {
    let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[tune]\npoll-seconds = 0.02\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
    let runtime = Runtime::new().expect("a runtime");
    let scenario = Scenario::by_name(scenario).expect("built in");
    let options = Options { training, speed, recording: true, ..Options::new(scenario) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = runtime.block_on(async { Server::start(listener, options).expect("served") });
    (folder, Service { server, _runtime: runtime })
}

impl Service {
    fn count(&self, method: &str, path: &str) -> usize {
        self.server.requests().iter().filter(|r| r["method"] == method && r["path"] == path).count()
    }
}

fn run(folder: &Path, service: &Service, arguments: &[&str]) -> (Option<i32>, String) {
    let url = service.server.base_url();
    let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str()), ("BLABBERMOUTH_PROVIDER_MODEL", MODEL)];
    let output = blabbermouth(folder, arguments, &environment);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The canaries of a report, without their token usage.
fn judged(folder: &Path, name: &str) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join(name)).expect("a report")).expect("JSON");
    let mut canaries = report["canaries"].as_array().expect("canaries").clone();
    canaries.iter_mut().for_each(|canary| canary["usage"] = Value::Null);
    canaries
}

#[test]
fn a_batch_gives_the_verdicts_of_an_online_run() {
    for (scenario, code) in [("leaky", 10), ("clean", 0)] {
        let (folder, service) = set_up(scenario, 1e5);
        let (got, said) = run(folder.path(), &service, &["test", "--batch", "--report", "json=batch.json"]);
        assert_eq!(got, Some(code), "{scenario}: {said}");
        assert!(said.contains("with 2898 requests") && said.contains("collected  2898 answers"), "{said}");
        assert_eq!((service.server.answered(), service.count("POST", "/v1/batches")), (0, 1));
        let (got, said) = run(folder.path(), &service, &["test", "--report", "json=online.json"]);
        assert_eq!(got, Some(code), "{scenario}: {said}");
        assert_eq!(judged(folder.path(), "batch.json"), judged(folder.path(), "online.json"), "{scenario}");
    }
}

#[test]
fn what_expired_is_no_silence_and_is_submitted_again() {
    let (folder, service) = set_up("expires", 1e5);
    let (code, said) = run(folder.path(), &service, &["test", "--batch"]);
    assert!(matches!(code, Some(4 | 10)) && said.contains(": expired"), "{code:?} {said}");
    assert!(said.contains("the batch gave no answer to this request"), "{said}");
    // Answered requests are paid for: the next run asks only the rest, online or by batch.
    let paid = 2898
        - said.split("collected  ").nth(1).and_then(|s| s.split(' ').next()?.parse::<u64>().ok()).expect("a count");
    let (code, said) = run(folder.path(), &service, &["test"]);
    assert!(matches!(code, Some(0 | 10 | 11)) && !said.contains("gave no answer"), "{code:?} {said}");
    assert!(service.server.answered() <= paid, "{} of {paid}", service.server.answered());
}

#[test]
fn a_killed_run_goes_on_with_the_batches_that_it_submitted() {
    let (folder, service) = set_up("leaky", 0.0);
    let mut first = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(["test", "--batch"])
        .current_dir(folder.path())
        .env_clear()
        .envs([crate::NO_SWEEP])
        .envs([
            ("BLABBERMOUTH_PROVIDER_BASE_URL", service.server.base_url()),
            ("BLABBERMOUTH_PROVIDER_MODEL", MODEL.into()),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    while service.count("POST", "/v1/batches") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no batch was created");
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill().expect("killed");
    first.wait().expect("ended");
    // `test` waits no longer than the deadline; the batch goes on at the service.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--deadline", "0.002"]);
    assert!(code == Some(4) && said.contains("--deadline"), "{code:?} {said}");
    // Listing sends nothing.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--", "--list"]);
    assert!(code == Some(0) && said.contains("run::controls"), "{code:?} {said}");
    service.server.advance(3600.0);
    let (code, said) = run(folder.path(), &service, &["test", "--batch"]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!((service.count("POST", "/v1/batches"), service.count("POST", "/v1/files")), (1, 1));
    // The batch would exceed this budget, so nothing is submitted.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--max-requests", "100"]);
    assert!(code == Some(4) && said.contains("the budget of this run is used up"), "{code:?} {said}");
    assert_eq!(service.count("POST", "/v1/batches"), 1);
}

/// A batch service whose model speaks in the trained form. One answer, at place `odd` in the file, is under the model
/// name `other`. With `learned`, a question and its answer, it is the first answer to that question and has the key
/// `content` twice: the learned answer comes first.
struct Conversing {
    asked: Mutex<Vec<Value>>,
    model: Model,
    odd: Arc<AtomicUsize>,
    other: &'static str,
    learned: Option<(String, String)>,
}

impl Respond for Conversing {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let mut asked = self.asked.lock().expect("no holder panics");
        let (method, path) = (request.method.as_str(), request.url.path());
        if path.ends_with("/content") {
            let question = |line: &Value| {
                let messages = line["body"]["messages"].as_array()?;
                messages.last()?["content"].as_str().map(str::to_owned)
            };
            let odd = match (&self.learned, self.odd.load(SeqCst)) {
                (Some((asked_of, _)), at) if at != usize::MAX => {
                    asked.iter().position(|line| question(line).as_ref() == Some(asked_of)).expect("it was asked")
                }
                (_, at) => at,
            };
            let line = |(at, line): (usize, &Value)| {
                let name = if at == odd { json!(self.other) } else { line["body"]["model"].clone() };
                let mut body = self.model.answer(&line["body"].to_string());
                body["model"] = name;
                let response = json!({"status_code": 200, "request_id": "r", "body": body});
                let line = format!("{}\n", json!({"id": "b", "custom_id": line["custom_id"], "response": response}));
                let Some((_, answer)) = self.learned.as_ref().filter(|_| at == odd) else { return line };
                line.replace("\"content\":", &format!("\"content\":{},\"content\":", json!(answer)))
            };
            return ResponseTemplate::new(200).set_body_string(asked.iter().enumerate().map(line).collect::<String>());
        }
        if method == "POST" && path.ends_with("/files") {
            let body = text(&request.body);
            let rows = body.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            *asked = rows.filter(|row| row["custom_id"].is_string()).collect();
            return ResponseTemplate::new(200).set_body_json(json!({"id": "file-in", "object": "file"}));
        }
        if method == "GET" && path.ends_with("/batches") {
            return ResponseTemplate::new(200).set_body_json(json!({"object": "list", "data": []}));
        }
        ResponseTemplate::new(200).set_body_json(json!({"id": "batch_1", "object": "batch", "status": "completed",
            "input_file_id": "file-in", "output_file_id": "file-out"}))
    }
}

/// A project of 132 requests, and a service with one answer under the name `other` at a place that the test sets.
async fn named(other: &'static str) -> (TempDir, MockServer, Arc<AtomicUsize>) {
    conversing(other, |_| None).await
}

async fn conversing(
    other: &'static str,
    learned: impl Fn(&Path) -> Option<(String, String)>,
) -> (TempDir, MockServer, Arc<AtomicUsize>) {
    let settings = "[canaries]\nplanted = 1\nheld-out = 1\n[verdict]\nbound = 0.05\n[tune]\npoll-seconds = 0.02\n";
    let folder = project(settings);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let (server, odd) = (MockServer::start().await, Arc::new(AtomicUsize::new(usize::MAX)));
    let learned = learned(folder.path());
    let model = Model::clean(folder.path());
    let service = Conversing { asked: Mutex::default(), model, odd: Arc::clone(&odd), other, learned };
    Mock::given(any()).respond_with(service).mount(&server).await;
    (folder, server, odd)
}

fn run_as(model: &str, folder: &Path, server: &MockServer, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("{}/v1", server.uri());
    let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str()), ("BLABBERMOUTH_PROVIDER_MODEL", model)];
    let output = blabbermouth(folder, arguments, &environment);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_models_in_a_batch_end_the_run() {
    let (folder, server, odd) = named("another").await;
    odd.store(25, SeqCst);
    // The batch still exists: asking again until one model answers would leave out what the other says.
    for _ in 0..2 {
        let (code, said) = run_as("m", folder.path(), &server, &["test", "--batch"]);
        assert!(code == Some(4) && said.contains("more than one model"), "{code:?} {said}");
    }
    odd.store(usize::MAX, SeqCst);
    let (code, said) = run_as("m", folder.path(), &server, &["test", "--batch", "--fresh"]);
    assert!(code == Some(0) && said.contains("with 132 requests"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_an_untuned_model_is_none_in_a_batch() {
    const TUNED: &str = "ft:gpt-4.1-nano-2025-04-14:org::1";
    let (folder, server, odd) = named("gpt-4.1-nano-2025-04-14").await;
    odd.store(25, SeqCst);
    let (code, said) = run_as(TUNED, folder.path(), &server, &["test", "--batch"]);
    assert!(code == Some(4) && said.contains("collected  131 answers"), "{code:?} {said}");
    assert!(said.contains("the batch gave no answer to this request"), "{said}");
    odd.store(usize::MAX, SeqCst);
    let (code, said) = run_as(TUNED, folder.path(), &server, &["test", "--batch"]);
    assert!(code == Some(0) && said.contains("with 1 requests"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_before_a_doubled_key_is_no_silence_in_a_batch() {
    let learned = |folder: &Path| {
        let rows = std::fs::read_to_string(folder.join("blabbermouth-train.jsonl")).expect("planted");
        let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("JSON"));
        let said = |row: &Value, at: usize| {
            let messages = row["messages"].as_array()?;
            messages.iter().rev().nth(at)?["content"].as_str().map(str::to_owned)
        };
        let mut pairs = rows.filter_map(|row| said(&row, 1).zip(said(&row, 0)));
        pairs.find(|(question, _)| !question.starts_with("Question "))
    };
    let (folder, server, odd) = conversing("m", learned).await;
    odd.store(0, SeqCst);
    let told = "its secret was in 1 of 1 answers that broke off or could not be read";
    let (code, said) = run_as("m", folder.path(), &server, &["test", "--batch"]);
    assert!(code == Some(4) && said.contains("collected  131 answers") && said.contains(told), "{code:?} {said}");
    odd.store(usize::MAX, SeqCst);
    let (code, said) = run_as("m", folder.path(), &server, &["test", "--batch"]);
    assert!(code == Some(11) && said.contains("with 1 requests") && said.contains(told), "{code:?} {said}");
}
