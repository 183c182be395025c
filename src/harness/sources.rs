//! Adds origin and seal to a report.

use std::path::Path;
use std::sync::Arc;

use super::session::{Done, Session};
use super::session_error::SessionError;
use crate::config::{Config, digest};
use crate::run::journaled;
use crate::store::{self, Journal};
use blabbermouth_core::canary::{Key, Manifest};
use blabbermouth_core::verdict::{RunReport, Sources, conclude_with_sources};

/// Maximum size of a file to digest, in bytes.
const LARGEST_DIGESTED: u64 = 256 << 20;

impl Session {
    pub(super) fn done(
        &self,
        mut report: RunReport,
        journal: Arc<Journal>,
        selected: &[usize],
        key: &Key,
    ) -> Result<Done, SessionError> {
        report.sources = Some(self.sources(&report, &journal)?);
        report.context.clone_from(&self.config.context);
        report.untested_claim.clone_from(&self.untested_claim);
        conclude_with_sources(&mut report);
        if let Some((baseline, today)) = &self.baseline {
            baseline.apply(&mut report, today);
        }
        report.seal_with(key);
        let journal = Arc::into_inner(journal).expect("all tasks have ended with the runtime");
        Ok(Done { report, journal, judged: journaled(selected, self.entries().len()) })
    }

    /// Digests of the inputs of a run, and the origin of its answers.
    fn sources(&self, report: &RunReport, journal: &Journal) -> Result<Sources, SessionError> {
        let answers = report.canaries.iter().map(|canary| canary.asked).sum();
        let of_file = |path: &Path| {
            let small = std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= LARGEST_DIGESTED);
            small.then(|| store::read(path).map(|bytes| digest(&bytes))).transpose()
        };
        let training = self.manifest.training_file.as_ref().map(|file| of_file(&self.folder.join(file))).transpose()?;
        // A debug build is large, and nobody releases a model by it.
        let program = std::env::current_exe().ok().filter(|_| !cfg!(debug_assertions));
        let probe = &self.config.probe;
        let strategies = serde_json::json!([
            probe.strategies,
            self.config.strategy,
            probe.sweep,
            probe.adaptive,
            self.sampling(),
            report.settings.samples
        ]);
        Ok(Sources {
            program: program.map(|path| of_file(&path)).transpose()?.flatten(),
            manifest: self.manifest_digest.clone(),
            configuration: of_file(Path::new(&self.name))?,
            policy: self.policy_digest.clone(),
            training_file: training.flatten(),
            strategies: digest(strategies.to_string().as_bytes()),
            resumed: journal.resumed().map_or(0, |resumed| resumed.requests),
            replayed: if self.tape.replay.is_empty() { 0 } else { answers },
            recorded: self.recorded.get().copied(),
            batched: if self.batch { answers } else { 0 },
        })
    }
}

/// Key of the manifest that a configuration names, which seals what is written about it. The service is not checked, so
/// that a seal can be verified where nothing is sent.
///
/// # Errors
/// When there is no manifest, its key is missing or wrong, or it was edited.
pub fn manifest_key(file: &Path, environment: impl Fn(&str) -> Option<String>) -> Result<Key, SessionError> {
    let config = Config::load(Some(file), &environment)?;
    let path = file.parent().unwrap_or(Path::new("")).join(&config.manifest.path);
    if !path.exists() {
        return Err(SessionError::NoManifest { path: path.display().to_string() });
    }
    let at = |source| SessionError::Manifest { path: path.display().to_string(), source };
    let key = environment("BLABBERMOUTH_KEY").map(|key| Key::from_text(&key)).transpose()?;
    let manifest = Manifest::parse(&store::read(&path)?).map_err(at)?;
    Ok(manifest.regenerate(key).map_err(at)?.key)
}
