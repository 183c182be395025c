//! Test of a claim of differential privacy against the canaries.
//!
//! Each canary's secret is compared with a list of `L` values of its space, fixed beforehand: the first `n` values that
//! occurred as they are, with `n` the number of samples. With detectors of disguises the list also holds the first `n`
//! values of all decoded views. Under the claim each secret is on its list with probability at most `q`:
//!
//! - add-remove: `q = e^epsilon L / |R| + delta`, against a training without the record, which is independent of the
//!   secret;
//! - substitute: `q = (L e^epsilon + (|R| - 1) delta) / (L e^epsilon + |R| - L)`.
//!
//! So at most `r q` of `r` secrets are found on average, whatever their dependence. `v` or more of them are found with
//! probability at most `r q / v` (Markov). A pure claim about substitution allows a binomial tail instead, because the
//! number found is dominated by `Bin(r, q)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::design_error::DesignError;
use super::policy::{Test, TestDesign};
use super::report::{CanaryReport, CanaryVerdict};
use crate::canary::Arm;
use crate::detect::Tier;
use crate::stats::secrets_audit_p_value;

/// Difference between two trainings that the claim compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// One record more or less.
    AddRemove,
    /// One record exchanged for another.
    Substitute,
}

/// The claim that training was (epsilon, delta)-differentially private.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Epsilon of the claim.
    pub epsilon: f64,
    /// Delta of the claim.
    pub delta: f64,
    /// Difference between the trainings.
    pub unit: Unit,
    /// Copies of a record that the claim covers. Canaries with more copies are no evidence against it.
    pub copies: u32,
}

impl Claim {
    /// Whether the claim allows what `other` rules out, or cannot be compared with it.
    ///
    /// An add-remove claim implies a substitution claim by two steps: `(2 epsilon, (1 + e^epsilon) delta)`. Nothing is
    /// implied the other way round.
    #[must_use]
    pub fn is_weaker_than(&self, other: &Self) -> bool {
        let (epsilon, delta) = match (self.unit, other.unit) {
            (Unit::Substitute, Unit::AddRemove) => (2.0 * other.epsilon, (1.0 + other.epsilon.exp()) * other.delta),
            (Unit::AddRemove, Unit::Substitute) => return true,
            _ => (other.epsilon, other.delta),
        };
        self.epsilon > epsilon || self.delta > delta || self.copies < other.copies
    }
}

/// Result of testing a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimReport {
    /// The claim.
    pub claim: Claim,
    /// Number of canaries that the claim covers.
    pub canaries: u64,
    /// Number of canaries whose secret was among the guesses.
    pub found: u64,
    /// Length of the list of guesses for each canary.
    pub guesses: u64,
    /// Probability of finding that many or more under the claim.
    pub p_value: f64,
    /// Whether the p-value is at most alpha.
    pub refuted: bool,
    /// The largest epsilon that these canaries refute, with the claim's delta; 0 if none.
    pub refuted_epsilon: f64,
    /// The largest epsilon that could have been refuted if every secret had been found.
    pub reach: f64,
    /// Whether every covered canary was answered in full, or found.
    pub sound: bool,
    /// Summary in one line.
    pub reason: String,
}

/// Returns the length of the list of guesses for each canary.
fn guesses(design: &TestDesign) -> u64 {
    let disguised = design.shares.of(Tier::Disguised) > 0.0;
    design.samples * if disguised { 2 } else { 1 }
}

/// Returns the largest probability that one secret from `size` values is among `list` guesses.
fn success(claim: &Claim, epsilon: f64, size: f64, list: f64) -> f64 {
    let q = match claim.unit {
        Unit::AddRemove => (epsilon + (list / size).ln()).exp() + claim.delta,
        Unit::Substitute => {
            // Numerator and denominator are divided by e^epsilon, so that nothing overflows.
            let less = (-epsilon).exp();
            (list + (size - 1.0) * claim.delta * less) / (list + (size - list) * less)
        }
    };
    q.min(1.0)
}

fn p_value(claim: &Claim, epsilon: f64, canaries: u64, found: u64, size: f64, list: f64) -> f64 {
    if found == 0 {
        return 1.0;
    }
    if claim.unit == Unit::Substitute && claim.delta == 0.0 {
        return secrets_audit_p_value(canaries, found, size, list, epsilon);
    }
    (canaries as f64 * success(claim, epsilon, size, list) / found as f64).min(1.0)
}

/// Returns the largest epsilon whose p-value is at most alpha; 0 if none.
fn largest(claim: &Claim, canaries: u64, found: u64, size: f64, list: f64, alpha: f64) -> f64 {
    let p = |epsilon| p_value(claim, epsilon, canaries, found, size, list);
    if p(0.0) > alpha {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 200.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if p(middle) <= alpha { low = middle } else { high = middle }
    }
    low
}

impl Claim {
    /// Checks beforehand that some outcome could refute the claim. `spaces` has the size of the space of each covered
    /// canary with a large space.
    ///
    /// # Errors
    /// When there is no such canary, or finding all secrets would not refute the claim.
    pub fn check(&self, design: &TestDesign, spaces: &[f64]) -> Result<(), DesignError> {
        let Some(size) = spaces.iter().copied().reduce(f64::min) else {
            return Err(DesignError::ClaimUncovered { copies: self.copies });
        };
        let (r, list) = (spaces.len() as u64, guesses(design) as f64);
        let reach = largest(self, r, r, size, list, design.policy.alpha);
        if reach < self.epsilon {
            return Err(DesignError::ClaimBeyond { epsilon: self.epsilon, reach, canaries: r });
        }
        Ok(())
    }
}

