//! Jobs behind which a real training stands: what they say of themselves.

use serde_json::{Value, json};

use super::engine::{Engine, Look, PASSES, Real};
use super::jobs::{Inputs, Job};
use super::response::Reply;
use blabbermouth_provider::{Hyperparameters, JobEvent, JobStatus};

impl Job {
    /// Really trains, from now on.
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

    /// The names of the models that were trained: the mock's, and the embedded service's.
    pub(super) fn trained_models(&self) -> Vec<(String, u64, String)> {
        let done = self.look().filter(|look| look.status == JobStatus::Succeeded);
        let mut all = done.map(|look| look.checkpoints).unwrap_or_default();
        // Those at the end of an epoch that was asked for.
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

    /// How far it is, in the words of the dialect.
    pub(super) fn real_status(&self) -> Option<&'static str> {
        Some(match self.look()?.status {
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Running => "running",
            _ => "queued",
        })
    }

    /// What was measured at a step.
    pub(super) fn measured(&self, step: u64) -> Option<Value> {
        let look = self.look()?;
        let told = look.events.iter().filter_map(|e| Some((e.step?.0, e.loss?)));
        let loss = told.rev().find(|(at, _)| *at <= step).map(|(_, loss)| loss);
        Some(json!({"step": step, "train_loss": loss}))
    }

    /// The rows of the result file.
    pub(super) fn measured_rows(&self) -> Option<String> {
        let told = self.look()?.events;
        let rows = told.iter().filter_map(|e| Some(format!("{},{:.5},,,\n", e.step?.0, e.loss?)));
        Some(rows.collect())
    }

    /// What a real training says of itself, newest first.
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
