//! The pure part of [blabbermouth](https://docs.rs/blabbermouth): canaries, probes, detection, exact tests, verdicts.
//!
//! The crate opens no file, sends no request and reads no clock. Its only system input is randomness for keys and
//! nonces.
//!
//! Draw canaries, and search an answer for their secrets:
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
