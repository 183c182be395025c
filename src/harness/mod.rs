//! A canary becomes a libtest trial.
//!
//! A project that wants its canaries under `cargo test` has this in `tests/canaries.rs`, with
//! `harness = false` for that test in `Cargo.toml`:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     blabbermouth::harness::run("blabbermouth.toml")
//! }
//! ```
//!
//! Every canary is a test named `<template>::<id>`, of kind `planted` or `held-out`; `run::controls`
//! judges the held-out ones together (`run::exposure` the scores of planted ones, where there are some), and `run::cross` searches all answers for the secrets of other
//! canaries than the one that was asked for. `run::signature` fails where the answers do not show that the model was
//! trained on this planting, and `run::verdict` whenever the run as a whole is not clean. Listing sends nothing; a run sends prompts only for what
//! is selected. libtest knows no third state that is red, so an inconclusive or errored canary is a
//! failed test with that word first. A manifest without canaries fails.
//!
//! Under cargo-nextest every test is a process of its own: they share the answers through the run
//! journal, so that each canary is probed once, whoever comes first.

mod ask;
mod batch;
mod reach;
mod session;
mod session_error;
mod shard;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::audit::{Event, Progress};
use crate::canary::{Arm, Entry};
use crate::report::escape::{message, terminal};
use crate::store::Resumed;
use crate::verdict::{CanaryReport, CanaryVerdict, RunReport, RunVerdict};

pub use ask::Said;
pub use batch::Tell;
pub use reach::{Estimate, Tape, mock_options, redactor, service, tuner_settings, withholding};
pub use session::{Done, Session};
pub use session_error::SessionError;
pub use shard::Shard;

/// The test that judges the held-out canaries together.
pub const CONTROLS: &str = "run::controls";
/// The test that searches all answers together for secrets of other canaries.
pub const CROSS: &str = "run::cross";

/// The test that the model is shown to be trained on this planting.
pub const SIGNATURE: &str = "run::signature";
/// The verdict of the whole run: it fails whenever the exit code is not 0.
pub const VERDICT: &str = "run::verdict";
/// The test that the positive controls leak, where that is required.
pub const POWER: &str = "run::power";
/// The test of the scores of all planted secrets together, where they are scored.
pub const EXPOSURE: &str = "run::exposure";
/// The test that tries to refute a claim of differential privacy, where one is made.
pub const CLAIM: &str = "claim::epsilon";

/// Runs the canaries of a configuration as tests, with the arguments of the command line.
/// `BLABBERMOUTH_CONFIG` names another configuration file.
#[must_use]
pub fn run(config: impl AsRef<Path>) -> ExitCode {
    let arguments = Arguments::from_args();
    let named = std::env::var_os("BLABBERMOUTH_CONFIG").map(std::path::PathBuf::from);
    let path = named.unwrap_or_else(|| config.as_ref().to_owned());
    let session = match Session::open(Some(&path), |name| std::env::var(name).ok(), |_| {}) {
        Ok(session) => session,
        Err(error) => return refuse(&error),
    };
    let done = execute(&session, &arguments, Arc::new(tell)).and_then(|shown| {
        let code = shown.exit_code();
        shown.settle().map(|_| code)
    });
    done.unwrap_or_else(|error| refuse(&error))
}

#[expect(clippy::print_stderr, reason = "a test harness reports to standard error")]
fn tell(event: Event) {
    match event {
        Event::Resumed(resumed) => eprintln!("blabbermouth: {}", describe(&resumed)),
        Event::Forgotten(answers) => eprintln!("blabbermouth: {}", describe_forgotten(answers)),
        _ => {}
    }
}

/// What a user should know of an earlier run that is taken up again.
#[must_use]
pub fn describe(resumed: &Resumed) -> String {
    let when = match resumed.age {
        Some(age) => format!("{} min ago", age.as_secs() / 60),
        None => "at a time that is still to come by this machine's clock".to_owned(),
    };
    format!(
        "going on with a run that was interrupted {when}, {} requests are answered already; if the model was \
         tuned again since then, start anew with `blabbermouth test --fresh`",
        resumed.requests
    )
}

/// What a user should know of answers that were there and are too old.
#[must_use]
pub fn describe_forgotten(answers: u64) -> String {
    format!(
        "{answers} answers of interrupted runs are older than a day by this machine's clock: they are forgotten, and \
         asked for anew where they are needed"
    )
}

#[expect(clippy::print_stderr, reason = "a test harness reports to standard error")]
fn refuse(error: &SessionError) -> ExitCode {
    eprintln!("blabbermouth: {}", message(&error.chain()));
    ExitCode::from(error.exit_code() as u8)
}

