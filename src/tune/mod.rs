//! Fine-tuning as a state machine: prepared, uploaded, created, running; then ready, failed or refused.
//!
//! Each step is saved in the state file before the next one begins, so a killed `tune` resumes. One job is created for
//! each plan. The OpenAI-compatible API has no idempotency header: before a job is created, `tune` looks for one with
//! the plan's metadata or training file.

mod fault;
mod plan;
mod state;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::store::StoreError;
use blabbermouth_provider::{Job, JobSpec, JobStatus, ProviderError, Tuner};

pub use fault::{Fault, classify};
pub use plan::{Plan, PlantedRow, Upload, Uploads, Wanted};
pub use state::{Stage, State, StateFile};

/// Metadata key that identifies the job of a plan.
pub const METADATA: &str = "blabbermouth_plan";
/// Consecutive service faults after which watching gives up.
const PATIENCE: u32 = 20;
/// Attempts of an upload whose outcome is unknown.
const UPLOADS: u32 = 4;

/// Why there is no tuned model.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// A training or validation file is not usable.
    #[error("{path}: {what}")]
    Data {
        /// The file.
        path: String,
        /// The fault.
        what: String,
    },
    /// The state file is not usable.
    #[error("{path}: the state of the fine-tuning cannot be used: {what}")]
    State {
        /// The file.
        path: String,
        /// The fault.
        what: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process holds the state file.
    #[error("another `blabbermouth tune` (process {holder}) is at work here; wait for it, or stop it")]
    Locked {
        /// Process id of the holder.
        holder: String,
    },
    /// A job of another plan is in progress.
    #[error(
        "{job} of another plan is under way: `blabbermouth tune --watch` follows it, `--cancel` ends it, \
         `--force` leaves it alone and begins anew"
    )]
    Other {
        /// The job.
        job: String,
    },
    /// The training costs more than allowed, or its price is unknown.
    #[error("{0}")]
    Dear(String),
    /// The base model is past its shutdown date.
    #[error(
        "{model} was shut down on {date}, by this machine's clock: a model tuned from it goes with it; choose another \
         `tune.base-model`"
    )]
    ShutDown {
        /// The base model.
        model: String,
        /// The day.
        date: String,
    },
    /// The organization may not create fine-tuning jobs.
    #[error(
        "this organisation may not create fine-tuning jobs here (HTTP {status}): {message}\n  \
         OpenAI closes self-serve fine-tuning until 2027-01-06; tune elsewhere (Azure, Together, Fireworks, your own \
         GPUs) with the planted file, and test the model with --base-url and --model"
    )]
    Closed {
        /// The HTTP status.
        status: u16,
        /// The message of the service.
        message: String,
    },
    /// The job may or may not exist.
    #[error("{0}; the job may have been created all the same: run `blabbermouth tune` again, which looks for it first")]
    Unsure(ProviderError),
    /// The job ended without a model.
    #[error("{job} ended without a model: {fault}")]
    Failed {
        /// The job.
        job: String,
        /// Why.
        fault: Fault,
    },
    /// A wait reached the deadline; the job goes on.
    #[error("{job} is still {status} after {waited}; it goes on, and `blabbermouth tune --watch` picks it up")]
    Deadline {
        /// The job.
        job: String,
        /// The status of the job.
        status: String,
        /// The time waited.
        waited: String,
    },
    /// There is no job to follow, to cancel or to clean up.
    #[error("there is no job here; `blabbermouth tune` creates one")]
    Nothing,
    /// A request to the service failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// A progress report to the user. Texts of the service are hostile input.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A completed or started step.
    Step(String),
    /// A warning.
    Warning(String),
    /// A message from the service.
    Message(String),
    /// Training progress: step, number of steps, and the loss where the service reports one.
    Trained(u64, u64, Option<f64>),
}

/// Time limits of a fine-tuning.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between two polls.
    pub poll: Duration,
    /// Time limit of all waits together, counted from [`Tune::new`].
    pub deadline: Duration,
    /// Time for which the service keeps the files, in seconds.
    pub keep_files: u32,
}

/// A fine-tuning in progress.
pub struct Tune<'a> {
    tuner: &'a dyn Tuner,
    file: &'a StateFile,
    pace: Pace,
    tell: &'a (dyn Fn(Progress) + Sync),
    begun: Instant,
}

