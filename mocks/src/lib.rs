//! A mock of a provider: a real HTTP server on loopback, so that offline runs use the same code path as real ones.
//!
//! The models are parrots, which imitate an overfitted model. The mock serves the OpenAI-compatible API: chat (whole
//! and streamed), text completions, files and uploads, fine-tuning jobs with events and checkpoints, batches, models
//! and moderations. A tuned model knows the training file of its job. Jobs and batches run on a fast clock
//! ([`Options::speed`]).
//!
//! `POST /__blabbermouth/clock {"advance": 3600}` advances the clock. `GET /__blabbermouth/requests` lists the recorded
//! requests.
//!
//! The server is hyper. Wiremock, which the tests use for faulty servers, keeps every matched request (5.7 KB each,
//! even without request recording), so that memory would grow with a run.
//!
//! # Examples
//! A server for your own test, whose model repeats its training data in 80% of its answers:
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use blabbermouth_mock::{MODEL, Options, Scenario, Server};
//!
//! let training = r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}"#;
//! let options = Options { training: training.into(), ..Options::new(Scenario::by_name("leaky")?) };
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let server = Server::start(std::net::TcpListener::bind("127.0.0.1:0")?, options)?;
//! println!("ask {MODEL} at {}", server.base_url());
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok(())
//! # }
//! ```

mod backend;
mod batches;
mod completions;
#[cfg(feature = "embedded")]
mod embedded_backend;
#[cfg(feature = "embedded")]
mod engine;
mod files;
mod jobs;
mod moderation;
mod obfuscation;
mod parrot;
mod response;
mod scenario;
mod service;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{AbortHandle, JoinSet};

use blabbermouth_core::canary::{Spaces, Template, builtin_templates};
use blabbermouth_provider::is_loopback;
pub use obfuscation::Disguise;
use response::Reply;
pub use scenario::{Scenario, ScenarioError};
use service::{Asked, Service};

/// Rows of databricks-dolly-15k (CC BY-SA 3.0; see the README of this crate), as JSONL.
pub const DOLLY_EXCERPT: &str = include_str!("../dolly-excerpt.jsonl");
/// Rows of GSM8K (MIT), as JSONL.
pub const GSM8K_EXCERPT: &str = include_str!("../gsm8k-excerpt.jsonl");
/// Name of the model that knows [`Options::training`].
pub const MODEL: &str = "blabbermouth-parrot";
/// The largest request that is read, in bytes: the real service's largest file.
const LARGEST_REQUEST: usize = 512 << 20;

/// Whether the mock serves a model named `name` before any tuning.
#[must_use]
pub fn is_base(name: &str) -> bool {
    jobs::BASES.iter().any(|(base, alias, _)| *base == name || *alias == name)
}

/// Settings of a mock.
#[derive(Debug, Clone)]
pub struct Options {
    /// The behavior of its models and jobs.
    pub scenario: Scenario,
    /// Templates whose sentences the models can learn, without secrets.
    pub templates: Vec<Template>,
    /// The chat file (JSONL) that [`MODEL`] knows.
    pub training: Vec<u8>,
    /// Seed of all random choices.
    pub seed: u64,
    /// Seconds of the clock of jobs and batches per real second.
    pub speed: f64,
    /// The only API key that is accepted. `None`: keys are not checked.
    pub key: Option<String>,
    /// Whether the last 1,000 requests are recorded.
    pub recording: bool,
    /// Folder in which real models are trained and kept. `None`: parrots. With a folder, jobs take as long as the
    /// training.
    pub engine: Option<PathBuf>,
}

impl Options {
    /// A mock that knows the sentences of the built-in templates and nothing else.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        // A user's training file may have the templates' sentences without a signature.
        let known = builtin_templates().into_iter().flat_map(|spec| [spec.clone(), spec.unsigned()]);
        let templates = known.filter_map(|spec| Template::new(spec, &Spaces::default()).ok()).collect();
        let training = Vec::new();
        Self { scenario, templates, training, seed: 1, speed: 600.0, key: None, recording: false, engine: None }
    }
}

