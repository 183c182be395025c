//! Discarded answers: those that ended early or could not be read, and were requested again.
//!
//! Discarded answers count for no test, because they make more tries than samples. But if they hold the secret, the
//! silence of the answers that replaced them does not count: a gateway that cuts off just those answers would hide
//! every leak. In a small space a secret occurs by chance too, so it must be in them more often than other values.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::policy::{Test, TestDesign};
use crate::canary::{Arm, Entry};
use crate::detect::candidates::{Candidates, Found};
use crate::detect::{Approximate, Searcher, Tier};
use crate::stats::{clopper_pearson_lower, count_rank};

/// Number of candidates that are remembered. Later ones are left out, which can only make the secret stand out.
const REMEMBERED: usize = 1 << 16;

/// Findings in discarded answers to one canary. Holds counts only, never a text.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct DiscardedEvidence {
    /// Replay answers requested in failed tries that may have withheld an answer.
    failed: u64,
    /// Replay answers requested in tries that failed because the server was busy.
    busy: u64,
    /// Discarded bodies that were searched.
    searched: u64,
    /// Bodies with the secret.
    whole: u64,
    /// Bodies with nearly the secret.
    near: u64,
    /// For a small space: number of bodies with each candidate, and its weight.
    counts: HashMap<u64, (u64, f64)>,
    /// For a small space: number of bodies with the secret of each canary.
    beside: HashMap<usize, u64>,
    /// Bodies with the second half, in answers to `prefix-half`.
    half: u64,
    /// Smallest p-value of these bodies.
    half_p: Option<f64>,
    /// Bodies that decode to more than is searched.
    unsearched: u64,
    /// Whether stored findings cannot be read any more.
    lost: bool,
}

impl std::fmt::Debug for DiscardedEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { searched, whole, near, half, .. } = self;
        let fields = (searched, whole, near, half);
        f.debug_tuple("DiscardedEvidence").field(&fields).finish()
    }
}

