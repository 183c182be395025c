//! `blabbermouth report`.

use std::path::Path;

use blabbermouth::exit::ExitCode;
use blabbermouth::report::summary;
use blabbermouth::store;
use blabbermouth::verdict::{REPORT_VERSION, RunReport};

use super::args::ReportArgs;
use super::test::Reports;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &ReportArgs, output: &Output) -> Result<ExitCode, Failure> {
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
