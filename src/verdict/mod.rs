//! From evidence to verdicts.

mod evidence;
mod policy;
mod report;

pub use evidence::{Evidence, Hit, Unanswered};
pub use policy::{Design, DesignError, Policy, Test};
pub use report::{CanaryReport, CanaryVerdict, Controls, REPORT_VERSION, RunReport, RunVerdict, Settings, judge};