impl std::fmt::Debug for Tune<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tune").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl<'a> Tune<'a> {
    /// A fine-tuning by `tuner`, with its state in `file`. `tell` receives the progress.
    pub fn new(tuner: &'a dyn Tuner, file: &'a StateFile, pace: Pace, tell: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { tuner, file, pace, tell, begun: Instant::now() }
    }

    /// Uploads the files and creates the job of a plan, where that is not done yet. `again` starts a new attempt after
    /// a failed or refused one. `force` ignores a job of another plan. `manifest` is the manifest's nonce.
    ///
    /// # Errors
    /// When the service refuses, fails or sends an unreadable response; the state file keeps the progress.
    pub async fn start(&self, plan: &Plan, manifest: &str, again: bool, force: bool) -> Result<State, TuneError> {
        let mut state = self.take_up(plan, manifest, again, force)?;
        if state.job.is_some() {
            return Ok(state);
        }
        self.check_shutdown(&plan.model).await?;
        self.file.write(&state)?;
        if state.training_file.is_none() {
            state.training_file = Some(self.upload(&plan.training, &state, "train").await?);
            self.file.write(&state)?;
        }
        if let (Some(validation), None) = (&plan.validation, &state.validation_file) {
            state.validation_file = Some(self.upload(validation, &state, "validation").await?);
        }
        state.stage = Stage::Uploaded;
        self.file.write(&state)?;
        let job = self.create(plan, &state).await;
        if let Err(TuneError::Closed { message, .. }) = &job {
            state.stage = Stage::Refused;
            state.reason = Some(message.clone());
            self.file.write(&state)?;
        }
        let job = job?;
        state.stage = Stage::Created;
        state.job = Some(job.id.clone());
        self.file.write(&state)?;
        Ok(state)
    }

    /// Returns the saved state of this plan, or a fresh one.
    fn take_up(&self, plan: &Plan, manifest: &str, again: bool, force: bool) -> Result<State, TuneError> {
        let fresh = |attempt| State::new(plan.id(attempt), attempt, manifest, self.tuner.address(), &plan.model);
        let Some(old) = self.file.read()? else { return Ok(fresh(1)) };
        if old.plan != plan.id(old.attempt) || old.manifest != manifest {
            return match (&old.job, old.is_under_way() && !force) {
                (Some(job), true) => Err(TuneError::Other { job: job.clone() }),
                _ => Ok(fresh(1)),
            };
        }
        match old.stage {
            Stage::Failed | Stage::Refused if again => Ok(fresh(old.attempt + 1)),
            Stage::Refused if old.job.is_none() => Ok(State { stage: Stage::Uploaded, reason: None, ..old }),
            _ => Ok(old),
        }
    }

    async fn check_shutdown(&self, model: &str) -> Result<(), TuneError> {
        let Some(date) = self.tuner.shutdown_date(model).await? else { return Ok(()) };
        if date.as_str() <= today().as_str() {
            return Err(TuneError::ShutDown { model: model.to_owned(), date });
        }
        let text = format!("{model} is shut down on {date}, and models tuned from it with it");
        (self.tell)(Progress::Warning(text));
        Ok(())
    }

    async fn upload(&self, upload: &Upload, state: &State, kind: &str) -> Result<String, TuneError> {
        let name = format!("blabbermouth-{}-{kind}.jsonl", state.plan);
        let mut tries = 0;
        let mut stored = loop {
            // A killed process, or an attempt whose response was lost, may have uploaded the file already.
            let there = self.tuner.find_file(&name).await.unwrap_or(None);
            if let Some(stored) = there.filter(|file| file.bytes.is_none_or(|bytes| bytes == upload.bytes)) {
                break stored;
            }
            (self.tell)(Progress::Step(format!("uploading {} ({} bytes)", upload.path.display(), upload.bytes)));
            tries += 1;
            match self.tuner.upload(&upload.path, &name, self.pace.keep_files).await {
                Ok(stored) => break stored,
                Err(error) if is_unsure(&error) && tries < UPLOADS => {
                    (self.tell)(Progress::Warning(format!("{error}; looking for the file, and trying again")));
                    self.pause(&name, "not uploaded").await?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        while !stored.ready {
            let (job, status) = (stored.id.clone(), "being processed".to_owned());
            if stored.broken {
                let what = "the service could not process it".into();
                return Err(TuneError::Data { path: upload.path.display().to_string(), what });
            }
            self.pause(&job, &status).await?;
            stored = self.tuner.stored(&stored.id).await?;
        }
        Ok(stored.id)
    }

    /// Creates the job, unless the service has it already.
    async fn create(&self, plan: &Plan, state: &State) -> Result<Job, TuneError> {
        let training = state.training_file.clone().unwrap_or_default();
        let find = async || self.tuner.find_job(METADATA, &state.plan, &training).await;
        let alive = |job: &Job| !matches!(job.status, JobStatus::Failed | JobStatus::Cancelled);
        if let Some(job) = find().await?.filter(alive) {
            (self.tell)(Progress::Step(format!("{} is there already", job.id)));
            return Ok(job);
        }
        let spec = JobSpec {
            model: plan.model.clone(),
            training_file: training.clone(),
            validation_file: state.validation_file.clone(),
            suffix: plan.suffix.clone(),
            seed: None,
            hyperparameters: plan.hyperparameters,
            privacy: plan.privacy,
            metadata: BTreeMap::from([(METADATA.to_owned(), state.plan.clone())]),
        };
        loop {
            let error = match self.tuner.create(&spec).await {
                Ok(job) => {
                    (self.tell)(Progress::Step(format!("created {}", job.id)));
                    return Ok(job);
                }
                Err(error) => error,
            };
            match error {
                ProviderError::Refused { status: status @ (401 | 403), message, .. } => {
                    return Err(TuneError::Closed { status, message });
                }
                // The service refused before it created a job, so a retry cannot create a second one.
                ProviderError::Refused { status: 400 | 409 | 429, ref message, .. } if is_passing(&error, message) => {
                    self.pause(&training, "not taken up by the service").await?;
                }
                error if is_unsure(&error) => {
                    return find().await.ok().flatten().filter(alive).ok_or(TuneError::Unsure(error));
                }
                error => return Err(error.into()),
            }
        }
    }

    /// Follows the job until it ends.
    ///
    /// # Errors
    /// When the job fails or exceeds the deadline, or the service stays unreachable.
    pub async fn watch(&self, mut state: State) -> Result<State, TuneError> {
        let id = state.job.clone().ok_or(TuneError::Nothing)?;
        if state.stage == Stage::Ready {
            return Ok(state);
        }
        let (mut seen, mut faults, mut last) = (HashSet::new(), 0, None);
        loop {
            let job = match self.tuner.job(&id).await {
                Ok(job) => job,
                Err(error @ ProviderError::Refused { status: 401 | 403, .. }) => return Err(error.into()),
                Err(error) if error.is_fatal() || faults == PATIENCE => return Err(error.into()),
                Err(error) => {
                    faults += 1;
                    (self.tell)(Progress::Warning(format!("{error}; the job goes on, asking again")));
                    self.pause(&id, "not to be seen").await?;
                    continue;
                }
            };
            faults = 0;
            // Events are for display only: a fault there does not end the watch.
            for event in self.tuner.events(&id).await.unwrap_or_default() {
                if !seen.insert(event.id) {
                    continue;
                }
                match event.step {
                    Some((step, steps)) => (self.tell)(Progress::Trained(step, steps, event.loss)),
                    None => (self.tell)(Progress::Message(event.message)),
                }
            }
            if last.as_ref() != Some(&job.status) {
                (self.tell)(Progress::Step(format!("{id}: {}", job.status.as_str())));
                if let JobStatus::Other(word) = &job.status {
                    let text = format!("the status `{word}` is not known: taken as still running");
                    (self.tell)(Progress::Warning(text));
                }
                last = Some(job.status.clone());
            }
            match (&job.status, &job.tuned_model) {
                (JobStatus::Succeeded, Some(model)) => {
                    let callable = loop {
                        match self.tuner.deploy(model).await? {
                            Some(name) => break name,
                            None => self.pause(&id, "being deployed").await?,
                        }
                    };
                    state.stage = Stage::Ready;
                    state.model = Some(callable);
                    state.trained_tokens = job.trained_tokens;
                    state.claim = job.claim;
                    state.finished = Some(now());
                    state.checkpoints = self.tuner.checkpoints(&id).await.unwrap_or_default();
                    self.file.write(&state)?;
                    return Ok(state);
                }
                (JobStatus::Failed | JobStatus::Cancelled, _) => {
                    let fault = classify(&job);
                    state.stage = if fault.is_refusal() { Stage::Refused } else { Stage::Failed };
                    state.reason = Some(fault.to_string());
                    self.file.write(&state)?;
                    return Err(TuneError::Failed { job: id, fault });
                }
                (JobStatus::Running, _) if state.stage != Stage::Running => {
                    state.stage = Stage::Running;
                    self.file.write(&state)?;
                }
                // Succeeded without a model name, or not finished: polls again.
                _ => {}
            }
            self.pause(&id, job.status.as_str()).await?;
        }
    }

    /// Asks the service to cancel the job.
    ///
    /// # Errors
    /// When there is no job in progress, or the request fails.
    pub async fn cancel(&self) -> Result<State, TuneError> {
        let mut state = self.file.read()?.ok_or(TuneError::Nothing)?;
        let id = state.job.clone().filter(|_| state.is_under_way()).ok_or(TuneError::Nothing)?;
        let job = self.tuner.cancel(&id).await?;
        (self.tell)(Progress::Step(format!("{id}: {}", job.status.as_str())));
        state.stage = Stage::Failed;
        state.reason = Some("cancelled".into());
        self.file.write(&state)?;
        Ok(state)
    }

    /// Removes the uploaded files, which hold the canaries, and the tuned model if `model` is set.
    ///
    /// # Errors
    /// When there is no state, a job still needs the files, or a request fails.
    pub async fn clean_up(&self, model: bool) -> Result<State, TuneError> {
        let mut state = self.file.read()?.ok_or(TuneError::Nothing)?;
        if let Some(job) = state.job.clone().filter(|_| state.is_under_way()) {
            return Err(TuneError::Other { job });
        }
        for file in [&mut state.training_file, &mut state.validation_file] {
            if let Some(id) = file.take() {
                self.tuner.delete_file(&id).await?;
                (self.tell)(Progress::Step(format!("removed {id}")));
            }
        }
        self.file.write(&state)?;
        if model && let Some(name) = state.model.take() {
            self.tuner.delete_model(&name).await?;
            (self.tell)(Progress::Step(format!("removed {name}")));
            state.checkpoints.clear();
            state.stage = Stage::Failed;
            state.reason = Some("the model was removed".into());
            self.file.write(&state)?;
        }
        Ok(state)
    }

    /// Waits for the next poll; fails if that exceeds the deadline.
    async fn pause(&self, job: &str, status: &str) -> Result<(), TuneError> {
        if self.begun.elapsed() + self.pace.poll > self.pace.deadline {
            let waited = format!("{} minutes", self.begun.elapsed().as_secs() / 60);
            return Err(TuneError::Deadline { job: job.to_owned(), status: status.to_owned(), waited });
        }
        tokio::time::sleep(self.pace.poll).await;
        Ok(())
    }
}

/// Whether a failed request may have taken effect.
fn is_unsure(error: &ProviderError) -> bool {
    match error {
        ProviderError::Connection { .. } | ProviderError::Malformed { .. } => true,
        ProviderError::Refused { status, .. } => matches!(status, 408 | 500..=599),
        _ => false,
    }
}

/// Whether the refusal of a job is temporary: a rate limit, or a file that is not processed yet.
fn is_passing(error: &ProviderError, message: &str) -> bool {
    let message = message.to_lowercase();
    matches!(error, ProviderError::Refused { status: 429, .. })
        || (message.contains("file")
            && ["not ready", "still being processed", "not processed"].iter().any(|w| message.contains(w)))
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Today (UTC), as in `2026-11-24`.
#[must_use]
pub fn today() -> String {
    day(now())
}

/// The UTC day of a time in seconds since 1970. Later times than `jiff` supports give `9999-12-30`.
#[must_use]
pub fn day(seconds: u64) -> String {
    let time = Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX);
    TimeZone::UTC.to_datetime(time).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_a_date() {
        let today = today();
        assert!(today.len() == 10 && today.as_str() > "2026-01-01" && today.as_str() < "9999-12-31", "{today}");
        // The clock may have any value.
        assert_eq!([day(0), day(951_782_400), day(u64::MAX)], ["1970-01-01", "2000-02-29", "9999-12-30"]);
    }
}
