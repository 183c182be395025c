//! The strategy `score`: the likelihood of the secret.
//!
//! The secret and `m` references were drawn from the same space in the same way, and a model that learned nothing
//! cannot tell which of them is the secret. So with `k` references at least as likely as the secret:
//!
//! ```text
//! p = (k + 1) / (m + 1)                      exposure by rank (Carlini et al. 2019), ties against the secret
//! p = 1 / (|R| L),                           the probability L of the secret itself, by Markov's inequality: the
//!                                            probabilities of all |R| members sum up to 1 at most
//! ```
//!
//! The second test is for spaces in which no member is a prefix of another. It needs no reference, but a high
//! probability. The ranks of all secrets are also tested together; see `Exposure`. Each test has a share of a canary's
//! error probability, fixed beforehand, which is taken from the tiers of detectors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{AlphaSplit, Policy};
use crate::stats::{StatsError, mass_e_value, queries_for, reference_e_value, sampled_exposure};

/// Share of a canary's error probability that scoring takes.
const SHARE: f64 = 0.5;
/// Part of `SHARE` for the mass test, where the rank decides too. Its p-value is mostly either tiny or 1.
const MASS: f64 = 0.1;
/// Part of `SHARE` for the ranks of all secrets together, where the rank decides too.
const GROUP: f64 = 0.1;
/// Part of `SHARE` for the ranks of all secrets together, where only the mass test decides too.
const GROUP_ALONE: f64 = 0.25;
/// Most references taken where the number is not set.
const MOST: u64 = 4096;
/// References taken for display where even the most could not decide.
const DISPLAYED: u64 = 999;
/// Largest allowed sum of probabilities. It exceeds 1 because servers compute with low precision.
const ROUNDING: f64 = 1.1;

/// Space of a secret, as far as scoring depends on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredSpace {
    /// Number of members.
    pub size: f64,
    /// Whether no member is a prefix of another.
    pub prefix_free: bool,
}

/// Design of scoring, fixed before anything is asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoringDesign {
    /// Number of references for each canary.
    pub references: u64,
    /// Number of references that would let the rank decide.
    pub needed: u64,
    /// The rank's share of a canary's error probability; 0 if the rank decides nothing.
    pub rank_share: f64,
    /// The mass test's share of a canary's error probability; 0 if it decides nothing.
    pub mass_share: f64,
    /// Share of the test on the ranks of all planted secrets together.
    pub group_share: f64,
}

impl ScoringDesign {
    /// Computes the design for a policy, `planted` canaries and the spaces of the templates. `wanted` is the number of
    /// references. If it is 0, as many are taken as the rank needs to decide, up to 4,096, else 999 for display.
    #[must_use]
    pub fn new(policy: &Policy, planted: usize, wanted: u64, spaces: &[ScoredSpace]) -> Self {
        let threshold = policy.threshold(planted);
        let decides = |share: f64, size: f64| size * threshold * share >= 1.0;
        let mass = spaces.iter().any(|s| s.prefix_free && decides(MASS, s.size));
        let share = if mass { SHARE - GROUP - MASS } else { SHARE - GROUP };
        let needed = (1.0 / (threshold * share) - 1.0).ceil() as u64;
        // A value drawn twice counts twice, so in a space that is too small no rank is low enough.
        let rank = spaces.iter().any(|s| decides(share, s.size));
        let references = match wanted {
            0 if rank && needed <= MOST => needed,
            0 => DISPLAYED,
            wanted => wanted,
        };
        let rank = rank && references >= needed;
        let (rank_share, mass_share, group_share) = match (rank, mass) {
            (true, true) => (share, MASS, GROUP),
            (true, false) => (share, 0.0, GROUP),
            (false, true) => (0.0, SHARE - GROUP_ALONE, GROUP_ALONE),
            (false, false) => (0.0, 0.0, SHARE),
        };
        Self { references, needed, rank_share, mass_share, group_share }
    }
}

/// Scores of one canary, as natural logarithms.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Log-probabilities of the secret and of every reference, each value once, given the answer begun up to the
    /// secret.
    pub candidates: &'a [f64],
    /// Number of times each candidate was drawn as a reference.
    pub drawn: &'a [u64],
    /// Index of the secret among the candidates.
    pub secret: usize,
    /// Log-probability of the trained answer up to and including the secret, given the training prompt. `None` if
    /// answers are not decoded as they are scored: at temperature 1 from all tokens.
    pub answer: Option<f64>,
}

