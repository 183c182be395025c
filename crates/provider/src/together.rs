//! Files and fine-tuning jobs of Together, which has its own API for both.

use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::header::LOCATION;
use reqwest::multipart::Form;
use reqwest::{Body, Method, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::Http;
use super::rest::{LARGEST_BODY, Rest, UPLOAD_RATE, count, text};
use super::{
    Checkpoint, Endpoint, Job, JobEvent, JobFault, JobSpec, JobStatus, ProviderError, Redact, Stored, Tuner, Tuning,
};
use crate::loopback::is_loopback;

/// The learning rate at a multiplier of 1: the default of the service's own client.
const LEARNING_RATE: f64 = 1e-5;
/// The longest suffix that the service accepts, in characters.
const LONGEST_SUFFIX: usize = 40;

/// A client of Together's files and jobs.
pub struct Together {
    rest: Rest,
}

impl Together {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// When the address is invalid, or a key would travel over plain HTTP to another machine.
    pub fn new(endpoint: &Endpoint, redact: Redact) -> Result<Self, ProviderError> {
        Ok(Self { rest: Rest { http: Http::new(endpoint)?, redact: Some(redact) } })
    }

    async fn get(&self, path: &str) -> Result<Value, ProviderError> {
        self.rest.call(Method::GET, path, None).await
    }

    /// Uploads a file: the service returns a signed address, to which the bytes are sent without the key.
    async fn send(&self, file: &Path, name: &str) -> Result<Stored, ProviderError> {
        let setup = |e: std::io::Error| ProviderError::Setup(format!("{}: {e}", file.display()));
        let (digest, length) = fingerprint(file).map_err(setup)?;
        let form = Form::new()
            .text("purpose", "fine-tune")
            .text("file_name", name.to_owned())
            .text("file_type", "jsonl")
            .text("checksum", digest);
        let request = self.rest.post("/files")?.multipart(form);
        let reply = self.rest.http.once(request, LARGEST_BODY).await.map_err(|(error, _)| error)?;
        if reply.status == 409 {
            // A file with this checksum exists.
            let body: Value = serde_json::from_slice(&reply.bytes).unwrap_or_default();
            let known = text(&body, "file_id").or_else(|| text(body.get("error")?, "file_id"));
            if let Some(id) = known {
                return self.stored(&id).await;
            }
        }
        let header = |name: &str| reply.headers.get(name)?.to_str().ok().map(str::to_owned);
        let (Some(target), Some(id)) = (header(LOCATION.as_str()), header("x-together-file-id")) else {
            self.rest.read(reply).map_err(|(error, _)| self.rest.clean_error(error))?;
            return Err(ProviderError::Malformed { what: "an upload without its address".into() });
        };
        // The file contains secrets: only HTTPS or loopback.
        let target = Url::parse(&target).ok().filter(|url| url.scheme() == "https" || is_loopback(url));
        let target = target.ok_or_else(|| ProviderError::Malformed { what: "an upload to no safe address".into() })?;
        let bytes = tokio::fs::File::open(file).await.map_err(setup)?;
        let put = self
            .rest
            .http
            .without_key()?
            .put(target)
            .header("content-length", length)
            .body(Body::from(bytes))
            .timeout(Duration::from_secs(120 + length / UPLOAD_RATE));
        let reply = self.rest.http.once(put, LARGEST_BODY).await.map_err(|(error, _)| error)?;
        if !matches!(reply.status, 200..=299) {
            let message = "the storage behind the service did not take the file".into();
            return Err(ProviderError::Refused { status: reply.status, code: "no code".into(), message });
        }
        stored(&self.rest.call(Method::POST, &format!("/files/{id}/preprocess"), None).await?)
    }

    fn job_of(&self, value: &Value) -> Result<Job, ProviderError> {
        let mut job = job(value)?;
        job.fault = job.fault.map(|fault| JobFault { message: self.rest.clean(fault.message), ..fault });
        Ok(job)
    }

    async fn find(&self, same: impl Fn(&Job) -> bool) -> Result<Option<Job>, ProviderError> {
        let list = self.get("/fine-tunes").await?;
        let jobs = list.get("data").and_then(Value::as_array).into_iter().flatten();
        let mut found: Vec<(String, Job)> = jobs
            .filter_map(|item| Some((text(item, "created_at").unwrap_or_default(), self.job_of(item).ok()?)))
            .filter(|(_, job)| same(job))
            .collect();
        // The dates have one format, so that the newest is the greatest text.
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found.pop().map(|(_, job)| job))
    }
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("http", &self.rest.http).finish_non_exhaustive()
    }
}

/// SHA-256 (hex) and length in bytes of a file.
fn fingerprint(file: &Path) -> std::io::Result<(String, u64)> {
    let (mut digest, mut reader) = (Sha256::new(), std::fs::File::open(file)?);
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = std::io::Read::read(&mut reader, &mut buffer)?;
        if read == 0 {
            return Ok((HEXLOWER.encode(&digest.finalize()), length));
        }
        digest.update(&buffer[..read]);
        length += read as u64;
    }
}

fn stored(value: &Value) -> Result<Stored, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a file without an id".into() })?;
    let processed = value.get("processed").or_else(|| value.get("Processed")).and_then(Value::as_bool);
    Ok(Stored {
        id,
        name: text(value, "filename").unwrap_or_default(),
        bytes: count(value, "bytes").filter(|bytes| *bytes > 0),
        ready: processed.unwrap_or(true),
        broken: false,
    })
}

