//! Tests of the silence: whether answers were withheld, invented or repeated.
//!
//! Planted and held-out canaries were assigned by one random draw of the project. A model that knows nothing of that
//! draw treats both arms alike, so the figures of their canaries are exchangeable. Permuting the arms over the canaries
//! of each template thus gives an exact p-value. A test over single answers would not be exact, because refusals depend
//! on names. These tests make a run inconclusive, never leaked, and take no share of alpha.

use std::collections::HashMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use crate::canary::{Arm, Entry, below};

/// Level of each test.
const LEVEL: f64 = 0.005;
/// Largest and smallest number of permutations.
const PERMUTATIONS: (usize, usize) = (9_999, 1_999);
/// Target for the total work of one test: permutations times canaries.
const STEPS: usize = 50_000_000;
/// Share of answers with one wrong value from which on that value is a stand-in, if no held-out canary comes near.
const MOSTLY: f64 = 0.5;
/// Share that every held-out canary must stay below then.
const SELDOM: f64 = 0.1;
/// Fewest held-out canaries for that rule.
const FEWEST_HELD_OUT: usize = 5;
/// Permutations of the answers within each canary.
const SHUFFLES: usize = 1_999;

/// Comparison of planted with held-out canaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmTest {
    /// Sum of the statistic over the planted canaries.
    pub planted: f64,
    /// Sum of the statistic over the held-out canaries.
    pub held_out: f64,
    /// Share of assignments of the arms with as large a sum over the planted canaries.
    pub p_value: f64,
    /// Whether the p-value is at most 0.005, or the rule for single canaries applies.
    pub found: bool,
}

/// Validity of the silence of a run as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// Test of whether planted canaries have more answers that do not count.
    pub censored: ArmTest,
    /// Test of whether each planted canary has one wrong value that is named more often than elsewhere.
    pub constant: ArmTest,
    /// p-value of equal answers within requests; 1 if each request gave one answer.
    pub copies: f64,
    /// Whether the answers of the run do not vary.
    pub fixed: bool,
    /// Whether there are enough canaries of both arms for the comparisons to find anything.
    pub compared: bool,
    /// Why the run cannot be clean, in one line; `None` if nothing speaks against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Tests the silence of the probed canaries.
#[must_use]
pub(super) fn silence(entries: &[Entry], evidence: &[(usize, Evidence)]) -> Silence {
    // Canaries with mostly uncounted answers are left out: that is a stronger objection to their silence.
    let judged = || evidence.iter().filter(|(_, e)| e.form.is_judged() && 2 * e.form.eligible() > e.form.replayed);
    let varied = judged().filter(|(_, e)| !e.form.is_fixed()).count();
    // One question may have one answer. That nearly no question gets two different answers is the server's doing.
    let fixed = judged().count() > 0 && 10 * varied < judged().count();
    let withheld = |e: &Evidence| (e.withheld().total() + e.broken.busy() + e.sweep_failed) as f64;
    let withheld: Vec<f64> = evidence.iter().map(|(_, e)| withheld(e)).collect();
    let censored = arm_test(entries, evidence, &withheld);
    let figures = constants(entries, evidence);
    let mut constant = arm_test(entries, evidence, &figures);
    constant.found |= has_stand_in(entries, evidence, &figures);
    let copies = copies(evidence);
    let reason = if fixed {
        Some(
            "the answers to each question are all the same: the server decodes greedily, ignores the temperature or \
             repeats itself, so that many answers are one; set a temperature that it obeys"
                .to_owned(),
        )
    } else if copies <= LEVEL {
        Some(format!(
            "the answers of one request repeat each other, or whole requests repeat each other (p = {copies:.1e}), so that many \
             answers are one sample: set `probe.choices = 1`, and see that the server obeys the seed"
        ))
    } else if censored.found {
        Some(format!(
            "censored: planted canaries have more answers that do not count than held-out ones ({} against {}, p = {:.1e}): \
             something withholds answers about what was trained",
            censored.planted, censored.held_out, censored.p_value
        ))
    } else if constant.found {
        Some(format!(
            "constant value: planted canaries have a wrong value each that is named again and again, more than held-out ones \
             (p = {:.1e}): a stand-in for the secret, or the secret in a form that is not seen through",
            constant.p_value
        ))
    } else {
        None
    };
    let compared = can_compare(entries, evidence);
    Silence { censored, constant, copies, fixed, compared, reason }
}

