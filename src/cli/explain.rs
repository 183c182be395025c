//! The explanation of a canary's verdict.

use blabbermouth_core::verdict::RunReport;

use super::{Failure, Output};
use crate::exit::ExitCode;
use crate::report::escape::terminal;
use crate::report::explain;

/// Prints how the verdict on a canary came about.
pub(super) fn explain_canary(report: &RunReport, canary: &str, output: &Output) -> Result<ExitCode, Failure> {
    let text = explain(report, canary).ok_or_else(|| {
        Failure::new(ExitCode::Usage, format!("the report has no canary `{canary}`; its names are like c0001"))
    })?;
    for line in text.lines() {
        output.result(&terminal(line));
    }
    Ok(ExitCode::Clean)
}
