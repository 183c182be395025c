//! Exact significance of an extracted secret, without held-out canaries.

use std::collections::HashMap;

/// Returns the p-value of the guess-number test: `g / size`, where the secret is the `g`-th distinct candidate of a
/// space of `size` members.
///
/// The test is decided at the hit, so stopping there does not change its error probability. An upper bound on `g` keeps
/// it valid.
#[must_use]
pub fn guess_number(g: f64, size: f64) -> f64 {
    (g.max(1.0) / size).min(1.0)
}

/// The result of [`count_rank`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountRank {
    /// Share of the space that occurred at least as often as the secret.
    pub p_value: f64,
    /// `size × count / all`. Its mean is at most 1 when the model knows nothing and each candidate stands for one
    /// member.
    pub e_value: f64,
}

/// Runs the count-rank test after a fixed number of samples: how many candidates occurred at least as often as the
/// secret.
///
/// `counts` holds for each candidate its number of occurrences and the number of members of the space that it stands
/// for.
#[must_use]
pub fn count_rank(secret: u64, counts: &HashMap<u64, (u64, f64)>, size: f64) -> CountRank {
    if secret == 0 {
        return CountRank { p_value: 1.0, e_value: 0.0 };
    }
    let at_least: f64 = counts.values().filter(|(count, _)| *count >= secret).map(|(_, weight)| weight).sum();
    let all: u64 = counts.values().map(|(count, _)| count).sum();
    CountRank { p_value: (at_least.max(1.0) / size).min(1.0), e_value: size * secret as f64 / all.max(secret) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{close, vectors};

    #[test]
    fn guess_number_vectors() {
        let mut hits = 0;
        for row in vectors("guess_number") {
            let secret = &row["inputs"]["secret"];
            let mut seen: Vec<&serde_json::Value> = Vec::new();
            for emitted in row["inputs"]["emitted"].as_array().expect("a list") {
                if emitted.is_null() || emitted == "out-of-space" {
                    continue;
                }
                if !seen.contains(&emitted) {
                    seen.push(emitted);
                }
                if emitted == secret {
                    let size = row["inputs"]["space"].as_f64().expect("a size");
                    let expected = row["expected"]["p_value"].as_f64().expect("p");
                    assert!(close(guess_number(seen.len() as f64, size), expected, 1e-12), "{row}");
                    hits += 1;
                    break;
                }
            }
        }
        assert!(hits >= 3);
    }

    #[test]
    fn count_rank_vectors() {
        for row in vectors("count_rank") {
            let counts = row["inputs"]["in_space_counts"].as_object().expect("counts");
            let table =
                counts.values().enumerate().map(|(i, c)| (i as u64, (c.as_u64().expect("count"), 1.0))).collect();
            let secret = counts["s"].as_u64().expect("a count");
            let got = count_rank(secret, &table, row["inputs"]["space"].as_f64().expect("size"));
            assert!(close(got.p_value, row["expected"]["p_value"].as_f64().expect("p"), 1e-12), "{row}");
            assert!(close(got.e_value, row["expected"]["e_value"].as_f64().expect("e"), 1e-12), "{row}");
        }
    }
}
