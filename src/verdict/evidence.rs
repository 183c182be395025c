//! What the answers to one canary's probes show.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::policy::Test;
use crate::chat::{Completion, Quality, Usage};
use crate::detect::candidates::{Candidates, Found};
use crate::detect::{Detector, Searcher};
use crate::stats::{count_rank, guess_number};

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
                    let count = self.counts.entry(name).or_insert_with(|| {
                        self.seen += weight;
                        (0, weight)
                    });
                    count.0 += 1;
                }
                self.pool[space].entry(name).or_insert((self.asked, weight));
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
        self.counts.shrink_to_fit();
    }
}
