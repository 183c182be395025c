//! Sources of a report: digests of everything that the run was made with, and the origin of its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::RunReport;
use crate::canary::Key;

/// SHA-256 digests of everything that a run was made with, and the origin of its answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sources {
    /// Digest of the program; `None` in a debug build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Digest of the manifest file.
    pub manifest: String,
    /// Digest of the configuration file; `None` if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// Digest of the release policy; `None` if none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Digest of the training file that `plant` wrote; `None` if it is missing or larger than 256 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_file: Option<String>,
    /// Digest of all settings that decide which questions are put, and how.
    pub strategies: String,
    /// Requests that an earlier, interrupted run got answered.
    pub resumed: u64,
    /// Answers from a recording, in a run that sent no requests.
    pub replayed: u64,
    /// Start of the oldest replayed recording, in seconds since 1970; `None` if unknown or if nothing was replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
    /// Answers from batch jobs.
    pub batched: u64,
}

impl RunReport {
    /// Returns the bytes that the seal covers: everything but the seal.
    fn sealed(&self) -> Vec<u8> {
        let open = Self { seal: None, ..self.clone() };
        serde_json::to_vec(&open).expect("a report has nothing that JSON lacks")
    }

    /// Seals the report with the key of its manifest, so that edits are detected.
    pub fn seal_with(&mut self, key: &Key) {
        self.seal = Some(key.seal("report", &[&self.sealed()]));
    }

    /// Whether the report is unchanged since it was sealed with this key.
    #[must_use]
    pub fn is_sealed_by(&self, key: &Key) -> bool {
        // No constant-time comparison is needed: seals are checked by a local command, not by a service.
        self.seal.as_deref() == Some(key.seal("report", &[&self.sealed()]).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_edit_breaks_the_seal() {
        let mut report: RunReport =
            serde_json::from_str(include_str!("../../../../testdata/report-v1.json")).expect("version 1");
        let key = Key::from_text("a key for the tests of seals").expect("long");
        assert!(!report.is_sealed_by(&key));
        report.seal_with(&key);
        let text = serde_json::to_string(&report).expect("JSON");
        let read: RunReport = serde_json::from_str(&text).expect("a report");
        assert!(read.is_sealed_by(&key));
        assert!(!read.is_sealed_by(&Key::from_text("another key for these tests").expect("long")));
        for (from, to) in [("\"leaked\"", "\"clean\""), ("0.01", "0.02"), ("c0001", "c0009")] {
            assert!(text.contains(from), "{from}");
            let edited: RunReport = serde_json::from_str(&text.replacen(from, to, 1)).expect("a report");
            assert!(!edited.is_sealed_by(&key), "{from}");
        }
    }
}
