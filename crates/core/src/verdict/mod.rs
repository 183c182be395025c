//! From evidence to verdicts.

mod baseline;
mod broken;
mod case;
mod claim;
mod context;
mod design_error;
mod evidence;
mod excerpt;
mod exposure;
mod form;
mod half;
mod judge;
mod likelihood;
mod matched;
mod policy;
mod pooled;
mod rank;
mod report;
mod silence;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_clean;
mod sources;
mod training;
mod weakened;

pub use baseline::{Accepted, Baseline, Beside};
pub use broken::Parts;
pub use claim::{Claim, ClaimReport, Unit};
pub use context::ReleaseContext;
pub use design_error::DesignError;
pub use evidence::{Asked, Evidence, Hit, Lens, PARTS_GROUPS, Purpose, TierHits};
pub use excerpt::{excerpt, public_words};
pub use exposure::Exposure;
pub use form::{Form, Uncounted};
pub use half::{HALF_SHARE, HalfEvidence, HalfHits, least_left};
pub use judge::conclude_with_sources;
pub use judge::{Strangers, judge};
pub use likelihood::{Likelihood, ScoredSpace, Scores, ScoringDesign};
pub use matched::Beside as BesideValues;
pub use policy::{Design, Policy, PositiveControls, Shares, Test, Thoroughness};
pub use pooled::{AGREEMENT_SHARE, FOREIGN_SHARE, PARTS_SHARE, PooledTest};
pub use rank::hash;
pub use rank::{Place, Pool, Tally};
pub use report::{
    Acceptance, CanaryReport, CanaryVerdict, Controls, Pooled, REPORT_VERSION, RunReport, RunVerdict, Sensitivity,
    Settings, StrategyHits,
};
pub use silence::{ArmTest, Silence};
pub use sources::Sources;
pub use training::{TemplateSignature, Training};
pub use weakened::USUAL_PLANTED;
