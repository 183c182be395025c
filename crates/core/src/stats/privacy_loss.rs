//! Privacy loss distribution of DP-SGD: a nearly tight epsilon, also for a record with several copies in the data.
//!
//! One step compares two distributions of the noisy sum: with the record a mixture of normal distributions, since each
//! copy is drawn or not, and without the record a single one. The privacy loss is put on a grid by connecting the dots
//! (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022), so every delta is at least the true one. Steps are composed
//! by the Fourier transform. Mass cut off in the tails counts as a certain breach.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;
use statrs::function::gamma::ln_gamma;

use super::renyi::check;
use super::{StatsError, bisect, ln_sum_exp, normal_cdf, renyi_epsilon};

/// Smallest grid width, in nats of privacy loss.
const FINEST: f64 = 1e-4;
/// Target for the number of grid points of one step.
const MOST: f64 = (1 << 16) as f64;
/// Largest range of the composed distribution, in grid points.
const LONGEST: f64 = (1 << 21) as f64;
/// Probability cut off at each end of the composed distribution.
const TAIL: f64 = 1e-15;
/// Range of one step beyond the outermost means, in standard deviations.
const REACH: f64 = 9.5;

/// Losses on a grid: `mass[i]` at `(first + i) * width` nats, and the probability of an infinite loss.
#[derive(Debug, Clone)]
struct Losses {
    width: f64,
    first: i64,
    mass: Vec<f64>,
    infinite: f64,
}

/// Privacy loss of one record over all steps of a DP-SGD training.
#[derive(Debug, Clone)]
pub struct PrivacyLoss {
    /// Losses for removing the record, and for adding it.
    directions: [Losses; 2],
}

/// One step: the noise, and the distribution of the number of copies drawn.
struct Step {
    noise: f64,
    /// Number of copies drawn, with the logarithm of its probability.
    drawn: Vec<(f64, f64)>,
}

impl PrivacyLoss {
    /// Computes the loss of DP-SGD with Poisson sampling at `rate` and noise of `noise` times the clipping norm. The
    /// record has `copies` copies, each drawn and clipped by itself.
    ///
    /// ```
    /// use blabbermouth_core::stats::PrivacyLoss;
    /// let loss = PrivacyLoss::of_sgd(0.01, 1.0, 1000, 1)?;
    /// assert!((loss.epsilon(1e-5) - 1.828).abs() < 0.002);
    /// # Ok::<(), blabbermouth_core::stats::StatsError>(())
    /// ```
    ///
    /// # Errors
    /// When the rate is outside of 0 to 1, the noise outside of 0.01 to a million, the steps outside of 1 to a million,
    /// or the copies outside of 1 to a thousand.
    pub fn of_sgd(rate: f64, noise: f64, steps: u32, copies: u32) -> Result<Self, StatsError> {
        check(rate, noise)?;
        if !(1..=1_000_000).contains(&steps) || !(1..=1000).contains(&copies) {
            return Err(StatsError::Range("steps go from 1 to a million, copies from 1 to a thousand"));
        }
        let n = f64::from(copies);
        let ln_times = |k: f64, ln_p: f64| if k == 0.0 { 0.0 } else { k * ln_p };
        let drawn = (0..=copies).map(f64::from).map(|k| {
            let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
            (k, ways + ln_times(k, rate.ln()) + ln_times(n - k, (-rate).ln_1p()))
        });
        // Numbers of copies of negligible probability only cost time.
        let drawn = drawn.filter(|(_, ln_p)| *ln_p > -690.0).collect();
        let step = Step { noise, drawn };
        Ok(Self { directions: [false, true].map(|added| step.composed(added, steps)) })
    }

    /// Returns the smallest delta for an epsilon of at least 0.
    #[must_use]
    pub fn delta(&self, epsilon: f64) -> f64 {
        self.directions.iter().map(|losses| losses.delta(epsilon)).fold(0.0, f64::max)
    }

    /// Returns the smallest epsilon for a delta; infinite if no finite epsilon reaches it.
    #[must_use]
    pub fn epsilon(&self, delta: f64) -> f64 {
        self.directions.iter().map(|losses| losses.epsilon(delta)).fold(0.0, f64::max)
    }