fn job(value: &Value) -> Result<Job, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a job without an id".into() })?;
    let status = match text(value, "status").unwrap_or_default().as_str() {
        "pending" | "queued" => JobStatus::Queued,
        "running" | "compressing" | "uploading" | "cancel_requested" => JobStatus::Running,
        "completed" => JobStatus::Succeeded,
        "error" | "user_error" | "failed" => JobStatus::Failed,
        "cancelled" | "canceled" => JobStatus::Cancelled,
        other => JobStatus::Other(other.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()),
    };
    let events = value.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = events.iter().rev().find(|event| event["type"] == "job_error" || event["level"] == "error");
    let fault = (status == JobStatus::Failed).then(|| JobFault {
        code: last.and_then(|event| text(event, "type")).unwrap_or_default(),
        message: last.and_then(|event| text(event, "message")).unwrap_or_default(),
    });
    Ok(Job {
        id,
        tuned_model: text(value, "model_output_name").filter(|_| status == JobStatus::Succeeded),
        training_file: text(value, "training_file"),
        trained_tokens: count(value, "token_count").filter(|tokens| *tokens > 0),
        fault,
        metadata: Default::default(),
        claim: None,
        status,
    })
}

fn event(value: &Value) -> Option<JobEvent> {
    let (date, kind) = (text(value, "created_at")?, text(value, "type").unwrap_or_default());
    let step = count(value, "step").zip(count(value, "total_steps")).filter(|(_, total)| *total > 0);
    let at = step.map_or(0, |(step, _)| step);
    Some(JobEvent {
        id: format!("{date} {kind} {at}"),
        message: text(value, "message").unwrap_or_default(),
        step,
        loss: None,
    })
}

fn body(spec: &JobSpec) -> Value {
    let h = spec.hyperparameters;
    let mut body = json!({
        "model": spec.model,
        "training_file": spec.training_file,
        "batch_size": h.batch_size.map_or_else(|| json!("max"), |n| json!(n)),
        "learning_rate": LEARNING_RATE * h.learning_rate_multiplier.unwrap_or(1.0),
        "suffix": spec.suffix.chars().take(LONGEST_SUFFIX).collect::<String>(),
    });
    if let Some(epochs) = h.epochs {
        body["n_epochs"] = json!(epochs);
    }
    if let Some(file) = &spec.validation_file {
        body["validation_file"] = json!(file);
        body["n_evals"] = json!(h.epochs.unwrap_or(1));
    }
    if let Some(seed) = spec.seed {
        body["random_seed"] = json!(seed);
    }
    body
}

impl Tuner for Together {
    fn address(&self) -> String {
        self.rest.http.address()
    }

    fn shutdown_date<'a>(&'a self, _model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }

    /// Ignores `expires`: files are kept until they are deleted.
    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, _expires: u32) -> Tuning<'a, Stored> {
        Box::pin(self.send(file, name))
    }

    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored> {
        Box::pin(async move { stored(&self.get(&format!("/files/{id}")).await?) })
    }

    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>> {
        Box::pin(async move {
            let list = self.get("/files").await?;
            let files = list.get("data").and_then(Value::as_array).into_iter().flatten();
            // A file whose bytes never arrived has no size.
            Ok(files.filter_map(|file| stored(file).ok()).find(|file| file.name == name && file.bytes.is_some()))
        })
    }

    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()> {
        Box::pin(self.rest.remove(format!("/files/{id}")))
    }

    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job> {
        Box::pin(async move { self.job_of(&self.rest.post_once("/fine-tunes", &body(spec)).await?) })
    }

    /// Finds a job by its training file, which belongs to one plan: jobs have no metadata here.
    fn find_job<'a>(&'a self, _key: &'a str, _value: &'a str, training_file: &'a str) -> Tuning<'a, Option<Job>> {
        Box::pin(self.find(move |job| job.training_file.as_deref() == Some(training_file)))
    }

    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(async move { self.job_of(&self.get(&format!("/fine-tunes/{id}")).await?) })
    }

    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>> {
        Box::pin(async move {
            let list = self.get(&format!("/fine-tunes/{id}/events")).await?;
            let events = list.get("data").and_then(Value::as_array).into_iter().flatten();
            let clean = |event: JobEvent| JobEvent { message: self.rest.clean(event.message), ..event };
            Ok(events.filter_map(event).map(clean).collect())
        })
    }

    /// Returns none: checkpoints can be downloaded and trained on, but not asked.
    fn checkpoints<'a>(&'a self, _id: &'a str) -> Tuning<'a, Vec<Checkpoint>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(async move {
            self.rest.call(Method::POST, &format!("/fine-tunes/{id}/cancel"), None).await?;
            self.job(id).await
        })
    }

    fn moderate<'a>(&'a self, _texts: &'a [String]) -> Tuning<'a, Vec<bool>> {
        Box::pin(async { Err(ProviderError::Setup("Together has no moderation: leave out --screen".into())) })
    }

    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()> {
        Box::pin(async move {
            match self.find(|job| job.tuned_model.as_deref() == Some(model)).await? {
                Some(job) => self.rest.remove(format!("/fine-tunes/{}?force=true", job.id)).await,
                None => Ok(()),
            }
        })
    }
}
