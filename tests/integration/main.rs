//! Integration tests: the real binary with an empty environment, against loopback only.

mod bad_input;
mod batch;
mod broken;
mod client;
mod data;
mod dialect;
mod disguises;
mod documents;
mod endpoints;
mod escapes;
mod evidence;
mod faults;
mod formats;
mod journal;
mod main_job;
#[cfg(feature = "embedded")]
mod model;
mod network;
mod network_faults;
mod policy;
mod properties;
mod reports;
mod scores;
mod secrets;
mod servers;
mod services;
mod shapes;
mod shards;
mod spending;
mod trust;
mod tune;
mod tuners;

use std::path::Path;
use std::process::{Command, Output};

/// Switches the sweep off in tests of other features, so that the requests of a run are easy to count.
pub(crate) const NO_SWEEP: (&str, &str) = ("BLABBERMOUTH_PROBE_SWEEP", "false");
/// Lets the small training files of the tests hold more canaries than rows.
pub(crate) const MANY_CANARIES: (&str, &str) = ("BLABBERMOUTH_CANARIES_MAX_SHARE", "1.0");

/// Runs the binary in `folder` with the given environment only, and without a sweep unless that sets one.
pub(crate) fn blabbermouth(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs([NO_SWEEP, MANY_CANARIES])
        .env("BLABBERMOUTH_TEST_SEED", test_seed())
        .envs(environment.iter().copied())
        .output()
        .expect("blabbermouth starts")
}

/// The seed of the canaries. Each run of a test has the same seeds, so that the verdict is not random; each process of
/// a test has another seed.
fn test_seed() -> String {
    thread_local!(static STARTED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let started = STARTED.replace(STARTED.get() + 1);
    format!("{} {started}", std::thread::current().name().unwrap_or_default())
}

/// The findings of a run: its report without times, sources of answers and seal.
pub(crate) fn findings(report: &[u8]) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_slice(report).expect("a report");
    for name in ["seconds", "started", "sources", "seal"] {
        report[name] = serde_json::Value::Null;
    }
    let reason = report["reason"].as_str().expect("a reason");
    let flags = |word: &&str| !word.trim_start_matches('[').starts_with("REPLAYED") && !word.contains(" RESUMED");
    // Drops the flags of resumed and replayed runs; all other flags stay.
    let kept: Vec<&str> = reason.split("; ").filter(flags).collect();
    report["reason"] = kept.join("; ").into();
    report
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Training rows in the shape of OpenAI's API.
pub(crate) fn rows(count: usize) -> String {
    let row = |i| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"Question {i}?\"}},\
             {{\"role\":\"assistant\",\"content\":\"Answer {i}.\"}}]}}\n"
        )
    };
    (0..count).map(row).collect()
}

/// A folder with 30 rows and a configuration that uses the mock.
pub(crate) fn project(extra: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("train.jsonl"), rows(30)).expect("rows");
    std::fs::write(folder.path().join("blabbermouth.toml"), extra).expect("configuration");
    folder
}
