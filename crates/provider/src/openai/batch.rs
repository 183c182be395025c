//! Batches of the OpenAI dialect: a file of requests, answered within a day at half the price.

use std::io::Write;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::OpenAi;
use super::answer::{Named, read_body};
use super::chat::Body;
use crate::body::{BesideTexts, Node, add_line};
use crate::http::RetryHint;
use crate::rest::text;
use crate::{Answer, ProviderError, Request};

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
        let body = Body::new(&self.model, request, &self.fields).in_batch();
        let body = serde_json::to_value(body).expect("a request is plain JSON");
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
    let line = read_line(line, max_tokens)?;
    Some((line.name, line.read.and_then(Result::ok).map(|(answer, _)| answer)))
}

/// What a line of a batch's files says.
#[derive(Debug, Clone)]
pub struct BatchAnswer {
    /// Of the request.
    pub name: String,
    /// None where the request failed or expired, or where what came is no answer.
    pub answer: Option<Answer>,
    /// Whether the line is to be searched as a discarded try: something came that is no answer.
    pub refused: bool,
    /// Whether an answer may have been withheld: not where there is one, nor where the request was never put to the model
    /// (the batch expired or was cancelled, or HTTP 429).
    pub withheld: bool,
}

/// The name in a line that is no sound JSON.
fn name_in(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (_, rest) = text.split_once("\"custom_id\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start().strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name.to_owned())
}

/// What a line of a batch's files holds.
struct Line {
    name: String,
    /// What was read of a body with a good status.
    read: Option<Result<Named<'static>, ProviderError>>,
    /// Whether the request was never put to the model.
    is_unasked: bool,
}

fn read_line(line: &[u8], max_tokens: u32) -> Option<Line> {
    let line = String::from_utf8_lossy(line);
    let node = Node::read(&line).ok()?;
    let name = match node.get("custom_id")? {
        Node::Text(name) if !name.is_empty() => name.to_string(),
        Node::Number(name) => (*name).to_owned(),
        _ => return None,
    };
    let response = node.get("response").unwrap_or(&Node::Null);
    let status = response.get("status_code").and_then(Node::as_u64);
    let code = node.at(&["error", "code"]).and_then(Node::as_str);
    let is_unasked = status == Some(429) || matches!(code, Some("batch_expired" | "batch_cancelled"));
    let mut read = response.get("body").filter(|_| status == Some(200)).map(|body| read_body(body, max_tokens));
    if let Some(Ok((answer, _))) = &mut read {
        // Whatever stands around the body belongs to it.
        let mut around = BesideTexts::default();
        let own = |key: &str| matches!(key, "id" | "custom_id" | "response" | "status_code" | "request_id" | "body");
        let fields = node.fields().iter().chain(response.fields());
        fields.filter(|(key, _)| !own(key)).for_each(|(key, value)| around.field(key, value));
        add_line(&mut answer.completions[0].beside, &around.finish());
    }
    Some(Line { name, read, is_unasked })
}

impl OpenAi {
    /// The same for a batch of this client, by the rules for a single answer: two models in one run end it, and
    /// an answer of a model that was not tuned, where a tuned one was asked for, is none.
    ///
    /// # Errors
    /// When the answers are of more than one model.
    pub fn batch_answer(&self, line: &[u8], max_tokens: u32) -> Result<Option<BatchAnswer>, ProviderError> {
        let refused = |name, withheld| Ok(Some(BatchAnswer { name, answer: None, refused: true, withheld }));
        let Some(read) = read_line(line, max_tokens) else {
            return name_in(line).map_or(Ok(None), |name| refused(name, true));
        };
        let Some(Ok((answer, model))) = read.read else { return refused(read.name, !read.is_unasked) };
        match self.check_name(model.as_deref()) {
            Ok(()) => Ok(Some(BatchAnswer { name: read.name, answer: Some(answer), refused: false, withheld: false })),
            Err(error) if error.is_fatal() => Err(error),
            Err(_) => refused(read.name, true),
        }
    }
}

impl OpenAi {
    /// A request that is never sent twice.
    async fn once_json(&self, path: &str, body: &Value) -> Result<Value, ProviderError> {
        let request = self.rest.http.client().post(self.rest.http.url(path)?).json(body);
        let sent = self.rest.http.once(request, 1 << 20).await.and_then(|reply| self.rest.read(reply));
        sent.map_err(|(error, _): (ProviderError, RetryHint)| self.rest.clean_error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> OpenAi {
        let endpoint = crate::Endpoint { base_url: "http://127.0.0.1:1/v1".into(), ..Default::default() };
        OpenAi::new(&endpoint, "m").expect("nothing is sent")
    }

    #[test]
    fn a_line_is_read_as_a_whole() {
        let line = br#"{"id":"batch_req_1","custom_id":"0-1","response":{"status_code":200,"request_id":"r","body":
            {"id":"i","choices":[{"message":{"content":4829137755,"x":"a"},"finish_reason":"stop"}]},"y":"b"},"error":null,"z":1}"#;
        let (name, answer) = read_batch_line(line, 9).expect("a line");
        let said = &answer.expect("an answer").completions[0];
        assert_eq!(
            (name.as_str(), said.text.as_str(), said.beside.as_str()),
            ("0-1", "4829137755", "a\nx\n1\nb\nz\ny")
        );
    }

    #[test]
    fn a_line_without_an_answer_is_searched_and_tells_whether_it_withholds_one() {
        let read = |rest: &str| {
            let line = format!(r#"{{"custom_id":"0-1",{rest}}}"#);
            client()
                .batch_answer(line.as_bytes(), 9)
                .expect("no fault")
                .map(|a| (a.answer.is_some(), a.refused, a.withheld))
        };
        let body = r#""response":{"status_code":200,"body":{"choices":[{"text":"a","finish_reason":"stop"}]}}"#;
        assert_eq!(read(body), Some((true, false, false)));
        for (rest, withheld) in [
            (r#""response":{"status_code":200,"body":{"choices":[]}}"#, true),
            (r#""response":{"status_code":200,"body":null}"#, true),
            (r#""response":{"status_code":500,"body":{"error":{"message":"x"}}}"#, true),
            (r#""response":{"status_code":400,"body":{"error":{"code":"content_filter"}}}"#, true),
            (r#""response":null,"error":{"code":"server_error"}"#, true),
            (r#""response":{"status_code":200,"bo"#, true),
            (r#""response":{"status_code":429,"body":{"error":{}}}"#, false),
            (r#""response":null,"error":{"code":"batch_expired"}"#, false),
        ] {
            assert_eq!(read(rest), Some((false, true, withheld)), "{rest}");
        }
        assert!(client().batch_answer(b"{}", 9).expect("no fault").is_none());
    }
}
