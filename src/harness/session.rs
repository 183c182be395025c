//! A configuration with its manifest, ready to be probed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::audit::{Audit, Options, Progress};
use crate::canary::{Drawn, Entry, Key, KeyError, Manifest, ManifestError, Template};
use crate::chat::Sampling;
use crate::config::{Config, ConfigError};
use crate::exit::ExitCode;
use crate::provider::mock::{self, MODEL, Scenario, ScenarioError, Server};
use crate::provider::{Connection, Profile, ProviderError};
use crate::store::{self, Journal, JournalError, RunName, StoreError};
use crate::tune::{Stage, State, TuneError};
use crate::verdict::{CanaryVerdict, DesignError, Policy, RunReport};

/// How long a model that was just tuned may be unknown.
const WARM_UP: Duration = Duration::from_secs(15 * 60);

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    Design(#[from] DesignError),
    /// The provider's set-up.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The mock.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No model.
    #[error("no model is named: give --model, set `provider.model`, or make one with `blabbermouth tune`")]
    NoModel,
    /// The state file of a fine-tuning.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The model was tuned on other canaries.
    #[error("{path}: that model was tuned on another manifest's canaries; tune again, or name a model with --model")]
    OtherManifest {
        /// The state file.
        path: String,
    },
    /// The fine-tuning has not led to a model.
    #[error("{path}: {what}")]
    NotTuned {
        /// The state file.
        path: String,
        /// Why.
        what: String,
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

/// A configuration with its manifest. Secrets are drawn again only when probing starts.
#[derive(Debug)]
pub struct Session {
    /// The settings.
    pub config: Config,
    folder: PathBuf,
    name: String,
    manifest: Manifest,
    manifest_path: PathBuf,
    key: Option<Key>,
    profile: Profile,
    connection: Connection,
    run_name: Option<RunName>,
    fresh: bool,
}

/// A run that was judged, with its journal still open.
#[derive(Debug)]
pub struct Done {
    /// The report.
    pub report: RunReport,
    journal: Journal,
    judged: Vec<usize>,
}

impl Done {
    /// Closes the run, once its report is where it belongs: the journal forgets its answers, and the
    /// next run asks anew. Where the provider failed, what it did answer is kept for the next run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn settle(self) -> Result<RunReport, SessionError> {
        let Self { report, journal, judged } = self;
        if report.canaries.iter().all(|c| c.verdict != CanaryVerdict::Errored) {
            journal.settle(&judged)?;
        }
        Ok(report)
    }
}

impl Session {
    /// Reads configuration and manifest; `adjust` applies what the command line says.
    ///
    /// # Errors
    /// When either cannot be used.
    pub fn open(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
        adjust: impl FnOnce(&mut Config),
    ) -> Result<Self, SessionError> {
        let mut config = Config::load(file, &environment)?;
        adjust(&mut config);
        let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let manifest_path = folder.join(&config.manifest.path);
        if !manifest_path.exists() {
            return Err(SessionError::NoManifest { path: manifest_path.display().to_string() });
        }
        let at = |source| SessionError::Manifest { path: manifest_path.display().to_string(), source };
        let manifest = Manifest::parse(&store::read(&manifest_path)?).map_err(at)?;
        let key = environment("BLABBERMOUTH_KEY").map(|k| Key::from_text(&k)).transpose()?;
        let (profile, connection) = service(&config, &folder, &environment)?;
        let name = file.map_or_else(|| "blabbermouth.toml".to_owned(), |f| f.display().to_string());
        // cargo-nextest runs every test in a process of its own, and gives all of them the same id.
        let run_name = ["BLABBERMOUTH_RUN_ID", "NEXTEST_RUN_ID"]
            .into_iter()
            .find_map(|name| environment(name).filter(|id| !id.trim().is_empty()))
            .map(RunName);
        Ok(Self { config, folder, name, manifest, manifest_path, key, profile, connection, run_name, fresh: false })
    }

    /// Forgets what an interrupted run of the same plan had been told, and asks anew.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        self
    }

    /// The canaries of the manifest.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.manifest.canaries
    }

    fn audit(&self) -> Result<(Audit, Drawn), SessionError> {
        let at = |source| SessionError::Manifest { path: self.manifest_path.display().to_string(), source };
        let drawn = self.manifest.regenerate(self.key.clone()).map_err(at)?;
        let (probe, verdict) = (&self.config.probe, &self.config.verdict);
        let strategy = crate::probe::by_name(&probe.strategy).expect("the configuration was checked");
        let options = Options {
            sampling: self.sampling(),
            choices: probe.choices,
            concurrency: probe.concurrency,
            samples: (probe.samples > 0).then_some(probe.samples),
            policy: Policy {
                alpha: verdict.alpha,
                cross_share: verdict.cross_share,
                bound: verdict.bound,
                confidence: verdict.confidence,
            },
            config: self.name.clone(),
        };
        let audit = Audit::new(self.manifest.canaries.clone(), &drawn, strategy.as_ref(), options)?;
        Ok((audit, drawn))
    }

    fn sampling(&self) -> Sampling {
        let s = &self.config.sampling;
        Sampling { temperature: s.temperature, top_p: s.top_p, max_tokens: s.max_tokens }
    }

    /// Everything that an answer depends on: two runs may share answers only where this is the same.
    fn plan(&self, model: &str) -> String {
        let (p, probe) = (&self.config.provider, &self.config.probe);
        let address = match p.base_url.as_str() {
            _ if p.kind == "mock" => &p.scenario,
            "" => &self.profile.base_url,
            own => own,
        };
        let plan = serde_json::json!({
            "nonce": self.manifest.nonce,
            "templates": self.manifest.templates,
            "provider": p.kind,
            "command": p.command,
            "address": address,
            "model": model,
            "sampling": self.sampling(),
            "strategy": probe.strategy,
            "choices": probe.choices,
        });
        HEXLOWER.encode(&Sha256::digest(plan.to_string()))
    }

    /// Probes the canaries at these positions of the manifest and judges them.
    ///
    /// # Errors
    /// When the key is missing or wrong, no verdict could be reached, the provider cannot be set up, or
    /// the journal cannot be used.
    pub fn probe(&self, selected: &[usize], progress: Progress) -> Result<Done, SessionError> {
        let (audit, drawn) = self.audit()?;
        let mock = self.config.provider.kind == "mock";
        let (model, warm_up) = match self.config.provider.model.as_str() {
            _ if mock => (MODEL.to_owned(), Duration::ZERO),
            "" => tuned(&self.folder.join(&self.config.tune.state), &self.manifest.nonce)?,
            model => (model.to_owned(), Duration::ZERO),
        };
        if model.is_empty() {
            return Err(SessionError::NoModel);
        }
        let journal = Arc::new(Journal::open(
            &self.folder.join(&self.config.store.path),
            drawn.key.sealing_key("journal"),
            &self.plan(&model),
            self.run_name.as_ref(),
            self.fresh,
        )?);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(SessionError::Runtime)?;
        let report = runtime.block_on(async {
            let p = &self.config.provider;
            let mut connection = self.connection.clone();
            let mut server = None;
            if mock {
                let training = self.folder.join(&self.config.dataset.training);
                let options = mock_options(&training, drawn.templates, &p.scenario)?;
                let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(SessionError::Runtime)?;
                let mock = Server::start(listener, options).map_err(SessionError::Runtime)?;
                connection.base_url = mock.base_url();
                connection.key = None;
                server = Some(mock);
            }
            let provider = self.profile.connect(&connection, &model, warm_up)?;
            let report = audit.run(selected, provider, Arc::clone(&journal), progress).await?;
            drop(server);
            Ok::<_, SessionError>(report)
        })?;
        drop(runtime);
        let journal = Arc::into_inner(journal).expect("all tasks have ended with the runtime");
        Ok(Done { report, journal, judged: selected.to_vec() })
    }
}

