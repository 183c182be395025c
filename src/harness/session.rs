//! Configuration with its manifest, ready for probing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::reach::{Estimate, Tape, allowed, limits, redactor, runtime, service, withholding};
use super::session_error::SessionError;
use super::shard::Shard;
use crate::config::{Asked, ClaimSection, Config, ReleasePolicy, digest};
use crate::run::{Event, Options, PreparedRun, Progress};
use crate::store::{self, Journal, JournalError, Rates, RunName};
use crate::tune::State;
use blabbermouth_core::canary::{Drawn, Entry, Key, Manifest};
use blabbermouth_core::chat::{Sampling, Usage};
use blabbermouth_core::verdict::{Baseline, CanaryVerdict, PositiveControls, RunReport};
use blabbermouth_provider::{
    Budget, Connection, Dialect, EMBEDDED_CHOICES, Limits, ModelIdentity, Price, Profile, Provider, Redact, micros,
    price,
};

/// A configuration with its manifest. Secrets are drawn again only when they are needed.
#[derive(Debug)]
pub struct Session {
    /// The settings.
    pub config: Config,
    /// Why the claim that the model carries is not tested; `None` otherwise.
    pub untested_claim: Option<String>,
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) manifest: Manifest,
    pub(super) manifest_path: PathBuf,
    /// Digest of the manifest's bytes.
    pub(super) manifest_digest: String,
    pub(super) key: Option<Key>,
    /// Computed when it is first needed.
    own_key: OnceLock<Key>,
    /// Start of the replayed recording, in seconds since 1970.
    pub(super) recorded: OnceLock<u64>,
    pub(super) profile: Profile,
    pub(super) connection: Connection,
    pub(super) run_name: Option<RunName>,
    pub(super) fresh: bool,
    pub(super) tape: Tape,
    pub(super) shard: Option<Shard>,
    pub(super) batch: bool,
    pub(super) baseline: Option<(Baseline, String)>,
    pub(super) whole: bool,
    pub(super) policy: ReleasePolicy,
    pub(super) policy_digest: Option<String>,
}

/// A judged run whose journal is still open.
#[derive(Debug)]
pub struct Done {
    /// The report.
    pub report: RunReport,
    pub(super) journal: Journal,
    pub(super) judged: Vec<usize>,
}

impl Done {
    /// Closes the run. Call it when the report is where it belongs: the cost is noted in the ledger, the journal
    /// forgets the answers, and the next run asks again. If the provider failed, the answers are kept for the next run,
    /// and the cost is noted all the same.
    ///
    /// # Errors
    /// When the journal or the ledger cannot be written.
    pub fn settle(self) -> Result<RunReport, SessionError> {
        let Self { report, mut journal, judged } = self;
        journal.note()?;
        if report.canaries.iter().all(|c| c.verdict != CanaryVerdict::Errored) {
            journal.settle(&judged)?;
        }
        Ok(report)
    }
}

