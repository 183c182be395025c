//! Where answers come from: the [`Provider`] trait, the dialects that it is spoken in, and the mock.

mod anthropic;
mod azure;
mod body;
mod budget;
mod command;
mod connect_error;
mod deadline;
mod discarded;
#[cfg(feature = "embedded")]
pub mod embedded;
mod fireworks;
mod gemini;
mod http;
mod loopback;
mod openai;
mod price;
mod profile;
mod rest;
mod text;
mod throttle;
mod together;
mod tuner;

use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use blabbermouth_core::chat::{Completion, Message, Sampling, Usage};

pub use azure::{DeploymentSettings, MANAGEMENT_TOKEN};
pub use budget::{Amount, Budget, Limits, SpendCounter, micros, worst_case};
pub use deadline::Deadline;
pub use discarded::texts;
pub use discarded::{DiscardSink, Discarded};
pub use fireworks::Fireworks;
/// Answers in one request to the embedded model, which are drawn together: that is several times as quick as one by
/// one.
pub const EMBEDDED_CHOICES: u32 = 32;
pub use http::Endpoint;
pub use http::address_of;
pub use loopback::is_loopback;
pub use openai::{
    BatchAnswer, BatchJob, Capability, Found, MOST_BYTES, MOST_REQUESTS, OpenAi, Redact, read_batch_line,
};
pub use price::{Price, Quoted, price};
pub use profile::{Connection, Dialect, Jobs, Profile, TunerSettings};
pub use profile::{NO_VARIABLE, is_variable};
pub use together::Together;
pub use tuner::{
    Checkpoint, Hyperparameters, Job, JobEvent, JobFault, JobSpec, JobStatus, PrivacySettings, PrivacyUnit, Quotes,
    Stored, Tuner, Tuning,
};

/// Said where texts are to be scored and cannot be.
pub const NO_SCORES: &str = "this service does not give the probability of a text, which the strategy `score` needs";

/// The name under which a run's model answers, kept from one process to the next.
pub trait ModelIdentity: std::fmt::Debug + Send + Sync {
    /// Keeps the name of the first answer, and tells whether `name` is the one that is kept.
    ///
    /// # Errors
    /// When it cannot be kept; the text says why.
    fn keep(&self, name: &str) -> Result<bool, String>;
}

/// One question to a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// The chat so far.
    pub messages: Arc<[Message]>,
    /// How answers are drawn.
    pub sampling: Sampling,
    /// A seed of its own for every request, so that no cache fakes a repeat.
    pub seed: u32,
    /// How many answers are asked for; a server may give fewer.
    pub choices: u32,
    /// Who sees what came of answers that are thrown away, before it is asked again.
    pub broken: DiscardSink,
}

/// What came back. What is in it, and in which order, is a form of the run journal: another one needs another number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// At least one completion.
    pub completions: Vec<Completion>,
    /// Tokens, where the server counts them.
    pub usage: Usage,
    /// Hash of the response's id; 0 where the server gives none. Two responses with one id are one response.
    pub id: u64,
}

/// The first byte of a packed answer: the number of its form.
const PACKED: u8 = 2;

impl Answer {
    /// An answer of a server that names no response id.
    #[must_use]
    pub const fn new(completions: Vec<Completion>, usage: Usage) -> Self {
        Self { completions, usage, id: 0 }
    }

    /// The answer as the run journal keeps it.
    pub fn pack(&self) -> Vec<u8> {
        let text: usize = self.completions.iter().map(|said| said.text.len() + said.beside.len() + 8).sum();
        let mut bytes = Vec::with_capacity(32 + text);
        bytes.push(PACKED);
        postcard::to_extend(self, bytes).expect("an answer is plain data")
    }

    /// What was packed; `None` where that is damaged.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (&PACKED, rest) = bytes.split_first()? else { return None };
        match postcard::take_from_bytes(rest).ok()? {
            (answer, []) => Some(answer),
            _ => None,
        }
    }
}