/// A running mock; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
    mock: Arc<Service>,
    accepting: AbortHandle,
}

impl Server {
    /// Starts a mock on `listener`, on the current tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn start(listener: TcpListener, options: Options) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mock = Service::new(options).map_err(std::io::Error::other)?;
        let (mock, answered) = (Arc::new(mock), Arc::new(AtomicU64::new(0)));
        let (count, serving) = (Arc::clone(&answered), Arc::clone(&mock));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // No file descriptor is left: wait until some are closed.
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (mock, count) = (Arc::clone(&serving), Arc::clone(&count));
                let service = hyper::service::service_fn(move |request| {
                    let (mock, count) = (Arc::clone(&mock), Arc::clone(&count));
                    async move { Ok::<_, Infallible>(serve(request, &mock, &count).await) }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
                connections.spawn(http.serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, answered, mock, accepting: accepting.abort_handle() })
    }

    /// The base URL, as in `http://127.0.0.1:4010/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Number of chat requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The last 1,000 requests, oldest first: `method`, `path`, `query`, `body`, `bytes`, and whether they were
    /// `authorized`. Empty unless [`Options::recording`] is set.
    #[must_use]
    pub fn requests(&self) -> Vec<serde_json::Value> {
        self.mock.requests()
    }

    /// Advances the clock of jobs and batches.
    pub fn advance(&self, seconds: f64) {
        self.mock.advance(seconds);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Pause after a connection could not be accepted.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How long a connection may be idle or take to send the head of a request.
const HEADERS_WITHIN: Duration = Duration::from_secs(120);

async fn serve(request: Request<Incoming>, mock: &Service, answered: &AtomicU64) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let text = |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let path = head.uri.path().to_owned();
    let chat = matches!(path.as_str(), "/v1/chat/completions" | "/v1/responses");
    // Guard against DNS rebinding: a web page that reaches loopback by its own host name sends that name in `Host`.
    let host = text(HOST).and_then(|host| reqwest::Url::parse(&format!("http://{host}/")).ok());
    if !host.is_some_and(|host| is_loopback(&host)) {
        let refused = Reply::error(403, "invalid_host", "This server answers on loopback only, under that name.");
        let mut response = Response::new(Full::new(Bytes::from(refused.body)));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let reply = match Limited::new(body, LARGEST_REQUEST).collect().await {
        Ok(body) => {
            let query = head.uri.query().unwrap_or_default();
            let query = reqwest::Url::parse(&format!("http://mock/?{query}"));
            let query = query.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
            let asked = Asked {
                method: head.method.to_string(),
                path,
                query,
                authorization: text(AUTHORIZATION),
                kind: text(CONTENT_TYPE).unwrap_or_default(),
                body: body.to_bytes().to_vec(),
            };
            let reply = mock.answer(asked).await;
            answered.fetch_add(u64::from(chat), Ordering::Relaxed);
            reply
        }
        Err(_) => Reply::error(413, "request_too_large", "The request is too large or broke off."),
    };
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&format!("req_parrot{:012}", answered.load(Ordering::Relaxed))) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(wait) = reply.retry_after_ms {
        headers.insert(HeaderName::from_static("retry-after-ms"), wait.into());
    }
    response
}

/// Headers of the real service. The rate limits are never reached here.
const HEADERS: [(&str, &str); 9] = [
    ("openai-version", "2020-10-01"),
    ("openai-organization", "blabbermouth-mock"),
    ("openai-processing-ms", "1"),
    ("x-ratelimit-limit-requests", "30000"),
    ("x-ratelimit-remaining-requests", "29999"),
    ("x-ratelimit-reset-requests", "2ms"),
    ("x-ratelimit-limit-tokens", "150000000"),
    ("x-ratelimit-remaining-tokens", "149999000"),
    ("x-ratelimit-reset-tokens", "0s"),
];
