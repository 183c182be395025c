//! A claim of differential privacy, and what the canaries say against it.
//!
//! Each canary's secret is compared with a list of `L` values of its space, fixed beforehand: the first `n` that were
//! said as they are, `n` being the number of samples, and where disguises are seen through the first `n` of all
//! decoded views. Under the claim each secret is among them with probability at most `q`:
//!
//! - add-remove: `q = e^epsilon L / |R| + delta`, against a training without the record, which is independent of
//!   the secret;
//! - substitute: `q = (L e^epsilon + (|R| - 1) delta) / (L e^epsilon + |R| - L)`.
//!
//! So at most `r q` of `r` secrets are found on average, whatever their dependence, and `v` or more of them with
//! probability at most `r q / v` (Markov). A pure claim about substitution allows a binomial tail instead: there
//! the number found is dominated by `Bin(r, q)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::design_error::DesignError;
use super::policy::{Test, TestDesign};
use super::report::{CanaryReport, CanaryVerdict};
use crate::canary::Arm;
use crate::detect::Tier;
use crate::stats::secrets_audit_p_value;

/// What two trainings differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// One record more or less.
    AddRemove,
    /// One record exchanged for another.
    Substitute,
}

/// "Training was (epsilon, delta)-differentially private."
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Its epsilon.
    pub epsilon: f64,
    /// Its delta.
    pub delta: f64,
    /// Between which trainings.
    pub unit: Unit,
    /// How many copies of a record it covers: canaries with more are no evidence against it.
    pub copies: u32,
}

impl Claim {
    /// Whether it allows what `other` rules out, or cannot be compared with it. A claim for one record more or less implies
    /// one for an exchange, by two steps: `(2 epsilon, (1 + e^epsilon) delta)`. Nothing is implied the other way round.
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

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimReport {
    /// The claim.
    pub claim: Claim,
    /// Canaries that it covers.
    pub canaries: u64,
    /// Those whose secret was among the guesses.
    pub found: u64,
    /// Guesses for each.
    pub guesses: u64,
    /// The probability of so many or more under the claim.
    pub p_value: f64,
    /// Whether that is at most alpha.
    pub refuted: bool,
    /// The largest epsilon that these canaries refute, with the claim's delta; 0 when none.
    pub refuted_epsilon: f64,
    /// The largest epsilon that could have been refuted, had every secret been found.
    pub reach: f64,
    /// Every canary that it covers was answered in full, or found.
    pub sound: bool,
    /// All of it in one line.
    pub reason: String,
}

/// The length of the list of guesses for each canary.
fn guesses(design: &TestDesign) -> u64 {
    let disguised = design.shares.of(Tier::Disguised) > 0.0;
    design.samples * if disguised { 2 } else { 1 }
}

/// The probability that one secret of `size` is among `list` guesses, at most.
fn success(claim: &Claim, epsilon: f64, size: f64, list: f64) -> f64 {
    let q = match claim.unit {
        Unit::AddRemove => (epsilon + (list / size).ln()).exp() + claim.delta,
        Unit::Substitute => {
            // Divided by e^epsilon, so that nothing overflows.
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

/// The largest epsilon whose p-value is at most alpha.
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
    /// Says beforehand when no outcome could refute the claim: `spaces` has the size of the space of each canary
    /// that it covers, in large spaces.
    ///
    /// # Errors
    /// When there is no such canary, or not even all secrets found would refute it.
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

/// Tries to refute a claim with the canaries that it covers.
#[must_use]
pub(super) fn refute(claim: Claim, design: &TestDesign, canaries: &[CanaryReport]) -> ClaimReport {
    let covered = || {
        canaries
            .iter()
            .filter(|c| c.arm == Arm::Planted && c.copies <= claim.copies && c.statistic == Test::GuessNumber)
    };
    let list = guesses(design) as f64;
    let size = covered().map(|c| c.space).fold(f64::INFINITY, f64::min);
    // The guess numbers of the plain and of the disguised tier: how many values were said up to the secret.
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
        // Randomised response on a space of 1000: the secret itself with weight e^epsilon, any other with 1;
        // that is epsilon-private for substitution.
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
        // Four times the epsilon is refuted nearly always.
        let found = canaries;
        assert!(p_value(&claim, 3.0, canaries, found, size, list) < 1e-9);
    }
}
