//! Profiles: how a service is reached. Some are built in, others are files of the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::anthropic::Anthropic;
use super::base_url::{BaseUrl, UNIX};
use super::budget::Budget;
use super::command::Program;
use super::gemini::Gemini;
use super::{
    DeploymentSettings, Endpoint, Fireworks, OpenAi, Provider, ProviderError, Quotes, Redact, Together, Tuner,
};
use crate::http::Redactor;
use crate::{ModelIdentity, Notices};
use blabbermouth_core::text::sanitize::toml_fault;

const BUILTIN: &str = include_str!("profiles.toml");

/// The API of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// OpenAI-compatible chat completions.
    OpenAi,
    /// Anthropic messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// A program that reads requests on standard input.
    Command,
    /// The embedded model, in this process.
    Embedded,
}

/// The API for files and fine-tuning jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jobs {
    /// OpenAI's.
    #[default]
    OpenAi,
    /// OpenAI's, with a deployment after the job.
    Azure,
    /// Together's.
    Together,
    /// Fireworks'.
    Fireworks,
    /// The embedded model's, in this process.
    Embedded,
    /// No fine-tuning.
    None,
}

/// Settings of a [`Tuner`] besides its endpoint.
#[derive(Clone, Default)]
pub struct TunerSettings {
    /// Account id at Fireworks.
    pub account: String,
    /// How a tuned model is deployed at Azure; `None`: it is not.
    pub deployment: Option<DeploymentSettings>,
    /// The folder of the embedded service.
    pub home: PathBuf,
    /// Folder that relative paths of embedded models start from.
    pub beside: PathBuf,
    /// Tells whether a text holds a canary's secret.
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
    /// The API that the service has.
    pub dialect: Dialect,
    /// Base URL, up to and including the version.
    #[serde(default)]
    pub base_url: String,
    /// Environment variable with the API key.
    #[serde(default)]
    pub key_variable: String,
    /// Header for the key; empty for `Authorization: Bearer`.
    #[serde(default)]
    pub auth: String,
    /// Path of chats below the base URL, where `{model}` is replaced by the model. Empty for the API's own path.
    #[serde(default)]
    pub chat_path: String,
    /// Query string of every request, as in `api-version=2024-10-21`.
    #[serde(default)]
    pub query: String,
    /// Additional headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Name of the field for the length limit of an answer; empty for `max_completion_tokens`.
    #[serde(default)]
    pub max_tokens: String,
    /// Request fields that the service does not accept: `n`, `seed`, `store`, `top_p`.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// Names of the fields for `top-k`, `min-p` and `repetition-penalty`, where the service accepts them.
    #[serde(default)]
    pub decoding: BTreeMap<String, String>,
    /// Whether requests go to `/completions` instead of chats, for models without a chat template.
    #[serde(default)]
    pub completions: bool,
    /// Whether requests go to `/responses` instead of chats.
    #[serde(default)]
    pub responses: bool,
    /// Whether the service continues an answer that the request begins by a last message of the assistant.
    #[serde(default)]
    pub prefill: bool,
    /// Whether texts can be scored: `/completions` with `echo`, `logprobs` and no generated tokens.
    #[serde(default)]
    pub scores: bool,
    /// Additional fields of a request that begins the answer.
    #[serde(default)]
    pub prefill_fields: BTreeMap<String, bool>,
    /// API for files and fine-tuning jobs.
    #[serde(default)]
    pub jobs: Jobs,
}

/// The user's settings besides the profile.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Replaces the profile's base URL, unless empty.
    pub base_url: String,
    /// Replaces the profile's key variable, unless empty.
    pub key_variable: String,
    /// The API key.
    pub key: Option<SecretString>,
    /// Timeout of one attempt.
    pub timeout: Duration,
    /// File of additional certificates (PEM) to trust.
    pub certificates: Option<PathBuf>,
    /// File with the client's certificate and its key (PEM).
    pub identity: Option<PathBuf>,
    /// Additional headers of every request; each value is a secret.
    pub headers: BTreeMap<String, SecretString>,
    /// The program and its arguments, for [`Dialect::Command`].
    pub command: Vec<String>,
    /// Budget for answers; `None`: no limit.
    pub budget: Option<Arc<Budget>>,
    /// The most requests in flight; 0 for 64.
    pub concurrency: usize,
    /// The folder of the embedded service.
    pub home: PathBuf,
    /// Folder that relative paths of embedded models start from.
    pub beside: PathBuf,
    /// Names of further environment variables that a program sees.
    pub passed: Vec<String>,
    /// Remembers the name under which a run's model answers.
    pub model_name: Option<Arc<dyn ModelIdentity>>,
    /// Removes secrets from messages of the service.
    pub redact: Redactor,
    /// What the user is told while requests are sent.
    pub notices: Notices,
    /// The longest wait that the service may ask for; zero for the usual one.
    pub patience: Duration,
}

