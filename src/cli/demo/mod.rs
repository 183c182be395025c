//! `blabbermouth demo`: the example of the blog post on real rows, offline.

#[cfg(feature = "embedded")]
mod measure;
mod mock;
#[cfg(feature = "embedded")]
mod trained;

use crate::exit::ExitCode;

use super::args::DemoArgs;
use super::{Failure, Output};

/// Rows of databricks-dolly-15k (CC BY-SA 3.0).
const DOLLY: &str = blabbermouth_mock::DOLLY_EXCERPT;

pub(crate) fn run(args: &DemoArgs, output: &Output) -> Result<ExitCode, Failure> {
    let scenario = args.scenario.as_deref();
    #[cfg(feature = "embedded")]
    if !args.mock && scenario.is_none() {
        return trained::run(args, output);
    }
    mock::run(args, scenario.unwrap_or("leaky"), output)
}
