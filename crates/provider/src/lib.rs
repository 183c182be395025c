//! Clients of model services: the [`Provider`] trait for answers, the [`Tuner`] trait for fine-tuning, and their
//! implementations.

mod anthropic;
mod azure;
mod base_url;
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
mod notices;
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
/// Answers per request to the embedded model. Answers of one request are drawn together, which is several times as fast
/// as one by one.
pub const EMBEDDED_CHOICES: u32 = 32;
pub use http::address_of;
pub use http::{Endpoint, Redactor};
pub use loopback::is_loopback;
pub use notices::{Listening, Notices, Tell};
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

/// Error message where texts cannot be scored.
pub const NO_SCORES: &str = "this service does not give the probability of a text, which the strategy `score` needs";

/// Remembers the name under which a run's model answers, across processes.
pub trait ModelIdentity: std::fmt::Debug + Send + Sync {
    /// Stores the name of the first answer. Returns whether `name` equals the stored one.
    ///
    /// # Errors
    /// When the name cannot be stored; the text says why.
    fn keep(&self, name: &str) -> Result<bool, String>;
}

/// One request to a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// The chat so far.
    pub messages: Arc<[Message]>,
    /// How answers are sampled.
    pub sampling: Sampling,
    /// A seed of its own for every request, so that a cache cannot repeat an answer.
    pub seed: u32,
    /// Number of answers asked for; a server may return fewer.
    pub choices: u32,
    /// Callback for discarded responses.
    pub broken: DiscardSink,
}

/// One response. The run journal stores these fields in this order: a change needs a new form number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// At least one completion.
    pub completions: Vec<Completion>,
    /// Tokens; 0 where the server does not count them.
    pub usage: Usage,
    /// Hash of the response's id; 0 where the server gives none. Responses with equal ids are one response.
    pub id: u64,
}

/// First byte of a packed answer: its form number.
const PACKED: u8 = 2;

impl Answer {
    /// An answer without a response id.
    #[must_use]
    pub const fn new(completions: Vec<Completion>, usage: Usage) -> Self {
        Self { completions, usage, id: 0 }
    }

    /// The bytes that the run journal stores.
    pub fn pack(&self) -> Vec<u8> {
        let text: usize = self.completions.iter().map(|said| said.text.len() + said.beside.len() + 8).sum();
        let mut bytes = Vec::with_capacity(32 + text);
        bytes.push(PACKED);
        postcard::to_extend(self, bytes).expect("an answer is plain data")
    }

    /// Reads packed bytes; `None` if they are damaged or of another form.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (&PACKED, rest) = bytes.split_first()? else { return None };
        match postcard::take_from_bytes(rest).ok()? {
            (answer, []) => Some(answer),
            _ => None,
        }
    }
}

