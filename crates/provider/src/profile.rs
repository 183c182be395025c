//! How a service is reached: the built-in profiles, and those in files of the user's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::anthropic::Anthropic;
use super::budget::Budget;
use super::command::Program;
use super::gemini::Gemini;
use super::{
    DeploymentSettings, Endpoint, Fireworks, OpenAi, Provider, ProviderError, Quotes, Redact, Together, Tuner,
};
use crate::ModelIdentity;
use blabbermouth_core::text::sanitize::toml_fault;

const BUILTIN: &str = include_str!("profiles.toml");

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Chat completions of OpenAI.
    OpenAi,
    /// Messages of Anthropic.
    Anthropic,
    /// `generateContent` of Google.
    Gemini,
    /// A program that is asked on its standard input.
    Command,
    /// The embedded model, within this process.
    Embedded,
}

/// Whose form files and fine-tuning jobs have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jobs {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// OpenAI's, and a deployment after the job.
    Azure,
    /// Together's.
    Together,
    /// Fireworks'.
    Fireworks,
    /// The embedded model's, within this process.
    Embedded,
    /// There are none.
    None,
}

/// What a [`Tuner`] needs beside an endpoint.
#[derive(Clone, Default)]
pub struct TunerSettings {
    /// The account at Fireworks.
    pub account: String,
    /// How a tuned model is deployed at Azure, if it is to be.
    pub deployment: Option<DeploymentSettings>,
    /// The folder of the embedded service.
    pub home: PathBuf,
    /// What paths of embedded models are relative to.
    pub beside: PathBuf,
    /// Tells rows that hold a canary.
    pub quotes: Option<Quotes>,
}

impl std::fmt::Debug for TunerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TunerSettings")
            .field("account", &self.account)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// How a service is reached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// What it speaks.
    pub dialect: Dialect,
    /// Up to and with the version.
    #[serde(default)]
    pub base_url: String,
    /// The variable with the API key.
    #[serde(default)]
    pub key_variable: String,
    /// The header that the key goes into; empty for `Authorization: Bearer`.
    #[serde(default)]
    pub auth: String,
    /// Where chats are put, below the base URL; `{model}` stands for the model. Empty for the dialect's own.
    #[serde(default)]
    pub chat_path: String,
    /// A query for every request, as in `api-version=2024-10-21`.
    #[serde(default)]
    pub query: String,
    /// Further headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The name of the field for the longest answer; empty for `max_completion_tokens`.
    #[serde(default)]
    pub max_tokens: String,
    /// Fields of a request that the service does not take: `n`, `seed`, `store`, `top_p`.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Names of the fields for `top-k`, `min-p` and `repetition-penalty`, of those that the service takes.
    #[serde(default)]
    pub decoding: BTreeMap<String, String>,
    /// Whether it completes texts, for models without a chat template: `/completions`.
    #[serde(default)]
    pub completions: bool,
    /// Whether an answer that was begun (a last message of the assistant) is gone on with.
    #[serde(default)]
    pub prefill: bool,
    /// Whether a text is scored where texts are completed: `/completions` with `echo`, `logprobs` and nothing to be
    /// generated.
    #[serde(default)]
    pub scores: bool,
    /// Further fields of a request whose answer was begun.
    #[serde(default)]
    pub prefill_fields: BTreeMap<String, bool>,
    /// Whose form files and fine-tuning jobs have.
    #[serde(default)]
    pub jobs: Jobs,
}

/// What the user says beside the profile.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// In place of the profile's, unless empty.
    pub base_url: String,
    /// In place of the profile's, unless empty.
    pub key_variable: String,
    /// The key itself.
    pub key: Option<SecretString>,
    /// The longest time for one try.
    pub timeout: Duration,
    /// Certificates (PEM) to trust beside the built-in ones.
    pub certificates: Option<PathBuf>,
    /// The program and its arguments, for the dialect `command`.
    pub command: Vec<String>,
    /// What may be spent on answers.
    pub budget: Option<Arc<Budget>>,
    /// Requests in flight, at most; 0 for 64.
    pub concurrency: usize,
    /// The folder of the embedded service.
    pub home: PathBuf,
    /// What paths of embedded models are relative to.
    pub beside: PathBuf,
    /// For programs: names of further variables that they see.
    pub passed: Vec<String>,
    /// Keeps the name under which the model of a run answers.
    pub model_name: Option<Arc<dyn ModelIdentity>>,
}

/// What is said of something else than the name of a variable; the thing itself may be a key.
pub const NO_VARIABLE: &str = "expected the name of an environment variable, as in OPENAI_API_KEY: letters, digits and underscores, 64 at most; \
     the key itself belongs into that variable, and not here";

/// The longest name of a variable that is taken for one.
const LONGEST_NAME: usize = 64;
/// Letters and digits in a row, from which on a name with digits or of both cases is taken for a key.
const KEY_LIKE: usize = 20;

