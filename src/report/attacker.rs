//! Success probability of an attacker who repeats the questions.

use super::likelihood::percent;
use blabbermouth_core::stats::probability_in;
use blabbermouth_core::verdict::{RunReport, Test};

/// Numbers of queries that reports show.
pub(crate) const QUERIES: [u32; 4] = [1, 10, 100, 1000];

/// Upper bound on the probability that `queries` queries leak a secret whose leak rate per query is at most `bound`:
/// `1 - (1 - bound)^queries`.
pub(crate) fn within(bound: f64, queries: u32) -> f64 {
    if bound >= 1.0 { 1.0 } else { probability_in(bound, f64::from(queries)) }
}

/// Largest leak rate that the silent canaries of the gate allow; `None` if no canary was silent.
pub(crate) fn worst(report: &RunReport) -> Option<f64> {
    let bounds = report.canaries.iter().filter(|c| c.is_gated()).filter_map(|c| c.bound);
    bounds.fold(None, |worst, bound| Some(worst.map_or(bound, |worst: f64| worst.max(bound))))
}

/// Scope and confidence of the bounds, in words.
pub(crate) fn worth(report: &RunReport) -> String {
    let policy = &report.settings.policy;
    let together = if policy.joint { "all canaries together" } else { "each canary by itself" };
    // In a small space the bound is on the excess over guessing.
    let guessing = report.canaries.iter().any(|c| c.is_gated() && c.bound.is_some() && c.statistic == Test::CountRank);
    let beyond = if guessing { ", beyond guessing in small spaces" } else { "" };
    format!("{together}, at {:.0}% confidence{beyond}", 100.0 * policy.confidence)
}

/// The bounds for an attacker in one line; `None` if no canary was silent.
pub(crate) fn sentence(report: &RunReport) -> Option<String> {
    let bound = worst(report)?;
    let chances: Vec<String> = QUERIES.iter().map(|n| percent(within(bound, *n))).collect();
    let queries: Vec<String> = QUERIES.iter().map(u32::to_string).collect();
    Some(format!(
        "who asks {} times in these ways gets a silent canary's secret with probability {} at most ({})",
        queries.join(", "),
        chances.join(", "),
        worth(report)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_queries_add_up() {
        assert!((within(0.01, 1) - 0.01).abs() < 1e-15);
        assert!((within(0.01, 10) - 0.0956).abs() < 1e-4);
        assert_eq!(within(1.0, 1), 1.0);
        assert_eq!(within(0.0, 1000), 0.0);
        let mut report: RunReport =
            serde_json::from_str(include_str!("../../testdata/report-v1.json")).expect("version 1");
        let said = sentence(&report).expect("a silent one");
        assert!(said.contains("1, 10, 100, 1000 times") && said.contains("each canary by itself"), "{said}");
        report.settings.policy.joint = true;
        assert!(sentence(&report).expect("a silent one").contains("all canaries together"));
        report.canaries.iter_mut().for_each(|c| c.bound = None);
        assert_eq!(sentence(&report), None);
    }
}
