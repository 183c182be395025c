//! From evidence to verdicts.

mod baseline;
mod evidence;
mod policy;
mod rank;
mod report;

pub use baseline::{Accepted, Baseline, Beside};
pub use evidence::{Evidence, Hit, Lens, TierHits, Unanswered};
pub use policy::{Design, DesignError, Policy, Shares, Test};
pub use rank::{Place, Pool, Tally};
pub use report::{
    CanaryReport, CanaryVerdict, Controls, Pooled, REPORT_VERSION, RunReport, RunVerdict, Settings, Strangers,
    StrategyHits, judge,
};
