//! Fine-tuning with the real binary: against the mock with every outcome of a job, and against servers that fail
//! midway.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blabbermouth::canary::Manifest;
use blabbermouth::mock::{Options, Scenario, Server};
use blabbermouth::tune::{State, StateFile};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::faults::{Fault, Model, each, serve};
use crate::{blabbermouth, project, text};

// A third of the 30 rows, so that the validation file is never empty.
const SETTINGS: &str =
    "[canaries]\nplanted = 12\nheld-out = 6\n[dataset]\nvalidation-share = 0.33\n[tune]\npoll-seconds = 0.02\n";
const KEY: (&str, &str) = ("OPENAI_API_KEY", "sk-test-0123456789");

/// A mock on a runtime of its own.
struct Service {
    server: Server,
    _runtime: Runtime,
}

impl Service {
    fn start(scenario: &str, speed: f64) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let scenario = Scenario::by_name(scenario).expect("built in");
        let options = Options { speed, recording: true, key: Some(KEY.1.into()), ..Options::new(scenario) };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = runtime.block_on(async { Server::start(listener, options).expect("served") });
        Self { server, _runtime: runtime }
    }

    /// Number of requests with this method and path.
    fn count(&self, method: &str, path: &str) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|r| r["method"] == method && r["path"] == path).count()
    }
}

fn planted() -> TempDir {
    let folder = project(SETTINGS);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    folder
}

fn run(folder: &Path, base_url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = blabbermouth(folder, arguments, &[KEY, ("BLABBERMOUTH_PROVIDER_BASE_URL", base_url)]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(KEY.1), "{said}");
    (output.status.code(), said)
}

fn state(folder: &Path) -> Value {
    let file = std::fs::read(folder.join("blabbermouth.tune.json")).expect("a state file");
    serde_json::from_slice(&file).expect("JSON")
}

#[test]
fn plant_tune_and_test_find_the_leak_and_no_job_is_created_twice() {
    let (folder, service) = (planted(), Service::start("leaky", 1e6));
    let url = service.server.base_url();
    let (code, said) = run(folder.path(), &url, &["tune"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cost       about") && said.contains("model      ft:gpt-4o-mini-2024-07-18:"), "{said}");
    assert!(said.contains("shut down on 2027-01-14"), "{said}");
    // The model exists, so a second `tune` sends nothing new.
    assert_eq!(run(folder.path(), &url, &["tune"]).0, Some(0));
    assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 1);
    assert_eq!(service.count("POST", "/v1/files"), 2);
    // A killed process may have ended after the upload, or after the creation of the job.
    let whole = state(folder.path());
    for forgotten in [&["job", "model"][..], &["job", "model", "training_file", "validation_file"]] {
        let mut cut = whole.clone();
        forgotten.iter().for_each(|key| cut[*key] = Value::Null);
        cut["stage"] = json!("prepared");
        write_sealed(folder.path(), "blabbermouth.tune.json", &serde_json::from_value(cut).expect("a state"));
        let (code, said) = run(folder.path(), &url, &["tune"]);
        assert!(code == Some(0) && said.contains("is there already"), "{said}");
        assert_eq!(state(folder.path())["model"], whole["model"]);
    }
    assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 1);
    assert_eq!(service.count("POST", "/v1/files"), 2);
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert_eq!(code, Some(10), "{said}");
    let (code, said) = run(folder.path(), &url, &["test", "--checkpoints"]);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("ft:")).collect();
    assert!(code == Some(10) && lines.len() == 3 && lines[2].contains("LEAKED"), "{said}");
    // The model was not trained on other canaries.
    assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert!(code == Some(3) && said.contains("another manifest"), "{said}");
}

#[test]
fn every_fate_of_a_job_has_an_exit_code_and_a_remedy() {
    for (fate, code, remedy) in [
        ("closed", 3, "may not create fine-tuning jobs"),
        ("moderated", 4, "order-phone"),
        ("blocked", 4, "look less sensitive"),
        ("server-error", 4, "the service failed"),
        ("odd-status", 0, "taken as still running"),
    ] {
        // Slow enough for the unknown status to be seen: the training takes a quarter of a second.
        let (folder, service) = (planted(), Service::start(fate, 2e3));
        let url = service.server.base_url();
        let (got, said) = run(folder.path(), &url, &["tune"]);
        assert!(got == Some(code) && said.contains(remedy), "{fate}: {got:?} {said}");
        if code == 0 {
            continue;
        }
        let (got, said) = run(folder.path(), &url, &["test"]);
        assert!(got == Some(3) && said.contains("there is no model"), "{fate}: {said}");
        if fate == "closed" {
            continue;
        }
        // A failed job is not retried without `--retry`.
        let (got, said) = run(folder.path(), &url, &["tune"]);
        assert!(got == Some(4) && said.contains("--retry"), "{fate}: {said}");
        assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 1, "{fate}");
        assert_eq!(run(folder.path(), &url, &["tune", "--retry"]).0, Some(4));
        assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 2, "{fate}");
    }
}

