//! Foreign text in the program's own messages.

pub mod invisible;
pub mod sanitize;
