//! A running fine-tuning job. A killed job resumes from its last saved state.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::home::{Home, private_folder};
use super::model::Model;
use super::training_plan::Lesson;
use crate::{Checkpoint, Hyperparameters, Job, JobEvent, JobFault, JobStatus, PrivacySettings, ProviderError, Quotes};
use blabbermouth_core::verdict::Claim;
use blabbermouth_files as store;
use blabbermouth_lm::{FineTune, Text, Trainer};

const RECORD: &str = "job.json";
const STATE: &str = "state.safetensors";
/// Time between two saved states.
const SAVED_EVERY: Duration = Duration::from_secs(2);
/// Events with a loss that a training aims at; it may have nearly twice as many.
const EVENTS: u64 = 100;
/// The most models that a training saves.
const CHECKPOINTS: u32 = 10;
/// The most validation rows that are evaluated.
const VALIDATED: usize = 200;

/// A job on disk. The seed is kept only during the training: with privacy, the noise follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) training: PathBuf,
    pub(super) validation: Option<PathBuf>,
    /// Name of the tuned model.
    pub(super) tuned: String,
    pub(super) hyperparameters: Hyperparameters,
    pub(super) privacy: Option<PrivacySettings>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Current state.
    pub status: JobStatus,
    /// Tokens over all epochs; `None` until the job succeeds.
    pub trained_tokens: Option<u64>,
    /// Reason of a failure.
    pub fault: Option<JobFault>,
    pub(super) claim: Option<Claim>,
    /// Models saved after an epoch, the tuned model last.
    pub checkpoints: Vec<Checkpoint>,
    /// Events, oldest first.
    pub events: Vec<JobEvent>,
    /// 32 bytes; removed when the training ends.
    pub(super) seed: Option<[u8; 32]>,
}

impl Record {
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, ProviderError> {
        let path = folder.join(RECORD);
        if !path.exists() {
            return Ok(None);
        }
        let fault = |what: String| ProviderError::Setup(format!("{}: {what}", path.display()));
        let bytes = store::read(&path).map_err(|e| fault(e.to_string()))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| fault(e.to_string()))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ProviderError> {
        private_folder(folder)?;
        let bytes = serde_json::to_vec_pretty(self).expect("a record is plain data");
        store::write(&folder.join(RECORD), &bytes, false).map_err(|e| ProviderError::Setup(e.to_string()))
    }

    /// The job as the `Tuner` trait returns it.
    pub(super) fn job(&self) -> Job {
        Job {
            id: self.id.clone(),
            status: self.status.clone(),
            tuned_model: (self.status == JobStatus::Succeeded).then(|| self.tuned.clone()),
            training_file: self.training.file_name().map(|name| name.to_string_lossy().into_owned()),
            trained_tokens: self.trained_tokens,
            fault: self.fault.clone(),
            metadata: self.metadata.clone(),
            claim: self.claim,
        }
    }

    fn say(&mut self, message: String, step: Option<(u64, u64)>, loss: Option<f64>) {
        let id = format!("{}-{}", self.id, self.events.len());
        self.events.push(JobEvent { id, message, step, loss });
    }
}

/// A job whose thread runs in this process.
#[derive(Debug)]
pub(super) struct Live {
    record: Mutex<Record>,
    /// Ends the thread before its next step.
    stop: std::sync::atomic::AtomicBool,
}

