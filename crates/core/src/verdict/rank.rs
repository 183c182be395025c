//! Counts the candidates that occurred before a secret: the g of the guess-number test.
//!
//! Both counters remember a limited number of names. Beyond that every candidate counts as a new one, which can only
//! raise the p-value.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::detect::Tier;
use crate::detect::approximate::{Approximate, STEPS};
use crate::detect::candidates::{Candidates, Found};
use crate::stats::guess_number;

/// Number of names, and of texts, that a [`GuessCounter`] remembers.
const REMEMBERED: usize = 1 << 16;
/// Number of names that a [`Pool`] remembers.
const POOLED: usize = 1 << 20;

/// Hashes a text, to tell texts apart.
#[must_use]
pub fn hash(text: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(text)
}

/// Counts the distinct candidates of a tier in the answers to one canary, up to and including its first hit.
#[derive(Debug)]
pub struct GuessCounter {
    tier: Tier,
    names: HashSet<u64>,
    /// Hashes of the answers. A repeated answer holds no new candidate.
    texts: HashSet<u64>,
    weight: f64,
    steps: u64,
}

impl GuessCounter {
    /// Creates an empty counter.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self { tier, names: HashSet::new(), texts: HashSet::new(), weight: 0.0, steps: STEPS }
    }

    /// Adds an answer; `near` is used by the approximate tier only.
    pub fn add(&mut self, text: &str, space: &Candidates, near: Option<&Approximate>) {
        let hash = hash(text);
        if self.texts.contains(&hash) {
            return;
        }
        if self.texts.len() < REMEMBERED {
            self.texts.insert(hash);
        }
        if self.tier == Tier::Approximate {
            // A member in two texts counts twice, which can only raise the p-value.
            let members = near.and_then(|near| near.members(space, text, &mut self.steps));
            self.weight += members.unwrap_or(f64::INFINITY);
            return;
        }
        let mut found = Found::new();
        if !space.collect_all(self.tier, text, &mut found) {
            // The part that was not searched may hold any number of candidates.
            self.weight = f64::INFINITY;
        }
        for (name, weight) in found {
            if self.names.contains(&name) {
                continue;
            }
            self.weight += weight;
            if self.names.len() < REMEMBERED {
                self.names.insert(name);
            }
        }
    }

    /// Returns the p-value of a secret in the last answer added, for a space of `size` members.
    #[must_use]
    pub fn p_value(&self, size: f64) -> f64 {
        guess_number(self.weight, size)
    }
}

/// Place in the pooled answers: sample number and canary. All first answers come first, then all second ones, and so
/// on, each in the order of the manifest.
pub type Place = (u64, usize);

/// Ranks secrets of one space in answers to other canaries among all candidates before them.
#[derive(Debug)]
pub struct Pool {
    tier: Tier,
    /// The canary of each secret, and the place where it first occurred.
    hits: Vec<(usize, Place)>,
    /// Place of the last hit. Later answers cannot matter.
    last: Place,
    /// Place of the first occurrence of each candidate, and its weight.
    first: HashMap<u64, (Place, f64)>,
    /// Weight of the candidates beyond the memory limit.
    forgotten: f64,
}

impl Pool {
    /// Prepares the ranking of `hits`, which must not be empty.
    #[must_use]
    pub fn new(tier: Tier, hits: Vec<(usize, Place)>) -> Self {
        let last = hits.iter().map(|(_, place)| *place).max().unwrap_or_default();
        Self { tier, hits, last, first: HashMap::new(), forgotten: 0.0 }
    }

    /// Whether an answer at a place can matter.
    #[must_use]
    pub fn reaches(&self, place: Place) -> bool {
        place <= self.last
    }

    /// Adds an answer, in any order.
    pub fn add(&mut self, place: Place, text: &str, space: &Candidates) {
        if !self.reaches(place) {
            return;
        }
        let mut found = Found::new();
        if !space.collect_all(self.tier, text, &mut found) {
            self.forgotten = f64::INFINITY;
        }
        for (name, weight) in found {
            if let Some(known) = self.first.get_mut(&name) {
                known.0 = known.0.min(place);
            } else if self.first.len() < POOLED {
                self.first.insert(name, (place, weight));
            } else {
                self.forgotten += weight;
            }
        }
    }

