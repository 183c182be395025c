//! HTTP to a provider: one client with its key, retries, and limits on what is read.

mod client;
mod headers;
mod refusal;
mod reply;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::body::{End, LARGEST_BODY};
use super::budget::Budget;
use super::connect_error::unreached;
use super::discarded::{Attempt, DiscardSink};
use super::throttle::Throttle;
use super::{Answer, ProviderError};
use crate::loopback::is_loopback;
use crate::notices::Notices;
use crate::{ModelIdentity, Redact};
use blabbermouth_core::chat::{Completion, Finish, Usage};
use client::{Wire, address, authority, client, is_credential};
use headers::headers_of;

pub use client::address_of;
pub(super) use reply::{Reply, RetryHint};

/// The most attempts of a request, if no other request succeeds either.
const TRIES: u32 = 6;
/// The most attempts while other requests succeed: of ten thousand of which 30% fail, seven would fail six times.
const MOST_TRIES: u32 = 16;
/// How recent the last success must be for [`MOST_TRIES`].
const OF_LATE: Duration = Duration::from_secs(60);
/// Pause between attempts while a model is not callable yet.
const WARM_UP_PAUSE: Duration = Duration::from_secs(2);
/// Default number of requests in flight.
const USUAL: usize = 64;
/// Wait that is allowed where the user sets none.
const USUAL_PATIENCE: Duration = Duration::from_secs(600);
/// Time in which a server may load its model, counted from the first request.
const LOADING: Duration = Duration::from_secs(300);
/// Pause between two attempts at a server that loads its model.
const LOADING_PAUSE: Duration = Duration::from_secs(3);
/// A wait that is always worth a notice.
const LONG_NOTICE: Duration = Duration::from_secs(5);
/// Content type of requests.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// Up to and including the version, as in `https://api.openai.com/v1`.
    pub base_url: String,
    /// API key, if the server wants one.
    pub key: Option<SecretString>,
    /// Environment variable of the key, for messages.
    pub key_variable: String,
    /// Timeout of one attempt.
    pub timeout: Duration,
    /// Header for the key; empty for `Authorization: Bearer`.
    pub auth: String,
    /// Query string of every request.
    pub query: String,
    /// Additional headers of every request.
    pub headers: BTreeMap<String, String>,
    /// Additional headers whose values are secrets.
    pub secret_headers: BTreeMap<String, SecretString>,
    /// The Unix socket that the server listens at; `None` for TCP.
    pub socket: Option<PathBuf>,
    /// File of additional certificates (PEM) to trust.
    pub certificates: Option<PathBuf>,
    /// File with the client's certificate and its key (PEM).
    pub identity: Option<PathBuf>,
    /// Budget for answers; `None`: no limit.
    pub budget: Option<Arc<Budget>>,
    /// The most requests in flight; 0 for 64.
    pub concurrency: usize,
    /// Remembers the name under which a run's model answers.
    pub model_name: Option<Arc<dyn ModelIdentity>>,
    /// Removes secrets from messages of the service; without it, messages of answers are not shown.
    pub redact: Redactor,
    /// What the user is told.
    pub notices: Notices,
    /// The longest wait that the service may ask for; zero for the usual one.
    pub patience: Duration,
}

/// Looks at an error's body, and returns whether the next attempt is another request.
type Learn<'a> = dyn Fn(&[u8]) -> bool + Sync + 'a;

/// Removes secrets from a service's message before anybody reads it; none where nobody knows them.
#[derive(Clone, Default)]
pub struct Redactor(pub Option<Redact>);

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Redactor").field(&self.0.is_some()).finish()
    }
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    url: Url,
    query: String,
    key_variable: String,
    has_key: bool,
    timeout: Duration,
    wire: Wire,
    begun: Instant,
    warm_up: Duration,
    budget: Option<Arc<Budget>>,
    throttle: Throttle,
    /// Time of the last success: milliseconds since `begun`, plus one; 0 for never.
    good: AtomicU64,
    /// Secrets to remove from server messages: the key, the password of the URL, and credential headers.
    own: Vec<SecretString>,
    redact: Redactor,
    notices: Notices,
    patience: Duration,
}

/// A result that is paid for.
pub(super) trait Paid: Sized {
    /// Tokens; 0 where the server does not count them.
    fn usage(&self) -> Usage;
    /// The result for a request that the provider's filter blocked; `None` if that is an error.
    fn filtered() -> Option<Self>;
}

