//! The normal distribution, accurate far out in its tails, and Gaussian differential privacy.

use statrs::function::erf::{erfc, erfc_inv};

use super::bisect;

/// Returns the distribution function of the standard normal distribution.
#[must_use]
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// Returns the quantile of the standard normal distribution: the inverse of [`normal_cdf`].
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// Returns the logarithm of [`normal_cdf`]. Uses an asymptotic series at -30 and below, where the value underflows.
#[must_use]
pub fn ln_normal_cdf(x: f64) -> f64 {
    if x > -30.0 {
        return normal_cdf(x).ln();
    }
    let y = 1.0 / (x * x);
    let series = 1.0 - y * (1.0 - 3.0 * y * (1.0 - 5.0 * y * (1.0 - 7.0 * y)));
    -0.5 * x * x - (-x).ln() - 0.5 * std::f64::consts::TAU.ln() + series.ln()
}

/// Returns the smallest delta at which a mechanism with Gaussian trade-off `mu` is (epsilon, delta)-private (Balle and
/// Wang 2018; Dong, Roth and Su 2022, corollary 2.13).
#[must_use]
pub fn gaussian_delta(mu: f64, epsilon: f64) -> f64 {
    let upper = normal_cdf(mu / 2.0 - epsilon / mu);
    // The second term is computed in logarithms, because e^epsilon overflows where the other factor vanishes.
    (upper - (epsilon + ln_normal_cdf(-epsilon / mu - mu / 2.0)).exp()).max(0.0)
}

/// Returns the smallest epsilon for a given delta; see [`gaussian_delta`].
#[must_use]
pub fn gaussian_epsilon(mu: f64, delta: f64) -> f64 {
    if mu <= 0.0 || gaussian_delta(mu, 0.0) <= delta {
        return 0.0;
    }
    let mut high = 1.0;
    while gaussian_delta(mu, high) > delta {
        high *= 2.0;
    }
    bisect(0.0, high, |epsilon| gaussian_delta(mu, epsilon) <= delta)
}

/// Returns the largest `mu` that is (epsilon, delta)-private; see [`gaussian_delta`].
#[must_use]
pub fn gaussian_mu(epsilon: f64, delta: f64) -> f64 {
    let mut high = 1.0;
    while gaussian_delta(high, epsilon) < delta {
        high *= 2.0;
    }
    bisect(0.0, high, |mu| gaussian_delta(mu, epsilon) > delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn gaussian_dp_vectors() {
        for row in vectors("gaussian_dp") {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            let (got, wanted) = match row["inputs"]["kind"].as_str() {
                Some("eps") => (gaussian_epsilon(number("mu"), number("delta")), expected("eps")),
                Some("delta") => (gaussian_delta(number("mu"), number("eps")), expected("delta")),
                _ => (gaussian_mu(number("eps"), number("delta")), expected("mu")),
            };
            assert!((got - wanted).abs() < 1e-6 * wanted.abs().max(1e-9), "{got} {row}");
        }
    }

    #[test]
    fn the_tail_is_continued_without_a_step() {
        assert!(close(ln_normal_cdf(-30.000_001), normal_cdf(-30.000_001).ln(), 1e-9));
        assert!(close(normal_quantile(normal_cdf(-3.0)), -3.0, 1e-9));
    }
}
