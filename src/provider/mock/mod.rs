//! The mocked provider: a real HTTP server on loopback with a parrot behind it, so that offline runs
//! take the same path to the last byte.
//!
//! Served by hyper: wiremock, which the tests use for servers with faults, keeps every request that it
//! matched (5.7 KB each, with request recording off), so that memory would grow with a run.

mod parrot;
mod scenario;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, JoinSet};

pub use parrot::Parrot;
use parrot::Reply;
pub use scenario::{Scenario, ScenarioError};

/// The name of the mock's model.
pub const MODEL: &str = "blabbermouth-parrot";
/// The largest request that is read, in bytes.
const LARGEST_REQUEST: usize = 16 << 20;

/// A running mock; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
    accepting: AbortHandle,
}

impl Server {
    /// Starts a parrot on `listener`, on the current tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn start(listener: TcpListener, parrot: Parrot) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (parrot, answered) = (Arc::new(parrot), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&answered);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let (parrot, count) = (Arc::clone(&parrot), Arc::clone(&count));
                let service = hyper::service::service_fn(move |request| {
                    let (parrot, count) = (Arc::clone(&parrot), Arc::clone(&count));
                    async move { Ok::<_, Infallible>(serve(request, &parrot, &count).await) }
                });
                connections
                    .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, answered, accepting: accepting.abort_handle() })
    }

    /// The base URL, as in `http://127.0.0.1:4010/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many chat requests were answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(request: Request<Incoming>, parrot: &Parrot, answered: &AtomicU64) -> Response<Full<Bytes>> {
    let reply = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => {
            match Limited::new(request.into_body(), LARGEST_REQUEST).collect().await {
                Ok(body) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    parrot.answer(&body.to_bytes())
                }
                Err(_) => Reply::error(413, "request_too_large", "The request is too large or broke off."),
            }
        }
        (&Method::GET, "/v1/models") => Reply::json(
            200,
            &serde_json::json!({"object": "list", "data": [
                {"id": MODEL, "object": "model", "created": 0, "owned_by": "blabbermouth"}]}),
        ),
        (method, path) => Reply::error(404, "unknown_url", &format!("Unknown request URL: {method} {path}.")),
    };
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if let Some(wait) = reply.retry_after_ms {
        headers.insert(HeaderName::from_static("retry-after-ms"), wait.into());
    }
    response
}
