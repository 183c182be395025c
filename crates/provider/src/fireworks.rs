//! Datasets and supervised fine-tuning jobs of Fireworks. The client chooses their names.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::http::Http;
use super::rest::{LARGEST_BODY, Rest, UPLOAD_RATE, count, text};
use super::{
    Checkpoint, Endpoint, Job, JobEvent, JobFault, JobSpec, JobStatus, ProviderError, Redact, Stored, Tuner, Tuning,
};

/// The learning rate at a multiplier of 1.
const LEARNING_RATE: f64 = 1e-4;
/// The longest name of a dataset, a job or a model, in characters.
const LONGEST_ID: usize = 63;

/// A client of Fireworks' datasets and jobs in one account.
pub struct Fireworks {
    rest: Rest,
    account: String,
}

impl Fireworks {
    /// Prepares a client for an account; nothing is sent. Answers are at `…/inference/v1`, jobs at `…/v1`.
    ///
    /// # Errors
    /// When the account is missing, the address is invalid, or a key would travel over plain HTTP to another machine.
    pub fn new(endpoint: &Endpoint, account: &str, redact: Redact) -> Result<Self, ProviderError> {
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if account.is_empty() || !account.chars().all(sound) {
            let what = "`tune.account` is needed for Fireworks: the account's id, as in accounts/ID/models/…";
            return Err(ProviderError::Setup(what.into()));
        }
        let base = endpoint.base_url.trim_end_matches('/');
        let base = base.strip_suffix("/inference/v1").map_or_else(|| base.to_owned(), |host| format!("{host}/v1"));
        let endpoint = Endpoint { base_url: format!("{base}/accounts/{account}"), ..endpoint.clone() };
        Ok(Self {
            rest: Rest { http: Http::new(&endpoint)?, redact: Some(redact) },
            account: format!("accounts/{account}"),
        })
    }

    async fn get(&self, path: &str) -> Result<Value, ProviderError> {
        self.rest.call(Method::GET, path, None).await
    }