#[test]
fn a_stuck_job_ends_the_wait_and_not_the_job() {
    let (folder, service) = (planted(), Service::start("stuck", 1e6));
    let url = service.server.base_url();
    let settings = format!("{SETTINGS}deadline-hours = 0.0001\n");
    std::fs::write(folder.path().join("blabbermouth.toml"), settings).expect("written");
    let (code, said) = run(folder.path(), &url, &["tune"]);
    assert!(code == Some(4) && said.contains("still validating files") && said.contains("--watch"), "{said}");
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert!(code == Some(3) && said.contains("the job is not done"), "{said}");
    // Another plan would pay for a second job while the first one is in progress.
    let (code, said) = run(folder.path(), &url, &["tune", "--base-model", "gpt-4.1-mini-2025-04-14"]);
    assert!(code == Some(3) && said.contains("of another plan"), "{said}");
    assert_eq!(run(folder.path(), &url, &["tune", "--cancel"]).0, Some(0));
    assert_eq!(state(folder.path())["reason"], "cancelled");
    assert_eq!(run(folder.path(), &url, &["tune", "--cleanup"]).0, Some(0));
    assert_eq!(state(folder.path())["training_file"], Value::Null);
    let deleted = |r: &str| service.count("DELETE", r);
    assert_eq!(deleted("/v1/files/file-parrot0000000000000001") + deleted("/v1/files/file-parrot0000000000000002"), 2);
}

#[test]
fn what_is_too_dear_or_unpriced_is_not_begun_and_a_dry_run_sends_nothing() {
    let (folder, service) = (planted(), Service::start("leaky", 1e6));
    let url = service.server.base_url();
    let (code, said) = run(folder.path(), &url, &["tune", "--max-cost", "0.0001"]);
    assert!(code == Some(3) && said.contains("--max-cost is"), "{said}");
    let (code, said) = run(folder.path(), &url, &["tune", "--base-model", "mine", "--max-cost", "5"]);
    assert!(code == Some(3) && said.contains("[prices.\"mine\"]"), "{said}");
    let (code, said) = run(folder.path(), &url, &["tune", "--dry-run"]);
    assert!(code == Some(0) && said.contains("nothing was sent"), "{said}");
    assert_eq!(service.count("POST", "/v1/files") + service.count("GET", "/v1/models/gpt-4o-mini-2024-07-18"), 0);
    let (code, said) = run(folder.path(), &url, &["tune", "--screen", "--detach"]);
    assert!(code == Some(0) && said.contains("flags none of 12"), "{said}");
    let (folder, service) = (planted(), Service::start("moderated", 1e6));
    let (code, said) = run(folder.path(), &service.server.base_url(), &["tune", "--screen"]);
    assert!(code == Some(3) && said.contains("flags 12 of 12 canaries"), "{said}");
    assert_eq!(service.count("POST", "/v1/files"), 0);
}

#[test]
fn a_key_does_not_travel_in_the_clear_and_broken_rows_are_not_uploaded() {
    let folder = planted();
    let (code, said) = run(folder.path(), "http://192.0.2.1/v1", &["tune"]);
    assert!(code == Some(3) && said.contains("in the clear"), "{said}");
    let file = folder.path().join("blabbermouth-train.jsonl");
    let rows = std::fs::read_to_string(&file).expect("rows") + "{\"messages\": []}\n";
    std::fs::write(&file, &rows).expect("written");
    let service = Service::start("leaky", 1e6);
    let (code, said) = run(folder.path(), &service.server.base_url(), &["tune"]);
    let line = format!("line {}: `messages` is empty", rows.lines().count());
    assert!(code == Some(3) && said.contains(&line), "{said}");
    assert_eq!(service.count("POST", "/v1/files"), 0);
}

