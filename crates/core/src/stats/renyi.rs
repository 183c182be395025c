//! Rényi differential privacy of DP-SGD: a quick upper bound, about 7 to 35 percent above the true epsilon.

use statrs::function::gamma::ln_gamma;

use super::{StatsError, ln_sum_exp};

/// Returns the Rényi divergence of one step of DP-SGD at an order above 1.
///
/// `rate` is the Poisson sampling rate and `noise` the noise multiplier: noise over clipping norm. At integer orders
/// the closed form of Mironov, Talwar and Zhang (2019, "Rényi differential privacy of the sampled Gaussian mechanism")
/// is used, between them quadrature.
///
/// ```
/// let step = blabbermouth_core::stats::renyi_step(0.01, 1.0, 2.0)?;
/// assert!((step - 1.718134e-4).abs() < 1e-9);
/// # Ok::<(), blabbermouth_core::stats::StatsError>(())
/// ```
///
/// # Errors
/// When the rate is outside of 0 to 1, the noise outside of 0.01 to a million, or the order not above 1 or above a
/// million.
pub fn renyi_step(rate: f64, noise: f64, order: f64) -> Result<f64, StatsError> {
    check(rate, noise)?;
    if order.is_nan() || order <= 1.0 || order > 1e6 {
        return Err(StatsError::Range("an order lies above 1 and up to a million"));
    }
    if rate == 0.0 {
        return Ok(0.0);
    }
    let variance = noise * noise;
    if rate == 1.0 {
        return Ok(order / (2.0 * variance));
    }
    let ln_moment = if order.fract() == 0.0 {
        let terms = (0..=order as u64).map(|k| {
            let k = k as f64;
            let ways = ln_gamma(order + 1.0) - ln_gamma(k + 1.0) - ln_gamma(order - k + 1.0);
            ways + (order - k) * (-rate).ln_1p() + k * rate.ln() + (k * k - k) / (2.0 * variance)
        });
        ln_sum_exp(terms)
    } else {
        // The integrand is a mixture of bells of width `noise` centered between 0 and the order, so the trapezoid rule
        // converges exponentially.
        let step = noise / 24.0;
        let points = ((order + 28.0 * noise) / step) as u64;
        let terms = (0..=points).map(|index| {
            let z = index as f64 * step - 14.0 * noise;
            let exponent = (2.0 * z - 1.0) / (2.0 * variance);
            let ratio = ln_sum_exp([(-rate).ln_1p(), rate.ln() + exponent].into_iter());
            order * ratio - z * z / (2.0 * variance)
        });
        ln_sum_exp(terms) + step.ln() - (std::f64::consts::TAU.sqrt() * noise).ln()
    };
    Ok((ln_moment / (order - 1.0)).max(0.0))
}

/// Returns an upper bound on the epsilon of DP-SGD by Rényi divergences, and the order that gave it.
///
/// The orders are 2 to 64, 128, 256 and 512; with `fractional` also 1.1 to 10.9 in tenths. The conversion is
/// proposition 12 of Canonne, Kamath and Steinke (2020).
///
/// # Errors
/// As [`renyi_step`], and when delta is not between 0 and 1.
pub fn renyi_epsilon(
    rate: f64,
    noise: f64,
    steps: u64,
    delta: f64,
    fractional: bool,
) -> Result<(f64, f64), StatsError> {
    if delta.is_nan() || delta <= 0.0 || delta >= 1.0 {
        return Err(StatsError::Range("delta lies between 0 and 1"));
    }
    let whole = (2..=64).chain([128, 256, 512]).map(f64::from);
    let tenths = (11..110).filter(|tenth| fractional && tenth % 10 != 0).map(|tenth| f64::from(tenth) / 10.0);
    let mut best = (f64::INFINITY, 2.0);
    for order in whole.chain(tenths) {
        let divergence = steps as f64 * renyi_step(rate, noise, order)?;
        let epsilon = divergence + ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0);
        if epsilon < best.0 {
            best = (epsilon, order);
        }
    }
    Ok((best.0.max(0.0), best.1))
}

/// Checks the sampling rate and the noise multiplier of DP-SGD.
pub(super) fn check(rate: f64, noise: f64) -> Result<(), StatsError> {
    if rate.is_nan() || noise.is_nan() {
        return Err(StatsError::NotANumber);
    }
    if !(0.0..=1.0).contains(&rate) {
        return Err(StatsError::Range("a sampling rate lies from 0 to 1"));
    }
    if !(0.01..=1e6).contains(&noise) {
        return Err(StatsError::Range("a noise multiplier lies from 0.01 to a million"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn step_vectors() {
        for row in vectors("rdp_sgm_orders") {
            let input = |name: &str| row["inputs"][name].as_f64().expect(name);
            let (q, s, order) = (input("q"), input("sigma"), input("order"));
            let expected = row["expected"]["rdp_per_step"].as_f64().expect("a number");
            let found = renyi_step(q, s, order).expect("sound");
            assert!(close(found, expected, 1e-7), "{row}: {found}");
            // Just beside an integer order the quadrature must agree with the closed form.
            if order < 64.0 && q < 1.0 {
                let beside = renyi_step(q, s, order + 1e-9).expect("sound");
                assert!(close(beside, expected, 1e-6), "{row}: {beside}");
            }
        }
    }

    #[test]
    fn epsilon_vectors() {
        for row in vectors("dp_sgd_epsilon") {
            let input = |name: &str| row["inputs"][name].as_f64().expect(name);
            let (q, s, steps, delta) = (input("q"), input("sigma"), input("steps") as u64, input("delta"));
            let expected = |name: &str| row["expected"][name].as_f64().expect(name);
            let (epsilon, order) = renyi_epsilon(q, s, steps, delta, false).expect("sound");
            assert!(close(epsilon, expected("eps_rdp_integer_orders"), 1e-7), "{row}: {epsilon}");
            assert_eq!(order, expected("best_integer_order"));
            let (epsilon, _) = renyi_epsilon(q, s, steps, delta, true).expect("sound");
            assert!(close(epsilon, expected("eps_rdp_opacus_1_6_0"), 1e-3), "{row}: {epsilon}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (rate, noise, order) in [(-0.1, 1.0, 2.0), (0.1, 0.0, 2.0), (0.1, 1.0, 1.0), (f64::NAN, 1.0, 2.0)] {
            assert!(renyi_step(rate, noise, order).is_err());
        }
        assert!(renyi_epsilon(0.1, 1.0, 10, 0.0, false).is_err());
        assert_eq!(renyi_step(0.0, 1.0, 2.0), Ok(0.0));
    }
}
