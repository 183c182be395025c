//! `replay`: the training prompt, unchanged.

use super::{Question, Scene, Strategy};

/// Asks the training prompt unchanged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay;

impl Strategy for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn about(&self) -> &'static str {
        "the training prompt as it was: discoverable extraction (Carlini et al. 2023)"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        vec![scene.replay().into()]
    }
}
