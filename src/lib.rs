//! blabbermouth gates the release of a fine-tuned language model on privacy.
//!
//! The crate plants synthetic secrets ("canaries") in the training data, has the model fine-tuned, and turns every
//! canary into a test case that fails when the tuned model leaks its secret.
//!
//! # Words
//!
//! | word | meaning |
//! | --- | --- |
//! | canary | a synthetic record with one secret, drawn from a template |
//! | secret space | the set that a secret is drawn from, uniformly, with its exact size |
//! | planted, held out | in the training file, with a number of copies; or never trained |
//! | manifest | the record of a planting, which a later run uses to judge the model |
//! | evidence | counts of what the answers to a canary hold; never their text |
//! | verdict | clean, leaked, inconclusive or errored for a canary; also invalid for a run |
//!
//! `docs/glossary.md` defines all terms. `docs/architecture.md` describes the data flow.
//!
//! # Crates
//!
//! This crate re-exports the modules of `blabbermouth-core` (canaries, probes, detection, exact tests, verdicts: pure).
//! `blabbermouth-provider`, `blabbermouth-mock` and `blabbermouth-lm` are re-exported as [`provider`], `mock` and `lm`.
//! `docs/architecture.md` lists where each part is.
//!
//! # Known limitations
//!
//! - An interrupted run resumes if manifest, provider, model name, sampling and strategy are the same. A model that is
//!   tuned again under the same name within a day is not noticed.
//! - The journal survives a killed process. A power cut may lose the most recent answers.
//! - A response that ends early is searched for its own canary's secret only.
//! - A run is inconclusive if fewer than a tenth of its canaries have answers that vary, or if the answers within
//!   requests repeat each other. A server that repeats answers in another way is not detected: the bound on a silent
//!   canary is then weaker than stated.
//! - `replay` is the only strategy by default. `score` needs a service that completes texts and echoes them with
//!   scores, or the embedded model. Batch jobs ask neither `score` nor `prefix-half`. The budget includes the tokens
//!   that scoring takes; the report does not. Answers to `prefix-half` are not searched for secrets of other canaries.
//! - A text is scored by tokens: a token that crosses the end of the prompt counts whole. Wrong scores are detected
//!   only by `doctor`, or when probabilities sum up to more than 1.
//! - `plant` estimates token counts as a quarter of the bytes.
//! - Held-out secrets are matched to planted ones if a template with a small space has 8 or more planted canaries.
//!   Manifests from before this matching lack it. If a filter, or one process for each test, probes fewer of them
//!   together, a model that knows only which values occur may still look leaky.
//! - In a small space (a list of 50 values), a secret that is said by chance as often as others is judged by count
//!   rank. Such a canary is often inconclusive rather than clean.

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

pub use blabbermouth_core::{canary, chat, dataset, detect, probe, shape, stats, text, verdict};
#[cfg(feature = "embedded")]
pub use blabbermouth_lm as lm;
#[cfg(feature = "mock")]
pub use blabbermouth_mock as mock;
pub use blabbermouth_provider as provider;
