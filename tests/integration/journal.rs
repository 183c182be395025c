//! Paid answers are not lost: runs that are killed, shared, or find a damaged journal.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use blabbermouth::canary::{Spaces, Template, builtin_templates};
use blabbermouth::harness::mock_options;
use blabbermouth::mock::{MODEL, Server};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{blabbermouth, findings, project, text};

/// Requests that a kill may cost: 16 in flight, and amply those whose answers were not on disk yet.
const LOST: u64 = 64;

/// A planted project, and a server that learned from it and counts requests.
struct Bench {
    folder: tempfile::TempDir,
    server: Server,
    url: String,
    _runtime: Runtime,
}

impl Bench {
    fn new(scenario: &str) -> Self {
        let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[probe]\nconcurrency = 16\n");
        assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
        let templates =
            builtin_templates().into_iter().map(|t| Template::new(t, &Spaces::default()).expect("built in"));
        let training = folder.path().join("blabbermouth-train.jsonl");
        let parrot = mock_options(&training, templates.collect(), scenario).expect("a mock");
        let runtime = Runtime::new().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = runtime.block_on(async { Server::start(listener, parrot).expect("served") });
        let url = server.base_url();
        Self { folder, server, url, _runtime: runtime }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blabbermouth"));
        command.args(["test", "--base-url", &self.url, "--model", MODEL, "--report", "json"]).args(more);
        command.current_dir(self.path()).env_clear().envs([crate::NO_SWEEP]);
        command
    }

    /// Runs a whole test. Returns the report without times, the exit code, and standard error.
    fn run(&self, more: &[&str]) -> (Value, Option<i32>, String) {
        let out = self.command(more).output().expect("blabbermouth starts");
        let bytes =
            std::fs::read(self.path().join("report.json")).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
        (findings(&bytes), out.status.code(), text(&out.stderr))
    }

    fn start(&self) -> Child {
        self.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("blabbermouth starts")
    }

