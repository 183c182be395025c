//! Runs canaries as libtest trials.
//!
//! A project that runs its canaries under `cargo test` has this in `tests/canaries.rs`, with `harness = false` for that
//! test in `Cargo.toml`:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     blabbermouth::harness::run("blabbermouth.toml")
//! }
//! ```
//!
//! Every canary is a test named `<template>::<id>`, of kind `planted` or `held-out`. Further tests judge the whole run:
//!
//! | test | what it judges |
//! | --- | --- |
//! | `run::controls` | the held-out canaries together |
//! | `run::cross` | all answers, for secrets of other canaries than the one that was asked about |
//! | `run::signature` | whether the answers show that the model was trained on this planting |
//! | `run::verdict` | whether the run as a whole is clean |
//! | `run::power` | the positive controls, if they are required to leak |
//! | `run::exposure` | the scores of the planted canaries, if they are scored |
//! | `claim::epsilon` | a claim of differential privacy, if there is one |
//!
//! Listing sends nothing; a run sends prompts only for the selected tests. libtest has no third state that fails, so an
//! inconclusive or errored canary is a failed test whose message starts with that word. A manifest without canaries
//! fails.
//!
//! Under cargo-nextest every test is a process of its own. The processes share answers through the run journal, so that
//! each canary is probed once.

mod ask;
mod batch;
#[cfg_attr(not(feature = "mock"), path = "unmocked.rs")]
mod mocked;
mod reach;
mod session;
mod session_error;
mod shard;
mod sources;
mod trial_arguments;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};

use crate::report::escape::{message, terminal};
use crate::run::{Event, Progress};
use crate::store::Resumed;
use blabbermouth_core::canary::{Arm, Entry};
use blabbermouth_core::verdict::{CanaryReport, CanaryVerdict, RunReport, RunVerdict};

pub use ask::Said;
pub use batch::Tell;
#[cfg(feature = "mock")]
pub use mocked::mock_options;
pub use reach::{Estimate, Tape, allowed, redactor, service, tuner_settings, withholding};
pub use session::{Done, Session};
pub use session_error::SessionError;
pub use shard::Shard;
pub use sources::manifest_key;
pub use trial_arguments::TrialArguments;

/// Test that judges the held-out canaries together.
pub const CONTROLS: &str = "run::controls";
/// Test that searches all answers together for secrets of other canaries.
pub const CROSS: &str = "run::cross";

/// Test that the model was trained on this planting.
pub const SIGNATURE: &str = "run::signature";
/// Test of the run's verdict: it fails whenever the exit code is not 0.
pub const VERDICT: &str = "run::verdict";
/// Test that the positive controls leak, if that is required.
pub const POWER: &str = "run::power";
/// Test of the scores of all planted secrets together, if they are scored.
pub const EXPOSURE: &str = "run::exposure";
/// Test that tries to refute a claim of differential privacy, if there is one.
pub const CLAIM: &str = "claim::epsilon";

/// Runs the canaries of a configuration as tests, with the arguments of the command line.
/// The variable `BLABBERMOUTH_CONFIG` names another configuration file.
#[must_use]
pub fn run(config: impl AsRef<Path>) -> ExitCode {
    let arguments = match TrialArguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(what) => return refuse(&SessionError::Usage { what }),
    };
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
        Event::Notice(text) => eprintln!("blabbermouth: {}", message(&text)),
        _ => {}
    }
}

/// Message to the user about an interrupted run that is resumed.
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

/// Message to the user about answers that were deleted because of their age.
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

/// Result of [`execute`].
#[derive(Debug)]
pub struct Shown {
    /// The judged run; `None` if tests were only listed or none was selected.
    done: Option<Done>,
    failed: bool,
    /// Whether the run has a fault that no selected trial shows.
    hidden: bool,
    listed: bool,
}

impl Shown {
    /// The report; `None` if tests were only listed or none was selected.
    #[must_use]
    pub fn report(&self) -> Option<&RunReport> {
        self.done.as_ref().map(|done| &done.report)
    }

    /// Success if tests were only listed, or if no trial failed. A filter that leaves no test is a success, as under
    /// libtest. Otherwise 101, also if a test of the whole run was filtered out and would have failed on the answers.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.listed || !(self.failed || self.hidden) { ExitCode::SUCCESS } else { ExitCode::from(101) }
    }

    /// Closes the run. Call it when the reports are written. See [`Done::settle`].
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn settle(self) -> Result<Option<RunReport>, SessionError> {
        self.done.map(Done::settle).transpose()
    }
}

