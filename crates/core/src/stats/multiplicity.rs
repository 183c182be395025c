//! Corrections and combinations for many tests.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Returns Holm's adjusted p-values in the order of `p`. Valid under any dependence (Holm 1979).
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

/// Returns Fisher's combined p-value for all null hypotheses together. The p-values must be independent.
#[must_use]
pub fn fisher_combination(p: &[f64]) -> f64 {
    if p.is_empty() {
        return 1.0;
    }
    let statistic: f64 = p.iter().map(|p| -2.0 * p.max(f64::MIN_POSITIVE).ln()).sum();
    ChiSquared::new(2.0 * p.len() as f64).expect("positive degrees of freedom").sf(statistic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, list, vectors};

    #[test]
    fn multiple_testing_vectors() {
        let mut seen = 0;
        for row in vectors("multiple_testing").iter().filter(|row| row["expected"]["holm"].is_array()) {
            let p = list(&row["inputs"]["p"]);
            for (got, expected) in holm(&p).iter().zip(list(&row["expected"]["holm"])) {
                assert!(close(*got, expected, 1e-12), "{row}");
            }
            assert!(close(fisher_combination(&p), row["expected"]["fisher_p"].as_f64().expect("p"), 1e-9), "{row}");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