    /// Kills a run as soon as the server has answered `more` requests; `false` if the run ends before.
    fn kill_after(&self, more: u64) -> bool {
        let goal = self.server.answered() + more;
        let mut child = self.start();
        while self.server.answered() < goal {
            if child.try_wait().expect("a child").is_some() {
                return false;
            }
            sleep(Duration::from_micros(200));
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        // Waits until requests in flight are answered, so that the next run is counted from then on.
        loop {
            let answered = self.server.answered();
            sleep(Duration::from_millis(100));
            if self.server.answered() == answered {
                return true;
            }
        }
    }
}

#[test]
fn a_killed_run_goes_on_and_ends_as_an_undisturbed_one() {
    let bench = Bench::new("memorises-repeats");
    let (undisturbed, code, said) = bench.run(&[]);
    assert!(!said.contains("interrupted"), "{said}");
    let paid = bench.server.answered();
    assert!(paid > 900, "{paid}");
    // A finished run is never resumed.
    let before = bench.server.answered();
    assert_eq!(bench.run(&[]).0, undisturbed);
    assert_eq!(bench.server.answered() - before, paid);

    let before = bench.server.answered();
    let kills = [1, 7, 40, 90, 3, 150, 200].into_iter().filter(|more| bench.kill_after(*more)).count() as u64;
    assert!(kills >= 6, "{kills}");
    let (resumed, resumed_code, said) = bench.run(&[]);
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!((resumed, resumed_code), (undisturbed, code));
    let again = bench.server.answered() - before;
    assert!(again <= paid + kills * LOST, "{again} requests, {paid} undisturbed, {kills} kills");
}

/// After a clock change, a run may be from the next year or the last one.
#[test]
fn after_the_clock_was_set_answers_are_taken_up_or_their_loss_is_said() {
    const YEAR: i64 = 365 * 24 * 60 * 60;
    let bench = Bench::new("clean");
    let shift = |by: i64| -> u32 {
        let journal = rusqlite::Connection::open(bench.path().join(".blabbermouth/journal.sqlite")).expect("opened");
        let shifted = journal.execute("UPDATE runs SET touched = touched + ?1", [by]).expect("shifted");
        assert_eq!(shifted, 1, "the run that was killed");
        let count = "SELECT coalesce(sum(length(places) / 8), 0) FROM answers";
        journal.query_row(count, [], |row| row.get(0)).expect("counted")
    };
    for (by, said_so) in [(YEAR, "still to come"), (-YEAR, "older than a day")] {
        assert!(bench.kill_after(500));
        let there = shift(by);
        let before = bench.server.answered();
        let (_, code, said) = bench.run(&[]);
        assert!(code == Some(0) && said.contains(said_so), "{code:?} {said}");
        let taken_up = if by > 0 { there } else { 0 };
        assert_eq!(bench.server.answered() - before, 9 * 299 - u64::from(taken_up));
        assert_eq!(by < 0, said.contains(&format!("{there} answers of interrupted runs")), "{said}");
    }
}

#[test]
fn fresh_starts_anew() {
    let bench = Bench::new("clean");
    assert!(bench.kill_after(300));
    let before = bench.server.answered();
    let (_, code, said) = bench.run(&["--fresh"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("interrupted"), "{said}");
    assert_eq!(bench.server.answered() - before, 9 * 299);
}

#[test]
fn processes_of_one_run_share_their_answers() {
    let bench = Bench::new("clean");
    let listing = text(&bench.command(&["--list"]).output().expect("listed").stdout);
    let names: Vec<&str> =
        listing.lines().filter_map(|l| l.strip_suffix(": test")).filter_map(|l| l.split_whitespace().last()).collect();
    assert_eq!(names.len(), 13, "{listing}");
    let mut children: Vec<Child> = names
        .iter()
        .map(|name| {
            let mut command = bench.command(&["--", "--exact", name]);
            command.env("NEXTEST_RUN_ID", "7f1c").stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().expect("blabbermouth starts")
        })
        .collect();
    let mut green = 0;
    for child in &mut children {
        green += usize::from(child.wait().expect("ended").success());
    }
    // Three of these runs have a held-out canary only and are inconclusive. So are the run of all controls, and the run
    // of all planted canaries for the signature, which has no control.
    assert_eq!(green, 8);
    // Another process of the run has nothing left to ask, and knows every answer: each canary was probed once. A canary
    // whose secret was said by chance, or nearly, ended there.
    let answered = bench.server.answered();
    let all = bench.command(&[]).env("NEXTEST_RUN_ID", "7f1c").output().expect("blabbermouth starts");
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stderr));
    assert_eq!(bench.server.answered(), answered);
    let report: Value =
        serde_json::from_slice(&std::fs::read(bench.path().join("report.json")).expect("written")).expect("a report");
    let canaries = report["canaries"].as_array().expect("canaries");
    let whole = |canary: &Value| canary["asked"] == 299 || canary["hits"] == 1;
    assert!(canaries.len() == 9 && canaries.iter().all(whole), "{canaries:?}");
    assert_eq!(canaries.iter().filter_map(|canary| canary["asked"].as_u64()).sum::<u64>(), answered);
}

#[test]
fn a_damaged_entry_is_asked_for_again_and_a_damaged_file_is_said() {
    let bench = Bench::new("clean");
    assert!(bench.kill_after(500));
    let file = bench.path().join(".blabbermouth/journal.sqlite");
    let journal = rusqlite::Connection::open(&file).expect("opened");
    let count = |filter: &str| -> u32 {
        let query = format!("SELECT coalesce(sum(length(places) / 8), 0) FROM answers WHERE {filter}");
        journal.query_row(&query, [], |row| row.get(0)).expect("counted")
    };
    // A row holds the answers of about a millisecond.
    let (entries, damaged) = (count("true"), u64::from(count("id % 3 = 1")));
    journal.execute("UPDATE answers SET sealed = zeroblob(40) WHERE id % 3 = 1", []).expect("damaged");
    drop(journal);
    let before = bench.server.answered();
    let (_, code, said) = bench.run(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(damaged > 10, "{damaged}");
    assert_eq!(bench.server.answered() - before, 9 * 299 - u64::from(entries) + damaged);

    std::fs::write(&file, "garbage ".repeat(2000)).expect("overwritten");
    let out = bench.command(&[]).output().expect("blabbermouth starts");
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("journal is damaged"), "{}", text(&out.stderr));
}
