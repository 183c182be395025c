//! What lies on disk: files that are whole or absent, and the run journal.

mod files;
mod hub;
mod journal;
mod ledger;

pub use files::{Pending, StoreError, open_data, read, remove, write};
pub(crate) use files::{make_private, private_folder};
pub use hub::{Hub, HubData, HubError};
pub use journal::{Amount, Claim, Entries, Journal, JournalError, ModelName, Rates, Resumed, RunName, Spending};
pub use ledger::{Spent, note_spent};
