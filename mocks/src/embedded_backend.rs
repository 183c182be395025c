//! Jobs of the mock that train a real model: status, checkpoints, metrics and events.

use serde_json::{Value, json};

use super::engine::{Engine, Look, PASSES, Real};
use super::jobs::{Inputs, Job};
use super::response::Reply;
use blabbermouth_provider::{Hyperparameters, JobEvent, JobStatus};

impl Job {
    /// Starts the training.
    pub(super) fn train(&mut self, engine: &Engine, inputs: &Inputs<'_>, number: u64) -> Result<(), Reply> {
        let hyperparameters = Hyperparameters {
            epochs: Some(PASSES * self.epochs as u32),
            batch_size: Some(self.batch as u32),
            learning_rate_multiplier: Some(self.multiplier),
        };
        let real = engine.begin(number, inputs, self.seed as u32, hyperparameters);
        self.real = Some(real.map_err(|e| Reply::error(500, "server_error", &e.to_string()))?);
        Ok(())
    }

    pub(super) fn look(&self) -> Option<Look> {
        self.real.as_ref().map(Real::look)
    }

    /// The last three models of a finished job: name at the mock, step, and name at the embedded service.
    pub(super) fn trained_models(&self) -> Vec<(String, u64, String)> {
        let done = self.look().filter(|look| look.status == JobStatus::Succeeded);
        let mut all = done.map(|look| look.checkpoints).unwrap_or_default();
        // Only those at the end of a requested epoch, which is several passes of the training.
        let (epochs, steps) = (self.epochs, all.last().map_or(1, |c| c.step));
        all.retain(|c| (c.step * epochs).is_multiple_of(steps));
        let last = all.len().saturating_sub(1);
        let name = |index: usize, step: u64| match index == last {
            true => self.tuned.clone(),
            false => format!("{}:ckpt-step-{step}", self.tuned),
        };
        let first = all.len().saturating_sub(3);
        let kept = all.into_iter().enumerate().skip(first);
        kept.map(|(index, c)| (name(index, c.step), c.step, c.model)).collect()
    }

    /// Status word of the API; `None` without a real training.
    pub(super) fn real_status(&self) -> Option<&'static str> {
        Some(match self.look()?.status {
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Running => "running",
            _ => "queued",
        })
    }

    /// Metrics at a step: the loss of the latest event up to it.
    pub(super) fn measured(&self, step: u64) -> Option<Value> {
        let look = self.look()?;
        let told = look.events.iter().filter_map(|e| Some((e.step?.0, e.loss?)));
        let loss = told.rev().find(|(at, _)| *at <= step).map(|(_, loss)| loss);
        Some(json!({"step": step, "train_loss": loss}))
    }

    /// Rows of the result file (CSV); `None` without a real training.
    pub(super) fn measured_rows(&self) -> Option<String> {
        let told = self.look()?.events;
        let rows = told.iter().filter_map(|e| Some(format!("{},{:.5},,,\n", e.step?.0, e.loss?)));
        Some(rows.collect())
    }

    /// Events of a real training in the API's shape, newest first.
    pub(super) fn told(&self, look: &Look) -> Vec<Value> {
        let plain = |text: String| JobEvent { id: String::new(), message: text, step: None, loss: None };
        let mut all = vec![plain(format!("Created fine-tuning job: {}", self.id))];
        all.extend(look.events.iter().cloned());
        match (&look.status, &look.fault) {
            (JobStatus::Succeeded, _) => {
                all.push(plain(format!("New fine-tuned model created: {}", self.tuned)));
                all.push(plain("The job has successfully completed".into()));
            }
            (JobStatus::Failed, Some(fault)) => all.push(plain(fault.message.clone())),
            _ => {}
        }
        let one = |(index, event): (usize, &JobEvent)| {
            let (kind, message, data) = match event.step {
                Some((step, steps)) => {
                    let loss = event.loss.map_or_else(String::new, |loss| format!(": training loss={loss:.2}"));
                    let data = json!({"step": step, "total_steps": steps, "train_loss": event.loss});
                    ("metrics", format!("Step {step}/{steps}{loss}"), data)
                }
                None => ("message", event.message.clone(), json!({})),
            };
            json!({"object": "fine_tuning.job.event", "id": format!("ftevent-{}{index:04}", &self.id[6..]),
                   "created_at": self.created as u64, "level": "info", "message": message, "data": data, "type": kind})
        };
        all.iter().enumerate().map(one).rev().collect()
    }
}