#[cfg(unix)]
#[test]
fn an_interrupted_tune_says_how_to_go_on_and_a_second_one_who_is_at_it() {
    let (folder, service) = (planted(), Service::start("leaky", 0.0));
    let url = service.server.base_url();
    let mut first = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(["tune"])
        .current_dir(folder.path())
        .env_clear()
        .envs([KEY, ("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    while service.count("POST", "/v1/fine_tuning/jobs") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no job was created");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (code, said) = run(folder.path(), &url, &["tune"]);
    assert!(code == Some(3) && said.contains(&format!("process {}", first.id())), "{said}");
    let kill = Command::new("kill").args(["-INT", &first.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    let status = first.wait().expect("ended");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut first.stderr.take().expect("piped"), &mut said).expect("text");
    assert!(status.code() == Some(130) && said.contains("tune --cancel"), "{status} {said}");
    // The job went on at the service meanwhile.
    service.server.advance(7200.0);
    assert_eq!(run(folder.path(), &url, &["tune"]).0, Some(0));
    assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 1);
}

#[test]
fn a_wrong_address_is_said_with_its_remedy() {
    let folder = planted();
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let page = ResponseTemplate::new(404).set_body_raw("<html>nothing here</html>", "text/html");
        Mock::given(wiremock::matchers::any()).respond_with(page).mount(&server).await;
        server
    });
    let (code, said) = run(folder.path(), &server.uri(), &["tune"]);
    assert!(code == Some(4) && said.contains("`provider.base-url`, which ends in its version"), "{said}");
    let (code, said) = run(folder.path(), "ftp://127.0.0.1/v1", &["tune"]);
    assert!(code == Some(3) && said.contains("expected https:"), "{said}");
}

/// The service quotes the rows that it refuses.
#[test]
fn a_message_that_quotes_a_secret_is_withheld() {
    let folder = planted();
    let rows = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let row = rows.lines().find(|line| line.contains("Hi, I'm Mr")).expect("a canary");
    let row: Value = serde_json::from_str(row).expect("JSON");
    let quoted = row["messages"][2]["content"].as_str().expect("text");
    let secret = quoted.split("How is your ").nth(1).and_then(|s| s.split(' ').next()).expect("a secret").to_owned();
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let file = json!({"id": "file-1", "object": "file", "filename": "x", "status": "processed"});
        let fault = json!({"code": "invalid_training_file", "message": format!("Example 3: {quoted}"), "param": null});
        let job = json!({"id": "ftjob-1", "object": "fine_tuning.job", "status": "failed", "error": fault});
        let event = json!({"object": "list", "data": [{"id": "e1", "message": quoted}]});
        let ok = |body: Value| ResponseTemplate::new(200).set_body_json(body);
        let empty = json!({"object": "list", "data": []});
        let route = |verb: &str, route: &str| Mock::given(method(verb)).and(path(route));
        route("GET", "/v1/files").respond_with(ok(empty.clone())).mount(&server).await;
        route("POST", "/v1/files").respond_with(ok(file)).mount(&server).await;
        route("GET", "/v1/fine_tuning/jobs").respond_with(ok(empty)).mount(&server).await;
        route("POST", "/v1/fine_tuning/jobs").respond_with(ok(job.clone())).mount(&server).await;
        route("GET", "/v1/fine_tuning/jobs/ftjob-1").respond_with(ok(job)).mount(&server).await;
        route("GET", "/v1/fine_tuning/jobs/ftjob-1/events").respond_with(ok(event)).mount(&server).await;
        server
    });
    let (code, said) = run(folder.path(), &format!("{}/v1", server.uri()), &["--verbose", "tune"]);
    assert!(code == Some(4) && said.contains("withheld: it quotes") && !said.contains(&secret), "{said}");
    assert!(!state(folder.path()).to_string().contains(&secret));
}

