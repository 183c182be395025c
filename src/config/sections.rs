//! The sections of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use blabbermouth_core::chat::Sampling;
use blabbermouth_core::detect::Detector;
use blabbermouth_core::verdict::{Claim, Policy, SampleProfile, Unit};
use blabbermouth_provider::{PrivacySettings, PrivacyUnit, Profile};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }
    };
}

section! {
    /// How many canaries, and from which templates.
    CanariesSection {
        /// In the training file.
        planted: usize,
        /// Never trained.
        held_out: usize,
        /// Copies, spread over the planted ones.
        copies: Vec<u32>,
        /// Names of templates.
        templates: Vec<String>,
        /// Whether planted answers carry a signature.
        signature: bool,
    }
}
section! {
    /// Training rows.
    DatasetSection {
        /// The data file.
        path: PathBuf,
        /// Its format, or `auto`.
        format: String,
        /// Two fields, for other formats.
        fields: Vec<String>,
        /// The training file to write.
        training: PathBuf,
        /// The validation file to write.
        validation: PathBuf,
        /// Share of rows for validation.
        validation_share: f64,
    }
}
section! {
    /// The manifest.
    ManifestSection {
        /// Its file.
        path: PathBuf,
    }
}
section! {
    /// The run journal.
    StoreSection {
        /// Its folder.
        path: PathBuf,
    }
}
section! {
    /// Who answers.
    ProviderSection {
        /// The name of a service, or a profile's file.
        kind: String,
        /// The server.
        base_url: String,
        /// The model.
        model: String,
        /// The variable with the API key.
        key_variable: String,
        /// The longest time for one try.
        timeout_seconds: u64,
        /// Certificates to trust.
        certificates: PathBuf,
        /// The program to ask.
        command: Vec<String>,
        /// Further variables that it sees.
        environment: Vec<String>,
        /// The mock's character.
        scenario: String,
    }
}
section! {
    /// How a model is tuned.
    TuneSection {
        /// The model that is tuned.
        base_model: String,
        /// A word in the tuned model's name.
        suffix: String,
        /// Passes over the training file; 0 for the service's choice.
        epochs: u32,
        /// Rows for each step; 0 for the service's choice.
        batch_size: u32,
        /// Scales the learning rate; 0 for the service's choice.
        learning_rate_multiplier: f64,
        /// Differential privacy, where the service has it: the embedded one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        privacy: Option<PrivacySection>,
        /// The account, at Fireworks.
        account: String,
        /// The state file.
        state: PathBuf,
        /// Days after which the service forgets the files.
        keep_files_days: u32,
        /// Between two looks.
        poll_seconds: f64,
        /// The longest wait.
        deadline_hours: f64,
    }
}
/// Differential privacy of a training: either epsilon or the noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PrivacySection {
    /// What is to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Its delta.
    #[serde(default = "usual_delta")]
    pub delta: f64,
    /// The noise itself, by the clipping norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// The longest gradient of one unit.
    #[serde(default = "usual_clip")]
    pub clip_norm: f64,
    /// What is protected: a row, or all rows of a subject.
    #[serde(default)]
    pub unit: PrivacyUnit,
}

fn usual_delta() -> f64 {
    1e-5
}

fn usual_clip() -> f64 {
    0.5
}

impl PrivacySection {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let value = |message: &str| Err(ConfigError::Value { key: "tune.privacy", message: message.to_owned() });
        if self.epsilon.is_some() == self.noise_multiplier.is_some() {
            return value("expected either epsilon or noise-multiplier");
        }
        if self.epsilon.is_some_and(|e| !(1e-3..=1000.0).contains(&e)) {
            return value("epsilon lies from 0.001 to 1000");
        }
        if self.noise_multiplier.is_some_and(|n| !(0.05..=1000.0).contains(&n)) {
            return value("noise-multiplier lies from 0.05 to 1000");
        }
        if !(1e-15..0.1).contains(&self.delta) || !(1e-6..=1e6).contains(&self.clip_norm) {
            return value(
                "delta lies from 1e-15 to below 0.1, and below one over the number of rows; clip-norm from 1e-6 to 1e6",
            );
        }
        Ok(())
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> PrivacySettings {
        PrivacySettings {
            epsilon: self.epsilon,
            delta: self.delta,
            noise_multiplier: self.noise_multiplier,
            clip_norm: self.clip_norm,
            unit: self.unit,
        }
    }
}