    /// Returns an upper bound on the success probability of an attacker who makes `guesses` guesses at a secret from a
    /// space of `space` values: the smallest `e^epsilon guesses / space + delta` over all valid pairs.
    #[must_use]
    pub fn success(&self, space: f64, guesses: f64) -> f64 {
        let chance = guesses / space;
        let of = |losses: &Losses| {
            let pairs = losses.pairs().filter(|(epsilon, _)| *epsilon >= 0.0);
            pairs.map(|(epsilon, delta)| epsilon.exp() * chance + delta).fold(1.0, f64::min)
        };
        self.directions.iter().map(of).fold(0.0, f64::max)
    }
}

/// Returns the smallest noise multiplier with which DP-SGD keeps (epsilon, delta) by [`PrivacyLoss`], to half a percent
/// and never below it.
///
/// # Errors
/// As [`PrivacyLoss::of_sgd`], and when epsilon is not above 0 or delta not between 0 and 1. [`StatsError::Range`] when
/// no noise up to a thousand suffices.
pub fn noise_for(epsilon: f64, delta: f64, rate: f64, steps: u32) -> Result<f64, StatsError> {
    if epsilon.is_nan() || epsilon <= 0.0 || delta.is_nan() || delta <= 0.0 || delta >= 1.0 {
        return Err(StatsError::Range("epsilon lies above 0, delta between 0 and 1"));
    }
    check(rate, 1.0)?;
    // Rényi's epsilon is quick and too large, so its noise is an upper end for the search.
    let safe = |noise: f64| renyi_epsilon(rate, noise, u64::from(steps), delta, false).is_ok_and(|(e, _)| e <= epsilon);
    if !safe(1000.0) {
        return Err(StatsError::Range("this epsilon needs more than a thousand times the clipping norm as noise"));
    }
    let mut high = bisect(0.05, 1000.0, safe) * (1.0 + 1e-9);
    let mut low = (high / 2.0).max(0.05);
    while high / low > 1.005 {
        let middle = (low * high).sqrt();
        let fine = PrivacyLoss::of_sgd(rate, middle, steps, 1)?.epsilon(delta) <= epsilon;
        if fine { high = middle } else { low = middle }
    }
    Ok(high)
}

impl Step {
    /// Returns the loss of one step, in nats, where the noisy sum is `x`.
    fn loss(&self, x: f64) -> f64 {
        let variance = self.noise * self.noise;
        ln_sum_exp(self.drawn.iter().map(|(k, ln_p)| ln_p + (2.0 * k * x - k * k) / (2.0 * variance)))
    }

    /// Returns the `x` at which the loss is `loss`. The loss increases with `x`.
    fn place(&self, loss: f64, low: f64, high: f64) -> f64 {
        if let [(_, ln_0), (one, ln_1)] = self.drawn.as_slice() {
            // With one copy the formula has a closed inverse.
            let ratio = loss - ln_1;
            let rest = (ln_0 - loss).exp();
            return if rest >= 1.0 {
                low
            } else {
                ((ratio + (-rest).ln_1p()) * self.noise * self.noise / one + one / 2.0).clamp(low, high)
            };
        }
        // The loss is convex, so after the first step Newton's iterates decrease to the solution.
        let mut x = low;
        for _ in 0..50 {
            let value = self.loss(x);
            let next = (x + (loss - value) / self.slope(x, value)).clamp(low, high);
            let step = (next - x).abs();
            x = next;
            if step < 1e-12 * self.noise {
                break;
            }
        }
        x
    }

    /// Returns the derivative of the loss at `x`, where the loss is `loss`: the expected number of copies given `x`,
    /// divided by the variance.
    fn slope(&self, x: f64, loss: f64) -> f64 {
        let variance = self.noise * self.noise;
        let share = |(k, ln_p): &(f64, f64)| k * (ln_p + (2.0 * k * x - k * k) / (2.0 * variance) - loss).exp();
        self.drawn.iter().map(share).sum::<f64>() / variance
    }

