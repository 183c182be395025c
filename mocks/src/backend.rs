//! Who answers for a model: a parrot, or a real one.

use std::sync::Arc;

use super::parrot::Parrot;
#[cfg(feature = "embedded")]
use blabbermouth_provider::embedded::Model;

/// Who answers.
#[derive(Clone)]
pub(super) enum Backend {
    /// Makes it up.
    Parrot(Arc<Parrot>),
    /// Was trained.
    #[cfg(feature = "embedded")]
    Model(Arc<Model>),
}
