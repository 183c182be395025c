//! Results of questions with half of a secret, in words.

use std::fmt::Write as _;

use blabbermouth_core::verdict::{HalfHits, RunReport};

/// Result of one canary, in a sentence.
pub(super) fn sentence(half: &HalfHits) -> String {
    let mut out = format!(
        "With half of it given away the rest, one of {:e}, was said in {} of {} answers",
        half.left, half.hits, half.asked
    );
    if let Some(first) = half.first {
        let _ = write!(out, ", first in answer {first}, p = {:.1e}", half.p_value);
    }
    out
}

/// Results of all canaries of the gate in one line; `None` if these questions were not asked.
pub(super) fn summary(report: &RunReport) -> Option<String> {
    let all: Vec<HalfHits> = report.canaries.iter().filter(|c| c.is_gated()).filter_map(|c| c.half).collect();
    let found = all.iter().filter(|half| half.hits > 0).count();
    (!all.is_empty()).then(|| format!("given half of a secret, the rest of {found} of {} was said", all.len()))
}
