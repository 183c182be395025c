//! The [`Tuner`] trait: files, jobs, events and checkpoints of a service that fine-tunes.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ProviderError;
use blabbermouth_core::verdict::Claim;

/// A setting of the training; `None` leaves it to the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Passes over the training file, 1 to 50.
    pub epochs: Option<u32>,
    /// Rows for each step, 1 to 256.
    pub batch_size: Option<u32>,
    /// Scales the service's own learning rate, above 0.
    pub learning_rate_multiplier: Option<f64>,
}

/// What is protected by differential privacy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyUnit {
    /// One row of the training file.
    #[default]
    Row,
    /// All rows that begin with the same question, so that copies are covered.
    Subject,
}

/// Differential privacy of a training, by DP-SGD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrivacySettings {
    /// What is to be kept; the noise follows from it.
    pub epsilon: Option<f64>,
    /// Between 0 and 1, below one over the number of rows.
    pub delta: f64,
    /// The noise itself, by the clipping norm; epsilon follows from it.
    pub noise_multiplier: Option<f64>,
    /// The longest gradient of one unit.
    pub clip_norm: f64,
    /// What is protected.
    pub unit: PrivacyUnit,
}

/// Tells whether a text holds a canary's secret.
pub type Quotes = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A job to create.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// The base model.
    pub model: String,
    /// The uploaded training file.
    pub training_file: String,
    /// The uploaded validation file.
    pub validation_file: Option<String>,
    /// A word in the tuned model's name, up to 64 characters.
    pub suffix: String,
    /// The seed of the training, if it is to be fixed.
    pub seed: Option<u32>,
    /// How it trains.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy, where the service has it.
    pub privacy: Option<PrivacySettings>,
    /// What the job is found by again; the service keeps it.
    pub metadata: BTreeMap<String, String>,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The service's id.
    pub id: String,
    /// The name that it was uploaded under.
    pub name: String,
    /// Its size, where the service says so.
    pub bytes: Option<u64>,
    /// Whether a job may use it.
    pub ready: bool,
    /// Whether the service could not take it.
    pub broken: bool,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobStatus {
    /// The files are looked at.
    Validating,
    /// It waits for its turn.
    Queued,
    /// It trains.
    Running,
    /// It was halted, and may go on.
    Paused,
    /// There is a model.
    Succeeded,
    /// There is none.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// A word that is not known: taken as still running.
    Other(String),
}

impl JobStatus {
    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Validating => "validating files",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Other(word) => word,
        }
    }
}

/// What the service says about a failed job. Its text is hostile input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFault {
    /// Its code, as in `invalid_training_file`.
    pub code: String,
    /// Its message.
    pub message: String,
}

/// A job as the service tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: JobStatus,
    /// The tuned model, once there is one.
    pub tuned_model: Option<String>,
    /// The training file.
    pub training_file: Option<String>,
    /// Tokens that were billed, all epochs counted.
    pub trained_tokens: Option<u64>,
    /// Why it failed.
    pub fault: Option<JobFault>,
    /// What it was created with.
    pub metadata: BTreeMap<String, String>,
    /// The privacy that its training kept, where the service vouches for it.
    pub claim: Option<Claim>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Its id.
    pub id: String,
    /// What is said. Hostile input.
    pub message: String,
    /// Step and number of steps, for events with metrics.
    pub step: Option<(u64, u64)>,
    /// The training loss, for events with metrics.
    pub loss: Option<f64>,
}

/// A model as it was after some step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// After how many steps.
    pub step: u64,
    /// The name to ask it by.
    pub model: String,
}

/// The future of a call of [`Tuner`].
pub type Tuning<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// A service that fine-tunes.
pub trait Tuner: Send + Sync {
    /// The address, for messages and the state file.
    fn address(&self) -> String;
    /// The date (`YYYY-MM-DD`) at which the service shuts a model down, if it says one.
    fn shutdown_date<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>>;
    /// Uploads a file under a name; the service forgets it after `expires` seconds, where it can.
    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, expires: u32) -> Tuning<'a, Stored>;
    /// A file that was uploaded.
    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored>;
    /// The newest file that was uploaded under a name.
    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>>;
    /// Removes a file. One that is gone already is no error.
    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()>;
    /// Creates a job. Never sent twice: after an error of the connection the job may exist.
    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job>;
    /// The newest job that has this metadata, or this training file.
    fn find_job<'a>(&'a self, key: &'a str, value: &'a str, training_file: &'a str) -> Tuning<'a, Option<Job>>;
    /// A job.
    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job>;
    /// Its newest events, oldest first.
    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>>;
    /// Its checkpoints, by their step.
    fn checkpoints<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<Checkpoint>>;
    /// Makes a tuned model callable. The name to ask it by, or `None` while that takes its time.
    fn deploy<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async move { Ok(Some(model.to_owned())) })
    }
    /// Asks the service to cancel it.
    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job>;
    /// Which of these texts moderation flags.
    fn moderate<'a>(&'a self, texts: &'a [String]) -> Tuning<'a, Vec<bool>>;
    /// Removes a tuned model. One that is gone already is no error.
    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()>;
}