impl Session {
    /// Reads configuration and manifest; `adjust` applies the command line.
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
        let bytes = store::read(&manifest_path)?;
        let manifest_digest = digest(&bytes);
        let manifest = Manifest::parse(&bytes).map_err(at)?;
        let key = environment("BLABBERMOUTH_KEY").map(|k| Key::from_text(&k)).transpose()?;
        let (profile, connection) = service(&config, &folder, &environment)?;
        let (policy, policy_digest) = allowed(&config, file, &profile, &environment)?;
        let name = file.map_or_else(|| "blabbermouth.toml".to_owned(), |f| f.display().to_string());
        // cargo-nextest runs every test in a process of its own, and gives all of them the same id.
        let run_name = ["BLABBERMOUTH_RUN_ID", "NEXTEST_RUN_ID"]
            .into_iter()
            .find_map(|name| environment(name).filter(|id| !id.trim().is_empty()))
            .map(RunName);
        let mut session = Self {
            config,
            folder,
            name,
            manifest,
            manifest_path,
            manifest_digest,
            key,
            own_key: OnceLock::new(),
            recorded: OnceLock::new(),
            profile,
            connection,
            run_name,
            fresh: false,
            tape: Tape::default(),
            shard: None,
            batch: false,
            baseline: None,
            whole: false,
            policy,
            policy_digest,
            untested_claim: None,
        };
        if session.config.sampling.max_tokens == 0 {
            let at = |source| SessionError::Manifest { path: session.manifest_path.display().to_string(), source };
            session.config.sampling.max_tokens = session.manifest.answer_tokens().map_err(at)?;
        }
        session.take_up_claim()?;
        Ok(session)
    }

    /// Forgets the answers of an interrupted run with the same plan, and asks anew. The process then shares no run by
    /// name.
    #[must_use]
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.fresh = fresh;
        if fresh {
            self.run_name = None;
        }
        self
    }

    /// Records answers to a file, or replays them from files.
    #[must_use]
    pub fn tape(mut self, tape: Tape) -> Self {
        self.tape = tape;
        self
    }

    /// Takes only the canaries of a shard; `None` for all canaries.
    #[must_use]
    pub fn shard(mut self, shard: Option<Shard>) -> Self {
        self.shard = shard;
        self
    }

    /// Sets the accepted leaks, as of the day `today`.
    #[must_use]
    pub fn baseline(mut self, baseline: Option<Baseline>, today: String) -> Self {
        self.baseline = baseline.map(|baseline| (baseline, today));
        self
    }

    /// Lets a run be clean only if it asks all canaries of the shard, unless the release policy allows less.
    #[must_use]
    pub fn whole(mut self, whole: bool) -> Self {
        self.whole = whole && !self.policy.allow_partial;
        self
    }

    /// Asks by batch jobs. Strategies do not adapt then, since no question may depend on an answer.
    #[must_use]
    pub fn batch(mut self, batch: bool) -> Self {
        self.batch = batch;
        self
    }

    fn is_adaptive(&self) -> bool {
        self.config.probe.adaptive && !self.batch && self.config.probe.strategies.len() > 1
    }

    /// Whether the canary at this position is in the session's shard.
    #[must_use]
    pub fn takes(&self, index: usize) -> bool {
        self.shard.is_none_or(|shard| shard.has(index))
    }

    /// Estimated maximum cost of probing these canaries; nothing is sent.
    ///
    /// # Errors
    /// When the key is missing or wrong, no verdict could be reached, or no model is named.
    pub fn estimate(&self, selected: &[usize]) -> Result<Estimate, SessionError> {
        let (audit, _) = self.audit()?;
        let (model, _) = self.model()?;
        let (requests, usage) = audit.estimate(selected);
        let cost = price(&model, &self.config.prices)
            .map(|quoted| (micros(usage, Some(&quoted.price)) as f64 / 1e6, quoted.source));
        Ok(Estimate { model, requests, usage, cost })
    }

    /// Reads the state of `tune` and checks its seal; `None` if there is no state file.
    ///
    /// # Errors
    /// When the seal of the state is not by the manifest's key, the file cannot be read, or the key is missing.
    pub fn tuning(&self) -> Result<Option<State>, SessionError> {
        let path = self.folder.join(&self.config.tune.state);
        if !path.exists() {
            return Ok(None);
        }
        let state = State::read(&path)?;
        // The seal of another manifest's state cannot be checked, since its key is not known here.
        match state {
            Some(state) if self.is_of(&state) => Ok(Some(state.sealed_by(self.own_key()?, &path)?)),
            other => Ok(other),
        }
    }

    /// Whether a fine-tuning used the canaries of this manifest.
    #[must_use]
    pub fn is_of(&self, state: &State) -> bool {
        state.manifest == self.manifest.nonce
    }

    /// Function that withholds messages of a service that quote a canary's secret; without the key, all messages.
    #[must_use]
    pub fn redactor(&self) -> Redact {
        self.audit().map_or_else(|_| withholding(), |(_, drawn)| redactor(&drawn))
    }

    /// The canaries of the manifest.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.manifest.canaries
    }

    /// Canaries with their secrets.
    pub(super) fn drawn(&self) -> Result<Drawn, SessionError> {
        let at = |source| SessionError::Manifest { path: self.manifest_path.display().to_string(), source };
        self.manifest.regenerate_by(self.own_key()?.clone()).map_err(at)
    }

    /// Key of the manifest. It is computed once: a passphrase is stretched, which takes time.
    pub(super) fn own_key(&self) -> Result<&Key, SessionError> {
        if let Some(key) = self.own_key.get() {
            return Ok(key);
        }
        let at = |source| SessionError::Manifest { path: self.manifest_path.display().to_string(), source };
        let key = self.manifest.own_key(self.key.clone()).map_err(at)?;
        Ok(self.own_key.get_or_init(|| key))
    }

    pub(super) fn audit(&self) -> Result<(PreparedRun, Drawn), SessionError> {
        let drawn = self.drawn()?;
        if drawn.key.is_example() && !self.is_free() {
            return Err(SessionError::ExampleKey { path: self.manifest_path.display().to_string() });
        }
        let (probe, verdict) = (&self.config.probe, &self.config.verdict);
        let strategies = self.config.strategies()?;
        if let Some(needs) = strategies.iter().find(|s| s.needs_prefill() && !self.profile.prefill) {
            return Err(SessionError::NoPrefill {
                strategy: needs.name().to_owned(),
                kind: self.config.provider.kind.clone(),
            });
        }
        if let Some(no) = strategies.iter().find(|s| self.batch && (s.needs_scores() || s.reveals())) {
            return Err(SessionError::NoBatch { strategy: no.name().to_owned() });
        }
        if let Some(needs) = strategies.iter().find(|s| s.needs_scores() && !self.profile.scores) {
            return Err(self.no_scores(needs.name()));
        }
        let options = Options {
            sampling: self.sampling(),
            choices: self.choices(),
            concurrency: probe.concurrency,
            samples: (probe.samples > 0).then_some(probe.samples),
            policy: verdict.policy(),
            sensitivity: PositiveControls {
                copies: self.config.sensitivity.copies,
                required: self.config.sensitivity.required,
            },
            claim: self.config.claim.as_ref().map(ClaimSection::claim),
            detectors: self.config.detect.detectors.clone(),
            references: probe.references,
            adaptive: self.is_adaptive(),
            sweep: probe.sweep,
            patience: probe.patience,
            mock: self.config.provider.kind == "mock",
            rows_checked: self.rows_checked(),
            accepted: self.baseline.iter().flat_map(|(baseline, today)| baseline.current(today)).collect(),
            whole: self.whole.then(|| (0..self.entries().len()).filter(|index| self.takes(*index)).count()),
            synonyms: self.config.synonyms(),
            config: self.name.clone(),
        };
        let audit = PreparedRun::new(self.manifest.canaries.clone(), &drawn, strategies, options)?;
        self.meets_policy(&audit)?;
        if let Some((baseline, _)) = self.baseline.as_ref().filter(|(baseline, _)| !baseline.is_sealed_by(&drawn.key)) {
            return Err(SessionError::Unsealed { leaks: baseline.accepted.len() });
        }
        Ok((audit, drawn))
    }

    /// Checks the settings against the release policy.
    fn meets_policy(&self, audit: &PreparedRun) -> Result<(), SessionError> {
        let config = &self.config;
        let asked = Asked {
            verdict: config.verdict.policy(),
            samples: audit.design().samples,
            planted: audit.design().planted,
            controls: self.entries().iter().filter(|entry| audit.design().sensitivity.includes(entry)).count(),
            temperature: self.sampling().temperature,
            strategies: &config.probe.strategies,
            detectors: &config.detect.detectors,
            sweep: config.probe.sweep,
            sensitivity: config.sensitivity.required,
            manifest: &self.manifest_digest,
        };
        let mut found = self.policy.shortfalls(&asked);
        let days = self.policy.baseline_days;
        let beyond = self.baseline.as_ref().and_then(|(baseline, today)| baseline.beyond(today, days));
        found.extend(
            beyond.map(|canary| format!("the leak of {canary} is accepted for more than {days} days from today")),
        );
        if found.is_empty() { Ok(()) } else { Err(SessionError::Policy { policy: self.policy_digest.clone(), found }) }
    }

    /// Answers per request. The embedded model draws many at once much faster than one by one.
    fn choices(&self) -> u32 {
        let wanted = self.config.probe.choices;
        if self.profile.dialect == Dialect::Embedded && wanted == 1 { EMBEDDED_CHOICES } else { wanted }
    }

    /// Whether answers cost nothing.
    pub(super) fn is_free(&self) -> bool {
        self.config.provider.kind == "mock" || self.profile.dialect == Dialect::Embedded
    }

    /// Sets the price of answers for the ledger; nothing if they cost nothing.
    pub(super) fn bill(&self, journal: &Journal, model: &str, rates: Option<Rates>) -> Result<(), JournalError> {
        if self.is_free() || !self.tape.replay.is_empty() { Ok(()) } else { journal.bill(model, rates) }
    }

    /// Checks before any payment that the budget is enough for a clean verdict.
    pub(super) fn can_pay(
        &self,
        (requests, usage): &(u64, Usage),
        limits: Limits,
        price: Option<&Price>,
    ) -> Result<(), SessionError> {
        // A replay costs nothing.
        if !self.tape.replay.is_empty() {
            return Ok(());
        }
        let tokens = usage.prompt_tokens + usage.completion_tokens;
        let cost = micros(*usage, price) as f64 / 1e6;
        let short = |limit: &'static str, set: String, least: String| SessionError::SmallBudget { limit, set, least };
        Err(match limits {
            Limits { requests: Some(most), .. } if most < *requests => {
                short("max-requests", most.to_string(), format!("{requests} requests"))
            }
            Limits { tokens: Some(most), .. } if most < tokens => {
                short("max-tokens", most.to_string(), format!("{tokens} tokens"))
            }
            Limits { cost: Some(most), .. } if most < cost => {
                short("max-cost", format!("{most} USD"), format!("{cost:.4} USD"))
            }
            _ => return Ok(()),
        })
    }

    fn no_scores(&self, strategy: &str) -> SessionError {
        SessionError::NoScores { strategy: strategy.to_owned(), kind: self.config.provider.kind.clone() }
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.config.sampling.sampling()
    }

    /// Hash of everything that an answer depends on: two runs may share answers only if it is the same.
    pub(super) fn plan(&self, model: &str) -> String {
        let (p, probe) = (&self.config.provider, &self.config.probe);
        let address = match p.base_url.as_str() {
            _ if p.kind == "mock" => &p.scenario,
            "" => &self.profile.base_url,
            own => own,
        };
        let mut plan = serde_json::json!({
            "nonce": self.manifest.nonce,
            "templates": self.manifest.templates,
            "provider": p.kind,
            "command": p.command,
            "address": [address, &p.api],
            "headers": p.headers,
            "model": model,
            "sampling": self.sampling(),
            "strategies": probe.strategies,
            "strategy": self.config.strategy,
            "adaptive": self.is_adaptive(),
            "sweep": probe.sweep,
            "choices": self.choices(),
            // Answers of a cassette are kept apart from those of the model.
            "replay": self.tape.replay,
            // A recorded run does not resume an unrecorded one: its cassette would have gaps.
            "record": self.tape.record,
        });
        // A model that was tuned again is another model, even under the same name.
        if let Ok(Some(state)) = self.tuning() {
            plan["tuned"] = serde_json::json!([state.job, state.finished]);
        }
        if let Some(Shard { number, of }) = self.shard {
            plan["shard"] = serde_json::json!([number, of]);
        }
        HEXLOWER.encode(&Sha256::digest(plan.to_string()))
    }

    /// Probes the canaries at these positions of the manifest and judges them.
    ///
    /// # Errors
    /// When the key is missing or wrong, no verdict could be reached, the provider cannot be set up, or
    /// the journal cannot be used.
    pub fn probe(&self, selected: &[usize], progress: Progress) -> Result<Done, SessionError> {
        let (audit, drawn) = self.audit()?;
        let seal = drawn.key.clone();
        let (model, warm_up) = self.model()?;
        let limits = limits(&self.config);
        let quoted = price(&model, &self.config.prices);
        if limits.cost.is_some() && quoted.is_none() {
            return Err(SessionError::NoPrice { model });
        }
        let price = quoted.map(|quoted| quoted.price);
        // Before anything is paid, and before answers that were paid for are forgotten.
        self.can_pay(&audit.least(selected), limits, price.as_ref())?;
        let plan = self.plan(&model);
        let journal = Arc::new(Journal::open(
            &self.folder.join(&self.config.store.path),
            journal_key(&drawn.key, &plan),
            &plan,
            self.run_name.as_ref(),
            self.fresh,
        )?);
        self.bill(&journal, &model, price.map(|p| Rates { input: p.input, output: p.output }))?;
        let budget =
            if limits.is_none() { None } else { Some(Budget::new(Box::new(journal.spending()?), limits, price)) };
        let runtime = runtime()?;
        let told = Arc::clone(&progress);
        let _listening = self.connection.notices.listen(Arc::new(move |text| told(Event::Notice(text.into()))));
        let report = runtime.block_on(async {
            let name = Some(Arc::new(journal.model_name()) as Arc<dyn ModelIdentity>);
            let reached = self.reach(&model, warm_up, &drawn, budget, name)?;
            let provider = Arc::clone(&reached.provider);
            if audit.scores() && !provider.scores() {
                return Err(self.no_scores("score"));
            }
            let report = audit.run(selected, provider, Arc::clone(&journal), progress).await?;
            if let Some(recorder) = &reached.recorder {
                recorder.end()?;
            }
            if let Some(recorded) = reached.recorded {
                let _ = self.recorded.set(recorded);
            }
            drop(reached);
            Ok::<_, SessionError>(report)
        })?;
        drop(runtime);
        self.done(report, journal, selected, &seal)
    }

    /// Judges the answers in the journal, and asks `provider` for the others.
    pub(super) fn judge_with(
        &self,
        selected: &[usize],
        progress: Progress,
        provider: Arc<dyn Provider>,
    ) -> Result<Done, SessionError> {
        let (audit, drawn) = self.audit()?;
        let folder = self.folder.join(&self.config.store.path);
        let plan = self.plan(provider.model());
        let (seal, key) = (drawn.key.clone(), journal_key(&drawn.key, &plan));
        let journal = Arc::new(Journal::open(&folder, key, &plan, self.run_name.as_ref(), false)?);
        let runtime = runtime()?;
        let report = runtime.block_on(audit.run(selected, provider, Arc::clone(&journal), progress))?;
        drop(runtime);
        self.done(report, journal, selected, &seal)
    }
}

/// Key that seals the answers of one plan in the journal. The key opens no answers of another manifest, model, service
/// or way of asking, whatever the file claims.
pub(super) fn journal_key(key: &Key, plan: &str) -> [u8; 32] {
    key.sealing_key(&format!("journal {plan}"))
}
