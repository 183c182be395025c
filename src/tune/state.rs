//! The state file of a fine-tuning: its progress, and the service's ids of files, job and model.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TuneError;
use crate::store::{self, open_own};
use blabbermouth_core::canary::Key;
use blabbermouth_core::verdict::Claim;
use blabbermouth_provider::Checkpoint;

/// Version of the state file's format. Since version 2 a job is created only for a file that holds every planted row.
const VERSION: u32 = 2;

/// Progress of a fine-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The plan is checked; nothing was sent.
    Prepared,
    /// The files are uploaded.
    Uploaded,
    /// The job is created.
    Created,
    /// The service reported the job as running.
    Running,
    /// The tuned model is callable.
    Ready,
    /// The job failed or was cancelled.
    Failed,
    /// The service declined by its rules.
    Refused,
}

/// The state of a fine-tuning. Holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of the file's format.
    pub version: u32,
    /// The fingerprint of everything that the training depends on.
    pub plan: String,
    /// Number of the plan's attempt, from 1 on.
    pub attempt: u32,
    /// The nonce of the manifest whose canaries were trained.
    pub manifest: String,
    /// Address of the service.
    pub address: String,
    /// The base model.
    pub base_model: String,
    /// Progress.
    pub stage: Stage,
    /// The service's id of the uploaded training file.
    pub training_file: Option<String>,
    /// The service's id of the uploaded validation file.
    pub validation_file: Option<String>,
    /// The service's id of the job.
    pub job: Option<String>,
    /// Name of the tuned model.
    pub model: Option<String>,
    /// The models after the last epochs.
    #[serde(default)]
    pub checkpoints: Vec<Checkpoint>,
    /// Tokens over all epochs, which a remote service bills; `None` if unknown.
    pub trained_tokens: Option<u64>,
    /// The differential privacy of the training; `None` if the service claims none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// When `tune` saw that the model was ready, in seconds since 1970.
    pub finished: Option<u64>,
    /// Why the fine-tuning ended without a model.
    pub reason: Option<String>,
    /// HMAC by the manifest's key over all other fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

impl State {
    pub(super) fn new(plan: String, attempt: u32, manifest: &str, address: String, base_model: &str) -> Self {
        Self {
            version: VERSION,
            plan,
            attempt,
            manifest: manifest.to_owned(),
            address,
            base_model: base_model.to_owned(),
            stage: Stage::Prepared,
            training_file: None,
            validation_file: None,
            job: None,
            model: None,
            checkpoints: Vec::new(),
            trained_tokens: None,
            claim: None,
            finished: None,
            reason: None,
            seal: None,
        }
    }

    fn seal(&self, key: &Key) -> String {
        let sealed = Self { seal: None, ..self.clone() };
        key.seal("tuning", &[&serde_json::to_vec(&sealed).expect("a state is plain data")])
    }

    /// Returns the state if its seal is by the manifest's own key; `path` is for the error.
    ///
    /// # Errors
    /// When the state was edited, or written without the key.
    pub fn sealed_by(self, key: &Key, path: &Path) -> Result<Self, TuneError> {
        if self.seal.as_deref() == Some(self.seal(key).as_str()) {
            return Ok(self);
        }
        let what = "it is not as `tune` wrote it with this manifest's key: remove it, and tune again or name the model \
                    with --model";
        Err(TuneError::State { path: path.display().to_string(), what: what.into() })
    }

    /// Whether a job is in progress.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.job.is_some() && matches!(self.stage, Stage::Created | Stage::Running)
    }

    /// Reads a state file; `None` when there is none.
    ///
    /// # Errors
    /// When the file is not readable, or is no state file of this version.
    pub fn read(path: &Path) -> Result<Option<Self>, TuneError> {
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |what: String| TuneError::State { path: path.display().to_string(), what };
        if !path.is_file() {
            return Err(damaged("it is no regular file".into()));
        }
        let state: Self = serde_json::from_slice(&store::read(path)?).map_err(|e| damaged(e.to_string()))?;
        if state.version != VERSION {
            return Err(damaged(format!("it is of version {}, expected {VERSION}", state.version)));
        }
        Ok(Some(state))
    }
}

/// The state file, held by one process at a time.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// The manifest's nonce and own key; `None` where the key is not available.
    key: Option<(String, Key)>,
    _lock: File,
}

impl StateFile {
    /// Locks a state file. `key` is the manifest's nonce and own key: it seals and checks states of that manifest.
    ///
    /// # Errors
    /// When another process holds the lock, which the error names, or the folder is not writable.
    pub fn hold(path: &Path, key: Option<(String, Key)>) -> Result<Self, TuneError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let beside = path.with_file_name(name);
        let fault = |e: std::io::Error| TuneError::State { path: beside.display().to_string(), what: e.to_string() };
        let mut lock = open_own(&beside).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(TuneError::Locked { holder: holder.trim().chars().take(20).collect() });
            }
            Err(TryLockError::Error(e)) => return Err(fault(e)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(fault)?;
        writeln!(lock, "{}", std::process::id()).map_err(fault)?;
        Ok(Self { path: path.to_owned(), key, _lock: lock })
    }

    /// Reads the state; `None` when there is none.
    ///
    /// # Errors
    /// As [`State::read`]; and when the seal of a state of this manifest does not fit.
    pub fn read(&self) -> Result<Option<State>, TuneError> {
        let state = State::read(&self.path)?;
        match (state, &self.key) {
            // A state of another manifest is not checked: that manifest's key is not available.
            (Some(state), Some((nonce, key))) if state.manifest == *nonce => state.sealed_by(key, &self.path).map(Some),
            (state, _) => Ok(state),
        }
    }

    /// Whether the state is sealed with the held key.
    ///
    /// # Errors
    /// When there is no state, or it is not readable.
    pub fn is_own(&self) -> Result<bool, TuneError> {
        let state = State::read(&self.path)?.ok_or(TuneError::Nothing)?;
        let key = self.key.as_ref().filter(|(nonce, _)| *nonce == state.manifest);
        Ok(key.is_some_and(|(_, key)| state.sealed_by(key, &self.path).is_ok()))
    }

    /// Drops the key: from here on states are neither checked nor sealed.
    pub fn unseal(&mut self) {
        self.key = None;
    }

    /// Writes the state atomically, sealed if it is of the held manifest.
    ///
    /// # Errors
    /// When the file is not writable.
    pub fn write(&self, state: &State) -> Result<(), TuneError> {
        let mut state = state.clone();
        if let Some((_, key)) = self.key.as_ref().filter(|(nonce, _)| state.manifest == *nonce) {
            state.seal = Some(state.seal(key));
        }
        let mut text = serde_json::to_vec_pretty(&state).expect("a state is plain data");
        text.push(b'\n');
        Ok(store::write(&self.path, &text, true)?)
    }
}
