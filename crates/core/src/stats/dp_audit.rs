//! One-run privacy audits: the largest epsilon that the canaries refute.

use statrs::function::factorial::ln_binomial;

use super::{bisect, clopper_pearson_lower, gaussian_epsilon, ln_sum_exp, normal_cdf, normal_quantile};

/// Returns the logarithms of all probabilities of a binomial distribution.
fn ln_binomial_law(n: u64, q: f64) -> Vec<f64> {
    let (said, silent) = (q.ln(), (-q).ln_1p());
    let term = |k: u64| {
        let hits = if k == 0 { 0.0 } else { k as f64 * said };
        let misses = if k == n { 0.0 } else { (n - k) as f64 * silent };
        ln_binomial(n, k) + hits + misses
    };
    (0..=n).map(term).collect()
}

/// Returns the probability of at least `v` in a binomial distribution.
fn at_least(n: u64, q: f64, v: u64) -> f64 {
    let law = ln_binomial_law(n, q);
    ln_sum_exp(law[v.min(n) as usize..].iter().copied()).exp().min(1.0)
}

/// Returns the p-value of the claim that training is (epsilon, delta)-private (Steinke, Nasr and Jagielski 2023).
///
/// The data are `correct` of `guesses` guesses about `m` canaries that were included by fair coins. The number of
/// guesses must be declared beforehand.
///
/// # Panics
/// When `correct > guesses` or `guesses > m`.
#[must_use]
pub fn one_run_p_value(m: u64, guesses: u64, correct: u64, epsilon: f64, delta: f64) -> f64 {
    assert!(correct <= guesses && guesses <= m, "{correct} correct of {guesses} guesses about {m}");
    let q = 1.0 / (1.0 + (-epsilon).exp());
    let p: Vec<f64> = ln_binomial_law(guesses, q).into_iter().map(f64::exp).collect();
    let beta = at_least(guesses, q, correct);
    let (mut below, mut worst) = (0.0, 0.0f64);
    for i in 1..=correct {
        below += p[(correct - i) as usize];
        worst = worst.max(below / i as f64);
    }
    (beta + 2.0 * m as f64 * delta * worst).min(1.0)
}

/// Returns the largest epsilon that these guesses refute at level `alpha`; 0 if none.
///
/// # Panics
/// As [`one_run_p_value`].
#[must_use]
pub fn one_run_epsilon(m: u64, guesses: u64, correct: u64, delta: f64, alpha: f64) -> f64 {
    if guesses == 0 {
        return 0.0;
    }
    largest_refuted(|epsilon| one_run_p_value(m, guesses, correct, epsilon, delta), alpha)
}

fn largest_refuted(p_value: impl Fn(f64) -> f64, alpha: f64) -> f64 {
    if p_value(0.0) >= alpha {
        return 0.0;
    }
    bisect(0.0, 60.0, |epsilon| p_value(epsilon) >= alpha)
}

/// Returns the largest `mu` and epsilon that are refuted under a Gaussian trade-off curve (Mahloujifar, Melis and
/// Chaudhuri 2024).
///
/// This audit refutes more than [`one_run_epsilon`], but only a claim of that shape. `choices` is 2 for membership.
///
/// # Panics
/// As [`one_run_p_value`].
#[must_use]
pub fn one_run_gaussian(m: u64, guesses: u64, correct: u64, choices: u64, delta: f64, alpha: f64) -> (f64, f64) {
    assert!(correct <= guesses && guesses <= m, "{correct} correct of {guesses} guesses about {m}");
    let is_refuted = |mu: f64| {
        let least_false = |y: f64| match y {
            y if y <= 0.0 => 0.0,
            y if y >= 1.0 => 1.0,
            y => normal_cdf(normal_quantile(y) - mu),
        };
        let m = m as f64;
        let mut right = alpha * correct as f64 / m;
        let mut wrong = alpha * (guesses - correct) as f64 / m;
        for i in (0..correct).rev() {
            let more = wrong.max((choices - 1) as f64 * least_false(right));
            right = (right + i as f64 / (guesses - i) as f64 * (more - wrong)).min(1.0);
            wrong = more;
        }
        right + wrong > guesses as f64 / m
    };
    if correct == 0 || !is_refuted(0.0) {
        return (0.0, 0.0);
    }
    let mu = bisect(0.0, 40.0, |mu| !is_refuted(mu));
    (mu, gaussian_epsilon(mu, delta))
}

