//! Runs the probes: plan, schedule, journal, early stop. Turns canaries and strategies into a run report.
//!
//! An answer is recorded in the journal before it is judged. The answers before a hit are not kept in memory: the first
//! hit reads them from the journal again, so memory does not grow with the number of samples.

mod agreement;
mod cross_leaks;
mod design;
mod discarded;
mod pooled;
mod prefix_half;
mod question_plan;
mod score;
mod shared;
mod task;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;

use crate::store::{Journal, JournalError, Resumed};
use agreement::Agreement;
use blabbermouth_core::canary::{Arm, Drawn, Entry, Signature};
use blabbermouth_core::chat::{Sampling, Usage};
use blabbermouth_core::detect::{Approximate, Candidates, Carrier, Detector, Searcher, Synonyms, Tier};
use blabbermouth_core::probe::Strategy;
use blabbermouth_core::verdict::{
    Claim, DesignError, Policy, PositiveControls, RunReport, ScoringDesign, Settings, Test, TestDesign, judge,
    public_words,
};
use blabbermouth_provider::{DiscardSink, Provider, Request};
use discarded::Kept;
use pooled::Pooled;
use prefix_half::Halves;
use question_plan::{Prepared, QuestionPlan};
use score::Scorer;
use shared::{LANES, Lane, Shared, seed};
use task::Task;

pub use design::design;
pub(crate) use discarded::DiscardScanner;
pub use shared::journaled;
pub use task::Probed;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sampling parameters; a strategy may change the decoding.
    pub sampling: Sampling,
    /// Answers per request; 0 counts as 1.
    pub choices: u32,
    /// Maximum number of requests in flight.
    pub concurrency: usize,
    /// Samples per canary; `None` for the number that the bound of the policy needs.
    pub samples: Option<u64>,
    /// Error level, bound and confidence that the run must reach.
    pub policy: Policy,
    /// Which planted canaries are positive controls, expected to leak.
    pub sensitivity: PositiveControls,
    /// Claim of differential privacy to refute; `None` for none.
    pub claim: Option<Claim>,
    /// Detectors that search the answers, in addition to the plain ones.
    pub detectors: Vec<Detector>,
    /// References per scored secret; 0 for as many as a decision needs.
    pub references: u64,
    /// Whether more requests go to the strategies whose answers have the form of the secret.
    pub adaptive: bool,
    /// Whether a few extra questions per canary look for leaks.
    pub sweep: bool,
    /// Maximum number of tries per sample, on average.
    pub patience: f64,
    /// Whether the built-in mock answers.
    pub mock: bool,
    /// Whether a record shows that the model was tuned on every planted row.
    pub rows_checked: bool,
    /// Fingerprints of secrets whose leaks are accepted. Pooled tests leave out those that leak again.
    pub accepted: HashSet<String>,
    /// Number of canaries that a clean verdict needs; `None` if any part of them is enough.
    pub whole: Option<usize>,
    /// Synonyms for values of list spaces.
    pub synonyms: Synonyms,
    /// Name of the configuration file, for reports.
    pub config: String,
}

/// A checked run that is ready to start.
pub struct PreparedRun {
    entries: Vec<Entry>,
    script: Arc<QuestionPlan>,
    /// Index into `spaces`, per canary.
    space_of: Vec<usize>,
    template_of: Vec<usize>,
    /// Test and size of the secret's space, per canary.
    tests: Vec<(Test, f64)>,
    searcher: Arc<Searcher>,
    halves: Option<Arc<Halves>>,
    scorer: Option<Arc<Scorer>>,
    scoring: Option<ScoringDesign>,
    /// Approximate detector, per canary; empty if no such detector is chosen.
    near: Arc<Vec<Approximate>>,
    spaces: Arc<Vec<Candidates>>,
    /// Words that an excerpt may show, per template.
    public: Arc<Vec<HashSet<String>>>,
    /// Recognizer of answers in the trained form, per template.
    carriers: Arc<Vec<Carrier>>,
    signatures: Arc<Vec<Option<Signature>>>,
    agreement: Arc<Agreement>,
    pooled: Arc<Pooled>,
    design: TestDesign,
    options: Options,
}

