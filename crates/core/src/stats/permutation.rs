//! Permutation tests: planted against held-out canaries without a known space, and own against other values.

use statrs::function::factorial::ln_binomial;

use super::{StatsError, numbers};

/// Returns the p-values of Fisher's exact test on hits: one-sided for more hits in the first group, and two-sided.
#[must_use]
pub fn fisher_exact(hits: u64, misses: u64, control_hits: u64, control_misses: u64) -> (f64, f64) {
    let (first, second, all_hits) = (hits + misses, control_hits + control_misses, hits + control_hits);
    let all = ln_binomial(first + second, all_hits);
    let ln_p = |h: u64| ln_binomial(first, h) + ln_binomial(second, all_hits - h) - all;
    let (low, high) = (all_hits.saturating_sub(second), all_hits.min(first));
    let greater: f64 = (hits..=high).map(|h| ln_p(h).exp()).sum();
    let here = ln_p(hits);
    let two_sided: f64 = (low..=high).map(ln_p).filter(|p| *p <= here + 1e-7).map(f64::exp).sum();
    (greater.min(1.0), two_sided.min(1.0))
}

/// Returns the p-value of a permutation test: whether subjects have their own value more often than under a random
/// assignment of the values.
///
/// `own` holds for each subject how often it had its own value. `rates` has one row for each subject, with how often it
/// had each of the values; each value is assigned to at most one subject. The sum of `own` is compared with that of
/// `rounds` random assignments. `below` returns a uniform number below its argument. The p-value is
/// `(1 + assignments that are as good) / (1 + rounds)`, valid for any number of rounds.
///
/// # Errors
/// When a rate is missing, there is no subject, or there are fewer values than subjects.
pub fn assignment_p_value(
    own: &[f64],
    rates: &[Vec<f64>],
    rounds: usize,
    mut below: impl FnMut(u64) -> u64,
) -> Result<f64, StatsError> {
    numbers(own)?;
    numbers(rates.iter().flatten())?;
    let values = rates.first().map_or(0, Vec::len);
    if own.len() != rates.len() || rates.iter().any(|row| row.len() != values) || values < own.len() {
        return Err(StatsError::Range("a row for each subject, and as many values as subjects or more"));
    }
    let mut order: Vec<usize> = (0..values).collect();
    // Sums that differ only by rounding count as equal.
    let own = own.iter().sum::<f64>() - 1e-9;
    let mut as_good = 1usize;
    for _ in 0..rounds {
        let mut sum = 0.0;
        for (place, row) in rates.iter().enumerate() {
            order.swap(place, place + below((values - place) as u64) as usize);
            sum += row[order[place]];
        }
        as_good += usize::from(sum >= own);
    }
    Ok(as_good as f64 / (rounds + 1) as f64)
}

/// Result of [`mann_whitney`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// Pairs in which the planted canary scores higher. Ties count half.
    pub u: f64,
    /// Exact one-sided p-value for planted canaries scoring higher.
    pub p_value: f64,
    /// Area under the curve: `u` divided by the number of pairs.
    pub auc: f64,
}

