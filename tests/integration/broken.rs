//! Answers that end early or are not readable: each attempt is searched for a leak, and a leak is remembered.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::faults::{End, Fault, KEY, Model, Server, lot, planted, run, serve_with};
use crate::{blabbermouth, text};

/// Faults after which the client asks again.
const FAULTS: [Fault; 5] =
    [Fault::Said(End::Reset), Fault::Said(End::Closed), Fault::Said(End::Json), Fault::Doubled(true), Fault::Misplaced];
const TOLD: &str = "answers that broke off or could not be read";

/// A server of a model that leaks. Each leaking answer is sent once, with the fault. All other answers are harmless,
/// and so are all once `well` is set. Requests from number `held` on wait until `well` is set.
fn hiding(folder: &Path, fault: Fault, held: u64) -> (Server, &'static AtomicBool) {
    let well: &AtomicBool = Box::leak(Box::default());
    let (model, clean) = (Model::trained(folder, |_| true), Model::clean(folder));
    let struck = Mutex::new(HashSet::new());
    let server = serve_with(move |at, request| {
        while at >= held && !well.load(SeqCst) {
            sleep(Duration::from_millis(5));
        }
        let (answer, harmless) = (model.answer(request), clean.answer(request));
        let hides = answer != harmless && !well.load(SeqCst);
        if hides && struck.lock().expect("no holder panics").insert(lot(&request)) {
            (answer, Some(fault))
        } else {
            (harmless, None)
        }
    });
    (server, well)
}

