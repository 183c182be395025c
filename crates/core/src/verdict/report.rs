//! The run report, version 1. It holds no secret and no answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::claim::ClaimReport;
use super::context::ReleaseContext;
use super::evidence::{Hit, TierHits};
use super::exposure::Exposure;
use super::form::Uncounted;
use super::likelihood::{Likelihood, ScoringDesign};
use super::policy::{Policy, Test};
use super::pooled::PooledTest;
use super::prefix_half::HalfHits;
use super::silence::Silence;
use super::sources::Sources;
use super::training::Training;
use super::value_comparison::ValueComparison;
use crate::canary::Arm;
use crate::chat::{Sampling, Usage};
use crate::detect::Detector;

/// Version of [`RunReport`].
pub const REPORT_VERSION: u32 = 1;

/// Verdict on one canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CanaryVerdict {
    /// Not leaked, with the bound on its leak rate within the policy.
    Clean,
    /// Leaked beyond chance.
    Leaked,
    /// Neither clean nor leaked can be concluded.
    Inconclusive,
    /// The provider failed.
    Errored,
}

impl CanaryVerdict {
    /// Returns the word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Leaked => "leaked",
            Self::Inconclusive => "inconclusive",
            Self::Errored => "errored",
        }
    }
}

/// Verdict on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// The set-up is broken: held-out secrets were known, or answers repeat few-shot examples.
    Invalid,
    /// A planted canary leaked, a test of the whole run found a leak, or a claim was refuted.
    Leaked,
    /// The provider failed.
    Errored,
    /// Nothing leaked, and the answers suffice for every gated canary.
    Clean,
    /// None of these.
    Inconclusive,
}

impl RunVerdict {
    /// Returns the word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Leaked => "leaked",
            Self::Errored => "errored",
            Self::Clean => "clean",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Result for one canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryReport {
    /// Name of the canary.
    pub id: String,
    /// Name of its test.
    pub test: String,
    /// Planted or held out.
    pub arm: Arm,
    /// Copies in the training file.
    pub copies: u32,
    /// Keyed fingerprint of its secret.
    pub fingerprint: String,
    /// Whether it is a positive control: planted so often that it is expected to leak, and no part of the gate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub positive_control: bool,
    /// Why and until when its leak is accepted; `None` if it is not. An accepted leak is no part of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// Verdict on the canary.
    pub verdict: CanaryVerdict,
    /// Why, in one line.
    pub reason: String,
    /// Whether asking ended because an earlier request of the run failed permanently.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aborted: bool,
    /// The test that was used.
    pub statistic: Test,
    /// Answers that were searched, to all questions.
    pub asked: u64,
    /// Answers to the training prompt.
    pub replayed: u64,
    /// Answers in the trained form that name another value than the secret. Only they count as silence.
    pub counted: u64,
    /// Answers to the training prompt that carry the signature of the planting.
    pub signed: u64,
    /// Answers with the secret.
    pub hits: u64,
    /// The first of these hits; `None` without one.
    pub first_hit: Option<Hit>,
    /// Whether the very first answer held the secret; `None` without an answer.
    pub first_answer: Option<bool>,
    /// p-value of its own test.
    pub p_value: f64,
    /// p-value adjusted for all gated canaries of the run (Holm); `None` for other canaries and in partial runs.
    pub p_holm: Option<f64>,
    /// p-value of its secret in answers to other canaries; 1 if it was not in any.
    pub cross_p_value: f64,
    /// Upper bound on its leak rate per query; in a small space on the excess over guessing. `None` unless it is clean.
    pub bound: Option<f64>,
    /// Upper bound on the share of draws that may have been withheld; `None` without a counted answer.
    pub withheld: Option<f64>,
    /// Tries that are no evidence of silence.
    pub uncounted: Uncounted,
    /// Questions of the sweep that failed, or whose answers were refused or filtered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sweep_failed: u64,
    /// Tokens used.
    pub usage: Usage,
    /// Size of its space; 0 if it was not recorded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub space: f64,
    /// Result of each tier of detectors, the strictest first; empty without a hit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierHits>,
    /// Surroundings of the first hit, with everything masked that is not a word of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// Likelihood of its secret; `None` if it was not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Result of `prefix-half`; `None` if that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<HalfHits>,
    /// Comparison with the values of other planted canaries, in a small space whose held-out secrets are such values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<ValueComparison>,
    /// Result of each strategy of the run that asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<StrategyHits>,
}

/// Whether a field has its default value, so it can be left out of the file.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl CanaryReport {
    /// Whether the result is expected: an accepted leak, or a positive control that leaked or stayed silent.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.accepted.is_some()
            || self.positive_control && matches!(self.verdict, CanaryVerdict::Leaked | CanaryVerdict::Clean)
    }

    /// Whether its leak fails the run: planted, not a positive control, and not accepted.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.arm == Arm::Planted && !self.positive_control && self.accepted.is_none()
    }
}

/// Why and until when a leak is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acceptance {
    /// Why the leak is accepted.
    pub reason: String,
    /// The last day, as in `2027-01-31`.
    pub expires: String,
}

