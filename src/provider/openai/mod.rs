//! A client of the OpenAI dialect: chat completions here, files and fine-tuning jobs in `tuning`.

mod chat;
mod tuning;

use std::time::Duration;

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use super::http::{Again, Endpoint, Failed, Http};
use super::{Answer, Completing, Provider, ProviderError, Request};
use crate::chat::{Completion, Finish, Usage};
use chat::{Body, error_code, read_answer};

/// The largest answer that is read.
const LARGEST_BODY: usize = 4 << 20;

/// A client of one model on one server.
#[derive(Debug)]
pub struct OpenAi {
    http: Http,
    chat: Url,
    model: String,
    warm_up: Duration,
}

impl OpenAi {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// When the address is none, or a key would travel in the clear to another machine.
    pub fn new(endpoint: &Endpoint, model: impl Into<String>) -> Result<Self, ProviderError> {
        let http = Http::new(endpoint)?;
        let chat = http.url("/chat/completions")?;
        Ok(Self { http, chat, model: model.into(), warm_up: Duration::ZERO })
    }

    /// How long the server may say that it does not know the model yet, counted from now: a model that
    /// was just tuned may need minutes.
    #[must_use]
    pub fn warm_up(mut self, longest: Duration) -> Self {
        self.warm_up = longest;
        self
    }

    async fn once(&self, request: &Request) -> Result<Answer, Failed> {
        // Written anew for a second try, which is rare, so that the first is not copied.
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, &Body::new(&self.model, request)).expect("a request is plain JSON");
        let post = self.http.client().post(self.chat.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let reply = self.http.once(post, LARGEST_BODY).await?;
        if matches!(reply.status, 200..=299) {
            return read_answer(&reply.bytes, request.sampling.max_tokens)
                .map_err(|e| (e, Again::After(reply.wait_asked())));
        }
        let code = error_code(&reply.bytes);
        match reply.status {
            // Azure's way to say that its filter stepped in: an outcome, not a fault.
            400 if code == "content_filter" => Ok(filtered()),
            status @ (401 | 403) => {
                Err((ProviderError::Key { status, variable: self.http.key_variable().to_owned() }, Again::No))
            }
            404 => Err((ProviderError::NoModel { model: self.model.clone() }, self.http.warming(self.warm_up))),
            429 if code == "insufficient_quota" => Err((ProviderError::Quota, Again::No)),
            status => Err((ProviderError::Status { status, code }, reply.again())),
        }
    }
}

/// What a blocked prompt gives: one answer that says nothing.
fn filtered() -> Answer {
    let completion = Completion { text: String::new(), finish: Finish::Filtered, refused: false };
    Answer { completions: vec![completion], usage: Usage::default() }
}

impl Provider for OpenAi {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.http.persist(move || self.once(request)))
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> String {
        self.http.address()
    }
}
