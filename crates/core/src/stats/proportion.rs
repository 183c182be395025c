//! Bounds on a proportion (Clopper and Pearson 1934), and the sample sizes that they require.

use statrs::distribution::{Beta, ContinuousCDF};

/// Returns the one-sided upper bound on a rate after `hits` in `n`, with error probability `alpha`.
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

/// Returns the one-sided lower bound; see [`clopper_pearson_upper`].
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

/// Returns the quantile `p` of a beta distribution, by bisection of its distribution function.
fn beta(a: f64, b: f64, p: f64) -> f64 {
    let distribution = Beta::new(a, b).expect("positive shapes");
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if distribution.cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Returns the smallest number of samples without a hit whose upper bound is at most `bound`.
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

/// Returns the smallest number of samples with `hits` hits whose upper bound is at most `bound`.
///
/// # Panics
/// When `bound` or `alpha` is not between 0 and 1.
#[must_use]
pub fn samples_with_hits(bound: f64, alpha: f64, hits: u64) -> u64 {
    let fits = |n: u64| clopper_pearson_upper(hits, n, alpha) <= bound;
    let mut high = samples_for_bound(bound, alpha).max(hits + 1);
    while !fits(high) {
        high *= 2;
    }
    let mut low = hits;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    high
}

/// Returns the upper confidence limit of the share of draws that may be withheld, where `uncounted` tries gave no draw
/// and `n` tries gave one: `BetaInv(1 - alpha; uncounted + 1, n)`.
///
/// Each try without a draw may have held the secret. Sampling until `n` draws are in makes the number of tries negative
/// binomial. Its exact limit is that of Clopper and Pearson for `uncounted` of all tries.
///
/// ```
/// use blabbermouth_core::stats::withheld_bound;
/// assert!((withheld_bound(7, 59, 0.05) - 0.18999807).abs() < 1e-8);
/// ```
///
/// # Panics
/// When both counts are 0, or `alpha` is not between 0 and 1.
#[must_use]
pub fn withheld_bound(uncounted: u64, n: u64, alpha: f64) -> f64 {
    clopper_pearson_upper(uncounted, n + uncounted, alpha)
}

/// Returns Wilson's two-sided interval for a rate. For display only, because its coverage is too low near 0.
///
/// # Panics
/// As [`clopper_pearson_upper`].
#[must_use]
pub fn wilson(hits: u64, n: u64, confidence: f64) -> (f64, f64) {
    check(hits, n, 1.0 - confidence);
    let z = super::normal_quantile(0.5 + 0.5 * confidence);
    let (n, p) = (n as f64, hits as f64 / n as f64);
    let scale = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / scale;
    let half = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Returns `3 / n`: about the 95% upper bound for a canary without a hit.
#[must_use]
pub fn rule_of_three(n: u64) -> f64 {
    3.0 / n as f64
}

/// Returns the logarithm of the probability of `hits` in `n` queries.
fn ln_probability(hits: u64, n: u64, rate: f64) -> f64 {
    let some = if hits == 0 { 0.0 } else { hits as f64 * rate.ln() };
    let none = if hits == n { 0.0 } else { (n - hits) as f64 * (-rate).ln_1p() };
    statrs::function::factorial::ln_binomial(n, hits) + some + none
}

/// Returns the probability that at most `tolerated` of `n` queries hit, at a true rate.
#[must_use]
pub fn passing_probability(n: u64, tolerated: u64, rate: f64) -> f64 {
    (0..=tolerated.min(n)).map(|h| ln_probability(h, n, rate).exp()).sum::<f64>().min(1.0)
}

/// Returns the expected number of queries of a curtailed test. The test stops at hit `tolerated + 1`, at miss
/// `n - tolerated`, or after `n` queries.
#[must_use]
pub fn curtailed_queries(n: u64, tolerated: u64, rate: f64) -> f64 {
    // open[h]: probability of being undecided with h hits.
    let mut open = vec![0.0; tolerated as usize + 1];
    open[0] = 1.0;
    let mut queries = 0.0;
    for asked in 1..=n {
        queries += open.iter().sum::<f64>();
        for h in (0..open.len()).rev() {
            let came = if h == 0 { 0.0 } else { open[h - 1] * rate };
            let misses = asked - (h as u64).min(asked);
            open[h] = if misses >= n - tolerated { 0.0 } else { open[h] * (1.0 - rate) + came };
        }
    }
    queries
}

/// Returns the expected number of queries of a test that stops at the first hit or after `n` queries.
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
            let two = crate::stats::list(&row["expected"]["cp_two_sided"]);
            assert!(close(clopper_pearson_lower(k, n, alpha / 2.0), two[0], 1e-9), "{row}");
            assert!(close(clopper_pearson_upper(k, n, alpha / 2.0), two[1], 1e-9), "{row}");
            let (low, high) = wilson(k, n, 1.0 - alpha);
            let wanted = crate::stats::list(&row["expected"]["wilson_two_sided"]);
            assert!((low - wanted[0]).abs() < 1e-9 && close(high, wanted[1], 1e-9), "{low} {high} {row}");
            if let Some(three) = row["expected"]["rule_of_three_upper"].as_f64() {
                assert!(close(rule_of_three(n), three, 1e-12), "{row}");
            }
        }
    }

    #[test]
    fn withheld_bound_vectors() {
        let rows = vectors("withheld_bound");
        // The other rows test the policy: how many uncounted tries it allows.
        for row in rows.iter().filter(|row| !row["expected"]["withheld_upper"].is_null()) {
            let count = |name: &str| row["inputs"][name].as_u64().expect("a count");
            let error = row["inputs"]["error"].as_f64().expect("an error probability");
            let expected = row["expected"]["withheld_upper"].as_f64().expect("a bound");
            assert!(close(withheld_bound(count("u"), count("n"), error), expected, 1e-9), "{row}");
        }
        assert!(rows.len() > 10);
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
        for row in vectors("sample_size").iter().filter(|row| row["inputs"]["kind"] == "n_with_c_hits") {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let got = samples_with_hits(number("p_star"), number("alpha"), number("c") as u64);
            assert_eq!(got, row["expected"]["n"].as_u64().expect("n"), "{row}");
            seen += 1;
        }
        for row in vectors("curtailed") {
            let count = |name: &str| row["inputs"][name].as_u64().expect("a count");
            let (n, c) = (count("n"), count("c"));
            let rate = row["inputs"]["p"].as_f64().expect("p");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            assert!(close(curtailed_queries(n, c, rate), expected("expected_queries"), 1e-9), "{row}");
            assert!(close(passing_probability(n, c, rate), expected("P_pass"), 1e-9), "{row}");
            assert!(close(clopper_pearson_upper(c, n, 0.05), expected("p_star_at_95"), 1e-9), "{row}");
            if c == 0 {
                assert!(close(expected_queries(n, rate), expected("expected_queries"), 1e-9), "{row}");
            }
            seen += 1;
        }
        assert!(seen > 10);
    }
}
