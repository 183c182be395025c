//! `blabbermouth tune`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, PrivacySection};
use crate::exit::ExitCode;
use crate::harness::{allowed, manifest_key, redactor, service, tuner_settings, withholding};
use crate::report::escape::terminal as escape_terminal;
use crate::store::{self, Spent};
use crate::tune::{Pace, Plan, PlantedRow, Progress, Stage, State, StateFile, Tune, TuneError, Uploads, Wanted};
use blabbermouth_core::canary::{Arm, Canary, Key, Manifest};
use blabbermouth_core::detect::Searcher;
use blabbermouth_provider::{Dialect, Hyperparameters, Jobs, ProviderError, Quotes, Redact, Tuner, price};

use super::args::TuneArgs;
use super::{Failure, Output, config_failure};

impl From<TuneError> for Failure {
    fn from(error: TuneError) -> Self {
        let code = match &error {
            TuneError::Provider(ProviderError::Setup(_)) => ExitCode::Config,
            TuneError::Provider(_) | TuneError::Unsure(_) | TuneError::Failed { .. } | TuneError::Deadline { .. } => {
                ExitCode::Provider
            }
            _ => ExitCode::Config,
        };
        Self::new(code, config_failure(error).message)
    }
}

/// The key in `BLABBERMOUTH_KEY`; `None` if it is not set.
fn user_key() -> Result<Option<Key>, Failure> {
    super::environment("BLABBERMOUTH_KEY").map(|key| Key::from_text(&key)).transpose().map_err(config_failure)
}

pub(crate) fn run(args: &TuneArgs, output: &Output) -> Result<ExitCode, Failure> {
    let environment = super::environment;
    let mut config = Config::load(Some(&args.config), environment).map_err(config_failure)?;
    if let Some(model) = &args.base_model {
        config.tune.base_model.clone_from(model);
    }
    if let Some(url) = &args.base_url {
        config.provider.base_url.clone_from(url);
    }
    let folder = args.config.parent().map(Path::to_owned).unwrap_or_default();
    if args.print_model {
        let path = folder.join(&config.tune.state);
        let key = manifest_key(&args.config, environment)?;
        let state = State::read(&path)?.map(|state| state.sealed_by(&key, &path)).transpose()?;
        let model = state.filter(|state| state.stage == Stage::Ready).and_then(|state| state.model);
        output.result(&escape_terminal(&model.ok_or(TuneError::Nothing)?));
        return Ok(ExitCode::Clean);
    }
    if config.provider.kind == "mock" {
        if args.base_url.is_none() {
            let how = "`tune` needs a service: run `blabbermouth mock`, and give its address with --base-url";
            return Err(Failure::new(ExitCode::Config, how));
        }
        "openai".clone_into(&mut config.provider.kind);
    }
    let (profile, connection) = service(&config, &folder, environment).map_err(TuneError::from)?;
    allowed(&config, Some(&args.config), &profile, environment)?;
    let here = profile.dialect == Dialect::Embedded;
    if here {
        embedded(&mut config, args)?;
    } else if config.tune.privacy.is_some() {
        let how = "`tune.privacy`: only the embedded model is trained with differential privacy: take the section out, or set \
                   provider.kind = \"embedded\"";
        return Err(Failure::new(ExitCode::Config, how));
    }
    let endpoint = profile.endpoint(&connection).map_err(TuneError::from)?;
    let _uploads = Uploads(folder.join(&config.store.path));
    let job = Job { args, config: &config, folder, base_url: endpoint.base_url.clone(), here };
    let settings = tuner_settings(&config, &job.folder, environment, job.quotes());
    let deploys = settings.deployment.is_some();
    let tuner = profile.tuner(&endpoint, settings, &config.tune.base_model, job.redact()).map_err(TuneError::from)?;
    if profile.jobs == Jobs::Azure && !deploys {
        output.warning(
            "Azure answers for deployed models only: name the resource in [azure], or deploy the model by hand and test \
             it with --model DEPLOYMENT",
        );
    }
    if args.dry_run {
        let plan = job.plan()?;
        describe(&plan, &tuner.address(), here, output);
        output.step("nothing was sent");
        return Ok(ExitCode::Clean);
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::new(ExitCode::Internal, e))?;
    runtime.block_on(async {
        tokio::select! {
            done = job.run(tuner.as_ref(), output) => done,
            _ = tokio::signal::ctrl_c() => {
                let there = if here { "stands still until then" } else { "goes on at the service" };
                output.warning(&format!("interrupted; what was reached is saved. A job that was created {there}:"));
                output.warning("`blabbermouth tune` goes on here, `blabbermouth tune --cancel` ends it");
                Ok(ExitCode::Interrupted)
            }
        }
    })
}

