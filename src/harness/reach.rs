//! Connects a session to its model: which one, through which service, with the mock behind it if there is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;

use super::mocked::{self, Mock};
use super::session::Session;
use super::session_error::SessionError;
use crate::cassette::{Player, Recorder};
use crate::config::{ClaimSection, Config, ReleasePolicy, Target, is_ci};
use crate::tune::{Stage, State};
use blabbermouth_core::canary::Drawn;
use blabbermouth_core::chat::Usage;
use blabbermouth_core::detect::Searcher;
use blabbermouth_provider::{
    Budget, Completing, Connection, Deadline, DeploymentSettings, Dialect, Limits, MANAGEMENT_TOKEN, ModelIdentity,
    Notices, Profile, Provider, ProviderError, Quotes, Redact, Redactor, Request, TunerSettings,
};

/// How long a newly tuned model may be unknown to the service.
const WARM_UP: Duration = Duration::from_secs(15 * 60);

/// Files to record answers to, or to replay them from.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    /// File to record every answer to; `None` for none.
    pub record: Option<PathBuf>,
    /// Files to replay every answer from, without a provider; empty for none.
    pub replay: Vec<PathBuf>,
    /// Whether these are the parts of a sharded run: an answer that none of them has is a gap, and no error.
    pub parts: bool,
}

/// Estimated cost of a run, before anything is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Name of the model.
    pub model: String,
    /// Maximum number of requests.
    pub requests: u64,
    /// Tokens: those of prompts are estimated, those of answers are the maximum.
    pub usage: Usage,
    /// Maximum cost in USD, and the source of the price; `None` if no price is known.
    pub cost: Option<(f64, String)>,
}

/// A connected model. The mock behind it ends when this is dropped.
pub(super) struct Reached {
    pub(super) provider: Arc<dyn Provider>,
    /// Recorder of the answers, if there is one.
    pub(super) recorder: Option<Arc<Recorder>>,
    /// Start of the replayed recording, in seconds since 1970; `None` if nothing is replayed.
    pub(super) recorded: Option<u64>,
    _server: Option<Mock>,
}

impl Session {
    fn is_mocked(&self) -> bool {
        self.config.provider.kind == "mock"
    }

    /// Takes the claim of a tuned model, if the configuration has none. If these canaries cannot refute that claim, it
    /// is reported as not tested.
    pub(super) fn take_up_claim(&mut self) -> Result<(), SessionError> {
        // Without the key nothing can be tested or trusted.
        if self.is_mocked() || self.own_key().is_err() {
            return Ok(());
        }
        let named = &self.config.provider.model;
        // An edited state is an error even if a model is named: it may have had a claim.
        let state = self.tuning()?.filter(|state| self.is_of(state));
        let is_named = |state: &State| {
            state.model.as_ref() == Some(named) || state.checkpoints.iter().any(|checkpoint| checkpoint.model == *named)
        };
        let state = state.filter(|state| named.is_empty() || is_named(state));
        let Some(claim) = state.filter(|state| state.stage == Stage::Ready).and_then(|state| state.claim) else {
            return Ok(());
        };
        let (epsilon, delta) = (claim.epsilon, claim.delta);
        if let Some(own) = &self.config.claim {
            return if own.claim().is_weaker_than(&claim) {
                Err(SessionError::WeakerClaim { epsilon, delta })
            } else {
                Ok(())
            };
        }
        self.config.claim = Some(ClaimSection::from(claim));
        if let Err(error) = self.audit() {
            self.config.claim = None;
            self.untested_claim =
                Some(format!("the model's claim of epsilon {epsilon}, delta {delta:e} is not tested: {error}"));
        }
        Ok(())
    }

    /// Whether `tune` made the tested model: `tune` trains only on a file with every planted row.
    pub(super) fn rows_checked(&self) -> bool {
        let Ok(Some(state)) = self.tuning() else { return false };
        let named = &self.config.provider.model;
        let is_tested = named.is_empty() || state.model.as_ref() == Some(named);
        state.stage == Stage::Ready && self.is_of(&state) && is_tested
    }

