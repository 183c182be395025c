//! Batches of the OpenAI-compatible API: a file of requests, answered within a day at half the price.

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

/// The most requests in one batch.
pub const MOST_REQUESTS: usize = 50_000;
/// The most bytes in the file of a batch, below the service's limit of 200 MB.
pub const MOST_BYTES: usize = 190_000_000;

/// State of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchJob {
    /// Id at the service.
    pub id: String,
    /// Status word of the service.
    pub status: String,
    /// Whether the status is final.
    pub ended: bool,
    /// Ids of the files with answers and with errors.
    pub files: Vec<String>,
    /// Error code of a refused batch.
    pub fault: Option<String>,
    /// Number of requests that have ended, completed or failed, and number of all requests.
    pub progress: (u64, u64),
}

fn batch(value: &Value) -> Result<BatchJob, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a batch without an id".into() })?;
    let status = text(value, "status").unwrap_or_default();
    let count = |name: &str| value.pointer(&format!("/request_counts/{name}")).and_then(Value::as_u64).unwrap_or(0);
    // Not the message, which may quote a prompt.
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
    /// One line of a batch's file: a request, named by `custom_id`.
    #[must_use]
    pub fn batch_line(&self, name: &str, request: &Request) -> Vec<u8> {
        let body = Body::new(&self.model, request, &self.fields).in_batch();
        let body = serde_json::to_value(body).expect("a request is plain JSON");
        let line = json!({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body});
        let mut line = line.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// Uploads the file of a batch, and returns its id.
    ///
    /// # Errors
    /// When the service refuses or fails.
    pub async fn upload_batch(&self, file: &Path, name: &str, expires: u32) -> Result<String, ProviderError> {
        Ok(self.upload_as("batch", file, name, expires).await?.id)
    }

    /// Creates the batch of an uploaded file, unless there is one already.
    ///
    /// # Errors
    /// When the service refuses or fails. The batch may then exist, and is found by the next call.
    pub async fn create_batch(&self, file: &str) -> Result<BatchJob, ProviderError> {
        let same = |item: &Value| (text(item, "input_file_id")? == file).then(|| batch(item).ok()).flatten();
        if let Some(there) = self.search("/batches?limit=100", same).await? {
            return Ok(there);
        }
        let body = json!({"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        batch(&self.once_json("/batches", &body).await?)
    }

    /// Looks up a batch by its id.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn batch(&self, id: &str) -> Result<BatchJob, ProviderError> {
        batch(&self.rest.call(Method::GET, &format!("/batches/{id}"), None).await?)
    }

    /// Writes a file of the service to `into`, in pieces.
    ///
    /// # Errors
    /// When the service fails, or `into` cannot be written.
    pub async fn content(&self, id: &str, into: &mut std::fs::File) -> Result<(), ProviderError> {
        let url = self.rest.http.url(&format!("/files/{id}/content"))?;
        let broken =
            |_| ProviderError::Connection { host: self.rest.http.address(), what: "the connection broke".into() };
        let mut response = self.rest.http.client().get(url).send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(ProviderError::Status {
                status: response.status().as_u16(),
                code: "no code".into(),
                message: String::new(),
            });
        }
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            into.write_all(&chunk).map_err(|e| ProviderError::Setup(format!("the batch's answers: {e}")))?;
        }
        Ok(())
    }
}

/// Reads a line of an output or error file: the name of the request, and its answer. No answer if the request failed or
/// expired.
#[must_use]
pub fn read_batch_line(line: &[u8], max_tokens: u32) -> Option<(String, Option<Answer>)> {
    let line = read_line(line, max_tokens)?;
    Some((line.name, line.read.and_then(Result::ok).map(|(answer, _)| answer)))
}

/// One line of a batch's output or error file.
#[derive(Debug, Clone)]
pub struct BatchAnswer {
    /// Name of the request.
    pub name: String,
    /// `None` if the request failed or expired, or if the body is no answer.
    pub answer: Option<Answer>,
    /// Whether the line is searched like a discarded response, because it holds no answer.
    pub refused: bool,
    /// Whether an answer may have been withheld. False if there is one, or if the model never got the request: the
    /// batch expired or was canceled, or HTTP 429.
    pub withheld: bool,
}

/// The name in a line that is not valid JSON.
fn name_in(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let (_, rest) = text.split_once("\"custom_id\"")?;
    let rest = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start().strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name.to_owned())
}

/// The parsed parts of a line.
struct Line {
    name: String,
    /// The result of reading a body with status 200.
    read: Option<Result<Named<'static>, ProviderError>>,
    /// Whether the model never got the request.
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
        // Fields around the body are searched with the answer.
        let mut around = BesideTexts::default();
        let own = |key: &str| matches!(key, "id" | "custom_id" | "response" | "status_code" | "request_id" | "body");
        let fields = node.fields().iter().chain(response.fields());
        fields.filter(|(key, _)| !own(key)).for_each(|(key, value)| around.field(key, value));
        add_line(&mut answer.completions[0].beside, &around.finish());
    }
    Some(Line { name, read, is_unasked })
}

impl OpenAi {
    /// Reads a line by the rules for a single answer. A second model name ends the run. If a tuned model was asked for,
    /// an answer of an untuned one does not count. `None` for a line without a name.
    ///
    /// # Errors
    /// When more than one model answers, or another tuned one.
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
    /// Sends a request once, without retries.
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