impl DiscardedEvidence {
    /// Returns the number of replay answers requested in failed tries that may have withheld one.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns the number of replay answers requested in tries that failed because the server was busy. They do not
    /// invalidate the silence, unless planted canaries have more of them.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.busy
    }

    /// Notes a failed try that requested `answers` replay answers; `withheld` if an answer may have been withheld.
    pub fn fail(&mut self, answers: u64, withheld: bool) {
        let count = if withheld { &mut self.failed } else { &mut self.busy };
        *count += answers;
    }

    /// Adds a discarded body, given the texts that can be read in it. Returns whether it holds, or may hold, the secret
    /// of `own`.
    pub fn add(
        &mut self,
        texts: &[String],
        (own, test): (usize, Test),
        searcher: &Searcher,
        near: Option<&Approximate>,
        space: &Candidates,
    ) -> bool {
        let (mut is_whole, mut is_near, mut is_part) = (false, false, false);
        let (mut said, mut others) = (Found::new(), HashSet::new());
        for text in texts {
            let searched = searcher.examine(text);
            is_part |= !searched.whole;
            for found in searched.matches {
                // In a small space only plain secrets count.
                if test == Test::GuessNumber || found.detector.tier() == Tier::Plain {
                    is_whole |= found.owner == own;
                    others.insert(found.owner);
                }
            }
            match test {
                Test::GuessNumber => is_near |= near.is_some_and(|near| near.search(text).is_some()),
                Test::CountRank => {
                    space.collect_all(Tier::Plain, text, &mut said);
                }
            }
        }
        self.searched += 1;
        self.whole += u64::from(is_whole);
        self.near += u64::from(is_near && !is_whole);
        if test == Test::CountRank {
            for (name, weight) in said {
                if self.counts.len() < REMEMBERED || self.counts.contains_key(&name) {
                    self.counts.entry(name).or_insert((0, weight)).0 += 1;
                }
            }
            for other in others {
                *self.beside.entry(other).or_default() += 1;
            }
        }
        // In a small space only plain secrets count, and the plain search always covers the whole text.
        let is_open = is_part && !is_whole && test == Test::GuessNumber;
        self.unsearched += u64::from(is_open);
        is_whole || is_near || is_open
    }

    /// Notes a body with the second half of the secret, in an answer to `prefix-half`; `p_value` is that of its test.
    pub fn reveal(&mut self, p_value: f64) {
        self.half += 1;
        self.half_p = Some(self.half_p.map_or(p_value, |known| known.min(p_value)));
    }

    /// Notes that stored findings cannot be read any more. The worst is then assumed.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// Returns why the silence of the answers does not count; `None` if it does.
    pub(super) fn told(
        &self,
        design: &TestDesign,
        entries: &[Entry],
        (own, test): (usize, Test),
        evidence: &Evidence,
    ) -> Option<String> {
        if self.lost {
            return Some("what was noted of answers that broke off is damaged: its secret may have been in one".into());
        }
        let (threshold, shares) = (design.threshold(), design.shares);
        // As with answers, a single body with nearly the secret, or with its second half, is attributed to chance.
        let is_near = self.near > 0 && self.near + evidence.tiers[Tier::Approximate as usize].hits > 1;
        let halves = self.half + evidence.half.map_or(0, |half| half.hits);
        let is_half = self.half > 0 && (halves > 1 || self.half_p.is_some_and(|p| p <= threshold * shares.half()));
        let is_whole = match test {
            Test::GuessNumber => self.whole > 0,
            Test::CountRank => {
                let p_value = count_rank(self.whole, &self.counts, evidence.size()).p_value;
                p_value <= threshold * shares.said()
                    && (!design.is_matched(&entries[own]) || self.stands_out(design, entries, own))
            }
        };
        let what = match (is_whole, is_near, is_half) {
            (true, ..) => format!("its secret was in {}", self.whole),
            (_, true, _) => format!("nearly its secret was in {}", self.near),
            (.., true) => format!("with half of its secret given away, the rest was in {}", self.half),
            _ if self.unsearched > 0 => format!("more than is searched was to be decoded in {}", self.unsearched),
            _ => return None,
        };
        Some(format!(
            "{what} of {} answers that broke off or could not be read: the silence of others does not count",
            self.searched
        ))
    }

    /// Whether a secret was in more bodies than planted ones are on average. A model that has learned which values
    /// occur outputs all of them.
    fn stands_out(&self, design: &TestDesign, entries: &[Entry], own: usize) -> bool {
        let is_value = |entry: &Entry| entry.template == entries[own].template && entry.arm == Arm::Planted;
        let values: Vec<usize> = (0..entries.len()).filter(|index| is_value(&entries[*index])).collect();
        let said: u64 = values.iter().filter_map(|value| self.beside.get(value)).sum();
        let chance = said as f64 / (self.searched.max(1) * values.len().max(1) as u64) as f64;
        clopper_pearson_lower(self.whole, self.searched.max(self.whole).max(1), design.threshold()) > chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Space;
    use crate::detect::Detector;
    use crate::verdict::{AlphaSplit, Policy};

    /// Adds each text as a body of its own. Returns why the silence does not count.
    fn told(space: &str, secrets: &[&str], matched: bool, said: &[&str]) -> Option<String> {
        let space = Space::parse(space).expect("built in");
        let sizes = [("t".to_owned(), space.size_f64())];
        let mut design = TestDesign::new(Policy::DEFAULT, 4, None, &sizes, AlphaSplit::of_detectors(&Detector::ALL))
            .expect("a sound design");
        if matched {
            design.matched.push("t".into());
            design.tests[0].0 = Test::CountRank;
        }
        let entry = |index: usize| Entry {
            id: format!("c{index:04}"),
            template: "t".into(),
            arm: Arm::Planted,
            copies: 1,
            fingerprint: String::new(),
        };
        let entries: Vec<Entry> = (0..secrets.len()).map(entry).collect();
        let (test, size) = design.tests[0];
        let near = Approximate::new(&space, secrets[0], true, true);
        let (searcher, space) = (Searcher::new(secrets.iter().copied()), Candidates::new(&space));
        let mut parts = DiscardedEvidence::default();
        for text in said {
            parts.add(&[(*text).to_owned()], (0, test), &searcher, Some(&near), &space);
        }
        let parts = serde_json::from_str::<DiscardedEvidence>(&serde_json::to_string(&parts).expect("JSON"))
            .expect("read again");
        assert!(!format!("{parts:?}").contains("4829"));
        parts.told(&design, &entries, (0, test), &Evidence::new(0, test, size, design.shares))
    }

    #[test]
    fn a_secret_that_was_thrown_away_is_told_of() {
        let large = |said: &[&str]| told("digits(8)", &["48291377"], false, said);
        assert_eq!(large(&["it is 10000001", "that is"]), None);
        let once = large(&["it is 10000001", "it is 4829-1377, a"]).expect("the secret");
        assert!(once.starts_with("its secret was in 1 of 2 answers"), "{once}");
        assert!(large(&["in base64: NDgyOTEzNzc="]).is_some());
        // Nearly the secret is chance once, but not twice.
        assert_eq!(large(&["it is 4829 1376"]), None);
        assert!(large(&["it is 4829 1376", "it is 4829 1376"]).is_some_and(|why| why.starts_with("nearly")));
    }

    #[test]
    fn in_a_small_space_it_has_to_stand_out() {
        let small = |said: &[&str]| told("digits(4)", &["4829"], false, said);
        // The secret is as frequent as other values, which is chance.
        let babble: Vec<String> = (0..90).map(|n| format!("PIN {}", 1000 + 37 * n)).collect();
        let mut said: Vec<&str> = babble.iter().map(String::as_str).collect();
        said.push("PIN 4829");
        assert_eq!(small(&said), None);
        said.push("your PIN is 4829");
        assert!(small(&said).is_some_and(|why| why.starts_with("its secret was in 2 of 92")));
        assert!(small(&["PIN 4829"]).is_some());
        // In a small space a disguised secret does not count.
        assert_eq!(small(&["PIN 9284"]), None);
    }

    #[test]
    fn a_model_that_knows_which_values_occur_says_all_of_them() {
        let values = ["4829", "1111", "2222", "3333"];
        let matched = |said: &[&str]| told("digits(4)", &values, true, said);
        assert_eq!(matched(&["4829", "1111", "2222", "3333", "4829"]), None);
        assert!(matched(&["4829"; 9]).is_some());
    }

    #[test]
    fn what_is_lost_is_taken_for_the_worst() {
        let design = TestDesign::new(Policy::DEFAULT, 4, None, &[("t".into(), 1e8)], AlphaSplit::of_detectors(&[]))
            .expect("sound");
        let evidence = Evidence::new(0, Test::GuessNumber, 1e8, design.shares);
        let told = |parts: &DiscardedEvidence| parts.told(&design, &[], (0, Test::GuessNumber), &evidence);
        let mut parts = DiscardedEvidence::default();
        assert_eq!(told(&parts), None);
        parts.lose();
        assert!(told(&parts).is_some_and(|why| why.contains("damaged")));
        let mut parts = DiscardedEvidence::default();
        parts.reveal(0.5);
        assert_eq!(told(&parts), None);
        parts.reveal(1.0);
        assert!(told(&parts).is_some_and(|why| why.starts_with("with half")));
    }
}