/// Whether a text may name a variable, and is no key that was pasted in its place.
pub fn is_variable(name: &str) -> bool {
    let digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
    let both =
        |text: &str| text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase());
    let is_random = |part: &str| part.len() >= KEY_LIKE && (digits(part) || both(part));
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.split('_').any(is_random)
        && !(name.len() >= KEY_LIKE && digits(name) && both(name))
}

impl Profile {
    /// Names of the built-in profiles.
    #[must_use]
    pub fn names() -> Vec<String> {
        builtin().into_keys().collect()
    }

    /// Whether this names a profile in a file of the user's own.
    #[must_use]
    pub fn is_file(name: &str) -> bool {
        !builtin().contains_key(name)
    }

    /// A built-in profile by its name, or one from a file: what ends in `.toml`, relative to `folder`.
    ///
    /// # Errors
    /// When there is none of that name, or the file cannot be read.
    pub fn load(name: &str, folder: &Path) -> Result<Self, ProviderError> {
        if let Some(profile) = builtin().remove(name) {
            return Ok(profile);
        }
        let setup = |what: String| ProviderError::Setup(format!("`provider.kind`: {what}"));
        if !name.ends_with(".toml") {
            let known = Self::names().join(", ");
            return Err(setup(format!("unknown service `{name}`; there are {known}, or a file that ends in .toml")));
        }
        let path = folder.join(name);
        let text = blabbermouth_files::read_text(&path).map_err(|e| setup(format!("{}: {e}", path.display())))?;
        let profile: Self =
            toml::from_str(&text).map_err(|e| setup(format!("{}: {}", path.display(), toml_fault(&text, &e))))?;
        if !profile.chat_path.is_empty() && !profile.chat_path.starts_with('/') {
            return Err(setup(format!("{}: `chat-path`: expected a path that begins with a slash", path.display())));
        }
        if !profile.key_variable.is_empty() && !is_variable(&profile.key_variable) {
            return Err(setup(format!("{}: `key-variable`: {NO_VARIABLE}", path.display())));
        }
        Ok(profile)
    }

    /// How the service is reached, with what the user says.
    ///
    /// # Errors
    /// When the base URL still has a placeholder in capitals.
    pub fn endpoint(&self, connection: &Connection) -> Result<Endpoint, ProviderError> {
        let or = |own: &String, given: &String| if own.is_empty() { given.clone() } else { own.clone() };
        let base_url = or(&connection.base_url, &self.base_url);
        if base_url == self.base_url && ["RESOURCE", "LOCATION", "PROJECT"].iter().any(|word| base_url.contains(word)) {
            return Err(ProviderError::Setup(format!(
                "`provider.base-url` is needed for this service, as in {base_url} with your own names"
            )));
        }
        Ok(Endpoint {
            base_url,
            key: connection.key.clone(),
            key_variable: or(&connection.key_variable, &self.key_variable),
            timeout: connection.timeout,
            auth: self.auth.clone(),
            query: self.query.clone(),
            headers: self.headers.clone(),
            certificates: connection.certificates.clone(),
            budget: connection.budget.clone(),
            concurrency: connection.concurrency,
            model_name: connection.model_name.clone(),
        })
    }

    /// A client of a model.
    ///
    /// # Errors
    /// When the connection cannot work; nothing is sent.
    pub fn connect(
        &self,
        connection: &Connection,
        model: &str,
        warm_up: Duration,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        if self.dialect == Dialect::Command {
            return Ok(Arc::new(Program::new(connection, self, model)?));
        }
        if self.dialect == Dialect::Embedded {
            return embedded(connection, model);
        }
        let endpoint = self.endpoint(connection)?;
        Ok(match self.dialect {
            Dialect::Anthropic => Arc::new(Anthropic::new(&endpoint, self, model)?),
            Dialect::Gemini => Arc::new(Gemini::new(&endpoint, self, model, warm_up)?),
            _ => Arc::new(OpenAi::with_profile(&endpoint, self, model)?.warm_up(warm_up)),
        })
    }

    /// A client of files and jobs that tunes `model`.
    ///
    /// # Errors
    /// When the service has no fine-tuning that is known, or the settings cannot work; nothing is sent.
    pub fn tuner(
        &self,
        endpoint: &Endpoint,
        settings: TunerSettings,
        model: &str,
        redact: Redact,
    ) -> Result<Box<dyn Tuner>, ProviderError> {
        let jobs = match self.dialect {
            Dialect::OpenAi => self.jobs,
            Dialect::Embedded => Jobs::Embedded,
            _ => Jobs::None,
        };
        let openai = || OpenAi::with_profile(endpoint, self, model).map(|openai| openai.redact(redact.clone()));
        Ok(match (jobs, settings.deployment.clone()) {
            (Jobs::None, _) => {
                let how = "this service has no fine-tuning that blabbermouth knows: tune elsewhere with the planted \
                           file, and test the model with --model";
                return Err(ProviderError::Setup(how.into()));
            }
            (Jobs::Embedded, _) => return embedded_tuner(settings),
            (Jobs::Together, _) => Box::new(Together::new(endpoint, redact)?),
            (Jobs::Fireworks, _) => Box::new(Fireworks::new(endpoint, &settings.account, redact)?),
            (Jobs::Azure, Some(deployment)) => Box::new(openai()?.deploy_through(deployment, endpoint)?),
            (Jobs::OpenAi | Jobs::Azure, _) => Box::new(openai()?),
        })
    }

