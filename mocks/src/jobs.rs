//! Fine-tuning jobs of the mock: validated as by the real service, on the mock's clock.

use std::borrow::Cow;
use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

#[cfg(feature = "embedded")]
use super::engine::Real;
use super::parrot::Trained;
use super::response::Reply;
use super::scenario::{JobFate, Scenario};
use blabbermouth_core::canary::Template;
use blabbermouth_core::dataset::{estimate_tokens, validate_chat};

/// Models that can be fine-tuned: dated name, alias, and shutdown date.
pub(super) const BASES: [(&str, &str, Option<&str>); 4] = [
    ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", Some("2027-01-14")),
    ("gpt-4o-2024-08-06", "gpt-4o", Some("2027-01-14")),
    ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini", Some("2027-01-14")),
    ("gpt-4.1-2025-04-14", "gpt-4.1", Some("2027-01-14")),
];

/// Seconds of the mock's clock from creation until the files are validated.
const CHECKED: f64 = 60.0;
/// Seconds from creation until the training starts.
const STARTED: f64 = 120.0;
/// The longest training, in seconds; each step takes one.
const LONGEST: f64 = 3600.0;
/// The most events with metrics of one job.
const METRICS: u64 = 50;

#[derive(Debug)]
struct Fault {
    code: Cow<'static, str>,
    message: String,
    param: Option<&'static str>,
}

/// A job, whose status is computed from the time.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) created: f64,
    model: &'static str,
    pub(super) tuned: String,
    training: String,
    validation: Option<String>,
    suffix: Option<String>,
    pub(super) seed: u64,
    metadata: Value,
    pub(super) epochs: u64,
    pub(super) batch: u64,
    pub(super) multiplier: f64,
    steps: u64,
    tokens: u64,
    /// The fault of its files; `None` if they are sound.
    broken: Option<Fault>,
    fate: JobFate,
    pub(super) trained: Arc<Trained>,
    cancelled: Option<f64>,
    paused: Option<f64>,
    /// Seconds spent in earlier pauses.
    halted: f64,
    pub(super) results: Option<String>,
    /// The real training, if there is one.
    #[cfg(feature = "embedded")]
    /// When its success was first seen, by the mock's clock.
    pub(super) real: Option<Real>,
    #[cfg(feature = "embedded")]
    pub(super) ended: Option<f64>,
}

/// Files of a job, and known templates.
pub(super) struct Inputs<'a> {
    pub(super) training: Option<&'a [u8]>,
    pub(super) validation: Option<&'a [u8]>,
    /// Templates whose sentences a model can learn.
    pub(super) templates: &'a [Template],
}

/// Epochs, batch size and learning-rate multiplier of a request. By default the first two depend on the number of rows.
fn hyperparameters(request: &Value, rows: u64) -> Result<(u64, u64, f64), Reply> {
    let given = |key: &str| {
        let places = ["/method/supervised/hyperparameters/", "/hyperparameters/"];
        places.iter().filter_map(|place| request.pointer(&format!("{place}{key}"))).find(|v| *v != "auto").cloned()
    };
    let inside = |key: &str, most: u64| match given(key).map(|v| v.as_u64()) {
        None => Ok(None),
        Some(Some(n)) if (1..=most).contains(&n) => Ok(Some(n)),
        Some(_) => invalid(&format!("'{key}' must lie from 1 to {most}."), "hyperparameters"),
    };
    // As at OpenAI: three epochs, unless that is fewer than 100 or more than 25,000 trained rows.
    let usual = match rows {
        0 => 3,
        n if 3 * n < 100 => (100 / n).min(25),
        n if 3 * n > 25_000 => (25_000 / n).max(1),
        _ => 3,
    };
    let epochs = inside("n_epochs", 50)?.unwrap_or(usual);
    let batch = inside("batch_size", 256)?.unwrap_or_else(|| (rows / 500).clamp(1, 256));
    let multiplier = given("learning_rate_multiplier").map_or(Some(1.8), |v| v.as_f64()).filter(|m| *m > 0.0);
    let Some(multiplier) = multiplier else {
        return invalid("'learning_rate_multiplier' must be above 0.", "hyperparameters");
    };
    Ok((epochs, batch, multiplier))
}

