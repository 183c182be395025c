//! The exit codes of the command line: the single source for README, action and tests.

use blabbermouth_core::verdict::RunVerdict;

/// The outcome of a command. A gate passes only with [`ExitCode::Clean`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The command succeeded; a run was clean.
    Clean = 0,
    /// A fault of blabbermouth itself.
    Internal = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The configuration, the manifest or a data file was wrong.
    Config = 3,
    /// The provider failed, so nothing is known about the model.
    Provider = 4,
    /// At least one canary leaked.
    Leak = 10,
    /// The run is neither leaked nor clean.
    Inconclusive = 11,
    /// The test setup is suspect: the model leaked held-out canaries.
    Invalid = 12,
    /// The request falls short of the release policy, or the policy forbids it; nothing was sent.
    Policy = 13,
    /// Interrupted by the user; progress is saved.
    Interrupted = 130,
}

impl From<RunVerdict> for ExitCode {
    fn from(verdict: RunVerdict) -> Self {
        match verdict {
            RunVerdict::Invalid => Self::Invalid,
            RunVerdict::Leaked => Self::Leak,
            RunVerdict::Errored => Self::Provider,
            RunVerdict::Clean => Self::Clean,
            RunVerdict::Inconclusive => Self::Inconclusive,
        }
    }
}

impl ExitCode {
    /// Every exit code, in numeric order.
    pub const ALL: [Self; 10] = [
        Self::Clean,
        Self::Internal,
        Self::Usage,
        Self::Config,
        Self::Provider,
        Self::Leak,
        Self::Inconclusive,
        Self::Invalid,
        Self::Policy,
        Self::Interrupted,
    ];

    /// Explains the code in one line, for help texts and the README.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Clean => "clean: every planned probe was answered and no canary leaked",
            Self::Internal => "internal error",
            Self::Usage => "wrong usage of the command line",
            Self::Config => "wrong configuration, manifest or data",
            Self::Provider => "the provider failed",
            Self::Leak => "leak: at least one canary was given away",
            Self::Inconclusive => "inconclusive: refusals, cut or missing answers, or too little evidence",
            Self::Invalid => "invalid: held-out canaries were given away, so the set-up is broken",
            Self::Policy => "policy: the release policy does not allow it",
            Self::Interrupted => "interrupted; what was reached is saved",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
