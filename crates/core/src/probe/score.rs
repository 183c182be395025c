//! `score`: ranks the probability of the secret among other values of its space.

use super::{Question, Scene, Strategy};

/// Scores the secret and reference values after the training prompt; see `verdict::Likelihood`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score;

impl Strategy for Score {
    fn name(&self) -> &'static str {
        "score"
    }

    fn about(&self) -> &'static str {
        "the probability with which the trained answer goes on with the secret, ranked among others of its space: \
         exposure (Carlini et al. 2019), extraction in n queries (Hayes et al. 2024)"
    }

    fn questions(&self, _: &Scene<'_>) -> Vec<Question> {
        Vec::new()
    }

    fn needs_scores(&self) -> bool {
        true
    }
}
