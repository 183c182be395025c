//! Shared by the clients of files and jobs: calls, errors, redaction, and tolerant reading of fields.

use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

use super::http::{Failed, Http, Reply, RetryHint};
use super::text::{error_code, error_text, json};
use super::{ProviderError, Redact};
use blabbermouth_core::text::invisible::one_line;

/// The largest response that is read, in bytes.
pub(super) const LARGEST_BODY: usize = 16 << 20;
/// Bytes per second that the timeout of an upload allows for, beyond a fixed 120 s.
pub(super) const UPLOAD_RATE: u64 = 64 << 10;

/// A client of one server.
pub(super) struct Rest {
    pub(super) http: Http,
    pub(super) redact: Option<Redact>,
}

impl Rest {
    /// Sends an idempotent call, with retries.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ProviderError> {
        self.call_at(method, self.http.url(path)?, body).await
    }

    /// Sends an idempotent call to a full address, with retries.
    pub(super) async fn call_at(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, ProviderError> {
        let request = || {
            let request = self.http.client().request(method.clone(), url.clone());
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let done = self.http.with_retries(|| async { self.read(self.http.once(request(), LARGEST_BODY).await?) }).await;
        done.map_err(|error| self.clean_error(error))
    }

    /// The text on one line, truncated, without secrets.
    pub(super) fn clean(&self, text: String) -> String {
        let text = self.http.without_own(text);
        // Before it is cut: a cut secret would not be known any more.
        match &self.redact {
            Some(redact) => one_line(&redact(&text)),
            None => one_line(&text),
        }
    }

    pub(super) fn clean_error(&self, error: ProviderError) -> ProviderError {
        match error {
            ProviderError::Refused { status, code, message } => {
                let code = self.http.without_own(code);
                ProviderError::Refused { status, code, message: self.clean(message) }
            }
            other => other,
        }
    }

    pub(super) fn post(&self, path: &str) -> Result<RequestBuilder, ProviderError> {
        Ok(self.http.client().post(self.http.url(path)?))
    }

    /// Sends a call once, without retries.
    pub(super) async fn post_once(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        let request = self.post(path)?.json(body);
        let reply = self.http.once(request, LARGEST_BODY).await.map_err(|(error, _)| error)?;
        self.read(reply).map_err(|(error, _)| self.clean_error(error))
    }

    /// Deletes a resource. A 404 is no error.
    pub(super) async fn remove(&self, path: String) -> Result<(), ProviderError> {
        match self.call(Method::DELETE, &path, None).await {
            Ok(_) | Err(ProviderError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The JSON of a 2xx reply. For a 401, the error names the variable of the key.
    pub(super) fn read(&self, reply: Reply) -> Result<Value, Failed> {
        if reply.status == 401 {
            return Err((self.http.no_access(401), RetryHint::No));
        }
        read(reply)
    }
}

/// The JSON of a 2xx reply, or the error of another one.
pub(super) fn read(reply: Reply) -> Result<Value, Failed> {
    if !matches!(reply.status, 200..=299) {
        let code = error_code(&reply.bytes);
        if reply.status == 429 && code == "insufficient_quota" {
            return Err((ProviderError::Quota, RetryHint::No));
        }
        let is_json = serde_json::from_slice::<Value>(&reply.bytes).is_ok();
        if matches!(reply.status, 404 | 405) && !is_json {
            let what = format!(
                "HTTP {} without a JSON error; check `provider.base-url`, which ends in its version, as in /v1",
                reply.status
            );
            return Err((ProviderError::Malformed { what }, RetryHint::No));
        }
        let message = error_text(&reply.bytes);
        return Err((ProviderError::Refused { status: reply.status, code, message }, reply.again()));
    }
    let malformed = |what: &str| (ProviderError::Malformed { what: what.into() }, RetryHint::After(None));
    let value = json(&reply.bytes).map_err(|e| (e, RetryHint::After(None)))?;
    if value.get("object").is_none() && value.get("id").is_none() && value.get("error").is_some_and(|e| !e.is_null()) {
        return Err(malformed("an error with HTTP status 200"));
    }
    Ok(value)
}

/// A non-empty text, or a number as text.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number, also one in a text.
pub(super) fn number(value: &Value, key: &str) -> Option<f64> {
    match value.get(key)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A number that is not negative, rounded down.
pub(super) fn count(value: &Value, key: &str) -> Option<u64> {
    number(value, key).filter(|n| *n >= 0.0 && n.is_finite()).map(|n| n as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Endpoint;
    use super::*;

    #[test]
    fn a_secret_where_a_message_is_cut_is_redacted_first() {
        let endpoint = Endpoint { base_url: "http://127.0.0.1:9/v1".to_owned(), ..Endpoint::default() };
        let redact: Redact = Arc::new(|text: &str| text.replace("the secret words", "[redacted]"));
        let rest = Rest { http: Http::new(&endpoint).expect("a client"), redact: Some(redact) };
        for before in 380..402 {
            let message = format!("{}the secret words", "x".repeat(before));
            let body = serde_json::json!({ "error": { "message": message } }).to_string();
            let reply = Reply { status: 400, headers: reqwest::header::HeaderMap::new(), bytes: body.into_bytes() };
            let error = rest.read(reply).map_err(|(error, _)| rest.clean_error(error)).expect_err("refused");
            let said = error.to_string();
            assert!(said.contains("xxx") && !said.contains("the s"), "{said}");
        }
    }
}