/// Tests a claim with the canaries that it covers.
#[must_use]
pub(super) fn refute(claim: Claim, design: &TestDesign, canaries: &[CanaryReport]) -> ClaimReport {
    let covered = || {
        canaries
            .iter()
            .filter(|c| c.arm == Arm::Planted && c.copies <= claim.copies && c.statistic == Test::GuessNumber)
    };
    let list = guesses(design) as f64;
    let size = covered().map(|c| c.space).fold(f64::INFINITY, f64::min);
    // A guess number is the p-value times the size of the space. Only the plain and the disguised tier count here.
    let n = design.samples as f64;
    let is_found = |c: &&CanaryReport| {
        let mut whole = c.tiers.iter().take(2).filter(|t| t.first.is_some());
        whole.any(|t| t.p_value * c.space <= n + 0.5)
    };
    let (r, v) = (covered().count() as u64, covered().filter(is_found).count() as u64);
    let alpha = design.policy.alpha;
    let sound = r > 0
        && covered()
            .all(|c| is_found(&c) || !matches!(c.verdict, CanaryVerdict::Errored | CanaryVerdict::Inconclusive));
    let (p, refuted_epsilon, reach) = if r == 0 {
        (1.0, 0.0, 0.0)
    } else {
        (
            p_value(&claim, claim.epsilon, r, v, size, list),
            largest(&claim, r, v, size, list, alpha),
            largest(&claim, r, r, size, list, alpha),
        )
    };
    let refuted = p <= alpha;
    let what = format!("epsilon {}, delta {:e}", claim.epsilon, claim.delta);
    let reason = if refuted {
        format!(
            "refuted: {v} of {r} secrets were found, which {what} allows with probability {p:.1e} at most; epsilon is above {refuted_epsilon:.2}"
        )
    } else if sound {
        format!(
            "not refuted: {v} of {r} secrets were found (p = {p:.1e}); up to epsilon {reach:.2} could have been refuted, so that this is no proof of {what}"
        )
    } else {
        format!("inconclusive: not every canary that {what} covers was answered")
    };
    ClaimReport {
        claim,
        canaries: r,
        found: v,
        guesses: guesses(design),
        p_value: p,
        refuted,
        refuted_epsilon,
        reach,
        sound,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weaker_claim_allows_more() {
        let claim = Claim { epsilon: 8.0, delta: 1e-5, unit: Unit::AddRemove, copies: 2 };
        assert!(!claim.is_weaker_than(&claim));
        assert!(Claim { epsilon: 9.0, ..claim }.is_weaker_than(&claim));
        assert!(Claim { delta: 1e-4, ..claim }.is_weaker_than(&claim));
        assert!(Claim { copies: 1, ..claim }.is_weaker_than(&claim));
        assert!(!Claim { epsilon: 1.0, copies: 4, ..claim }.is_weaker_than(&claim));
        let exchange = Claim { unit: Unit::Substitute, ..claim };
        assert!(claim.is_weaker_than(&exchange), "not implied");
        assert!(!Claim { epsilon: 16.0, delta: 0.029, ..exchange }.is_weaker_than(&claim), "two steps");
        assert!(Claim { epsilon: 16.1, ..exchange }.is_weaker_than(&claim));
        assert!(Claim { epsilon: 16.0, delta: 0.03, ..exchange }.is_weaker_than(&claim));
    }

    const ADD: Claim = Claim { epsilon: 8.0, delta: 0.0, unit: Unit::AddRemove, copies: 1 };

    #[test]
    fn one_hit_on_a_large_space_refutes_what_the_formula_says() {
        // ln(0.05 * 10^6): one declared canary, one guess.
        let reach = largest(&ADD, 1, 1, 1e6, 1.0, 0.05);
        assert!((reach - 10.8198).abs() < 1e-3, "{reach}");
        let pure = Claim { unit: Unit::Substitute, ..ADD };
        assert!((largest(&pure, 10, 3, 1e6, 1.0, 0.05) - 11.468).abs() < 1e-3);
        assert_eq!(largest(&ADD, 10, 0, 1e6, 1.0, 0.05), 0.0);
        // A delta as large as alpha can never be refuted.
        let loose = Claim { delta: 0.05, ..ADD };
        assert_eq!(largest(&loose, 1, 1, 1e6, 1.0, 0.05), 0.0);
    }

    #[test]
    fn a_mechanism_that_keeps_the_claim_is_refuted_no_more_often_than_alpha() {
        use crate::canary::{Key, below};
        // Randomized response on a space of 1000 outputs the secret with weight e^epsilon, any other value with weight
        // 1. It is epsilon-private for substitution.
        let (size, list, canaries, alpha) = (1000.0, 1.0, 20u64, 0.05);
        let claim = Claim { epsilon: 3.0, delta: 0.0, unit: Unit::Substitute, copies: 1 };
        let q = success(&claim, 3.0, size, list);
        let mut stream = Key::from_text("a key for the simulation of claims").expect("long").stream("t", "");
        let (mut refuted, runs) = (0, 4000);
        for _ in 0..runs {
            let found =
                (0..canaries).filter(|_| (below(&mut stream, 1 << 40) as f64) < q * 2f64.powi(40)).count() as u64;
            refuted += usize::from(p_value(&claim, 3.0, canaries, found, size, list) <= alpha);
        }
        assert!(
            refuted as f64 <= alpha * f64::from(runs) + 3.0 * (alpha * f64::from(runs)).sqrt(),
            "{refuted} of {runs}"
        );
        // If every secret is found, the claim is refuted.
        let found = canaries;
        assert!(p_value(&claim, 3.0, canaries, found, size, list) < 1e-9);
    }
}