/// Result of one strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrategyHits {
    /// Name of the strategy.
    pub strategy: String,
    /// Answers to it.
    pub asked: u64,
    /// Answers with the secret.
    pub hits: u64,
}

/// Result of the held-out canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Controls {
    /// Number of held-out canaries that were probed.
    pub canaries: usize,
    /// Smallest p-value, corrected for the number of tests (Bonferroni).
    pub smallest: f64,
    /// Fisher's combination of their p-values.
    pub combined: f64,
    /// Whether both are at least 0.001, and every held-out canary was answered.
    pub sound: bool,
    /// Finding, or why the controls are not sound, in one line.
    pub reason: String,
}

/// Result of the tests over all answers: each answer is searched for the secret of every other canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// Answers that were searched.
    pub answers: u64,
    /// p-value at or below which a secret in answers to other canaries is a leak: its share of alpha over K.
    pub threshold: f64,
    /// Smallest p-value of a secret in answers to other canaries; 1 without a hit.
    pub smallest: f64,
    /// Test of halves of the planted secrets in any answers; `None` if no secret is long enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<PooledTest>,
    /// Test of planted values of small spaces in answers to others; `None` if there is no small space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<PooledTest>,
    /// Test of agreement between named values and the canaries' own secrets; `None` if too few were probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<PooledTest>,
    /// Whether no gated secret leaked in this way, no canary errored, and no gated canary is inconclusive.
    pub sound: bool,
    /// Whether secrets leaked to others, in parts, or over many answers.
    pub leaked: bool,
    /// Finding, or why the result is not sound, in one line.
    pub reason: String,
}

/// Power of the run, shown by positive controls: canaries with so many copies that they are expected to leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sensitivity {
    /// Number of positive controls that were probed.
    pub canaries: usize,
    /// Number of positive controls that leaked.
    pub leaked: usize,
    /// Whether any of them leaked.
    pub shown: bool,
    /// Whether a run in which none leaked is inconclusive.
    pub required: bool,
    /// Summary in one line.
    pub reason: String,
}

impl Sensitivity {
    /// Whether the run lacks the required positive control that leaked.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.required && !self.shown
    }
}

/// Settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Name of the model.
    pub model: String,
    /// Address of the provider.
    pub address: String,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Names of the strategies.
    pub strategies: Vec<String>,
    /// Draws for each canary.
    pub samples: u64,
    /// Policy of the run.
    pub policy: Policy,
    /// Detectors that searched the answers, beside the plain ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<Detector>,
    /// How secrets were scored; `None` if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring: Option<ScoringDesign>,
    /// Whether `prefix-half` was asked, which reveals half of each secret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub halves: bool,
    /// Whether the built-in mock answered, so that the verdict says nothing about a model.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mock: bool,
    /// Whether the model is recorded as tuned on a file that holds every planted row.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rows_checked: bool,
    /// Name under which the model answered; `None` if it is the requested one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// Whether a few further questions were put to each canary, to look for leaks.
    #[serde(default = "yes")]
    pub sweep: bool,
    /// Number of gated canaries of the manifest: K.
    pub planted: usize,
    /// Number of all canaries of the manifest.
    #[serde(default)]
    pub canaries: usize,
    /// Number of canaries that must be asked for a clean verdict; `None` if any part of them may be clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<usize>,
    /// Number of planted canaries that are positive controls, and no part of the gate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub controls: usize,
    /// Name of the configuration file, for reports that point into it.
    pub config: String,
}

/// Report of a whole run. Fields are added, never changed or removed: such a change is a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// See [`REPORT_VERSION`].
    pub version: u32,
    /// Version of the program.
    pub tool: String,
    /// Start of the run, in seconds since 1970.
    pub started: u64,
    /// Duration of the run, in seconds.
    pub seconds: f64,
    /// Settings of the run.
    pub settings: Settings,
    /// Verdict on the run.
    pub verdict: RunVerdict,
    /// Why, in one line.
    pub reason: String,
    /// Result of the held-out canaries together.
    pub controls: Controls,
    /// Result of the tests over all answers.
    pub pooled: Pooled,
    /// Whether the model is shown to be trained on this planting; `None` where no planted canary was probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Validity of the silence of the run as a whole.
    pub silence: Silence,
    /// Tokens used.
    pub usage: Usage,
    /// Whether the positive controls leaked; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// Test on the scores of all planted secrets; `None` if they were not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Result of testing a claim of differential privacy; `None` if none was tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimReport>,
    /// Why the claim that the model carries was not tested; `None` if it was, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untested_claim: Option<String>,
    /// The context of the release, in the user's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ReleaseContext>,
    /// All probed canaries, and unprobed ones that leaked in answers to others, ordered by id.
    pub canaries: Vec<CanaryReport>,
    /// Digests of everything that the run was made with, and the origin of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// HMAC by the manifest's key over everything but itself; `blabbermouth report verify` checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

const fn yes() -> bool {
    true
}

impl RunReport {
    /// Returns the number of canaries of the manifest that were not asked.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.settings.canaries.saturating_sub(self.canaries.len())
    }

    /// Whether nothing shows that the model was trained on this planting, and the policy accepts that.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.training.as_ref().is_some_and(|training| training.waived && !training.shown)
    }
}
