//! What the scores of all planted secrets say together.
//!
//! A model may have learned every secret a little, none of them enough to be told from chance by itself. Given the model
//! the ranks of the secrets among their references are independent, so that Fisher's combination of their p-values is a
//! test of all of them: twice `ln 2` times the sum of the exposures is chi-squared when the model knows nothing (Carlini
//! et al. 2019 for exposure, Fisher 1932). It has a share of the error probability of its own, and is made only where all
//! planted canaries of the gate were scored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::CONTROLS_ALPHA;
use super::likelihood::ScoringDesign;
use super::policy::TestDesign;
use super::report::CanaryReport;
use crate::canary::Arm;
use crate::stats::fisher_combination;

/// What the scores of all planted secrets say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// Planted canaries of the gate that were scored.
    pub canaries: usize,
    /// Their mean exposure, in bits; 1.44 at most is chance.
    pub mean: f64,
    /// That of held-out canaries, where some were scored.
    pub held_out: Option<f64>,
    /// Fisher's combination of their p-values.
    pub p_value: f64,
    /// At which the model is called leaky.
    pub level: f64,
    /// Whether it is.
    pub leaked: bool,
    /// All planted canaries of the gate were scored, and they are at chance.
    pub sound: bool,
    /// Fisher's combination for the held-out ones.
    pub control: f64,
    /// All of it in one line.
    pub reason: String,
}

impl Exposure {
    /// Whether secrets that were never trained are exposed, so that the set-up is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.control < CONTROLS_ALPHA
    }
}

/// Puts the ranks together; `None` where nothing was to be scored. Where held-out secrets are values of planted ones
/// the ranks are for display.
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
