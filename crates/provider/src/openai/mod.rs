//! A client of the OpenAI-compatible API. The submodule `tuning` has files and fine-tuning jobs.

mod answer;
mod batch;
mod chat;
mod measure;
mod refused_fields;
mod responses;
mod score;
mod tuning;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Url;

use super::azure::Deployment;
use super::budget::worst_case;
use super::http::{Endpoint, Http, Whom};
use super::rest::Rest;
use super::{Answer, Completing, DeploymentSettings, Profile, Provider, ProviderError, Request, Scoring};
use crate::ModelIdentity;
use answer::read_named;
use blabbermouth_core::chat::Message;
use chat::{Body, Fields};
use refused_fields::NOT_OF_RESPONSES;
use responses::{ResponsesBody, read_response};

pub(super) use answer::read_answer;
pub use batch::{BatchAnswer, BatchJob, MOST_BYTES, MOST_REQUESTS, read_batch_line};
pub(super) use chat::decoding;
pub use measure::{Capability, Found};

/// Removes secrets from a service's message before anybody reads it.
pub type Redact = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A client of one model on one server.
pub struct OpenAi {
    rest: Rest,
    chat: Url,
    /// The address of the Responses API; `None` where texts are completed.
    responses: Option<Url>,
    /// Whether the Responses API answers, and chats do not.
    is_responses: AtomicBool,
    fields: Fields,
    /// Whether whole texts can be scored. Only where texts are completed: a chat template adds tokens of its own.
    scores: bool,
    model: String,
    deployment: Option<Deployment>,
    /// Model name in the first response, and whether it equals the name before the run was interrupted.
    answered: OnceLock<(String, Result<(), ProviderError>)>,
    model_name: Option<Arc<dyn ModelIdentity>>,
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").field("http", &self.rest.http).field("model", &self.model).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Prepares a client of OpenAI itself; nothing is sent.
    ///
    /// # Errors
    /// When the address is invalid, or a key would travel over plain HTTP to another machine.
    pub fn new(endpoint: &Endpoint, model: impl Into<String>) -> Result<Self, ProviderError> {
        Self::with_profile(endpoint, &Profile::load("openai", Path::new(""))?, &model.into())
    }

    /// Prepares a client of a service with another profile; nothing is sent.
    ///
    /// # Errors
    /// As [`OpenAi::new`].
    pub fn with_profile(endpoint: &Endpoint, profile: &Profile, model: &str) -> Result<Self, ProviderError> {
        let http = Http::new(endpoint)?;
        let chat =
            http.url(&profile.path(model, if profile.completions { "/completions" } else { "/chat/completions" }))?;
        let responses =
            if profile.completions || !profile.chat_path.is_empty() { None } else { Some(http.url("/responses")?) };
        Ok(Self {
            rest: Rest { http, redact: None },
            chat,
            responses,
            is_responses: AtomicBool::new(profile.responses),
            fields: Fields::new(profile),
            scores: profile.scores && profile.completions,
            model: model.to_owned(),
            deployment: None,
            answered: OnceLock::new(),
            model_name: endpoint.model_name.clone(),
        })
    }

    /// Asks for chat completions, or for completions of a text.
    async fn chat(&self, request: &Request) -> Result<Answer, ProviderError> {
        let sent = AtomicU8::new(0);
        let body = || {
            sent.store(self.fields.left_out(), Ordering::Relaxed);
            Body::new(&self.model, request, &self.fields)
        };
        let read = |bytes: &[u8]| {
            let (answer, name) = read_named(bytes, request.sampling.max_tokens)?;
            self.check_name(name.as_deref())?;
            Ok(answer)
        };
        let learn = |body: &[u8]| self.learn(request, body, sent.load(Ordering::Relaxed));
        let whom = Whom { url: &self.chat, model: &self.model, broken: &request.broken, learn: Some(&learn) };
        self.rest.http.ask(whom, || worst_case(request), body, read).await
    }

    /// Asks the Responses API for one answer; `None` where the service has none.
    async fn respond(&self, request: &Request) -> Option<Result<Answer, ProviderError>> {
        let url = self.responses.as_ref()?;
        let sent = AtomicU8::new(0);
        let body = || {
            sent.store(self.fields.left_out() | NOT_OF_RESPONSES, Ordering::Relaxed);
            ResponsesBody::new(&self.model, request, &self.fields)
        };
        let read = |bytes: &[u8]| {
            let (answer, name) = read_response(bytes, request)?;
            self.check_name(name.as_deref())?;
            Ok(answer)
        };
        let learn = |body: &[u8]| self.learn(request, body, sent.load(Ordering::Relaxed));
        let whom = Whom { url, model: &self.model, broken: &request.broken, learn: Some(&learn) };
        Some(self.rest.http.ask(whom, || worst_case(request), body, read).await)
    }

    /// Learns from a refusal what the next attempt leaves out, and tells the user.
    fn learn(&self, request: &Request, body: &[u8], sent: u8) -> bool {
        let Some(learned) = self.fields.learn(request, body, sent) else { return false };
        if let Some(text) = learned.text {
            self.rest.http.notices().tell(&text);
        }
        true
    }

