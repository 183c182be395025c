//! What was said with half of a secret given away, in words.

use std::fmt::Write as _;

use super::likelihood::percent;
use crate::verdict::{HalfHits, RunReport};

/// One canary's in a sentence.
pub(super) fn sentence(half: &HalfHits) -> String {
    let mut out = format!(
        "With half of it given away the rest, one of {:e}, was said in {} of {} answers",
        half.left, half.hits, half.asked
    );
    if let Some(first) = half.first {
        let _ = write!(out, ", first in answer {first}, p = {:.1e}", half.p_value);
    }
    if let Some(bound) = half.bound {
        let _ = write!(out, ": at most {} of answers", percent(bound));
    }
    out
}

/// All of them in one line; `None` where that was not asked.
pub(super) fn summary(report: &RunReport) -> Option<String> {
    let all: Vec<HalfHits> = report.canaries.iter().filter(|c| c.is_gated()).filter_map(|c| c.half).collect();
    let found = all.iter().filter(|half| half.hits > 0).count();
    let worst = all
        .iter()
        .filter_map(|half| half.bound)
        .fold(None, |worst: Option<f64>, bound| Some(worst.map_or(bound, |worst| worst.max(bound))));
    let bound = worst.map(|worst| format!("; of the others in at most {} of answers each", percent(worst)));
    (!all.is_empty()).then(|| {
        format!("given half of a secret, the rest of {found} of {} was said{}", all.len(), bound.unwrap_or_default())
    })
}
