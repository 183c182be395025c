//! Probing by batch jobs: the statistics of an online run, resumable, with requests that expire.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blabbermouth::mock::{MODEL, Options, Scenario, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

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

/// What a report says of each canary, without what it cost.
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
        assert!(said.contains("with 2691 requests") && said.contains("collected  2691 answers"), "{said}");
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
    // What was answered was paid for: only the rest is asked, online or by batch.
    let paid = 2691
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
    // It is waited for no longer than the deadline, and goes on at the service.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--deadline", "0.002"]);
    assert!(code == Some(4) && said.contains("--deadline"), "{code:?} {said}");
    // Listing sends nothing.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--", "--list"]);
    assert!(code == Some(0) && said.contains("run::controls"), "{code:?} {said}");
    service.server.advance(3600.0);
    let (code, said) = run(folder.path(), &service, &["test", "--batch"]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!((service.count("POST", "/v1/batches"), service.count("POST", "/v1/files")), (1, 1));
    // A budget that the batch would exceed: nothing is submitted.
    let (code, said) = run(folder.path(), &service, &["test", "--batch", "--max-requests", "100"]);
    assert!(code == Some(4) && said.contains("the budget of this run is used up"), "{code:?} {said}");
    assert_eq!(service.count("POST", "/v1/batches"), 1);
}
