//! E-values: evidence whose mean is at most 1 when the model knows nothing. A value of `1/alpha` or more has
//! probability at most alpha (Ville, Markov).

use super::{StatsError, ln_sum_exp, numbers};

/// Returns `|R| Q(s*)`, with `Q` the model's likelihoods renormalized over all candidates. A `temper` above 1 flattens
/// the likelihoods and must be fixed beforehand.
///
/// # Errors
/// When a log-likelihood is missing or the secret is not among them.
pub fn likelihood_e_value(ln_likelihoods: &[f64], secret: usize, temper: f64) -> Result<f64, StatsError> {
    numbers(ln_likelihoods)?;
    if secret >= ln_likelihoods.len() || temper.is_nan() || temper <= 0.0 {
        return Err(StatsError::Range("the secret is among the candidates, and the temper above 0"));
    }
    let tempered = ln_likelihoods.iter().map(|l| l / temper);
    let share = ln_likelihoods[secret] / temper - ln_sum_exp(tempered);
    Ok(ln_likelihoods.len() as f64 * share.exp())
}

/// Returns the likelihood e-value from references of the same space that were not trained: at most their number plus
/// one.
///
/// # Errors
/// When a log-likelihood is missing or there are no references.
pub fn reference_e_value(secret: f64, references: &[f64]) -> Result<f64, StatsError> {
    numbers(references)?;
    numbers([&secret])?;
    let all = ln_sum_exp(references.iter().copied().chain([secret]));
    Ok((references.len() as f64 + 1.0) * (secret - all).exp())
}

/// Returns `|R| L(s*)`, with `L` the probability of outputting the secret.
///
/// Valid where no member of the space is a prefix of another: then the probabilities of all members sum up to at most
/// 1, so the mean is at most 1 without any reference.
///
/// # Errors
/// When the log-likelihood is missing or above 0.
pub fn mass_e_value(ln_likelihood: f64, size: f64) -> Result<f64, StatsError> {
    numbers([&ln_likelihood, &size])?;
    if ln_likelihood > 1e-6 {
        return Err(StatsError::Range("a log-probability is at most 0"));
    }
    Ok(size * ln_likelihood.min(0.0).exp())
}

/// Probabilities at one position of a secret, from a list of the most likely tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Number of tokens that the space allows here.
    pub allowed: usize,
    /// Probabilities of the allowed tokens that are listed.
    pub known: Vec<f64>,
    /// Probability of the secret's token; `None` if it is not listed.
    pub secret: Option<f64>,
    /// Smallest listed probability, of any token.
    pub least: f64,
    /// Probability of all tokens that are not listed.
    pub residual: f64,
}

/// Returns a lower bound of the likelihood e-value from lists of the most likely tokens. The bound is itself a valid
/// e-value.
///
/// # Errors
/// When a probability is missing.
pub fn top_k_e_value(positions: &[Position], size: f64) -> Result<f64, StatsError> {
    let mut e = size;
    for p in positions {
        numbers([&p.least, &p.residual, &size])?;
        if p.known.iter().chain(&p.secret).any(|x| x.is_nan()) {
            return Err(StatsError::NotANumber);
        }
        let missing = p.allowed.saturating_sub(p.known.len()) as f64;
        // An unlisted token has at most the smallest listed probability, and all of them share the residual.
        let all = p.known.iter().sum::<f64>() + (missing * p.least).min(p.residual);
        e *= p.secret.map_or(0.0, |secret| secret / all);
    }
    Ok(e)
}

/// Returns the e-value of a p-value: `kappa p^(kappa - 1)`, with `kappa` fixed beforehand.
#[must_use]
pub fn p_to_e_power(p: f64, kappa: f64) -> f64 {
    kappa * p.powf(kappa - 1.0)
}

/// Returns the e-value of a p-value, averaged over all `kappa`: `(1 - p + p ln p) / (p ln² p)`.
#[must_use]
pub fn p_to_e_integrated(p: f64) -> f64 {
    if p >= 1.0 {
        return 0.5;
    }
    let ln = p.ln();
    // Near p = 1 numerator and denominator cancel, so the series about 1 is used.
    if ln > -1e-4 {
        return 0.5 - ln / 6.0;
    }
    (1.0 - p + p * ln) / (p * ln * ln)
}