/// Returns an upper bound on the share of secrets found under epsilon-privacy, with `list` guesses each from `size`
/// candidates.
fn found_share(size: f64, list: f64, epsilon: f64) -> f64 {
    list / (list + (size - list) * (-epsilon).exp())
}

/// Returns the p-value of epsilon-privacy with respect to exchanging a secret: a k-ary audit on the secrets themselves.
///
/// `found` of `canaries` secrets are among `list` guesses each, from a space of `size`.
///
/// # Panics
/// When `found > canaries`.
#[must_use]
pub fn secrets_audit_p_value(canaries: u64, found: u64, size: f64, list: f64, epsilon: f64) -> f64 {
    assert!(found <= canaries, "{found} of {canaries}");
    at_least(canaries, found_share(size, list, epsilon), found)
}

/// Returns the largest epsilon (exchange of a secret) that is refuted at level `alpha`. Half of it is refuted for
/// adding or removing a record.
///
/// # Panics
/// When `found > canaries`, or `canaries` is 0.
#[must_use]
pub fn secrets_audit_epsilon(canaries: u64, found: u64, size: f64, list: f64, alpha: f64) -> f64 {
    let q = clopper_pearson_lower(found, canaries, alpha);
    if q <= 0.0 {
        return 0.0;
    }
    (q * (size - list) / (list * (1.0 - q))).ln().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn one_run_vectors() {
        for row in vectors("one_run_pvalue") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let got = one_run_p_value(i("m") as u64, i("r") as u64, i("v") as u64, i("eps"), i("delta"));
            assert!(close(got, row["expected"]["p_value"].as_f64().expect("p"), 1e-9), "{got} {row}");
        }
        for row in vectors("one_run_eps") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let got = one_run_epsilon(i("m") as u64, i("r") as u64, i("v") as u64, i("delta"), i("alpha"));
            let wanted = row["expected"]["eps_lower"].as_f64().expect("a number");
            assert!((got - wanted).abs() < 1e-6, "{got} {row}");
        }
    }

    #[test]
    fn one_run_gaussian_vectors() {
        for row in vectors("one_run_fdp") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let e = |name: &str| row["expected"][name].as_f64().expect("a number");
            let u = |name: &str| i(name) as u64;
            let (mu, epsilon) = one_run_gaussian(u("m"), u("r"), u("v"), u("k"), i("delta"), i("alpha"));
            assert!((mu - e("mu_lower")).abs() < 1e-6, "{mu} {row}");
            assert!((epsilon - e("eps_lower")).abs() < 1e-5, "{epsilon} {row}");
        }
    }

    #[test]
    fn secrets_audit_vectors() {
        for row in vectors("one_run_kary") {
            let i = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let e = |name: &str| row["expected"][name].as_f64().expect("a number");
            let (r, v) = (i("r") as u64, i("v") as u64);
            let got = secrets_audit_epsilon(r, v, i("k"), i("L"), i("alpha"));
            assert!((got - e("eps_sub_lower")).abs() < 1e-6, "{got} {row}");
            assert!(close(found_share(i("k"), i("L"), 1.0), e("q_at_eps1"), 1e-12), "{row}");
            for (epsilon, name) in [(0.0, "p_at_eps0"), (5.0, "p_at_eps5")] {
                let p = secrets_audit_p_value(r, v, i("k"), i("L"), epsilon);
                assert!(close(p, e(name), 1e-9), "{p} {name} {row}");
            }
        }
    }
}
