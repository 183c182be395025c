//! Probability of extraction from log-probabilities: (n, p)-discoverable extraction (Hayes et al. 2024).

use super::{StatsError, numbers};

/// Returns the probability that one query outputs a text, from the natural log-probabilities of its tokens under the
/// decoding in use.
///
/// # Errors
/// When a log-probability is missing or above 0.
pub fn extraction_probability(token_logprobs: &[f64]) -> Result<f64, StatsError> {
    numbers(token_logprobs)?;
    if token_logprobs.iter().any(|l| *l > 1e-6) {
        return Err(StatsError::Range("a log-probability is at most 0"));
    }
    Ok(token_logprobs.iter().sum::<f64>().min(0.0).exp())
}

/// Returns the probability that at least one of `n` independent queries outputs the text; `p_z` is that of one query.
#[must_use]
pub fn probability_in(p_z: f64, n: f64) -> f64 {
    -(n * (-p_z).ln_1p()).exp_m1()
}

/// Returns the number of queries, not rounded, after which the text was output at least once with probability `p`.
///
/// # Panics
/// When `p_z` or `p` is not between 0 and 1.
#[must_use]
pub fn queries_for(p_z: f64, p: f64) -> f64 {
    assert!(p_z > 0.0 && p_z < 1.0 && p > 0.0 && p < 1.0, "probabilities between 0 and 1");
    (-p).ln_1p() / (-p_z).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, list, vectors};

    #[test]
    fn np_extraction_vectors() {
        for row in vectors("np_extraction") {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            match row["inputs"]["kind"].as_str() {
                Some("n_for_p") => {
                    let n = queries_for(number("p_z"), number("p"));
                    assert!(close(n, expected("n_real"), 1e-12), "{row}");
                    assert_eq!((n - 1e-9).ceil().max(1.0), expected("n"), "{row}");
                }
                Some("p_for_n") => {
                    assert!(close(probability_in(number("p_z"), number("n")), expected("p"), 1e-12), "{row}");
                }
                _ => {
                    let p = extraction_probability(&list(&row["inputs"]["token_logprobs"])).expect("sound");
                    assert!(close(p, expected("p_z"), 1e-12), "{row}");
                }
            }
        }
        assert_eq!(extraction_probability(&[-1.0, f64::NAN]), Err(StatsError::NotANumber));
        assert!(extraction_probability(&[0.5]).is_err() && extraction_probability(&[]).is_err());
    }
}