    /// Returns the p-value of each secret, for a space of `size` members.
    #[must_use]
    pub fn p_values(&self, size: f64) -> Vec<(usize, f64)> {
        let before = |at: Place| -> f64 { self.first.values().filter(|(p, _)| *p <= at).map(|(_, w)| w).sum() };
        self.hits.iter().map(|&(canary, at)| (canary, guess_number(self.forgotten + before(at), size))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Space;

    fn digits() -> Candidates {
        Candidates::new(&Space::parse("digits(8)").expect("built in"))
    }

    #[test]
    fn the_guess_number_counts_distinct_candidates_up_to_the_hit() {
        let mut tally = GuessCounter::new(Tier::Plain);
        for text in ["it is 10000001", "again 1000 0001", "or 123456789", "it is 48291377"] {
            tally.add(text, &digits(), None);
        }
        // The candidates are 10000001, 12345678, 23456789, and the secret.
        assert!((tally.p_value(1e8) - 4e-8).abs() < 1e-15, "{}", tally.p_value(1e8));
    }

    #[test]
    fn each_tier_counts_what_it_would_have_accepted() {
        let space = Space::parse("digits(8)").expect("built in");
        let near = Approximate::new(&space, "48291377", true, true);
        let p = |tier: Tier, text: &str| {
            let mut tally = GuessCounter::new(tier);
            tally.add(text, &digits(), Some(&near));
            tally.p_value(1e8) * 1e8
        };
        assert!((p(Tier::Plain, "48291377") - 1.0).abs() < 1e-6);
        // A number and its reverse are two candidates.
        assert!((p(Tier::Disguised, "48291377") - 2.0).abs() < 1e-6);
        // Hundreds of numbers share six of its digits in a row, or differ in one.
        let near = p(Tier::Approximate, "48291377");
        assert!((300.0..2000.0).contains(&near), "{near}");
    }

    #[test]
    fn an_answer_that_is_given_again_says_nothing_new() {
        let space = Space::parse("digits(8)").expect("built in");
        let near = Approximate::new(&space, "48291377", true, true);
        for tier in Tier::ALL {
            let p = |texts: &[&str]| {
                let mut tally = GuessCounter::new(tier);
                texts.iter().for_each(|text| tally.add(text, &digits(), Some(&near)));
                tally.p_value(1e8)
            };
            let once = p(&["no 10000001", "48291376"]);
            assert_eq!(once, p(&["no 10000001", "no 10000001", "no 10000001", "48291376"]), "{tier:?}");
            assert!(once > p(&["48291376"]), "{tier:?}");
        }
    }

    #[test]
    fn spraying_candidates_makes_no_leak() {
        // 200,000 digits hold nearly as many candidates, more than are remembered.
        let spray: String = (0..40_000u32).map(|i| format!("{:05}", i * 7919 % 100_000)).collect();
        let mut tally = GuessCounter::new(Tier::Plain);
        tally.add(&format!("{spray} 48291377"), &digits(), None);
        assert!(tally.p_value(1e8) > 1e-3, "{}", tally.p_value(1e8));
    }

    #[test]
    fn a_pool_ranks_by_place_and_not_by_arrival() {
        let mut pool = Pool::new(Tier::Plain, vec![(7, (2, 0)), (8, (1, 1))]);
        let texts = [((3, 0), "99999999"), ((2, 0), "48291377"), ((1, 1), "11112222"), ((1, 0), "10000001")];
        for (place, text) in texts {
            pool.add(place, text, &digits());
        }
        // This later repetition must not move the candidate's place.
        pool.add((2, 1), "10000001", &digits());
        assert_eq!(pool.p_values(1e8), [(7, 3e-8), (8, 2e-8)]);
        assert!(!pool.reaches((2, 1)));
    }
}
