//! A client of the OpenAI chat-completions dialect.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::wire::{Body, error_code, read_answer};
use super::{Answer, Completing, Provider, ProviderError, Request};

/// Tries of one request, the first one counted.
const TRIES: u32 = 6;
/// The largest answer that is read.
const LARGEST_BODY: usize = 4 << 20;
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct OpenAiOptions {
    /// Up to and with the version, as in `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model.
    pub model: String,
    /// The API key, if the server wants one.
    pub key: Option<SecretString>,
    /// The variable that the key came from, for messages.
    pub key_variable: String,
    /// The longest time for one try.
    pub timeout: Duration,
}

/// A client of one model on one server.
#[derive(Debug)]
pub struct OpenAi {
    client: reqwest::Client,
    url: reqwest::Url,
    host: String,
    model: String,
    key_variable: String,
}

impl OpenAi {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// When the address is none, or a key would travel in the clear to another machine.
    pub fn new(options: OpenAiOptions) -> Result<Self, ProviderError> {
        let setup = |what: String| ProviderError::Setup(what);
        let url = format!("{}/chat/completions", options.base_url.trim_end_matches('/'));
        let url = reqwest::Url::parse(&url).map_err(|e| {
            setup(format!(
                "`provider.base-url` is not an address ({e}); expected one such as https://api.openai.com/v1"
            ))
        })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let loopback = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if !matches!(url.scheme(), "http" | "https") {
            return Err(setup(format!("`provider.base-url` begins with {}:, expected https:", url.scheme())));
        }
        if url.scheme() == "http" && !loopback && options.key.is_some() {
            return Err(setup(format!(
                "the API key would travel to {host} in the clear: use https, or unset {}",
                options.key_variable
            )));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &options.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim()))
                .map_err(|_| setup(format!("{} holds characters that no API key has", options.key_variable)))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Another part of the program, or a user's own, may have installed one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(options.timeout)
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
        let client = builder.build().map_err(|e| setup(format!("the HTTP client cannot be made: {e}")))?;
        Ok(Self { client, url, host, model: options.model, key_variable: options.key_variable })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, ProviderError> {
        let mut tried = 1;
        loop {
            let (error, wait) = match self.once(request).await {
                Ok(answer) => return Ok(answer),
                Err((error, wait)) => (error, wait),
            };
            let Some(wait) = wait.filter(|_| tried < TRIES) else { return Err(error) };
            // Exponential, unless the server said when: half a second, doubled up to eight.
            let backoff = Duration::from_millis(500u64 << (tried - 1).min(4));
            tokio::time::sleep(wait.unwrap_or(backoff).min(LONGEST_WAIT)).await;
            tried += 1;
        }
    }

    /// One try. The second half of an error says whether to try again: `None` not, `Some(None)` after
    /// the usual wait, `Some(Some(d))` after `d`.
    async fn once(&self, request: &Request) -> Result<Answer, (ProviderError, Option<Option<Duration>>)> {
        // Written anew for a second try, which is rare, so that the first is not copied.
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, &Body::new(&self.model, request)).expect("a request is plain JSON");
        let connection = |e: &reqwest::Error| {
            let what = if e.is_timeout() {
                "it took too long".to_owned()
            } else if e.is_connect() {
                "the connection could not be made".to_owned()
            } else {
                "the connection broke".to_owned()
            };
            ProviderError::Connection { host: self.host.clone(), what }
        };
        let post = self.client.post(self.url.clone()).body(body);
        let mut response = post.send().await.map_err(|e| (connection(&e), Some(None)))?;
        let status = response.status().as_u16();
        let mut bytes = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 16) as usize);
        while let Some(chunk) = response.chunk().await.map_err(|e| (connection(&e), Some(None)))? {
            if bytes.len() + chunk.len() > LARGEST_BODY {
                return Err((ProviderError::Malformed { what: "longer than 4 MiB".into() }, None));
            }
            bytes.extend_from_slice(&chunk);
        }
        match status {
            200..=299 => {
                read_answer(&bytes, request.sampling.max_tokens).map_err(|e| (e, Some(wait_asked(response.headers()))))
            }
            401 | 403 => Err((ProviderError::Key { status, variable: self.key_variable.clone() }, None)),
            404 => Err((ProviderError::NoModel { model: self.model.clone() }, None)),
            429 if error_code(&bytes) == "insufficient_quota" => Err((ProviderError::Quota, None)),
            _ => {
                let again = matches!(status, 408 | 409 | 429 | 500..=599);
                let error = ProviderError::Status { status, code: error_code(&bytes) };
                Err((error, again.then(|| wait_asked(response.headers()))))
            }
        }
    }
}

/// What the server asks for in `retry-after-ms` or `retry-after` (seconds, or a date).
fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
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

impl Provider for OpenAi {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.ask(request))
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> String {
        // Without user name and password, if the address had any.
        let port = self.url.port().map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            wait_asked(&pairs.iter().map(pair).collect())
        };
        let now = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "7")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")]), Some(Duration::from_secs(9)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:27:09 GMT")]), Some(Duration::ZERO));
        for nonsense in ["soon", "-3", "NaN", "1e99", ""] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }
}
