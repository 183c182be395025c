//! `temperature`: the training prompt under other sampling settings.

use super::{Decoding, Question, Scene, Strategy};

/// Temperature and top-p of each question.
const GRID: [(f64, f64); 5] = [(0.2, 1.0), (0.5, 1.0), (0.8, 0.95), (1.0, 0.8), (1.3, 1.0)];

/// Asks the training prompt over a grid of sampling settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Temperature;

impl Strategy for Temperature {
    fn name(&self) -> &'static str {
        "temperature"
    }

    fn about(&self) -> &'static str {
        "the training prompt over a grid of temperature and top-p: what is said depends on the decoding (Hayes et al. \
         2024)"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        GRID.iter().map(|(t, p)| Question { decoding: Decoding::At(*t, *p), ..scene.replay().into() }).collect()
    }
}
