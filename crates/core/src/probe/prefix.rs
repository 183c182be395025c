//! `prefix`: prefills the trained answer up to the secret.

use super::{Question, Scene, Strategy};
use crate::chat::{Message, Role};

/// Prefills the trained answer up to the secret, so that the model continues with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix;

impl Strategy for Prefix {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn about(&self) -> &'static str {
        "begins the trained answer up to the secret, and lets the model go on: extraction with a prefix \
         (Carlini et al. 2021)"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        let begun = scene.template.before_secret(scene.subject);
        if begun.is_empty() {
            return Vec::new();
        }
        let mut messages = scene.replay();
        messages.push(Message::new(Role::Assistant, begun));
        vec![messages.into()]
    }

    fn needs_prefill(&self) -> bool {
        true
    }
}
