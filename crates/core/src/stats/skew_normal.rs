//! The skew-normal distribution (Azzalini 1985), fitted by maximum likelihood.

use super::{StatsError, ln_normal_cdf, ln_sum_exp, numbers};

/// Density `2/w φ(z) Φ(a z)` with `z = (x - location) / w`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkewNormal {
    /// The shape `a`; 0 for a normal distribution.
    pub shape: f64,
    /// The location.
    pub location: f64,
    /// The scale `w`, above 0.
    pub scale: f64,
}

const LN_ROOT_TAU: f64 = 0.918_938_533_204_672_8;

impl SkewNormal {
    fn ln_standard_density(self, z: f64) -> f64 {
        std::f64::consts::LN_2 - 0.5 * z * z - LN_ROOT_TAU + ln_normal_cdf(self.shape * z)
    }

    /// The logarithm of the distribution function. The density is integrated, so that the left tail
    /// does not cancel: a double-exponential rule over the distance from `x`.
    #[must_use]
    pub fn ln_cdf(self, x: f64) -> f64 {
        const STEP: f64 = 1.0 / 32.0;
        const PANELS: i32 = 400;
        let z = (x - self.location) / self.scale;
        if z > 0.0 {
            // No tail: Simpson's rule from the location on. Beyond 9 scales nothing is left.
            let end = z.min(9.0);
            let at = |i: i32| self.ln_standard_density(end * f64::from(i) / f64::from(PANELS)).exp();
            let weight = |i: i32| if i == 0 || i == PANELS { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
            let right: f64 = (0..=PANELS).map(|i| weight(i) * at(i)).sum::<f64>() * end / f64::from(3 * PANELS);
            return (self.ln_cdf(self.location).exp() + right).ln().min(0.0);
        }
        let half_pi = std::f64::consts::FRAC_PI_2;
        let terms = (-160..=160).map(|i| {
            let t = f64::from(i) * STEP;
            let ln_u = half_pi * t.sinh();
            let ln_weight = (STEP * half_pi * t.cosh()).ln() + ln_u;
            self.ln_standard_density(z - ln_u.exp()) + ln_weight
        });
        ln_sum_exp(terms.filter(|term| term.is_finite())).min(0.0)
    }

    /// The sum of log-densities.
    #[must_use]
    pub fn ln_likelihood(self, values: &[f64]) -> f64 {
        values.iter().map(|x| self.ln_standard_density((x - self.location) / self.scale) - self.scale.ln()).sum()
    }

    /// The value below which the share `p` lies.
    #[must_use]
    pub fn quantile(self, p: f64) -> f64 {
        let reach = 40.0 * self.scale;
        let (mut low, mut high) = (self.location - reach, self.location + reach);
        let mut x = self.location;
        for _ in 0..200 {
            let excess = self.ln_cdf(x) - p.ln();
            if excess > 0.0 {
                high = x
            } else {
                low = x
            }
            // Newton's step on the logarithm, or half the interval where it leads outside.
            let z = (x - self.location) / self.scale;
            let slope = (self.ln_standard_density(z) - self.ln_cdf(x)).exp() / self.scale;
            let next = x - excess / slope;
            let next = if next > low && next < high { next } else { 0.5 * (low + high) };
            if (next - x).abs() <= 1e-14 * reach {
                break;
            }
            x = next;
        }
        x
    }

    /// The distribution of greatest likelihood, found by the simplex of Nelder and Mead from several shapes.
    ///
    /// # Errors
    /// When a value is missing, or all are the same.
    pub fn fit(values: &[f64]) -> Result<Self, StatsError> {
        numbers(values)?;
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        if deviation.is_nan() || deviation <= 0.0 || !deviation.is_finite() {
            return Err(StatsError::Range("the references do not vary"));
        }
        let of = |p: &[f64; 3]| Self { shape: p[0], location: p[1], scale: p[2].exp() };
        let loss = |p: &[f64; 3]| {
            let value = -of(p).ln_likelihood(values);
            if value.is_nan() { f64::INFINITY } else { value }
        };
        let starts = [-4.0, -1.0, 0.5, 1.0, 4.0].map(|shape: f64| {
            let delta = shape / shape.hypot(1.0);
            let spread = (1.0 - 2.0 * delta * delta / std::f64::consts::PI).sqrt();
            let scale = deviation / spread;
            let start = [shape, mean - scale * delta * (2.0 / std::f64::consts::PI).sqrt(), scale.ln()];
            let steps = [1.0, 0.3 * deviation, 0.3];
            // Once more from where it stopped: a simplex may collapse early.
            nelder_mead(nelder_mead(start, steps, loss), steps, loss)
        });
        let best = starts.into_iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).expect("several starts");
        Ok(of(&best))
    }
}

