//! HTTP to a provider: one client with its key, what is sent again, and how much is read.

mod client;
mod reply;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::body::{End, LARGEST_BODY};
use super::budget::Budget;
use super::connect_error::unreached;
use super::discarded::{Attempt, DiscardSink};
use super::text::error_code;
use super::throttle::Throttle;
use super::{Answer, ProviderError};
use crate::ModelIdentity;
use crate::loopback::is_loopback;
use blabbermouth_core::chat::{Completion, Finish, Usage};
use client::{address, authority, client, is_credential};

pub use client::address_of;
pub(super) use reply::{Reply, RetryHint};

/// Tries of one request, the first one counted, where nothing else comes through either.
const TRIES: u32 = 6;
/// As long as others came through of late: of ten thousand requests of which three in ten fail, seven would fail six times.
const MOST_TRIES: u32 = 16;
/// What is of late.
const OF_LATE: Duration = Duration::from_secs(60);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Between two questions for a model that is not callable yet.
const WARM_UP_PAUSE: Duration = Duration::from_secs(2);
/// Requests in flight, where nothing else is said.
const USUAL: usize = 64;
/// What requests are written in.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a server is reached.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// Up to and with the version, as in `https://api.openai.com/v1`.
    pub base_url: String,
    /// The API key, if the server wants one.
    pub key: Option<SecretString>,
    /// The variable that the key came from, for messages.
    pub key_variable: String,
    /// The longest time for one try.
    pub timeout: Duration,
    /// The header that the key goes into; empty for `Authorization: Bearer`.
    pub auth: String,
    /// A query for every request.
    pub query: String,
    /// Further headers of every request.
    pub headers: BTreeMap<String, String>,
    /// Certificates (PEM) to trust beside the built-in ones.
    pub certificates: Option<PathBuf>,
    /// What may be spent on answers.
    pub budget: Option<Arc<Budget>>,
    /// Requests in flight, at most; 0 for 64.
    pub concurrency: usize,
    /// Keeps the name under which the model of a run answers.
    pub model_name: Option<Arc<dyn ModelIdentity>>,
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
    certificates: Option<PathBuf>,
    begun: Instant,
    warm_up: Duration,
    budget: Option<Arc<Budget>>,
    throttle: Throttle,
    /// When a request came through last: milliseconds from `begun`, and one; 0 for never.
    good: AtomicU64,
    /// What no message of a server may say again: the key, and what the user's headers hold.
    own: Vec<SecretString>,
}

/// What is paid for.
pub(super) trait Paid: Sized {
    /// Tokens, where the server counts them.
    fn usage(&self) -> Usage;
    /// What there is where the provider's filter stepped in.
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

/// Whom a question goes to, and who sees the tries that are discarded.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) url: &'a Url,
    pub(super) model: &'a str,
    pub(super) broken: &'a DiscardSink,
}

fn fatal(error: ProviderError) -> Failed {
    (error, RetryHint::No)
}

/// A failed try.
pub(super) type Failed = (ProviderError, RetryHint);