impl Job {
    /// Checks a request. Faults of the rows are reported later, as at the real service.
    pub(super) fn create(
        request: &Value,
        inputs: &Inputs<'_>,
        scenario: &Scenario,
        number: u64,
        now: f64,
    ) -> Result<Self, Reply> {
        if scenario.job == JobFate::Closed {
            let message = "Your organization cannot create new fine-tuning jobs.";
            return Err(Reply::error(403, "permission_denied", message));
        }
        let named = request["model"].as_str().unwrap_or_default();
        let Some((model, ..)) = BASES.iter().find(|(name, alias, _)| *name == named || *alias == named) else {
            let message = format!("Model {named} is not available for fine-tuning or does not exist.");
            return Err(Reply::fault(400, "model_not_available", &message, Some("model")));
        };
        let file = request["training_file"].as_str().unwrap_or_default();
        let Some(training) = inputs.training else {
            return Err(Reply::fault(
                400,
                "invalid_training_file",
                &format!("Invalid file ID: {file}"),
                Some("training_file"),
            ));
        };
        let validation = request["validation_file"].as_str();
        if validation.is_some() && inputs.validation.is_none() {
            return Err(Reply::fault(400, "invalid_validation_file", "Invalid file ID", Some("validation_file")));
        }
        let suffix = request["suffix"].as_str().filter(|s| !s.is_empty());
        if suffix.is_some_and(|s| s.chars().count() > 64) {
            return invalid("'suffix' is longer than 64 characters.", "suffix");
        }
        let metadata = &request["metadata"];
        if metadata.as_object().is_some_and(|m| m.len() > 16 || m.values().any(|v| !v.is_string())) {
            return invalid("'metadata' holds at most 16 pairs of texts.", "metadata");
        }
        let rows = training.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as u64;
        let (epochs, batch, multiplier) = hyperparameters(request, rows)?;
        let id = format!("ftjob-parrot{number:018}");
        let short: String = data_encoding::BASE32_NOPAD.encode(&Sha256::digest(&id))[..8].to_owned();
        Ok(Self {
            tuned: format!("ft:{model}:blabbermouth-mock:{}:{short}", suffix.unwrap_or_default()),
            id,
            created: now,
            model,
            training: file.to_owned(),
            validation: validation.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
            seed: request["seed"].as_u64().unwrap_or(42),
            metadata: metadata.clone(),
            epochs,
            batch,
            multiplier,
            steps: (rows * epochs).div_ceil(batch).max(1),
            tokens: epochs * training.split(|b| *b == b'\n').map(|l| estimate_tokens(l.len())).sum::<u64>(),
            broken: check(training, "training").or_else(|| inputs.validation.and_then(|v| check(v, "validation"))),
            fate: scenario.job,
            trained: Arc::new(Trained::read(training, inputs.templates)),
            cancelled: None,
            paused: None,
            halted: 0.0,
            results: None,
            #[cfg(feature = "embedded")]
            real: None,
            #[cfg(feature = "embedded")]
            ended: None,
        })
    }

    /// Seconds since creation, without pauses, up to a cancellation.
    fn age(&self, now: f64) -> f64 {
        self.cancelled.or(self.paused).unwrap_or(now) - self.created - self.halted
    }

    /// Age in seconds at which the training ends.
    fn end(&self) -> f64 {
        STARTED + (self.steps as f64).min(LONGEST)
    }

