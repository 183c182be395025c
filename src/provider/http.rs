//! HTTP to a provider: one client with its key, what is sent again, and how much is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::broken::{Broken, Coming};
use super::budget::{Budget, worst_case};
use super::text::{error_code, json};
use super::throttle::Throttle;
use super::unreached::unreached;
use super::{Answer, ProviderError, Request};
use crate::chat::{Completion, Finish, Usage};
use crate::store::ModelName;

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
/// The largest answer that is read.
const LARGEST_BODY: usize = 4 << 20;

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
    pub model_name: Option<ModelName>,
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    url: Url,
    query: String,
    key_variable: String,
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

/// What a server answered, whatever it means.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
}

/// Whether a failed request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It may not.
    No,
    /// After the usual wait, or the one that the server asked for.
    After(Option<Duration>),
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

/// A failed try.
pub(super) type Failed = (ProviderError, Again);

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
        Url::parse(&format!("{}{path}{query}", self.base))
            .map_err(|e| ProviderError::Setup(format!("`provider.base-url` cannot be extended: {e}")))
    }

    /// The variable that the key came from.
    pub(super) fn key_variable(&self) -> &str {
        &self.key_variable
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

    /// Asks a model, and reads the JSON of its answer.
    pub(super) async fn ask<B: Serialize>(
        &self,
        url: &Url,
        model: &str,
        request: &Request,
        body: impl Fn() -> B,
        read: impl Fn(&Value) -> Result<Answer, ProviderError>,
    ) -> Result<Answer, ProviderError> {
        let parse = |bytes: &[u8]| read(&json(bytes)?);
        self.ask_raw(url, model, &request.broken, || worst_case(request), body, parse).await
    }

    /// Asks a model, again where that makes sense; a try uses `worst` at most. `broken` sees what is thrown away.
    pub(super) async fn ask_raw<B: Serialize, T: Paid>(
        &self,
        url: &Url,
        model: &str,
        broken: &Broken,
        worst: impl Fn() -> Usage,
        body: impl Fn() -> B,
        read: impl Fn(&[u8]) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let (body, read, worst) = (&body, &read, &worst);
        self.persist(move || async move {
            // Written anew for a second try, which is rare, so that the first is not copied.
            let mut bytes = Vec::with_capacity(1024);
            serde_json::to_writer(&mut bytes, &body()).expect("a request is plain JSON");
            let post = self.client.post(url.clone()).header(CONTENT_TYPE, JSON).body(bytes);
            let fatal = |e: ProviderError| (e, Again::No);
            let budget = self.budget.as_deref().map(|budget| (budget, worst()));
            if let Some((budget, worst)) = budget {
                budget.take(worst).map_err(fatal)?;
            }
            let reply = {
                let mut slot = self.throttle.slot().await;
                let reply = self.once_seen(post, LARGEST_BODY, broken).await?;
                if reply.is_success() {
                    slot.answered(&reply.headers);
                }
                reply
            };
            if reply.is_success() {
                let answer = read(&reply.bytes).map_err(|error| {
                    broken.part(&reply.bytes);
                    let again = if error.is_fatal() { Again::No } else { Again::After(reply.wait_asked()) };
                    (error, again)
                })?;
                // A server that does not count its tokens is taken to have used them all.
                if let Some((budget, worst)) = budget.filter(|_| answer.usage().prompt_tokens > 0) {
                    budget.settle(worst, answer.usage()).map_err(fatal)?;
                }
                return Ok(answer);
            }
            if let Some((budget, worst)) = budget {
                budget.settle(worst, Usage::default()).map_err(fatal)?;
            }
            let code = self.without_own(error_code(&reply.bytes));
            if matches!(reply.status, 429 | 503 | 529) {
                self.throttle.refused(reply.wait_asked());
            }
            // Azure's way to say that its filter stepped in: an outcome, not a fault.
            if let Some(answer) = T::filtered().filter(|_| reply.status == 400 && code == "content_filter") {
                return Ok(answer);
            }
            match reply.status {
                status @ (401 | 403) => {
                    Err((ProviderError::Key { status, variable: self.key_variable.clone() }, Again::No))
                }
                404 => {
                    let warming = self.begun.elapsed() < self.warm_up;
                    let again = if warming { Again::After(Some(WARM_UP_PAUSE)) } else { Again::No };
                    Err((ProviderError::NoModel { model: model.to_owned() }, again))
                }
                402 => Err((ProviderError::Quota, Again::No)),
                429 if code == "insufficient_quota" => Err((ProviderError::Quota, Again::No)),
                status => Err((ProviderError::Status { status, code }, reply.again())),
            }
        })
        .await
    }

    /// One try: sends, and reads at most `largest` bytes.
    pub(super) async fn once(&self, request: RequestBuilder, largest: usize) -> Result<Reply, Failed> {
        self.once_seen(request, largest, &Broken::default()).await
    }

    /// The same; what came of a good body that breaks off is shown to `broken`.
    async fn once_seen(&self, request: RequestBuilder, largest: usize, broken: &Broken) -> Result<Reply, Failed> {
        let failed = |e: reqwest::Error| unreached(&e, &self.url);
        let mut response = request.send().await.map_err(failed)?;
        let room = response.content_length().unwrap_or(0).min(1 << 16) as usize;
        let mut body = Coming::new(room, response.status().is_success(), broken);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.bytes.extend_from_slice(&chunk);
            if body.bytes.len() > largest {
                return Err((
                    ProviderError::Malformed { what: format!("longer than {} MiB", largest >> 20) },
                    Again::No,
                ));
            }
        }
        let status = response.status().as_u16();
        Ok(Reply { status, headers: std::mem::take(response.headers_mut()), bytes: body.whole() })
    }

    /// Tries until `attempt` succeeds, fails for good, or has failed too often. A 404 while warming up
    /// does not count as a try.
    pub(super) async fn persist<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ProviderError>
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
            let Again::After(wait) = again else { return Err(error) };
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

