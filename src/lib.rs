//! blabbermouth gates the release of a fine-tuned language model on privacy.

pub mod audit;
pub mod canary;
pub mod chat;
pub mod config;
pub mod dataset;
pub mod detect;
pub mod exit;
pub mod harness;
pub mod probe;
pub mod provider;
pub mod report;
pub mod stats;
pub mod store;
pub mod verdict;