/// What [`execute`] did.
#[derive(Debug)]
pub struct Shown {
    /// The run; `None` when tests were only listed or none was selected.
    done: Option<Done>,
    failed: bool,
    /// A fault that no selected trial shows.
    hidden: bool,
    listed: bool,
}

impl Shown {
    /// The report; `None` when tests were only listed or none was selected.
    #[must_use]
    pub fn report(&self) -> Option<&RunReport> {
        self.done.as_ref().map(|done| &done.report)
    }

    /// Green only when tests ran and none failed, or when they were only listed, or when a filter
    /// left none (as under libtest). Red also when `run::controls` or `run::cross` was filtered out
    /// and would have failed on the answers that were given.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.listed || !(self.failed || self.hidden) { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }

    /// Closes the run; to be called when its reports are written. See [`Done::settle`].
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn settle(self) -> Result<Option<RunReport>, SessionError> {
        self.done.map(Done::settle).transpose()
    }
}

/// The tests of the whole run that the configuration asks for.
fn optional(session: &Session) -> impl Iterator<Item = &'static str> {
    let config = &session.config;
    let power = (config.sensitivity.required && config.sensitivity.copies > 0).then_some(POWER);
    let scores = config.strategies().is_ok_and(|all| all.iter().any(|strategy| strategy.needs_scores()));
    power.into_iter().chain(scores.then_some(EXPOSURE)).chain(config.claim.is_some().then_some(CLAIM))
}

/// The positions of the canaries that the arguments select, with those that the selected run trials need.
fn select(session: &Session, wanted: &dyn Fn(&str, &str) -> bool) -> Vec<usize> {
    let entries = session.entries();
    let (controls, cross) = (wanted(CONTROLS, "run"), wanted(CROSS, "run"));
    let planted = wanted(SIGNATURE, "run") || optional(session).any(|name| wanted(name, "run"));
    let whole = cross || wanted(VERDICT, "run");
    (0..entries.len())
        .filter(|i| {
            whole
                || (controls && entries[*i].arm == Arm::HeldOut)
                || (planted && entries[*i].arm == Arm::Planted)
                || wanted(&entries[*i].test_name(), entries[*i].arm.as_str())
        })
        .collect()
}

/// Whether a trial of that name and kind is selected.
fn is_wanted(arguments: &Arguments, name: &str, kind: &str) -> bool {
    let probe = trial(name, kind, Ok(()));
    !arguments.is_filtered_out(&probe) && !arguments.is_ignored(&probe)
}

/// The positions of the canaries that the arguments select.
#[must_use]
pub fn selection(session: &Session, arguments: &Arguments) -> Vec<usize> {
    let all = select(session, &|name, kind| is_wanted(arguments, name, kind));
    all.into_iter().filter(|index| session.takes(*index)).collect()
}

/// The canaries that are taken.
fn taken(session: &Session) -> impl Iterator<Item = &Entry> {
    session.entries().iter().enumerate().filter(|(index, _)| session.takes(*index)).map(|(_, entry)| entry)
}

/// Plans, probes and judges what the arguments select, and shows nothing; `None` when that is no canary.
///
/// # Errors
/// When the run cannot start.
pub fn judge_quietly(
    session: &Session,
    arguments: &Arguments,
    progress: Progress,
) -> Result<Option<Done>, SessionError> {
    let selected = selection(session, arguments);
    if selected.is_empty() { Ok(None) } else { session.probe(&selected, progress).map(Some) }
}

/// Plans, probes, judges, and then shows the trials in libtest's manner.
///
/// # Errors
/// When the run cannot start.
pub fn execute(session: &Session, arguments: &Arguments, progress: Progress) -> Result<Shown, SessionError> {
    let mut trials: Vec<Trial> = taken(session).map(|e| trial(&e.test_name(), e.arm.as_str(), Ok(()))).collect();
    trials.extend([CONTROLS, CROSS, SIGNATURE, VERDICT].map(|name| trial(name, "run", Ok(()))));
    trials.extend(optional(session).map(|name| trial(name, "run", Ok(()))));
    if arguments.list {
        let conclusion = libtest_mimic::run(arguments, trials);
        return Ok(Shown { done: None, failed: conclusion.has_failed(), hidden: false, listed: true });
    }
    let selected = selection(session, arguments);
    let done = if selected.is_empty() { None } else { Some(session.probe(&selected, progress)?) };
    Ok(show(session, arguments, done))
}