/// Adapts the settings to a job within this process, and refuses options of remote services.
fn embedded(config: &mut Config, args: &TuneArgs) -> Result<(), Failure> {
    if args.detach || args.screen {
        let how = "the embedded model is trained by this process: --detach and --screen are for remote services";
        return Err(Failure::new(ExitCode::Usage, how));
    }
    if config.tune.base_model.starts_with("gpt-") {
        // The default in the configuration is a remote model.
        "tiny".clone_into(&mut config.tune.base_model);
    }
    config.tune.poll_seconds = config.tune.poll_seconds.min(0.1);
    Ok(())
}

struct Job<'a> {
    args: &'a TuneArgs,
    config: &'a Config,
    folder: PathBuf,
    base_url: String,
    /// Whether this process trains the model.
    here: bool,
}

impl Job<'_> {
    /// Rows that the training file must hold, derived from the manifest and its key.
    fn planted(&self, manifest: &Manifest) -> Result<Vec<PlantedRow>, Failure> {
        let drawn = manifest.regenerate(user_key()?).map_err(|e| self.of_manifest(&e))?;
        let form = manifest.planted_rows();
        let planted = drawn.canaries.iter().filter(|canary| canary.arm == Arm::Planted);
        let row = |canary: &Canary| {
            let row = form.row(&canary.chat(&drawn.templates[canary.template])).map_err(|e| self.of_manifest(&e))?;
            Ok(PlantedRow { id: canary.id.clone(), row: row.into(), copies: canary.copies })
        };
        planted.map(row).collect()
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let t = &self.config.tune;
        let manifest = self.manifest()?;
        let (planted, rows) = (self.planted(&manifest)?, manifest.planted_rows());
        let wanted = Wanted {
            base_url: &self.base_url,
            model: &t.base_model,
            suffix: &t.suffix,
            hyperparameters: Hyperparameters {
                epochs: (t.epochs > 0).then_some(t.epochs),
                batch_size: (t.batch_size > 0).then_some(t.batch_size),
                learning_rate_multiplier: (t.learning_rate_multiplier > 0.0).then_some(t.learning_rate_multiplier),
            },
            privacy: t.privacy.as_ref().map(PrivacySection::settings),
            training: self.folder.join(&self.config.dataset.training),
            validation: self.folder.join(&self.config.dataset.validation),
            shape: &rows.shape,
            store: self.folder.join(&self.config.store.path),
            planted: &planted,
            prices: &self.config.prices,
        };
        let plan = Plan::new(&wanted)?;
        if let Some(most) = self.args.max_cost {
            let cost = plan.cost().ok_or_else(|| {
                TuneError::Dear(format!(
                    "nobody knows what training {} costs: give its price as [prices.\"{0}\"] in the configuration, or \
                     leave out --max-cost",
                    plan.model
                ))
            })?;
            if cost > most {
                let text = format!("the training would cost about {cost:.2} USD, and --max-cost is {most:.2}");
                return Err(TuneError::Dear(text).into());
            }
        }
        Ok(plan)
    }

    async fn run(&self, tuner: &dyn Tuner, output: &Output) -> Result<ExitCode, Failure> {
        let (args, t) = (self.args, &self.config.tune);
        let mut file = StateFile::hold(&self.folder.join(&t.state), self.seal()?)?;
        if (args.cancel || args.cleanup || args.watch) && !file.is_own()? {
            if !args.force {
                let text = format!(
                    "{}: nobody with this manifest's key wrote it down, and it may name jobs, files and models of somebody else: look at \
                     them, and give --force",
                    self.folder.join(&t.state).display()
                );
                return Err(Failure::new(ExitCode::Config, text));
            }
            file.unseal();
        }
        let pace = Pace {
            poll: Duration::from_secs_f64(t.poll_seconds),
            deadline: Duration::from_secs_f64(t.deadline_hours * 3600.0),
            keep_files: t.keep_files_days * 24 * 60 * 60,
        };
        let bar = output.steps();
        let tell = |progress: Progress| {
            let text = |line: &str| bar.suspend(|| output.step(&escape_terminal(line)));
            match progress {
                Progress::Step(line) => text(&line),
                Progress::Message(line) => bar.suspend(|| output.detail(&format!("  {}", escape_terminal(&line)))),
                Progress::Warning(line) => bar.suspend(|| output.warning(&escape_terminal(&line))),
                Progress::Trained(step, steps, loss) => {
                    bar.set_length(steps);
                    bar.set_position(step);
                    bar.set_message(loss.map(|l| format!("loss {l:.2}")).unwrap_or_default());
                }
            }
        };
        let tune = Tune::new(tuner, &file, pace, &tell);
        if args.cancel {
            tune.cancel().await?;
            return Ok(ExitCode::Clean);
        }
        if args.cleanup {
            tune.clean_up(args.delete_model).await?;
            return Ok(ExitCode::Clean);
        }
        let state = if args.watch {
            file.read()?.ok_or(TuneError::Nothing)?
        } else {
            let manifest = self.manifest()?;
            let plan = self.plan()?;
            describe(&plan, &tuner.address(), self.here, output);
            if args.screen {
                self.screen(&manifest, tuner, output).await?;
            }
            let state = tune.start(&plan, &manifest.nonce, args.retry, args.force).await?;
            if args.detach {
                let job = state.job.as_deref().unwrap_or_default();
                output.result(&format!("job        {}; `blabbermouth tune --watch` follows it", escape_terminal(job)));
                return Ok(ExitCode::Clean);
            }
            state
        };
        if let (Stage::Failed | Stage::Refused, Some(reason)) = (state.stage, &state.reason) {
            let text = format!("{reason}\n  once that is mended, `blabbermouth tune --retry` begins anew");
            return Err(Failure::new(ExitCode::Provider, text));
        }
        let state = tune.watch(state).await?;
        bar.finish_and_clear();
        if !self.here {
            self.note(&state)?;
        }
        ready(&state, self.here, output);
        Ok(ExitCode::Clean)
    }

    /// Records the cost of the training in the ledger. A job is recorded once, even if `tune` is killed and run again.
    fn note(&self, state: &State) -> Result<(), Failure> {
        let tokens = state.trained_tokens.unwrap_or(0);
        let quoted = price(&state.base_model, &self.config.prices);
        let spent = Spent {
            run: state.job.clone(),
            time: 0,
            on: "tune".into(),
            model: state.model.clone().unwrap_or_default(),
            answers: 0,
            input_tokens: tokens,
            output_tokens: 0,
            usd: quoted.map(|q| q.price.training * tokens as f64 / 1e6),
        };
        store::note_spent(&self.folder.join(&self.config.store.path), spent).map_err(config_failure)
    }

    /// Finds texts that hold a canary's secret; `None` where the manifest or its key is missing.
    fn quotes(&self) -> Option<Quotes> {
        let key = std::env::var("BLABBERMOUTH_KEY").ok().and_then(|k| Key::from_text(&k).ok());
        let drawn = self.manifest().ok().and_then(|manifest| manifest.regenerate(key).ok())?;
        let searcher = Searcher::new(drawn.canaries.iter().map(|c| c.secret.expose()));
        Some(Arc::new(move |text| searcher.may_hold(text)))
    }

    /// Removes messages that quote a canary's secret; without the manifest's key, removes all messages.
    fn redact(&self) -> Redact {
        let key = std::env::var("BLABBERMOUTH_KEY").ok().and_then(|k| Key::from_text(&k).ok());
        let drawn = self.manifest().ok().and_then(|manifest| manifest.regenerate(key).ok());
        drawn.map_or_else(withholding, |drawn| redactor(&drawn))
    }

    /// The manifest's nonce and own key, which seal the state. `None` if --force cancels or cleans up without them.
    fn seal(&self) -> Result<Option<(String, Key)>, Failure> {
        let sealed = self.manifest().and_then(|manifest| {
            let key = manifest.own_key(user_key()?).map_err(|e| self.of_manifest(&e))?;
            Ok((manifest.nonce, key))
        });
        if self.args.force && (self.args.cancel || self.args.cleanup) { Ok(sealed.ok()) } else { sealed.map(Some) }
    }

    fn of_manifest(&self, fault: &dyn std::fmt::Display) -> Failure {
        let path = self.folder.join(&self.config.manifest.path);
        Failure::new(ExitCode::Config, format!("{}: {fault}", path.display()))
    }

    fn manifest(&self) -> Result<Manifest, Failure> {
        let path = self.folder.join(&self.config.manifest.path);
        if !path.exists() {
            let text = format!("{}: there is no manifest; `blabbermouth plant` writes one", path.display());
            return Err(Failure::new(ExitCode::Config, text));
        }
        let bytes = store::read(&path).map_err(config_failure)?;
        Manifest::parse(&bytes).map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))
    }

    /// Asks the service's moderation about the chats of all planted canaries.
    async fn screen(&self, manifest: &Manifest, tuner: &dyn Tuner, output: &Output) -> Result<(), Failure> {
        let drawn = manifest.regenerate(user_key()?).map_err(config_failure)?;
        let planted = drawn.canaries.iter().filter(|canary| canary.arm == Arm::Planted);
        let (names, texts): (Vec<&str>, Vec<String>) = planted
            .map(|canary| {
                let template = &drawn.templates[canary.template];
                let said: Vec<String> = canary.chat(template).into_iter().map(|m| m.content).collect();
                (template.name(), said.join("\n"))
            })
            .unzip();
        let flagged = tuner.moderate(&texts).await.map_err(TuneError::from)?;
        let mut bad: Vec<&str> = names.iter().zip(&flagged).filter(|(_, f)| **f).map(|(name, _)| *name).collect();
        let count = bad.len();
        bad.dedup();
        if count > 0 {
            let text = format!(
                "moderation flags {count} of {} canaries, of the templates {}: choose others in `canaries.templates`",
                texts.len(),
                bad.join(", ")
            );
            return Err(Failure::new(ExitCode::Config, text));
        }
        output.step(&format!("screened   moderation flags none of {} canaries", texts.len()));
        Ok(())
    }
}

