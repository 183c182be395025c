//! The mocked provider: a real HTTP server on loopback with a parrot behind it, so that offline runs
//! take the same path to the last byte.

mod parrot;
mod scenario;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub use parrot::Parrot;
pub use scenario::{Scenario, ScenarioError};

/// The name of the mock's model.
pub const MODEL: &str = "blabbermouth-parrot";

/// A running mock; it stops when dropped.
pub struct Server {
    server: MockServer,
    answered: Arc<AtomicU64>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(self.server.address()).finish()
    }
}

impl Server {
    /// Starts a parrot on `listener`.
    pub async fn start(listener: TcpListener, parrot: Parrot) -> Self {
        // Recording every request would make memory grow with the run.
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        let parrot = Arc::new(parrot);
        let chat = Arc::clone(&parrot);
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .respond_with(move |request: &wiremock::Request| {
                count.fetch_add(1, Ordering::Relaxed);
                chat.answer(&request.body)
            })
            .mount(&server)
            .await;
        let models = serde_json::json!({"object": "list", "data": [
            {"id": MODEL, "object": "model", "created": 0, "owned_by": "blabbermouth"}]});
        Mock::given(method("GET"))
            .and(path("/v1/models"))
            .respond_with(ResponseTemplate::new(200).set_body_json(models))
            .mount(&server)
            .await;
        Self { server, answered }
    }

    /// How many chat requests were answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The base URL, as in `http://127.0.0.1:4010/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.server.uri())
    }
}
