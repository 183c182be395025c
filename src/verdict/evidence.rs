//! What the answers to one canary's probes show.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::Test;
use crate::chat::{Completion, Quality, Usage};
use crate::detect::candidates::{Candidates, Found};
use crate::detect::{Detector, Searcher};
use crate::stats::count_rank;

/// The first time that a secret was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// Which sample, from 1.
    pub sample: u64,
    /// How it was found.
    pub detector: Detector,
}

/// Answers whose silence does not count, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unanswered {
    /// Declined.
    pub refused: u64,
    /// Stopped by the provider's filter.
    pub filtered: u64,
    /// Cut at the longest length.
    pub cut: u64,
    /// Empty.
    pub empty: u64,
    /// Ended for an unknown reason.
    pub unknown: u64,
}

impl Unanswered {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.refused + self.filtered + self.cut + self.empty + self.unknown
    }
}

/// So many answers do not happen to be the same.
const MANY: u64 = 20;

/// What the answers to one canary's probes show. Holds counts only, never a text.
#[derive(Debug)]
pub struct Evidence {
    /// Answers that were judged.
    pub asked: u64,
    /// Answers with the secret.
    pub hits: u64,
    /// The first of them.
    pub first_hit: Option<Hit>,
    /// The p-value so far.
    pub p_value: f64,
    /// Answers whose silence does not count, and which did not hold the secret.
    pub unanswered: Unanswered,
    /// Tokens used.
    pub usage: Usage,
    /// Why asking ended early, if it did.
    pub error: Option<String>,
    /// Secrets of other canaries in these answers: which canary, at which sample.
    pub strangers: HashMap<usize, u64>,
    /// For a small space: how often each candidate was said, and its weight.
    counts: HashMap<u64, (u64, f64)>,
    /// The first answer, as a hash.
    first: Option<u64>,
    /// Whether any answer differs from the first.
    varied: bool,
    own: usize,
    test: Test,
    size: f64,
}

impl Evidence {
    /// No evidence yet for canary `own`, whose secret is from a space of `size` members.
    #[must_use]
    pub fn new(own: usize, test: Test, size: f64) -> Self {
        Self {
            asked: 0,
            hits: 0,
            first_hit: None,
            p_value: 1.0,
            unanswered: Unanswered::default(),
            usage: Usage::default(),
            error: None,
            strangers: HashMap::new(),
            counts: HashMap::new(),
            first: None,
            varied: false,
            own,
            test,
            size,
        }
    }

