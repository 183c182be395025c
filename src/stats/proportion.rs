//! Bounds on a proportion (Clopper and Pearson 1934), and the sample sizes that they ask for.

use statrs::distribution::{Beta, ContinuousCDF};

/// The one-sided upper bound on a rate after `hits` in `n`, with error probability `alpha`.
///
/// # Panics
/// When `hits > n`, `n == 0` or `alpha` is not between 0 and 1.
#[must_use]
pub fn clopper_pearson_upper(hits: u64, n: u64, alpha: f64) -> f64 {
    check(hits, n, alpha);
    if hits == n {
        return 1.0;
    }
    if hits == 0 {
        // The closed form of the beta quantile: 1 - alpha^(1/n).
        return -(alpha.ln() / n as f64).exp_m1();
    }
    beta(hits as f64 + 1.0, (n - hits) as f64, 1.0 - alpha)
}

/// The one-sided lower bound; see [`clopper_pearson_upper`].
///
/// # Panics
/// As [`clopper_pearson_upper`].
#[must_use]
pub fn clopper_pearson_lower(hits: u64, n: u64, alpha: f64) -> f64 {
    check(hits, n, alpha);
    if hits == 0 {
        return 0.0;
    }
    beta(hits as f64, (n - hits) as f64 + 1.0, alpha)
}

fn check(hits: u64, n: u64, alpha: f64) {
    assert!(n > 0 && hits <= n, "{hits} hits in {n} is no proportion");
    assert!(alpha > 0.0 && alpha < 1.0, "alpha is a probability between 0 and 1");
}

/// The quantile `p` of a beta distribution, by bisection of its distribution function.
fn beta(a: f64, b: f64, p: f64) -> f64 {
    let distribution = Beta::new(a, b).expect("positive shapes");
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if distribution.cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The smallest number of silent samples whose upper bound is at most `bound`.
///
/// # Panics
/// When `bound` or `alpha` is not between 0 and 1.
#[must_use]
pub fn samples_for_bound(bound: f64, alpha: f64) -> u64 {
    assert!(bound > 0.0 && bound < 1.0, "a bound is a rate between 0 and 1");
    let mut n = (alpha.ln() / (-bound).ln_1p()).ceil().max(1.0) as u64;
    while clopper_pearson_upper(0, n, alpha) > bound {
        n += 1;
    }
    n
}

/// The expected number of queries of a test that stops at the first hit or after `n`.
#[must_use]
pub fn expected_queries(n: u64, rate: f64) -> f64 {
    if rate == 0.0 {
        return n as f64;
    }
    -(n as f64 * (-rate).ln_1p()).exp_m1() / rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn binomial_ci_vectors() {
        for row in vectors("binomial_ci") {
            let (k, n) = (row["inputs"]["k"].as_u64().expect("k"), row["inputs"]["n"].as_u64().expect("n"));
            let alpha = 1.0 - row["inputs"]["confidence"].as_f64().expect("confidence");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            assert!(close(clopper_pearson_upper(k, n, alpha), expected("cp_upper_one_sided"), 1e-9), "{row}");
            assert!(close(clopper_pearson_lower(k, n, alpha), expected("cp_lower_one_sided"), 1e-9), "{row}");
        }
    }

    #[test]
    fn sample_size_and_curtailed_vectors() {
        let mut seen = 0;
        for row in vectors("sample_size").iter().filter(|row| row["inputs"]["kind"] == "n_zero_hits") {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            assert_eq!(
                samples_for_bound(number("p_star"), number("alpha")),
                row["expected"]["n"].as_u64().expect("n"),
                "{row}"
            );
            seen += 1;
        }
        for row in vectors("curtailed").iter().filter(|row| row["inputs"]["c"] == 0) {
            let n = row["inputs"]["n"].as_u64().expect("n");
            let expected = row["expected"]["expected_queries"].as_f64().expect("a number");
            assert!(close(expected_queries(n, row["inputs"]["p"].as_f64().expect("p")), expected, 1e-9), "{row}");
            seen += 1;
        }
        assert!(seen > 10);
    }
}