/// Shows the trials of a run in libtest's manner.
#[must_use]
pub fn show(session: &Session, arguments: &Arguments, done: Option<Done>) -> Shown {
    let wanted = |name: &str, kind: &str| is_wanted(arguments, name, kind);
    let report = done.as_ref().map(|done| &done.report);
    let table: HashMap<&str, &CanaryReport> =
        report.iter().flat_map(|r| &r.canaries).map(|c| (c.test.as_str(), c)).collect();
    let mut trials: Vec<Trial> = taken(session)
        .map(|entry| {
            let name = entry.test_name();
            let outcome =
                table.get(name.as_str()).map_or_else(|| Err("inconclusive: not probed".to_owned()), |c| outcome(c));
            trial(&name, entry.arm.as_str(), outcome)
        })
        .collect();
    let judged = |sound: bool, reason: &str| if sound { Ok(()) } else { Err(reason.to_owned()) };
    let not_probed = || Err("inconclusive: not probed".to_owned());
    let controls = report.map_or_else(not_probed, |r| judged(r.controls.sound, &r.controls.reason));
    let cross = report.map_or_else(not_probed, |r| judged(r.pooled.sound, &r.pooled.reason));
    let signature = report.map_or_else(not_probed, |r| {
        let training = r.training.as_ref();
        training.map_or_else(not_probed, |t| judged(!t.is_missing() && !t.is_echoed(), &t.reason))
    });
    let verdict = report.map_or_else(not_probed, |r| {
        judged(r.verdict == RunVerdict::Clean, &format!("{}: {}", r.verdict.as_str(), r.reason))
    });
    let hidden = !wanted(VERDICT, "run")
        && report.is_some_and(|r| {
            let unasked = !wanted(CONTROLS, "run") && r.verdict == RunVerdict::Invalid;
            unasked
                || (!wanted(SIGNATURE, "run") && is_unproven(r))
                || r.silence.reason.is_some()
                || (!wanted(CROSS, "run") && r.pooled.smallest <= r.pooled.threshold)
                || (!wanted(EXPOSURE, "run") && r.exposure.as_ref().is_some_and(|e| e.leaked))
                || (!wanted(CLAIM, "run") && r.claim.as_ref().is_some_and(|c| c.refuted))
        });
    trials.push(trial(CONTROLS, "run", controls));
    trials.push(trial(CROSS, "run", cross));
    trials.push(trial(SIGNATURE, "run", signature));
    trials.push(trial(VERDICT, "run", verdict));
    trials.extend(optional(session).map(|name| {
        let found = if name == POWER {
            let power = report.and_then(|r| r.sensitivity.as_ref());
            power.map(|s| judged(!s.is_missing(), &format!("inconclusive: {}", s.reason)))
        } else if name == EXPOSURE {
            // In spaces whose held-out secrets are values of planted ones scores decide nothing.
            report.map(|r| r.exposure.as_ref().map_or(Ok(()), |e| judged(e.sound, &e.reason)))
        } else {
            report.and_then(|r| r.claim.as_ref()).map(|c| judged(c.sound && !c.refuted, &c.reason))
        };
        trial(name, "run", found.unwrap_or_else(not_probed))
    }));
    // It panics where nothing can be written to its output: what was paid for is reported all the same.
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| libtest_mimic::run(arguments, trials)));
    Shown { failed: shown.map_or(true, |conclusion| conclusion.has_failed()), hidden, done, listed: false }
}

/// Whether a planted canary is clean in a run that does not show that the model was trained on this planting.
fn is_unproven(report: &RunReport) -> bool {
    let clean = report.canaries.iter().any(|c| c.arm == Arm::Planted && c.verdict == CanaryVerdict::Clean);
    clean && report.training.as_ref().is_none_or(|training| training.is_missing() || training.is_echoed())
}

/// What is shown is cleaned: a reason may quote what a service has said.
fn trial(name: &str, kind: &str, outcome: Result<(), String>) -> Trial {
    Trial::test(terminal(name), move || outcome.map_err(|reason| failed(&reason))).with_kind(kind)
}

fn failed(reason: &str) -> Failed {
    Failed::from(message(reason))
}

fn outcome(canary: &CanaryReport) -> Result<(), String> {
    if canary.is_expected() {
        return Ok(());
    }
    let word = match (canary.verdict, canary.arm) {
        (CanaryVerdict::Clean, _) => return Ok(()),
        (CanaryVerdict::Leaked, Arm::HeldOut) => "invalid",
        (verdict, _) => verdict.as_str(),
    };
    Err(format!("{word}: {} (copies {}, fingerprint {})", canary.reason, canary.copies, canary.fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_moves_no_terminal_and_commands_nobody() {
        let shown = |reason: &str| failed(reason).message().unwrap_or_default().to_owned();
        assert_eq!(shown("leaked: its secret was said\n  mend it"), "leaked: its secret was said\n  mend it");
        let said = shown("errored: no\u{1b}[2J\u{202e}\u{200b}\n::error::x ##[error]y");
        assert_eq!(said, "errored: no\\u{1b}[2J\\u{202e}\\u{200b}\n  : :error::x # #[error]y");
        assert_eq!(shown("::error::x"), ": :error::x");
    }
}
