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

/// The version of [`RunReport`].
pub const REPORT_VERSION: u32 = 1;

/// The verdict on one canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CanaryVerdict {
    /// Silent through all samples, and all of them answered.
    Clean,
    /// Given away beyond chance.
    Leaked,
    /// Neither can be said.
    Inconclusive,
    /// The provider failed.
    Errored,
}

impl CanaryVerdict {
    /// The word used in reports.
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

/// The verdict on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Held-out canaries were "known": the set-up is broken.
    Invalid,
    /// A planted canary leaked.
    Leaked,
    /// The provider failed.
    Errored,
    /// Every planned probe was answered and nothing leaked.
    Clean,
    /// None of these.
    Inconclusive,
}

impl RunVerdict {
    /// The word used in reports.
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

/// What one canary came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryReport {
    /// Its name.
    pub id: String,
    /// The name of its test.
    pub test: String,
    /// Planted or held out.
    pub arm: Arm,
    /// Copies in the training file.
    pub copies: u32,
    /// The keyed name of its secret.
    pub fingerprint: String,
    /// Whether it is a positive control: planted so often that it is expected to leak, and no part of the gate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub positive_control: bool,
    /// Whether its leak was looked at and accepted, so that it is no part of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// The verdict.
    pub verdict: CanaryVerdict,
    /// Why, in one line.
    pub reason: String,
    /// Whether it was not asked on, because an earlier request of the run failed for good.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aborted: bool,
    /// Which test was used.
    pub statistic: Test,
    /// Answers that were searched, to all questions.
    pub asked: u64,
    /// Answers to the training prompt.
    pub replayed: u64,
    /// Those in the trained form that name another value than the secret: they are the silence that counts.
    pub counted: u64,
    /// Those that carry the signature of the planting.
    pub signed: u64,
    /// Answers with the secret.
    pub hits: u64,
    /// The first of them.
    pub first_hit: Option<Hit>,
    /// Whether the very first answer gave it away; `None` without an answer.
    pub first_answer: Option<bool>,
    /// The p-value of its own test.
    pub p_value: f64,
    /// Adjusted for all planted canaries of the run (Holm); `None` for held-out ones and partial runs.
    pub p_holm: Option<f64>,
    /// The p-value of its secret in answers to other canaries; 1 when it was not there.
    pub cross_p_value: f64,
    /// The upper bound on its leak rate per query, where it was silent throughout; in a small space
    /// the bound on its excess over guessing.
    pub bound: Option<f64>,
    /// The upper bound on the share of draws that may have been withheld; `None` where nothing counts.
    pub withheld: Option<f64>,
    /// Tries that are no evidence of silence.
    pub uncounted: Uncounted,
    /// Questions of the sweep that failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sweep_failed: u64,
    /// Tokens used.
    pub usage: Usage,
    /// The size of its space; 0 where it was not noted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub space: f64,
    /// What each tier of detectors found, the strictest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierHits>,
    /// The surroundings of the first hit, with everything masked that is not a word of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// What the probability of its secret says, where it was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// What was said with half of its secret given away, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<HalfHits>,
    /// Beside the values of other planted canaries, in a small space whose held-out secrets are such values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<ValueComparison>,
    /// For each strategy of the run that asked: what came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategies: Vec<StrategyHits>,
}

/// Whether a field has the value that it has where the file does not name it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl CanaryReport {
    /// Whether it is a positive control that did what it is there for, or stayed silent.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.accepted.is_some()
            || self.positive_control && matches!(self.verdict, CanaryVerdict::Leaked | CanaryVerdict::Clean)
    }

    /// Whether its leak fails the run: planted, no positive control, and not accepted.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.arm == Arm::Planted && !self.positive_control && self.accepted.is_none()
    }
}

/// Why and until when a leak is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acceptance {
    /// Why.
    pub reason: String,
    /// The last day, as in `2027-01-31`.
    pub expires: String,
}

/// What came of one strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrategyHits {
    /// Its name.
    pub strategy: String,
    /// Answers to it.
    pub asked: u64,
    /// Those with the secret.
    pub hits: u64,
}

/// What the held-out canaries say of the harness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Controls {
    /// How many were probed.
    pub canaries: usize,
    /// The smallest p-value times their number.
    pub smallest: f64,
    /// Fisher's combination of their p-values.
    pub combined: f64,
    /// Neither is below 0.001, and all were answered.
    pub sound: bool,
    /// Why not, in one line, or what was found.
    pub reason: String,
}