/// Tests of the whole run that depend on the configuration.
fn optional(session: &Session) -> impl Iterator<Item = &'static str> {
    let config = &session.config;
    let power = (config.sensitivity.required && config.sensitivity.copies > 0).then_some(POWER);
    let scores = config.strategies().is_ok_and(|all| all.iter().any(|strategy| strategy.needs_scores()));
    power.into_iter().chain(scores.then_some(EXPOSURE)).chain(config.claim.is_some().then_some(CLAIM))
}

/// Positions of the canaries that the arguments select, with those that the selected tests of the run need.
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

/// Positions of the canaries of the shard that the arguments select.
#[must_use]
pub fn selection(session: &Session, arguments: &TrialArguments) -> Vec<usize> {
    let all = select(session, &|name, kind| arguments.select(name, kind));
    all.into_iter().filter(|index| session.takes(*index)).collect()
}

/// The canaries of the session's shard.
fn taken(session: &Session) -> impl Iterator<Item = &Entry> {
    session.entries().iter().enumerate().filter(|(index, _)| session.takes(*index)).map(|(_, entry)| entry)
}

/// Plans, probes and judges the selected canaries without any output; `None` if none is selected.
///
/// # Errors
/// When the run cannot start.
pub fn judge_quietly(
    session: &Session,
    arguments: &TrialArguments,
    progress: Progress,
) -> Result<Option<Done>, SessionError> {
    let selected = selection(session, arguments);
    if selected.is_empty() { Ok(None) } else { session.probe(&selected, progress).map(Some) }
}

/// Plans, probes and judges, and shows the trials as libtest does. The trials wait for the run, so that libtest reports
/// the time of the run.
///
/// # Errors
/// When the run cannot start, and no trial is shown; or when it breaks off, and every trial fails.
pub fn execute(session: &Session, arguments: &TrialArguments, progress: Progress) -> Result<Shown, SessionError> {
    let outcomes = Arc::default();
    let trials = trials(session, &outcomes);
    if arguments.libtest().list {
        return Ok(Shown { done: None, failed: list(arguments, trials), hidden: false, listed: true });
    }
    let selected = selection(session, arguments);
    if selected.is_empty() {
        return Ok(show(session, arguments, None));
    }
    let (begun, begins) = std::sync::mpsc::channel();
    let progress: Progress = Arc::new(move |event| {
        if matches!(event, Event::Planned(_)) {
            // Sending fails only if the trials have ended already.
            let _ = begun.send(());
        }
        progress(event);
    });
    std::thread::scope(|scope| {
        let shown = scope.spawn(move || begins.recv().is_ok().then(|| present(arguments, trials)));
        let release = Release(&outcomes);
        let done = session.probe(&selected, progress);
        let _ = match &done {
            Ok(done) => outcomes.set(outcomes_of(session, Some(&done.report))),
            Err(error) => outcomes.set(all_failed(session, &format!("errored: {}", error.chain()))),
        };
        drop(release);
        let failed = shown.join().ok().flatten().unwrap_or(true);
        let done = done?;
        let hidden = hides_a_fault(arguments, &done.report);
        Ok(Shown { failed, hidden, done: Some(done), listed: false })
    })
}

/// Shows the trials of a run as libtest does.
#[must_use]
pub fn show(session: &Session, arguments: &TrialArguments, done: Option<Done>) -> Shown {
    let report = done.as_ref().map(|done| &done.report);
    let outcomes = Arc::new(OnceLock::from(outcomes_of(session, report)));
    let failed = present(arguments, trials(session, &outcomes));
    let hidden = report.is_some_and(|report| hides_a_fault(arguments, report));
    Shown { failed, hidden, done, listed: false }
}

/// Outcome of each trial, by name.
type Outcomes = HashMap<String, Result<(), String>>;

/// Releases waiting trials without an outcome when it is dropped, unless outcomes are set.
struct Release<'a>(&'a OnceLock<Outcomes>);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.get_or_init(HashMap::new);
    }
}

/// Runs the trials. Returns whether one of them failed.
fn present(arguments: &TrialArguments, trials: Vec<Trial>) -> bool {
    // libtest panics if its output cannot be written; the run was paid for, and is reported all the same.
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        libtest_mimic::run(arguments.libtest(), arguments.keep(trials))
    }));
    shown.map_or(true, |conclusion| conclusion.has_failed())
}

/// Lists the trials. A reader that closes the pipe early is no failure.
fn list(arguments: &TrialArguments, trials: Vec<Trial>) -> bool {
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        libtest_mimic::run(arguments.libtest(), arguments.keep(trials))
    }));
    shown.map_or_else(|panic| !is_closed_pipe(panic.as_ref()), |conclusion| conclusion.has_failed())
}

