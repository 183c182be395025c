//! `blabbermouth report`.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use crate::config::ReleasePolicy;
use crate::exit::ExitCode;
use crate::harness::{Session, Tape, TrialArguments, judge_quietly};
use crate::report::escape::terminal;
use crate::report::summary;
use crate::store;
use crate::tune::today;
use blabbermouth_core::verdict::{Baseline, CanaryReport, CanaryVerdict, PooledTest, REPORT_VERSION, RunReport};

use super::report_args::{AcceptArgs, DiffArgs, MergeArgs, RenderArgs, ReportArgs, ReportCommand, VerifyArgs};

use super::explain::explain_canary;
use super::reports::{Reports, retract};
use super::seal::{needs_own_key, sealed};
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &ReportArgs, output: &Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Some(ReportCommand::Merge(args)) => merge(args, output),
        Some(ReportCommand::Render(args)) => render(args, output),
        Some(ReportCommand::Diff(args)) => diff(args, output),
        Some(ReportCommand::Explain(args)) => explain_canary(&read(&args.from)?, &args.canary, output),
        Some(ReportCommand::Accept(args)) => accept(args, output),
        Some(ReportCommand::Verify(args)) => verify(args, output),
        None => render(&args.render, output),
    }
}

/// Judges the answers of all parts as one run.
fn merge(args: &MergeArgs, output: &Output) -> Result<ExitCode, Failure> {
    retract(&args.reports)?;
    let session = Session::open(Some(&args.target.config), super::environment, |config| {
        super::apply_target(config, &args.target);
        config.probe.samples = args.samples.unwrap_or(config.probe.samples);
    })?;
    let baseline = super::test::baseline(args.baseline.as_deref())?;
    let session = session.baseline(baseline.clone(), today()).fresh(true).tape(Tape {
        record: None,
        replay: args.parts.clone(),
        parts: true,
    });
    let reports = Reports::begin(&args.reports, Path::new(""), session.entries().len())?;
    let (bar, progress) = output.progress();
    let done = judge_quietly(&session, &TrialArguments::default(), progress);
    bar.finish_and_clear();
    let done = done?.ok_or_else(|| Failure::new(ExitCode::Inconclusive, "there is no canary in the manifest"))?;
    reports.write(&done.report, Some(&args.target.config), output)?;
    output.verbatim(&summary(&done.report, output.colour()));
    if let Some(baseline) = &baseline {
        super::test::tell_accepted(baseline, &done.report, output);
    }
    let code = done.report.verdict.into();
    done.settle()?;
    Ok(code)
}

/// Checks the seals of stored reports.
fn verify(args: &VerifyArgs, output: &Output) -> Result<ExitCode, Failure> {
    let mut faults = Vec::new();
    for path in &args.reports {
        let report = read(path)?;
        match sealed(&report, path, &args.seal.config) {
            Ok(_) => output.result(&format!(
                "{}: as it was written, by the manifest's key; its verdict is {}",
                path.display(),
                report.verdict.as_str()
            )),
            Err(fault) => faults.push(fault),
        }
    }
    let (last, others) = match faults.split_last() {
        None => return Ok(ExitCode::Clean),
        Some(all) => all,
    };
    others.iter().for_each(|fault| output.error(&fault.message));
    Err(Failure::new(last.code, &last.message))
}