    /// Name of the model, and how long the service may still not know it.
    pub(super) fn model(&self) -> Result<(String, Duration), SessionError> {
        let (model, warm_up) = match self.config.provider.model.as_str() {
            model if self.is_mocked() => (mocked::model(model)?, Duration::ZERO),
            "" => self.tuned()?,
            model => {
                self.check_planting(model)?;
                (model.to_owned(), Duration::ZERO)
            }
        };
        if model.is_empty() {
            return Err(SessionError::NoModel);
        }
        if !self.policy.allows_model(&model) {
            let found = vec![format!("the model `{model}` is not among `models`")];
            return Err(SessionError::Policy { policy: self.policy_digest.clone(), found });
        }
        Ok((model, warm_up))
    }

    /// Name of the model that `tune` made with the canaries of this manifest, and how long the service may still not
    /// know it. The name is empty without a state file.
    fn tuned(&self) -> Result<(String, Duration), SessionError> {
        let Some(state) = self.tuning()? else { return Ok((String::new(), Duration::ZERO)) };
        let path = || self.folder.join(&self.config.tune.state).display().to_string();
        if !self.is_of(&state) {
            return Err(SessionError::OtherManifest { path: path() });
        }
        match (state.stage, state.model) {
            (Stage::Ready, Some(model)) => {
                // A time in the future, after the clock was set back, counts as now.
                let age = Duration::from_secs(now().saturating_sub(state.finished.unwrap_or(0)));
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

    /// Refuses a model that is on record as tuned on another planting.
    fn check_planting(&self, model: &str) -> Result<(), SessionError> {
        let path = self.folder.join(&self.config.tune.state);
        // A named model needs no state file, and an unreadable one proves nothing.
        let Ok(Some(state)) = State::read(&path) else { return Ok(()) };
        let is_known = state.model.as_deref() == Some(model) || state.checkpoints.iter().any(|c| c.model == model);
        if is_known && !self.is_of(&state) {
            return Err(SessionError::OtherManifest { path: path.display().to_string() });
        }
        Ok(())
    }

    /// Connects to the model, on the current runtime.
    pub(super) fn reach(
        &self,
        model: &str,
        warm_up: Duration,
        drawn: &Drawn,
        budget: Option<Budget>,
        model_name: Option<Arc<dyn ModelIdentity>>,
    ) -> Result<Reached, SessionError> {
        let mut connection = self.connection.clone();
        connection.budget = budget.map(Arc::new);
        connection.model_name = model_name;
        connection.redact = Redactor(Some(redactor(drawn)));
        if !self.tape.replay.is_empty() {
            let (paths, parts) = (&self.tape.replay, self.tape.parts);
            let player = Player::new(paths, parts, model, drawn.key.sealing_key("cassette"))?;
            let found: Vec<String> =
                player.addresses().filter_map(|address| self.policy.foreign_host(address)).collect();
            if !found.is_empty() {
                return Err(SessionError::Policy { policy: self.policy_digest.clone(), found });
            }
            let recorded = Some(player.recorded());
            return Ok(Reached { provider: Arc::new(player), recorder: None, recorded, _server: None });
        }
        let mut server = None;
        if self.is_mocked() {
            let training = self.folder.join(&self.config.dataset.training);
            let (mock, url) = mocked::start(&training, drawn.templates.clone(), &self.config.provider.scenario)?;
            connection.base_url = url;
            connection.key = None;
            server = Some(mock);
        }
        let mut provider = self.profile.connect(&connection, model, warm_up)?;
        if self.config.probe.deadline_minutes > 0.0 {
            let longest = Duration::from_secs_f64(60.0 * self.config.probe.deadline_minutes);
            provider = Arc::new(Deadline::new(provider, longest));
        }
        let mut recorder = None;
        if let Some(path) = &self.tape.record {
            let made = Arc::new(Recorder::new(provider, path, drawn.key.sealing_key("cassette"), now())?);
            provider = Arc::clone(&made) as Arc<dyn Provider>;
            recorder = Some(made);
        }
        Ok(Reached { provider, recorder, recorded: None, _server: server })
    }
}

/// Current time, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Provider for a model whose answers are in the journal: a request for any other answer is an error.
pub(super) struct Missing {
    model: String,
    address: String,
}

impl Missing {
    pub(super) fn new(of: &dyn Provider) -> Self {
        Self { model: of.model().to_owned(), address: of.address() }
    }
}

impl Provider for Missing {
    fn complete<'a>(&'a self, _: &'a Request) -> Completing<'a> {
        Box::pin(async { Err(ProviderError::Unanswered) })
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}

/// Limits of the configured budget.
pub(super) fn limits(config: &Config) -> Limits {
    let b = &config.budget;
    Limits {
        requests: (b.max_requests > 0).then_some(b.max_requests),
        tokens: (b.max_tokens > 0).then_some(b.max_tokens),
        cost: (b.max_cost > 0.0).then_some(b.max_cost),
    }
}

/// Async runtime for the requests of a session.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, SessionError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(SessionError::Runtime)
}

/// Profile of the configured service, and the user's connection settings.
///
/// # Errors
/// When there is no such service, or it does not take a sampling parameter.
pub fn service(
    config: &Config,
    folder: &Path,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Profile, Connection), ProviderError> {
    let p = &config.provider;
    let mut profile = Profile::load(&p.kind, folder)?;
    match p.api.as_str() {
        "responses" => profile.responses = true,
        "completions" => profile.completions = true,
        "chat" => {
            profile.completions = false;
            // A path of its own has no other API beside it.
            if profile.chat_path.is_empty() {
                "/chat/completions".clone_into(&mut profile.chat_path);
            }
        }
        _ => {}
    }
    if let Some(key) = config.sampling.refused_by(&profile) {
        let how =
            format!("`{key}`: the service `{}` does not take this setting; expected 0, which sends nothing", p.kind);
        return Err(ProviderError::Setup(how));
    }
    let variable = if p.key_variable.is_empty() { &profile.key_variable } else { &p.key_variable };
    let key = environment(variable).filter(|k| !k.trim().is_empty()).map(SecretString::from);
    let mut headers = BTreeMap::new();
    for (name, variable) in &p.headers {
        let unset = || {
            ProviderError::Setup(format!("`provider.headers`: {variable} is not set, which holds the header `{name}`"))
        };
        headers.insert(name.clone(), environment(variable).filter(|value| !value.is_empty()).ok_or_else(unset)?.into());
    }
    let connection = Connection {
        base_url: p.base_url.clone(),
        key_variable: variable.clone(),
        key,
        timeout: Duration::from_secs(p.timeout_seconds.max(1)),
        certificates: (!p.certificates.as_os_str().is_empty()).then(|| folder.join(&p.certificates)),
        identity: (!p.client_certificate.as_os_str().is_empty()).then(|| folder.join(&p.client_certificate)),
        headers,
        command: p.command.clone(),
        budget: None,
        concurrency: config.probe.concurrency,
        home: home(config, folder),
        beside: folder.to_owned(),
        passed: p.environment.clone(),
        model_name: None,
        redact: Redactor::default(),
        notices: Notices::default(),
        patience: Duration::from_secs_f64(p.patience_seconds),
    };
    Ok((profile, connection))
}

/// Release policy and the digest of its file, if it allows the service, its address and its key.
///
/// # Errors
/// When the policy does not allow them, or cannot be read.
pub fn allowed(
    config: &Config,
    file: Option<&Path>,
    profile: &Profile,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(ReleasePolicy, Option<String>), SessionError> {
    let p = &config.provider;
    // A profile in a file is no more trusted than the configuration beside it.
    let is_own = Profile::is_file(&p.kind);
    let own = |text: &str| if is_own { String::new() } else { text.to_owned() };
    let (own_url, own_variable) = (own(&profile.base_url), own(&profile.key_variable));
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let base_url = profile.base_url_of(&p.base_url)?;
    let key_variable = or(&p.key_variable, &profile.key_variable);
    let management_url = if config.azure.resource.is_empty() { "" } else { &config.azure.management_url };
    let defaults = Config::load(None, |_| None)?;
    let header_variables: Vec<String> = p.headers.values().cloned().collect();
    let target = Target {
        kind: &p.kind,
        base_url: &base_url,
        own_url: &own_url,
        key_variable: &key_variable,
        own_variable: &own_variable,
        is_command: profile.dialect == Dialect::Command,
        command: &p.command,
        environment: &p.environment,
        header_variables: &header_variables,
        api: &p.api,
        management_url,
        own_management_url: &defaults.azure.management_url,
    };
    let loaded = ReleasePolicy::load(&environment)?;
    let (policy, digest) = loaded.map_or((ReleasePolicy::default(), None), |(policy, digest)| (policy, Some(digest)));
    if let Some(path) = file.filter(|_| is_ci(&environment)) {
        let of_file = Config::load(Some(path), |_| None)?;
        let set = &of_file.provider;
        // Only settings from the file are checked: a value that differs from the file is the workflow's own.
        let found = policy.rerouted(&Target {
            kind: if set.kind == p.kind { &p.kind } else { "" },
            base_url: if set.base_url == p.base_url { &base_url } else { "" },
            key_variable: if set.key_variable == p.key_variable { &key_variable } else { "" },
            command: if set.command == p.command { &p.command } else { &[] },
            environment: if set.environment == p.environment { &p.environment } else { &[] },
            api: if set.api == p.api { &p.api } else { "" },
            header_variables: if set.headers == p.headers { &header_variables } else { &[] },
            management_url: if of_file.azure.management_url == config.azure.management_url {
                management_url
            } else {
                ""
            },
            ..target
        });
        let mut found = found;
        if of_file.verdict.unproven {
            found.push(
                "`verdict.unproven`: nothing would show which model answers (give --unproven in the workflow)".into(),
            );
        }
        found.extend(of_file.leaves_its_folder());
        if !found.is_empty() {
            return Err(SessionError::Rerouted { path: path.display().to_string(), found });
        }
    }
    let found = policy.forbidden(&target);
    if found.is_empty() { Ok((policy, digest)) } else { Err(SessionError::Policy { policy: digest, found }) }
}

/// Folder of the embedded service.
fn home(config: &Config, folder: &Path) -> PathBuf {
    folder.join(&config.store.path).join("embedded")
}

/// Settings of fine-tuning in addition to the connection: account, deployment at Azure, folder of the embedded service.
pub fn tuner_settings(
    config: &Config,
    folder: &Path,
    environment: impl Fn(&str) -> Option<String>,
    quotes: Option<Quotes>,
) -> TunerSettings {
    let a = &config.azure;
    let deployment = (!a.resource.is_empty()).then(|| DeploymentSettings {
        management_url: a.management_url.clone(),
        resource: a.resource.clone(),
        name: a.deployment.clone(),
        sku: a.sku.clone(),
        capacity: a.capacity,
        token: environment(MANAGEMENT_TOKEN).filter(|token| !token.trim().is_empty()).map(SecretString::from),
    });
    let (home, beside) = (home(config, folder), folder.to_owned());
    TunerSettings { account: config.tune.account.clone(), deployment, home, beside, quotes }
}

/// Function that withholds messages of a service that may quote a canary's secret.
#[must_use]
pub fn redactor(drawn: &Drawn) -> Redact {
    let searcher = Searcher::new(drawn.canaries.iter().map(|c| c.secret.expose()));
    Arc::new(move |text| match searcher.may_hold(text) {
        false => text.to_owned(),
        true => "[withheld: it quotes a canary's secret]".to_owned(),
    })
}

/// Function that withholds all messages of a service, for use without the key to check them.
#[must_use]
pub fn withholding() -> Redact {
    Arc::new(|_| "[withheld: it cannot be checked for secrets without the manifest and its key]".to_owned())
}