/// A minimum of `loss` near `start`.
fn nelder_mead(start: [f64; 3], steps: [f64; 3], loss: impl Fn(&[f64; 3]) -> f64) -> [f64; 3] {
    let mut simplex: Vec<([f64; 3], f64)> = (0..4)
        .map(|corner| {
            let mut point = start;
            if corner > 0 {
                point[corner - 1] += steps[corner - 1];
            }
            (point, loss(&point))
        })
        .collect();
    for _ in 0..2000 {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        if simplex[3].1 - simplex[0].1 < 1e-10 {
            break;
        }
        let worst = simplex[3];
        let along = |factor: f64| {
            let mut point = [0.0; 3];
            for (i, x) in point.iter_mut().enumerate() {
                let centre = simplex[..3].iter().map(|(p, _)| p[i]).sum::<f64>() / 3.0;
                *x = centre + factor * (worst.0[i] - centre);
            }
            (point, loss(&point))
        };
        let reflected = along(-1.0);
        let next = if reflected.1 < simplex[0].1 {
            let expanded = along(-2.0);
            if expanded.1 < reflected.1 { expanded } else { reflected }
        } else if reflected.1 < simplex[2].1 {
            reflected
        } else {
            along(if reflected.1 < worst.1 { -0.5 } else { 0.5 })
        };
        if next.1 < worst.1 {
            simplex[3] = next;
            continue;
        }
        let best = simplex[0].0;
        for (point, value) in &mut simplex[1..] {
            for (x, b) in point.iter_mut().zip(best) {
                *x = b + 0.5 * (*x - b);
            }
            *value = loss(point);
        }
    }
    simplex[0].0
}

/// The fit to the sample of a vector, and that sample.
#[cfg(test)]
pub(crate) fn fitted(row: &serde_json::Value) -> (SkewNormal, Vec<f64>) {
    let of = &row["inputs"]["quantile_sample_of"];
    let number = |name: &str| of[name].as_f64().expect("a number");
    let truth = SkewNormal { shape: number("shape"), location: number("loc"), scale: number("scale") };
    let n = row["inputs"]["n"].as_u64().expect("n");
    let values: Vec<f64> = (0..n).map(|i| truth.quantile((i as f64 + 0.5) / n as f64)).collect();
    (SkewNormal::fit(&values).expect("it varies"), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn skewnorm_cdf_vectors() {
        for row in vectors("skewnorm_cdf") {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let it = SkewNormal { shape: number("shape"), location: number("loc"), scale: number("scale") };
            let got = it.ln_cdf(number("x"));
            let bits = row["expected"]["exposure_bits"].as_f64().expect("a number");
            let cdf = row["expected"]["cdf"].as_f64().expect("a number");
            assert!((-got / std::f64::consts::LN_2 - bits).abs() < 1e-9 * bits.max(1.0), "{got} {row}");
            assert!(close(got.exp(), cdf, 1e-9), "{row}");
        }
    }

    #[test]
    fn nothing_is_fitted_to_what_does_not_vary() {
        assert!(SkewNormal::fit(&[1.0, 1.0]).is_err());
        assert_eq!(SkewNormal::fit(&[1.0, f64::NAN]), Err(StatsError::NotANumber));
    }
}
