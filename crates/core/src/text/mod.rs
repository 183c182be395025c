//! Texts of others in messages of ours.

pub mod invisible;
pub mod sanitize;