/// Prints which verdicts changed between two reports.
fn diff(args: &DiffArgs, output: &Output) -> Result<ExitCode, Failure> {
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    sealed(&new, &args.new, &args.seal.config)?;
    // A report of another planting shares no fingerprint: none of its leaks count as known, so it needs no seal.
    let fingerprints: HashSet<&str> = old.canaries.iter().map(|c| c.fingerprint.as_str()).collect();
    if new.canaries.iter().any(|canary| fingerprints.contains(canary.fingerprint.as_str())) {
        sealed(&old, &args.old, &args.seal.config)?;
    }
    // The fingerprint is part of the key: another manifest has other secrets under the same test names.
    let key = |c: &CanaryReport| (c.test.clone(), c.fingerprint.clone());
    let before: HashMap<_, CanaryVerdict> = old.canaries.iter().map(|c| (key(c), c.verdict)).collect();
    let known = new.canaries.iter().filter(|c| before.contains_key(&key(c))).count();
    if known == 0 && !new.canaries.is_empty() {
        output.warning("no canary is in both reports: they are of different manifests");
    }
    let mut leaks = 0;
    for canary in &new.canaries {
        let was = before.get(&key(canary)).copied();
        if was == Some(canary.verdict) || (was.is_none() && canary.verdict == CanaryVerdict::Clean) {
            continue;
        }
        let leaked = canary.verdict == CanaryVerdict::Leaked && canary.is_gated();
        leaks += usize::from(leaked);
        let was = was.map_or("not there", CanaryVerdict::as_str);
        output.result(&format!("{}: {was}, now {}", terminal(&canary.test), canary.verdict.as_str()));
    }
    output.result(&format!("verdict    {}, now {}; {leaks} new leaks", old.verdict.as_str(), new.verdict.as_str()));
    // Accepts the old leaks only, pooled ones included: inconclusive and errored canaries keep their verdict.
    let mut new = new;
    new.pooled.parts.take_if(|_| old.pooled.parts.as_ref().is_some_and(PooledTest::leaks));
    new.pooled.agreement.take_if(|_| old.pooled.agreement.as_ref().is_some_and(PooledTest::leaks));
    new.pooled.foreign.take_if(|_| old.pooled.foreign.as_ref().is_some_and(PooledTest::leaks));
    let known = Baseline::accept(&old, "in the old report", "9999-12-31");
    let beside = known.map_err(|e| Failure::new(ExitCode::Internal, e))?.beside(&new, &today());
    for canary in &beside.worse {
        output.result(&format!("{}: leaks more often, or in another way, than before", terminal(canary)));
    }
    Ok(beside.verdict.into())
}

/// Writes a baseline, which accepts the leaks of a report for a limited time.
fn accept(args: &AcceptArgs, output: &Output) -> Result<ExitCode, Failure> {
    let report = read(&args.from)?;
    let key = sealed(&report, &args.from, &args.seal.config)?;
    let mut baseline =
        Baseline::accept(&report, &args.reason, &args.expires).map_err(|e| Failure::new(ExitCode::Usage, e))?;
    if args.expires < today() {
        return Err(Failure::new(ExitCode::Usage, format!("--expires {}: that day has passed", args.expires)));
    }
    let policy =
        ReleasePolicy::load(super::environment).map_err(config_failure)?.map_or_else(Default::default, |(p, _)| p);
    if baseline.beyond(&today(), policy.baseline_days).is_some() {
        let days = policy.baseline_days;
        let how = format!(
            "--expires {}: the limit is {days} days from today; `baseline-days` in a release policy changes it",
            args.expires
        );
        return Err(Failure::new(ExitCode::Policy, how));
    }
    baseline.seal_with(&key);
    let mut text = serde_json::to_vec_pretty(&baseline).map_err(|e| Failure::new(ExitCode::Internal, e))?;
    text.push(b'\n');
    store::write(&args.to, &text, true).map_err(config_failure)?;
    output.step(&format!(
        "accepted   {} leaks until {}, in {}",
        baseline.accepted.len(),
        args.expires,
        args.to.display()
    ));
    Ok(ExitCode::Clean)
}

/// Largest report, in bytes; one of 1,000,000 canaries has 730 MB.
const LARGEST: u64 = 1 << 30;

fn read(path: &Path) -> Result<RunReport, Failure> {
    let name = path.display();
    // Parses from the reader: the text for 100,000 canaries has 73 MB, and would stay in memory.
    let report: RunReport = serde_json::from_reader(store::open_data(path).map_err(config_failure)?.take(LARGEST))
        .map_err(|e| {
            let what =
                if e.is_io() { format!("{name}: {e}") } else { format!("{name}: not a report of this program: {e}") };
            Failure::new(ExitCode::Config, what)
        })?;
    if report.version != REPORT_VERSION {
        let found = report.version;
        return Err(Failure::new(ExitCode::Config, format!("{name}: version {found}, expected {REPORT_VERSION}")));
    }
    Ok(report)
}

fn render(args: &RenderArgs, output: &Output) -> Result<ExitCode, Failure> {
    retract(&args.reports)?;
    let report = read(&args.from)?;
    if args.reports.report.is_empty() {
        output.verbatim(&summary(&report, output.colour()));
    }
    let reports = Reports::begin(&args.reports, Path::new(""), report.canaries.len())?;
    if reports.has_evidence() {
        needs_own_key()?;
        sealed(&report, &args.from, &args.config)?;
    }
    reports.write(&report, Some(&args.config), output)?;
    Ok(ExitCode::Clean)
}
