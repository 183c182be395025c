//! Reasons why a job ended without a model, with their remedies.

use std::fmt;

use blabbermouth_core::text::invisible::one_line;
use blabbermouth_provider::{Job, JobStatus};

/// Why a job ended without a model. Messages come from the service: one line, cut, hostile input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The service refused a row or the format of a file.
    InvalidFile(String),
    /// Moderation refused the training file.
    Moderation(String),
    /// Moderation refused the trained model.
    Blocked(String),
    /// A quota or a limit of the account.
    Quota(String),
    /// The job was cancelled.
    Cancelled,
    /// The service failed.
    Service(String),
}

impl Fault {
    /// Whether the service declined by its rules, so that a retry changes nothing.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::InvalidFile(_) | Self::Moderation(_) | Self::Blocked(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidFile(said) => write!(
                f,
                "the service refused a file as invalid ({said})\n  mend the rows, `blabbermouth plant --force`, and tune again"
            ),
            Self::Moderation(said) => write!(
                f,
                "moderation refused the training file ({said})\n  choose templates that pass, such as order-phone or \
                 support-account, in `canaries.templates`; plant fewer canaries; `blabbermouth tune --screen` asks moderation beforehand"
            ),
            Self::Blocked(said) => write!(
                f,
                "the model was trained, and then blocked by the service's safety checks ({said})\n  choose templates that \
                 look less sensitive in `canaries.templates`, or fewer canaries; the training was billed"
            ),
            Self::Quota(said) => {
                write!(f, "the account's quota or limit ({said})\n  raise it, then `blabbermouth tune --retry`")
            }
            Self::Cancelled => write!(f, "it was cancelled"),
            Self::Service(said) => write!(f, "the service failed ({said})"),
        }
    }
}

/// Classifies a failed job by its fault code and by words in its message.
#[must_use]
pub fn classify(job: &Job) -> Fault {
    if job.status == JobStatus::Cancelled {
        return Fault::Cancelled;
    }
    let fault = job.fault.clone().unwrap_or_default();
    let said = one_line(&fault.message);
    let (code, words) = (fault.code.to_lowercase(), said.to_lowercase());
    let moderation = code.contains("moderation") || words.contains("moderation") || words.contains("usage policies");
    let said =
        if said.is_empty() { fault.code.chars().filter(|c| c.is_ascii_graphic()).take(64).collect() } else { said };
    let of_a_file = words.contains("file") || code.contains("file");
    if moderation && of_a_file && !words.contains("snapshot") {
        Fault::Moderation(said)
    } else if moderation || words.contains("safety") {
        Fault::Blocked(said)
    } else if code.contains("quota") || code.contains("billing") || code.contains("limit") {
        Fault::Quota(said)
    } else if code.starts_with("invalid") || (of_a_file && words.contains("format")) {
        Fault::InvalidFile(said)
    } else {
        Fault::Service(said)
    }
}
