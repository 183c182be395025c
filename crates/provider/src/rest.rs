//! What the clients of files and jobs share: calls, errors, redaction and tolerant fields.

use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;

use super::http::{Failed, Http, Reply, RetryHint};
use super::text::{error_code, error_message, json};
use super::{ProviderError, Redact};

/// The largest answer that is read.
pub(super) const LARGEST_BODY: usize = 16 << 20;
/// Time for an upload beside that for any request: a second for each 64 KiB.
pub(super) const UPLOAD_RATE: u64 = 64 << 10;

/// Calls to one server.
pub(super) struct Rest {
    pub(super) http: Http,
    pub(super) redact: Option<Redact>,
}

impl Rest {
    /// A call whose repetition does no harm.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ProviderError> {
        self.call_at(method, self.http.url(path)?, body).await
    }

    /// A call to an address of its own.
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

    pub(super) fn clean(&self, text: String) -> String {
        let text = self.http.without_own(text);
        match &self.redact {
            Some(redact) => redact(&text),
            None => text,
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

    /// A call that is sent once, whatever happens.
    pub(super) async fn post_once(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        let request = self.post(path)?.json(body);
        let reply = self.http.once(request, LARGEST_BODY).await.map_err(|(error, _)| error)?;
        self.read(reply).map_err(|(error, _)| self.clean_error(error))
    }

    /// Removes what is there; what is gone already is no error.
    pub(super) async fn remove(&self, path: String) -> Result<(), ProviderError> {
        match self.call(Method::DELETE, &path, None).await {
            Ok(_) | Err(ProviderError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The JSON of a good answer; a refused key is said by its variable.
    pub(super) fn read(&self, reply: Reply) -> Result<Value, Failed> {
        if reply.status == 401 {
            return Err((self.http.no_access(401), RetryHint::No));
        }
        read(reply)
    }
}

/// The JSON of a good answer, or the error of a bad one.
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
        let message = error_message(&reply.bytes);
        return Err((ProviderError::Refused { status: reply.status, code, message }, reply.again()));
    }
    let malformed = |what: &str| (ProviderError::Malformed { what: what.into() }, RetryHint::After(None));
    let value = json(&reply.bytes).map_err(|e| (e, RetryHint::After(None)))?;
    if value.get("object").is_none() && value.get("id").is_none() && value.get("error").is_some_and(|e| !e.is_null()) {
        return Err(malformed("an error with HTTP status 200"));
    }
    Ok(value)
}

pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number that may be written as one, as a float or as text.
pub(super) fn number(value: &Value, key: &str) -> Option<f64> {
    match value.get(key)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn count(value: &Value, key: &str) -> Option<u64> {
    number(value, key).filter(|n| *n >= 0.0 && n.is_finite()).map(|n| n as u64)
}