    /// Checks the model name of a response: a gateway may substitute another model, which knows no canary.
    ///
    /// - An untuned model instead of the tuned one makes the response unusable.
    /// - Another tuned model, or a second name, ends the run. Retrying until the first name returns would ignore the
    ///   other model's answers.
    fn check_name(&self, name: Option<&str>) -> Result<(), ProviderError> {
        let Some(name) = name else { return Ok(()) };
        match (tuned(&self.model), tuned(name)) {
            (Some(_), None) => {
                let what = "an answer of another model than the tuned one that was asked for".into();
                return Err(ProviderError::Malformed { what });
            }
            (Some(asked), Some(served)) if !is_same(asked, served) => return Err(ProviderError::WrongModel),
            _ => {}
        }
        let (first, same) = self.answered.get_or_init(|| (name.to_owned(), self.keep_name(name)));
        if first == name { same.clone() } else { Err(ProviderError::TwoModels) }
    }

    /// Whether the model of this process's first response is the one that answered the run before its interruption.
    fn keep_name(&self, name: &str) -> Result<(), ProviderError> {
        let kept = self.model_name.as_ref().map_or(Ok(true), |kept| kept.keep(name));
        match kept.map_err(|e| ProviderError::Setup(e.to_string()))? {
            true => Ok(()),
            false => Err(ProviderError::OtherModel),
        }
    }

    /// Passes all messages about files and jobs through `redact`: a service may quote a training row.
    #[must_use]
    pub fn redact(mut self, redact: Redact) -> Self {
        self.rest.redact = Some(redact);
        self
    }

    /// Deploys tuned models through Azure's management API.
    ///
    /// # Errors
    /// When the settings cannot work; nothing is sent.
    pub fn deploy_through(mut self, settings: DeploymentSettings, endpoint: &Endpoint) -> Result<Self, ProviderError> {
        self.deployment = Some(Deployment::new(settings, endpoint)?);
        Ok(self)
    }

    /// How long a 404 for the model is retried, counted from now: a model that was just tuned may need minutes.
    #[must_use]
    pub fn warm_up(mut self, longest: Duration) -> Self {
        self.rest.http = self.rest.http.warm_up(longest);
        self
    }
}

/// Base model and rest of a tuned model's name; `None` for any other name.
fn tuned(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("ft:")?;
    Some(rest.split_once(':').unwrap_or((rest, "")))
}

/// Whether two names are of one tuned model: the base model may have a date in one of them only.
fn is_same(one: (&str, &str), other: (&str, &str)) -> bool {
    one.1 == other.1 && (one.0.starts_with(other.0) || other.0.starts_with(one.0))
}

impl Provider for OpenAi {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(async move {
            if !self.is_responses.load(Ordering::Relaxed) {
                let answer = self.chat(request).await;
                // Another request may have found out in the meantime.
                let is_known = self.is_responses.load(Ordering::Relaxed);
                let is_elsewhere = matches!(&answer, Err(ProviderError::NoModel { is_said: false, .. }))
                    && (is_known || self.answered.get().is_none());
                // A server may have the Responses API only. One that knows no model answers 404 there, too.
                let Some(other) = (if is_elsewhere { self.respond(request).await } else { None }) else {
                    return answer;
                };
                let Ok(other) = other else { return answer };
                self.is_responses.store(true, Ordering::Relaxed);
                self.rest.http.notices().tell("request    the server has no chat completions: /responses is asked");
                return Ok(other);
            }
            match self.respond(request).await {
                Some(answer) => answer,
                None => Err(ProviderError::Setup("`provider.api`: this service has no Responses API".into())),
            }
        })
    }

    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        Box::pin(self.scored(messages, continuations))
    }

    fn scores(&self) -> bool {
        self.scores
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn served(&self) -> Option<String> {
        self.answered.get().map(|(name, _)| name.clone())
    }

    fn address(&self) -> String {
        self.rest.http.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuned_model_is_told_from_another() {
        let client = |model: &str| {
            let endpoint = Endpoint { base_url: "http://127.0.0.1:1/v1".into(), ..Endpoint::default() };
            OpenAi::new(&endpoint, model).expect("nothing is sent")
        };
        let check = |asked: &str, served: &str| {
            let client = client(asked);
            let checked = client.check_name(Some(served));
            assert_eq!(client.served().as_deref(), checked.is_ok().then_some(served));
            checked
        };
        assert_eq!(check("ft:a-2024:o::1", "ft:a-2024:o::1"), Ok(()));
        assert_eq!(check("ft:a:o::1", "ft:a-2024:o::1"), Ok(()));
        assert_eq!(check("alias", "ft:a-2024:o::1"), Ok(()));
        assert_eq!(check("ft:a:o::1", "ft:a:o::2"), Err(ProviderError::WrongModel));
        assert_eq!(check("ft:a:o::1", "ft:b:o::1"), Err(ProviderError::WrongModel));
        assert!(check("ft:a:o::1", "a").is_err_and(|error| !error.is_fatal()));
        let two = client("m");
        assert_eq!([two.check_name(Some("m")), two.check_name(None)], [Ok(()), Ok(())]);
        assert_eq!(two.check_name(Some("n")), Err(ProviderError::TwoModels));
    }
}
