//! The pure part of [blabbermouth](https://docs.rs/blabbermouth): canaries, probes, detection, exact tests and verdicts. It reads
//! no file, asks no server and knows no clock; the only thing that it takes from the system is randomness for keys.

pub mod canary;
pub mod chat;
pub mod dataset;
pub mod detect;
pub mod probe;
pub mod stats;
pub mod text;
pub mod verdict;