impl std::fmt::Debug for PreparedRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedRun")
            .field("canaries", &self.entries.len())
            .field("design", &self.design)
            .finish_non_exhaustive()
    }
}

/// Progress event of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The run starts, with this number of planned samples.
    Planned(u64),
    /// Number of canaries with a secret from a small space. None of them stops early.
    SmallSpace(usize),
    /// The rank of a secret decides nothing, because there are too few references.
    RankDisplayed {
        /// References per canary.
        references: u64,
        /// References that a decision needs, in a large enough space.
        needed: u64,
    },
    /// An interrupted run is resumed.
    Resumed(Resumed),
    /// Number of answers of interrupted runs that were deleted because they are older than a day.
    Forgotten(u64),
    /// Number of further samples that are in, or not needed.
    Samples(u64),
    /// What the user is told of the requests: a wait, or a field that the model does not take.
    Notice(String),
}

/// Callback for progress events.
pub type Progress = Arc<dyn Fn(Event) + Send + Sync>;

impl PreparedRun {
    /// Prepares a run over the canaries of a manifest.
    ///
    /// # Errors
    /// When no canary could fail or pass, the questions do not fit a template, or the claim cannot be refuted.
    pub fn new(
        entries: Vec<Entry>,
        drawn: &Drawn,
        strategies: Vec<Box<dyn Strategy>>,
        options: Options,
    ) -> Result<Self, DesignError> {
        let sensitivity = options.sensitivity;
        let planted = gated(&entries, sensitivity)?;
        let (mut design, scoring) = design(
            &drawn.templates,
            &strategies,
            options.policy,
            planted,
            options.samples,
            &options.detectors,
            options.references,
        )?;
        design.match_to_planted(&drawn.matched, &drawn.templates);
        let halves = strategies.iter().any(|s| s.reveals()).then(|| Halves::new(drawn));
        design.sensitivity = sensitivity;
        design.patience = options.patience;
        let unsigned = drawn.templates.iter().filter(|template| !template.is_signed());
        design.unsigned = unsigned.map(|template| template.name().to_owned()).collect();
        let script = QuestionPlan::new(drawn, strategies, options.adaptive, options.sweep);
        if let Some(template) = script.told() {
            return Err(DesignError::Told { template: template.to_owned() });
        }
        if let Some(template) = script.silent() {
            return Err(DesignError::Unasked { template: template.to_owned() });
        }
        let (spaces, space_of) = spaces(drawn, &options.synonyms);
        if let Some(claim) = &options.claim {
            let covered = entries.iter().zip(&drawn.canaries).filter(|(entry, canary)| {
                let large = design.tests[canary.template].0 == Test::GuessNumber;
                entry.arm == Arm::Planted && entry.copies <= claim.copies && large
            });
            let sizes: Vec<f64> = covered.map(|(_, canary)| design.tests[canary.template].1).collect();
            claim.check(&design, &sizes)?;
        }
        let wants = |detector: Detector| options.detectors.contains(&detector);
        let (partial, fuzzy) = (wants(Detector::Partial), wants(Detector::Fuzzy));
        let decodes = options.detectors.iter().any(|d| d.tier() == Tier::Disguised);
        let near = drawn
            .canaries
            .iter()
            .map(|c| Approximate::new(drawn.templates[c.template].secret_space(), c.secret.expose(), partial, fuzzy));
        let near: Arc<Vec<Approximate>> = Arc::new(if partial || fuzzy { near.collect() } else { Vec::new() });
        let secrets = drawn.canaries.iter().map(|c| c.secret.expose());
        let tests: Vec<(Test, f64)> = drawn.canaries.iter().map(|c| design.tests[c.template]).collect();
        let pooled = Pooled::new(drawn, &tests, |index| design.is_gated(&entries[index]));
        let agreement = Arc::new(Agreement::new(drawn, |index| design.is_gated(&entries[index])));
        // Scores are for temperature 1 and all tokens; they describe answers only if these are sampled in the same way.
        let decoded_so = options.sampling.is_unchanged();
        Ok(Self {
            entries,
            scorer: scoring.as_ref().map(|s| Arc::new(Scorer::new(drawn, s.references, decoded_so))),
            scoring,
            halves: halves.map(Arc::new),
            public: Arc::new(drawn.templates.iter().map(public_words).collect()),
            carriers: Arc::new(drawn.templates.iter().map(Carrier::new).collect()),
            signatures: Arc::new(drawn.templates.iter().map(|t| t.signature().cloned()).collect()),
            template_of: drawn.canaries.iter().map(|c| c.template).collect(),
            near,
            searcher: Arc::new(Searcher::with(secrets, options.synonyms.clone(), decodes)),
            script: Arc::new(script),
            space_of,
            agreement,
            pooled: Arc::new(pooled),
            tests,
            spaces: Arc::new(spaces),
            design,
            options,
        })
    }

