//! A decorator with one deadline for all requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Answer, Completing, Provider, ProviderError, Request, Scoring};
use blabbermouth_core::chat::Message;

/// Asks another provider until a deadline.
pub struct Deadline {
    inner: Arc<dyn Provider>,
    end: Instant,
}

impl Deadline {
    /// Asks `inner` until `longest` from now has passed; the deadline covers all requests together.
    pub fn new(inner: Arc<dyn Provider>, longest: Duration) -> Self {
        Self { inner, end: Instant::now() + longest }
    }

    async fn ask(&self, request: &Request) -> Result<Answer, ProviderError> {
        if Instant::now() >= self.end {
            return Err(ProviderError::Deadline);
        }
        timeout_at(self.end, self.inner.complete(request)).await.unwrap_or(Err(ProviderError::Deadline))
    }
}

impl Provider for Deadline {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.ask(request))
    }

    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        Box::pin(async move {
            if Instant::now() >= self.end {
                return Err(ProviderError::Deadline);
            }
            let scored = timeout_at(self.end, self.inner.score(messages, continuations));
            scored.await.unwrap_or(Err(ProviderError::Deadline))
        })
    }

    fn scores(&self) -> bool {
        self.inner.scores()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    fn served(&self) -> Option<String> {
        self.inner.served()
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}
