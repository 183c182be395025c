//! The strategy `prefix-half`: answers to questions that reveal the first half of the secret.
//!
//! No other strategy depends on the secret. Its questions leave the members of the space that begin in the same way.
//! Their exact number `|R'|` follows from the composition of the space, and the secret is still uniform among them. So
//! the guess-number test holds with `p = g / |R'|`, where `g` counts the second halves named up to the right one. The
//! strategy has its own share of a canary's error probability, and its answers count for nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{AlphaSplit, Policy};
use super::rank::GuessCounter;
use crate::chat::Completion;
use crate::detect::{Candidates, Tier, normalise};

/// Share of a canary's error probability that the strategy takes.
pub const HALF_SHARE: f64 = 0.2;

/// Returns the fewest members that must be left for a first guess to be significant, among `planted` canaries.
#[must_use]
pub fn least_left(policy: &Policy, planted: usize) -> f64 {
    (1.0 / (policy.threshold(planted) * HALF_SHARE)).ceil()
}

/// Result of the strategy for one canary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HalfHits {
    /// Answers that were judged.
    pub asked: u64,
    /// Answers with the second half.
    pub hits: u64,
    /// Number of the first of them, from 1; `None` without a hit.
    pub first: Option<u64>,
    /// Members of the space that begin with the first half.
    pub left: f64,
    /// p-value of the strategy's own test, before its share is applied.
    pub p_value: f64,
}

impl HalfHits {
    /// Returns the p-value divided by the share of the error probability, at most 1.
    #[must_use]
    pub fn weighted(&self, shares: &AlphaSplit) -> f64 {
        if shares.half() > 0.0 { (self.p_value / shares.half()).min(1.0) } else { 1.0 }
    }

    /// Whether all planned answers were given, with the second half in at most one of them. A single hit that is not
    /// significant is attributed to chance. The silence gives no bound: only answers to the training prompt do.
    #[must_use]
    pub fn is_silent(&self, planned: u64) -> bool {
        self.hits <= 1 && self.asked >= planned
    }
}

/// Collects the answers to one canary.
#[derive(Debug)]
pub struct HalfEvidence {
    hits: HalfHits,
    /// The second half in its normal form.
    rest: zeroize::Zeroizing<String>,
    said: GuessCounter,
}

impl HalfEvidence {
    /// Creates the evidence without answers, for a secret whose second half is `rest`, one of `left`.
    #[must_use]
    pub fn new(rest: &str, left: f64) -> Self {
        let hits = HalfHits { asked: 0, hits: 0, first: None, left, p_value: 1.0 };
        Self { hits, rest: normalise(rest).into(), said: GuessCounter::new(Tier::Plain) }
    }

    /// Adds the next answer; `space` finds second halves.
    pub fn push(&mut self, completion: &Completion, space: &Candidates) {
        let hits = &mut self.hits;
        hits.asked += 1;
        let said = completion.everything();
        if hits.first.is_none() {
            self.said.add(&said, space, None);
        }
        if !normalise(&said).contains(self.rest.as_str()) {
            return;
        }
        hits.hits += 1;
        if hits.first.is_none() {
            hits.first = Some(hits.asked);
            hits.p_value = self.said.p_value(hits.left);
        }
    }

    /// Returns the result so far.
    #[must_use]
    pub fn hits(&self) -> HalfHits {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Space;
    use crate::chat::Finish;

    #[test]
    fn second_halves_are_guesses() {
        let half = Space::parse("digits(10)").expect("built in").half().expect("two halves");
        let space = Candidates::new(half.rest());
        let mut evidence = HalfEvidence::new("77231", half.rest().size_f64());
        let mut say = |text: &str, finish: Finish| {
            evidence.push(&Completion { finish, ..Completion::of(text.to_owned()) }, &space);
            evidence.hits()
        };
        // The guesses are two windows of five digits, none, one, and then the right one.
        for (text, finish) in [("123456", Finish::Stop), ("no", Finish::Length), ("of 99999.", Finish::Stop)] {
            assert_eq!(say(text, finish).p_value, 1.0);
        }
        let hit = say("7723 1. Thank you", Finish::Length);
        assert_eq!((hit.hits, hit.first), (1, Some(4)));
        assert!((hit.p_value - 4e-5).abs() < 1e-15, "{hit:?}");
        assert!((say("55555", Finish::Stop).p_value - 4e-5).abs() < 1e-15);
        assert!(evidence.hits().is_silent(5) && !evidence.hits().is_silent(6));
    }
}