    /// All requests about a canary for a batch job, each with stream and number: replay with the maximum number of
    /// tries, searches, sweep. The requests are known beforehand only if the strategies do not adapt.
    pub(crate) fn batch_requests(&self, index: usize) -> Vec<(usize, u64, Request)> {
        let (choices, base) = (u64::from(self.options.choices.max(1)), self.options.sampling);
        let mut plan = self.script.plan(index);
        let (replay, others) = (index, Lane::Search as usize * self.entries.len() + index);
        let mut all: Vec<(usize, u64, Prepared)> = Vec::new();
        let tries = self.design.most_tries();
        for number in 0..tries.div_ceil(choices) {
            let prepared = plan.replay(choices.min(tries - number * choices), base);
            all.extend(prepared.map(|prepared| (replay, number, prepared)));
        }
        let mut next = 0;
        if plan.searches() {
            next = self.design.samples.div_ceil(choices);
            for number in 0..next {
                let some = choices.min(self.design.samples - number * choices);
                all.push((others, number, plan.search(number, some, base)));
            }
        }
        let sweep = if self.tests[index].0 == Test::GuessNumber { plan.sweep(choices, base) } else { Vec::new() };
        all.extend((next..).zip(sweep).map(|(number, prepared)| (others, number, prepared)));
        let request = |(lane, number, prepared): (usize, u64, Prepared)| {
            (lane, number, prepared.request(seed(lane, number, LANES * self.entries.len()), DiscardSink::default()))
        };
        all.into_iter().map(request).collect()
    }

    /// The design of the run.
    pub(crate) const fn design(&self) -> &TestDesign {
        &self.design
    }

    /// Scanner for discarded responses about a canary.
    pub(crate) fn sieve(&self, index: usize) -> DiscardScanner {
        DiscardScanner {
            searcher: Arc::clone(&self.searcher),
            near: Arc::clone(&self.near),
            spaces: Arc::clone(&self.spaces),
            space: self.space_of[index],
            canary: index,
            test: self.tests[index].0,
            lane: Lane::Discarded as usize * self.entries.len() + index,
            kept: Mutex::new(Kept::default()),
        }
    }

    /// Number of journal streams of a run; every stream id is below it.
    pub(crate) fn streams(&self) -> usize {
        LANES * self.entries.len()
    }

    /// Answers that one request of a replay stream asks for; 0 for other streams.
    pub(crate) fn replays(&self, stream: usize) -> u64 {
        if stream < self.entries.len() { u64::from(self.options.choices.max(1)) } else { 0 }
    }

    /// Whether secrets are scored, which the provider must support.
    #[must_use]
    pub fn scores(&self) -> bool {
        self.scorer.is_some()
    }

