//! The probability of extraction from log-probabilities: (n, p)-discoverable extraction (Hayes et al. 2024).

use super::{StatsError, numbers};

/// The probability that one query says a text, from the log-probabilities of its tokens under the
/// decoding that is used.
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

/// The probability that `n` independent queries say it at least once.
#[must_use]
pub fn probability_in(p_z: f64, n: f64) -> f64 {
    -(n * (-p_z).ln_1p()).exp_m1()
}

/// Queries after which it was said with probability `p`, not rounded.
///
/// # Panics
/// When one of the two is not between 0 and 1.
#[must_use]
pub fn queries_for(p_z: f64, p: f64) -> f64 {
    assert!(p_z > 0.0 && p_z < 1.0 && p > 0.0 && p < 1.0, "probabilities between 0 and 1");
    (-p).ln_1p() / (-p_z).ln_1p()
}

/// The probabilities of the next token under a decoding: logits divided by the temperature, the `top_k`
/// most likely kept, then the smallest prefix of these with mass `top_p`, renormalised.
///
/// # Errors
/// When a logit is missing, or there is none.
pub fn sampling_probabilities(
    logits: &[f64],
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
) -> Result<Vec<f64>, StatsError> {
    numbers(logits)?;
    if temperature.is_nan() || temperature <= 0.0 {
        return Err(StatsError::Range("a temperature is above 0"));
    }
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    order.truncate(top_k.unwrap_or(logits.len()).max(1));
    let mut p = vec![0.0; logits.len()];
    for &i in &order {
        p[i] = ((logits[i] - most) / temperature).exp();
    }
    normalise(&mut p);
    if let Some(top_p) = top_p {
        let mut mass = 0.0;
        for &i in &order {
            if mass >= top_p {
                p[i] = 0.0;
            } else {
                mass += p[i];
            }
        }
        normalise(&mut p);
    }
    Ok(p)
}

fn normalise(p: &mut [f64]) {
    let sum: f64 = p.iter().sum();
    for x in p {
        *x /= sum;
    }
}

/// Bounds on the probability of a listed token at another temperature than 1, where only the `k` most
/// likely of `vocabulary` tokens are known: the unknown ones lie between evenly spread and as
/// concentrated as the least known one allows.
///
/// # Errors
/// When a value is missing, the target is not listed, or the list is as long as the vocabulary.
pub fn tempered_probability_bounds(
    top_logprobs: &[f64],
    vocabulary: usize,
    temperature: f64,
    target: usize,
) -> Result<(f64, f64), StatsError> {
    numbers(top_logprobs)?;
    let unseen = vocabulary.saturating_sub(top_logprobs.len()) as f64;
    let wrong = "the target is listed, the list shorter than the vocabulary, the temperature above 0";
    if target >= top_logprobs.len() || unseen == 0.0 || temperature.is_nan() || temperature <= 0.0 {
        return Err(StatsError::Range(wrong));
    }
    let p: Vec<f64> = top_logprobs.iter().map(|l| l.exp()).collect();
    let rest = (1.0 - p.iter().sum::<f64>()).max(0.0);
    let cap = p.iter().copied().fold(f64::INFINITY, f64::min);
    let power = 1.0 / temperature;
    let even = unseen * (rest / unseen).powf(power);
    let whole = (rest / cap).floor();
    let concentrated = whole * cap.powf(power) + (rest - whole * cap).max(0.0).powf(power);
    let known: f64 = p.iter().map(|p| p.powf(power)).sum();
    let with = |rest: f64| p[target].powf(power) / (known + rest);
    let (a, b) = (with(even), with(concentrated));
    Ok((a.min(b), a.max(b)))
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

    #[test]
    fn sampling_scheme_vectors() {
        for row in vectors("sampling_scheme") {
            let i = &row["inputs"];
            let temperature = i["temperature"].as_f64().expect("a number");
            if i["kind"] == "scheme" {
                let top_k = i["top_k"].as_u64().map(|k| k as usize);
                let got = sampling_probabilities(&list(&i["logits"]), temperature, top_k, i["top_p"].as_f64());
                for (got, wanted) in got.expect("sound").iter().zip(list(&row["expected"]["probs"])) {
                    assert!(close(*got, wanted, 1e-12), "{row}");
                }
                continue;
            }
            let (vocabulary, target) = (i["vocab"].as_u64().expect("V"), i["target_index"].as_u64().expect("index"));
            let (low, high) = tempered_probability_bounds(
                &list(&i["top_logprobs"]),
                vocabulary as usize,
                temperature,
                target as usize,
            )
            .expect("sound");
            assert!(close(low, row["expected"]["p_low"].as_f64().expect("p"), 1e-9), "{low} {row}");
            assert!(close(high, row["expected"]["p_high"].as_f64().expect("p"), 1e-9), "{high} {row}");
        }
    }
}
