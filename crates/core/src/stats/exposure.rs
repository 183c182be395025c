//! Exposure: how high a model ranks the secret among all candidates, in bits (Carlini et al. 2019). Exposure is a
//! p-value in bits: `p = 2^-exposure`.

use super::{StatsError, numbers};

/// Returns the exposure in bits for an exact rank, from 1 for the most likely of `size` candidates.
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

/// Exposure among `m` references that were not in the training data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledExposure {
    /// References at least as likely as the secret, plus one. Ties count against the secret.
    pub rank: usize,
    /// `log2 m - log2 rank`, the usual form in bits. For display only.
    pub bits: f64,
    /// `rank / (m + 1)`, a valid p-value.
    pub p_value: f64,
    /// The p-value in bits.
    pub p_bits: f64,
}

/// Returns the exposure by comparison with references from the same space. A lower `score` is more likely, as for a
/// perplexity.
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
    fn what_is_missing_is_an_error_and_no_low_score() {
        assert_eq!(sampled_exposure(f64::NAN, &[1.0]), Err(StatsError::NotANumber));
        assert_eq!(sampled_exposure(1.0, &[1.0, f64::NAN]), Err(StatsError::NotANumber));
        assert_eq!(sampled_exposure(1.0, &[]), Err(StatsError::Empty));
        assert!(exposure(0.0, 10.0).is_err() && exposure(11.0, 10.0).is_err());
    }
}
