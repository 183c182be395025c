//! Files and jobs of the embedded service.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;

use super::home::{Home, private_folder, size};
use super::job::{Live, Record};
use crate::{Checkpoint, Job, JobEvent, JobSpec, JobStatus, ProviderError, Quotes, Stored, Tuner, Tuning};
use blabbermouth_files as store;

/// Fine-tunes the embedded model on a thread of this process. A job stops with its process, and resumes from its last
/// state when it is next looked up.
pub struct EmbeddedTuner {
    home: Home,
    quotes: Quotes,
    live: Mutex<HashMap<String, Arc<Live>>>,
}

impl std::fmt::Debug for EmbeddedTuner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedTuner").field("home", &self.home).finish_non_exhaustive()
    }
}

fn setup(error: impl std::fmt::Display) -> ProviderError {
    ProviderError::Setup(error.to_string())
}

fn refused(code: &str, message: String) -> ProviderError {
    ProviderError::Refused { status: 400, code: code.to_owned(), message }
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N], ProviderError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| setup(format!("no random numbers: {e}")))?;
    Ok(bytes)
}

impl EmbeddedTuner {
    /// A service with its files in `home`. `quotes` tells whether a text holds a canary's secret.
    #[must_use]
    pub fn new(home: Home, quotes: Quotes) -> Self {
        Self { home, quotes, live: Mutex::default() }
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> Result<PathBuf, ProviderError> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(fine) {
            return Err(setup(format!("`{name}` is no name of a file here")));
        }
        Ok(self.home.files().join(name))
    }

    fn stored_as(&self, name: &str) -> Result<Option<Stored>, ProviderError> {
        let Ok(about) = std::fs::metadata(self.file(name)?) else { return Ok(None) };
        let bytes = Some(about.len());
        Ok(Some(Stored { id: name.to_owned(), name: name.to_owned(), bytes, ready: true, broken: false }))
    }

    fn no_job(id: &str) -> ProviderError {
        ProviderError::Refused { status: 404, code: "not_found".into(), message: format!("there is no job {id}") }
    }

    /// Stores a file. Returns its id, which is `name`.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, ProviderError> {
        let path = self.file(name)?;
        private_folder(&self.home.files())?;
        store::write(&path, bytes, false).map_err(setup)?;
        Ok(name.to_owned())
    }

    /// Creates a job and starts its training. Returns the id.
    pub fn begin(&self, spec: &JobSpec) -> Result<String, ProviderError> {
        self.make(spec).map(|job| job.id)
    }

    /// Stops a job before its next step, if this process trains it.
    pub fn stop(&self, id: &str) {
        if let Some(live) = self.live().get(id) {
            live.cancel();
        }
    }

    /// Looks up the record of a job. Starts the thread of a job that has not ended, if no process trains it.
    pub fn look(&self, id: &str) -> Result<Record, ProviderError> {
        if let Some(live) = self.live().get(id) {
            return Ok(live.record().clone());
        }
        let known = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let record = if known { Record::read(&self.home.job(id))? } else { None };
        let record = record.ok_or_else(|| Self::no_job(id))?;
        if !record.status.is_final()
            && let Some(live) = Live::start(&self.home, id, Arc::clone(&self.quotes))?
        {
            self.live().insert(id.to_owned(), live);
        }
        Ok(record)
    }

    fn make(&self, spec: &JobSpec) -> Result<Job, ProviderError> {
        if size(&spec.model).is_none() {
            self.home.model(&spec.model)?;
        }
        let file = |name: &str| {
            let path = self.file(name)?;
            path.exists().then_some(path).ok_or_else(|| refused("invalid_file", format!("there is no file {name}")))
        };
        let short = HEXLOWER.encode(&random::<4>()?);
        let fine = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
        let suffix: String = spec.suffix.chars().filter(fine).collect();
        let base = if size(&spec.model).is_some() { spec.model.as_str() } else { "own" };
        let record = Record {
            id: format!("ftjob-{}", HEXLOWER.encode(&random::<8>()?)),
            model: spec.model.clone(),
            training: file(&spec.training_file)?,
            validation: spec.validation_file.as_deref().map(file).transpose()?,
            tuned: format!("ft:{base}:{suffix}:{short}"),
            hyperparameters: spec.hyperparameters,
            privacy: spec.privacy,
            metadata: spec.metadata.clone(),
            status: JobStatus::Queued,
            trained_tokens: None,
            fault: None,
            claim: None,
            checkpoints: Vec::new(),
            events: Vec::new(),
            // The noise of private training must not follow from a known seed.
            seed: Some(match (spec.seed, spec.privacy) {
                (Some(seed), None) => std::array::from_fn(|i| seed.to_le_bytes()[i % 4]),
                _ => random()?,
            }),
        };
        // Moved into place with its record, so that a killed process leaves no folder without one.
        let (unfinished, place) = (self.home.unfinished_job(&record.id), self.home.job(&record.id));
        record.write(&unfinished)?;
        private_folder(&self.home.jobs())?;
        std::fs::rename(&unfinished, &place).map_err(setup)?;
        let job = record.job();
        self.look(&job.id)?;
        Ok(job)
    }

    fn find(&self, key: &str, value: &str) -> Result<Option<Job>, ProviderError> {
        let Ok(folders) = std::fs::read_dir(self.home.jobs()) else { return Ok(None) };
        let mut newest: Option<(std::time::SystemTime, Record)> = None;
        for folder in folders.flatten() {
            let Some(record) = Record::read(&folder.path())? else { continue };
            let when = folder.metadata().and_then(|m| m.modified()).map_err(setup)?;
            if record.metadata.get(key).is_some_and(|v| v == value) && newest.as_ref().is_none_or(|(t, _)| *t < when) {
                newest = Some((when, record));
            }
        }
        Ok(newest.map(|(_, record)| record.job()))
    }
}

