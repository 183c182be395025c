//! The shape of training rows: where a row holds its conversation, and how a chat becomes a row of the same shape.

mod catalog;
mod conversation;
mod layout;
mod marks;
mod planted_row;
mod raw_row;
mod turn_keys;

pub use catalog::CATALOG;
pub use layout::{Label, Layout, Shape};
pub use marks::Marks;
pub use planted_row::Side;
pub use turn_keys::TurnKeys;

pub(crate) use conversation::{Conversation, Speaker, Turn};
pub(crate) use layout::TOOL_COLUMNS;
pub(crate) use raw_row::{Kind, RawCell, RawRow, TextScan, compact, with_nested, without_nan};
