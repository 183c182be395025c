//! Errors of evidence.

/// Why evidence cannot be made, or is not valid.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EvidenceError {
    /// A file is missing.
    #[error("{name} is missing: the folder is not complete")]
    Missing {
        /// Name of the file.
        name: &'static str,
    },
    /// A file is not part of the evidence.
    #[error("{name} is not part of the evidence: remove it from the folder")]
    Foreign {
        /// Name of the file.
        name: String,
    },
    /// A file differs from what was written.
    #[error("{name} was changed after the evidence was written")]
    Changed {
        /// Name of the file.
        name: &'static str,
    },
    /// The signature is by another key, or of another statement.
    #[error("statement.dsse.json: the signature is not by {signer}")]
    Signature {
        /// The expected signer.
        signer: &'static str,
    },
    /// The report is of another version.
    #[error("report.json: version {found}, expected 1: use the program that wrote it")]
    Version {
        /// Version of the report.
        found: u32,
    },
    /// A key file cannot be used.
    #[error(
        "not an Ed25519 {what} in PEM; `openssl genpkey -algorithm ed25519` makes a private key, `openssl pkey -pubout` the public one"
    )]
    Key {
        /// `private key` or `public key`.
        what: &'static str,
    },
    /// A subject cannot be read.
    #[error("--subject {path}: {message}")]
    Subject {
        /// Path of the subject.
        path: String,
        /// Cause.
        message: String,
    },
}