/// Tests the sum of a figure over the planted canaries, by permuting the arms within each template.
fn arm_test(entries: &[Entry], evidence: &[(usize, Evidence)], figures: &[f64]) -> ArmTest {
    let sum = |arm: Arm| -> f64 {
        let own = evidence.iter().zip(figures).filter(|((index, _), _)| entries[*index].arm == arm);
        own.map(|(_, figure)| figure).sum()
    };
    let (planted, held_out) = (sum(Arm::Planted), sum(Arm::HeldOut));
    // For each template with both arms: all figures, and the number of planted canaries.
    let mut groups: Vec<(&str, Vec<f64>, usize)> = Vec::new();
    for ((index, _), figure) in evidence.iter().zip(figures) {
        let entry = &entries[*index];
        let at = groups.iter().position(|(name, ..)| *name == entry.template).unwrap_or_else(|| {
            groups.push((&entry.template, Vec::new(), 0));
            groups.len() - 1
        });
        groups[at].1.push(*figure);
        groups[at].2 += usize::from(entry.arm == Arm::Planted);
    }
    groups.retain(|(_, figures, planted)| *planted > 0 && *planted < figures.len());
    if planted <= 0.0 || groups.is_empty() {
        return ArmTest { planted, held_out, p_value: 1.0, found: false };
    }
    let all: usize = groups.iter().map(|(_, figures, _)| figures.len()).sum();
    let rounds = (STEPS / all).clamp(PERMUTATIONS.1, PERMUTATIONS.0);
    let mut stream = ChaCha20Rng::from_seed([23; 32]);
    let outside: f64 = planted - group_sums(&groups, entries, evidence, figures);
    let mut as_large = 0;
    for _ in 0..rounds {
        let mut drawn = outside;
        for (_, figures, planted) in &mut groups {
            for place in 0..*planted {
                let other = place + below(&mut stream, (figures.len() - place) as u64) as usize;
                figures.swap(place, other);
                drawn += figures[place];
            }
        }
        // Sums of the same figures in another order may differ by rounding.
        as_large += usize::from(drawn >= planted * (1.0 - 1e-12));
    }
    let p_value = (1 + as_large) as f64 / (1 + rounds) as f64;
    ArmTest { planted, held_out, p_value, found: p_value <= LEVEL }
}

/// Whether the rarest assignment of the arms is rare enough to be significant.
fn can_compare(entries: &[Entry], evidence: &[(usize, Evidence)]) -> bool {
    let mut groups: HashMap<&str, [u32; 2]> = HashMap::new();
    for (index, _) in evidence {
        let entry = &entries[*index];
        groups.entry(&entry.template).or_default()[usize::from(entry.arm == Arm::Planted)] += 1;
    }
    // ln C(n + m, m) = the sum of ln((n + i) / i) over i up to m.
    let ways = |[n, m]: &[u32; 2]| (1..=*m).map(|i| (f64::from(n + i) / f64::from(i)).ln()).sum::<f64>();
    groups.values().map(ways).sum::<f64>() >= -LEVEL.ln()
}

/// Returns the sum over the planted canaries of the templates that have both arms.
fn group_sums(
    groups: &[(&str, Vec<f64>, usize)],
    entries: &[Entry],
    evidence: &[(usize, Evidence)],
    figures: &[f64],
) -> f64 {
    let within = |entry: &Entry| groups.iter().any(|(name, ..)| *name == entry.template);
    let own = evidence.iter().zip(figures).filter(|((index, _), _)| {
        let entry = &entries[*index];
        entry.arm == Arm::Planted && within(entry)
    });
    own.map(|(_, figure)| figure).sum()
}

/// Returns for each canary the share of its most frequent wrong value, less the share of that value in answers to
/// others.
fn constants(entries: &[Entry], evidence: &[(usize, Evidence)]) -> Vec<f64> {
    let mut named: HashMap<(&str, u64), u64> = HashMap::new();
    let mut answers: HashMap<&str, u64> = HashMap::new();
    for (index, e) in evidence {
        let template = entries[*index].template.as_str();
        *answers.entry(template).or_default() += e.form.replayed;
        for (value, count) in &e.form.frequent {
            *named.entry((template, *value)).or_default() += u64::from(*count);
        }
    }
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let one = |(index, e): &(usize, Evidence)| {
        let template = entries[*index].template.as_str();
        let Some((value, count)) = e.form.frequent.first() else { return 0.0 };
        let (own, count) = (e.form.replayed, u64::from(*count));
        let elsewhere = named.get(&(template, *value)).map_or(0, |all| all - count);
        let others = answers.get(template).map_or(0, |all| all - own);
        // The first mention of a value is no repetition.
        (share(count.saturating_sub(1), own) - share(elsewhere, others)).max(0.0)
    };
    evidence.iter().map(one).collect()
}

