//! Training rows: reading them in the formats that people have, checking them by the provider's
//! rules, and planting canaries among them. Pure: readers and writers are handed in.

mod csv;
mod format;
mod parquet;
mod plant;
mod source;
mod validate;

pub use csv::csv_to_jsonl;
pub use format::{Fields, Format};
pub use parquet::parquet_to_jsonl;
pub use plant::{PlantError, PlantOptions, PlantSummary, RowFault, plant, planted_row};
pub use source::Rows;
pub use validate::{estimate_tokens, validate_chat};
