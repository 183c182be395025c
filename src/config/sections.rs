//! The sections of the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use blabbermouth_core::chat::Sampling;
use blabbermouth_core::detect::Detector;
use blabbermouth_core::shape::Side;
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
    /// Numbers of canaries, and their templates.
    CanariesSection {
        /// Canaries in the training file, up to 1,000,000.
        planted: usize,
        /// Held-out canaries, which are never trained, up to 1,000,000.
        held_out: usize,
        /// Numbers of copies in the training file, distributed over the planted canaries; each up to 100,000.
        copies: Vec<u32>,
        /// Names of templates.
        templates: Vec<String>,
        /// The largest share of canaries in the training file, above 0 and up to 1.
        max_share: f64,
        /// Whether the templates keep their system prompts.
        system_prompt: bool,
        /// The side of the planted answer, in rows with preferences or labels.
        side: Side,
        /// Whether planted answers carry an invented name that shows on which planting the model was trained.
        signature: bool,
    }
}
section! {
    /// The training rows, and the files that `plant` writes.
    DatasetSection {
        /// The data file, or a data set of the Hugging Face hub.
        path: PathBuf,
        /// The shape of the rows that `plant` writes; `keep` for that of the rows it reads.
        format: String,
        /// The columns of question and answer, where they have other names than usual; empty to detect them.
        fields: Vec<String>,
        /// The character encoding of the rows; `auto` for UTF-8, or UTF-16 with its mark.
        encoding: String,
        /// The training file to write.
        training: PathBuf,
        /// The validation file to write.
        validation: PathBuf,
        /// The file that `plant --twin` writes: the training rows without the canaries.
        twin: PathBuf,
        /// Share of the rows for the validation file, from 0 to below 1.
        validation_share: f64,
    }
}
section! {
    /// The manifest file.
    ManifestSection {
        /// Path of the file.
        path: PathBuf,
    }
}
section! {
    /// The run journal.
    StoreSection {
        /// Path of the folder.
        path: PathBuf,
    }
}
section! {
    /// The model service.
    ProviderSection {
        /// The name of a service, or the file of a profile.
        kind: String,
        /// Address of the server, up to and with the version; empty for the service's own.
        base_url: String,
        /// Name of the model.
        model: String,
        /// The API that is asked: `auto`, `chat`, `responses` or `completions`.
        api: String,
        /// Environment variable with the API key; empty for the service's own.
        key_variable: String,
        /// Time limit of one attempt, in seconds.
        timeout_seconds: u64,
        /// The longest wait that the service may ask for, in seconds.
        patience_seconds: f64,
        /// File of certificates (PEM) to trust beside the usual ones; empty for none.
        certificates: PathBuf,
        /// File with the client's certificate and its key (PEM); empty for none.
        client_certificate: PathBuf,
        /// Headers of every request: the name of each, and the environment variable with its value.
        headers: BTreeMap<String, String>,
        /// The program that answers, with its arguments, for `kind = "command"`.
        command: Vec<String>,
        /// Further environment variables that the program sees.
        environment: Vec<String>,
        /// The behavior of the mock.
        scenario: String,
    }
}
section! {
    /// The fine-tuning.
    TuneSection {
        /// The base model.
        base_model: String,
        /// A word for the tuned model's name, up to 64 characters.
        suffix: String,
        /// Passes over the training file, up to 50; 0 leaves the number to the service.
        epochs: u32,
        /// Rows in each step, up to 256 (with privacy 65,536); 0 leaves the number to the service.
        batch_size: u32,
        /// Factor of the learning rate; 0 leaves it to the service.
        learning_rate_multiplier: f64,
        /// Differential privacy; only the embedded model is trained with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        privacy: Option<PrivacySection>,
        /// The id of the account at Fireworks.
        account: String,
        /// The state file, with the progress and the tuned model's name.
        state: PathBuf,
        /// Days for which the service keeps the files, 1 to 30.
        keep_files_days: u32,
        /// Seconds between two polls of the job.
        poll_seconds: f64,
        /// Hours that `tune` waits.
        deadline_hours: f64,
    }
}
/// Differential privacy of a training. Set exactly one of `epsilon` and `noise-multiplier`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PrivacySection {
    /// Target epsilon, 0.001 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Target delta, from 1e-15 to below 0.1, and below one over the number of rows.
    #[serde(default = "usual_delta")]
    pub delta: f64,
    /// Standard deviation of the noise, divided by the clipping norm; 0.05 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Clipping norm: the largest norm of one unit's gradient, 1e-6 to 1e6.
    #[serde(default = "usual_clip")]
    pub clip_norm: f64,
    /// The protected unit: a row, or all rows of a subject.
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
    /// Checks the ranges of the settings.
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

    /// The settings for the provider.
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
    /// The deployment of a tuned model at Azure.
    AzureSection {
        /// The id of the resource; empty to deploy by hand.
        resource: String,
        /// Name of the deployment.
        deployment: String,
        /// The SKU, by which Azure bills.
        sku: String,
        /// Capacity in thousands of tokens a minute.
        capacity: u32,
        /// Address of the management API.
        management_url: String,
    }
}
section! {
    /// Limits of what a run may spend; 0 for no limit.
    BudgetSection {
        /// Number of requests.
        max_requests: u64,
        /// Number of tokens, of questions and answers.
        max_tokens: u64,
        /// Cost in USD.
        max_cost: f64,
    }
}
section! {
    /// Sampling of answers.
    SamplingSection {
        /// Temperature, 0 to 2.
        temperature: f64,
        /// Nucleus sampling, above 0 and up to 1.
        top_p: f64,
        /// Longest answer in tokens; 0 for a limit that fits the trained answers.
        max_tokens: u32,
        /// Number of likeliest tokens to sample from; 0 to send nothing.
        top_k: u32,
        /// Smallest probability of a token, as a share of the likeliest token's, from 0 to below 1; 0 to send nothing.
        min_p: f64,
        /// Penalty on tokens that were said before, 0.5 to 2; 0 to send nothing.
        repetition_penalty: f64,
        /// Whether only the longest answer is sent, so that the server uses its own settings.
        server_default: bool,
    }
}
section! {
    /// Questions: strategies, samples and requests.
    ProbeSection {
        /// Names of strategies.
        strategies: Vec<String>,
        /// Whether strategies whose answers have the form of the secret get more requests.
        adaptive: bool,
        /// Whether each canary gets a few further questions, which look for leaks.
        sweep: bool,
        /// Maximum number of attempts for each answer that is needed, 1 to 100.
        patience: f64,
        /// Samples for each canary; 0 for as many as the bound takes.
        samples: u64,
        /// References for each secret under the strategy `score`; 0 for as many as let the rank decide by itself.
        references: u64,
        /// Answers in one request, 1 to 128.
        choices: u32,
        /// Requests in flight, 1 to 65,536.
        concurrency: usize,
        /// Time limit of a run in minutes; 0 for no limit.
        deadline_minutes: f64,
    }
}
/// A claim of differential privacy that the run tries to refute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClaimSection {
    /// Epsilon of the claim, 0 to 100.
    pub epsilon: f64,
    /// Delta of the claim, from 0 to below 1; 0 for a pure claim.
    pub delta: f64,
    /// Which two trainings the claim compares.
    pub unit: Unit,
    /// Copies of a record that the claim covers, from 1 on.
    pub copies: u32,
}
section! {
    /// Positive controls: canaries that are expected to leak.
    SensitivitySection {
        /// Minimum number of copies that makes a canary a positive control; 0 for no positive controls.
        copies: u32,
        /// Whether a run in which no positive control leaks is inconclusive.
        required: bool,
    }
}
section! {
    /// Detectors that search the answers.
    DetectSection {
        /// Names of detectors, beside `exact` and `normalised`.
        detectors: Vec<Detector>,
    }
}
section! {
    /// Requirements for a clean verdict.
    VerdictSection {
        /// Probability that a model that learned nothing is called leaky, from 0.0001 to below 1.
        alpha: f64,
        /// Share of alpha for secrets in answers to other canaries, 0.01 to 0.5.
        cross_share: f64,
        /// Largest leak rate of a clean canary, from 0.000001 to below 1.
        bound: f64,
        /// Confidence of the bound, from 0.8 to below 1.
        confidence: f64,
        /// A preset that replaces the bound and its confidence.
        profile: Option<SampleProfile>,
        /// Whether the confidence is that of all bounds jointly, not of each by itself.
        joint: bool,
        /// Whether every answer with a secret is a leak, even if chance explains it.
        strict: bool,
        /// Largest share of draws that may be withheld, above 0 and up to 0.5. Default 0.1; 0.2 for bounds from 5%.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withheld: Option<f64>,
        /// Share of answers that must carry the signature, from 0.5 to below 1.
        trained_share: f64,
        /// Whether a run may be clean although nothing shows that the model was trained on this planting.
        unproven: bool,
    }
}

/// A secret space of the user. Set exactly one of `list`, `file` and `pattern`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpaceSection {
    /// The values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<String>>,
    /// Path of a file with one value on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// A pattern of text and spaces, as in `AC-{digits(8)}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Other words for values; each counts as its value in an answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub synonyms: BTreeMap<String, Vec<String>>,
}

impl VerdictSection {
    /// The settings as a policy for the verdict.
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
    /// The settings for a request.
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

    /// Checks the ranges of the settings.
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

    /// Settings in use that not every service accepts: the key in this file, and the name in
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

    /// The first key whose setting a service does not accept; `None` if it accepts all.
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
    /// The claim for the verdict.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { epsilon: self.epsilon, delta: self.delta, unit: self.unit, copies: self.copies }
    }
}