/// Error message for a text that is no variable name. The text itself is not quoted: it may be a key.
pub const NO_VARIABLE: &str = "expected the name of an environment variable, as in OPENAI_API_KEY: letters, digits and underscores, 64 at most; \
     the key itself belongs into that variable, and not here";

/// The longest name of a variable, in characters.
const LONGEST_NAME: usize = 64;
/// Length in characters from which a word with digits or mixed case counts as a key.
const KEY_LIKE: usize = 20;

/// Whether a text may be the name of a variable. A key pasted in its place is not.
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

/// Words in an address that the user has to replace.
const PLACEHOLDERS: [&str; 3] = ["RESOURCE", "LOCATION", "PROJECT"];

impl Profile {
    /// Names of the built-in profiles.
    #[must_use]
    pub fn names() -> Vec<String> {
        builtin().into_keys().collect()
    }

    /// Whether `name` is not that of a built-in profile, and so names a file.
    #[must_use]
    pub fn is_file(name: &str) -> bool {
        !builtin().contains_key(name)
    }

    /// Loads a built-in profile by its name, or a `.toml` file by its path relative to `folder`.
    ///
    /// # Errors
    /// When the name is unknown, or the file cannot be read.
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

    /// The address of the server: the user's if there is one, else the service's own. It is complete, as requests use it.
    ///
    /// # Errors
    /// When the user's is no address.
    pub fn base_url_of(&self, given: &str) -> Result<String, ProviderError> {
        let has_placeholder = PLACEHOLDERS.iter().any(|word| self.base_url.contains(word));
        let given = if given.trim().is_empty() { self.base_url.as_str() } else { given };
        if given.is_empty() || (given == self.base_url && has_placeholder) {
            return Ok(self.base_url.clone());
        }
        // A profile's own address is read like the user's, so that whoever checks it sees the host that is asked.
        let BaseUrl { base, query, socket } = BaseUrl::parse(given, &self.base_url).map_err(ProviderError::Setup)?;
        if let Some(socket) = socket {
            return Ok(format!("{UNIX}{}", socket.display()));
        }
        Ok(if query.is_empty() { base } else { format!("{base}?{query}") })
    }

    /// Combines the profile with the user's settings.
    ///
    /// # Errors
    /// When the base URL still has a placeholder in capitals.
    pub fn endpoint(&self, connection: &Connection) -> Result<Endpoint, ProviderError> {
        let or = |own: &String, given: &String| if own.is_empty() { given.clone() } else { own.clone() };
        let base_url = self.base_url_of(&connection.base_url)?;
        if base_url == self.base_url && PLACEHOLDERS.iter().any(|word| base_url.contains(word)) {
            return Err(ProviderError::Setup(format!(
                "`provider.base-url` is needed for this service, as in {base_url} with your own names"
            )));
        }
        // A program and the embedded model have no address.
        let read = if base_url.is_empty() { Ok(BaseUrl::default()) } else { BaseUrl::parse(&base_url, &self.base_url) };
        let BaseUrl { base, query, socket } = read.map_err(ProviderError::Setup)?;
        Ok(Endpoint {
            base_url: base,
            socket,
            key: connection.key.clone(),
            key_variable: or(&connection.key_variable, &self.key_variable),
            timeout: connection.timeout,
            auth: self.auth.clone(),
            query: [self.query.as_str(), query.as_str()]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("&"),
            headers: self.headers.clone(),
            secret_headers: connection.headers.clone(),
            identity: connection.identity.clone(),
            certificates: connection.certificates.clone(),
            budget: connection.budget.clone(),
            concurrency: connection.concurrency,
            model_name: connection.model_name.clone(),
            redact: connection.redact.clone(),
            notices: connection.notices.clone(),
            patience: connection.patience,
        })
    }

    /// Creates a client of a model.
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

    /// Creates a client of files and jobs that tunes `model`.
    ///
    /// # Errors
    /// When the service has no known fine-tuning API, or the settings cannot work; nothing is sent.
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

    /// The path of chats for a model; `usual` is the API's own.
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
