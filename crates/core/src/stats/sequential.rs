//! Sequential tests: the data may be inspected after every query.

use statrs::function::beta::{beta_reg, ln_beta};

use super::bisect;

/// State of a sequential test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Rejects the hypothesis: the rate is as high as the alternative.
    Reject,
    /// Accepts the hypothesis: the rate is as low as the hypothesis says.
    Accept,
    /// Undecided: ask on.
    Continue,
}

/// Wald's sequential probability ratio test of a rate: at most `p0` against at least `p1`. All fields are natural
/// logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sprt {
    /// The test accepts at or below this log-likelihood ratio.
    pub lower: f64,
    /// The test rejects at or above this log-likelihood ratio.
    pub upper: f64,
    /// Change of the log-likelihood ratio by a hit.
    pub hit: f64,
    /// Change of the log-likelihood ratio by a miss.
    pub miss: f64,
}

/// Operating characteristics of a test at a true rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operating {
    /// Probability of rejection.
    pub reject: f64,
    /// Probability of acceptance.
    pub accept: f64,
    /// Expected number of queries.
    pub queries: f64,
}

impl Sprt {
    /// Creates a test with error probabilities of about `alpha` and `beta`.
    ///
    /// # Panics
    /// Unless `0 < p0 < p1 < 1`.
    #[must_use]
    pub fn new(p0: f64, p1: f64, alpha: f64, beta: f64) -> Self {
        assert!(0.0 < p0 && p0 < p1 && p1 < 1.0, "two rates, the lower one first");
        Self {
            lower: (beta / (1.0 - alpha)).ln(),
            upper: ((1.0 - beta) / alpha).ln(),
            hit: (p1 / p0).ln(),
            miss: (-p1).ln_1p() - (-p0).ln_1p(),
        }
    }

    /// Returns the decision after `hits` in `queries`.
    #[must_use]
    pub fn decide(&self, hits: u64, queries: u64) -> Decision {
        let ratio = hits as f64 * self.hit + (queries - hits) as f64 * self.miss;
        if ratio >= self.upper {
            Decision::Reject
        } else if ratio <= self.lower {
            Decision::Accept
        } else {
            Decision::Continue
        }
    }

    /// Computes the exact operating characteristics at a true rate, by forward recursion up to `most` queries.
    #[must_use]
    pub fn operating(&self, rate: f64, most: u64) -> Operating {
        let mut open = vec![1.0f64];
        let mut all = Operating { reject: 0.0, accept: 0.0, queries: 0.0 };
        for n in 1..=most {
            all.queries += open.iter().sum::<f64>();
            let mut next = vec![0.0; open.len() + 1];
            for (hits, p) in open.iter().enumerate() {
                next[hits] += p * (1.0 - rate);
                next[hits + 1] += p * rate;
            }
            for (hits, p) in next.iter_mut().enumerate() {
                match self.decide(hits as u64, n) {
                    Decision::Reject => all.reject += std::mem::take(p),
                    Decision::Accept => all.accept += std::mem::take(p),
                    Decision::Continue => {}
                }
            }
            while next.last() == Some(&0.0) {
                next.pop();
            }
            if next.is_empty() {
                break;
            }
            open = next;
        }
        all
    }
}

/// Mixture over rates with a beta prior: evidence that may be inspected after every query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    /// First shape parameter of the prior.
    pub a: f64,
    /// Second shape parameter of the prior.
    pub b: f64,
}

impl Mixture {
    /// Returns the logarithm of the e-value against the rate `p0`.
    #[must_use]
    pub fn ln_e(&self, hits: u64, n: u64, p0: f64) -> f64 {
        let (h, m) = (hits as f64, (n - hits) as f64);
        let silent = if m > 0.0 { m * (-p0).ln_1p() } else { 0.0 };
        let said = if h > 0.0 { h * p0.ln() } else { 0.0 };
        ln_beta(self.a + h, self.b + m) - ln_beta(self.a, self.b) - said - silent
    }

