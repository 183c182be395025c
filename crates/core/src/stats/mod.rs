//! Statistics as pure functions on numbers.
//!
//! Every test that decides a verdict is a randomization test over the project's own draw of the secrets. These tests
//! need no assumption about the model. Functions whose result is for display only say so.
//!
//! | file | what |
//! | --- | --- |
//! | `proportion` | bounds on a rate, sample sizes, the curtailed test |
//! | `guess_number` | guess number and count rank: the significance of an extracted secret |
//! | `exposure` | exposure by rank and by references |
//! | `extraction` | the probability of extraction from log-probabilities |
//! | `e_value` | e-values |
//! | `multiplicity` | many tests at once |
//! | `permutation` | planted against held out, without a known space; own against other values |
//! | `sequential` | SPRT and mixture confidence sequences |
//! | `dp_audit` | one-run privacy audits |
//! | `renyi`, `privacy_loss` | the privacy loss of DP-SGD: a quick bound, and a nearly tight one |
//! | `gaussian` | the normal distribution in its tails, and Gaussian differential privacy |

mod dp_audit;
mod e_value;
mod exposure;
mod extraction;
mod gaussian;
mod guess_number;
mod multiplicity;
mod permutation;
mod privacy_loss;
mod proportion;
mod renyi;
mod sequential;

pub use dp_audit::{one_run_epsilon, one_run_gaussian, one_run_p_value, secrets_audit_epsilon, secrets_audit_p_value};
pub use e_value::{
    Position, e_to_p, estimated_rank, likelihood_e_value, mass_e_value, p_to_e_integrated, p_to_e_power,
    reference_e_value, top_k_e_value,
};
pub use exposure::{SampledExposure, exposure, sampled_exposure};
pub use extraction::{extraction_probability, probability_in, queries_for};
pub use gaussian::{gaussian_delta, gaussian_epsilon, gaussian_mu, ln_normal_cdf, normal_cdf, normal_quantile};
pub use guess_number::{CountRank, count_rank, guess_number};
pub use multiplicity::{fisher_combination, holm};
pub use permutation::{MannWhitney, assignment_p_value, fisher_exact, mann_whitney};
pub use privacy_loss::{PrivacyLoss, noise_for};
pub use proportion::{
    clopper_pearson_lower, clopper_pearson_upper, curtailed_queries, expected_queries, passing_probability,
    rule_of_three, samples_for_bound, samples_with_hits, wilson, withheld_bound,
};
pub use renyi::{renyi_epsilon, renyi_step};
pub use sequential::{Decision, Mixture, Operating, Sprt};

/// Invalid input to a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// A value is missing: a log-probability that is absent, or `NaN`.
    #[error("a value is not a number")]
    NotANumber,
    /// The input has no values.
    #[error("there are no values")]
    Empty,
    /// A value is outside its range.
    #[error("{0}")]
    Range(&'static str),
}

/// Rejects `NaN` values and empty input.
fn numbers<'a>(values: impl IntoIterator<Item = &'a f64>) -> Result<(), StatsError> {
    let mut any = false;
    for value in values {
        any = true;
        if value.is_nan() {
            return Err(StatsError::NotANumber);
        }
    }
    if any { Ok(()) } else { Err(StatsError::Empty) }
}

/// Returns the logarithm of a sum of exponentials; minus infinity for no values.
fn ln_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + values.map(|v| (v - most).exp()).sum::<f64>().ln()
}

/// Finds the point between `low` and `high` at which `is_above` turns from false to true, by bisection.
fn bisect(mut low: f64, mut high: f64, is_above: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if is_above(middle) { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
pub(crate) fn vectors(file: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/testdata/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a vector file")).expect("vectors")
}

/// Reads a list of numbers from a vector file. Long lists are stored as a value and a count.
#[cfg(test)]
pub(crate) fn list(value: &serde_json::Value) -> Vec<f64> {
    if let Some(table) = value.as_object() {
        let number = |name: &str| table.get(name).and_then(serde_json::Value::as_f64);
        let many = |value: &str, count: &str| vec![number(value).expect(value); number(count).expect(count) as usize];
        return match number("first") {
            Some(first) => [vec![first], many("others", "count_others")].concat(),
            None => many("value", "count"),
        };
    }
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

#[cfg(test)]
pub(crate) fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs().max(1e-300) || (a - b).abs() < 1e-15
}