impl Live {
    /// Starts the thread of a job. `None` if the job has ended, or another process trains it.
    pub(super) fn start(home: &Home, id: &str, quotes: Quotes) -> Result<Option<Arc<Self>>, ProviderError> {
        let folder = home.job(id);
        private_folder(&folder)?;
        let path = folder.join("lock");
        let fault = |e: std::io::Error| ProviderError::Setup(format!("{}: {e}", path.display()));
        let lock = store::open_own(&path).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(fault(e)),
        }
        // Read only under the lock: its last holder may have ended the job.
        let Some(record) = Record::read(&folder)?.filter(|record| !record.status.is_final()) else { return Ok(None) };
        let live = Arc::new(Self { record: Mutex::new(record), stop: false.into() });
        let (shared, home) = (Arc::clone(&live), home.clone());
        let spawned = std::thread::Builder::new().name("blabbermouth-tune".into()).spawn(move || {
            shared.run(&home, &quotes);
            drop(lock);
        });
        spawned.map_err(|e| ProviderError::Setup(format!("no thread for the training: {e}")))?;
        Ok(Some(live))
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cancel(&self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn run(&self, home: &Home, quotes: &Quotes) {
        // A panic must not leave the job running forever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.train(home, quotes)));
        let broke = || Err(JobFault { code: "internal_error".into(), message: "the training panicked".into() });
        let outcome = outcome.unwrap_or_else(|_| broke());
        let mut record = self.record();
        match outcome {
            Ok(true) => record.status = JobStatus::Succeeded,
            Ok(false) => record.status = JobStatus::Cancelled,
            Err(fault) => {
                record.status = JobStatus::Failed;
                record.fault = Some(fault);
            }
        }
        record.seed = None;
        let folder = home.job(&record.id);
        if let Err(error) = record.write(&folder) {
            record.status = JobStatus::Failed;
            record.fault = Some(unsaved(error));
        }
        let _ = std::fs::remove_file(folder.join(STATE));
    }

    /// Trains to the end; `false` if canceled.
    fn train(&self, home: &Home, quotes: &Quotes) -> Result<bool, JobFault> {
        let begun = self.record().clone();
        let folder = home.job(&begun.id);
        let model = home.model(&begun.model).map_err(unsaved)?;
        let (wanted, privacy) = (&begun.hyperparameters, begun.privacy.as_ref());
        let lesson = Lesson::new(&model, &begun.training, begun.validation.as_deref(), wanted, privacy, quotes)?;
        let seed = begun.seed.ok_or_else(|| fault("the seed of the job is gone"))?;
        self.note_beginning(&lesson, &folder)?;
        let weights = model.decoder.weights().clone();
        let mut training = FineTune::begin(weights, lesson.units, lesson.course, seed, super::threads());
        if let Ok(saved) = store::read(&folder.join(STATE)) {
            match training.resume(&saved) {
                Ok(()) => self.record().say("going on where it was".into(), None, None),
                Err(error) => {
                    self.record().say(format!("the saved state cannot be used ({error}): from the start"), None, None)
                }
            }
        }
        let (epochs, every) = (lesson.course.epochs, lesson.course.epochs.div_ceil(CHECKPOINTS).max(1));
        let validation: Vec<&Text> = lesson.validation.iter().take(VALIDATED).collect();
        let told = (training.steps() / EVENTS).max(1);
        let (mut sum, mut count, mut saved) = (0.0, 0u32, Instant::now());
        while let Some(step) =
            training.advance().map_err(|e| JobFault { code: "diverged".into(), message: e.to_string() })?
        {
            if let Some(loss) = step.loss {
                sum += loss;
                count += 1;
            }
            let mean = (count > 0).then(|| sum / f64::from(count));
            if step.step % told == 0 || step.step == step.steps {
                self.record().say(String::new(), Some((step.step, step.steps)), mean);
                (sum, count) = (0.0, 0);
            }
            if let Some(epoch) = step.epoch.filter(|epoch| *epoch == epochs || epoch % every == 0) {
                let kept = training.weights();
                let name = self.record().tuned.clone();
                let name = if epoch == epochs { name } else { format!("{name}:ckpt-step-{}", step.step) };
                let place = home.tuned(&name).ok_or_else(|| fault("the suffix makes no name"))?;
                Model::save(&place, &model.tokenizer, &kept).map_err(unsaved)?;
                let mut record = self.record();
                if !validation.is_empty() {
                    let loss = Trainer::new(kept, 1).loss(&validation);
                    record.say(format!("epoch {epoch}: loss {loss:.3} on the validation file"), None, None);
                }
                record.checkpoints.retain(|c| c.model != name);
                record.checkpoints.push(Checkpoint { step: step.step, model: name });
            }
            if saved.elapsed() > SAVED_EVERY {
                self.save(&folder, &training)?;
                saved = Instant::now();
            }
            if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(false);
            }
        }
        self.record().trained_tokens = Some(lesson.tokens);
        Ok(true)
    }

    /// Records the settings and the privacy claim before the first step.
    fn note_beginning(&self, lesson: &Lesson, folder: &Path) -> Result<(), JobFault> {
        let mut record = self.record();
        record.status = JobStatus::Running;
        record.claim = lesson.claim;
        if record.events.is_empty() {
            let course = &lesson.course;
            let (units, batch) = (lesson.units.len(), course.batch);
            record.say(format!("{units} units, {} epochs, {batch} in a step", course.epochs), None, None);
            if lesson.cut > 0 {
                let text =
                    format!("{} rows are longer than the context, and were cut; no canary is among them", lesson.cut);
                record.say(text, None, None);
            }
            if let (Some(noise), Some(claim)) = (course.privacy, lesson.claim) {
                record.say(
                    format!(
                        "DP-SGD: noise multiplier {:.4}, gradients clipped to {}: epsilon {:.3} at delta {:e} for {} row(s); \
                         the losses told here are not private",
                        noise.multiplier, noise.clip, claim.epsilon, claim.delta, claim.copies
                    ),
                    None,
                    None,
                );
            }
        }
        record.write(folder).map_err(unsaved)
    }

    fn save(&self, folder: &Path, training: &FineTune) -> Result<(), JobFault> {
        store::write(&folder.join(STATE), &training.save(), false).map_err(|e| fault(&e.to_string()))?;
        self.record().write(folder).map_err(unsaved)
    }
}

fn fault(message: &str) -> JobFault {
    JobFault { code: "internal_error".into(), message: message.to_owned() }
}

fn unsaved(error: ProviderError) -> JobFault {
    fault(&error.to_string())
}
