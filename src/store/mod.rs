//! Storage: files that are whole or absent, the run journal, the ledger, data sets of the Hugging Face hub.

mod hub;
mod journal;
mod ledger;
mod split_files;

pub use blabbermouth_files::{
    DataKind, Encoding, Pending, StoreError, data_kind, is_link, is_unfinished, linked, make_private, no_follow,
    open_data, open_own, open_text, private_folder, read, read_text, remove, write,
};
pub use hub::{Hub, HubData, HubError};
pub use journal::{Claim, Entries, Journal, JournalError, ModelName, Rates, Resumed, RunName, Spending};
pub use ledger::{Spent, note_spent};
pub use split_files::choose_files;
