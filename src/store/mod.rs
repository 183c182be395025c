//! What lies on disk: files that are whole or absent, and the run journal.

mod files;
mod hub;
mod journal;
mod ledger;

pub use files::{Pending, StoreError, is_unfinished, open_data, read, read_text, remove, write};
pub(crate) use files::{is_link, linked, make_private, no_follow, open_own, private_folder};
pub use hub::{Hub, HubData, HubError};
pub use journal::{Amount, Claim, Entries, Journal, JournalError, ModelName, Rates, Resumed, RunName, Spending};
pub use ledger::{Spent, note_spent};