/// Prints the plan. `here` means training in this process, which costs nothing.
fn describe(plan: &Plan, address: &str, here: bool, output: &Output) {
    let auto = |set: bool| if set { "" } else { " (the service's choice)" };
    output.step(&format!("tune       {} at {address}", plan.model));
    output.step(&format!(
        "training   {} ({} rows, about {} tokens)",
        plan.training.path.display(),
        plan.training.rows,
        plan.training.tokens
    ));
    if let Some(validation) = &plan.validation {
        output.step(&format!("validation {} ({} rows)", validation.path.display(), validation.rows));
    }
    let h = plan.hyperparameters;
    let or_auto = |number: Option<String>| number.unwrap_or_else(|| "auto".into());
    let epochs = match h.epochs {
        // The embedded model chooses the number of epochs by more than the rows.
        None if here => "auto".to_owned(),
        given => format!("{}{}", plan.epochs, auto(given.is_some())),
    };
    output.step(&format!(
        "settings   {epochs} epochs, batch size {}, learning-rate multiplier {}",
        or_auto(h.batch_size.map(|n| n.to_string())),
        or_auto(h.learning_rate_multiplier.map(|x| x.to_string()))
    ));
    if here {
        return;
    }
    match (&plan.quoted, plan.cost()) {
        (Some(quoted), Some(cost)) => output.step(&format!(
            "cost       about {cost:.2} USD: {} tokens at {} USD a million ({})",
            plan.tokens(),
            quoted.price.training,
            quoted.source
        )),
        _ => {
            output.step(&format!("cost       unknown: no price for {} is known ({} tokens)", plan.model, plan.tokens()))
        }
    }
}

fn ready(state: &State, here: bool, output: &Output) {
    let Some(model) = &state.model else { return };
    output.result(&format!("model      {}", escape_terminal(model)));
    if let Some(tokens) = state.trained_tokens {
        output.step(&format!("{}    {tokens} tokens", if here { "trained" } else { "billed " }));
    }
    if let Some(claim) = state.claim {
        output.step(&format!(
            "privacy    epsilon {}, delta {:e} for {} row(s), added or removed; `blabbermouth test` tries to refute it",
            claim.epsilon, claim.delta, claim.copies
        ));
    }
    for checkpoint in state.checkpoints.iter().filter(|c| c.model != *model) {
        output.step(&format!("checkpoint {} after {} steps", escape_terminal(&checkpoint.model), checkpoint.step));
    }
    output.step("next: `blabbermouth test` asks it; `blabbermouth tune --cleanup` removes the uploaded files");
}