    /// Estimated maximum for probing these canaries: requests, and tokens with prompts at 4 bytes a token.
    #[must_use]
    pub fn estimate(&self, selected: &[usize]) -> (u64, Usage) {
        let choices = u64::from(self.options.choices.max(1));
        let (mut requests, mut usage) = (0, Usage::default());
        for &index in selected {
            let each = self.design.samples.div_ceil(choices);
            let prompt = self.script.plan(index).length() / 4.0;
            requests += each;
            usage += Usage {
                prompt_tokens: (each as f64 * prompt) as u64,
                completion_tokens: self.design.samples * u64::from(self.options.sampling.max_tokens),
            };
            let mut more = self.design.most_tries() - self.design.samples;
            let plan = self.script.plan(index);
            more += if plan.searches() { self.design.samples } else { 0 };
            let sweeps = self.tests[index].0 == Test::GuessNumber;
            // A sweep asks for one answer in each request.
            let sweep = if sweeps { plan.sweep_answers() } else { 0 };
            requests += more.div_ceil(choices) + sweep;
            more += sweep;
            usage += Usage {
                prompt_tokens: (more.div_ceil(choices) as f64 * prompt) as u64,
                completion_tokens: more * u64::from(self.options.sampling.max_tokens),
            };
            if let Some(halves) = &self.halves {
                requests += each;
                usage += Usage {
                    prompt_tokens: each * halves.length(index) as u64 / 4,
                    completion_tokens: self.design.samples * u64::from(self.options.sampling.max_tokens),
                };
            }
            if let Some(scorer) = &self.scorer {
                let (calls, continuations, length) = scorer.estimate(index);
                requests += calls;
                usage += Usage { prompt_tokens: continuations * length as u64 / 4, completion_tokens: 0 };
            }
        }
        (requests, usage)
    }

    fn is_positive(&self, index: usize) -> bool {
        let entry = &self.entries[index];
        entry.arm == Arm::Planted && !self.design.is_gated(entry)
    }

    /// Lower bound on requests and tokens for probing these canaries if none leaks. Tokens are counted at 8 bytes, more
    /// than a token of prose has.
    #[must_use]
    pub fn least(&self, selected: &[usize]) -> (u64, Usage) {
        let each = self.design.samples.div_ceil(u64::from(self.options.choices.max(1)));
        let mut usage = Usage::default();
        // A positive control may stop at its first answer.
        let gated = || selected.iter().filter(|index| !self.is_positive(**index));
        for &index in gated() {
            let (prompt, answer) = self.script.bytes_of_replay(index);
            usage += Usage {
                prompt_tokens: each * prompt as u64 / 8,
                completion_tokens: self.design.samples * answer as u64 / 8,
            };
        }
        (each * gated().count() as u64, usage)
    }

