//! The [`Tuner`] trait: files, jobs, events and checkpoints of a service that fine-tunes.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ProviderError;
use blabbermouth_core::verdict::Claim;

/// Training settings; `None` leaves one to the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Passes over the training file, 1 to 50.
    pub epochs: Option<u32>,
    /// Rows per step, 1 to 256.
    pub batch_size: Option<u32>,
    /// Factor on the service's own learning rate, above 0.
    pub learning_rate_multiplier: Option<f64>,
}

/// The unit that differential privacy protects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyUnit {
    /// One row of the training file.
    #[default]
    Row,
    /// All rows that begin with the same question, so that copies are covered.
    Subject,
}

/// Differential privacy of a training, by DP-SGD. Exactly one of `epsilon` and `noise_multiplier` is set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrivacySettings {
    /// Target epsilon, from which the noise follows.
    pub epsilon: Option<f64>,
    /// Delta, between 0 and 1; should be below one over the number of rows.
    pub delta: f64,
    /// Standard deviation of the noise, relative to `clip_norm`. Epsilon follows from it.
    pub noise_multiplier: Option<f64>,
    /// Norm to which the gradient of each unit is clipped.
    pub clip_norm: f64,
    /// The protected unit.
    pub unit: PrivacyUnit,
}

/// Tells whether a text holds a canary's secret.
pub type Quotes = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A job to create.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// The base model.
    pub model: String,
    /// Id of the uploaded training file.
    pub training_file: String,
    /// Id of the uploaded validation file.
    pub validation_file: Option<String>,
    /// Part of the tuned model's name, up to 64 characters.
    pub suffix: String,
    /// Seed of the training; `None`: the service chooses.
    pub seed: Option<u32>,
    /// Training settings.
    pub hyperparameters: Hyperparameters,
    /// Differential privacy, where the service supports it.
    pub privacy: Option<PrivacySettings>,
    /// Key-value pairs that the service stores with the job, by which the job is found again.
    pub metadata: BTreeMap<String, String>,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Id at the service.
    pub id: String,
    /// Name given at the upload.
    pub name: String,
    /// Size in bytes, if the service reports it.
    pub bytes: Option<u64>,
    /// Whether a job may use it.
    pub ready: bool,
    /// Whether the service failed to process it.
    pub broken: bool,
}

/// State of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobStatus {
    /// The files are being validated.
    Validating,
    /// The job waits for its turn.
    Queued,
    /// The job trains.
    Running,
    /// The job was paused, and may be resumed.
    Paused,
    /// The job has ended, and there is a model.
    Succeeded,
    /// The job has ended without a model.
    Failed,
    /// The job was canceled.
    Cancelled,
    /// An unknown status, treated as running.
    Other(String),
}

impl JobStatus {
    /// Whether the status cannot change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The status in words, for messages.
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

/// Why a job failed, by the service. Both texts are hostile input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFault {
    /// Error code, as in `invalid_training_file`.
    pub code: String,
    /// Error message.
    pub message: String,
}

/// A job, as reported by the service.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Id at the service.
    pub id: String,
    /// Current state.
    pub status: JobStatus,
    /// Name of the tuned model, once there is one.
    pub tuned_model: Option<String>,
    /// Id of the training file.
    pub training_file: Option<String>,
    /// Billed tokens, over all epochs.
    pub trained_tokens: Option<u64>,
    /// Reason of a failure.
    pub fault: Option<JobFault>,
    /// Key-value pairs given at creation.
    pub metadata: BTreeMap<String, String>,
    /// Privacy of the training, where the service vouches for it.
    pub claim: Option<Claim>,
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Id of the event.
    pub id: String,
    /// Text of the event. Hostile input.
    pub message: String,
    /// Step and total number of steps, for events with metrics.
    pub step: Option<(u64, u64)>,
    /// Training loss, for events with metrics.
    pub loss: Option<f64>,
}

/// A model saved during the training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of steps before it was saved.
    pub step: u64,
    /// Name of the model in requests.
    pub model: String,
}

/// Future of a [`Tuner`] call.
pub type Tuning<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// A service that fine-tunes.
pub trait Tuner: Send + Sync {
    /// Address of the service, for messages and the state file.
    fn address(&self) -> String;
    /// The date (`YYYY-MM-DD`) on which the service shuts a model down; `None` if unknown.
    fn shutdown_date<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>>;
    /// Uploads a file as `name`. The service deletes it after `expires` seconds, where that is supported.
    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, expires: u32) -> Tuning<'a, Stored>;
    /// Looks up an uploaded file by its id.
    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored>;
    /// Finds the newest file that was uploaded as `name`.
    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>>;
    /// Deletes a file. A missing file is no error.
    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()>;
    /// Creates a job. The request is never sent twice: after a connection error the job may exist.
    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job>;
    /// Finds the newest job with this metadata, or with this training file.
    fn find_job<'a>(&'a self, key: &'a str, value: &'a str, training_file: &'a str) -> Tuning<'a, Option<Job>>;
    /// Looks up a job by its id.
    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job>;
    /// The newest events of a job, oldest first.
    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>>;
    /// The checkpoints of a job, by step.
    fn checkpoints<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<Checkpoint>>;
    /// Makes a tuned model callable. Returns the name to ask it by, or `None` while it is not ready.
    fn deploy<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async move { Ok(Some(model.to_owned())) })
    }
    /// Asks the service to cancel a job.
    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job>;
    /// For each text, whether moderation flags it.
    fn moderate<'a>(&'a self, texts: &'a [String]) -> Tuning<'a, Vec<bool>>;
    /// Deletes a tuned model. A missing model is no error.
    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()>;
}