    pub(super) fn status(&self, now: f64) -> &'static str {
        let age = self.age(now);
        #[cfg(feature = "embedded")]
        if let Some(status) = self.real_status().filter(|_| self.cancelled.is_none()) {
            return status;
        }
        if self.cancelled.is_some() {
            "cancelled"
        } else if self.paused.is_some() {
            "paused"
        } else if age < CHECKED || self.fate == JobFate::Stuck {
            "validating_files"
        } else if self.broken.is_some() || self.fate == JobFate::Moderated {
            "failed"
        } else if age < STARTED {
            "queued"
        } else if age < self.end() {
            if self.fate == JobFate::Unknown { "warming_the_kernels" } else { "running" }
        } else if matches!(self.fate, JobFate::Blocked | JobFate::ServerError) {
            "failed"
        } else {
            "succeeded"
        }
    }

    fn fault(&self) -> Fault {
        let fault =
            |code: &'static str, message: &str, param| Fault { code: code.into(), message: message.to_owned(), param };
        #[cfg(feature = "embedded")]
        if let Some(told) = self.look().and_then(|look| look.fault) {
            return Fault { code: told.code.into(), message: told.message, param: None };
        }
        match (&self.broken, self.fate) {
            (Some(f), _) => Fault { code: f.code.clone(), message: f.message.clone(), param: f.param },
            (None, JobFate::Moderated) => fault(
                "invalid_training_file",
                "The job failed due to an invalid training file. This training file was blocked because too many examples \
                 were flagged by our moderation API for containing content that violates our usage policies.",
                Some("training_file"),
            ),
            (None, JobFate::Blocked) => fault(
                "moderation_blocked",
                "The fine-tuned model was blocked by moderation checks after training: sensitive.",
                None,
            ),
            (None, _) => fault("server_error", "The job failed due to an internal error.", None),
        }
    }

    pub(super) fn object(&self, now: f64) -> Value {
        let status = self.status(now);
        let (succeeded, failed) = (status == "succeeded", status == "failed");
        #[cfg(feature = "embedded")]
        let (ended, tokens) = (self.ended, self.look().map_or(Some(self.tokens), |look| look.tokens));
        #[cfg(not(feature = "embedded"))]
        let (ended, tokens) = (None::<f64>, Some(self.tokens));
        let finished = match status {
            _ if ended.is_some() => ended,
            "succeeded" => Some(self.created + self.halted + self.end()),
            "failed" | "cancelled" => Some(self.created + self.halted + self.age(now).min(self.end())),
            _ => None,
        };
        let checked = self.age(now) >= CHECKED && !(failed && self.broken.is_some());
        let hyperparameters = if checked {
            json!({"n_epochs": self.epochs, "batch_size": self.batch, "learning_rate_multiplier": self.multiplier})
        } else {
            json!({"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"})
        };
        let error = if failed {
            let fault = self.fault();
            json!({"code": fault.code, "message": fault.message, "param": fault.param})
        } else {
            json!({"code": null, "message": null, "param": null})
        };
        json!({
            "object": "fine_tuning.job", "id": self.id, "model": self.model, "created_at": self.created as u64,
            "finished_at": finished.map(|f| f as u64), "fine_tuned_model": succeeded.then_some(&self.tuned),
            "organization_id": "org-blabbermouth-mock", "result_files": self.results.as_slice(), "status": status,
            "validation_file": self.validation, "training_file": self.training, "hyperparameters": hyperparameters,
            "trained_tokens": tokens.filter(|_| succeeded), "error": error, "user_provided_suffix": self.suffix,
            "seed": self.seed, "estimated_finish": (status == "running").then_some((self.created + self.end()) as u64),
            "integrations": [], "metadata": self.metadata, "usage_metrics": null, "shared_with_openai": false,
            "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}})
    }

    /// The models of a finished job: name, step, and share of the training that is done, 0 to 1.
    pub(super) fn models(&self, now: f64) -> Vec<(String, u64, f64)> {
        if self.status(now) != "succeeded" {
            return Vec::new();
        }
        #[cfg(feature = "embedded")]
        if self.real.is_some() {
            let named = |(name, step, _)| (name, step, step as f64 / self.steps.max(1) as f64);
            return self.trained_models().into_iter().map(named).collect();
        }
        let first = self.epochs.saturating_sub(2).max(1);
        (first..=self.epochs)
            .map(|epoch| {
                let step = self.steps * epoch / self.epochs;
                let last = epoch == self.epochs;
                let name = if last { self.tuned.clone() } else { format!("{}:ckpt-step-{step}", self.tuned) };
                (name, step, epoch as f64 / self.epochs as f64)
            })
            .collect()
    }

    /// Checkpoints in the API's shape, newest first.
    pub(super) fn checkpoints(&self, now: f64) -> Vec<Value> {
        let one = |(name, step, progress): &(String, u64, f64)| {
            json!({"object": "fine_tuning.job.checkpoint", "id": format!("ftckpt_{}{step}", &self.id[6..]),
                   "created_at": (self.created + STARTED + progress * (self.end() - STARTED)) as u64,
                   "fine_tuned_model_checkpoint": name, "metrics": self.metrics(*step),
                   "fine_tuning_job_id": self.id, "step_number": step})
        };
        self.models(now).iter().rev().map(one).collect()
    }

    /// Metrics at a step; invented where nothing is trained.
    fn metrics(&self, step: u64) -> Value {
        #[cfg(feature = "embedded")]
        if let Some(metrics) = self.measured(step) {
            return metrics;
        }
        let loss = loss(step, self.steps);
        let mut metrics = json!({"step": step, "train_loss": loss, "train_mean_token_accuracy": accuracy(loss)});
        if self.validation.is_some() {
            metrics["valid_loss"] = json!(loss + 0.3);
            metrics["valid_mean_token_accuracy"] = json!(accuracy(loss + 0.3));
        }
        metrics
    }

    /// Events in the API's shape, newest first.
    pub(super) fn events(&self, now: f64) -> Vec<Value> {
        #[cfg(feature = "embedded")]
        if let Some(look) = self.look() {
            return self.told(&look);
        }
        let age = self.age(now);
        let status = self.status(now);
        let mut all: Vec<(f64, &str, String, Value)> = vec![
            (0.0, "message", format!("Created fine-tuning job: {}", self.id), json!({})),
            (1.0, "message", format!("Validating training file: {}", self.training), json!({})),
        ];
        if self.fate != JobFate::Stuck && self.broken.is_none() && self.fate != JobFate::Moderated {
            all.push((CHECKED, "message", "Files validated, moving job to queued state".into(), json!({})));
            all.push((STARTED, "message", "Fine-tuning job started".into(), json!({})));
            let shown = self.steps.min(METRICS);
            for index in 1..=shown {
                let step = self.steps * index / shown;
                let at = STARTED + (self.end() - STARTED) * step as f64 / self.steps as f64;
                let mut data = self.metrics(step);
                data["total_steps"] = json!(self.steps);
                let loss = data["train_loss"].as_f64().unwrap_or_default();
                all.push((at, "metrics", format!("Step {step}/{}: training loss={loss:.2}", self.steps), data));
            }
            for (name, step, _) in self.models(now) {
                let text = format!("Checkpoint created at step {step} with Snapshot ID: {name}");
                all.push((self.end(), "message", text, json!({})));
            }
            if status == "succeeded" {
                let (tuned, end) = (&self.tuned, self.end());
                all.push((end, "message", format!("New fine-tuned model created: {tuned}"), json!({})));
                all.push((
                    end,
                    "moderation_checks",
                    format!("Moderation checks for snapshot {tuned} passed."),
                    json!({"blocked": false, "results": [], "finetuned_model_checkpoint_id": tuned}),
                ));
                all.push((end, "message", "The job has successfully completed".into(), json!({})));
            }
        }
        if status == "failed" {
            all.push((age, "message", self.fault().message, json!({})));
        }
        let level = |text: &str| if status == "failed" && text == self.fault().message { "error" } else { "info" };
        let shown = all.iter().enumerate().filter(|(_, (at, ..))| *at <= age);
        let one = |(index, (at, kind, text, data)): (usize, &(f64, &str, String, Value))| {
            json!({"object": "fine_tuning.job.event", "id": format!("ftevent-{}{index:04}", &self.id[6..]),
                   "created_at": (self.created + at) as u64, "level": level(text), "message": text, "data": data,
                   "type": kind})
        };
        shown.map(one).rev().collect()
    }

    /// The result file (CSV): metrics by step. Cells without a measurement are blank.
    pub(super) fn result_file(&self, base64: bool) -> Vec<u8> {
        let mut csv = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n".to_owned();
        #[cfg(feature = "embedded")]
        if let Some(rows) = self.measured_rows() {
            csv.push_str(&rows);
            return if base64 { BASE64.encode(csv.as_bytes()).into_bytes() } else { csv.into_bytes() };
        }
        let shown = self.steps.min(METRICS);
        for index in 1..=shown {
            let step = self.steps * index / shown;
            let loss = loss(step, self.steps);
            csv.push_str(&format!("{step},{loss:.5},{:.5},,\n", accuracy(loss)));
        }
        if base64 { BASE64.encode(csv.as_bytes()).into_bytes() } else { csv.into_bytes() }
    }

    /// Cancels, pauses or resumes the job. For a job that has ended, a 400.
    pub(super) fn turn(&mut self, what: &str, now: f64) -> Reply {
        let status = self.status(now);
        let over = matches!(status, "succeeded" | "failed" | "cancelled");
        match what {
            _ if over => {
                return Reply::json(
                    400,
                    &json!({"error": {"message": format!("Job has already completed: {}", self.id),
                    "type": "invalid_request_error", "param": null, "code": null}}),
                );
            }
            "cancel" => {
                #[cfg(feature = "embedded")]
                if let Some(real) = &self.real {
                    real.cancel();
                }
                self.cancelled = Some(now);
            }
            "pause" if self.paused.is_none() => self.paused = Some(now),
            "resume" => {
                if let Some(since) = self.paused.take() {
                    self.halted += now - since;
                }
            }
            _ => {}
        }
        Reply::ok(&self.object(now))
    }

    pub(super) fn has_metadata(&self, key: &str, value: &str) -> bool {
        self.metadata[key] == value
    }
}

fn invalid<T>(message: &str, param: &str) -> Result<T, Reply> {
    Err(Reply::fault(400, "invalid_value", message, Some(param)))
}

fn loss(step: u64, steps: u64) -> f64 {
    0.05 + 1.4 * (-3.0 * step as f64 / steps as f64).exp()
}

fn accuracy(loss: f64) -> f64 {
    (-loss / 2.0).exp()
}

/// Checks a chat file by the provider's rules. `None` if it is sound.
fn check(bytes: &[u8], which: &str) -> Option<Fault> {
    let param = if which == "training" { "training_file" } else { "validation_file" };
    let fault = |code: &'static str, text: String| {
        Some(Fault {
            code: code.into(),
            message: format!("The job failed due to an invalid {which} file. {text}"),
            param: Some(param),
        })
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fault("invalid_file_format", "Invalid file format. It is not UTF-8.".into());
    };
    let mut rows = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        rows += 1;
        let checked = match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(row) => validate_chat(&row),
            Err(_) => Err("it is no JSON object".into()),
        };
        if let Err(reason) = checked {
            return fault("invalid_file_format", format!("Invalid file format. Example {rows}: {reason}"));
        }
    }
    if which == "training" && rows < 10 {
        let message = format!("Training file has {rows} example(s), but must have at least 10 examples");
        return Some(Fault { code: "invalid_n_examples".into(), message, param: Some(param) });
    }
    None
}
