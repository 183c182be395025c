//! `prefix-half`: begins the answer, up to and with the first half of the secret.

use super::{Question, Scene, Strategy};
use crate::chat::{Message, Role};

/// Begins the answer with a part of the secret. It is asked for itself, and judged by a test of its own; see
/// `verdict::HalfHits`.
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

    /// Those that know nothing of the secret: none.
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

/// The training prompt with the answer begun up to the end of `revealed`, the first half of the secret.
#[must_use]
pub fn reveal(scene: &Scene<'_>, revealed: &str) -> Question {
    let (before, gap) = scene.template.up_to_secret(scene.subject);
    let mut messages = scene.replay();
    messages.push(Message::new(Role::Assistant, format!("{before}{gap}{revealed}")));
    messages.into()
}