/// The service creates the job, but its response is a fault.
#[test]
fn a_job_whose_creation_was_answered_by_a_fault_is_found_and_not_created_again() {
    let folder = planted();
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(async {
        let server = MockServer::start().await;
        let file = json!({"id": "file-1", "object": "file", "filename": "x", "status": "processed"});
        let empty = json!({"object": "list", "data": []});
        let done = json!({"id": "ftjob-1", "object": "fine_tuning.job", "status": "succeeded",
                          "fine_tuned_model": "ft:m:o::1", "training_file": "file-1", "error": {"code": null}});
        let list = json!({"object": "list", "data": [done.clone()], "has_more": false});
        let ok = |body: Value| ResponseTemplate::new(200).set_body_json(body);
        let get = |route: &str| Mock::given(method("GET")).and(path(route));
        get("/v1/files").respond_with(ok(empty.clone())).mount(&server).await;
        Mock::given(method("POST")).and(path("/v1/files")).respond_with(ok(file)).mount(&server).await;
        get("/v1/fine_tuning/jobs").respond_with(ok(empty.clone())).up_to_n_times(1).mount(&server).await;
        get("/v1/fine_tuning/jobs").respond_with(ok(list)).mount(&server).await;
        let broken = ResponseTemplate::new(502);
        let create = Mock::given(method("POST")).and(path("/v1/fine_tuning/jobs"));
        create.respond_with(broken).expect(1).mount(&server).await;
        get("/v1/fine_tuning/jobs/ftjob-1").respond_with(ok(done)).mount(&server).await;
        server
    });
    let (code, said) = run(folder.path(), &format!("{}/v1", server.uri()), &["tune"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state(folder.path())["model"], "ft:m:o::1");
    runtime.block_on(server.verify());
}

/// Each kind of request fails once in each of these ways; the result is the same, without duplicates.
#[test]
fn each_fault_of_the_service_delays_and_changes_nothing() {
    let error = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nRetry-After-Ms: 1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let overloaded = r#"{"error": {"message": "overloaded", "code": null}}"#;
    let faults = [
        ("too many", false, error("429 Too Many Requests", overloaded)),
        ("internal", false, error("500 Internal Server Error", overloaded)),
        ("gateway", false, error("502 Bad Gateway", "<html>Bad gateway</html>")),
        ("unavailable", false, error("503 Service Unavailable", overloaded)),
        ("overloaded", false, error("529 Overloaded", overloaded)),
        ("page", false, error("200 OK", "<html>Please log in</html>")),
        ("cut", false, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"id\": \"x".into()),
        ("reset before", false, String::new()),
        // The service acts, and its response is lost.
        ("reset after", true, String::new()),
        ("gateway after", true, error("504 Gateway Timeout", "")),
    ];
    for (name, does, answer) in faults {
        let (folder, service) = (planted(), Service::start("leaky", 1e6));
        let proxy = faulty(service.server.base_url(), does, answer);
        let mut runs = 0;
        let said = loop {
            let (code, said) = run(folder.path(), &proxy, &["tune"]);
            runs += 1;
            if code == Some(0) {
                break said;
            }
            assert!(code == Some(4) && runs < 8, "{name}: {code:?} {said}");
        };
        assert_eq!(service.count("POST", "/v1/fine_tuning/jobs"), 1, "{name}: {said}");
        assert_eq!(service.count("POST", "/v1/files"), 2, "{name}: {said}");
        let (code, said) = run(folder.path(), &proxy, &["test", "--quiet"]);
        assert_eq!(code, Some(10), "{name}: {said}");
    }
}

/// Writes a state with the seal of `tune`.
fn write_sealed(folder: &Path, file: &str, state: &State) {
    let manifest = std::fs::read(folder.join("blabbermouth.manifest.json")).expect("a manifest");
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    let key = manifest.own_key(None).expect("it keeps its key");
    let held = StateFile::hold(&folder.join(file), Some((manifest.nonce, key))).expect("held");
    held.write(state).expect("written");
}

#[test]
fn a_state_that_nobody_with_the_key_wrote_is_not_believed() {
    let folder = project(SETTINGS);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let service = Service::start("leaky", 1e6);
    let url = service.server.base_url();
    assert_eq!(run(folder.path(), &url, &["tune"]).0, Some(0));
    let path = folder.path().join("blabbermouth.tune.json");
    let written = state(folder.path());
    for (key, value) in [("model", json!("gpt-4o-mini-2024-07-18")), ("claim", Value::Null), ("finished", json!(1))] {
        let mut forged = written.clone();
        forged[key] = value;
        forged["trained_tokens"] = json!(7);
        std::fs::write(&path, forged.to_string()).expect("written");
        for command in
            [&["test"][..], &["test", "--model", "m"], &["test", "--checkpoints"], &["tune"], &["tune", "--watch"]]
        {
            let (code, said) = run(folder.path(), &url, command);
            let is_told = said.contains("not as `tune` wrote it") || said.contains("nobody with this manifest's key");
            assert!(code == Some(3) && is_told, "{key} {command:?}: {code:?} {said}");
        }
    }
    // Nothing that a foreign state names is removed either, unless the user insists.
    let mut foreign = written.clone();
    (foreign["stage"], foreign["model"]) = (json!("failed"), json!("ft:of-somebody-else"));
    std::fs::write(&path, foreign.to_string()).expect("written");
    let before = service.count("DELETE", "/v1/models/ft:of-somebody-else");
    let (code, said) = run(folder.path(), &url, &["tune", "--cleanup", "--delete-model"]);
    assert!(code == Some(3) && said.contains("somebody else"), "{code:?} {said}");
    assert_eq!(run(folder.path(), &url, &["tune", "--print-model"]).0, Some(3));
    assert_eq!(service.count("DELETE", "/v1/models/ft:of-somebody-else"), before);
    assert!(run(folder.path(), &url, &["tune", "--cleanup", "--force"]).0 == Some(0));
    // Without the state file, the run does not know that the rows were checked.
    std::fs::remove_file(&path).expect("removed");
    let model = written["model"].as_str().expect("a model");
    let (code, said) = run(folder.path(), &url, &["test", "--model", model]);
    assert!(code == Some(10) && said.contains("ROWS NOT CHECKED"), "{code:?} {said}");
    std::fs::write(&path, written.to_string()).expect("written");
    let (code, said) = run(folder.path(), &url, &["tune", "--cleanup"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert!(code == Some(10) && !said.contains("ROWS NOT CHECKED"), "{code:?} {said}");
}

/// Also with a clock that was set back since, so that the job ends in the future.
#[test]
fn a_model_that_was_just_tuned_is_asked_for_until_it_is_there() {
    let folder = project(&format!("{SETTINGS}[verdict]\nbound = 0.14\n"));
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let service = Service::start("leaky", 1e6);
    assert_eq!(run(folder.path(), &service.server.base_url(), &["tune"]).0, Some(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let cases = [("now", now, true), ("ahead", u64::MAX, true), ("long ago", now - 365 * 24 * 60 * 60, false)];
    each(&cases, cases.len(), |(name, finished, waits)| {
        let mut ready = state(folder.path());
        ready["finished"] = json!(finished);
        let (file, store) = (format!("{name}.json"), format!("store of {name}"));
        let ready = serde_json::from_value(ready).expect("a state");
        write_sealed(folder.path(), &file, &ready);
        // The model is available at its second request, and remembers nothing.
        let server =
            serve(Model::clean(folder.path()), |at, _| (at == 0).then_some(Fault::Refuses(404, "model_not_found")));
        let url = format!("http://127.0.0.1:{}/v1", server.port);
        let environment = [
            KEY,
            ("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str()),
            ("BLABBERMOUTH_TUNE_STATE", file.as_str()),
            ("BLABBERMOUTH_STORE_PATH", store.as_str()),
        ];
        let begun = Instant::now();
        let output = blabbermouth(folder.path(), &["test"], &environment);
        let said = text(&output.stdout) + &text(&output.stderr);
        if *waits {
            assert!(output.status.code() == Some(0) && begun.elapsed() >= Duration::from_secs(2), "{name}: {said}");
        } else {
            assert!(output.status.code() == Some(4) && said.contains("knows no model"), "{name}: {said}");
        }
    });
}

/// Forwards requests, except for the first of each method and path: that one gets `answer`, and is forwarded only if
/// `does` is set.
fn faulty(base: String, does: bool, answer: String) -> String {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let to = base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), to, seen, answer) = (stream, to.clone(), seen.clone(), answer.clone()) else { return };
            std::thread::spawn(move || {
                let (mut request, mut buffer) = (Vec::new(), [0; 1 << 14]);
                let end = loop {
                    if let Some(at) = request.windows(4).position(|w| w == b"\r\n\r\n") {
                        break at + 4;
                    }
                    match stream.read(&mut buffer) {
                        Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                };
                let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
                let length =
                    head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
                while request.len() < end + length {
                    match stream.read(&mut buffer) {
                        Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
                let line = head.lines().next().unwrap_or_default();
                let kind = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
                let first = seen.lock().expect("no panic").insert(kind);
                let mut given = Vec::new();
                if !first || does {
                    // One request on each connection, so that the connection ends with the response.
                    let mut on = TcpStream::connect(&to).expect("the service");
                    on.write_all(&request[..end - 2]).expect("sent");
                    on.write_all(b"connection: close\r\n\r\n").expect("sent");
                    on.write_all(&request[end..]).expect("sent");
                    let _ = on.read_to_end(&mut given);
                }
                let _ = stream.write_all(if first { answer.as_bytes() } else { &given });
            });
        }
    });
    url
}