/// Why there is no answer. Messages never hold an answer's text or a key.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ProviderError {
    /// 401 or 403.
    #[error("the provider refused the API key (HTTP {status}): check the variable {variable}")]
    Key {
        /// The HTTP status.
        status: u16,
        /// The variable that holds the key.
        variable: String,
    },
    /// 401 or 403, and no key was sent.
    #[error("the service asks for an API key (HTTP {status}), and {variable} is not set")]
    NoKey {
        /// The HTTP status.
        status: u16,
        /// The variable that should hold the key.
        variable: String,
    },
    /// 404.
    #[error(
        "the provider knows no model `{model}` (HTTP 404): check --model, and that the base URL ends in its version, as in /v1; a model that was just tuned may need minutes"
    )]
    NoModel {
        /// The model.
        model: String,
    },
    /// Nothing left to spend.
    #[error("the provider's quota is used up (HTTP 402, or 429 with insufficient_quota)")]
    Quota,
    /// Any other refusal.
    #[error("the provider answered HTTP {status} ({code})")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its error code, or `no code`.
        code: String,
    },
    /// A call of files or jobs that was refused.
    #[error("the provider refused (HTTP {status}, {code}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its error code, or `no code`.
        code: String,
        /// Its message, of one line and cut; hostile input.
        message: String,
    },
    /// Answers of two models in one run: nobody can tell which of them is the one that was tuned.
    #[error(
        "the answers of this run are of more than one model, by the names in them: ask one model, not a choice of \
         them; `--fresh` begins anew"
    )]
    TwoModels,
    /// Another tuned model than the one that was asked for.
    #[error(
        "another tuned model answers than the one that was asked for, by the name in its answer: check --model, and where \
         a gateway sends requests to"
    )]
    WrongModel,
    /// Another model than the one that answered this run before it was interrupted.
    #[error(
        "another model answers than before this run was interrupted, by the names in the answers: nothing more is \
         asked; `--fresh` forgets what that one said, and asks anew"
    )]
    OtherModel,
    /// Something that is not what was asked for.
    #[error("the provider's answer is not what was asked for: {what}")]
    Malformed {
        /// What it is instead.
        what: String,
    },
    /// No connection, or none that held.
    #[error("no answer from {host}: {what}")]
    Connection {
        /// The host.
        host: String,
        /// The fault.
        what: String,
    },
    /// Nothing left of what the user allows.
    #[error(
        "the budget of this run is used up; raise --max-requests, --max-tokens or --max-cost, and the run goes on where it is"
    )]
    Budget,
    /// A batch gave no answer.
    #[error(
        "the batch gave no answer to this request (it failed or expired): run again, and what is missing is submitted"
    )]
    Unanswered,
    /// The time for the whole run is over.
    #[error("the deadline of this run has passed; raise --deadline, and the run goes on where it is")]
    Deadline,
    /// A cassette has no answer to a request.
    #[error("{path}: the cassette has no answer to this request: record it again with the same settings")]
    Cassette {
        /// The file.
        path: String,
    },
    /// No part of a run that was sharded has an answer to a request.
    #[error("no part of the run has an answer to this request")]
    NoPart,
    /// An earlier request failed in a way that would strike this one, too.
    #[error("not asked: an earlier request failed for good")]
    Aborted,
    /// The set-up cannot work.
    #[error("{0}")]
    Setup(String),
}

impl ProviderError {
    /// Whether it would strike every further request too.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Key { .. }
                | Self::NoKey { .. }
                | Self::NoModel { .. }
                | Self::TwoModels
                | Self::OtherModel
                | Self::WrongModel
                | Self::Quota
                | Self::Budget
                | Self::Deadline
                | Self::Aborted
                | Self::Setup(_)
        )
    }
}

/// The future of [`Provider::complete`].
pub type Completing<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProviderError>> + Send + 'a>>;

/// The future of [`Provider::score`].
pub type Scoring<'a> = Pin<Box<dyn Future<Output = Result<Vec<f64>, ProviderError>> + Send + 'a>>;

/// Something that answers chats.
pub trait Provider: Send + Sync {
    /// Asks once; retries, where they make sense, are the provider's own.
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a>;
    /// Natural logarithms of the probabilities (at temperature 1) with which the model goes on with each of
    /// `continuations` after `messages`; a last message of the assistant is an answer that was begun.
    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        let _ = (messages, continuations);
        Box::pin(async { Err(ProviderError::Setup(NO_SCORES.into())) })
    }
    /// Whether [`Provider::score`] is there.
    fn scores(&self) -> bool {
        false
    }
    /// The model's name, for reports.
    fn model(&self) -> &str;
    /// The name of the model in its answers, which may differ from [`Provider::model`]; `None` before the first answer,
    /// and where answers name none. Hostile input.
    fn served(&self) -> Option<String> {
        None
    }
    /// The provider's address, for reports.
    fn address(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;
    use blabbermouth_core::chat::Finish;

    fn answer() -> Answer {
        let said = |text: &str, finish, refused| Completion { finish, refused, ..Completion::of(text) };
        let completions = vec![
            said("no", Finish::Stop, true),
            said("\u{e9}\0", Finish::Other, false),
            said("", Finish::Length, false),
        ];
        Answer { completions, usage: Usage { prompt_tokens: 300, completion_tokens: u64::MAX }, id: 5 }
    }

    #[test]
    fn an_answer_is_packed_as_journals_have_it() {
        let most = [0xff; 9];
        let packed =
            [&b"\x02\x03\x02no\x00\x00\x01\x03\xc3\xa9\0\x00\x03\x00\x00\x00\x01\x00\xac\x02"[..], &most, &[1, 5]]
                .concat();
        assert_eq!(answer().pack(), packed);
        assert_eq!(Answer::unpack(&packed), Some(answer()));
    }

    #[test]
    fn a_damaged_answer_is_none() {
        let packed = answer().pack();
        for end in 0..packed.len() {
            assert_eq!(Answer::unpack(&packed[..end]), None, "{end}");
        }
        assert_eq!(Answer::unpack(&[&packed[..], b"\0"].concat()), None);
        assert_eq!(
            Answer::unpack(b"\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01no"),
            None,
            "of more texts than there can be"
        );
        for other in [&b"\0"[..], b"\x01", b"[]", b"{}"] {
            assert_eq!(Answer::unpack(other), None);
        }
    }
}
