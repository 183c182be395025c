//! What a report rests on: digests of all that the run was made with, and where its answers came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::RunReport;
use crate::canary::Key;

/// Digests (SHA-256) of what a run was made with, and the origin of its answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sources {
    /// Of the program; `None` in a build for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Of the manifest file.
    pub manifest: String,
    /// Of the configuration file; `None` if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// Of the release policy; `None` where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Of the training file that `plant` wrote; `None` where it is not at hand, or larger than 256 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_file: Option<String>,
    /// Of all that decides which questions are put, and how.
    pub strategies: String,
    /// Requests that an interrupted run had been answered.
    pub resumed: u64,
    /// Answers from a recording, where the run asked nobody.
    pub replayed: u64,
    /// When the oldest of the replayed recordings began, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
    /// Answers from batch jobs.
    pub batched: u64,
}

impl RunReport {
    /// What the seal covers: everything but itself.
    fn sealed(&self) -> Vec<u8> {
        let open = Self { seal: None, ..self.clone() };
        serde_json::to_vec(&open).expect("a report has nothing that JSON lacks")
    }

    /// Seals the report with the key of its manifest, so that an edit can be told.
    pub fn seal_with(&mut self, key: &Key) {
        self.seal = Some(key.seal("report", &[&self.sealed()]));
    }

    /// Whether the report is as it was sealed by the key of its manifest.
    #[must_use]
    pub fn is_sealed_by(&self, key: &Key) -> bool {
        // Both are digests of digests: an attacker learns nothing from how long this takes.
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