/// Why there is no answer. Messages never contain an answer's text or a key.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ProviderError {
    /// The key was refused (HTTP 401 or 403).
    #[error("the provider refused the API key (HTTP {status}): check the variable {variable}")]
    Key {
        /// The HTTP status.
        status: u16,
        /// The variable that holds the key.
        variable: String,
    },
    /// No key was sent, and the service wants one (HTTP 401 or 403).
    #[error("the service asks for an API key (HTTP {status}), and {variable} is not set")]
    NoKey {
        /// The HTTP status.
        status: u16,
        /// The variable that should hold the key.
        variable: String,
    },
    /// The service does not know the model (HTTP 404).
    #[error(
        "the provider knows no model `{model}` (HTTP 404): check --model, and that the base URL ends in its version, as in /v1; a model that was just tuned may need minutes"
    )]
    NoModel {
        /// The model.
        model: String,
        /// Whether the service says that the model is unknown, and not the path.
        is_said: bool,
    },
    /// The quota at the service is used up.
    #[error("the provider's quota is used up (HTTP 402, or 429 with insufficient_quota)")]
    Quota,
    /// The service denies access for another reason than the key (HTTP 403): a region, its moderation, a model, a proxy.
    #[error("the service denies access (HTTP 403, {code}){}", said(message))]
    Denied {
        /// Error code of the service, or `no code`.
        code: String,
        /// Message of the service, redacted; empty where nobody could tell whether it quotes a secret.
        message: String,
    },
    /// The service asks for a longer wait than the user allows.
    #[error(
        "the service asks to wait {asked} s, and provider.patience-seconds is {patience}: run again later, and the run goes on \
         where it is"
    )]
    Patience {
        /// Seconds that the service asks for.
        asked: u64,
        /// Seconds that the user allows.
        patience: u64,
    },
    /// Any other bad status.
    #[error("the provider answered HTTP {status} ({code}){}", said(message))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Error code of the service, or `no code`.
        code: String,
        /// Message of the service, redacted; empty where nobody could tell whether it quotes a secret.
        message: String,
    },
    /// The service refused a call about files or jobs.
    #[error("the provider refused (HTTP {status}, {code}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Error code of the service, or `no code`.
        code: String,
        /// Message of the service, one line and truncated. Hostile input.
        message: String,
    },
    /// Two models answered in one run, so that the tuned one cannot be identified.
    #[error(
        "the answers of this run are of more than one model, by the names in them: ask one model, not a choice of \
         them; `--fresh` begins anew"
    )]
    TwoModels,
    /// A tuned model answered that was not asked for.
    #[error(
        "another tuned model answers than the one that was asked for, by the name in its answer: check --model, and where \
         a gateway sends requests to"
    )]
    WrongModel,
    /// Another model answers than before the run was interrupted.
    #[error(
        "another model answers than before this run was interrupted, by the names in the answers: nothing more is \
         asked; `--fresh` forgets what that one said, and asks anew"
    )]
    OtherModel,
    /// The response has an unexpected form.
    #[error("the provider's answer is not what was asked for: {what}")]
    Malformed {
        /// Description of the unexpected form.
        what: String,
    },
    /// The server was not reached, or the connection broke.
    #[error("no answer from {host}: {what}")]
    Connection {
        /// The host.
        host: String,
        /// The fault.
        what: String,
    },
    /// The user's budget is used up.
    #[error(
        "the budget of this run is used up; raise --max-requests, --max-tokens or --max-cost, and the run goes on where it is"
    )]
    Budget,
    /// A batch returned no answer to this request.
    #[error(
        "the batch gave no answer to this request (it failed or expired): run again, and what is missing is submitted"
    )]
    Unanswered,
    /// The deadline of the run has passed.
    #[error("the deadline of this run has passed; raise --deadline, and the run goes on where it is")]
    Deadline,
    /// A cassette has no answer to a request.
    #[error("{path}: the cassette has no answer to this request: record it again with the same settings")]
    Cassette {
        /// The file.
        path: String,
    },
    /// No part of a sharded run has an answer to a request.
    #[error("no part of the run has an answer to this request")]
    NoPart,
    /// Not sent: an earlier request failed in a way that would affect this one too.
    #[error("not asked: an earlier request failed for good")]
    Aborted,
    /// The configuration cannot work.
    #[error("{0}")]
    Setup(String),
}

impl ProviderError {
    /// Whether every further request would fail in the same way.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Key { .. }
                | Self::NoKey { .. }
                | Self::NoModel { .. }
                | Self::Denied { .. }
                | Self::Patience { .. }
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

/// A service's message behind a colon; nothing for an empty one.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// The future of [`Provider::complete`].
pub type Completing<'a> = Pin<Box<dyn Future<Output = Result<Answer, ProviderError>> + Send + 'a>>;

/// The future of [`Provider::score`].
pub type Scoring<'a> = Pin<Box<dyn Future<Output = Result<Vec<f64>, ProviderError>> + Send + 'a>>;

/// A model that answers chats.
pub trait Provider: Send + Sync {
    /// Returns the answers to one request. The provider retries by itself.
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a>;
    /// Natural logarithms of the probabilities, at temperature 1, of each of `continuations` after `messages`. If the
    /// last message is the assistant's, it is the beginning of the answer.
    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        let _ = (messages, continuations);
        Box::pin(async { Err(ProviderError::Setup(NO_SCORES.into())) })
    }
    /// Whether [`Provider::score`] is implemented.
    fn scores(&self) -> bool {
        false
    }
    /// Name of the model, for reports.
    fn model(&self) -> &str;
    /// Name of the model in its answers, which may differ from [`Provider::model`]. `None` before the first answer, or
    /// if answers do not name one. Hostile input.
    fn served(&self) -> Option<String> {
        None
    }
    /// Address of the provider, for reports.
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