/// What the answers say of secrets that were not asked for: each answer is searched for the secret
/// of every other canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// Answers that were searched.
    pub answers: u64,
    /// The p-value at which such a hit is a leak: its own share of alpha over K.
    pub threshold: f64,
    /// The smallest p-value; 1 without a hit.
    pub smallest: f64,
    /// Halves of the planted secrets in any answers; `None` where no secret is long enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<PooledTest>,
    /// Planted values of small spaces in answers to others; `None` where there is no small space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<PooledTest>,
    /// What is named for the canaries beside their own secrets; `None` where too few were probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<PooledTest>,
    /// No secret was given away in this way, and every answer counts.
    pub sound: bool,
    /// Whether the answers give a secret away to others, in parts, or over many answers.
    pub leaked: bool,
    /// Why not, in one line, or what was found.
    pub reason: String,
}

/// What the positive controls say of the run's power: canaries with so many copies that they are expected to leak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sensitivity {
    /// How many were probed.
    pub canaries: usize,
    /// How many of them leaked.
    pub leaked: usize,
    /// Whether any did.
    pub shown: bool,
    /// Whether a run in which none did is inconclusive.
    pub required: bool,
    /// All of it in one line.
    pub reason: String,
}

impl Sensitivity {
    /// Whether the run lacks what was asked of it.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.required && !self.shown
    }
}

/// What a run was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The model.
    pub model: String,
    /// The provider's address.
    pub address: String,
    /// Sampling.
    pub sampling: Sampling,
    /// Strategies.
    pub strategies: Vec<String>,
    /// Samples for each canary.
    pub samples: u64,
    /// What was asked of the run.
    pub policy: Policy,
    /// What searched the answers, beside the plain detectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<Detector>,
    /// How secrets were scored, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring: Option<ScoringDesign>,
    /// Whether half of each secret was given away in questions of their own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub halves: bool,
    /// Whether the built-in mock answered, so that the verdict says nothing of a model.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mock: bool,
    /// Whether it is on record that the model was tuned on a file that holds every planted row.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rows_checked: bool,
    /// The name under which the model answered, where that is another one than was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_model: Option<String>,
    /// Whether a few further questions were put to each canary, to look for leaks.
    #[serde(default = "yes")]
    pub sweep: bool,
    /// The K of the manifest.
    pub planted: usize,
    /// All canaries of the manifest.
    #[serde(default)]
    pub canaries: usize,
    /// How many of them have to be asked for a clean verdict; `None` where any part of them may be clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<usize>,
    /// How many planted canaries are positive controls, and no part of the gate.
    #[serde(default, skip_serializing_if = "is_default")]
    pub controls: usize,
    /// The configuration file, for reports that point into it.
    pub config: String,
}

/// A whole run. Fields are added, never changed or removed: such a change is a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// See [`REPORT_VERSION`].
    pub version: u32,
    /// The program's version.
    pub tool: String,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What it was made with.
    pub settings: Settings,
    /// The verdict.
    pub verdict: RunVerdict,
    /// Why, in one line.
    pub reason: String,
    /// The held-out canaries together.
    pub controls: Controls,
    /// All answers together.
    pub pooled: Pooled,
    /// Whether the model is shown to be trained on this planting; `None` where no planted canary was probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// What the silence of the run is worth as a whole.
    pub silence: Silence,
    /// Tokens used.
    pub usage: Usage,
    /// Whether the positive controls leaked, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// What the scores of all planted secrets say together, where they were scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// What became of a claim of differential privacy, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimReport>,
    /// Why the claim that the model carries was not tested, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untested_claim: Option<String>,
    /// The context of the release, in the user's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ReleaseContext>,
    /// All probed canaries, in the order of the manifest.
    pub canaries: Vec<CanaryReport>,
    /// What the run was made with, and where its answers came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// An HMAC by the manifest's key over all of this but itself; `blabbermouth report verify` checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

const fn yes() -> bool {
    true
}

impl RunReport {
    /// How many canaries of the manifest were not asked.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.settings.canaries.saturating_sub(self.canaries.len())
    }

    /// Whether nothing shows that the model was trained on this planting, and that was accepted.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.training.as_ref().is_some_and(|training| training.waived && !training.shown)
    }
}