/// Likelihood of one canary's secret.
///
/// Probabilities are rounded up to two digits. With all digits and the model, a value could be recognized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Likelihood {
    /// Number of references: m.
    pub references: u64,
    /// Rank of the secret among them, 1 for the most likely. Ties count against it.
    pub rank: u64,
    /// `rank / (m + 1)`.
    pub p_value: f64,
    /// Exposure: the p-value in bits.
    pub exposure: f64,
    /// e-value of its likelihood among those of the references, at most m + 1.
    pub e_value: f64,
    /// p-value by its probability alone, `1 / (|R| L)`; 1 where some member of the space is a prefix of another.
    pub mass_p_value: f64,
    /// Probability that the answer begun up to the secret goes on with it.
    pub continued: f64,
    /// Probability that one query gives the trained answer up to and including the secret. The leak rate is at least
    /// that, since other wordings may leak it too. `None` if answers are decoded in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_z: Option<f64>,
    /// Queries after which the secret was given in this way with probability 50%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_50: Option<f64>,
    /// Queries after which the secret was given in this way with probability 90%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_90: Option<f64>,
}

impl Likelihood {
    /// Ranks the secret of a canary.
    ///
    /// # Errors
    /// When a score is missing, or the scores are no probabilities.
    pub fn new(scores: Scores<'_>, space: ScoredSpace) -> Result<Self, StatsError> {
        let Scores { candidates, drawn, secret, answer } = scores;
        let all = || candidates.iter().chain(&answer);
        if all().any(|ln| ln.is_nan()) || candidates.len() != drawn.len() {
            return Err(StatsError::NotANumber);
        }
        let own = *candidates.get(secret).ok_or(StatsError::Empty)?;
        if all().any(|ln| *ln > 0.01) {
            return Err(StatsError::Range("a log-probability is at most 0"));
        }
        if space.prefix_free && candidates.iter().map(|ln| ln.exp()).sum::<f64>() > ROUNDING {
            return Err(StatsError::Range(
                "the scores of a few values sum up to more than 1: they are no probabilities",
            ));
        }
        let times = |(ln, times): (&f64, &u64)| std::iter::repeat_n(*ln, *times as usize);
        let references: Vec<f64> = candidates.iter().zip(drawn).flat_map(times).collect();
        // `sampled_exposure` takes a lower score as more likely.
        let ranked = sampled_exposure(-own, &references.iter().map(|ln| -ln).collect::<Vec<_>>())?;
        let e_value = if own == f64::NEG_INFINITY { 0.0 } else { reference_e_value(own, &references)? };
        let mass = if space.prefix_free { mass_e_value(own.min(0.0), space.size)? } else { 0.0 };
        let p_z = answer.map(|ln| two_digits(ln.min(0.0).exp()).min(1.0));
        let queries = |p: f64| match p_z {
            Some(p_z) if p_z > 0.0 && p_z < 1.0 => Some(two_digits(queries_for(p_z, p).max(1.0))),
            Some(p_z) if p_z > 0.0 => Some(1.0),
            _ => None,
        };
        Ok(Self {
            references: references.len() as u64,
            rank: ranked.rank as u64,
            p_value: ranked.p_value,
            // Adding 0 turns -0.0 into 0.0.
            exposure: ranked.p_bits + 0.0,
            e_value: two_digits(e_value).min(references.len() as f64 + 1.0),
            mass_p_value: if mass > 1.0 { two_digits(1.0 / mass).min(1.0) } else { 1.0 },
            continued: two_digits(own.min(0.0).exp()).min(1.0),
            p_z,
            queries_50: queries(0.5),
            queries_90: queries(0.9),
        })
    }

    /// Returns the p-value of both tests together: the smaller one after each is divided by its share, at most 1.
    #[must_use]
    pub fn weighted(&self, shares: &AlphaSplit) -> f64 {
        let over = |p: f64, share: f64| if share > 0.0 { p / share } else { 1.0 };
        over(self.p_value, shares.rank()).min(over(self.mass_p_value, shares.mass())).min(1.0)
    }
}

