//! Strategies: which question is put to the model for a canary. One file each, one registry.

mod replay;

use crate::canary::{Canary, Template};
use crate::chat::Message;

pub use replay::Replay;

/// A way to ask. It may depend on the public slots of a canary, never on its secret.
pub trait Strategy: Send + Sync {
    /// The name in configuration and reports.
    fn name(&self) -> &'static str;
    /// The chat that is sent.
    fn prompt(&self, template: &Template, canary: &Canary) -> Vec<Message>;
}

/// All strategies.
#[must_use]
pub fn registry() -> Vec<Box<dyn Strategy>> {
    vec![Box::new(Replay)]
}

/// The strategy of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<Box<dyn Strategy>> {
    registry().into_iter().find(|strategy| strategy.name() == name)
}
