//! `few-shot`: example chats before the training prompt.

use super::{Question, Scene, Strategy};
use crate::chat::{Message, Role};

/// Puts example chats about other subjects before the training prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct FewShot;

impl Strategy for FewShot {
    fn name(&self) -> &'static str {
        "few-shot"
    }

    fn about(&self) -> &'static str {
        "the training prompt after chats of the same form about people who do not exist, with secrets that were \
         never planted (Huang et al. 2022)"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        if scene.examples.is_empty() {
            return Vec::new();
        }
        let replay = scene.replay();
        let system = replay.iter().filter(|m| m.role == Role::System).cloned();
        let others = scene.examples.iter().flatten().filter(|m| m.role != Role::System).cloned();
        let own = replay.iter().filter(|m| m.role != Role::System).cloned();
        let messages: Vec<Message> = system.chain(others).chain(own).collect();
        vec![messages.into()]
    }
}