fn is_closed_pipe(panic: &(dyn std::any::Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| text.contains("Broken pipe"))
}

/// Silences panics about a closed pipe, as in `| head`: where they are caught, nothing else is wrong.
pub fn quiet_about_closed_pipes() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if !text.contains("Broken pipe") {
            usual(panic);
        }
    }));
}

/// Trials of all canaries of the shard, and of the whole run; each waits for its outcome.
fn trials(session: &Session, outcomes: &Arc<OnceLock<Outcomes>>) -> Vec<Trial> {
    let one = |name: String, kind: &str| {
        let outcomes = Arc::clone(outcomes);
        trial(&name.clone(), kind, move || {
            let not_probed = || Err("inconclusive: not probed".to_owned());
            outcomes.wait().get(&name).cloned().unwrap_or_else(not_probed)
        })
    };
    let mut trials: Vec<Trial> = taken(session).map(|e| one(e.test_name(), e.arm.as_str())).collect();
    trials.extend([CONTROLS, CROSS, SIGNATURE, VERDICT].map(|name| one(name.to_owned(), "run")));
    trials.extend(optional(session).map(|name| one(name.to_owned(), "run")));
    trials
}

fn outcomes_of(session: &Session, report: Option<&RunReport>) -> Outcomes {
    let Some(report) = report else { return HashMap::new() };
    let judged = |sound: bool, reason: &str| if sound { Ok(()) } else { Err(reason.to_owned()) };
    let mut all: Outcomes = report.canaries.iter().map(|canary| (canary.test.clone(), outcome(canary))).collect();
    let mut add = |name: &str, outcome: Result<(), String>| _ = all.insert(name.to_owned(), outcome);
    add(CONTROLS, judged(report.controls.sound, &report.controls.reason));
    add(CROSS, judged(report.pooled.sound, &report.pooled.reason));
    if let Some(training) = &report.training {
        add(SIGNATURE, judged(!training.is_missing() && !training.is_echoed(), &training.reason));
    }
    let is_clean = report.verdict == RunVerdict::Clean;
    add(VERDICT, judged(is_clean, &format!("{}: {}", report.verdict.as_str(), report.reason)));
    if let Some(power) = &report.sensitivity {
        add(POWER, judged(!power.is_missing(), &format!("inconclusive: {}", power.reason)));
    }
    if let Some(claim) = &report.claim {
        add(CLAIM, judged(claim.sound && !claim.refuted, &claim.reason));
    }
    if optional(session).any(|name| name == EXPOSURE) {
        // Scores decide nothing in spaces whose held-out secrets are values of planted ones: there is no exposure then.
        add(EXPOSURE, report.exposure.as_ref().map_or(Ok(()), |e| judged(e.sound, &e.reason)));
    }
    all
}

/// Outcomes of a run that broke off: every trial fails.
fn all_failed(session: &Session, reason: &str) -> Outcomes {
    let of_run = [CONTROLS, CROSS, SIGNATURE, VERDICT].into_iter().chain(optional(session)).map(str::to_owned);
    let names = taken(session).map(Entry::test_name).chain(of_run);
    names.map(|name| (name, Err(reason.to_owned()))).collect()
}

/// Whether the run has a fault that none of the selected trials shows.
fn hides_a_fault(arguments: &TrialArguments, report: &RunReport) -> bool {
    let is_hidden = |name: &str| !arguments.select(name, "run");
    is_hidden(VERDICT)
        && (is_hidden(CONTROLS) && report.verdict == RunVerdict::Invalid
            || is_hidden(SIGNATURE) && is_unproven(report)
            || report.silence.reason.is_some()
            || is_hidden(CROSS) && report.pooled.leaked
            || is_hidden(EXPOSURE) && report.exposure.as_ref().is_some_and(|e| e.leaked)
            || is_hidden(CLAIM) && report.claim.as_ref().is_some_and(|c| c.refuted))
}

/// Whether a planted canary is clean in a run that does not show that the model was trained on this planting.
fn is_unproven(report: &RunReport) -> bool {
    let clean = report.canaries.iter().any(|c| c.arm == Arm::Planted && c.verdict == CanaryVerdict::Clean);
    clean && report.training.as_ref().is_none_or(|training| training.is_missing() || training.is_echoed())
}

/// Trial with escaped texts: a reason may quote a service.
fn trial(name: &str, kind: &str, outcome: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(terminal(name), move || outcome().map_err(|reason| failed(&reason))).with_kind(kind)
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
