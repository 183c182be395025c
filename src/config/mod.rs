//! Settings, in order of increasing precedence: embedded defaults, file, environment, flags.

mod release_policy;
mod sections;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::read_text;
use blabbermouth_core::canary::{Spaces, Template, TemplateError, TemplateSpec, builtin_templates};
use blabbermouth_core::dataset::Target as RowTarget;
use blabbermouth_core::detect::Synonyms;
use blabbermouth_core::probe::{self, Strategy, UserStrategySpec};
use blabbermouth_core::text::sanitize::{toml_fault, without_values};
use blabbermouth_core::verdict::ReleaseContext;
use blabbermouth_provider::{NO_VARIABLE, Price, is_variable};

/// Smallest alpha: a smaller one needs more redraws than are practical.
const LEAST_ALPHA: f64 = 1e-4;
/// Smallest confidence of a bound.
const LEAST_CONFIDENCE: f64 = 0.8;
/// Smallest bound: a smaller one takes millions of answers for each canary.
const LEAST_BOUND: f64 = 1e-6;
/// Upper limits of canaries, copies and requests in flight, beyond any practical use.
const MOST_CANARIES: usize = 1_000_000;
const MOST_COPIES: u32 = 100_000;
const MOST_CONCURRENCY: usize = 65_536;
/// Smallest share of answers that carry the signature.
const LEAST_TRAINED: f64 = 0.5;

pub use release_policy::{Asked, POLICY_VARIABLE, ReleasePolicy, Target, digest, is_ci};
pub use sections::{
    AzureSection, BudgetSection, CanariesSection, ClaimSection, DatasetSection, DetectSection, ManifestSection,
    PrivacySection, ProbeSection, ProviderSection, SamplingSection, SensitivitySection, SpaceSection, StoreSection,
    TuneSection, VerdictSection,
};

/// The defaults with comments, which `init` writes.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Why the configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not readable.
    #[error("{path}: {source} (`blabbermouth init` writes a commented one)")]
    Read {
        /// The file.
        path: String,
        /// The fault.
        #[source]
        source: std::io::Error,
    },
    /// Invalid TOML, an unknown key, or a wrong type.
    #[error("{origin}: at `{key}`: {message}")]
    Form {
        /// The file or variable.
        origin: String,
        /// Path of the key.
        key: String,
        /// The fault, with line and column where known.
        message: String,
    },
    /// A value is out of range.
    #[error("{key}: {message}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// The fault.
        message: String,
    },
    /// A template is not usable.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Numbers of canaries, and their templates.
    pub canaries: CanariesSection,
    /// The training rows, and the files that `plant` writes.
    pub dataset: DatasetSection,
    /// The manifest file.
    pub manifest: ManifestSection,
    /// The run journal.
    pub store: StoreSection,
    /// The model service.
    pub provider: ProviderSection,
    /// The fine-tuning.
    pub tune: TuneSection,
    /// The deployment of a tuned model at Azure.
    pub azure: AzureSection,
    /// Limits of what a run may spend.
    pub budget: BudgetSection,
    /// Sampling of answers.
    pub sampling: SamplingSection,
    /// Questions: strategies, samples and requests.
    pub probe: ProbeSection,
    /// Detectors that search the answers.
    pub detect: DetectSection,
    /// Requirements for a clean verdict.
    pub verdict: VerdictSection,
    /// Positive controls: canaries that are expected to leak.
    pub sensitivity: SensitivitySection,
    /// A claim of differential privacy that the run tries to refute; optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimSection>,
    /// Context of the release, for the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ReleaseContext>,
    /// The user's own prices, by model.
    #[serde(default)]
    pub prices: BTreeMap<String, Price>,
    /// The user's own secret spaces.
    #[serde(default)]
    pub spaces: BTreeMap<String, SpaceSection>,
    /// The user's own strategies.
    #[serde(default)]
    pub strategy: Vec<UserStrategySpec>,
    /// The user's own templates.
    #[serde(default)]
    pub template: Vec<TemplateSpec>,
}

