//! Why a session cannot start, and the exit code of each cause.

use crate::config::ConfigError;
use crate::exit::ExitCode;
use crate::store::{JournalError, StoreError};
use crate::tune::TuneError;
use blabbermouth_core::canary::{KeyError, ManifestError};
use blabbermouth_core::verdict::DesignError;
#[cfg(feature = "mock")]
use blabbermouth_mock::ScenarioError;
use blabbermouth_provider::ProviderError;

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// An argument of the command line makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The release policy is not met.
    #[error("the release policy{} is not met, and nothing was sent:\n  {}", policy.as_ref().map(|p| format!(" ({p})")).unwrap_or_default(), found.join("\n  "))]
    Policy {
        /// Digest of the policy's file; `None` for the rules that hold without one.
        policy: Option<String>,
        /// Requirements that are not met.
        found: Vec<String>,
    },
    /// In CI, the configuration file sends requests elsewhere.
    #[error(
        "{path} decides where requests, keys and files go, and a pull request may change it, so that in CI this is refused; nothing was \
         sent:\n  {}\n  name it in the workflow (--base-url, BLABBERMOUTH_PROVIDER_BASE_URL and the like), or allow it in a release \
         policy (--policy FILE) from outside of the pull request", found.join("\n  ")
    )]
    Rerouted {
        /// Path of the configuration file.
        path: String,
        /// Settings of the file that CI does not allow.
        found: Vec<String>,
    },
    /// The seal of a baseline is missing or wrong.
    #[error(
        "the baseline accepts {leaks} leaks, and is not as `blabbermouth report accept` wrote it for this manifest: accept them again"
    )]
    Unsealed {
        /// Number of accepted leaks.
        leaks: usize,
    },
    /// The configured claim is weaker than the claim of the model's training.
    #[error(
        "[claim] in the configuration is weaker than what the model was trained with (epsilon {epsilon}, delta {delta:e}): remove it, and that \
         is tested"
    )]
    WeakerClaim {
        /// Epsilon of the training.
        epsilon: f64,
        /// Delta of the training.
        delta: f64,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest is missing.
    #[error("{path}: there is no manifest; `blabbermouth plant` writes one")]
    NoManifest {
        /// Expected path of the manifest.
        path: String,
    },
    /// The manifest cannot be used.
    #[error("{path}: {source}")]
    Manifest {
        /// Path of the manifest.
        path: String,
        /// Cause.
        source: ManifestError,
    },
    /// The key in the environment is invalid.
    #[error("BLABBERMOUTH_KEY: {0}")]
    Key(#[from] KeyError),
    /// The run journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No test design fits the settings.
    #[error(transparent)]
    TestDesign(#[from] DesignError),
    /// The provider failed, or its settings are wrong.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// This build has no mock.
    #[error("provider.kind is `mock`, and this build has none: turn the feature `mock` on, or name a service")]
    NoMock,
    /// The scenario of the mock is unknown.
    #[cfg(feature = "mock")]
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No model is named.
    #[error("no model is named: give --model, set `provider.model`, or make one with `blabbermouth tune`")]
    NoModel,
    /// The state file of a fine-tuning cannot be used.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The model was tuned on the canaries of another manifest.
    #[error("{path}: that model was tuned on another manifest's canaries: test it with that manifest, or tune again")]
    OtherManifest {
        /// Path of the state file.
        path: String,
    },
    /// A limit in USD is set, and the price is unknown.
    #[error("nobody knows what asking {model} costs: give its price as [prices.\"{model}\"], or set no max-cost")]
    NoPrice {
        /// Name of the model.
        model: String,
    },
    /// A limit is below the minimum for a clean verdict.
    #[error(
        "budget.{limit} = {set} is too little for a clean verdict: the answers that count take at least {least}; raise it \
         (--{limit}), or ask for a weaker bound (`verdict.bound`); nothing was sent"
    )]
    SmallBudget {
        /// Key of the limit.
        limit: &'static str,
        /// Value that is set.
        set: String,
        /// Value that is needed.
        least: String,
    },
    /// The manifest has a public example key, and the model is neither the mock nor embedded.
    #[error(
        "{path}: the manifest was drawn with an example key, which is public. Plant again with your own key \
         (`openssl rand -hex 32`)"
    )]
    ExampleKey {
        /// Path of the manifest.
        path: String,
    },
    /// The mock does not serve this model.
    #[error(
        "the built-in mock serves no model `{model}`: leave out the name, or test the model at its own service \
         (provider.kind, --base-url)"
    )]
    NotServed {
        /// Name of the model.
        model: String,
    },
    /// The fine-tuning has not produced a model.
    #[error("{path}: {what}")]
    NotTuned {
        /// Path of the state file.
        path: String,
        /// Reason.
        what: String,
    },
    /// A strategy starts the answer itself, which the service does not support.
    #[error(
        "the strategy `{strategy}` begins the answer itself, and {kind} does not go on with one: leave it out of \
         `probe.strategies`, or say `prefill = true` in a profile of your own if the service can"
    )]
    NoPrefill {
        /// Name of the strategy.
        strategy: String,
        /// Kind of the service.
        kind: String,
    },
    /// A strategy needs scores, which the service does not give.
    #[error(
        "the strategy `{strategy}` needs the probability of a text, which {kind} does not give: leave it out of \
         `probe.strategies`, or say `scores = true` in a profile of your own if the service completes texts and scores them"
    )]
    NoScores {
        /// Name of the strategy.
        strategy: String,
        /// Kind of the service.
        kind: String,
    },
    /// A strategy cannot be asked by batch jobs.
    #[error(
        "the strategy `{strategy}` is not asked by batch jobs: leave it out of `probe.strategies`, or leave out --batch"
    )]
    NoBatch {
        /// Name of the strategy.
        strategy: String,
    },
    /// The async runtime, or the server of the mock, cannot start.
    #[error("the runtime could not start: {0}")]
    Runtime(std::io::Error),
}

impl SessionError {
    /// Exit code of the error.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Runtime(_) => ExitCode::Internal,
            Self::Usage { .. } => ExitCode::Usage,
            Self::Policy { .. } | Self::Rerouted { .. } => ExitCode::Policy,
            Self::Provider(ProviderError::Setup(_)) => ExitCode::Config,
            Self::Provider(_) => ExitCode::Provider,
            _ => ExitCode::Config,
        }
    }

    /// Message with its causes.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        text
    }
}
