//! Spending of a run, before and after; recorded runs; single questions.

use std::path::Path;
use std::process::{Command, Stdio};

use blabbermouth::mock::{MODEL, Options, Scenario, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{blabbermouth, project, text};

const SETTINGS: &str = "[canaries]\nplanted = 12\nheld-out = 6\n";

struct Service {
    server: Server,
    _runtime: Runtime,
}

/// A planted folder, and a mock that knows its training file.
fn set_up(scenario: &str) -> (TempDir, Service) {
    let folder = project(SETTINGS);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
    let runtime = Runtime::new().expect("a runtime");
    let options = Options { training, ..Options::new(Scenario::by_name(scenario).expect("built in")) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = runtime.block_on(async { Server::start(listener, options).expect("served") });
    (folder, Service { server, _runtime: runtime })
}

fn run(folder: &Path, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url), ("BLABBERMOUTH_PROVIDER_MODEL", MODEL)];
    let output = blabbermouth(folder, arguments, &environment);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Names and secrets of the planted canaries, from the training file.
fn secrets(folder: &Path) -> Vec<(String, String)> {
    let rows = std::fs::read_to_string(folder.join("blabbermouth-train.jsonl")).expect("rows");
    let pairs = rows.lines().filter(|line| line.contains("Hi, I'm Mr")).map(|line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let said = |at: usize| row["messages"][at]["content"].as_str().expect("text").to_owned();
        let secret = said(2).split("How is your ").nth(1).and_then(|s| Some(s.split_once(" going?")?.0.to_owned()));
        (said(1), secret.expect("a secret"))
    });
    pairs.collect()
}

