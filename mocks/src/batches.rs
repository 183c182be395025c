//! Batches of the mock: a file of requests becomes a file of answers, in another order.

use serde_json::{Value, json};

use super::response::Reply;

/// Seconds of the mock's clock from creation until a batch leaves `validating`.
const BEGUN: f64 = 30.0;
/// Seconds of the mock's clock from creation until its requests are answered.
const ENDED: f64 = 600.0;
/// The most requests in one batch.
const MOST: usize = 50_000;

/// A batch, whose status is computed from the time.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) id: String,
    endpoint: String,
    input: String,
    metadata: Value,
    created: f64,
    total: usize,
    cancelled: Option<f64>,
    broken: Option<Value>,
    pub(super) done: Option<Outcome>,
}

/// Result of a batch: ids of its files, and numbers of requests.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) output: Option<String>,
    pub(super) errors: Option<String>,
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) expired: usize,
}

impl Batch {
    pub(super) fn create(request: &Value, input: Option<&[u8]>, number: u64, now: f64) -> Result<Self, Reply> {
        let endpoint = request["endpoint"].as_str().unwrap_or_default();
        let invalid = |message: &str, param| Err(Reply::fault(400, "invalid_value", message, Some(param)));
        if !matches!(endpoint, "/v1/chat/completions" | "/v1/completions") {
            return invalid("'endpoint' must be /v1/chat/completions or /v1/completions.", "endpoint");
        }
        if request["completion_window"] != "24h" {
            return invalid("'completion_window' must be 24h.", "completion_window");
        }
        let Some(input) = input else { return invalid("Unknown file.", "input_file_id") };
        let mut total = 0;
        let mut ids = std::collections::HashSet::new();
        let mut broken = Vec::new();
        for (index, line) in input.split(|b| *b == b'\n').filter(|l| !l.trim_ascii().is_empty()).enumerate() {
            total += 1;
            let row: Value = serde_json::from_slice(line).unwrap_or(Value::Null);
            let fault = match row["custom_id"].as_str() {
                _ if row["url"] != endpoint => Some(("mismatched_url", "The URL is not that of the batch.")),
                None => Some(("missing_required_parameter", "custom_id is missing.")),
                Some(id) if !ids.insert(id.to_owned()) => Some(("duplicate_custom_id", "The custom_id stands twice.")),
                Some(_) => None,
            };
            if let Some((code, message)) = fault {
                broken.push(json!({"code": code, "line": index + 1, "message": message, "param": null}));
            }
        }
        if total == 0 || total > MOST {
            let message = format!("A batch holds from 1 to {MOST} requests.");
            broken.push(json!({"code": "invalid_request_count", "line": null, "message": message, "param": null}));
        }
        Ok(Self {
            id: format!("batch_parrot{number:018}"),
            endpoint: endpoint.to_owned(),
            input: request["input_file_id"].as_str().unwrap_or_default().to_owned(),
            metadata: request["metadata"].clone(),
            created: now,
            total,
            cancelled: None,
            broken: (!broken.is_empty()).then(|| json!({"object": "list", "data": broken})),
            done: None,
        })
    }

    /// Id of the input file if the requests are to be answered now, else `None`.
    pub(super) fn due(&self, now: f64) -> Option<&str> {
        let ends = self.done.is_none() && self.broken.is_none() && self.cancelled.is_none();
        (ends && now - self.created >= ENDED).then_some(self.input.as_str())
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn cancel(&mut self, now: f64) {
        if self.done.is_none() {
            self.cancelled.get_or_insert(now);
        }
    }

    pub(super) fn object(&self, now: f64) -> Value {
        let age = now - self.created;
        let status = match &self.done {
            _ if self.cancelled.is_some() => "cancelled",
            Some(outcome) if outcome.expired > 0 => "expired",
            Some(_) => "completed",
            None if age < BEGUN => "validating",
            None if self.broken.is_some() => "failed",
            None => "in_progress",
        };
        let at = |wanted: &str, seconds: f64| (status == wanted).then_some((self.created + seconds) as u64);
        let counts = self.done.as_ref().map_or((0, 0), |o| (o.completed, o.failed));
        json!({
            "id": self.id, "object": "batch", "endpoint": self.endpoint,
            "errors": self.broken.as_ref().filter(|_| status == "failed"), "input_file_id": self.input,
            "completion_window": "24h", "status": status,
            "output_file_id": self.done.as_ref().and_then(|o| o.output.as_ref()),
            "error_file_id": self.done.as_ref().and_then(|o| o.errors.as_ref()),
            "created_at": self.created as u64,
            "in_progress_at": (age >= BEGUN && self.broken.is_none()).then_some((self.created + BEGUN) as u64),
            "expires_at": (self.created + 86_400.0) as u64,
            "finalizing_at": at("completed", ENDED), "completed_at": at("completed", ENDED),
            "failed_at": at("failed", BEGUN), "expired_at": at("expired", 86_400.0), "cancelling_at": null,
            "cancelled_at": self.cancelled.map(|t| t as u64),
            "request_counts": {"total": self.total, "completed": counts.0, "failed": counts.1},
            "metadata": self.metadata})
    }
}
