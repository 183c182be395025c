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
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The release policy.
    #[error("the release policy{} is not met, and nothing was sent:\n  {}", policy.as_ref().map(|p| format!(" ({p})")).unwrap_or_default(), found.join("\n  "))]
    Policy {
        /// The digest of the policy's file; `None` for what holds without one.
        policy: Option<String>,
        /// What is not met.
        found: Vec<String>,
    },
    /// A configuration that sends requests elsewhere, in CI.
    #[error(
        "{path} decides where requests, keys and files go, and a pull request may change it, so that in CI this is refused; nothing was \
         sent:\n  {}\n  name it in the workflow (--base-url, BLABBERMOUTH_PROVIDER_BASE_URL and the like), or allow it in a release \
         policy (--policy FILE) from outside of the pull request", found.join("\n  ")
    )]
    Rerouted {
        /// The configuration file.
        path: String,
        /// What it sets.
        found: Vec<String>,
    },
    /// A baseline that nobody with the key wrote.
    #[error(
        "the baseline accepts {leaks} leaks, and is not as `blabbermouth report accept` wrote it for this manifest: accept them again"
    )]
    Unsealed {
        /// The leaks.
        leaks: usize,
    },
    /// A claim that asks less of the model than its training kept.
    #[error(
        "[claim] in the configuration is weaker than what the model was trained with (epsilon {epsilon}, delta {delta:e}): remove it, and that \
         is tested"
    )]
    WeakerClaim {
        /// The epsilon of the training.
        epsilon: f64,
        /// Its delta.
        delta: f64,
    },
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest is missing.
    #[error("{path}: there is no manifest; `blabbermouth plant` writes one")]
    NoManifest {
        /// Where it was looked for.
        path: String,
    },
    /// The manifest.
    #[error("{path}: {source}")]
    Manifest {
        /// The file.
        path: String,
        /// The fault.
        source: ManifestError,
    },
    /// The key in the environment.
    #[error("BLABBERMOUTH_KEY: {0}")]
    Key(#[from] KeyError),
    /// The run journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The design.
    #[error(transparent)]
    TestDesign(#[from] DesignError),
    /// The provider's set-up.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// This build has no mock.
    #[error("provider.kind is `mock`, and this build has none: turn the feature `mock` on, or name a service")]
    NoMock,
    /// The mock.
    #[cfg(feature = "mock")]
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No model.
    #[error("no model is named: give --model, set `provider.model`, or make one with `blabbermouth tune`")]
    NoModel,
    /// The state file of a fine-tuning.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The model was tuned on other canaries.
    #[error("{path}: that model was tuned on another manifest's canaries: test it with that manifest, or tune again")]
    OtherManifest {
        /// The state file.
        path: String,
    },
    /// A limit in USD, and no price.
    #[error("nobody knows what asking {model} costs: give its price as [prices.\"{model}\"], or set no max-cost")]
    NoPrice {
        /// The model.
        model: String,
    },
    /// A limit below what any clean verdict takes.
    #[error(
        "budget.{limit} = {set} is too little for a clean verdict: the answers that count take at least {least}; raise it \
         (--{limit}), or ask for a weaker bound (`verdict.bound`); nothing was sent"
    )]
    SmallBudget {
        /// The key of the limit.
        limit: &'static str,
        /// What it is set to.
        set: String,
        /// What is needed.
        least: String,
    },
    /// A key of a documentation, beside a model that is no example.
    #[error(
        "{path}: the manifest was drawn with an example key, which is public. Plant again with your own key \
         (`openssl rand -hex 32`)"
    )]
    ExampleKey {
        /// The manifest.
        path: String,
    },
    /// A model that the mock does not serve.
    #[error(
        "the built-in mock serves no model `{model}`: leave out the name, or test the model at its own service \
         (provider.kind, --base-url)"
    )]
    NotServed {
        /// The model.
        model: String,
    },
    /// The fine-tuning has not led to a model.
    #[error("{path}: {what}")]
    NotTuned {
        /// The state file.
        path: String,
        /// Why.
        what: String,
    },
    /// A strategy that the service cannot serve.
    #[error(
        "the strategy `{strategy}` begins the answer itself, and {kind} does not go on with one: leave it out of \
         `probe.strategies`, or say `prefill = true` in a profile of your own if the service can"
    )]
    NoPrefill {
        /// The strategy.
        strategy: String,
        /// The service.
        kind: String,
    },
    /// A strategy that the service cannot serve.
    #[error(
        "the strategy `{strategy}` needs the probability of a text, which {kind} does not give: leave it out of \
         `probe.strategies`, or say `scores = true` in a profile of your own if the service completes texts and scores them"
    )]
    NoScores {
        /// The strategy.
        strategy: String,
        /// The service.
        kind: String,
    },
    /// A strategy that batch jobs cannot serve.
    #[error(
        "the strategy `{strategy}` is not asked by batch jobs: leave it out of `probe.strategies`, or leave out --batch"
    )]
    NoBatch {
        /// The strategy.
        strategy: String,
    },
    /// The runtime.
    #[error("the runtime could not start: {0}")]
    Runtime(std::io::Error),
}

impl SessionError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Runtime(_) => ExitCode::Internal,
            Self::Policy { .. } | Self::Rerouted { .. } => ExitCode::Policy,
            Self::Provider(ProviderError::Setup(_)) => ExitCode::Config,
            Self::Provider(_) => ExitCode::Provider,
            _ => ExitCode::Config,
        }
    }

    /// The message with its causes.
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
