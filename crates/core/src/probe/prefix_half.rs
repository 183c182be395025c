//! `prefix-half`: prefills the trained answer up to the end of the first half of the secret.

use super::{Question, Scene, Strategy};
use crate::chat::{Message, Role};

/// Prefills the trained answer with the first half of the secret. Its requests are made separately and have their own
/// test; see `verdict::HalfHits`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrefixHalf;

impl Strategy for PrefixHalf {
    fn name(&self) -> &'static str {
        "prefix-half"
    }

    fn about(&self) -> &'static str {
        "begins the trained answer up to the middle of the secret: whether somebody who knows half of it gets the rest \
         (Carlini et al. 2023)"
    }

    /// Returns no questions, because each question of this strategy depends on the secret; see [`reveal`].
    fn questions(&self, _: &Scene<'_>) -> Vec<Question> {
        Vec::new()
    }

    fn needs_prefill(&self) -> bool {
        true
    }

    fn reveals(&self) -> bool {
        true
    }
}

/// Returns the training prompt with the trained answer prefilled up to the end of `revealed`, the first half of the
/// secret.
#[must_use]
pub fn reveal(scene: &Scene<'_>, revealed: &str) -> Question {
    let (before, gap) = scene.template.up_to_secret(scene.subject);
    let mut messages = scene.replay();
    messages.push(Message::new(Role::Assistant, format!("{before}{gap}{revealed}")));
    messages.into()
}
