//! `replay`: the training prompt as it was.

use super::Strategy;
use crate::canary::{Canary, Template};
use crate::chat::Message;

/// Asks the training prompt as it was, as in the founding experiment.
#[derive(Debug, Clone, Copy)]
pub struct Replay;

impl Strategy for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn prompt(&self, template: &Template, canary: &Canary) -> Vec<Message> {
        template.prompt(&canary.subject)
    }
}