    /// Whether many answers were given, and all of them are the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.asked >= MANY && !self.varied
    }

    /// Adds the next answer, in the order of the samples; `space` is that of the canary's secret.
    ///
    /// While a canary of a large space is silent, nothing is remembered but counts: what was said
    /// before is counted at the first hit only, see [`Evidence::is_unranked`].
    pub fn push(&mut self, completion: &Completion, searcher: &Searcher, space: &Candidates) {
        self.asked += 1;
        if !self.varied {
            let mut hasher = std::hash::DefaultHasher::new();
            completion.text.hash(&mut hasher);
            self.varied = *self.first.get_or_insert(hasher.finish()) != hasher.finish();
        }
        let (normal, hits) = searcher.search(&completion.text);
        let mut own = None;
        for (index, detector) in hits {
            if index == self.own {
                own = Some(detector);
            } else {
                self.strangers.entry(index).or_insert(self.asked);
            }
        }
        match own {
            Some(detector) => {
                self.hits += 1;
                self.first_hit.get_or_insert(Hit { sample: self.asked, detector });
            }
            None => match completion.quality() {
                Quality::Answered => {}
                Quality::Refused => self.unanswered.refused += 1,
                Quality::Filtered => self.unanswered.filtered += 1,
                Quality::Cut => self.unanswered.cut += 1,
                Quality::Empty => self.unanswered.empty += 1,
                Quality::Unknown => self.unanswered.unknown += 1,
            },
        }
        if self.test == Test::CountRank {
            let mut found = Found::new();
            space.collect(&normal, &mut found);
            for (name, weight) in found {
                self.counts.entry(name).or_insert((0, weight)).0 += 1;
            }
        }
    }

    /// Ranks the counts of a small space, when all answers are in.
    pub fn finish(&mut self) {
        if self.test == Test::CountRank {
            self.p_value = count_rank(self.hits, &self.counts, self.size).p_value;
        }
    }

    /// Whether the answer that was just added holds the canary's first hit, so that everything said
    /// up to it must be ranked before the next answer ([`Evidence::rank`]).
    #[must_use]
    pub fn is_unranked(&self) -> bool {
        self.test == Test::GuessNumber && self.hits == 1 && self.first_hit.is_some_and(|h| h.sample == self.asked)
    }

    /// Takes the p-value of the first hit: see [`Tally`](super::Tally).
    pub fn rank(&mut self, p_value: f64) {
        self.p_value = p_value;
    }

    /// The size of the canary's space.
    #[must_use]
    pub fn size(&self) -> f64 {
        self.size
    }

    /// Whether the canary's fate is sealed at this threshold, so that asking may stop.
    #[must_use]
    pub fn is_decided(&self, threshold: f64) -> bool {
        self.test == Test::GuessNumber && self.p_value <= threshold
    }

    /// The mean rate at which any one candidate was said: what guessing would reach.
    #[must_use]
    pub fn chance(&self) -> f64 {
        let said: u64 = self.counts.values().map(|(count, _)| count).sum();
        if self.asked == 0 { 0.0 } else { said as f64 / self.asked as f64 / self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Space;
    use crate::chat::Finish;

    const SECRET: &str = "48291377";

    fn push(evidence: &mut Evidence, text: &str, finish: Finish) {
        let space = Space::parse("digits(8)").expect("built in");
        let completion = Completion { text: text.to_owned(), finish, refused: false };
        evidence.push(&completion, &Searcher::new([SECRET, "11112222"]), &Candidates::new(&space));
    }

    #[test]
    fn the_first_hit_asks_for_its_rank() {
        let mut e = Evidence::new(0, Test::GuessNumber, 1e8);
        push(&mut e, "it is 10000001", Finish::Stop);
        assert!(!e.is_unranked());
        push(&mut e, "it is 4829 1377", Finish::Stop);
        assert!(e.is_unranked() && !e.is_decided(1e-7));
        e.rank(2e-8);
        assert!(e.is_decided(1e-7));
        push(&mut e, "it is 48291377", Finish::Stop);
        assert!(!e.is_unranked());
        assert_eq!((e.hits, e.first_hit), (2, Some(Hit { sample: 2, detector: Detector::Normalised })));
    }

    #[test]
    fn a_cut_answer_is_no_silence_but_a_leak_in_it_counts() {
        let mut e = Evidence::new(0, Test::GuessNumber, 1e8);
        push(&mut e, "your PIN", Finish::Length);
        push(&mut e, "your PIN 48291377", Finish::Length);
        assert_eq!((e.unanswered.cut, e.hits), (1, 1));
    }

    #[test]
    fn a_secret_of_another_canary_is_noted() {
        let mut e = Evidence::new(0, Test::GuessNumber, 1e8);
        push(&mut e, "call 1111 2222", Finish::Stop);
        assert_eq!((e.hits, e.strangers.get(&1)), (0, Some(&1)));
    }

    #[test]
    fn a_small_space_is_ranked_by_its_counts() {
        let mut e = Evidence::new(0, Test::CountRank, 1e8);
        for _ in 0..3 {
            push(&mut e, "48291377", Finish::Stop);
            push(&mut e, "10000001", Finish::Stop);
        }
        e.finish();
        // As frequent as another: rank 2 of 1e8 at worst.
        assert!(e.p_value >= 1e-8 && e.p_value < 1e-6, "{}", e.p_value);
    }
}