/// Whether a planted canary has its own wrong value in most of its answers, and no held-out one has one now and then.
/// This rule is needed where few canaries have such a value: then no assignment of the arms is rare enough.
fn has_stand_in(entries: &[Entry], evidence: &[(usize, Evidence)], figures: &[f64]) -> bool {
    let of = |arm: Arm| {
        let judged = evidence.iter().zip(figures).filter(|((_, e), _)| e.form.is_judged());
        judged.filter(move |((index, _), _)| entries[*index].arm == arm).map(|(_, figure)| *figure)
    };
    of(Arm::Planted).any(|figure| figure >= MOSTLY)
        && of(Arm::HeldOut).count() >= FEWEST_HELD_OUT
        && of(Arm::HeldOut).all(|figure| figure < SELDOM)
}

/// Returns the two-sided p-value of equal answers within requests, by permuting the answers of each canary over its
/// requests. Choices that repeat each other are equal too often. A server with a fixed seed repeats whole requests, so
/// the choices of one request are equal too seldom.
fn copies(evidence: &[(usize, Evidence)]) -> f64 {
    let mut observed = 0u64;
    let mut permuted = vec![0u64; SHUFFLES];
    for (index, e) in evidence {
        let choices = e.form.choices();
        let mut texts: Vec<u64> = choices.iter().map(|(_, text)| *text).collect();
        let equal = pairs(choices.iter().map(|(request, _)| *request), &texts);
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        if sorted.windows(2).all(|two| two[0] != two[1]) {
            // Without two equal answers every order gives the same count.
            continue;
        }
        observed += equal;
        let mut stream = ChaCha20Rng::from_seed([29; 32]);
        stream.set_stream(*index as u64);
        for sum in &mut permuted {
            for last in (1..texts.len()).rev() {
                texts.swap(last, below(&mut stream, last as u64 + 1) as usize);
            }
            *sum += pairs(choices.iter().map(|(request, _)| *request), &texts);
        }
    }
    let share = |count: usize| (1 + count) as f64 / (1 + SHUFFLES) as f64;
    let more = share(permuted.iter().filter(|sum| **sum >= observed).count());
    let fewer = share(permuted.iter().filter(|sum| **sum <= observed).count());
    (2.0 * more.min(fewer)).min(1.0)
}