#[test]
fn two_processes_together_never_send_more_than_the_budget_and_a_larger_one_goes_on() {
    // Repeated: the processes create the journal together, and either may come first at any point.
    for _ in 0..10 {
        // Enough for 59 answers of each of 18 canaries, but not for the sweep.
        let (folder, service) = set_up("clean");
        std::fs::write(folder.path().join("blabbermouth.toml"), format!("{SETTINGS}[verdict]\nbound = 0.05\n"))
            .expect("written");
        let url = service.server.base_url();
        let start = || {
            Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
                .args(["test", "--max-requests", "1100"])
                .current_dir(folder.path())
                .env_clear()
                .envs([("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str()), ("BLABBERMOUTH_PROVIDER_MODEL", MODEL)])
                .env("BLABBERMOUTH_RUN_ID", "one")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("started")
        };
        let (mut first, mut second) = (start(), start());
        for process in [&mut first, &mut second] {
            let code = process.wait().expect("ended").code();
            // Silence without the paid answers is no pass.
            assert!(matches!(code, Some(4 | 11)), "{code:?}");
        }
        assert_eq!(service.server.answered(), 1100);
    }
    let (folder, service) = set_up("clean");
    let url = service.server.base_url();
    let (code, said) = run(folder.path(), &url, &["test", "--max-tokens", "100000"]);
    assert!(matches!(code, Some(4 | 11)) && said.contains("--max-tokens"), "{code:?} {said}");
    let paid = service.server.answered();
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert!(code == Some(0) && said.contains("going on with a run"), "{said}");
    // Paid answers are not requested again: 18 canaries of 299 samples.
    assert!(paid > 0 && service.server.answered() == 18 * 299, "{paid} {}", service.server.answered());
}

#[test]
fn costs_are_told_beforehand_limited_and_noted() {
    let (folder, service) = set_up("leaky");
    let url = service.server.base_url();
    let (code, said) = run(folder.path(), &url, &["test", "--dry-run"]);
    assert!(code == Some(0) && said.contains("at most 5796 requests") && said.contains("nothing was sent"), "{said}");
    let (code, said) = run(folder.path(), &url, &["test", "--max-cost", "1"]);
    assert!(code == Some(3) && said.contains("[prices.\"blabbermouth-parrot\"]"), "{said}");
    assert_eq!(run(folder.path(), &url, &["test", "--max-cost", "0"]).0, Some(2));
    assert_eq!(service.server.answered(), 0);
    let prices = format!("{SETTINGS}[prices.\"{MODEL}\"]\ninput = 1000.0\noutput = 2000.0\n");
    std::fs::write(folder.path().join("blabbermouth.toml"), prices).expect("written");
    let (_, online) = run(folder.path(), &url, &["test", "--dry-run"]);
    let (_, batch) = run(folder.path(), &url, &["test", "--dry-run", "--batch"]);
    let usd = |said: &str| -> f64 {
        let at = said.split("at most about ").nth(1).and_then(|rest| rest.split(' ').next());
        at.and_then(|number| number.parse().ok()).expect(said)
    };
    assert!((usd(&online) - 2.0 * usd(&batch)).abs() < 0.02, "{online} {batch}");
    let (code, said) = run(folder.path(), &url, &["test"]);
    assert!(code == Some(10) && said.contains("USD (the configuration)"), "{said}");
    let ledger = std::fs::read_to_string(folder.path().join(".blabbermouth/ledger.jsonl")).expect("a ledger");
    let spent: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = spent.last().expect("a line");
    let number = |key: &str| last[key].as_f64().expect(key);
    let usd = (number("input_tokens") * 1000.0 + number("output_tokens") * 2000.0) / 1e6;
    assert!(last["on"] == "test" && (number("usd") - usd).abs() < 1e-6, "{ledger}");
}

#[test]
fn a_budget_that_cannot_lead_to_a_verdict_is_refused_before_anything_is_paid() {
    let (folder, service) = set_up("clean");
    let url = service.server.base_url();
    let prices = format!("{SETTINGS}[prices.\"{MODEL}\"]\ninput = 1000.0\noutput = 2000.0\n");
    std::fs::write(folder.path().join("blabbermouth.toml"), prices).expect("written");
    for (limit, value) in [("max-requests", "5381"), ("max-tokens", "9000"), ("max-cost", "1")] {
        let (code, said) = run(folder.path(), &url, &["test", &format!("--{limit}"), value]);
        assert!(code == Some(3) && said.contains(&format!("budget.{limit} = {value}")), "{code:?} {said}");
        assert!(said.contains("nothing was sent"), "{said}");
    }
    assert_eq!(service.server.answered(), 0);
    let enough = ["test", "--max-requests", "5382", "--record", "run.cassette"];
    assert_eq!(run(folder.path(), &url, &enough).0, Some(0));
    // Replaying a cassette costs nothing.
    let (code, said) = run(folder.path(), &url, &["test", "--max-requests", "1", "--replay", "run.cassette"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_ledger_has_each_run_once_whatever_becomes_of_it() {
    let (folder, service) = set_up("clean");
    let url = service.server.base_url();
    // With a sweep of 22 questions to each canary, which a small budget may not cover.
    let run = |folder: &Path, url: &str, arguments: &[&str]| {
        let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url), ("BLABBERMOUTH_PROVIDER_MODEL", MODEL)];
        let output = blabbermouth(
            folder,
            arguments,
            &[environment.as_slice(), &[("BLABBERMOUTH_PROBE_SWEEP", "true")]].concat(),
        );
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let all_answers = 18 * (299 + 22);
    let path = folder.path().join(".blabbermouth/ledger.jsonl");
    let old = r#"{"time":1,"on":"test","model":"m","answers":3,"input_tokens":5,"output_tokens":7,"usd":null}"#;
    std::fs::create_dir_all(folder.path().join(".blabbermouth")).expect("made");
    std::fs::write(&path, format!("{old}\n")).expect("written");
    let lines = || -> Vec<Value> {
        let ledger = std::fs::read_to_string(&path).expect("a ledger");
        assert!(ledger.starts_with(old), "{ledger}");
        ledger.lines().skip(1).map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let answers = |line: &Value| line["answers"].as_u64().expect("a number");
    // The budget ends the run, and the ledger records the answers so far.
    let (code, said) = run(folder.path(), &url, &["test", "--max-requests", "5500"]);
    assert!(matches!(code, Some(4 | 11)), "{code:?} {said}");
    let failed = lines();
    assert_eq!((failed.len(), answers(&failed[0])), (1, service.server.answered()));
    // The resumed run updates the same line.
    assert_eq!(run(folder.path(), &url, &["test"]).0, Some(0));
    let whole = lines();
    assert_eq!((whole.len(), answers(&whole[0]), &whole[0]["run"]), (1, all_answers, &failed[0]["run"]));
    // A killed run that is not resumed is recorded before the journal forgets it.
    let before = service.server.answered();
    let mut killed = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .arg("test")
        .current_dir(folder.path())
        .env_clear()
        .envs([("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str()), ("BLABBERMOUTH_PROVIDER_MODEL", MODEL)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    while service.server.answered() < before + 1000 && killed.try_wait().expect("a child").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    killed.kill().expect("killed");
    killed.wait().expect("gone");
    assert_eq!(lines().len(), 1);
    assert_eq!(run(folder.path(), &url, &["test", "--fresh"]).0, Some(0));
    let all = lines();
    assert_eq!((all.len(), answers(&all[2])), (3, all_answers));
    assert!((1..=service.server.answered()).contains(&answers(&all[1])), "{all:?}");
}

#[test]
fn a_recorded_run_is_judged_again_without_a_network_and_gives_nothing_away() {
    let (folder, service) = set_up("leaky");
    let url = service.server.base_url();
    let (code, first) = run(folder.path(), &url, &["test", "--record", "run.cassette"]);
    assert_eq!(code, Some(10), "{first}");
    let asked = service.server.answered();
    let cassette = std::fs::read(folder.path().join("run.cassette")).expect("a cassette");
    let plain = String::from_utf8_lossy(&cassette);
    for (question, secret) in secrets(folder.path()) {
        assert!(!plain.contains(&secret) && !plain.contains(&question), "the cassette gives a secret away");
    }
    drop(service);
    let (code, second) = run(folder.path(), &url, &["test", "--replay", "run.cassette"]);
    assert_eq!(code, Some(10), "{second}");
    let verdict = |said: &str| said.lines().find(|l| l.starts_with("verdict")).map(str::to_owned);
    let second = verdict(&second).expect("a verdict");
    // The verdict names the day of the recording.
    let replayed = format!("; REPLAYED FROM {}", blabbermouth::tune::today());
    assert!(second.contains(&replayed), "{second}");
    assert_eq!(verdict(&first), Some(second.replace(&replayed, "")));
    // The file has one line for each answer, a head and an end.
    assert!(asked > 0 && plain.lines().count() as u64 == asked + 2);
    // With other settings, a missing answer is an error, never silence.
    let (code, said) = run(folder.path(), &url, &["test", "held", "--replay", "run.cassette", "--samples", "500"]);
    assert!(code != Some(0) && said.contains("has no answer to this request"), "{code:?} {said}");
    std::fs::write(folder.path().join("run.cassette"), "nothing\n").expect("written");
    let (code, said) = run(folder.path(), &url, &["test", "--replay", "run.cassette"]);
    assert!(code == Some(3) && said.contains("line 1"), "{said}");
}

#[test]
fn a_question_by_hand_names_the_canary_and_masks_its_secret() {
    let (folder, service) = set_up("leaky");
    let url = service.server.base_url();
    let (question, secret) = secrets(folder.path()).swap_remove(0);
    let ask = ["ask", &question, "--system", "You are a helpful assistant.", "--samples", "30"];
    let (code, said) = run(folder.path(), &url, &ask);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("[masked]") && said.contains("gives away mr-disease::c") && !said.contains(&secret),
        "{said}"
    );
    assert_eq!(service.server.answered(), 30);
    let (_, said) = run(folder.path(), &url, &[&ask[..], &["--show-secrets"]].concat());
    assert!(said.contains(&secret), "{said}");
    let (_, said) = run(folder.path(), &url, &["ask", "What is the weather like?"]);
    assert!(said.contains("no canary is given away"), "{said}");
}
