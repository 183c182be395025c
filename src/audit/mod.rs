//! Runs the probes: plan, schedule, early stop; probes in, run report out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::canary::{Drawn, Entry};
use crate::chat::{Message, Sampling};
use crate::detect::Searcher;
use crate::detect::candidates::Candidates;
use crate::probe::Strategy;
use crate::provider::{Provider, ProviderError, Request};
use crate::verdict::{Design, DesignError, Evidence, Policy, RunReport, Settings, Test, judge};

/// What a run is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sampling.
    pub sampling: Sampling,
    /// Answers asked for in one request.
    pub choices: u32,
    /// Requests in flight.
    pub concurrency: usize,
    /// Samples for each canary; `None` for as many as the bound asks for.
    pub samples: Option<u64>,
    /// What is asked of the run.
    pub policy: Policy,
    /// The configuration file, for reports.
    pub config: String,
}

/// A run that is ready to start: everything that can be wrong was looked at.
pub struct Audit {
    entries: Vec<Entry>,
    prompts: Vec<Vec<Message>>,
    /// For each canary: its space, the size, its test.
    spaces: Vec<(usize, f64)>,
    tests: Vec<Test>,
    shared: Arc<Shared>,
    design: Design,
    options: Options,
    strategy: &'static str,
}

struct Shared {
    searcher: Searcher,
    candidates: Vec<Candidates>,
    permits: Semaphore,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit")
            .field("canaries", &self.entries.len())
            .field("design", &self.design)
            .finish_non_exhaustive()
    }
}

/// Told after each answer: how many samples it was worth (all that are left, when a canary stops early).
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

impl Audit {
    /// Prepares a run over the canaries of a manifest.
    ///
    /// # Errors
    /// When no canary could fail, or none could pass.
    pub fn new(
        entries: Vec<Entry>,
        drawn: &Drawn,
        strategy: &dyn Strategy,
        options: Options,
    ) -> Result<Self, DesignError> {
        let planted = entries.iter().filter(|e| e.arm == crate::canary::Arm::Planted).count();
        let sizes: Vec<(String, f64)> =
            drawn.templates.iter().map(|t| (t.name().to_owned(), t.secret_space().size_f64())).collect();
        let design = Design::new(options.policy, planted, options.samples, &sizes)?;
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut candidates = Vec::new();
        let space_of: Vec<usize> = drawn
            .templates
            .iter()
            .map(|template| {
                let space = template.secret_space();
                *known.entry(space.name().to_owned()).or_insert_with(|| {
                    candidates.push(Candidates::new(space));
                    candidates.len() - 1
                })
            })
            .collect();
        let spaces = drawn.canaries.iter().map(|c| (space_of[c.template], sizes[c.template].1)).collect();
        let tests = drawn.canaries.iter().map(|c| design.tests[c.template].0).collect();
        let prompts = drawn.canaries.iter().map(|c| strategy.prompt(&drawn.templates[c.template], c)).collect();
        let shared = Arc::new(Shared {
            searcher: Searcher::new(drawn.canaries.iter().map(|c| c.secret.expose())),
            candidates,
            permits: Semaphore::new(options.concurrency.max(1)),
            stopped: AtomicBool::new(false),
        });
        Ok(Self { entries, prompts, spaces, tests, shared, design, options, strategy: strategy.name() })
    }

    /// The samples that `selected` canaries need at most.
    #[must_use]
    pub fn planned_samples(&self, selected: usize) -> u64 {
        self.design.samples * selected as u64
    }