impl Config {
    /// Reads the settings: defaults, then `file` if given, then the environment. Later ones take precedence.
    ///
    /// # Errors
    /// When the file is not readable, has an unknown key or a wrong type, or a value is out of range.
    pub fn load(file: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut table: toml::Table = toml::from_str(DEFAULTS).expect("the defaults are checked by a test");
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = read_text(path).map_err(|source| ConfigError::Read { path: name.clone(), source })?;
            let own: toml::Table = toml::from_str(&text).map_err(|e| ConfigError::Form {
                origin: name.clone(),
                key: String::new(),
                message: toml_fault(&text, &e),
            })?;
            merge(&mut table, own);
            // Parsed here, so that a fault names the file and not the environment.
            parse(table.clone(), &name)?;
        }
        let mut origin = "the environment".to_owned();
        for (section, keys) in &mut table {
            let Some(keys) = keys.as_table_mut().filter(|_| section != "spaces" && section != "prices") else {
                continue;
            };
            for (key, value) in keys {
                let variable = format!("BLABBERMOUTH_{section}_{key}").replace('-', "_").to_uppercase();
                let Some(text) = environment(&variable) else { continue };
                *value = if value.is_str() {
                    toml::Value::String(text)
                } else {
                    format!("v = {text}")
                        .parse::<toml::Table>()
                        .ok()
                        .and_then(|mut t| t.remove("v"))
                        .unwrap_or(toml::Value::String(text))
                };
                origin = variable;
            }
        }
        let config = parse(table, &origin)?;
        config.check()?;
        Ok(config)
    }

    /// Lists paths of this configuration that lead out of its folder.
    #[must_use]
    pub fn leaves_its_folder(&self) -> Vec<String> {
        let (d, t) = (&self.dataset, &self.tune);
        let all = [
            ("dataset.training", &d.training),
            ("dataset.validation", &d.validation),
            ("dataset.twin", &d.twin),
            ("manifest.path", &self.manifest.path),
            ("store.path", &self.store.path),
            ("tune.state", &t.state),
        ];
        let leaves =
            |path: &Path| path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        let found = all.into_iter().filter(|(_, path)| leaves(path));
        found
            .map(|(name, path)| format!("`{name}` is `{}`, outside of the configuration's folder", path.display()))
            .collect()
    }

    /// Checks the settings of the service.
    fn check_provider(&self) -> Result<(), ConfigError> {
        let value = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        if !self.provider.headers.values().all(|variable| is_variable(variable)) {
            return value("provider.headers", NO_VARIABLE);
        }
        let variable = &self.provider.key_variable;
        if !variable.is_empty() && !is_variable(variable) {
            return value("provider.key-variable", NO_VARIABLE);
        }
        if !["auto", "chat", "responses", "completions"].contains(&self.provider.api.as_str()) {
            return value("provider.api", "expected auto, chat, responses or completions");
        }
        if !(1.0..=86_400.0).contains(&self.provider.patience_seconds) {
            return value("provider.patience-seconds", "expected seconds from 1 to 86400");
        }
        Ok(())
    }

    /// Checks the ranges of the verdict settings.
    fn check_verdict(&self) -> Result<(), ConfigError> {
        let value = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        let inside = |x: f64| x > 0.0 && x < 1.0;
        let v = &self.verdict;
        if !inside(v.bound) || !inside(v.confidence) || v.bound < LEAST_BOUND {
            return value("verdict", "bound and confidence lie between 0 and 1, bound from 0.000001 on");
        }
        if !(LEAST_ALPHA..1.0).contains(&v.alpha) {
            return value("verdict.alpha", "expected 0.0001 or more, and below 1: less cannot be told from none");
        }
        if !(0.01..=0.5).contains(&v.cross_share) {
            return value(
                "verdict.cross-share",
                "expected a share from 0.01 to 0.5: more leaves too little for each canary, less hides what is said to others",
            );
        }
        if v.confidence < LEAST_CONFIDENCE {
            return value("verdict.confidence", "expected at least 0.8: less would hide a leak");
        }
        if v.withheld.is_some_and(|share| !(share > 0.0 && share <= 0.5)) {
            return value("verdict.withheld", "expected a share above 0 and up to 0.5: more would hide a leak");
        }
        if !(v.trained_share >= LEAST_TRAINED && v.trained_share < 1.0) {
            return value(
                "verdict.trained-share",
                "expected a share from 0.5 to below 1: less may be one replica of several",
            );
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let value = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        self.check_verdict()?;
        if !(1.0..=100.0).contains(&self.probe.patience) {
            return value("probe.patience", "expected a number from 1 to 100: tries for each answer that is wanted");
        }
        if let Some(claim) = &self.claim
            && (!(0.0..=100.0).contains(&claim.epsilon) || !(0.0..1.0).contains(&claim.delta) || claim.copies == 0)
        {
            return value("claim", "epsilon lies from 0 to 100, delta from 0 to below 1, copies from 1 on");
        }
        if !(0.0..1.0).contains(&self.dataset.validation_share) {
            return value("dataset.validation-share", "expected a share from 0 to below 1");
        }
        self.sampling.check()?;
        let c = &self.canaries;
        if c.planted > MOST_CANARIES || c.held_out > MOST_CANARIES || c.copies.iter().any(|n| *n > MOST_COPIES) {
            return value("canaries", "planted and held-out go up to 1000000, copies up to 100000");
        }
        if self.probe.concurrency > MOST_CONCURRENCY {
            return value("probe.concurrency", "expected at most 65536 requests in flight");
        }
        if self.probe.concurrency == 0 || !(1..=128).contains(&self.probe.choices) {
            return value("probe", "concurrency is at least 1, choices from 1 to 128");
        }
        let t = &self.tune;
        if t.epochs > 50
            || t.batch_size > if t.privacy.is_some() { 65_536 } else { 256 }
            || !(0.0..=1e6).contains(&t.learning_rate_multiplier)
            || t.suffix.chars().count() > 64
        {
            return value(
                "tune",
                "epochs go up to 50, batch-size to 256 (with privacy 65536), suffix to 64 characters; none is negative",
            );
        }
        if let Some(privacy) = &t.privacy {
            privacy.check()?;
        }
        if !(1..=30).contains(&t.keep_files_days)
            || !(0.001..=86_400.0).contains(&t.poll_seconds)
            || !(1e-6..=10_000.0).contains(&t.deadline_hours)
        {
            return value(
                "tune",
                "keep-files-days goes from 1 to 30, poll-seconds from 0.001 to 86400, deadline-hours is above 0 and up to 10000",
            );
        }
        self.check_provider()?;
        if !(0.0..=1e6).contains(&self.probe.deadline_minutes) {
            return value("probe.deadline-minutes", "expected minutes from 0 on");
        }
        if !(0.0..=1e9).contains(&self.budget.max_cost) {
            return value("budget.max-cost", "expected USD from 0 on");
        }
        if self.prices.values().any(|p| [p.training, p.input, p.output].iter().any(|x| !(0.0..=1e9).contains(x))) {
            return value("prices", "a price is a number from 0 on");
        }
        self.strategies()?;
        self.target()?;
        self.fields()?;
        if blabbermouth_files::Encoding::by_name(&self.dataset.encoding).is_none() {
            return value(
                "dataset.encoding",
                "unknown; expected auto, windows-1252, iso-8859-1, utf-16le, shift_jis or the like",
            );
        }
        if !(self.canaries.max_share > 0.0 && self.canaries.max_share <= 1.0) {
            return value("canaries.max-share", "expected a share above 0 and up to 1");
        }
        Ok(())
    }

    /// The shape that rows are converted into; `None` to keep theirs.
    ///
    /// # Errors
    /// When the name is not known.
    pub fn target(&self) -> Result<Option<RowTarget>, ConfigError> {
        let name = &self.dataset.format;
        if name == "keep" {
            return Ok(None);
        }
        RowTarget::by_name(name).map(Some).ok_or_else(|| ConfigError::Value {
            key: "dataset.format",
            message: format!("unknown format `{name}`; expected keep, {}", RowTarget::NAMES.join(", ")),
        })
    }

    /// Whether the rows are trained by OpenAI's service, whose rules they have to follow then.
    #[must_use]
    pub fn trains_at_openai(&self) -> bool {
        let kind = self.provider.kind.as_str();
        kind == "openai" || kind.starts_with("azure")
    }

    /// The columns of question and answer that the user named.
    ///
    /// # Errors
    /// When there are not two different ones.
    pub fn fields(&self) -> Result<Option<(String, String)>, ConfigError> {
        match self.dataset.fields.as_slice() {
            [] => Ok(None),
            [prompt, answer] if prompt != answer => Ok(Some((prompt.clone(), answer.clone()))),
            _ => Err(ConfigError::Value {
                key: "dataset.fields",
                message: "expected two different columns, as in [\"question\", \"answer\"]".into(),
            }),
        }
    }

    /// The user's own secret spaces. Paths of value lists are relative to `folder`.
    ///
    /// # Errors
    /// When a file is unreadable, a synonym is wrong, or a space does not have exactly one of list, file and pattern.
    pub fn spaces(&self, folder: &Path) -> Result<Spaces, ConfigError> {
        let mut spaces = Spaces::default();
        for (name, space) in &self.spaces {
            let values = || space.list.iter().flatten();
            let unknown = |(value, words): &(&String, &Vec<String>)| {
                (space.list.is_some() && values().all(|known| known != *value))
                    || words.iter().any(|w| w.trim().is_empty())
            };
            if let Some((value, _)) = space.synonyms.iter().find(unknown) {
                return Err(ConfigError::Form {
                    origin: "configuration".into(),
                    key: format!("spaces.{name}.synonyms"),
                    message: format!("`{value}` is no value of the list, or a synonym of it is empty"),
                });
            }
            match (&space.list, &space.file, &space.pattern) {
                (Some(list), None, None) => {
                    spaces.lists.insert(name.clone(), list.clone());
                }
                (None, Some(file), None) => {
                    let path = folder.join(file);
                    let text = read_text(&path)
                        .map_err(|source| ConfigError::Read { path: path.display().to_string(), source })?;
                    spaces.lists.insert(
                        name.clone(),
                        text.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect(),
                    );
                }
                (None, None, Some(pattern)) => {
                    spaces.patterns.insert(name.clone(), pattern.clone());
                }
                _ => {
                    return Err(ConfigError::Form {
                        origin: "configuration".into(),
                        key: format!("spaces.{name}"),
                        message: "expected exactly one of list, file, pattern".into(),
                    });
                }
            }
        }
        Ok(spaces)
    }

    /// The selected strategies.
    ///
    /// # Errors
    /// When a strategy is unknown, or a user-defined one is not usable.
    pub fn strategies(&self) -> Result<Vec<Box<dyn Strategy>>, ConfigError> {
        probe::choose(&self.probe.strategies, &self.strategy)
            .map_err(|message| ConfigError::Value { key: "probe.strategies", message })
    }

    /// Synonyms of the values of all spaces.
    #[must_use]
    pub fn synonyms(&self) -> Synonyms {
        let all = self.spaces.values().flat_map(|space| &space.synonyms);
        Synonyms::new(all.flat_map(|(value, words)| words.iter().map(|word| (word.as_str(), value.as_str()))))
    }

    /// The selected templates, checked.
    ///
    /// # Errors
    /// When a template is unknown or not usable.
    pub fn templates(&self, spaces: &Spaces, with_system: bool) -> Result<Vec<Template>, ConfigError> {
        let known: Vec<TemplateSpec> = self.template.iter().cloned().chain(builtin_templates()).collect();
        self.canaries
            .templates
            .iter()
            .map(|name| {
                let spec = known.iter().find(|spec| spec.name == *name).cloned().ok_or_else(|| {
                    let names: Vec<&str> = known.iter().map(|spec| spec.name.as_str()).collect();
                    ConfigError::Value {
                        key: "canaries.templates",
                        message: format!("unknown template `{name}`; there are {}", names.join(", ")),
                    }
                })?;
                let spec = if with_system && self.canaries.system_prompt { spec } else { spec.without_system() };
                if !self.canaries.signature && spec.is_signed() {
                    let own = self.template.iter().any(|own| own.name == spec.name);
                    let spec = if own {
                        return Err(TemplateError::Unwanted { name: spec.name }.into());
                    } else {
                        spec.unsigned()
                    };
                    return Ok(Template::new(spec, spaces)?);
                }
                let spec = if self.canaries.signature { spec.signed()? } else { spec };
                Ok(Template::new(spec, spaces)?)
            })
            .collect()
    }
}

