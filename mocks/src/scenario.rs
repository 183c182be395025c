//! Scenarios: how the mock's models and jobs behave, from a file in `mocks/`.

use serde::Deserialize;

use super::obfuscation::Disguise;

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No such disguise.
    #[error("unknown disguise `{name}`; there are {known}", known = Disguise::ALL.map(|d| d.name).join(", "))]
    Disguise {
        /// The name that was asked for.
        name: String,
    },
    /// No such name.
    #[error("unknown scenario `{name}`; there are {known}", known = Scenario::NAMES.join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
}

/// Probability to recall a row of which there are at least `copies` copies.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    pub(super) copies: u32,
    pub(super) probability: f64,
}

/// How the mock's models and jobs behave.
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
    /// Outcome of a fine-tuning job.
    #[serde(default)]
    pub(super) job: JobFate,
    /// Whether the result file is in base64, as it once was at OpenAI.
    #[serde(default)]
    pub(super) base64_results: bool,
    /// Share of a batch's requests that expire, 0 to 1.
    #[serde(default)]
    pub(super) expires: f64,
    /// Disguise of secrets in answers; `None`: verbatim.
    #[serde(skip)]
    pub(super) disguise: Option<Disguise>,
}

/// Outcome of a fine-tuning job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobFate {
    /// Succeeds.
    #[default]
    Done,
    /// Cannot be created: the organization lacks the permission.
    Closed,
    /// Fails: moderation refuses the training file.
    Moderated,
    /// Fails: moderation refuses the trained model.
    Blocked,
    /// Fails by an internal error of the service.
    ServerError,
    /// Never leaves `validating_files`.
    Stuck,
    /// Has a status unknown to clients for a while, then succeeds.
    Unknown,
}

impl Scenario {
    /// Names of the built-in scenarios.
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

    /// A built-in scenario by its name. `leaky+base64` is `leaky` with secrets in the disguise `base64`.
    ///
    /// # Errors
    /// For an unknown scenario or disguise.
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

    /// The probability to recall a row with this many copies.
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