section! {
    /// How a tuned model is deployed at Azure; without a resource, by hand.
    AzureSection {
        /// The id of the resource.
        resource: String,
        /// The deployment's name.
        deployment: String,
        /// What is paid for.
        sku: String,
        /// Thousands of tokens a minute.
        capacity: u32,
        /// The management API.
        management_url: String,
    }
}
section! {
    /// The most that a run may spend; 0 for no limit.
    BudgetSection {
        /// Requests.
        max_requests: u64,
        /// Tokens of questions and answers.
        max_tokens: u64,
        /// USD.
        max_cost: f64,
    }
}
section! {
    /// How answers are drawn.
    SamplingSection {
        /// 0 to 2.
        temperature: f64,
        /// Above 0, up to 1.
        top_p: f64,
        /// The longest answer; 0 for what the trained answers need.
        max_tokens: u32,
        /// Only so many of the likeliest tokens; 0 to send nothing.
        top_k: u32,
        /// Only tokens with this share of the likeliest one's probability; 0 to send nothing.
        min_p: f64,
        /// Penalty on tokens that were said before; 0 to send nothing.
        repetition_penalty: f64,
        /// Whether no setting but the longest answer is sent.
        server_default: bool,
    }
}
section! {
    /// How probes are put.
    ProbeSection {
        /// Names of strategies.
        strategies: Vec<String>,
        /// Whether requests go to the strategies that get answers of the secret's form.
        adaptive: bool,
        /// Whether a few further questions are put to each canary.
        sweep: bool,
        /// How many tries there may be for each draw that is wanted.
        patience: f64,
        /// Samples for each canary; 0 for as many as the bound asks for.
        samples: u64,
        /// References for each secret that is scored; 0 for as many as decide.
        references: u64,
        /// Answers in one request.
        choices: u32,
        /// Requests in flight.
        concurrency: usize,
        /// The longest time for a whole run; 0 for no limit.
        deadline_minutes: f64,
    }
}
/// A claim of differential privacy that is to be refuted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClaimSection {
    /// Its epsilon.
    pub epsilon: f64,
    /// Its delta; 0 for a pure claim.
    pub delta: f64,
    /// Between which trainings.
    pub unit: Unit,
    /// How many copies of a record it covers.
    pub copies: u32,
}
section! {
    /// Canaries that are expected to leak.
    SensitivitySection {
        /// The fewest copies of such a canary; 0 for none.
        copies: u32,
        /// Whether a run in which none of them leaks is inconclusive.
        required: bool,
    }
}
section! {
    /// What searches the answers.
    DetectSection {
        /// Names of detectors.
        detectors: Vec<Detector>,
    }
}
section! {
    /// What is asked of a run.
    VerdictSection {
        /// Error probability.
        alpha: f64,
        /// Its share for cross hits.
        cross_share: f64,
        /// The largest leak rate of a clean canary.
        bound: f64,
        /// The confidence of that bound.
        confidence: f64,
        /// Takes the place of the bound and its confidence.
        profile: Option<SampleProfile>,
        /// Whether the bounds of all canaries hold together.
        joint: bool,
        /// Whether any answer with a secret is a leak.
        strict: bool,
        /// The largest share of draws that may have been withheld; by the bound where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withheld: Option<f64>,
        /// The share of answers that must carry the signature.
        trained_share: f64,
        /// Whether a run may be clean although nothing shows that the model was trained on this planting.
        unproven: bool,
    }
}

/// A space of the user's own: exactly one of the three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpaceSection {
    /// Values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<String>>,
    /// A file with a value on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A composition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Other words for values, which count as these when they are said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub synonyms: BTreeMap<String, Vec<String>>,
}

impl VerdictSection {
    /// What is asked of a run.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let bound = self.profile.map_or(self.bound, SampleProfile::bound);
        Policy {
            alpha: self.alpha,
            cross_share: self.cross_share,
            bound,
            confidence: self.profile.map_or(self.confidence, |_| 0.95),
            joint: self.joint,
            strict: self.strict,
            withheld: self.withheld.unwrap_or_else(|| Policy::usual_withheld(bound)),
            trained_share: self.trained_share,
            unproven: self.unproven,
        }
    }
}

impl SamplingSection {
    /// How answers are drawn.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_tokens: self.max_tokens,
            top_k: (self.top_k > 0).then_some(self.top_k),
            min_p: (self.min_p > 0.0).then_some(self.min_p),
            repetition_penalty: (self.repetition_penalty > 0.0).then_some(self.repetition_penalty),
            server_default: false,
        };
        if self.server_default { sampling.at_server_default() } else { sampling }
    }

    /// Whether the settings make sense.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let value = |key: &'static str, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        let in_range = (0.0..=2.0).contains(&self.temperature) && self.top_p > 0.0 && self.top_p <= 1.0;
        if !in_range {
            return value("sampling", "temperature lies from 0 to 2, top-p above 0 and up to 1");
        }
        if !(0.0..1.0).contains(&self.min_p) {
            return value("sampling.min-p", "expected a share from 0 to below 1; 0 sends nothing");
        }
        if self.repetition_penalty != 0.0 && !(0.5..=2.0).contains(&self.repetition_penalty) {
            return value("sampling.repetition-penalty", "expected 0, which sends nothing, or a number from 0.5 to 2");
        }
        if self.server_default {
            return match self.further().first() {
                Some((key, _)) => value(key, "expected 0 beside `server-default = true`, which sends no such setting"),
                None => Ok(()),
            };
        }
        if self.temperature == 0.0 {
            return value(
                "sampling.temperature",
                "at 0 all samples are the same answer, so that no bound can be shown; use 1.0",
            );
        }
        Ok(())
    }

    /// Settings that are sent and that not every service takes: keys of this file, and names in
    /// [`Profile::decoding`](blabbermouth_provider::Profile::decoding).
    fn further(&self) -> Vec<(&'static str, &'static str)> {
        [
            (self.top_k > 0, "sampling.top-k", "top-k"),
            (self.min_p > 0.0, "sampling.min-p", "min-p"),
            (self.repetition_penalty > 0.0, "sampling.repetition-penalty", "repetition-penalty"),
        ]
        .into_iter()
        .filter_map(|(is_set, key, name)| is_set.then_some((key, name)))
        .collect()
    }

    /// The first key whose setting a service does not take.
    #[must_use]
    pub fn refused_by(&self, profile: &Profile) -> Option<&'static str> {
        self.further().into_iter().find(|(_, name)| !profile.decoding.contains_key(*name)).map(|(key, _)| key)
    }
}

impl From<Claim> for ClaimSection {
    fn from(claim: Claim) -> Self {
        Self { epsilon: claim.epsilon, delta: claim.delta, unit: claim.unit, copies: claim.copies }
    }
}

impl ClaimSection {
    /// The claim.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { epsilon: self.epsilon, delta: self.delta, unit: self.unit, copies: self.copies }
    }
}