/// The longest body of an answer: what this many tokens can take up, each with its own scores in JSON.
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
            if url.password().is_some() || endpoint.headers.keys().any(|name| is_credential(name)) {
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
            .filter(|own| !own.is_empty())
            .map(SecretString::from)
            .collect();
        // The client goes nowhere else, and would write it anew for each request.
        let host = HeaderValue::from_str(&authority(&url)).map_err(|e| setup(e.to_string()))?;
        let mut headers = HeaderMap::from_iter([(HOST, host)]);
        let header = |name: &str| {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| setup(format!("`{name}` is no name of a header")))
        };
        if endpoint.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            return Err(setup("`headers`: `host` is that of the service's address, and cannot be set".into()));
        }
        for (name, value) in &endpoint.headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| setup(format!("the header `{name}` has no sound value")))?;
            headers.insert(header(name)?, value);
        }
        if let Some(key) = &endpoint.key {
            let key = key.expose_secret().trim();
            let (name, text) = match endpoint.auth.as_str() {
                "" => (AUTHORIZATION, format!("Bearer {key}")),
                name => (header(name)?, key.to_owned()),
            };
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| setup(format!("{} holds characters that no API key has", endpoint.key_variable)))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        // Another part of the program, or a user's own, may have installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(headers, endpoint.timeout, loopback, endpoint.certificates.as_deref())?;
        Ok(Self {
            client,
            base,
            url,
            query: endpoint.query.clone(),
            key_variable: endpoint.key_variable.clone(),
            has_key: endpoint.key.is_some(),
            timeout: endpoint.timeout,
            certificates: endpoint.certificates.clone(),
            begun: Instant::now(),
            warm_up: Duration::ZERO,
            budget: endpoint.budget.clone(),
            throttle: Throttle::new(if endpoint.concurrency == 0 { USUAL } else { endpoint.concurrency }),
            good: AtomicU64::new(0),
            own,
        })
    }

    /// How long a 404 for the model is asked again, counted from now.
    pub(super) fn warm_up(mut self, longest: Duration) -> Self {
        self.warm_up = longest;
        self
    }

    /// The address below the base; `path` begins with a slash and may end in a query.
    pub(super) fn url(&self, path: &str) -> Result<Url, ProviderError> {
        let join = if path.contains('?') { '&' } else { '?' };
        let query = if self.query.is_empty() { String::new() } else { format!("{join}{}", self.query) };
        let url = Url::parse(&format!("{}{path}{query}", self.base))
            .map_err(|e| ProviderError::Setup(format!("`provider.base-url` cannot be extended: {e}")))?;
        // A path that makes another host of the checked one.
        let is_same = url.origin() == self.url.origin()
            && (url.username(), url.password()) == (self.url.username(), self.url.password());
        if is_same {
            Ok(url)
        } else {
            Err(ProviderError::Setup(format!("`{path}` leads away from the service's address")))
        }
    }

    /// A client for addresses of others: it carries no key and no header of the user's.
    pub(super) fn without_key(&self) -> Result<reqwest::Client, ProviderError> {
        client(HeaderMap::new(), self.timeout, is_loopback(&self.url), self.certificates.as_deref())
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// A server's text without what it may have from us: some quote the header of a request that they refuse.
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

    /// Asks a model, and reads its answer; a try uses `worst` at most. It is asked again where that makes sense. Each try
    /// that gives no answer is reported once.
    pub(super) async fn ask<B: Serialize, T: Paid>(
        &self,
        whom: Whom<'_>,
        worst: impl Fn() -> Usage,
        body: impl Fn() -> B,
        read: impl Fn(&[u8]) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let (whom, body, read, worst) = (&whom, &body, &read, &worst);
        self.with_retries(move || async move {
            // Written anew for a second try, which is rare, so that the first is not copied.
            let mut bytes = Vec::with_capacity(1024);
            serde_json::to_writer(&mut bytes, &body()).expect("a request is plain JSON");
            let post = self.client.post(whom.url.clone()).header(CONTENT_TYPE, JSON).body(bytes);
            let budget = self.budget.as_deref().map(|budget| (budget, worst()));
            if let Some((budget, worst)) = budget {
                budget.reserve(worst).map_err(fatal)?;
            }
            let mut attempt = Attempt::new(whom.broken);
            attempt.limit = largest_answer(budget.map_or_else(worst, |(_, worst)| worst).completion_tokens);
            let outcome = self.attempt(post, whom.model, budget, read, &mut attempt).await;
            attempt.end();
            outcome
        })
        .await
    }

    /// One try of [`Http::ask`].
    async fn attempt<T: Paid>(
        &self,
        post: RequestBuilder,
        model: &str,
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
            // A server that does not count its tokens is taken to have used them all.
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
            self.throttle.refused(reply.wait_asked());
        }
        let code = self.without_own(error_code(&attempt.bytes));
        // Azure's way to say that its filter stepped in: an outcome, not a fault.
        if let Some(answer) = T::filtered().filter(|_| reply.status == 400 && code == "content_filter") {
            // It is counted as an answer that was filtered, and once.
            attempt.withholds_nothing = true;
            return Ok(answer);
        }
        let is_warming = reply.status == 404 && self.begun.elapsed() < self.warm_up;
        // A model that was just tuned is not everywhere at once.
        attempt.withholds_nothing = is_warming;
        Err(self.refused(&reply, code, model, is_warming))
    }

    /// What it means that a request is not allowed.
    pub(super) fn no_access(&self, status: u16) -> ProviderError {
        let variable = self.key_variable.clone();
        if self.has_key || variable.is_empty() {
            ProviderError::Key { status, variable }
        } else {
            ProviderError::NoKey { status, variable }
        }
    }

    /// What a bad status means.
    fn refused(&self, reply: &Reply, code: String, model: &str, is_warming: bool) -> Failed {
        match reply.status {
            status @ (401 | 403) => (self.no_access(status), RetryHint::No),
            404 => {
                let again = if is_warming { RetryHint::After(Some(WARM_UP_PAUSE)) } else { RetryHint::No };
                (ProviderError::NoModel { model: model.to_owned() }, again)
            }
            402 => (ProviderError::Quota, RetryHint::No),
            429 if code == "insufficient_quota" => (ProviderError::Quota, RetryHint::No),
            status => (ProviderError::Status { status, code }, reply.again()),
        }
    }

    /// Sends once, and reads at most `largest` bytes.
    pub(super) async fn once(&self, request: RequestBuilder, largest: usize) -> Result<Reply, Failed> {
        let unseen = DiscardSink::default();
        let mut attempt = Attempt::new(&unseen);
        let reply = self.receive(request, largest, &mut attempt).await?;
        Ok(Reply { bytes: attempt.into_bytes(), ..reply })
    }

    /// The same; the body goes into `attempt`, unpacked. The reply itself has no bytes.
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

    /// Tries until `attempt` succeeds, fails for good, or has failed too often. A 404 while warming up
    /// does not count as a try.
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
            let warming = matches!(error, ProviderError::NoModel { .. });
            let RetryHint::After(wait) = again else { return Err(error) };
            let good = self.good.load(Ordering::Relaxed);
            let others_come_through = good > 0 && self.begun.elapsed() < Duration::from_millis(good) + OF_LATE;
            let most = if others_come_through { MOST_TRIES } else { TRIES };
            if tried >= most && !warming {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or_else(|| backoff(tried)).min(LONGEST_WAIT)).await;
            tried += u32::from(!warming);
        }
    }
}

/// What a blocked prompt gives: one answer that says nothing.
fn filtered() -> Answer {
    let completion = Completion { finish: Finish::Filtered, ..Completion::default() };
    Answer::new(vec![completion], Usage::default())
}

/// Half a second, doubled up to eight; up to a quarter less, so that many clients do not come back
/// at once.
fn backoff(tried: u32) -> Duration {
    let mut lot = [0u8; 1];
    let _ = getrandom::fill(&mut lot);
    let full = Duration::from_millis(500u64 << (tried - 1).min(4));
    full.mul_f64(1.0 - 0.25 * f64::from(lot[0]) / 255.0)
}

#[cfg(test)]
mod tests;