/// A client with these headers, by the rules for all of them.
fn client(
    headers: HeaderMap,
    timeout: Duration,
    loopback: bool,
    certificates: Option<&Path>,
) -> Result<reqwest::Client, ProviderError> {
    let setup = |what: String| ProviderError::Setup(what);
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .timeout(timeout)
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Whether a request is sent again is decided in one place.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .user_agent(concat!("blabbermouth/", env!("CARGO_PKG_VERSION")));
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = certificates {
        let fault = |e: String| setup(format!("`provider.certificates`: {}: {e}", path.display()));
        let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
        let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| fault(e.to_string()))?;
        if all.is_empty() {
            return Err(fault("there is no certificate in it; expected PEM".into()));
        }
        builder = builder.tls_certs_merge(all);
    }
    builder.build().map_err(|e| setup(format!("the HTTP client cannot be made: {e}")))
}

/// Scheme, host and port of a base URL, without user name and password; empty for what is none.
pub(crate) fn address_of(base_url: &str) -> String {
    Url::parse(base_url).map(|url| address(&url)).unwrap_or_default()
}

fn address(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url))
}

/// Host, and port where it is not the usual one.
fn authority(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Whether a header of this name is there to be kept to oneself.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie"].iter().any(|word| name.contains(word))
}

/// Whether an address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

impl Reply {
    fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the request may be sent again: what the server says in `x-should-retry`, else by the
    /// status.
    pub(super) fn again(&self) -> Again {
        let said = self.headers.get("x-should-retry").map(HeaderValue::as_bytes);
        let again = match said {
            Some(b"true") => true,
            Some(b"false") => false,
            _ => matches!(self.status, 408 | 409 | 429 | 500..=599),
        };
        if again { Again::After(self.wait_asked()) } else { Again::No }
    }

    /// What the server asks for in `retry-after-ms` or `retry-after` (seconds, or a date).
    pub(super) fn wait_asked(&self) -> Option<Duration> {
        let text = |name: &str| self.headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0 && *n < 1e6);
        let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
        number("retry-after-ms")
            .map(|ms| Duration::from_secs_f64(ms / 1000.0))
            .or_else(|| number("retry-after").map(Duration::from_secs_f64))
            .or_else(|| {
                // By the server's own clock, where it tells the time: ours may be wrong.
                let now = date("date").unwrap_or_else(std::time::SystemTime::now);
                Some(date("retry-after")?.duration_since(now).unwrap_or_default())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, pairs: &[(&'static str, &'static str)]) -> Reply {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Reply { status, headers: pairs.iter().map(pair).collect(), bytes: Vec::new() }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let wait = |pairs: &[(&'static str, &'static str)]| reply(429, pairs).wait_asked();
        let now = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "7")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")]), Some(Duration::from_secs(9)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:27:09 GMT")]), Some(Duration::ZERO));
        // Years behind our clock, or ahead of it: the server's own tells.
        let past = [("date", "Fri, 01 Jan 1999 00:00:00 GMT"), ("retry-after", "Fri, 01 Jan 1999 00:00:09 GMT")];
        let ahead = [("date", "Mon, 01 Jan 2080 00:00:00 GMT"), ("retry-after", "Mon, 01 Jan 2080 00:00:09 GMT")];
        assert_eq!([wait(&past), wait(&ahead)], [Some(Duration::from_secs(9)); 2]);
        for nonsense in ["soon", "-3", "NaN", "1e99", ""] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn the_server_decides_what_is_sent_again_where_it_says_so() {
        assert_eq!(reply(503, &[]).again(), Again::After(None));
        assert_eq!(reply(400, &[]).again(), Again::No);
        assert_eq!(reply(503, &[("x-should-retry", "false")]).again(), Again::No);
        assert_eq!(
            reply(400, &[("x-should-retry", "true"), ("retry-after", "2")]).again(),
            Again::After(Some(Duration::from_secs(2)))
        );
    }
}
