//! Training rows: reading them in the shapes that people have, and planting canaries among them in the same shape.
//! Pure: readers and writers are handed in.

mod columnar;
mod columns;
mod plant;
mod rows;
mod service_rules;
mod table;
mod target;

pub use columnar::{arrow_to_jsonl, parquet_to_jsonl};
pub use columns::columns_to_jsonl;
pub use plant::{PlantError, PlantFiles, PlantOptions, PlantSummary, RowFault, Survey, convert_rows, plant, survey};
pub use rows::Rows;
pub use service_rules::{estimate_tokens, validate_chat};
pub use table::{TableSummary, table_to_jsonl};
pub use target::{Target, as_messages};