    /// Returns the logarithm of the e-value against every rate up to `p0`: the prior is truncated to rates above `p0`.
    #[must_use]
    pub fn ln_e_above(&self, hits: u64, n: u64, p0: f64) -> f64 {
        let (h, m) = (hits as f64, (n - hits) as f64);
        let above = |a: f64, b: f64| beta_reg(b, a, 1.0 - p0).ln();
        self.ln_e(hits, n, p0) + above(self.a + h, self.b + m) - above(self.a, self.b)
    }

    /// Returns the confidence interval of the rates whose e-value is below `1/alpha`. The interval covers the true rate
    /// at all times together with probability `1 - alpha`.
    #[must_use]
    pub fn interval(&self, hits: u64, n: u64, alpha: f64) -> (f64, f64) {
        let limit = -alpha.ln();
        let best = if n == 0 { 0.5 } else { hits as f64 / n as f64 };
        let is_out = |p: f64| self.ln_e(hits, n, p) >= limit;
        let low = if hits == 0 { 0.0 } else { bisect(0.0, best, |p| !is_out(p)) };
        let high = if hits == n { 1.0 } else { bisect(best, 1.0, is_out) };
        (low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn sprt_vectors() {
        for row in vectors("sprt") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let test = Sprt::new(i("p0"), i("p1"), i("alpha"), i("beta"));
            let e = &row["expected"];
            for (got, name) in
                [(test.lower, "lower"), (test.upper, "upper"), (test.hit, "llr_hit"), (test.miss, "llr_miss")]
            {
                assert!(close(got, e[name].as_f64().expect("a number"), 1e-9), "{name} {got} {row}");
            }
            for (hits, name) in [(0, "n_accept_with_0_hits"), (1, "n_accept_with_1_hit")] {
                let n = e[name].as_u64().expect("a count");
                assert_eq!(test.decide(hits, n), Decision::Accept, "{row}");
                assert_ne!(test.decide(hits, n - 1), Decision::Accept, "{row}");
            }
            for (n, hits) in e["hits_to_reject_at_n"].as_object().expect("a table") {
                let (n, hits): (u64, u64) = (n.parse().expect("n"), hits.as_u64().expect("hits"));
                // The table also lists more hits than queries, which cannot occur.
                if hits <= n {
                    assert_eq!(test.decide(hits, n), Decision::Reject, "{n} {row}");
                    assert_ne!(test.decide(hits - 1, n), Decision::Reject, "{n} {row}");
                }
            }
            for (rate, wanted) in e["exact_operating_characteristics"].as_object().expect("a table") {
                let got = test.operating(rate.parse().expect("a rate"), 4000);
                let number = |name: &str| wanted[name].as_f64().expect("a number");
                assert!((got.reject - number("P_reject")).abs() < 1e-9, "{rate} {got:?} {row}");
                assert!((got.accept - number("P_accept")).abs() < 1e-9, "{rate} {got:?} {row}");
                assert!(close(got.queries, number("expected_n"), 1e-9), "{rate} {got:?} {row}");
            }
        }
    }

    #[test]
    fn beta_mixture_vectors() {
        for row in vectors("beta_mixture") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let e = |name: &str| row["expected"][name].as_f64().expect("a number");
            let mixture = Mixture { a: i("a"), b: i("b") };
            let n = i("n") as u64;
            match row["inputs"]["kind"].as_str() {
                Some("e_process") => {
                    let hits = i("hits") as u64;
                    let (two, one) = (mixture.ln_e(hits, n, i("p0")), mixture.ln_e_above(hits, n, i("p0")));
                    assert!(close(two, e("log_e_two_sided_point_null"), 1e-9), "{two} {row}");
                    assert!(close(one, e("log_e_one_sided_composite_null"), 1e-6), "{one} {row}");
                }
                Some("confidence_sequence") => {
                    let (low, high) = mixture.interval(i("hits") as u64, n, i("alpha"));
                    assert!(close(low, e("lower"), 1e-6) && close(high, e("upper"), 1e-6), "{low} {high} {row}");
                }
                _ => assert!(close(mixture.interval(0, n, i("alpha")).1, e("upper"), 1e-9), "{row}"),
            }
        }
    }
}