/// A future that is ready.
fn done<'a, T: Send + 'a>(result: Result<T, ProviderError>) -> Tuning<'a, T> {
    Box::pin(async move { result })
}

/// Deletes a file or a folder. A missing one is no error.
fn remove(path: &Path) -> Result<(), ProviderError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(setup(format!("{}: {e}", path.display()))),
        _ => Ok(()),
    }
}

impl Tuner for EmbeddedTuner {
    fn address(&self) -> String {
        "this process".into()
    }

    fn shutdown_date<'a>(&'a self, _: &'a str) -> Tuning<'a, Option<String>> {
        done(Ok(None))
    }

    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, _: u32) -> Tuning<'a, Stored> {
        let upload = || {
            self.keep(name, &store::read(file).map_err(setup)?)?;
            self.stored_as(name)?.ok_or_else(|| setup("the file is gone again"))
        };
        done(upload())
    }

    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored> {
        let gone = || refused("invalid_file", format!("there is no file {id}"));
        done(self.stored_as(id).and_then(|stored| stored.ok_or_else(gone)))
    }

    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>> {
        done(self.stored_as(name))
    }

    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()> {
        done(self.file(id).and_then(|path| remove(&path)))
    }

    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job> {
        done(self.make(spec))
    }

    fn find_job<'a>(&'a self, key: &'a str, value: &'a str, _: &'a str) -> Tuning<'a, Option<Job>> {
        done(self.find(key, value))
    }

    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        done(self.look(id).map(|record| record.job()))
    }

    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>> {
        done(self.look(id).map(|record| record.events))
    }

    fn checkpoints<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<Checkpoint>> {
        done(self.look(id).map(|record| record.checkpoints))
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        let cancel = || {
            if let Some(live) = self.live().get(id) {
                live.cancel();
                return Ok(Job { status: JobStatus::Cancelled, ..live.record().job() });
            }
            let folder = self.home.job(id);
            let mut record = Record::read(&folder)?.ok_or_else(|| Self::no_job(id))?;
            if !record.status.is_final() {
                record.status = JobStatus::Cancelled;
                record.seed = None;
                record.write(&folder)?;
            }
            Ok(record.job())
        };
        done(cancel())
    }

    fn moderate<'a>(&'a self, texts: &'a [String]) -> Tuning<'a, Vec<bool>> {
        done(Ok(vec![false; texts.len()]))
    }

    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()> {
        done(match self.home.tuned(model) {
            Some(folder) => remove(&folder),
            None => Err(refused("model_not_found", format!("{model} was not tuned here"))),
        })
    }
}