    /// Probes the canaries at the `selected` positions of the manifest and judges them. Answers in the journal are not
    /// requested again.
    ///
    /// # Errors
    /// When an answer cannot be saved or read back; saved answers stay in the journal.
    pub async fn run(
        &self,
        selected: &[usize],
        provider: Arc<dyn Provider>,
        journal: Arc<Journal>,
        progress: Progress,
    ) -> Result<RunReport, JournalError> {
        let begin = Instant::now();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        self.tell_beginning(selected, &journal, &progress)?;
        // Few canaries send several requests at once, many send one each. An early stop wastes at most one window.
        let window = (self.options.concurrency / selected.len().max(1)).clamp(1, 64) as u64;
        let shared = Arc::new(Shared::new(self, Arc::clone(&provider), journal, progress, window));
        let mut tasks = JoinSet::new();
        for &index in selected {
            let (test, size) = self.tests[index];
            let places = (self.space_of[index], self.template_of[index]);
            tasks.spawn(Task::new(index, places, test, size, self.sieve(index), &shared).run());
        }
        let mut probed = Vec::with_capacity(selected.len());
        while let Some(done) = tasks.join_next().await {
            probed.push(done.expect("a probing task neither panics nor is aborted")?);
        }
        probed.sort_by_key(|p| p.canary);
        let strangers = self.strangers(&probed, &shared)?;
        let settings = self.settings(provider.as_ref());
        let evidence: Vec<_> = probed.into_iter().map(|p| (p.canary, p.evidence)).collect();
        let mut report = judge(
            &self.design,
            &self.entries,
            &evidence,
            &strangers,
            &self.tests,
            settings,
            self.options.claim.as_ref(),
        );
        report.started = started;
        report.seconds = begin.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Reports the plan, and the answers that exist already.
    fn tell_beginning(&self, selected: &[usize], journal: &Journal, progress: &Progress) -> Result<(), JournalError> {
        progress(Event::Planned(self.design.samples * selected.len() as u64));
        let small = selected.iter().filter(|i| self.tests[**i].0 == Test::CountRank).count();
        if small > 0 {
            progress(Event::SmallSpace(small));
        }
        if let Some(scoring) = self.scoring.filter(|s| s.rank_share == 0.0) {
            progress(Event::RankDisplayed { references: scoring.references, needed: scoring.needed });
        }
        if let Some(resumed) = journal.resumed() {
            // The streams of discarded responses hold notes, not answers.
            let is_answer =
                |(stream, _): &&(usize, u64)| stream / self.entries.len().max(1) != Lane::Discarded as usize;
            let requests = journal.answered()?.iter().filter(is_answer).count() as u64;
            if requests > 0 {
                progress(Event::Resumed(Resumed { requests, ..resumed }));
            }
        }
        if journal.forgotten() > 0 {
            progress(Event::Forgotten(journal.forgotten()));
        }
        Ok(())
    }

    /// Settings of the run for its report.
    fn settings(&self, provider: &dyn Provider) -> Settings {
        Settings {
            model: provider.model().to_owned(),
            address: provider.address(),
            sampling: self.options.sampling,
            strategies: self.script.names(),
            samples: self.design.samples,
            policy: self.options.policy,
            detectors: self.options.detectors.clone(),
            scoring: self.scoring,
            halves: self.halves.is_some(),
            mock: self.options.mock,
            rows_checked: self.options.rows_checked,
            served_model: provider
                .served()
                .filter(|served| served != provider.model())
                .map(|served| self.redact(served)),
            sweep: self.options.sweep,
            planted: self.design.planted,
            canaries: self.entries.len(),
            whole: self.options.whole,
            controls: self.entries.iter().filter(|entry| self.options.sensitivity.includes(entry)).count(),
            config: self.options.config.clone(),
        }
    }

    /// Returns a name from the server for reports, withheld if it may hold a canary's secret.
    fn redact(&self, name: String) -> String {
        if self.searcher.may_hold(&name) { "[withheld: it quotes a canary's secret]".into() } else { name }
    }
}

/// Number of planted canaries in the gate: all but the positive controls.
fn gated(entries: &[Entry], controls: PositiveControls) -> Result<usize, DesignError> {
    let all = entries.iter().filter(|e| e.arm == Arm::Planted).count();
    let positive = entries.iter().filter(|e| controls.includes(e)).count();
    let gated = all - positive;
    if controls.required && controls.copies == 0 {
        return Err(DesignError::NoPositive);
    }
    if controls.copies > 0 && (gated == 0 || positive == 0) {
        return Err(DesignError::Sensitivity { copies: controls.copies, gated, positive });
    }
    Ok(gated)
}

/// Distinct spaces of secrets, and the index of the space for each canary.
fn spaces(drawn: &Drawn, synonyms: &Synonyms) -> (Vec<Candidates>, Vec<usize>) {
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut spaces = Vec::new();
    let of_canary = drawn.canaries.iter().map(|canary| {
        let space = drawn.templates[canary.template].secret_space();
        *known.entry(space.name()).or_insert_with(|| {
            spaces.push(Candidates::new(space).with_synonyms(synonyms.clone()));
            spaces.len() - 1
        })
    });
    let of_canary = of_canary.collect();
    (spaces, of_canary)
}
