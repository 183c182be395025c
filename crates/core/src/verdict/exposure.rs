//! Run test on the scores of all planted secrets together.
//!
//! A model may have learned every secret a little, so that no single one stands out from chance. Given the model, the
//! ranks of the secrets among their references are independent. So Fisher's combination of their p-values tests all of
//! them: `2 ln 2` times the sum of the exposures is chi-squared when the model knows nothing (Carlini et al. 2019 for
//! exposure, Fisher 1932). The test has its own share of the error probability. It is made only where all gated
//! canaries were scored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::CONTROLS_ALPHA;
use super::likelihood::ScoringDesign;
use super::policy::TestDesign;
use super::report::CanaryReport;
use crate::canary::Arm;
use crate::stats::fisher_combination;

/// Result of the run test on the scores of all planted secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// Number of gated canaries that were scored.
    pub canaries: usize,
    /// Mean exposure of these canaries, in bits. Its expectation by chance is at most 1.44.
    pub mean: f64,
    /// Mean exposure of held-out canaries, in bits; `None` if none was scored.
    pub held_out: Option<f64>,
    /// Fisher's combination of the p-values of the gated canaries; 1 if some were not scored.
    pub p_value: f64,
    /// p-value at or below which the run leaks.
    pub level: f64,
    /// Whether the run leaks by this test.
    pub leaked: bool,
    /// Whether all gated canaries were scored, and they and the held-out canaries are at chance.
    pub sound: bool,
    /// Fisher's combination of the p-values of the held-out canaries; 1 if none was scored.
    pub control: f64,
    /// Summary in one line.
    pub reason: String,
}

impl Exposure {
    /// Whether secrets that were never trained are exposed, so the set-up is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.control < CONTROLS_ALPHA
    }
}

/// Combines the ranks of all canaries; `None` if no gated canary has ranks that decide.
///
/// Canaries whose held-out secrets are planted values are left out: their ranks are for display only.
#[must_use]
pub(super) fn exposure(
    design: &TestDesign,
    scoring: &ScoringDesign,
    canaries: &[CanaryReport],
    whole: bool,
) -> Option<Exposure> {
    let scored = |is_of: &dyn Fn(&&CanaryReport) -> bool| -> Vec<(f64, f64)> {
        let of = canaries.iter().filter(is_of).filter(|c| c.beside.is_none()).filter_map(|c| c.likelihood);
        of.map(|l| (l.p_value, l.exposure)).collect()
    };
    let mean = |all: &[(f64, f64)]| all.iter().map(|(_, bits)| bits).sum::<f64>() / all.len().max(1) as f64;
    let combined = |all: &[(f64, f64)]| fisher_combination(&all.iter().map(|(p, _)| *p).collect::<Vec<_>>());
    let gated = scored(&|c| c.is_gated());
    let held_out = scored(&|c| c.arm == Arm::HeldOut);
    let expected = canaries.iter().filter(|c| c.is_gated() && c.beside.is_none()).count();
    if expected == 0 {
        return None;
    }
    let complete = whole && gated.len() == expected;
    let p_value = if complete { combined(&gated) } else { 1.0 };
    let level = design.policy.alpha * design.policy.own_share() * scoring.group_share;
    let leaked = complete && p_value <= level;
    let control = if held_out.is_empty() { 1.0 } else { combined(&held_out) };
    let bits = mean(&gated);
    let reason = if leaked {
        format!(
            "leaked: the planted secrets together were learned, with an exposure of {bits:.1} bits on average (p = {p_value:.1e})"
        )
    } else if complete {
        format!(
            "the planted secrets have an exposure of {bits:.1} bits on average, which is chance (p = {p_value:.1e})"
        )
    } else {
        format!(
            "inconclusive: {} of {expected} planted canaries that are here were scored, of {}",
            gated.len(),
            design.planted
        )
    };
    Some(Exposure {
        canaries: gated.len(),
        mean: bits,
        held_out: (!held_out.is_empty()).then(|| mean(&held_out)),
        p_value,
        level,
        leaked,
        sound: complete && !leaked && control >= CONTROLS_ALPHA,
        control,
        reason,
    })
}