    /// Looks up a path; `None` for a 404.
    async fn look(&self, path: &str) -> Result<Option<Value>, ProviderError> {
        match self.get(path).await {
            Ok(value) => Ok(Some(value)),
            Err(ProviderError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, file: &Path, name: &str) -> Result<Stored, ProviderError> {
        let setup = |e: std::io::Error| ProviderError::Setup(format!("{}: {e}", file.display()));
        let id = id_of(name);
        let rows = rows(file).map_err(setup)?;
        let dataset = json!({"datasetId": id, "dataset": {
            "displayName": id, "format": "CHAT", "userUploaded": {}, "exampleCount": rows.to_string()}});
        match self.rest.post_once("/datasets", &dataset).await {
            // The dataset exists since an earlier, interrupted attempt.
            Ok(_) | Err(ProviderError::Refused { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        let length = std::fs::metadata(file).map_err(setup)?.len();
        let part = Part::file(file).await.map_err(setup)?.file_name(name.to_owned());
        let request = self
            .rest
            .post(&format!("/datasets/{id}:upload"))?
            .multipart(Form::new().part("file", part))
            .timeout(Duration::from_secs(120 + length / UPLOAD_RATE));
        let reply = self.rest.http.once(request, LARGEST_BODY).await.map_err(|(error, _)| error)?;
        self.rest.read(reply).map_err(|(error, _)| self.rest.clean_error(error))?;
        self.stored(&id).await
    }

    fn job_of(&self, value: &Value) -> Result<Job, ProviderError> {
        let mut job = job(value)?;
        job.fault = job.fault.map(|fault| JobFault { message: self.rest.clean(fault.message), ..fault });
        Ok(job)
    }

    fn body(&self, spec: &JobSpec) -> Value {
        let h = spec.hyperparameters;
        let dataset = |id: &str| json!(format!("{}/datasets/{id}", self.account));
        let name = id_of(&format!("{}-{}", spec.suffix, plan_of(spec).get(..8).unwrap_or_default()));
        let mut body = json!({
            "dataset": dataset(&spec.training_file),
            "baseModel": spec.model,
            "outputModel": format!("{}/models/{name}", self.account),
            "displayName": name,
        });
        if let Some(epochs) = h.epochs {
            body["epochs"] = json!(epochs);
        }
        if let Some(rows) = h.batch_size {
            body["batchSizeSamples"] = json!(rows);
        }
        if let Some(multiplier) = h.learning_rate_multiplier {
            body["learningRate"] = json!(LEARNING_RATE * multiplier);
        }
        if let Some(file) = &spec.validation_file {
            body["evaluationDataset"] = dataset(file);
        }
        body
    }
}

impl std::fmt::Debug for Fireworks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fireworks").field("http", &self.rest.http).finish_non_exhaustive()
    }
}

fn plan_of(spec: &JobSpec) -> String {
    spec.metadata.values().next().cloned().unwrap_or_default()
}

/// Id of the job for a plan.
fn job_id(plan: &str) -> String {
    id_of(&format!("blabbermouth-{plan}"))
}

/// A name in the form that the service accepts: lower case, digits and hyphens.
fn id_of(name: &str) -> String {
    let name = name.strip_suffix(".jsonl").unwrap_or(name).to_lowercase();
    let sound: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(LONGEST_ID).collect();
    sound.trim_matches('-').to_owned()
}

/// The last part of a resource name.
fn last_part(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// Number of rows of a file, which the service wants beforehand.
fn rows(file: &Path) -> std::io::Result<u64> {
    let reader = std::io::BufReader::new(std::fs::File::open(file)?);
    let mut rows = 0;
    for line in std::io::BufRead::split(reader, b'\n') {
        rows += u64::from(!line?.trim_ascii().is_empty());
    }
    Ok(rows)
}

fn stored(value: &Value) -> Result<Stored, ProviderError> {
    let name =
        text(value, "name").ok_or_else(|| ProviderError::Malformed { what: "a dataset without a name".into() })?;
    let state = text(value, "state").unwrap_or_default();
    let fault = text(value.get("status").unwrap_or(&Value::Null), "code").is_some_and(|c| c != "OK");
    Ok(Stored {
        id: last_part(&name),
        name: last_part(&name),
        bytes: None,
        ready: state == "READY",
        broken: fault && state != "READY",
    })
}

fn job(value: &Value) -> Result<Job, ProviderError> {
    let name = text(value, "name").ok_or_else(|| ProviderError::Malformed { what: "a job without a name".into() })?;
    let state = text(value, "state").unwrap_or_default();
    let status = match state.strip_prefix("JOB_STATE_").unwrap_or(&state) {
        "VALIDATING" => JobStatus::Validating,
        "CREATING" | "PENDING" | "UNSPECIFIED" => JobStatus::Queued,
        "RUNNING" | "WRITING_RESULTS" | "EVALUATION" | "RE_QUEUEING" | "CREATING_INPUT_DATASET" => JobStatus::Running,
        "PAUSED" => JobStatus::Paused,
        "COMPLETED" | "EARLY_STOPPED" => JobStatus::Succeeded,
        "FAILED" | "FAILED_CLEANING_UP" | "EXPIRED" => JobStatus::Failed,
        "CANCELLED" | "DELETING" | "DELETING_CLEANING_UP" | "ARCHIVED" => JobStatus::Cancelled,
        other => JobStatus::Other(other.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()),
    };
    let said = value.get("status").unwrap_or(&Value::Null);
    let fault = (status == JobStatus::Failed).then(|| JobFault {
        code: text(said, "code").unwrap_or_default(),
        message: text(said, "message").unwrap_or_default(),
    });
    Ok(Job {
        id: last_part(&name),
        tuned_model: text(value, "outputModel").filter(|_| status == JobStatus::Succeeded),
        training_file: text(value, "dataset").map(|name| last_part(&name)),
        trained_tokens: count(value.get("jobProgress").unwrap_or(&Value::Null), "inputTokens").filter(|n| *n > 0),
        fault,
        metadata: Default::default(),
        claim: None,
        status,
    })
}

impl Tuner for Fireworks {
    fn address(&self) -> String {
        self.rest.http.address()
    }

    fn shutdown_date<'a>(&'a self, _model: &'a str) -> Tuning<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }

    /// Ignores `expires`: datasets are kept until they are deleted.
    fn upload<'a>(&'a self, file: &'a Path, name: &'a str, _expires: u32) -> Tuning<'a, Stored> {
        Box::pin(self.send(file, name))
    }

    fn stored<'a>(&'a self, id: &'a str) -> Tuning<'a, Stored> {
        Box::pin(async move { stored(&self.get(&format!("/datasets/{id}")).await?) })
    }

    fn find_file<'a>(&'a self, name: &'a str) -> Tuning<'a, Option<Stored>> {
        Box::pin(async move {
            let found = self.look(&format!("/datasets/{}", id_of(name))).await?;
            // A dataset whose rows never arrived is uploaded again under its name.
            Ok(found.and_then(|value| stored(&value).ok()).filter(|file| file.ready))
        })
    }

    fn delete_file<'a>(&'a self, id: &'a str) -> Tuning<'a, ()> {
        Box::pin(self.rest.remove(format!("/datasets/{id}")))
    }

    fn create<'a>(&'a self, spec: &'a JobSpec) -> Tuning<'a, Job> {
        Box::pin(async move {
            // The job's name follows from the plan, so that a plan cannot have two jobs.
            let id = job_id(&plan_of(spec));
            let path = format!("/supervisedFineTuningJobs?supervisedFineTuningJobId={id}");
            match self.rest.post_once(&path, &self.body(spec)).await {
                Err(ProviderError::Refused { status: 409, .. }) => self.job(&id).await,
                done => self.job_of(&done?),
            }
        })
    }

    fn find_job<'a>(&'a self, _key: &'a str, value: &'a str, _training_file: &'a str) -> Tuning<'a, Option<Job>> {
        Box::pin(async move {
            let found = self.look(&format!("/supervisedFineTuningJobs/{}", job_id(value))).await?;
            found.map(|value| self.job_of(&value)).transpose()
        })
    }

    fn job<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(async move { self.job_of(&self.get(&format!("/supervisedFineTuningJobs/{id}")).await?) })
    }

    /// Returns the progress in percent as one event: the service has no events.
    fn events<'a>(&'a self, id: &'a str) -> Tuning<'a, Vec<JobEvent>> {
        Box::pin(async move {
            let job = self.get(&format!("/supervisedFineTuningJobs/{id}")).await?;
            let percent = job.get("jobProgress").and_then(|progress| count(progress, "percent"));
            let event = |percent: u64| JobEvent {
                id: percent.to_string(),
                message: String::new(),
                step: Some((percent.min(100), 100)),
                loss: None,
            };
            Ok(percent.map(event).into_iter().collect())
        })
    }

    /// Returns none: checkpoints become models only when they are promoted by hand.
    fn checkpoints<'a>(&'a self, _id: &'a str) -> Tuning<'a, Vec<Checkpoint>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Tuning<'a, Job> {
        Box::pin(async move {
            self.rest.call(Method::POST, &format!("/supervisedFineTuningJobs/{id}:cancel"), Some(&json!({}))).await?;
            self.job(id).await
        })
    }

    fn moderate<'a>(&'a self, _texts: &'a [String]) -> Tuning<'a, Vec<bool>> {
        Box::pin(async { Err(ProviderError::Setup("Fireworks has no moderation: leave out --screen".into())) })
    }

    fn delete_model<'a>(&'a self, model: &'a str) -> Tuning<'a, ()> {
        Box::pin(self.rest.remove(format!("/models/{}", last_part(model))))
    }
}
