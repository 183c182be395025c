//! What a report says of its origin, and its seal.

use std::path::Path;
use std::sync::Arc;

use super::session::{Done, Session};
use super::session_error::SessionError;
use crate::audit::journaled;
use crate::canary::Key;
use crate::config::digest;
use crate::store::{self, Journal};
use crate::verdict::{RunReport, Sources, conclude_with_sources};

/// The largest file of which a digest is taken, in bytes.
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
        conclude_with_sources(&mut report);
        if let Some((baseline, today)) = &self.baseline {
            baseline.apply(&mut report, today);
        }
        report.seal_with(key);
        let journal = Arc::into_inner(journal).expect("all tasks have ended with the runtime");
        Ok(Done { report, journal, judged: journaled(selected, self.entries().len()) })
    }

    /// Digests of what the run was made with, and where its answers came from.
    fn sources(&self, report: &RunReport, journal: &Journal) -> Result<Sources, SessionError> {
        let answers = report.canaries.iter().map(|canary| canary.asked).sum();
        let of_file = |path: &Path| {
            let small = std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= LARGEST_DIGESTED);
            small.then(|| store::read(path).map(|bytes| digest(&bytes))).transpose()
        };
        let training = self.manifest.training_file.as_ref().map(|file| of_file(&self.folder.join(file))).transpose()?;
        // A build for tests is large, and nobody releases anything by it.
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
            batched: if self.batch { answers } else { 0 },
        })
    }

    /// The key of the manifest, which seals what is written about it.
    ///
    /// # Errors
    /// When the key is missing or wrong, or the manifest was edited.
    pub fn key_of_manifest(&self) -> Result<Key, SessionError> {
        Ok(self.drawn()?.key)
    }

    /// Whether a report is of this manifest, as it was sealed.
    ///
    /// # Errors
    /// When the key is missing or wrong.
    pub fn has_sealed(&self, report: &RunReport) -> Result<bool, SessionError> {
        Ok(report.is_sealed_by(&self.drawn()?.key))
    }
}
