//! What a bad status means, and what the service says about it.

use std::sync::atomic::Ordering;

use super::{Failed, Http, LOADING, LOADING_PAUSE, Reply, RetryHint, WARM_UP_PAUSE};
use crate::ProviderError;
use crate::text::{error_code, error_message, error_text, names_the_key};
use blabbermouth_core::text::invisible::one_line;

impl Http {
    /// The error for a request without permission.
    pub(crate) fn no_access(&self, status: u16) -> ProviderError {
        let variable = self.key_variable.clone();
        if self.has_key || variable.is_empty() {
            ProviderError::Key { status, variable }
        } else {
            ProviderError::NoKey { status, variable }
        }
    }

    /// The service's message without secrets; empty where nobody could tell whether it quotes one. A 5xx may quote the model's
    /// text, of which only the program's own canaries are known: none of these is shown.
    fn message(&self, status: u16, body: &[u8]) -> String {
        match &self.redact.0 {
            Some(redact) if status < 500 => {
                // Before it is cut: a cut secret would not be known any more.
                one_line(&redact(&self.without_own(error_text(body))))
            }
            _ => String::new(),
        }
    }

    /// The service's code without secrets.
    pub(super) fn code(&self, body: &[u8]) -> String {
        let code = self.without_own(error_code(body));
        match &self.redact.0 {
            Some(redact) if redact(&code) != code => "no code".to_owned(),
            _ => code,
        }
    }

    pub(super) fn bad_status(&self, reply: &Reply, code: String, body: &[u8]) -> ProviderError {
        ProviderError::Status { status: reply.status, code, message: self.message(reply.status, body) }
    }

    /// The error for a bad status, and whether the request may be retried.
    pub(super) fn refused(&self, reply: &Reply, code: String, model: &str, body: &[u8]) -> Failed {
        match reply.status {
            401 => (self.no_access(401), RetryHint::No),
            403 if names_the_key(&code, body) => (self.no_access(403), RetryHint::No),
            403 => (ProviderError::Denied { code, message: self.message(403, body) }, RetryHint::No),
            404 => {
                let is_warming = self.begun.elapsed() < self.warm_up;
                let hint = if is_warming { RetryHint::Uncounted(WARM_UP_PAUSE) } else { RetryHint::No };
                (ProviderError::NoModel { model: model.to_owned(), is_said: names_the_model(&code, body) }, hint)
            }
            402 => (ProviderError::Quota, RetryHint::No),
            429 if code == "insufficient_quota" => (ProviderError::Quota, RetryHint::No),
            // Before the first answer only: later, it would be a way to withhold answers.
            503 if says_loading(body) && self.good.load(Ordering::Relaxed) == 0 && self.begun.elapsed() < LOADING => {
                let wait = reply.wait_asked().filter(|wait| !wait.is_zero()).unwrap_or(LOADING_PAUSE);
                (self.bad_status(reply, code, body), RetryHint::Uncounted(wait.min(LOADING)))
            }
            _ => (self.bad_status(reply, code, body), reply.again()),
        }
    }
}

/// Whether a 404 is about the model, and not about the path.
fn names_the_model(code: &str, body: &[u8]) -> bool {
    code.contains("model") || error_message(body).to_lowercase().contains("model")
}

/// Whether a server says that it loads its model, as llama.cpp and Hugging Face's servers do.
fn says_loading(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]).to_lowercase();
    text.contains("loading model") || text.contains("loading the model") || text.contains("currently loading")
}
