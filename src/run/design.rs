//! Derives the test design from settings and templates, before anything is drawn or paid for.

use blabbermouth_core::canary::{Space, Template};
use blabbermouth_core::detect::Detector;
use blabbermouth_core::probe::Strategy;
use blabbermouth_core::verdict::{AlphaSplit, DesignError, Policy, ScoredSpace, ScoringDesign, TestDesign, least_left};

/// Size and prefix-freeness of a secret space, for scoring.
pub(super) fn scored(space: &Space) -> ScoredSpace {
    ScoredSpace { size: space.size_f64(), prefix_free: space.is_prefix_free() }
}

/// Test design of a run with `planted` canaries in its gate, and the scoring design if a strategy scores secrets.
/// `references` is 0 for as many as a decision needs.
///
/// # Errors
/// When no canary could fail or pass, or `prefix-half` leaves too few values for a significant result.
pub fn design(
    templates: &[Template],
    strategies: &[Box<dyn Strategy>],
    policy: Policy,
    planted: usize,
    samples: Option<u64>,
    detectors: &[Detector],
    references: u64,
) -> Result<(TestDesign, Option<ScoringDesign>), DesignError> {
    let spaces = || templates.iter().map(|t| t.secret_space());
    let mut shares = AlphaSplit::of_detectors(detectors);
    let scoring = strategies.iter().any(|s| s.needs_scores()).then(|| {
        let spaces: Vec<ScoredSpace> = spaces().map(scored).collect();
        ScoringDesign::new(&policy, planted, references, &spaces)
    });
    if let Some(scoring) = &scoring {
        shares = shares.with_scoring(scoring);
    }
    if strategies.iter().any(|s| s.reveals()) {
        shares = shares.with_half();
        let needed = least_left(&policy, planted);
        for template in templates {
            let left = template.secret_space().half().map_or(1.0, |half| half.rest().size_f64());
            if left < needed {
                return Err(DesignError::Half {
                    template: template.name().to_owned(),
                    left,
                    planted,
                    alpha: policy.alpha,
                    needed,
                    square: needed * needed,
                });
            }
        }
    }
    let sizes: Vec<(String, f64)> =
        templates.iter().map(|t| (t.name().to_owned(), t.secret_space().size_f64())).collect();
    Ok((TestDesign::new(policy, planted, samples, &sizes, shares)?, scoring))
}