/// Runs the Mann-Whitney test, exact also with ties: all ways of choosing as many of the mid-ranks are counted.
///
/// # Errors
/// When a score is missing, or a side is empty.
pub fn mann_whitney(planted: &[f64], controls: &[f64]) -> Result<MannWhitney, StatsError> {
    numbers(planted)?;
    numbers(controls)?;
    let n = planted.len();
    let mut all: Vec<(f64, bool)> =
        planted.iter().map(|x| (*x, true)).chain(controls.iter().map(|x| (*x, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the mid-rank is an integer.
    let mut ranks = Vec::with_capacity(all.len());
    let mut at = 0;
    while at < all.len() {
        let tied = all[at..].iter().take_while(|(x, _)| *x == all[at].0).count();
        ranks.extend(std::iter::repeat_n(2 * at + tied + 1, tied));
        at += tied;
    }
    let observed: usize = ranks.iter().zip(&all).filter(|(_, (_, is_planted))| *is_planted).map(|(r, _)| r).sum();
    let most: usize = ranks.iter().sum();
    // ways[k][s]: number of ways in which k ranks sum to s.
    let mut ways = vec![vec![0.0f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for &rank in &ranks {
        for k in (1..=n).rev() {
            for s in (rank..=most).rev() {
                let more = ways[k - 1][s - rank];
                ways[k][s] += more;
            }
        }
    }
    let total: f64 = ways[n].iter().sum();
    let u = (observed as f64 - (n * (n + 1)) as f64) / 2.0;
    Ok(MannWhitney {
        u,
        p_value: ways[n][observed..].iter().sum::<f64>() / total,
        auc: u / (n * controls.len()) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_values_are_told_from_values_that_all_have() {
        let mut state = 7u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let rates = |own: f64| -> Vec<Vec<f64>> {
            (0..8).map(|i| (0..8).map(|k| if i == k { own } else { 0.1 }).collect()).collect()
        };
        assert!(assignment_p_value(&[0.5; 8], &rates(0.5), 9999, &mut below).expect("sound") < 1e-3);
        assert_eq!(assignment_p_value(&[0.1; 8], &rates(0.1), 999, &mut below), Ok(1.0));
        // Three values have 6 assignments to three subjects, eight values have 336.
        let three: Vec<Vec<f64>> = rates(0.5)[..3].iter().map(|row| row[..3].to_vec()).collect();
        let p = assignment_p_value(&[0.5; 3], &three, 9999, &mut below).expect("sound");
        assert!((p - 1.0 / 6.0).abs() < 0.02, "{p}");
        let p = assignment_p_value(&[0.5; 3], &rates(0.5)[..3], 99_999, &mut below).expect("sound");
        assert!((p - 1.0 / 336.0).abs() < 1e-3, "{p}");
        assert_eq!(assignment_p_value(&[], &[], 9, &mut below), Err(StatsError::Empty));
        assert_eq!(assignment_p_value(&[1.0], &[vec![f64::NAN]], 9, &mut below), Err(StatsError::NotANumber));
        assert!(assignment_p_value(&[0.1, 0.1], &[vec![0.1], vec![0.1]], 9, &mut below).is_err());
    }
    use crate::stats::{close, list, vectors};

    #[test]
    fn fisher_exact_vectors() {
        for row in vectors("fisher_exact") {
            let n = |name: &str| row["inputs"][name].as_u64().expect("a count");
            let (greater, two) =
                fisher_exact(n("inserted_hit"), n("inserted_miss"), n("control_hit"), n("control_miss"));
            assert!(close(greater, row["expected"]["p_greater"].as_f64().expect("p"), 1e-9), "{row}");
            assert!(close(two, row["expected"]["p_two_sided"].as_f64().expect("p"), 1e-9), "{row}");
        }
    }

    #[test]
    fn mann_whitney_vectors() {
        for row in vectors("rank_permutation") {
            let got =
                mann_whitney(&list(&row["inputs"]["inserted"]), &list(&row["inputs"]["controls"])).expect("sound");
            let expected = |name: &str| row["expected"][name].as_f64().expect("a number");
            assert!(close(got.u, expected("U"), 1e-12) && close(got.auc, expected("auc"), 1e-12), "{row}");
            assert!(close(got.p_value, expected("p_exact_greater"), 1e-12), "{got:?} {row}");
        }
        assert_eq!(mann_whitney(&[1.0], &[f64::NAN]), Err(StatsError::NotANumber));
        assert_eq!(mann_whitney(&[], &[1.0]), Err(StatsError::Empty));
        let tied = mann_whitney(&[1.0, 1.0], &[1.0]).expect("sound");
        assert!(close(tied.p_value, 1.0, 1e-12) && close(tied.auc, 0.5, 1e-12));
    }
}