    /// The path of chats for a model.
    pub(super) fn path(&self, model: &str, usual: &str) -> String {
        let path = if self.chat_path.is_empty() { usual } else { &self.chat_path };
        path.replace("{model}", model)
    }

    pub(super) fn sends(&self, field: &str) -> bool {
        self.leave_out.iter().all(|left| left != field)
    }
}

#[cfg(feature = "embedded")]
fn embedded(connection: &Connection, model: &str) -> Result<Arc<dyn Provider>, ProviderError> {
    let home = super::embedded::Home::new(connection.home.clone(), connection.beside.clone());
    Ok(Arc::new(super::embedded::Embedded::open(&home, model, connection.budget.clone())?))
}

#[cfg(feature = "embedded")]
fn embedded_tuner(settings: TunerSettings) -> Result<Box<dyn Tuner>, ProviderError> {
    let home = super::embedded::Home::new(settings.home, settings.beside);
    let quotes = settings.quotes.unwrap_or_else(|| Arc::new(|_| false));
    Ok(Box::new(super::embedded::EmbeddedTuner::new(home, quotes)))
}

#[cfg(not(feature = "embedded"))]
const LEFT_OUT: &str = "this build has no embedded model: build it with the feature `embedded`";

#[cfg(not(feature = "embedded"))]
fn embedded(_: &Connection, _: &str) -> Result<Arc<dyn Provider>, ProviderError> {
    Err(ProviderError::Setup(LEFT_OUT.into()))
}

#[cfg(not(feature = "embedded"))]
fn embedded_tuner(_: TunerSettings) -> Result<Box<dyn Tuner>, ProviderError> {
    Err(ProviderError::Setup(LEFT_OUT.into()))
}

fn builtin() -> BTreeMap<String, Profile> {
    toml::from_str(BUILTIN).expect("the profiles are checked by a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_profiles_are_sound() {
        assert!(Profile::names().len() > 15);
        let azure = Profile::load("azure-dated", Path::new("")).expect("built in");
        assert_eq!(azure.path("mine", "/chat/completions"), "/deployments/mine/chat/completions");
        assert!(azure.endpoint(&Connection::default()).expect_err("a placeholder").to_string().contains("RESOURCE"));
        assert!(Profile::load("x", Path::new("")).expect_err("unknown").to_string().contains("vllm"));
        for profile in builtin().into_values() {
            assert!(
                profile.decoding.keys().all(|name| ["top-k", "min-p", "repetition-penalty"].contains(&name.as_str()))
            );
            assert!(profile.key_variable.is_empty() || is_variable(&profile.key_variable), "{}", profile.key_variable);
        }
    }

    #[test]
    fn a_key_is_told_from_the_name_of_a_variable() {
        for name in [
            "OPENAI_API_KEY",
            "_key",
            "k",
            "hf_token",
            "AZURE_OPENAI_API_KEY_2",
            "OpenAiKeyOfTheTeam",
            "ACCEPTANCE_TESTING_DEPARTMENT_AZURE_OPENAI_API_KEY_2024",
        ] {
            assert!(is_variable(name), "{name}");
        }
        for no_name in [
            "",
            "2KEYS",
            "MY KEY",
            "MY-KEY",
            "sk-proj-abc",
            "$OPENAI_API_KEY",
            "OPENAI_API_KEY=x",
            "KEY\u{e9}",
            "gsk_0123456789abcdefghijABCDEFGHIJ",
            "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
            "fw_3ZabcdefghijklmnopqrstuV",
            "a3f90123456789abcdef0123456789ab",
            "AIzaSyA1_bC2dE3fG4_hI5jK6lM7nO8",
        ] {
            assert!(!is_variable(no_name), "{no_name}");
        }
        assert!(is_variable(&"A".repeat(64)) && !is_variable(&"A".repeat(65)));
    }

    #[test]
    fn a_profile_with_a_key_in_place_of_a_name_is_refused_and_not_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "dialect = \"openai\"\nbase-url = \"https://x.y/v1\"\nkey-variable = \"sk-0123456789\"\n";
        std::fs::write(folder.path().join("own.toml"), text).expect("written");
        let error = Profile::load("own.toml", folder.path()).expect_err("a key").to_string();
        assert!(error.contains("`key-variable`: expected the name") && !error.contains("0123456789"), "{error}");
    }
}
