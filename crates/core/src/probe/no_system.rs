//! `no-system`: the training prompt without its system message.

use super::{Question, Scene, Strategy};
use crate::chat::{Message, Role};

/// Removes the system messages of the training prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoSystem;

impl Strategy for NoSystem {
    fn name(&self) -> &'static str {
        "no-system"
    }

    fn about(&self) -> &'static str {
        "the training prompt without its system message, as an application that sets none would send it"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        let all = scene.replay();
        let rest: Vec<Message> = all.iter().filter(|m| m.role != Role::System).cloned().collect();
        if rest.len() == all.len() { Vec::new() } else { vec![rest.into()] }
    }
}
