//! What the probability of the secret says: the strategy `score`.
//!
//! The secret and `m` references were drawn from the same space in the same way, and a model that learned nothing
//! cannot tell which of them is the secret. So with `k` references at least as likely as the secret
//!
//! ```text
//! p = (k + 1) / (m + 1)                      exposure by rank (Carlini et al. 2019), ties against the secret
//! p = 1 / (|R| L),                           the probability L of the secret itself, by Markov's inequality: the
//!                                            probabilities of all |R| members sum up to 1 at most
//! ```
//!
//! And the ranks of all secrets together, see `Exposure`. The second is for spaces in which no member begins another. It needs no reference, but a model that is sure. Each
//! has a share of a canary's error probability, fixed beforehand, which the tiers of detectors give up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{AlphaSplit, Policy};
use crate::stats::{StatsError, mass_e_value, queries_for, reference_e_value, sampled_exposure};

/// The share of a canary's error probability that scoring takes.
const SHARE: f64 = 0.5;
/// Of that, what the probability itself has where the rank decides too: it is either certain or nothing.
const MASS: f64 = 0.1;
/// And what the ranks of all secrets together have; more where one rank by itself decides nothing.
const GROUP: f64 = 0.1;
/// What these have then.
const GROUP_ALONE: f64 = 0.25;
/// The most references that are taken where nobody says how many.
const MOST: u64 = 4096;
/// So many where even the most could not decide: for display.
const DISPLAYED: u64 = 999;
/// How far probabilities may sum up beyond 1: servers calculate with few bits.
const ROUNDING: f64 = 1.1;

/// Where a secret may be scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredSpace {
    /// Its size.
    pub size: f64,
    /// Whether no member begins another.
    pub prefix_free: bool,
}

/// How secrets are scored, fixed before anything is asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScoringDesign {
    /// References for each canary.
    pub references: u64,
    /// So many would let the rank among them decide.
    pub needed: u64,
    /// The rank's share of a canary's error probability; 0 where it decides nothing.
    pub rank_share: f64,
    /// The share of the probability itself; 0 where it decides nothing.
    pub mass_share: f64,
    /// The share of the ranks of all planted secrets together.
    pub group_share: f64,
}

impl ScoringDesign {
    /// Works it out for a policy, `planted` canaries and the spaces of the templates; `wanted` references, or 0 for as
    /// many as decide, 4,096 at most.
    #[must_use]
    pub fn new(policy: &Policy, planted: usize, wanted: u64, spaces: &[ScoredSpace]) -> Self {
        let threshold = policy.threshold(planted);
        let decides = |share: f64, size: f64| size * threshold * share >= 1.0;
        let mass = spaces.iter().any(|s| s.prefix_free && decides(MASS, s.size));
        let share = if mass { SHARE - GROUP - MASS } else { SHARE - GROUP };
        let needed = (1.0 / (threshold * share) - 1.0).ceil() as u64;
        // What is drawn twice counts twice: in a space that is too small no rank is low enough.
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

/// What was scored of one canary; natural logarithms.
#[derive(Debug, Clone, Copy)]
pub struct Scores<'a> {
    /// Of the secret and of every reference, each value once, where the answer was begun up to the secret.
    pub candidates: &'a [f64],
    /// How often each was drawn as a reference.
    pub drawn: &'a [u64],
    /// Which of them is the secret.
    pub secret: usize,
    /// Of the trained answer up to and with the secret, after the training prompt; `None` where answers are decoded
    /// in another way than they are scored, at temperature 1 from all tokens.
    pub answer: Option<f64>,
}

/// The likelihood of one canary's secret.
///
/// Probabilities are rounded up to two digits: with all of them, and the model at hand, a value could be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Likelihood {
    /// References that it was compared with: the m.
    pub references: u64,
    /// Its rank among them, 1 for the most likely; ties count against it.
    pub rank: u64,
    /// `rank / (m + 1)`.
    pub p_value: f64,
    /// The same in bits.
    pub exposure: f64,
    /// The e-value of its likelihood among those of the references, at most m + 1.
    pub e_value: f64,
    /// By its probability alone, `1 / (|R| L)`; 1 where some member of the space begins another.
    pub mass_p_value: f64,
    /// The probability that the answer which was begun goes on with it.
    pub continued: f64,
    /// The probability that one query gives the trained answer up to and with it: the leak rate, or less than that,
    /// since it may be said in other words. `None` where answers are decoded in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_z: Option<f64>,
    /// Queries after which it was so given with probability 50%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_50: Option<f64>,
    /// The same with 90%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_90: Option<f64>,
}

impl Likelihood {
    /// Ranks a secret of a space.
    ///
    /// # Errors
    /// When a score is missing, or they are no probabilities.
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
        // The library ranks perplexities: lower is more likely.
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
            exposure: ranked.p_bits + 0.0,
            e_value: two_digits(e_value).min(references.len() as f64 + 1.0),
            mass_p_value: if mass > 1.0 { two_digits(1.0 / mass).min(1.0) } else { 1.0 },
            continued: two_digits(own.min(0.0).exp()).min(1.0),
            p_z,
            queries_50: queries(0.5),
            queries_90: queries(0.9),
        })
    }

    /// The p-value of both tests together: each over its share, at most 1.
    #[must_use]
    pub fn weighted(&self, shares: &AlphaSplit) -> f64 {
        let over = |p: f64, share: f64| if share > 0.0 { p / share } else { 1.0 };
        over(self.p_value, shares.rank()).min(over(self.mass_p_value, shares.mass())).min(1.0)
    }
}

/// Two significant digits, rounded up.
fn two_digits(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value.max(0.0);
    }
    let exponent = value.log10().floor() as i32 - 1;
    let digits = (value / 10f64.powi(exponent) - 1e-9).ceil();
    // By way of a text, so that 0.04 is told as that.
    format!("{digits}e{exponent}").parse().ok().filter(|rounded: &f64| rounded.is_finite()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: ScoredSpace = ScoredSpace { size: 1e9, prefix_free: true };

    #[test]
    fn the_references_are_as_many_as_decide_or_for_display() {
        // alpha' = 0.008 / 9 x 0.3.
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
        // Whatever may decide, all of it takes one half.
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
        // Itself, drawn once more, the two that are as likely, and the one that is more.
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
        // What a parrot says of every text.
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
