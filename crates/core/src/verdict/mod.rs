//! From evidence to verdicts.

mod baseline;
mod case;
mod claim;
mod context;
mod design_error;
mod discarded;
mod evidence;
mod excerpt;
mod exposure;
mod form;
mod judge;
mod likelihood;
mod policy;
mod pooled;
mod prefix_half;
mod rank;
mod report;
mod silence;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_clean;
mod sources;
mod training;
mod value_comparison;
mod weakened;

pub use baseline::{Accepted, Baseline, BaselineDiff};
pub use claim::{Claim, ClaimReport, Unit};
pub use context::ReleaseContext;
pub use design_error::DesignError;
pub use discarded::DiscardedEvidence;
pub use evidence::{Asked, Detectors, Evidence, Hit, PARTS_GROUPS, Purpose, TierHits};
pub use excerpt::{excerpt, public_words};
pub use exposure::Exposure;
pub use form::{Form, Uncounted};
pub use judge::conclude_with_sources;
pub use judge::{CrossLeaks, judge};
pub use likelihood::{Likelihood, ScoredSpace, Scores, ScoringDesign};
pub use policy::{AlphaSplit, Policy, PositiveControls, SampleProfile, Test, TestDesign};
pub use pooled::{AGREEMENT_SHARE, FOREIGN_SHARE, PARTS_SHARE, PooledTest};
pub use prefix_half::{HALF_SHARE, HalfEvidence, HalfHits, least_left};
pub use rank::hash;
pub use rank::{GuessCounter, Place, Pool};
pub use report::{
    Acceptance, CanaryReport, CanaryVerdict, Controls, Pooled, REPORT_VERSION, RunReport, RunVerdict, Sensitivity,
    Settings, StrategyHits,
};
pub use silence::{ArmTest, Silence};
pub use sources::Sources;
pub use training::{TemplateSignature, Training};
pub use value_comparison::ValueComparison;
pub use weakened::USUAL_PLANTED;
