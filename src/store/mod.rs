//! What lies on disk: files that are whole or absent, and the run journal.

mod files;
mod journal;

pub use files::{Pending, StoreError, open_data, read, write};
pub use journal::{Claim, Entries, Journal, JournalError, Resumed, RunName};
