//! The state file of a fine-tuning: how far it is, and under which names the service knows it.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TuneError;
use crate::store::{self, open_own};
use blabbermouth_core::canary::Key;
use blabbermouth_core::verdict::Claim;
use blabbermouth_provider::Checkpoint;

/// Since this version a job is created only for a file that holds every planted row.
const VERSION: u32 = 2;

/// How far a fine-tuning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It was looked at, and nothing was sent.
    Prepared,
    /// The files are there.
    Uploaded,
    /// The job is there.
    Created,
    /// The job was seen at work.
    Running,
    /// There is a model.
    Ready,
    /// The job failed or was cancelled.
    Failed,
    /// The service declined, by its rules.
    Refused,
}

/// What is known of a fine-tuning. It holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The form of the file.
    pub version: u32,
    /// The fingerprint of everything that the training depends on.
    pub plan: String,
    /// Which try of the plan this is.
    pub attempt: u32,
    /// The nonce of the manifest whose canaries were trained.
    pub manifest: String,
    /// The service.
    pub address: String,
    /// The model that was tuned.
    pub base_model: String,
    /// How far it is.
    pub stage: Stage,
    /// The uploaded training file.
    pub training_file: Option<String>,
    /// The uploaded validation file.
    pub validation_file: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The tuned model.
    pub model: Option<String>,
    /// The model as it was after the last epochs.
    #[serde(default)]
    pub checkpoints: Vec<Checkpoint>,
    /// Tokens that were billed.
    pub trained_tokens: Option<u64>,
    /// The privacy that the training kept, where the service vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// When it was seen to be ready, in seconds since 1970.
    pub finished: Option<u64>,
    /// Why it ended without a model.
    pub reason: Option<String>,
    /// An HMAC by the manifest's key over all but itself.
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

    /// The state, where it was written with the manifest's own key; `path` is for the error.
    ///
    /// # Errors
    /// When it was edited, or written without the key.
    pub fn sealed_by(self, key: &Key, path: &Path) -> Result<Self, TuneError> {
        if self.seal.as_deref() == Some(self.seal(key).as_str()) {
            return Ok(self);
        }
        let what = "it is not as `tune` wrote it with this manifest's key: remove it, and tune again or name the model \
                    with --model";
        Err(TuneError::State { path: path.display().to_string(), what: what.into() })
    }

    /// Whether a job is under way.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.job.is_some() && matches!(self.stage, Stage::Created | Stage::Running)
    }

    /// Reads a state file; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is no state file of this version.
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
    /// The nonce of the manifest with its own key; `None` where the key is not at hand.
    key: Option<(String, Key)>,
    _lock: File,
}

impl StateFile {
    /// Takes hold of a state file, which is sealed with the own key of a manifest (with its nonce) where that is at hand.
    ///
    /// # Errors
    /// When another process holds it, which is named, or its folder cannot be written.
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

    /// What it holds.
    ///
    /// # Errors
    /// As [`State::read`]; and when it is not as it was written with the key.
    pub fn read(&self) -> Result<Option<State>, TuneError> {
        let state = State::read(&self.path)?;
        match (state, &self.key) {
            // Of another manifest: its key is not at hand.
            (Some(state), Some((nonce, key))) if state.manifest == *nonce => state.sealed_by(key, &self.path).map(Some),
            (state, _) => Ok(state),
        }
    }

    /// Whether there is a state, and it is as it was written with the key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_own(&self) -> Result<bool, TuneError> {
        let state = State::read(&self.path)?.ok_or(TuneError::Nothing)?;
        let key = self.key.as_ref().filter(|(nonce, _)| *nonce == state.manifest);
        Ok(key.is_some_and(|(_, key)| state.sealed_by(key, &self.path).is_ok()))
    }

    /// From here on it is neither checked nor sealed.
    pub fn unseal(&mut self) {
        self.key = None;
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
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
