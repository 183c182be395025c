//! Statistics: numbers in, numbers out.
//!
//! Every test is a randomisation test over our own draw of the secrets, and needs no assumption
//! about the model.

mod guess;
mod multiplicity;
mod proportion;

pub use guess::{CountRank, count_rank, guess_number};
pub use multiplicity::{fisher_combination, holm};
pub use proportion::{clopper_pearson_lower, clopper_pearson_upper, expected_queries, samples_for_bound};

#[cfg(test)]
pub(crate) fn vectors(file: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a vector file")).expect("vectors")
}

#[cfg(test)]
pub(crate) fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs().max(1e-300) || (a - b).abs() < 1e-15
}