    /// Puts the losses of one step on a grid of `width`; `added` for adding the record, else for removing it.
    fn losses(&self, added: bool, width: f64) -> Losses {
        let most = self.drawn.last().map_or(0.0, |(k, _)| *k);
        let (low, high) = (-REACH * self.noise, most + REACH * self.noise);
        let (first, last) = ((self.loss(low) / width).floor() as i64, (self.loss(high) / width).ceil() as i64);
        let count = (last - first) as usize + 1;
        let drawn: Vec<(f64, f64)> = self.drawn.iter().map(|(k, ln_p)| (*k, ln_p.exp())).collect();
        // Probabilities with and without the record between two values of the sum.
        let normal = |from: f64, to: f64| {
            let (from, to) = (from / self.noise, to / self.noise);
            if from > 0.0 { normal_cdf(-from) - normal_cdf(-to) } else { normal_cdf(to) - normal_cdf(from) }
        };
        let masses = |from: f64, to: f64| -> (f64, f64) {
            let with = drawn.iter().map(|(k, p)| p * normal(from - k, to - k)).sum();
            (with, normal(from, to))
        };
        let mut mass = vec![0.0; count];
        let mut from = low;
        for index in 0..count - 1 {
            let to = self.place((first + index as i64 + 1) as f64 * width, from, high);
            let (with, without) = masses(from, to);
            // Sharing an interval out to its two grid points must preserve both probabilities.
            let at = (first + index as i64) as f64 * width;
            if added {
                // The loss is negated here, so the lower end of the interval has the higher loss.
                let upper = (without - with * (-at - width).exp()) / -(-width).exp_m1();
                let upper = upper.clamp(0.0, without);
                mass[index] += upper;
                mass[index + 1] += without - upper;
            } else {
                let upper = ((with - without * at.exp()) / -(-width).exp_m1()).clamp(0.0, with);
                mass[index + 1] += upper;
                mass[index] += with - upper;
            }
            from = to;
        }
        // The tails are rounded to the next higher loss, or to an infinite one, so that no delta is too small.
        let (below, above) = (masses(f64::NEG_INFINITY, low), masses(high, f64::INFINITY));
        if added {
            mass[count - 1] += above.1;
            mass.reverse();
            return Losses { width, first: -(first + count as i64 - 1), mass, infinite: below.1 };
        }
        mass[0] += below.0;
        Losses { width, first, mass, infinite: above.0 }
    }

    fn composed(&self, added: bool, steps: u32) -> Losses {
        let most = self.drawn.last().map_or(0.0, |(k, _)| *k);
        let range = self.loss(most + REACH * self.noise) - self.loss(-REACH * self.noise);
        let mut width = FINEST.max(range / MOST);
        loop {
            let one = self.losses(added, width);
            let (low, high) = one.reach(steps);
            if (high - low) as f64 <= LONGEST {
                return one.composed(steps, low, high);
            }
            width *= ((high - low) as f64 / LONGEST).max(1.0) * 1.1;
        }
    }
}

impl Losses {
    /// Returns the grid range that holds the sum of `steps` losses except for probability `TAIL` at each end
    /// (Chernoff).
    fn reach(&self, steps: u32) -> (i64, i64) {
        let steps = f64::from(steps);
        let end = |sign: f64| {
            let bounds = (-14..=8).map(|power| {
                let slope = 2.0f64.powi(power);
                let at = |index: usize| sign * slope * (self.first + index as i64) as f64 * self.width;
                let present = self.mass.iter().enumerate().filter(|(_, m)| **m > 0.0);
                let moment = ln_sum_exp(present.map(|(index, m)| m.ln() + at(index)));
                (steps * moment - TAIL.ln()) / slope
            });
            let furthest = if sign < 0.0 { self.first } else { self.first + self.mass.len() as i64 - 1 };
            bounds.fold(f64::INFINITY, f64::min).min(sign * steps * furthest as f64 * self.width)
        };
        ((-end(-1.0) / self.width).floor() as i64 - 1, (end(1.0) / self.width).ceil() as i64 + 1)
    }

    /// Returns the distribution of the sum of `steps` losses, between two grid points.
    fn composed(&self, steps: u32, low: i64, high: i64) -> Self {
        let length = ((high - low + 1) as usize).next_power_of_two();
        let mut values = vec![Complex::new(0.0, 0.0); length];
        for (index, mass) in self.mass.iter().enumerate() {
            values[index % length].re += mass;
        }
        let mut planner = FftPlanner::new();
        planner.plan_fft_forward(length).process(&mut values);
        values.iter_mut().for_each(|value| *value = value.powu(steps));
        planner.plan_fft_inverse(length).process(&mut values);
        // The transform is cyclic: index `at` holds the sum between `low` and `low + length`.
        let begin = low - i64::from(steps) * self.first;
        let mass = (0..length as i64).map(|at| {
            let value = values[(begin + at).rem_euclid(length as i64) as usize].re / length as f64;
            value.max(0.0)
        });
        let infinite = 1.0 - (f64::from(steps) * (-self.infinite).ln_1p()).exp();
        Self { width: self.width, first: low, mass: mass.collect(), infinite: infinite.max(0.0) + 2.0 * TAIL }
    }

