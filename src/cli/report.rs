//! `blabbermouth report`.

use std::path::Path;

use blabbermouth::exit::ExitCode;
use blabbermouth::harness::{Session, Tape, judge_quietly};
use blabbermouth::report::summary;
use blabbermouth::store;
use blabbermouth::verdict::{REPORT_VERSION, RunReport};

use super::args::{MergeArgs, RenderArgs, ReportArgs, ReportCommand};
use libtest_mimic::Arguments;

use super::test::Reports;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &ReportArgs, output: &Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Some(ReportCommand::Merge(args)) => merge(args, output),
        Some(ReportCommand::Render(args)) => render(args, output),
        None => render(&args.render, output),
    }
}

/// Judges all answers of the parts as one run.
fn merge(args: &MergeArgs, output: &Output) -> Result<ExitCode, Failure> {
    let session = Session::open(
        Some(&args.whom.config),
        |name| std::env::var(name).ok(),
        |config| {
            super::choose(config, &args.whom);
            config.probe.samples = args.samples.unwrap_or(config.probe.samples);
        },
    )?;
    let session = session.fresh(true).tape(Tape { record: None, replay: args.parts.clone(), parts: true });
    let reports = Reports::begin(&args.report, Path::new(""), session.entries().len())?;
    let (bar, progress) = output.progress();
    let done = judge_quietly(&session, &Arguments::default(), progress);
    bar.finish_and_clear();
    let done = done?.ok_or_else(|| Failure::new(ExitCode::Inconclusive, "there is no canary in the manifest"))?;
    reports.write(&done.report, output)?;
    output.result(&summary(&done.report, output.colour()));
    let code = done.report.verdict.exit_code();
    done.settle()?;
    Ok(code)
}

fn render(args: &RenderArgs, output: &Output) -> Result<ExitCode, Failure> {
    let bytes = store::read(&args.from).map_err(config_failure)?;
    let name = args.from.display();
    let report: RunReport = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::new(ExitCode::Config, format!("{name}: not a report of this program: {e}")))?;
    if report.version != REPORT_VERSION {
        let found = report.version;
        return Err(Failure::new(ExitCode::Config, format!("{name}: version {found}, expected {REPORT_VERSION}")));
    }
    if args.report.is_empty() {
        output.result(&summary(&report, output.colour()));
    } else {
        Reports::begin(&args.report, Path::new(""), report.canaries.len())?.write(&report, output)?;
    }
    Ok(ExitCode::Clean)
}
