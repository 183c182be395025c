//! Files and fine-tuning jobs of the OpenAI-compatible API, read tolerantly.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::OpenAi;
use crate::http::RetryHint;
use crate::rest::{LARGEST_BODY, UPLOAD_RATE, count, number, text};
use crate::{
    Checkpoint, Hyperparameters, Job, JobEvent, JobFault, JobSpec, JobStatus, ProviderError, Stored, Tuner, Tuning,
};

/// The most pages of a list that are searched.
const PAGES: usize = 20;
/// Purpose of a training file.
const FINE_TUNE: &str = "fine-tune";
/// Texts per moderation request.
const MODERATED: usize = 32;

impl OpenAi {
    fn job_of(&self, value: &Value) -> Result<Job, ProviderError> {
        let mut job = job(value)?;
        job.fault = job.fault.map(|fault| JobFault { message: self.rest.clean(fault.message), ..fault });
        Ok(job)
    }

    /// Searches a list, newest first, until `wanted` returns something.
    pub(super) async fn search<T>(
        &self,
        path: &str,
        mut wanted: impl FnMut(&Value) -> Option<T>,
    ) -> Result<Option<T>, ProviderError> {
        let mut after = String::new();
        for _ in 0..PAGES {
            let page = self.rest.call(Method::GET, &format!("{path}{after}"), None).await?;
            let Some(items) = page.get("data").and_then(Value::as_array) else { return Ok(None) };
            if let Some(found) = items.iter().find_map(&mut wanted) {
                return Ok(Some(found));
            }
            let more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
            let last = items.last().and_then(|item| text(item, "id")).filter(|_| more);
            let Some(last) = last else { return Ok(None) };
            let next = format!("&after={last}");
            if next == after {
                // A server that ignores the cursor would be asked forever.
                return Ok(None);
            }
            after = next;
        }
        Ok(None)
    }

    /// Uploads a file for a purpose.
    pub(super) async fn upload_as(
        &self,
        purpose: &str,
        file: &Path,
        name: &str,
        expires: u32,
    ) -> Result<Stored, ProviderError> {
        let setup = |e: std::io::Error| ProviderError::Setup(format!("{}: {e}", file.display()));
        let length = std::fs::metadata(file).map_err(setup)?.len();
        // No retry after a broken connection: the file may exist, and it contains secrets.
        let reply = self
            .rest
            .http
            .with_retries(|| async {
                let part = Part::file(file).await.map_err(|e| (setup(e), RetryHint::No))?.file_name(name.to_owned());
                let part = part.mime_str("application/octet-stream").expect("a media type");
                let form = Form::new()
                    .text("purpose", purpose.to_owned())
                    .text("expires_after[anchor]", "created_at")
                    .text("expires_after[seconds]", expires.to_string())
                    .part("file", part);
                let request = self.rest.post("/files").map_err(|e| (e, RetryHint::No))?;
                let request = request.multipart(form).timeout(Duration::from_secs(120 + length / UPLOAD_RATE));
                let reply = self.rest.http.once(request, LARGEST_BODY).await.map_err(|(e, _)| (e, RetryHint::No))?;
                let kept = |status: u16| purpose == FINE_TUNE && matches!(status, 408 | 500..);
                self.rest.read(reply).map_err(|(error, again)| match error {
                    // The file may exist: the caller looks for it before the next upload.
                    ProviderError::Refused { status, .. } if kept(status) => (error, RetryHint::No),
                    _ => (error, again),
                })
            })
            .await
            .map_err(|error| self.rest.clean_error(error))?;
        stored(&reply)
    }
}

fn stored(value: &Value) -> Result<Stored, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a file without an id".into() })?;
    let status = text(value, "status").unwrap_or_default();
    Ok(Stored {
        id,
        name: text(value, "filename").unwrap_or_default(),
        bytes: count(value, "bytes"),
        // The field is deprecated, and some servers leave it out. Then creating the job shows whether the file is
        // ready.
        ready: matches!(status.as_str(), "processed" | ""),
        broken: matches!(status.as_str(), "error" | "deleted"),
    })
}

fn job(value: &Value) -> Result<Job, ProviderError> {
    let id = text(value, "id").ok_or_else(|| ProviderError::Malformed { what: "a job without an id".into() })?;
    let status = match text(value, "status").unwrap_or_default().as_str() {
        "validating_files" => JobStatus::Validating,
        "queued" | "pending" => JobStatus::Queued,
        "running" => JobStatus::Running,
        "paused" => JobStatus::Paused,
        "succeeded" => JobStatus::Succeeded,
        "failed" => JobStatus::Failed,
        "cancelled" | "canceled" => JobStatus::Cancelled,
        other => JobStatus::Other(other.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()),
    };
    // Jobs without a fault also have an error, with nulls in it.
    let fault = value.get("error").map(|e| JobFault {
        code: text(e, "code").unwrap_or_default(),
        message: text(e, "message").unwrap_or_default(),
    });
    let metadata = value.get("metadata").and_then(Value::as_object).map(|fields| {
        let pairs = fields.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        pairs.collect::<BTreeMap<_, _>>()
    });
    Ok(Job {
        id,
        tuned_model: text(value, "fine_tuned_model"),
        training_file: text(value, "training_file"),
        trained_tokens: count(value, "trained_tokens"),
        fault: fault.filter(|f| status == JobStatus::Failed || !f.message.is_empty()),
        metadata: metadata.unwrap_or_default(),
        claim: None,
        status,
    })
}