impl Paid for Answer {
    fn usage(&self) -> Usage {
        self.usage
    }

    fn filtered() -> Option<Self> {
        Some(filtered())
    }
}

/// Address and model of a request, and the callback for discarded responses.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) url: &'a Url,
    pub(super) model: &'a str,
    pub(super) broken: &'a DiscardSink,
    /// Looks at the error of a refused request, and returns whether the next attempt is another request.
    pub(super) learn: Option<&'a Learn<'a>>,
}

fn fatal(error: ProviderError) -> Failed {
    (error, RetryHint::No)
}

/// A failed attempt: its error, and whether a retry makes sense.
pub(super) type Failed = (ProviderError, RetryHint);

/// Limit of a body in bytes: room for this many tokens, each with its scores in JSON.
fn largest_answer(tokens: u64) -> usize {
    const BYTES_A_TOKEN: u64 = 512;
    const MOST: u64 = 64 << 20;
    LARGEST_BODY.max(usize::try_from(tokens.saturating_mul(BYTES_A_TOKEN).min(MOST)).unwrap_or(LARGEST_BODY))
}

impl Http {
    /// Prepares a client; nothing is sent.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, ProviderError> {
        let setup = |what: String| ProviderError::Setup(what);
        let base = endpoint.base_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base).map_err(|e| {
            setup(format!(
                "`provider.base-url` is not an address ({e}); expected one such as https://api.openai.com/v1"
            ))
        })?;
        let loopback = is_loopback(&url);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(setup(format!("`provider.base-url` begins with {}:, expected https:", url.scheme())));
        }
        if url.scheme() == "http" && !loopback {
            if endpoint.key.is_some() {
                return Err(setup(format!(
                    "the API key would travel to {} in the clear: use https, or unset {}",
                    authority(&url),
                    endpoint.key_variable
                )));
            }
            if url.password().is_some()
                || !endpoint.secret_headers.is_empty()
                || endpoint.headers.keys().any(|name| is_credential(name))
            {
                return Err(setup(format!(
                    "a password or a header would travel to {} in the clear: use https",
                    authority(&url)
                )));
            }
        }
        let own: Vec<SecretString> = [endpoint.key.as_ref().map(|key| key.expose_secret().trim()), url.password()]
            .into_iter()
            .flatten()
            .chain(endpoint.headers.iter().filter(|(name, _)| is_credential(name)).map(|(_, value)| value.as_str()))
            .chain(endpoint.secret_headers.values().map(|value| value.expose_secret()))
            .filter(|own| !own.is_empty())
            .map(SecretString::from)
            .collect();
        let headers = headers_of(endpoint, &url)?;
        // Fails if a provider is installed already, by another part of the program or by the user: that one is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wire = Wire {
            is_loopback: loopback,
            certificates: endpoint.certificates.clone(),
            identity: endpoint.identity.clone(),
            socket: endpoint.socket.clone(),
        };
        let client = client(headers, endpoint.timeout, &wire)?;
        Ok(Self {
            client,
            base,
            url,
            query: endpoint.query.clone(),
            key_variable: endpoint.key_variable.clone(),
            has_key: endpoint.key.is_some(),
            timeout: endpoint.timeout,
            wire,
            begun: Instant::now(),
            warm_up: Duration::ZERO,
            budget: endpoint.budget.clone(),
            throttle: Throttle::new(if endpoint.concurrency == 0 { USUAL } else { endpoint.concurrency }),
            good: AtomicU64::new(0),
            own,
            redact: endpoint.redact.clone(),
            notices: endpoint.notices.clone(),
            patience: if endpoint.patience.is_zero() { USUAL_PATIENCE } else { endpoint.patience },
        })
    }

    /// How long a 404 for the model is retried, counted from now.
    pub(super) fn warm_up(mut self, longest: Duration) -> Self {
        self.warm_up = longest;
        self
    }

    /// The URL of `path` below the base. `path` begins with a slash and may have a query.
    pub(super) fn url(&self, path: &str) -> Result<Url, ProviderError> {
        let join = if path.contains('?') { '&' } else { '?' };
        let query = if self.query.is_empty() { String::new() } else { format!("{join}{}", self.query) };
        let url = Url::parse(&format!("{}{path}{query}", self.base))
            .map_err(|e| ProviderError::Setup(format!("`provider.base-url` cannot be extended: {e}")))?;
        // A path must not change the host: the other host would get the key.
        let is_same = url.origin() == self.url.origin()
            && (url.username(), url.password()) == (self.url.username(), self.url.password());
        if is_same {
            Ok(url)
        } else {
            Err(ProviderError::Setup(format!("`{path}` leads away from the service's address")))
        }
    }

    /// A client for other servers, without the key and the user's headers.
    pub(super) fn without_key(&self) -> Result<reqwest::Client, ProviderError> {
        // Another host than the service's: it sees neither the client's certificate nor the socket.
        let wire = Wire { identity: None, socket: None, certificates: self.wire.certificates.clone(), ..self.wire };
        client(HeaderMap::new(), self.timeout, &wire)
    }

    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Removes credentials from a server's text: some servers quote a refused header.
    pub(super) fn without_own(&self, mut text: String) -> String {
        for own in &self.own {
            text = text.replace(own.expose_secret(), "[the key]");
        }
        text
    }

    /// Scheme, host and port, without user name and password.
    pub(super) fn address(&self) -> String {
        address(&self.url)
    }

    /// Sends a request to a model and reads the answer, with retries. Each attempt reserves `worst` in the budget. Each
    /// attempt without an answer is reported once.
    pub(super) async fn ask<B: Serialize, T: Paid>(
        &self,
        whom: Whom<'_>,
        worst: impl Fn() -> Usage,
        body: impl Fn() -> B,
        read: impl Fn(&[u8]) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let (whom, body, read, worst) = (&whom, &body, &read, &worst);
        self.with_retries(move || async move {
            // Serialized again for a retry, which is rare, so that the first attempt needs no copy.
            let mut bytes = Vec::with_capacity(1024);
            serde_json::to_writer(&mut bytes, &body()).expect("a request is plain JSON");
            let post = self.client.post(whom.url.clone()).header(CONTENT_TYPE, JSON).body(bytes);
            let budget = self.budget.as_deref().map(|budget| (budget, worst()));
            if let Some((budget, worst)) = budget {
                budget.reserve(worst).map_err(fatal)?;
            }
            let mut attempt = Attempt::new(whom.broken);
            attempt.limit = largest_answer(budget.map_or_else(worst, |(_, worst)| worst).completion_tokens);
            let outcome = self.attempt(post, whom, budget, read, &mut attempt).await;
            attempt.end();
            outcome
        })
        .await
    }

    /// One attempt of [`Http::ask`].
    async fn attempt<T: Paid>(
        &self,
        post: RequestBuilder,
        whom: &Whom<'_>,
        budget: Option<(&Budget, Usage)>,
        read: impl Fn(&[u8]) -> Result<T, ProviderError>,
        attempt: &mut Attempt<'_>,
    ) -> Result<T, Failed> {
        let reply = {
            let mut slot = self.throttle.slot().await;
            let reply = self.receive(post, attempt.limit, attempt).await?;
            if reply.is_success() {
                slot.answered(&reply.headers);
            }
            reply
        };
        if reply.is_success() {
            let answer = read(&attempt.bytes).map_err(|error| {
                let again = if error.is_fatal() { RetryHint::No } else { RetryHint::After(reply.wait_asked()) };
                (error, again)
            })?;
            // If the server does not count tokens, the whole reservation counts as spent.
            if let Some((budget, worst)) = budget.filter(|_| answer.usage().prompt_tokens > 0) {
                budget.settle(worst, answer.usage()).map_err(fatal)?;
            }
            attempt.answered();
            return Ok(answer);
        }
        if let Some((budget, worst)) = budget {
            budget.settle(worst, Usage::default()).map_err(fatal)?;
        }
        if matches!(reply.status, 429 | 503 | 529) {
            self.throttle.refused(reply.wait_asked().map(|wait| wait.min(self.patience)));
        }
        let code = self.code(&attempt.bytes);
        // Azure reports its content filter this way: an outcome, not a fault.
        if let Some(answer) = T::filtered().filter(|_| reply.status == 400 && code == "content_filter") {
            // The filtered answer is counted, so that the response does not count as withheld too.
            attempt.withholds_nothing = true;
            return Ok(answer);
        }
        if matches!(reply.status, 400 | 422) && whom.learn.is_some_and(|learn| learn(&attempt.bytes)) {
            // The next attempt leaves out what the model refused.
            attempt.withholds_nothing = true;
            return Err((self.bad_status(&reply, code, &attempt.bytes), RetryHint::After(Some(Duration::ZERO))));
        }
        let (error, hint) = self.refused(&reply, code, whom.model, &attempt.bytes);
        // A model that was just tuned may take time to be available everywhere.
        attempt.withholds_nothing = matches!(hint, RetryHint::Uncounted(_));
        Err((error, hint))
    }

    /// Sends once, and reads at most `largest` bytes.
    pub(super) async fn once(&self, request: RequestBuilder, largest: usize) -> Result<Reply, Failed> {
        let unseen = DiscardSink::default();
        let mut attempt = Attempt::new(&unseen);
        let reply = self.receive(request, largest, &mut attempt).await?;
        Ok(Reply { bytes: attempt.into_bytes(), ..reply })
    }

    /// Sends once. The unpacked body goes into `attempt`; the reply itself has no bytes.
    async fn receive(
        &self,
        request: RequestBuilder,
        largest: usize,
        attempt: &mut Attempt<'_>,
    ) -> Result<Reply, Failed> {
        let failed = |e: reqwest::Error| unreached(&e, &self.url);
        let too_long = || {
            let what = format!("longer than {} MiB", largest >> 20);
            (ProviderError::Malformed { what }, RetryHint::No)
        };
        attempt.limit = largest;
        let mut response = request.send().await.map_err(|error| {
            attempt.is_unreached = error.is_connect();
            failed(error)
        })?;
        attempt.status = Some(response.status().as_u16());
        if let Some(coding) = response.headers().get(CONTENT_ENCODING) {
            attempt.coding = String::from_utf8_lossy(coding.as_bytes()).into_owned();
        }
        attempt.bytes.reserve(response.content_length().unwrap_or(0).min(1 << 16) as usize);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            attempt.bytes.extend_from_slice(&chunk);
            if attempt.bytes.len() > largest {
                return Err(too_long());
            }
        }
        match attempt.unpack() {
            End::Whole => {}
            End::TooLong => return Err(too_long()),
            End::Broken => {
                let what = "a compressed body that is cut or damaged".into();
                return Err((ProviderError::Malformed { what }, RetryHint::After(None)));
            }
        }
        let status = response.status().as_u16();
        Ok(Reply { status, headers: std::mem::take(response.headers_mut()), bytes: Vec::new() })
    }

    /// Calls `attempt` until it succeeds, fails for good, or has failed too often. A 404 during the warm-up does not
    /// count as an attempt.
    pub(super) async fn with_retries<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let mut tried = 1;
        loop {
            let (error, again) = match attempt().await {
                Ok(done) => {
                    self.good.store(self.begun.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(failed) => failed,
            };
            let wait = match again {
                RetryHint::No => return Err(error),
                RetryHint::Uncounted(wait) => {
                    self.notices.waiting(LONG_NOTICE.max(wait), "the server is not ready yet");
                    tokio::time::sleep(wait).await;
                    continue;
                }
                RetryHint::After(wait) => wait,
            };
            if let Some(asked) = wait.filter(|wait| *wait > self.patience) {
                return Err(ProviderError::Patience { asked: asked.as_secs(), patience: self.patience.as_secs() });
            }
            let good = self.good.load(Ordering::Relaxed);
            let others_come_through = good > 0 && self.begun.elapsed() < Duration::from_millis(good) + OF_LATE;
            let most = if others_come_through { MOST_TRIES } else { TRIES };
            if tried >= most {
                return Err(error);
            }
            if let Some(wait) = wait {
                self.notices.waiting(wait, &format!("{} asks for it", self.url.host_str().unwrap_or_default()));
            }
            tokio::time::sleep(wait.unwrap_or_else(|| backoff(tried))).await;
            tried += 1;
        }
    }
}

/// The answer for a blocked prompt: one empty completion.
fn filtered() -> Answer {
    let completion = Completion { finish: Finish::Filtered, ..Completion::default() };
    Answer::new(vec![completion], Usage::default())
}

/// Wait before the next attempt: 0.5 s, doubled up to 8 s, minus up to 25% at random, so that many clients do not
/// return at once.
fn backoff(tried: u32) -> Duration {
    let mut lot = [0u8; 1];
    let _ = getrandom::fill(&mut lot);
    let full = Duration::from_millis(500u64 << (tried - 1).min(4));
    full.mul_f64(1.0 - 0.25 * f64::from(lot[0]) / 255.0)
}

#[cfg(test)]
mod tests;