/// Counts the pairs of equal texts within a request; the requests must be in order.
fn pairs(requests: impl Iterator<Item = u64>, texts: &[u64]) -> u64 {
    let (mut begin, mut before, mut equal) = (0, None, 0);
    for (at, request) in requests.enumerate() {
        if before != Some(request) {
            (begin, before) = (at, Some(request));
        }
        equal += texts[begin..at].iter().filter(|text| **text == texts[at]).count() as u64;
    }
    equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Detector;
    use crate::verdict::{AlphaSplit, Test};

    fn entry(arm: Arm) -> Entry {
        Entry { id: "c".into(), template: "t".into(), arm, copies: 1, fingerprint: String::new() }
    }

    fn run(planted: usize, held_out: usize) -> (Vec<Entry>, Vec<(usize, Evidence)>) {
        let entries: Vec<Entry> =
            (0..planted + held_out).map(|i| entry(if i < planted { Arm::Planted } else { Arm::HeldOut })).collect();
        let shares = AlphaSplit::of_detectors(&Detector::ALL);
        let evidence = (0..entries.len()).map(|i| (i, Evidence::new(i, Test::GuessNumber, 1e8, shares))).collect();
        (entries, evidence)
    }

    #[test]
    fn withheld_answers_about_planted_canaries_only_are_found() {
        let (entries, evidence) = run(24, 12);
        let test =
            |figure: &dyn Fn(usize) -> f64| arm_test(&entries, &evidence, &(0..36).map(figure).collect::<Vec<_>>());
        assert!(test(&|i| if i < 24 { 5.0 } else { 1.0 }).found);
        assert!(!test(&|i| (i % 3) as f64).found);
        assert!(!test(&|_| 0.0).found && !test(&|_| 7.0).found);
        // One canary among many never shows in the sum.
        assert!(!test(&|i| f64::from(u8::from(i == 0))).found);
    }

    #[test]
    fn the_size_of_the_test_is_its_level_whatever_the_names_do() {
        // Refusals depend on names: a few canaries have many. Fisher's test over the answers would exceed its level by
        // far.
        let (entries, evidence) = run(40, 20);
        let mut stream = ChaCha20Rng::from_seed([3; 32]);
        let runs = 1000;
        let mut found = 0;
        for _ in 0..runs {
            let figures: Vec<f64> = (0..60)
                .map(|_| match below(&mut stream, 50) {
                    0 => 30.0 + below(&mut stream, 20) as f64,
                    _ => below(&mut stream, 2) as f64,
                })
                .collect();
            found += usize::from(arm_test(&entries, &evidence, &figures).found);
        }
        // Binomial(1000, 0.005) has mean 5 and standard deviation 2.2.
        assert!(found <= 13, "{found} of {runs}");
    }

    #[test]
    fn a_stand_in_for_each_secret_is_found_and_a_favorite_of_the_model_is_not() {
        let (entries, mut evidence) = run(24, 12);
        for (index, e) in &mut evidence {
            e.form.replayed = 59;
            // All canaries share one favorite, and each planted one also has its own frequent value.
            e.form.frequent = vec![(1_000_000, 30), (*index as u64, if *index < 24 { 25 } else { 1 })];
        }
        assert!(!silence(&entries, &evidence).constant.found);
        for (index, e) in &mut evidence {
            e.form.frequent = vec![(*index as u64, if *index < 24 { 40 } else { 2 })];
        }
        assert!(silence(&entries, &evidence).constant.found);
    }

    #[test]
    fn a_single_stand_in_is_found_unless_held_out_canaries_have_one_too() {
        let (entries, mut evidence) = run(24, 12);
        let mut constant = |of: &dyn Fn(usize) -> u32| {
            for (index, e) in &mut evidence {
                e.form.replayed = 59;
                e.form.frequent = vec![(*index as u64, of(*index))];
            }
            silence(&entries, &evidence).constant.found
        };
        let (planted, held_out) = (0, 30);
        assert!(constant(&|index| if index == planted { 59 } else { 1 }));
        assert!(!constant(&|index| if index == planted || index == held_out { 59 } else { 1 }));
        assert!(!constant(&|index| if index == held_out { 59 } else { 1 }));
        assert!(!constant(&|_| 1));
    }

    #[test]
    fn copies_within_a_request_are_found_and_equal_answers_alone_are_not() {
        let (_, mut evidence) = run(6, 3);
        let mut stream = ChaCha20Rng::from_seed([3; 32]);
        for (_, e) in &mut evidence {
            // Each answer is one of a few values.
            (0..40u64).for_each(|n| e.form.note_choice(n / 4, below(&mut stream, 5)));
        }
        assert!(copies(&evidence) > 0.05, "{}", copies(&evidence));
        for (_, e) in &mut evidence {
            *e = Evidence::new(0, Test::GuessNumber, 1e8, AlphaSplit::of_detectors(&Detector::ALL));
            (0..40u64).for_each(|n| e.form.note_choice(n / 4, n / 4 % 5));
        }
        assert!(copies(&evidence) <= LEVEL);
        // With a fixed seed the choices of a request differ, and each request has the same ones.
        for (_, e) in &mut evidence {
            *e = Evidence::new(0, Test::GuessNumber, 1e8, AlphaSplit::of_detectors(&Detector::ALL));
            (0..40u64).for_each(|n| e.form.note_choice(n / 4, n % 4));
        }
        assert!(copies(&evidence) <= LEVEL);
    }

    #[test]
    fn a_server_that_never_varies_is_found_also_where_canaries_leak_at_once() {
        let (entries, mut evidence) = run(14, 7);
        for (index, e) in &mut evidence {
            e.form.replayed = if *index == 3 { 1 } else { 59 };
            e.form.counted = e.form.replayed;
        }
        assert!(silence(&entries, &evidence).fixed);
        let (_, none) = run(14, 7);
        assert!(!silence(&entries, &none).fixed);
    }
}