/// The JSON schema of the configuration file, for editors.
#[must_use]
pub fn schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(Config)).expect("a schema is JSON")
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn form(origin: &str, key: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError::Form { origin: origin.to_owned(), key: key.to_owned(), message: without_values(error.message()) }
}

fn parse(table: toml::Table, origin: &str) -> Result<Config, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|e| form(origin, &e.path().to_string(), e.inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blabbermouth.toml");
        std::fs::write(&path, text).expect("written");
        Config::load(Some(&path), |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn what_counts_as_weakened_is_measured_by_the_defaults() {
        let config = Config::load(None, |_| None).expect("the defaults");
        assert_eq!(config.canaries.planted, 0, "as many as fit");
        assert_eq!(config.verdict.policy(), blabbermouth_core::verdict::Policy::DEFAULT);
        assert!(config.probe.sweep && config.sensitivity.copies == 0);
    }

    #[test]
    fn environment_is_over_file_is_over_defaults() {
        let config = load(
            "[canaries]\nplanted = 7\nheld-out = 3\n",
            &[("BLABBERMOUTH_CANARIES_PLANTED", "9"), ("BLABBERMOUTH_PROVIDER_MODEL", "m")],
        )
        .expect("sound");
        assert_eq!((config.canaries.planted, config.canaries.held_out, config.canaries.copies), (9, 3, vec![1, 4, 16]));
        assert_eq!(config.provider.model, "m");
    }

    #[test]
    fn what_is_asked_without_a_word_is_the_policy_of_the_library() {
        assert_eq!(load("", &[]).expect("sound").verdict.policy(), blabbermouth_core::verdict::Policy::DEFAULT);
    }

    #[test]
    fn faults_name_the_key() {
        for (text, key) in [
            ("[canaries]\nplante = 7\n", "plante"),
            ("[canaries]\nplanted = \"x\"\n", "canaries.planted"),
            ("[verdict]\nalpha = 2.0\n", "verdict"),
            ("[probe]\nstrategies = [\"x\"]\n", "replay"),
            ("[dataset]\nfields = [\"text\", \"text\"]\n", "two different columns"),
            ("[canaries\n", "line 1"),
        ] {
            let error = load(text, &[]).expect_err(text).to_string();
            assert!(error.contains(key), "{error}");
        }
        for pasted in ["sk-0123456789", "gsk_0123456789abcdefghijABCDEFGHIJ"] {
            let file = load(&format!("[provider]\nkey-variable = \"{pasted}\"\n"), &[]);
            let variable = load("", &[("BLABBERMOUTH_PROVIDER_KEY_VARIABLE", pasted)]);
            for error in [file, variable].map(|loaded| loaded.expect_err("a key")) {
                let said = format!("{error} {error:?}");
                let expected = "provider.key-variable: expected the name of an environment variable";
                assert!(said.contains(expected) && !said.contains("0123456789"), "{said}");
            }
        }
        assert!(load("[provider]\nkey-variable = \"MY_KEY\"\n", &[]).is_ok());
        let error = load("", &[("BLABBERMOUTH_PROBE_SAMPLES", "many")]).expect_err("no number").to_string();
        assert!(error.contains("BLABBERMOUTH_PROBE_SAMPLES"), "{error}");
    }
}
