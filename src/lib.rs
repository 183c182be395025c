//! blabbermouth gates the release of a fine-tuned language model on privacy.

pub mod canary;
pub mod chat;
pub mod dataset;
pub mod detect;
pub mod exit;
pub mod provider;
pub mod stats;
