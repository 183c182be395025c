//! blabbermouth gates the release of a fine-tuned language model on privacy.
//!
//! It plants synthetic secrets ("canaries") in the training data, has the model fine-tuned, and
//! turns every canary into a test case that fails when the tuned model gives its secret away.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | canary | a synthetic record with one secret, drawn from a template |
//! | secret space | the set that a secret is drawn from, uniformly, with its exact size |
//! | planted, held out | in the training file, with a number of copies; or never trained |
//! | manifest | the record of a planting, by which a later run judges |
//! | evidence | counts of what the answers to a canary hold; never their text |
//! | verdict | clean, leaked, inconclusive or errored for a canary; also invalid for a run |
//!
//! `docs/glossary.md` has all of them, and `docs/architecture.md` the way that data takes.
//!
//! # Crates
//!
//! This crate re-exports the modules of `blabbermouth-core` (canaries, probes, detection, exact tests, verdicts: pure), and
//! `blabbermouth-provider`, `blabbermouth-mock` and `blabbermouth-lm` as [`provider`], `mock` and `lm`. `docs/architecture.md` says
//! where each thing is.
//!
//! # Known limitations
//!
//! - An interrupted run is taken up again when manifest, provider, model name, sampling and strategy
//!   are the same; a model that was tuned again under the same name within a day is not noticed.
//! - The journal survives a killed process; a power cut may lose the answers of the last moments.
//! - What came of an answer that broke off is searched for the secret that was asked about, not for those of other canaries.
//! - A run in which no two answers of any canary differ is inconclusive; a server that repeats only
//!   some of its answers is not found out, and the bound on a silent canary then means less than it says.
//! - `replay` is the only strategy by default. `score` needs a service that completes texts and echoes them with scores, or
//!   the embedded model; it is not asked by batch jobs, nor is `prefix-half`. Tokens that scoring takes are in the budget, not
//!   in the report. Answers to `prefix-half` are not searched for secrets of other canaries.
//! - A text is scored by tokens: a token that reaches over the end of the prompt counts whole; a server that scores
//!   wrongly is found out by `doctor`, or where probabilities sum up to more than 1, not otherwise.
//! - Token counts of `plant` are estimates: a quarter of the bytes.
//! - Held-out secrets are matched to planted ones where a template of a small space has 8 planted canaries or more, in
//!   manifests that were made since there is such a draw; where fewer of them are probed together (a filter, a process
//!   for each test), a model that knows which values occur may still look leaky.
//! - In a small space (a list of 50 values) a secret that is said by chance as often as others is
//!   judged by count rank; such a canary is often inconclusive rather than clean.

pub mod cassette;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod evidence;
pub mod exit;
pub mod harness;
pub mod report;
pub mod run;
pub mod store;
pub mod tune;

pub use blabbermouth_core::{canary, chat, dataset, detect, probe, stats, text, verdict};
#[cfg(feature = "embedded")]
pub use blabbermouth_lm as lm;
#[cfg(feature = "mock")]
pub use blabbermouth_mock as mock;
pub use blabbermouth_provider as provider;
