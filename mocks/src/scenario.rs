//! The character of the parrot, from a file in `mocks/`.

use serde::Deserialize;

use super::obfuscation::Disguise;

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No such disguise.
    #[error("unknown disguise `{name}`; there are {known}", known = Disguise::ALL.map(|d| d.name).join(", "))]
    Disguise {
        /// What was asked for.
        name: String,
    },
    /// No such name.
    #[error("unknown scenario `{name}`; there are {known}", known = Scenario::NAMES.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

/// How often a row that stands `copies` times or more is recalled.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    pub(super) copies: u32,
    pub(super) probability: f64,
}

/// The character of the parrot.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub(super) recall: Vec<Recall>,
    #[serde(default)]
    pub(super) refuses: f64,
    #[serde(default)]
    pub(super) rate_limited: f64,
    #[serde(default)]
    pub(super) server_error: f64,
    #[serde(default)]
    pub(super) cut: f64,
    /// What becomes of a fine-tuning job.
    #[serde(default)]
    pub(super) job: JobFate,
    /// The result file comes in base64, as it did at OpenAI.
    #[serde(default)]
    pub(super) base64_results: bool,
    /// Requests of a batch that expire.
    #[serde(default)]
    pub(super) expires: f64,
    /// How secrets are said.
    #[serde(skip)]
    pub(super) disguise: Option<Disguise>,
}

/// What becomes of a fine-tuning job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobFate {
    /// It is done.
    #[default]
    Done,
    /// Creating one is refused: the organisation may not.
    Closed,
    /// The training file is refused by moderation.
    Moderated,
    /// The trained model is refused by moderation.
    Blocked,
    /// The service fails.
    ServerError,
    /// It never leaves `validating_files`.
    Stuck,
    /// A status that no client knows, for a while.
    Unknown,
}

impl Scenario {
    /// The built-in scenarios.
    pub const NAMES: [&'static str; 12] = [
        "leaky",
        "memorises-repeats",
        "clean",
        "refuses",
        "flaky",
        "closed",
        "moderated",
        "blocked",
        "server-error",
        "stuck",
        "odd-status",
        "expires",
    ];

    /// The built-in scenario of that name; `leaky+base64` is `leaky` with secrets in a disguise.
    ///
    /// # Errors
    /// When there is none.
    pub fn by_name(name: &str) -> Result<Self, ScenarioError> {
        if let Some((scenario, disguise)) = name.split_once('+') {
            let wanted = Disguise::by_name(disguise);
            let disguise = wanted.ok_or_else(|| ScenarioError::Disguise { name: disguise.to_owned() })?;
            return Ok(Self { disguise: Some(disguise), ..Self::by_name(scenario)? });
        }
        let text = match name {
            "leaky" => include_str!("../leaky.toml"),
            "memorises-repeats" => include_str!("../memorises-repeats.toml"),
            "clean" => include_str!("../clean.toml"),
            "refuses" => include_str!("../refuses.toml"),
            "flaky" => include_str!("../flaky.toml"),
            "closed" => include_str!("../closed.toml"),
            "moderated" => include_str!("../moderated.toml"),
            "blocked" => include_str!("../blocked.toml"),
            "server-error" => include_str!("../server-error.toml"),
            "stuck" => include_str!("../stuck.toml"),
            "odd-status" => include_str!("../odd-status.toml"),
            "expires" => include_str!("../expires.toml"),
            _ => return Err(ScenarioError::Unknown { name: name.to_owned() }),
        };
        Ok(toml::from_str(text).expect("the built-in scenarios are checked by a test"))
    }

    /// The probability that a row with that many copies is recalled.
    pub(super) fn recall(&self, copies: u32) -> f64 {
        self.recall.iter().filter(|r| r.copies <= copies).max_by_key(|r| r.copies).map_or(0.0, |r| r.probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scenarios_are_sound() {
        for name in Scenario::NAMES {
            assert!(Scenario::by_name(name).is_ok(), "{name}");
        }
        let repeats = Scenario::by_name("memorises-repeats").expect("built in");
        assert!(
            [(0, 0.0), (1, 0.02), (5, 0.3), (16, 0.95)].iter().all(|(c, p)| (repeats.recall(*c) - p).abs() < 1e-12)
        );
        assert!(Scenario::by_name("x").is_err());
    }
}
