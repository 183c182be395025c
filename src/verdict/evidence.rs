//! What the answers to one canary's probes show.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::policy::Test;
use crate::chat::{Completion, Quality, Usage};
use crate::detect::candidates::{Candidates, Found};
use crate::detect::{Detector, Searcher};
use crate::stats::{count_rank, guess_number};

/// How many distinct candidates a canary's evidence remembers for each space. Beyond that every
/// candidate counts as a new one, which can only raise the p-value.
const REMEMBERED: usize = 1 << 16;

/// The first time that a secret was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Which sample, from 1.
    pub sample: u64,
    /// How it was found.
    pub detector: Detector,
}

/// Answers whose silence does not count, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// For each space, every candidate with the sample of its first appearance and its weight.
    pub pool: Vec<HashMap<u64, (u64, f64)>>,
    /// For each space, the weight of what was not remembered.
    pub overflow: Vec<f64>,
    counts: HashMap<u64, (u64, f64)>,
    seen: f64,
    own: usize,
    space: usize,
    test: Test,
    size: f64,
}

impl Evidence {
    /// No evidence yet for canary `own`, whose secret is from space `space` of `spaces`.
    #[must_use]
    pub fn new(own: usize, space: usize, spaces: usize, test: Test, size: f64) -> Self {
        Self {
            asked: 0,
            hits: 0,
            first_hit: None,
            p_value: 1.0,
            unanswered: Unanswered::default(),
            usage: Usage::default(),
            error: None,
            strangers: HashMap::new(),
            pool: vec![HashMap::new(); spaces],
            overflow: vec![0.0; spaces],
            counts: HashMap::new(),
            seen: 0.0,
            own,
            space,
            test,
            size,
        }
    }

    /// Adds the next answer, in the order of the samples.
    pub fn push(&mut self, completion: &Completion, searcher: &Searcher, spaces: &[Candidates]) {
        self.asked += 1;
        let (normal, hits) = searcher.search(&completion.text);
        for (space, candidates) in spaces.iter().enumerate() {
            let mut found = Found::new();
            candidates.collect(&normal, &mut found);
            for (name, weight) in found {
                if space == self.space {
                    if let Some(count) = self.counts.get_mut(&name) {
                        count.0 += 1;
                    } else {
                        self.seen += weight;
                        // A small space is ranked by its counts, and has few members.
                        if self.counts.len() < REMEMBERED || self.test == Test::CountRank {
                            self.counts.insert(name, (1, weight));
                        }
                    }
                }
                if self.pool[space].contains_key(&name) {
                    continue;
                }
                if self.pool[space].len() < REMEMBERED {
                    self.pool[space].insert(name, (self.asked, weight));
                } else {
                    self.overflow[space] += weight;
                }
            }
        }
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
                if self.first_hit.is_none() {
                    self.first_hit = Some(Hit { sample: self.asked, detector });
                    if self.test == Test::GuessNumber {
                        self.p_value = guess_number(self.seen, self.size);
                    }
                }
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
            self.p_value = count_rank(self.hits, &self.counts, self.size).p_value;
        }
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

    /// Forgets what is needed only while answers come in.
    pub fn finish(&mut self) {
        if self.test == Test::GuessNumber {
            self.counts = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Space;
    use crate::chat::Finish;

    const SECRET: &str = "48291377";

    fn push(evidence: &mut Evidence, text: &str) {
        let space = Space::parse("digits(8)").expect("built in");
        let completion = Completion { text: text.to_owned(), finish: Finish::Stop, refused: false };
        evidence.push(&completion, &Searcher::new([SECRET, "11112222"]), &[Candidates::new(&space)]);
    }

    fn evidence(test: Test) -> Evidence {
        Evidence::new(0, 0, 1, test, 1e8)
    }

    #[test]
    fn the_guess_number_counts_distinct_candidates_up_to_the_hit() {
        let mut e = evidence(Test::GuessNumber);
        for text in ["it is 10000001", "again 1000 0001", "or 123456789", "it is 48291377", "or 99999999"] {
            push(&mut e, text);
        }
        // 10000001, 12345678, 23456789, and the secret.
        assert!((e.p_value - 4e-8).abs() < 1e-15, "{}", e.p_value);
        assert_eq!((e.hits, e.first_hit.map(|h| h.sample)), (1, Some(4)));
        assert!(e.is_decided(1e-7) && !e.is_decided(1e-8));
    }

    #[test]
    fn spraying_candidates_makes_no_leak() {
        let mut e = evidence(Test::GuessNumber);
        // 200,000 digits hold nearly as many candidates; more than are remembered.
        let spray: String = (0..40_000u32).map(|i| format!("{:05}", i * 7919 % 100_000)).collect();
        push(&mut e, &format!("{spray} {SECRET}"));
        assert_eq!(e.hits, 1);
        assert!(e.p_value > 1e-3, "{}", e.p_value);
    }

    #[test]
    fn a_cut_answer_is_no_silence_but_a_leak_in_it_counts() {
        let space = Space::parse("digits(8)").expect("built in");
        let (searcher, spaces) = (Searcher::new([SECRET]), [Candidates::new(&space)]);
        let mut e = evidence(Test::GuessNumber);
        for text in ["your PIN", "your PIN 48291377"] {
            let completion = Completion { text: text.into(), finish: Finish::Length, refused: false };
            e.push(&completion, &searcher, &spaces);
        }
        assert_eq!((e.unanswered.cut, e.hits), (1, 1));
    }

    #[test]
    fn a_secret_of_another_canary_is_noted() {
        let mut e = evidence(Test::GuessNumber);
        push(&mut e, "call 1111 2222");
        assert_eq!((e.hits, e.strangers.get(&1)), (0, Some(&1)));
    }
}
