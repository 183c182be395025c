//! The embedded model behind the mock: jobs that train, and models that answer.

use std::path::PathBuf;
use std::sync::Arc;

use super::jobs::Inputs;
use blabbermouth_core::chat::Message;
use blabbermouth_lm::SamplingParams;
use blabbermouth_provider::embedded::{EmbeddedTuner, Home, Model, Spoken};
use blabbermouth_provider::{Checkpoint, Hyperparameters, JobEvent, JobFault, JobSpec, JobStatus, ProviderError};

/// The base model behind every name that can be tuned.
const BASE: &str = "tiny";
/// Passes over the rows per requested epoch. A model of this size needs so many to retain as much as the service's
/// model does after one.
pub(super) const PASSES: u32 = 4;

/// Trains models and keeps them in a folder.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    home: Home,
    tuner: Arc<EmbeddedTuner>,
}

/// A job that trains a real model.
#[derive(Debug, Clone)]
pub(super) struct Real {
    tuner: Arc<EmbeddedTuner>,
    id: String,
}

/// State of a job that trains.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) status: JobStatus,
    pub(super) fault: Option<JobFault>,
    pub(super) tokens: Option<u64>,
    pub(super) checkpoints: Vec<Checkpoint>,
    pub(super) events: Vec<JobEvent>,
}

impl Engine {
    /// An engine with its files in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        let home = Home::new(folder, PathBuf::new());
        let tuner = Arc::new(EmbeddedTuner::new(home.clone(), Arc::new(|_| false)));
        Self { home, tuner }
    }

    /// The model before tuning.
    pub(super) fn base(&self) -> Result<Arc<Model>, ProviderError> {
        self.home.model(BASE).map(Arc::new)
    }

    /// A model that a job trained.
    pub(super) fn model(&self, name: &str) -> Result<Arc<Model>, ProviderError> {
        self.home.model(name).map(Arc::new)
    }

    /// Starts a training.
    pub(super) fn begin(
        &self,
        number: u64,
        inputs: &Inputs<'_>,
        seed: u32,
        hyperparameters: Hyperparameters,
    ) -> Result<Real, ProviderError> {
        let keep = |what: &str, bytes: Option<&[u8]>| {
            bytes.map(|bytes| self.tuner.keep(&format!("job-{number}-{what}.jsonl"), bytes)).transpose()
        };
        let training = keep("training", inputs.training)?.unwrap_or_default();
        let validation_file = keep("validation", inputs.validation)?;
        let id = self.tuner.begin(&JobSpec {
            model: BASE.into(),
            training_file: training,
            validation_file,
            suffix: "mock".into(),
            seed: Some(seed),
            hyperparameters,
            privacy: None,
            metadata: Default::default(),
        })?;
        Ok(Real { tuner: Arc::clone(&self.tuner), id })
    }
}

impl Real {
    /// The job's state. A record that cannot be read counts as a failed job.
    pub(super) fn look(&self) -> Look {
        match self.tuner.look(&self.id) {
            Ok(record) => Look {
                status: record.status,
                fault: record.fault,
                // The real service bills requested epochs, not passes.
                tokens: record.trained_tokens.map(|tokens| tokens / u64::from(PASSES)),
                checkpoints: record.checkpoints,
                events: record.events,
            },
            Err(error) => Look {
                status: JobStatus::Failed,
                fault: Some(JobFault { code: "server_error".into(), message: error.to_string() }),
                tokens: None,
                checkpoints: Vec::new(),
                events: Vec::new(),
            },
        }
    }

    /// Stops the training before its next step.
    pub(super) fn cancel(&self) {
        self.tuner.stop(&self.id);
    }
}

/// Draws `count` answers to a chat. Returns the number of prompt tokens and the answers.
pub(super) fn speak(
    model: &Model,
    messages: &[Message],
    count: usize,
    drawing: &SamplingParams,
) -> Result<(usize, Vec<Spoken>), String> {
    model.speak(messages, count, drawing).map_err(|e| e.to_string())
}