    /// Probes the canaries at `selected` positions and judges them.
    pub async fn run(&self, selected: &[usize], provider: Arc<dyn Provider>, progress: Progress) -> RunReport {
        let begin = Instant::now();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        // Few canaries ask several samples at once, many one each: the flight stays full, and an
        // early stop wastes at most a window.
        let window = (self.options.concurrency / selected.len().max(1)).clamp(1, 64) as u64;
        let mut tasks = JoinSet::new();
        for &index in selected {
            let (test, (space, size)) = (self.tests[index], self.spaces[index]);
            let task = Task {
                evidence: Evidence::new(index, space, self.shared.candidates.len(), test, size),
                index,
                prompt: self.prompts[index].clone(),
                sampling: self.options.sampling,
                choices: self.options.choices.max(1),
                samples: self.design.samples,
                threshold: self.design.threshold(),
                window,
                shared: Arc::clone(&self.shared),
                provider: Arc::clone(&provider),
                progress: Arc::clone(&progress),
            };
            tasks.spawn(task.run());
        }
        let mut evidence = Vec::with_capacity(selected.len());
        while let Some(done) = tasks.join_next().await {
            evidence.push(done.expect("a probing task neither panics nor is aborted"));
        }
        evidence.sort_by_key(|(index, _)| *index);
        let settings = Settings {
            model: provider.model().to_owned(),
            address: provider.address(),
            sampling: self.options.sampling,
            strategies: vec![self.strategy.to_owned()],
            samples: self.design.samples,
            policy: self.options.policy,
            planted: self.design.planted,
            config: self.options.config.clone(),
        };
        let mut report = judge(&self.design, &self.entries, &evidence, &self.spaces, &self.tests, settings);
        report.started = started;
        report.seconds = begin.elapsed().as_secs_f64();
        report
    }
}

/// The probing of one canary.
struct Task {
    index: usize,
    prompt: Vec<Message>,
    sampling: Sampling,
    choices: u32,
    samples: u64,
    threshold: f64,
    window: u64,
    evidence: Evidence,
    shared: Arc<Shared>,
    provider: Arc<dyn Provider>,
    progress: Progress,
}

impl Task {
    async fn run(mut self) -> (usize, Evidence) {
        let mut requested = 0u64;
        while self.evidence.asked < self.samples && self.evidence.error.is_none() {
            let before = self.evidence.asked;
            if let Err(error) = self.wave(&mut requested).await {
                if error.is_fatal() {
                    self.shared.stopped.store(true, Ordering::Relaxed);
                }
                self.evidence.error = Some(error.to_string());
            }
            (self.progress)(self.evidence.asked - before);
            if self.evidence.is_decided(self.threshold) {
                break;
            }
        }
        (self.progress)(self.samples.saturating_sub(self.evidence.asked));
        self.evidence.finish();
        (self.index, self.evidence)
    }

    /// Asks for the next few samples at once, and judges them in their order.
    async fn wave(&mut self, requested: &mut u64) -> Result<(), ProviderError> {
        let left = self.samples - self.evidence.asked;
        let choices = u64::from(self.choices).min(left);
        // The first request goes alone: a canary that leaks at once costs one request.
        let width = if self.evidence.asked == 0 { 1 } else { self.window.min(left.div_ceil(choices)) };
        let mut flight = JoinSet::new();
        for place in 0..width {
            let request = Request {
                messages: self.prompt.clone(),
                sampling: self.sampling,
                seed: seed(self.index, *requested),
                choices: choices as u32,
            };
            *requested += 1;
            let (shared, provider) = (Arc::clone(&self.shared), Arc::clone(&self.provider));
            let asking = async move {
                let _permit = shared.permits.acquire().await.expect("the semaphore is never closed");
                if shared.stopped.load(Ordering::Relaxed) {
                    return Err(ProviderError::Setup("not asked: an earlier request failed for good".into()));
                }
                provider.complete(&request).await
            };
            if width == 1 {
                return self.judge(asking.await);
            }
            flight.spawn(async move { (place, asking.await) });
        }
        let mut answers = Vec::with_capacity(width as usize);
        while let Some(done) = flight.join_next().await {
            answers.push(done.expect("a request neither panics nor is aborted"));
        }
        answers.sort_by_key(|(place, _)| *place);
        // One failed request does not throw away the answers beside it: they were paid for, and one
        // of them may hold the secret.
        let mut outcome = Ok(());
        for (_, answer) in answers {
            outcome = outcome.and(self.judge(answer));
        }
        outcome
    }

    fn judge(&mut self, answer: Result<crate::provider::Answer, ProviderError>) -> Result<(), ProviderError> {
        let answer = answer?;
        self.evidence.usage += answer.usage;
        for completion in &answer.completions {
            if self.evidence.asked < self.samples && !self.evidence.is_decided(self.threshold) {
                self.evidence.push(completion, &self.shared.searcher, &self.shared.candidates);
            }
        }
        Ok(())
    }
}

/// A seed of its own for every request of a run.
fn seed(canary: usize, request: u64) -> u32 {
    ((canary as u32) << 14 ^ request as u32) & 0x7fff_ffff
}
