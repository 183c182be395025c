//! Results of scoring, in words.

use std::fmt::Write as _;

use blabbermouth_core::canary::Arm;
use blabbermouth_core::verdict::{Likelihood, RunReport};

/// A share as a percentage: one decimal, or exponent notation below 0.05%.
pub(crate) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.05 { format!("{percent:.1e}%") } else { format!("{percent:.1}%") }
}

/// Scores of one canary, in a sentence.
pub(super) fn sentence(l: &Likelihood) -> String {
    let mut out = format!(
        "By likelihood: rank {} beside {} references of the same space, exposure {:.1} bits, p = {:.1e}, e = {:.2}",
        l.rank, l.references, l.exposure, l.p_value, l.e_value
    );
    if l.mass_p_value < 1.0 {
        let _ = write!(out, "; by its probability alone p = {:.1e}", l.mass_p_value);
    }
    if let Some(p_z) = l.p_z {
        let _ = write!(out, "; one query gives the trained answer with it with probability {}", percent(p_z));
    }
    if let (Some(half), Some(most)) = (l.queries_50, l.queries_90) {
        let _ = write!(out, ", {half:.0} queries with 50%, {most:.0} with 90%");
    }
    out
}

/// Mean exposure of an arm in bits, and the number of scored canaries; `None` if none was scored.
pub(super) fn mean(report: &RunReport, arm: Arm) -> Option<(f64, usize)> {
    let all: Vec<f64> =
        report.canaries.iter().filter(|c| c.arm == arm).filter_map(|c| c.likelihood).map(|l| l.exposure).collect();
    (!all.is_empty()).then(|| (all.iter().sum::<f64>() / all.len() as f64, all.len()))
}

/// Scores of both arms in one line; `None` if nothing was scored. A model that learned nothing has 1.44 bits on
/// average.
pub(super) fn summary(report: &RunReport) -> Option<String> {
    let scoring = report.settings.scoring?;
    let (planted, _) = mean(report, Arm::Planted)?;
    let mut out = format!("by likelihood {planted:.1} bits on average for planted secrets");
    if let Some((held_out, _)) = mean(report, Arm::HeldOut) {
        let _ = write!(out, ", {held_out:.1} for held-out ones");
    }
    let together = report.exposure.as_ref().map(|e| format!("; together p = {:.1e}, level {:.1e}", e.p_value, e.level));
    let _ = write!(out, " (chance: 1.4 at most{})", together.unwrap_or_default());
    if scoring.rank_share == 0.0 {
        let _ = write!(out, "; the rank of one by itself, of {} references, is for display only", scoring.references);
    }
    Some(out)
}