/// Rounds up to two significant digits.
fn two_digits(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value.max(0.0);
    }
    let exponent = value.log10().floor() as i32 - 1;
    let digits = (value / 10f64.powi(exponent) - 1e-9).ceil();
    // Parsing the text gives the nearest number to the digits, so that 0.04 prints as 0.04.
    format!("{digits}e{exponent}").parse().ok().filter(|rounded: &f64| rounded.is_finite()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: ScoredSpace = ScoredSpace { size: 1e9, prefix_free: true };

    #[test]
    fn the_references_are_as_many_as_decide_or_for_display() {
        // The threshold is 0.008 / 9 x 0.3.
        let design = ScoringDesign::new(&Policy::DEFAULT, 9, 0, &[LARGE]);
        assert_eq!((design.references, design.needed), (3749, 3749));
        assert!((design.rank_share - 0.3).abs() < 1e-12 && (design.mass_share - 0.1).abs() < 1e-12);
        let many = ScoringDesign::new(&Policy::DEFAULT, 60, 0, &[LARGE]);
        assert_eq!((many.references, many.needed), (999, 24_999));
        assert_eq!((many.rank_share, many.mass_share), (0.0, 0.25));
        let all = ScoringDesign::new(&Policy::DEFAULT, 60, 24_999, &[LARGE]);
        assert!(all.rank_share > 0.0);
        let loose = ScoringDesign::new(&Policy::DEFAULT, 9, 0, &[ScoredSpace { prefix_free: false, ..LARGE }]);
        assert_eq!((loose.references, loose.rank_share, loose.mass_share), (2812, 0.4, 0.0));
        // In a space of a hundred no rank is low enough, whatever the references.
        let small = ScoringDesign::new(&Policy::DEFAULT, 9, 5000, &[ScoredSpace { size: 100.0, ..LARGE }]);
        assert_eq!((small.rank_share, small.mass_share, small.group_share), (0.0, 0.0, 0.5));
        // The shares always sum up to one half.
        for d in [design, many, all, loose, small] {
            assert!((d.rank_share + d.mass_share + d.group_share - 0.5).abs() < 1e-12, "{d:?}");
        }
    }

    #[test]
    fn a_secret_is_ranked_with_ties_against_it() {
        let of = |candidates: &[f64], drawn: &[u64], answer| {
            Likelihood::new(Scores { candidates, drawn, secret: 1, answer }, LARGE)
        };
        let found = of(&[-9.0, -4.0, -4.0, -2.0], &[3, 1, 2, 1], Some(0.0123f64.ln())).expect("sound");
        // References at least as likely: the secret's own draw, two equal ones, and one more likely.
        assert_eq!((found.references, found.rank), (7, 5));
        assert!((found.p_value - 5.0 / 8.0).abs() < 1e-12 && (found.exposure + 0.625f64.log2()).abs() < 1e-12);
        assert!((found.p_z.expect("given") - 0.013).abs() < 1e-12, "{found:?}");
        assert_eq!((found.queries_50, found.queries_90), (Some(53.0), Some(180.0)));
        // 1 / (1e9 x e^-4), rounded up.
        assert!((found.mass_p_value - 5.5e-8).abs() < 1e-15, "{found:?}");
        let shares = AlphaSplit::of_detectors(&[]).with_scoring(&ScoringDesign::new(&Policy::DEFAULT, 9, 0, &[LARGE]));
        assert!((found.weighted(&shares) - 5.5e-7).abs() < 1e-14);
        let never = of(&[-9.0, f64::NEG_INFINITY], &[1, 0], None).expect("sound");
        assert_eq!((never.rank, never.e_value, never.p_z), (2, 0.0, None));
    }

    #[test]
    fn what_is_missing_or_no_probability_is_a_fault() {
        let of =
            |candidates: &[f64]| Likelihood::new(Scores { candidates, drawn: &[0, 1], secret: 0, answer: None }, LARGE);
        assert_eq!(of(&[f64::NAN, -1.0]), Err(StatsError::NotANumber));
        assert_eq!(of(&[-1.0]), Err(StatsError::NotANumber));
        assert!(matches!(of(&[0.5, -1.0]), Err(StatsError::Range(_))));
        // A server that rates every text near 1 returns no probabilities.
        assert!(matches!(of(&[-0.01, -0.01]), Err(StatsError::Range(_))));
    }

    #[test]
    fn numbers_are_rounded_up_to_two_digits() {
        for (value, wanted) in [(0.0121, 0.013), (0.012, 0.012), (0.996, 1.0), (1234.0, 1300.0), (0.0, 0.0)] {
            assert!((two_digits(value) - wanted).abs() <= 1e-9 * wanted, "{value}");
        }
        assert!(two_digits(5e-324) > 0.0);
    }
}
