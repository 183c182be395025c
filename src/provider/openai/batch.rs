//! Batches of the OpenAI dialect: a file of requests, answered within a day at half the price.

use std::io::Write;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::OpenAi;
use super::answer::{read_answer, read_named};
use super::chat::Body;
use crate::provider::http::Again;
use crate::provider::rest::text;
use crate::provider::{Answer, ProviderError, Request};

/// Requests in one batch, and bytes in its file, with room to spare below the service's limits.
pub const MOST_REQUESTS: usize = 50_000;
/// Bytes in the file of a batch.
pub const MOST_BYTES: usize = 190_000_000;

/// How far a batch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchJob {
    /// Its id.
    pub id: String,
    /// The service's word for how far it is.
    pub status: String,
    /// Whether nothing will change any more.
    pub ended: bool,
    /// The files with its answers and its faults.
    pub files: Vec<String>,
    /// The code of why it was refused.
    pub fault: Option<String>,
    /// Requests that were answered, and all of them.
    pub progress: (u64, u64),
}

fn batch(value: &Value) -> Result<BatchJob, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a batch without an id".into() })?;
    let status = text(value, "status").unwrap_or_default();
    let count = |name: &str| value.pointer(&format!("/request_counts/{name}")).and_then(Value::as_u64).unwrap_or(0);
    // The code, and not the message: it may quote a question.
    let fault = value.pointer("/errors/data/0/code").and_then(Value::as_str);
    Ok(BatchJob {
        id,
        ended: matches!(status.as_str(), "completed" | "failed" | "expired" | "cancelled"),
        files: ["output_file_id", "error_file_id"].iter().filter_map(|key| text(value, key)).collect(),
        fault: fault.map(|f| f.chars().filter(|c| c.is_ascii_graphic()).take(60).collect()),
        progress: (count("completed") + count("failed"), count("total")),
        status: status.chars().filter(|c| c.is_ascii_graphic()).take(40).collect(),
    })
}

impl OpenAi {
    /// A line of a batch's file: a request with a name for its answer.
    #[must_use]
    pub fn batch_line(&self, name: &str, request: &Request) -> Vec<u8> {
        let body =
            serde_json::to_value(Body::new(&self.model, request, &self.fields)).expect("a request is plain JSON");
        let line = json!({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body});
        let mut line = line.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// Uploads the file of a batch, and gives its id.
    ///
    /// # Errors
    /// When the service refuses or fails.
    pub async fn upload_batch(&self, file: &Path, name: &str, expires: u32) -> Result<String, ProviderError> {
        Ok(self.upload_as("batch", file, name, expires).await?.id)
    }

    /// Creates the batch of a file, unless there is one already.
    ///
    /// # Errors
    /// When the service refuses or fails; then the batch may exist, and is found the next time.
    pub async fn create_batch(&self, file: &str) -> Result<BatchJob, ProviderError> {
        let same = |item: &Value| (text(item, "input_file_id")? == file).then(|| batch(item).ok()).flatten();
        if let Some(there) = self.search("/batches?limit=100", same).await? {
            return Ok(there);
        }
        let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        batch(&self.once_json("/batches", &body).await?)
    }

    /// A batch.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn batch(&self, id: &str) -> Result<BatchJob, ProviderError> {
        batch(&self.rest.call(Method::GET, &format!("/batches/{id}"), None).await?)
    }

    /// Writes the content of a file at the service to `into`, piece by piece.
    ///
    /// # Errors
    /// When the service fails, or nothing can be written.
    pub async fn content(&self, id: &str, into: &mut std::fs::File) -> Result<(), ProviderError> {
        let url = self.rest.http.url(&format!("/files/{id}/content"))?;
        let broken =
            |_| ProviderError::Connection { host: self.rest.http.address(), what: "the connection broke".into() };
        let mut response = self.rest.http.client().get(url).send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(ProviderError::Status { status: response.status().as_u16(), code: "no code".into() });
        }
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            into.write_all(&chunk).map_err(|e| ProviderError::Setup(format!("the batch's answers: {e}")))?;
        }
        Ok(())
    }
}

/// The name of a request and its answer, from a line of an output or error file; no answer where the
/// request failed or expired.
#[must_use]
pub fn read_batch_line(line: &[u8], max_tokens: u32) -> Option<(String, Option<Answer>)> {
    let (name, body) = parts(line)?;
    Some((name, body.and_then(|body| read_answer(body.as_bytes(), max_tokens).ok())))
}

/// What a line of a batch's files says.
#[derive(Debug, Clone)]
pub struct BatchAnswer {
    /// Of the request.
    pub name: String,
    /// None where the request failed or expired, or where what came is no answer.
    pub answer: Option<Answer>,
    /// Whether something came that is no answer.
    pub refused: bool,
}

/// The name in a line that is no sound JSON.
fn name_in(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (_, rest) = text.split_once("\"custom_id\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start().strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name.to_owned())
}

/// The name of a request, and the body of a good answer to it.
fn parts(line: &[u8]) -> Option<(String, Option<String>)> {
    let line = crate::provider::text::json(line).ok()?;
    let name = text(&line, "custom_id")?;
    let fine = line.pointer("/response/status_code").and_then(Value::as_u64) == Some(200);
    Some((name, line.pointer("/response/body").filter(|_| fine).map(Value::to_string)))
}

impl OpenAi {
    /// The same for a batch of this client, by the rules for a single answer: two models in one run end it, and
    /// an answer of a model that was not tuned, where a tuned one was asked for, is none.
    ///
    /// # Errors
    /// When the answers are of more than one model.
    pub fn batch_answer(&self, line: &[u8], max_tokens: u32) -> Result<Option<BatchAnswer>, ProviderError> {
        let refused = |name| Ok(Some(BatchAnswer { name, answer: None, refused: true }));
        let Some((name, body)) = parts(line) else { return name_in(line).map_or(Ok(None), refused) };
        let Some(body) = body else { return Ok(Some(BatchAnswer { name, answer: None, refused: false })) };
        let Ok((answer, model)) = read_named(body.as_bytes(), max_tokens) else { return refused(name) };
        match self.check_name(model.as_deref()) {
            Ok(()) => Ok(Some(BatchAnswer { name, answer: Some(answer), refused: false })),
            Err(error) if error.is_fatal() => Err(error),
            Err(_) => refused(name),
        }
    }
}

impl OpenAi {
    /// A request that is never sent twice.
    async fn once_json(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        let request = self.rest.http.client().post(self.rest.http.url(path)?).json(body);
        let sent = self.rest.http.once(request, 1 << 20).await.and_then(|reply| self.rest.read(reply));
        sent.map_err(|(error, _): (ProviderError, Again)| self.rest.clean_error(error))
    }
}