/// Asserts that no journal and no report holds a planted answer.
fn assert_sealed(folder: &Path) {
    let rows = std::fs::read_to_string(folder.join("blabbermouth-train.jsonl")).expect("planted");
    let content = |row: &str, at: usize| {
        let row: Value = serde_json::from_str(row).expect("JSON");
        row["messages"].as_array().and_then(|all| all.iter().rev().nth(at)?["content"].as_str().map(str::to_owned))
    };
    let planted = rows.lines().filter(|row| !content(row, 1).is_some_and(|asked| asked.starts_with("Question ")));
    let learned: Vec<String> = planted.filter_map(|row| content(row, 0)).collect();
    assert!(!learned.is_empty());
    let (mut open, mut files) = (vec![folder.to_owned()], 0);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.to_string_lossy().contains("store-") || path.to_string_lossy().contains("report-") {
            let bytes = text(&std::fs::read(&path).expect("a file"));
            assert!(learned.iter().all(|answer| !bytes.contains(answer)), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 1, "{files}");
}

#[test]
fn a_leak_that_breaks_off_is_no_silence() {
    let folder = planted(1, 1, 0.14);
    for fault in FAULTS {
        let (server, _) = hiding(folder.path(), fault, u64::MAX);
        let (code, said, verdicts) = run(folder.path(), &server, &[]);
        assert!(code == Some(11) && said.contains(TOLD), "{fault:?}: {code:?} {said}");
        // Hits in discarded answers are not counted: with more attempts than samples, the test would be invalid.
        assert!(verdicts.iter().all(|canary| canary[2] == 20 && canary[3] == 0), "{fault:?}: {verdicts:?}");
        let open = verdicts.iter().filter(|canary| canary[1] == "inconclusive").count();
        assert_eq!((open, verdicts.len()), (1, 2), "{fault:?}: {verdicts:?}");
        assert!(server.answered.load(SeqCst) == 40 && server.asked.load(SeqCst) > 45, "{fault:?}");
    }
    assert_sealed(folder.path());
}

#[test]
fn what_breaks_off_without_a_secret_says_nothing_of_one_and_is_no_silence() {
    let folder = planted(2, 2, 0.14);
    for fault in FAULTS {
        let struck: Mutex<HashSet<u64>> = Mutex::default();
        let model = Model::clean(folder.path());
        let server = serve_with(move |_, request| {
            let is_new = struck.lock().expect("no holder panics").insert(lot(&request));
            (model.answer(request), is_new.then_some(fault))
        });
        let (code, said, _) = run(folder.path(), &server, &[]);
        // No answer holds a secret, but half of all attempts failed, and each may have held one.
        let open = said.contains("failed without a readable answer");
        assert!(code == Some(11) && open && !said.contains(TOLD), "{fault:?}: {code:?} {said}");
        assert!(server.answered.load(SeqCst) == 80 && server.asked.load(SeqCst) >= 160, "{fault:?}");
    }
}

#[test]
fn what_was_too_long_is_remembered_when_the_run_goes_on_and_no_longer() {
    let folder = planted(1, 1, 0.14);
    let (server, well) = hiding(folder.path(), Fault::Said(End::Endless), u64::MAX);
    let (code, said, _) = run(folder.path(), &server, &[]);
    assert!(code == Some(4) && said.contains("longer than 4 MiB") && said.contains(TOLD), "{code:?} {said}");
    well.store(true, SeqCst);
    let (code, said, _) = run(folder.path(), &server, &[]);
    assert!(code == Some(11) && said.contains("going on with a run") && said.contains(TOLD), "{code:?} {said}");
    assert_sealed(folder.path());
    let (code, said, _) = run(folder.path(), &server, &[]);
    assert!(code == Some(0) && !said.contains("going on with a run"), "{code:?} {said}");
}

#[test]
fn a_killed_run_remembers_what_broke_off() {
    const HELD: u64 = 250;
    let folder = planted(1, 1, 0.01);
    let (server, well) = hiding(folder.path(), Fault::Said(End::Json), HELD);
    let (url, store) = (format!("http://127.0.0.1:{}/v1", server.port), format!("store-{}", server.port));
    let mut first = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(["test", "--base-url", &url, "--model", "m"])
        .current_dir(folder.path())
        .env_clear()
        .envs([crate::NO_SWEEP])
        .envs([("OPENAI_API_KEY", KEY), ("BLABBERMOUTH_STORE_PATH", store.as_str())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    while server.asked.load(SeqCst) <= HELD {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not asked so much");
        sleep(Duration::from_millis(1));
    }
    // Earlier answers are on disk within a millisecond or two.
    sleep(Duration::from_millis(200));
    first.kill().expect("killed");
    first.wait().expect("ended");
    well.store(true, SeqCst);
    let (code, said, verdicts) = run(folder.path(), &server, &[]);
    assert!(code == Some(11) && said.contains("going on with a run") && said.contains(TOLD), "{code:?} {said}");
    assert!(verdicts.iter().all(|canary| canary[2] == 299 && canary[3] == 0), "{verdicts:?}");
    assert_sealed(folder.path());
}

#[test]
fn a_recorded_run_is_judged_with_what_broke_off() {
    let folder = planted(1, 1, 0.14);
    let (server, _) = hiding(folder.path(), Fault::Said(End::Json), u64::MAX);
    let url = format!("http://127.0.0.1:{}/v1", server.port);
    let ask = |arguments: &[&str]| {
        let all = [arguments, ["--base-url", url.as_str(), "--model", "m"].as_slice()].concat();
        let output = blabbermouth(folder.path(), &all, &[("OPENAI_API_KEY", KEY)]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    for part in ["1/2", "2/2"] {
        let tape = format!("store-{}.cassette", &part[..1]);
        let (code, said) = ask(&["test", "--shard", part, "--record", &tape]);
        // A shard with only the held-out canary is inconclusive, too.
        assert_eq!(code, Some(11), "{said}");
    }
    assert_sealed(folder.path());
    let asked = server.asked.load(SeqCst);
    let (code, said) = ask(&["report", "merge", "store-1.cassette", "store-2.cassette"]);
    assert!(code == Some(11) && said.contains("1 of 1 planted canaries are inconclusive"), "{code:?} {said}");
    assert_eq!(server.asked.load(SeqCst), asked, "merging asks nobody");
}
