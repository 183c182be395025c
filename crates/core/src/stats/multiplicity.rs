//! Many tests at once.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Holm's adjusted p-values, in the order of `p`: valid under any dependence (Holm 1979).
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut highest = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        highest = highest.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = highest;
    }
    adjusted
}

/// Fisher's combination: the p-value of all nulls together, for independent p-values.
#[must_use]
pub fn fisher_combination(p: &[f64]) -> f64 {
    if p.is_empty() {
        return 1.0;
    }
    let statistic: f64 = p.iter().map(|p| -2.0 * p.max(f64::MIN_POSITIVE).ln()).sum();
    ChiSquared::new(2.0 * p.len() as f64).expect("positive degrees of freedom").sf(statistic)
}

/// Benjamini and Hochberg's adjusted p-values (1995): the share of false ones among those below alpha
/// is at most alpha, for independent p-values. For lists of which canaries leaked.
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// The same under any dependence (Benjamini and Yekutieli 2001).
#[must_use]
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

fn step_up(p: &[f64], factor: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let mut adjusted = vec![1.0; p.len()];
    let mut lowest = 1.0f64;
    for (place, &index) in order.iter().enumerate() {
        let rank = (p.len() - place) as f64;
        lowest = lowest.min(factor * p.len() as f64 * p[index] / rank);
        adjusted[index] = lowest;
    }
    adjusted
}

/// The positions of the e-values that e-BH rejects, in ascending order (Wang and Ramdas 2022): the largest
/// `k` with the `k`-th greatest at least `n / (alpha k)`, under any dependence.
#[must_use]
pub fn e_bh(e: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..e.len()).collect();
    order.sort_by(|a, b| e[*b].total_cmp(&e[*a]));
    let enough = |k: &usize| e[order[*k - 1]] >= e.len() as f64 / (alpha * *k as f64);
    let count = (1..=e.len()).rev().find(enough).unwrap_or(0);
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Simes' p-value of all nulls together.
#[must_use]
pub fn simes(p: &[f64]) -> f64 {
    benjamini_hochberg(p).into_iter().fold(1.0, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, list, vectors};

    #[test]
    fn e_bh_vectors() {
        for row in vectors("e_values") {
            let got = e_bh(&list(&row["inputs"]["e"]), row["inputs"]["alpha"].as_f64().expect("alpha"));
            let got: Vec<f64> = got.into_iter().map(|i| i as f64).collect();
            assert_eq!(got, list(&row["expected"]["ebh_rejected_indices"]), "{row}");
        }
    }

    #[test]
    fn multiple_testing_vectors() {
        let mut seen = 0;
        for row in vectors("multiple_testing").iter().filter(|row| row["expected"]["holm"].is_array()) {
            let p = list(&row["inputs"]["p"]);
            for (name, got) in [("holm", holm(&p)), ("bh", benjamini_hochberg(&p)), ("by", benjamini_yekutieli(&p))] {
                for (got, expected) in got.iter().zip(list(&row["expected"][name])) {
                    assert!(close(*got, expected, 1e-12), "{name} {row}");
                }
            }
            assert!(close(simes(&p), row["expected"]["simes"].as_f64().expect("p"), 1e-12), "{row}");
            assert!(close(fisher_combination(&p), row["expected"]["fisher_p"].as_f64().expect("p"), 1e-9), "{row}");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
