//! The two kinds of models: a parrot, or a real one.

use std::sync::Arc;

use super::parrot::Parrot;
#[cfg(feature = "embedded")]
use blabbermouth_provider::embedded::Model;

/// A model of the mock.
#[derive(Clone)]
pub(super) enum Backend {
    /// A parrot, which invents its answers.
    Parrot(Arc<Parrot>),
    /// A trained model.
    #[cfg(feature = "embedded")]
    Model(Arc<Model>),
}