/// The configured service: its profile, and what the user says beside it.
///
/// # Errors
/// When there is no such service.
pub fn service(
    config: &Config,
    folder: &Path,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Profile, Connection), ProviderError> {
    let p = &config.provider;
    let profile = Profile::load(&p.kind, folder)?;
    let variable = if p.key_variable.is_empty() { &profile.key_variable } else { &p.key_variable };
    let key = environment(variable).filter(|k| !k.trim().is_empty()).map(SecretString::from);
    let connection = Connection {
        base_url: p.base_url.clone(),
        key_variable: variable.clone(),
        key,
        timeout: Duration::from_secs(p.timeout_seconds.max(1)),
        certificates: (!p.certificates.as_os_str().is_empty()).then(|| folder.join(&p.certificates)),
        command: p.command.clone(),
    };
    Ok((profile, connection))
}

/// The model that `tune` made with the canaries of this manifest, and how long it may still be unknown.
/// Without a state file: none.
fn tuned(path: &Path, manifest: &str) -> Result<(String, Duration), SessionError> {
    let state = State::read(path)?;
    let Some(state) = state else { return Ok((String::new(), Duration::ZERO)) };
    let path = || path.display().to_string();
    if state.manifest != manifest {
        return Err(SessionError::OtherManifest { path: path() });
    }
    match (state.stage, state.model) {
        (Stage::Ready, Some(model)) => {
            let finished = UNIX_EPOCH + Duration::from_secs(state.finished.unwrap_or(0));
            let age = SystemTime::now().duration_since(finished).unwrap_or_default();
            Ok((model, WARM_UP.saturating_sub(age)))
        }
        (stage, _) => Err(SessionError::NotTuned {
            path: path(),
            what: match (stage, state.reason) {
                (Stage::Failed | Stage::Refused, Some(reason)) => format!("there is no model: {reason}"),
                _ => "the job is not done; `blabbermouth tune --watch` follows it".into(),
            },
        }),
    }
}

/// A mock whose model knows a training file.
///
/// # Errors
/// When the file cannot be read or the scenario is unknown.
pub fn mock_options(training: &Path, templates: Vec<Template>, scenario: &str) -> Result<mock::Options, SessionError> {
    let scenario = Scenario::by_name(scenario)?;
    Ok(mock::Options { templates, training: store::read(training)?, ..mock::Options::new(scenario) })
}
