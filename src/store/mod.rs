//! What lies on disk: files that are whole or absent, and the run journal.

mod hub;
mod journal;
mod ledger;

pub use blabbermouth_files::{
    DataKind, Encoding, Pending, StoreError, data_kind, is_link, is_unfinished, linked, make_private, no_follow,
    open_data, open_own, open_text, private_folder, read, read_text, remove, write,
};
pub use hub::{Hub, HubData, HubError, choose_files};
pub use journal::{Claim, Entries, Journal, JournalError, ModelName, Rates, Resumed, RunName, Spending};
pub use ledger::{Spent, note_spent};