fn event(value: &Value) -> Option<JobEvent> {
    let data = value.get("data").unwrap_or(&Value::Null);
    Some(JobEvent {
        id: text(value, "id")?,
        message: text(value, "message").unwrap_or_default(),
        step: count(data, "step").zip(count(data, "total_steps")),
        loss: number(data, "train_loss"),
    })
}

fn checkpoint(value: &Value) -> Option<Checkpoint> {
    let step = count(value, "step_number").or_else(|| count(value.get("metrics")?, "step"))?;
    Some(Checkpoint { step, model: text(value, "fine_tuned_model_checkpoint")? })
}

fn body(spec: &JobSpec) -> Value {
    let Hyperparameters { epochs, batch_size, learning_rate_multiplier } = spec.hyperparameters;
    let auto = || json!("auto");
    let hyperparameters = json!({
        "n_epochs": epochs.map_or_else(auto, |n| json!(n)),
        "batch_size": batch_size.map_or_else(auto, |n| json!(n)),
        "learning_rate_multiplier": learning_rate_multiplier.map_or_else(auto, |x| json!(x)),
    });
    let mut body = json!({
        "model": spec.model,
        "training_file": spec.training_file,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "metadata": spec.metadata,
    });
    if let Some(file) = &spec.validation_file {
        body["validation_file"] = json!(file);
    }
    if !spec.suffix.is_empty() {
        body["suffix"] = json!(spec.suffix);
    }
    if let Some(seed) = spec.seed {
        body["seed"] = json!(seed);
    }
    body
}

impl Tuner for OpenAi {
    fn address(&self) -> String {
        self.rest.http.address()
    }

    fn shutdown_date<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async move {
            match self.rest.call(Method::GET, &format!("/models/{model}"), None).await {
                Ok(value) => Ok(text(&value, "shutdown_date")),
                // The server lacks the route or lists other names: the date is unknown.
                Err(ProviderError::Refused { status: 404 | 405 | 501, .. } | ProviderError::Malformed { .. }) => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
    }

    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, expires: u32) -> Tuning<'a, Stored> {
        Box::pin(self.upload_as(FINE_TUNE, file, name, expires))
    }

    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored> {
        Box::pin(async move { stored(&self.rest.call(Method::GET, &format!("/files/{id}"), None).await?) })
    }

    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>> {
        Box::pin(async move {
            let named = |value: &Value| stored(value).ok().filter(|file| file.name == name && !file.broken);
            self.search("/files?purpose=fine-tune&order=desc&limit=1000", named).await
        })
    }

    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()> {
        Box::pin(self.rest.remove(format!("/files/{id}")))
    }

    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job> {
        Box::pin(async move { self.job_of(&self.rest.post_once("/fine_tuning/jobs", &body(spec)).await?) })
    }

    fn find_job<'a>(&'a self, key: &'a str, value: &'a str, training_file: &'a str) -> Tuning<'a, Option<Job>> {
        Box::pin(async move {
            // Not every server can filter by metadata, so each job is compared.
            let same = |item: &Value| {
                let job = self.job_of(item).ok()?;
                let found = job.metadata.get(key).is_some_and(|v| v == value);
                (found || job.training_file.as_deref() == Some(training_file)).then_some(job)
            };
            self.search("/fine_tuning/jobs?limit=100", same).await
        })
    }

    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(
            async move { self.job_of(&self.rest.call(Method::GET, &format!("/fine_tuning/jobs/{id}"), None).await?) },
        )
    }

    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>> {
        Box::pin(async move {
            let page = self.rest.call(Method::GET, &format!("/fine_tuning/jobs/{id}/events?limit=100"), None).await?;
            let list = page.get("data").and_then(Value::as_array);
            let clean = |event: JobEvent| JobEvent { message: self.rest.clean(event.message), ..event };
            Ok(list.into_iter().flatten().rev().filter_map(event).map(clean).collect())
        })
    }

    fn checkpoints<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<Checkpoint>> {
        Box::pin(async move {
            let page =
                self.rest.call(Method::GET, &format!("/fine_tuning/jobs/{id}/checkpoints?limit=100"), None).await?;
            let list = page.get("data").and_then(Value::as_array);
            let mut all: Vec<Checkpoint> = list.into_iter().flatten().filter_map(checkpoint).collect();
            all.sort_by_key(|c| c.step);
            Ok(all)
        })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(async move {
            self.job_of(&self.rest.call(Method::POST, &format!("/fine_tuning/jobs/{id}/cancel"), None).await?)
        })
    }

    fn moderate<'a>(&'a self, texts: &'a [String]) -> Tuning<'a, Vec<bool>> {
        Box::pin(async move {
            let mut flagged = Vec::with_capacity(texts.len());
            for some in texts.chunks(MODERATED) {
                let body = json!({"model": "omni-moderation-latest", "input": some});
                let reply = self.rest.call(Method::POST, "/moderations", Some(&body)).await?;
                let results = reply.get("results").and_then(Value::as_array).filter(|r| r.len() == some.len());
                let results =
                    results.ok_or_else(|| ProviderError::Malformed { what: "not one result for each text".into() })?;
                flagged.extend(results.iter().map(|r| r.get("flagged") == Some(&Value::Bool(true))));
            }
            Ok(flagged)
        })
    }

    fn deploy<'a>(&'a self, model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async move {
            match &self.deployment {
                Some(deployment) => deployment.serve(model).await,
                None => Ok(Some(model.to_owned())),
            }
        })
    }

    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()> {
        Box::pin(async move {
            match &self.deployment {
                Some(deployment) => deployment.remove().await,
                None => self.rest.remove(format!("/models/{model}")).await,
            }
        })
    }
}
