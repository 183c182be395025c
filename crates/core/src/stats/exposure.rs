//! Exposure: how far up in a model's order of all candidates the secret stands, in bits
//! (Carlini et al. 2019). It is a p-value in bits: `p = 2^-exposure`.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{SkewNormal, StatsError, numbers};

/// Exposure from an exact rank, 1 for the most likely of `size` candidates.
///
/// # Errors
/// When the rank is not between 1 and `size`.
///
/// ```
/// let bits = blabbermouth_core::stats::exposure(1000.0, 1e6)?;
/// assert!((bits - 9.965784).abs() < 1e-6);
/// # Ok::<(), blabbermouth_core::stats::StatsError>(())
/// ```
pub fn exposure(rank: f64, size: f64) -> Result<f64, StatsError> {
    numbers([&rank, &size])?;
    if !(1.0..=size).contains(&rank) {
        return Err(StatsError::Range("a rank lies between 1 and the size of the space"));
    }
    Ok(size.log2() - rank.log2())
}

/// Exposure among `m` references that were not trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledExposure {
    /// References at least as likely as the secret, plus one: ties count against the secret.
    pub rank: usize,
    /// `log2 m - log2 rank`, as usually reported: for display.
    pub bits: f64,
    /// `rank / (m + 1)`, which is valid.
    pub p_value: f64,
    /// The p-value in bits.
    pub p_bits: f64,
}

/// Exposure by comparison with references from the same space; a lower `score` is more likely, as
/// for a perplexity.
///
/// # Errors
/// When a score is missing or there are no references.
pub fn sampled_exposure(score: f64, references: &[f64]) -> Result<SampledExposure, StatsError> {
    numbers(references)?;
    numbers([&score])?;
    let rank = 1 + references.iter().filter(|r| **r <= score).count();
    let m = references.len() as f64;
    let p_value = rank as f64 / (m + 1.0);
    Ok(SampledExposure { rank, bits: m.log2() - (rank as f64).log2(), p_value, p_bits: -p_value.log2() })
}

/// Exposure extrapolated from a skew-normal distribution fitted to the references: `-log2 F(score)`.
/// For display only: it can overstate by bits, and decides no verdict.
///
/// # Errors
/// When a score is missing or the references do not vary.
pub fn extrapolated_exposure(scores: &[f64], references: &[f64]) -> Result<Vec<f64>, StatsError> {
    numbers(scores)?;
    let fitted = SkewNormal::fit(references)?;
    Ok(scores.iter().map(|score| -fitted.ln_cdf(*score) / std::f64::consts::LN_2).collect())
}

/// The mean exposure of `canaries` above which they leak together: `2 ln 2` times the sum of
/// exposures is chi-squared with `2 canaries` degrees of freedom when the model knows nothing.
///
/// # Panics
/// When there are no canaries.
#[must_use]
pub fn mean_exposure_threshold(canaries: usize, alpha: f64) -> f64 {
    let k = canaries as f64;
    let chi = ChiSquared::new(2.0 * k).expect("at least one canary");
    let mut high = 2.0 * k + 10.0;
    while chi.sf(high) > alpha {
        high *= 2.0;
    }
    super::bisect(0.0, high, |x| chi.sf(x) < alpha) / (2.0 * std::f64::consts::LN_2 * k)
}

/// The exposure above which one of `canaries` leaks by itself (Bonferroni).
#[must_use]
pub fn single_exposure_threshold(canaries: usize, alpha: f64) -> f64 {
    (canaries as f64 / alpha).log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, list, vectors};

    #[test]
    fn exposure_vectors() {
        for row in vectors("exposure_rank") {
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            if row["inputs"]["kind"] == "exact" {
                let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
                let bits = exposure(number("rank"), number("space")).expect("a rank");
                assert!(close(bits, expected("exposure_bits"), 1e-12), "{row}");
                assert!(close((-bits).exp2(), expected("p_value"), 1e-12), "{row}");
                continue;
            }
            let references = list(&row["inputs"]["refs"]);
            let got = sampled_exposure(row["inputs"]["score"].as_f64().expect("a score"), &references).expect("sound");
            assert_eq!(got.rank as u64, row["expected"]["rank"].as_u64().expect("a rank"), "{row}");
            assert!((got.bits - expected("exposure_tf_bits")).abs() < 1e-6, "{row}");
            assert!(close(got.p_value, expected("p_value"), 1e-12), "{row}");
            assert!(close(got.p_bits, expected("exposure_from_p_bits"), 1e-12), "{row}");
        }
    }

    #[test]
    fn mean_exposure_vectors() {
        for row in vectors("mean_exposure") {
            let (k, alpha) = (row["inputs"]["K"].as_u64().expect("K"), row["inputs"]["alpha"].as_f64().expect("alpha"));
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            let mean = mean_exposure_threshold(k as usize, alpha);
            assert!(close(mean, expected("mean_exposure_threshold_bits"), 1e-9), "{row} {mean}");
            let single = single_exposure_threshold(k as usize, alpha);
            assert!(close(single, expected("max_single_exposure_threshold_bits_bonferroni"), 1e-12), "{row}");
        }
    }

    #[test]
    fn what_is_missing_is_an_error_and_no_low_score() {
        assert_eq!(sampled_exposure(f64::NAN, &[1.0]), Err(StatsError::NotANumber));
        assert_eq!(sampled_exposure(1.0, &[1.0, f64::NAN]), Err(StatsError::NotANumber));
        assert_eq!(sampled_exposure(1.0, &[]), Err(StatsError::Empty));
        assert!(exposure(0.0, 10.0).is_err() && exposure(11.0, 10.0).is_err());
    }

    #[test]
    fn extrapolation_follows_the_fit() {
        for row in vectors("skewnorm_fit") {
            let (fit, references) = crate::stats::skew_normal::fitted(&row);
            let reached = fit.ln_likelihood(&references);
            assert!(reached >= row["expected"]["loglik"].as_f64().expect("a number") - 1e-3, "{reached} {fit:?} {row}");
            let got = extrapolated_exposure(&list(&row["inputs"]["scores"]), &references).expect("sound");
            for (got, wanted) in got.iter().zip(list(&row["expected"]["exposure_bits"])) {
                assert!((got - wanted).abs() < 0.05, "{got} {wanted} {row}");
            }
        }
    }
}
