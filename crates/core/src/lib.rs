//! The pure part of [blabbermouth](https://docs.rs/blabbermouth): canaries, probes, detection, exact tests and verdicts. It reads
//! no file, asks no server and knows no clock; the only thing that it takes from the system is randomness for keys.
//!
//! Draw canaries, and search an answer that you got from anywhere:
//!
//! ```
//! use blabbermouth_core::canary::{DrawPlan, Manifest, Spaces, Template, builtin_templates};
//! use blabbermouth_core::detect::Searcher;
//!
//! let spaces = Spaces::default();
//! let template = Template::new(builtin_templates().remove(0), &spaces)?;
//! let plan = DrawPlan { templates: vec![template], planted: 4, held_out: 2, copies: vec![1], matched: Vec::new() };
//! let (_manifest, drawn) = Manifest::create(plan, &spaces, None, None)?;
//! let searcher = Searcher::new(drawn.canaries.iter().map(|canary| canary.secret.expose()));
//! let answer = format!("It is {}.", drawn.canaries[0].secret.expose().to_uppercase());
//! assert!(!searcher.search(&answer).is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod canary;
pub mod chat;
pub mod dataset;
pub mod detect;
pub mod probe;
pub mod shape;
pub mod stats;
pub mod text;
pub mod verdict;