/// Returns the p-value of an e-value: `1/e`, at most 1.
#[must_use]
pub fn e_to_p(e: f64) -> f64 {
    if e <= 1.0 { 1.0 } else { 1.0 / e }
}

/// Estimates a secret's rank from candidates drawn from the model itself, with the normalized probability of each
/// (Dell'Amico and Filippone 2015). For display only.
///
/// # Errors
/// When a probability is missing, or there is none.
pub fn estimated_rank(sampled: &[f64], secret: f64) -> Result<f64, StatsError> {
    numbers(sampled)?;
    numbers([&secret])?;
    let better: f64 = sampled.iter().filter(|q| **q > secret).map(|q| 1.0 / q).sum();
    Ok(1.0 + better / sampled.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, list, vectors};

    #[test]
    fn softmax_vectors() {
        for row in vectors("softmax_evalue") {
            let i = &row["inputs"];
            let got = if i["kind"] == "full" {
                let secret = i["secret_index"].as_u64().expect("an index") as usize;
                likelihood_e_value(&list(&i["loglik"]), secret, i["temper"].as_f64().expect("a number"))
            } else {
                reference_e_value(i["secret_loglik"].as_f64().expect("a number"), &list(&i["ref_loglik"]))
            };
            let wanted = row["expected"]["e_value"].as_f64().expect("a number");
            assert!(close(got.expect("sound"), wanted, 1e-12), "{row}");
        }
        assert!(close(mass_e_value(0.001f64.ln(), 1e6).expect("sound"), 1000.0, 1e-12));
        assert!(mass_e_value(0.5, 1e6).is_err() && mass_e_value(f64::NAN, 1e6).is_err());
        assert_eq!(reference_e_value(f64::NAN, &[0.0]), Err(StatsError::NotANumber));
        assert_eq!(likelihood_e_value(&[0.0, f64::NAN], 0, 1.0), Err(StatsError::NotANumber));
        assert!(likelihood_e_value(&[0.0], 1, 1.0).is_err());
    }

    #[test]
    fn rank_and_top_k_vectors() {
        for row in vectors("rank_mc_and_topk_evalue") {
            let i = &row["inputs"];
            if i["kind"] == "mc_rank" {
                let all = list(&i["normalised_probs"]);
                let sampled: Vec<f64> = list(&i["sample_indices"]).into_iter().map(|at| all[at as usize]).collect();
                let rank = estimated_rank(&sampled, i["secret_prob"].as_f64().expect("p")).expect("sound");
                assert!(close(rank, row["expected"]["rank_estimate"].as_f64().expect("a rank"), 1e-12), "{row}");
                continue;
            }
            let positions: Vec<Position> = i["positions"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|p| {
                    let number = |name: &str| p[name].as_f64().expect("a number");
                    let known = p["known"].as_object().expect("probabilities");
                    Position {
                        allowed: p["allowed"].as_u64().expect("a number") as usize,
                        known: known.values().filter_map(serde_json::Value::as_f64).collect(),
                        secret: known.get(p["secret"].as_str().expect("a token")).and_then(serde_json::Value::as_f64),
                        least: number("min_top"),
                        residual: number("residual"),
                    }
                })
                .collect();
            let e = top_k_e_value(&positions, i["space"].as_f64().expect("a size")).expect("sound");
            assert!(close(e, row["expected"]["e_value_lower"].as_f64().expect("e"), 1e-12), "{e} {row}");
        }
    }

    #[test]
    fn p_to_e_vectors() {
        for row in vectors("p_to_e") {
            let p = row["inputs"]["p"].as_f64().expect("p");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            assert!(close(p_to_e_power(p, 0.5), expected("kappa_half"), 1e-12), "{row}");
            assert!(close(p_to_e_power(p, 0.1), expected("kappa_0_1"), 1e-12), "{row}");
            assert!(close(p_to_e_integrated(p), expected("integrated"), 1e-9), "{row}");
        }
        for row in vectors("e_values") {
            let e = list(&row["inputs"]["e"]);
            let mean = e.iter().sum::<f64>() / e.len() as f64;
            assert!(close(e_to_p(mean), row["expected"]["e_to_p_of_mean"].as_f64().expect("p"), 1e-12), "{row}");
        }
        assert!((p_to_e_integrated(1.0 - 1e-9) - 0.5).abs() < 1e-6);
    }
}