    /// Iterates over the grid points from the highest loss down, as (epsilon, delta) pairs.
    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        let (mut above, mut weighted) = (self.infinite, 0.0f64);
        self.mass.iter().enumerate().rev().map(move |(index, mass)| {
            let loss = (self.first + index as i64) as f64 * self.width;
            let delta = (above - loss.exp() * weighted).max(0.0);
            above += mass;
            weighted += mass * (-loss).exp();
            (loss, delta)
        })
    }

    fn delta(&self, epsilon: f64) -> f64 {
        let losses =
            self.mass.iter().enumerate().map(|(index, m)| ((self.first + index as i64) as f64 * self.width, m));
        let above = losses.filter(|(loss, _)| *loss > epsilon).map(|(loss, m)| m * -(epsilon - loss).exp_m1());
        (self.infinite + above.sum::<f64>()).min(1.0)
    }

    /// Finds the lowest grid point whose delta is small enough, then solves for epsilon within the interval below it.
    /// There delta is the mass above minus e^epsilon times the weighted mass above.
    fn epsilon(&self, delta: f64) -> f64 {
        if self.infinite > delta {
            return f64::INFINITY;
        }
        let (mut above, mut weighted) = (self.infinite, 0.0f64);
        for (index, mass) in self.mass.iter().enumerate().rev() {
            let loss = (self.first + index as i64) as f64 * self.width;
            if above - loss.exp() * weighted > delta {
                return ((above - delta) / weighted).ln().max(0.0);
            }
            above += mass;
            weighted += mass * (-loss).exp();
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, gaussian_epsilon, vectors};

    #[test]
    fn epsilon_vectors() {
        for row in vectors("dp_sgd_epsilon") {
            let input = |name: &str| row["inputs"][name].as_f64().expect(name);
            let loss = PrivacyLoss::of_sgd(input("q"), input("sigma"), input("steps") as u32, 1).expect("sound");
            let found = loss.epsilon(input("delta"));
            let expected = row["expected"]["eps_pld_dp_accounting_0_6_0"].as_f64().expect("a number");
            assert!(close(found, expected, 2e-3), "{row}: {found}");
            assert!((loss.delta(found) / input("delta") - 1.0).abs() < 1e-3, "{row}");
        }
    }

    #[test]
    fn leak_vectors() {
        for row in vectors("dp_sgd_leak_bound") {
            let input = |name: &str| row["inputs"][name].as_f64().expect(name);
            let (rate, noise, steps) = (input("q"), input("sigma"), input("steps") as u32);
            let loss = PrivacyLoss::of_sgd(rate, noise, steps, input("repetitions") as u32).expect("sound");
            let expected = row["expected"]["eps_at_delta_1e5"].as_f64().expect("a number");
            assert!(close(loss.epsilon(1e-5), expected, 0.01), "{row}: {}", loss.epsilon(1e-5));
            for (space, bound) in row["expected"]["p_one_guess"].as_object().expect("a table") {
                let found = loss.success(space.parse().expect("a number"), 1.0);
                assert!(close(found, bound.as_f64().expect("a number"), 0.05), "{row}: {space}: {found}");
            }
        }
    }

    #[test]
    fn without_sampling_it_is_the_gaussian_mechanism() {
        let loss = PrivacyLoss::of_sgd(1.0, 10.0, 100, 1).expect("sound");
        let exact = gaussian_epsilon(1.0, 1e-5);
        assert!(loss.epsilon(1e-5) >= exact - 1e-6 && loss.epsilon(1e-5) < exact + 1e-3);
    }

    #[test]
    fn the_noise_for_an_epsilon_keeps_it() {
        let noise = noise_for(8.0, 1e-5, 0.12, 200).expect("reachable");
        let epsilon = PrivacyLoss::of_sgd(0.12, noise, 200, 1).expect("sound").epsilon(1e-5);
        assert!(epsilon <= 8.0 && epsilon > 7.9, "{noise}: {epsilon}");
        assert!(noise_for(0.0, 1e-5, 0.1, 10).is_err() && noise_for(1.0, 1.0, 0.1, 10).is_err());
        assert!(noise_for(1e-6, 1e-5, 1.0, 1_000_000).expect_err("too little").to_string().contains("thousand"));
        assert!(PrivacyLoss::of_sgd(0.1, 1.0, 0, 1).is_err() && PrivacyLoss::of_sgd(0.1, 1.0, 1, 0).is_err());
    }
}
