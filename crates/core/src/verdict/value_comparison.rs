//! Test for small spaces whose held-out secrets are values of planted ones.
//!
//! A model that has learned which values occur outputs all of them more often than the rest of the space. So it outputs
//! each secret, planted or held out, without knowing which canary has which. Only the assignment counts there. Given
//! the values, planted secrets are assigned to their canaries at random, because they were drawn independently from one
//! space. Held-out secrets are assigned in a random order. Two figures show whether the model knows more:
//!
//! - For one canary: the share of the planted values that were in its answers at least as often as its own value. This
//!   is the p-value of a held-out canary.
//! - For all planted canaries: how often each had its own value, compared with random assignments of the values
//!   (`stats::assignment_p_value`). A planted canary leaks only where this test rejects too, at the error probability
//!   of all canaries together.
//!
//! The held-out canaries together are tested in the same way. When they too have their own values, the run is invalid.
//!
//! Both error probabilities hold. A model that knows nothing fails by count rank with probability alpha at most, a
//! model that knows which values occur by the assignment.

use std::collections::HashMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::judge::CONTROLS_ALPHA;
use super::policy::{Test, TestDesign};
use crate::canary::{Arm, Entry, FEWEST_MATCHED, below};
use crate::stats::assignment_p_value;

/// Random assignments per assignment that the level allows to be as good.
const TRIED: f64 = 100.0;
/// Limit on the number of random assignments.
const MOST_TRIED: f64 = 1e6;

/// One canary's own value compared with the values of other planted canaries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValueComparison {
    /// Share of the planted values that were in its answers at least as often as its own value; 1 without a hit.
    pub among: f64,
    /// Mean rate at which a planted value was in its answers.
    pub chance: f64,
    /// p-value of the assignment of the values to all canaries of its arm. `None` if too few planted canaries were
    /// probed; then the count rank alone decides.
    pub assignment: Option<f64>,
    /// p-value at or below which the test of the assignment rejects.
    pub level: f64,
}

impl ValueComparison {
    /// Whether the test of the assignment ran and did not reject: at most the model knows which values occur.
    #[must_use]
    pub fn knows_values_only(&self) -> bool {
        self.assignment.is_some_and(|p| p > self.level)
    }
}

/// Compares each probed canary of a matched template with the values of the others.
pub(super) fn beside(
    design: &TestDesign,
    entries: &[Entry],
    evidence: &[(usize, Evidence)],
    tests: &[(Test, f64)],
) -> HashMap<usize, ValueComparison> {
    let mut all = HashMap::new();
    // The error probability of all canaries together, split over the matched templates.
    let level =
        design.policy.alpha * design.policy.own_share() * design.shares.said() / design.matched.len().max(1) as f64;
    for name in &design.matched {
        let of = |index: usize| entries[index].template == *name && tests[index].0 == Test::CountRank;
        let planted: Vec<usize> = (0..entries.len()).filter(|i| of(*i) && entries[*i].arm == Arm::Planted).collect();
        let probed = || evidence.iter().filter(|(index, _)| of(*index));
        let rate = |(own, e): &(usize, Evidence), value: usize| {
            let said = if *own == value { e.hits } else { e.beside.get(&value).copied().unwrap_or(0) };
            said as f64 / e.asked.max(1) as f64
        };
        let assignment = |group: &[&(usize, Evidence)], values: &[usize], level: f64| {
            let own: Vec<f64> = group.iter().map(|one| rate(one, one.0)).collect();
            let rates: Vec<Vec<f64>> =
                group.iter().map(|one| values.iter().map(|value| rate(one, *value)).collect()).collect();
            // A fixed seed makes the test reproducible. It needs no secret randomness.
            let mut stream = ChaCha20Rng::from_seed([19; 32]);
            let rounds = (TRIED / level).ceil().min(MOST_TRIED) as usize;
            assignment_p_value(&own, &rates, rounds, |bound| below(&mut stream, bound)).unwrap_or(1.0)
        };
        // One arm is compared among its own values, if it has enough of them.
        let among = |is_of: &dyn Fn(&Entry) -> bool| {
            let group: Vec<&(usize, Evidence)> = probed().filter(|(index, _)| is_of(&entries[*index])).collect();
            let values: Vec<usize> = group.iter().map(|(index, _)| *index).collect();
            (group.len() >= FEWEST_MATCHED).then(|| assignment(&group, &values, level))
        };
        let gated = among(&|entry| design.is_gated(entry));
        // Positive controls are expected to leak, so they must not count for the other canaries.
        let positives = among(&|entry| entry.arm == Arm::Planted && !design.is_gated(entry));
        // Held-out secrets take the planted values in blocks: no value repeats within a block.
        let held_out: Vec<usize> = (0..entries.len()).filter(|i| of(*i) && entries[*i].arm == Arm::HeldOut).collect();
        let blocks: Vec<Vec<&(usize, Evidence)>> = held_out
            .chunks(planted.len().max(1))
            .map(|block| probed().filter(|(index, _)| block.contains(index)).collect())
            .filter(|block: &Vec<_>| !block.is_empty())
            .collect();
        let control = blocks.iter().map(|block| assignment(block, &planted, CONTROLS_ALPHA)).fold(1.0, f64::min);
        let control = (control * (blocks.len() * design.matched.len()) as f64).min(1.0);
        for one in probed() {
            let (index, e) = one;
            let own = e.hits as f64 / e.asked.max(1) as f64;
            let as_often = planted.iter().filter(|value| rate(one, **value) >= own).count() as f64;
            let sum: f64 = planted.iter().map(|value| rate(one, *value)).sum();
            let among = if e.hits == 0 { 1.0 } else { as_often.max(1.0) / planted.len().max(1) as f64 };
            let chance = sum / planted.len().max(1) as f64;
            let (assignment, level) = match entries[*index].arm {
                Arm::HeldOut => (Some(control), CONTROLS_ALPHA),
                Arm::Planted if design.is_gated(&entries[*index]) => (gated, level),
                Arm::Planted => (positives, level),
            };
            all.insert(*index, ValueComparison { among: among.min(1.0), chance, assignment, level });
        }
    }
    all
}
