//! The probing of one canary.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::broken::Sieve;
use super::half::Halves;
use super::score::Scorer;
use super::script::{Asked, Plan, Script};
use super::{Audit, Event, Progress};
use crate::chat::Sampling;
use crate::detect::{Approximate, Candidates, Searcher};
use crate::provider::{Answer, Broken, Provider, ProviderError, Request};
use crate::store::{Entries, Journal, JournalError};
use crate::verdict::{Evidence, Lens, Shares, Tally, Test};

/// Canaries that one process holds claims on at a time: each is an open file.
const CLAIMS: usize = 256;

/// Which of a canary's answers: each kind is journaled for itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Scores of its secret.
    Scores = 1,
    /// Said with half of its secret given away.
    Halves = 2,
    /// Notes of what was thrown away.
    Broken = 3,
}

/// The kinds of answers of a canary.
const LANES: usize = 4;

/// The names under which the journal has the answers of these canaries, of so many in the manifest.
pub fn journaled(selected: &[usize], canaries: usize) -> Vec<usize> {
    selected.iter().flat_map(|index| (0..LANES).map(move |lane| lane * canaries + index)).collect()
}

/// What all tasks of a run share.
pub(super) struct Shared {
    searcher: Arc<Searcher>,
    script: Arc<Script>,
    near: Arc<Vec<Approximate>>,
    spaces: Arc<Vec<Candidates>>,
    public: Arc<Vec<HashSet<String>>>,
    pub(super) shares: Shares,
    /// For each canary, whether held-out secrets of its template are values of planted ones.
    matched: Vec<bool>,
    pub(super) halves: Option<Arc<Halves>>,
    pub(super) scorer: Option<Arc<Scorer>>,
    canaries: usize,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) journal: Arc<Journal>,
    progress: Progress,
    /// Requests in flight.
    pub(super) permits: Arc<Semaphore>,
    claims: Semaphore,
    pub(super) stopped: AtomicBool,
    pub(super) sampling: Sampling,
    pub(super) choices: u32,
    pub(super) samples: u64,
    pub(super) threshold: f64,
    pub(super) window: u64,
}

impl Shared {
    pub(super) fn new(
        audit: &Audit,
        provider: Arc<dyn Provider>,
        journal: Arc<Journal>,
        progress: Progress,
        window: u64,
    ) -> Self {
        Self {
            searcher: Arc::clone(&audit.searcher),
            script: Arc::clone(&audit.script),
            near: Arc::clone(&audit.near),
            spaces: Arc::clone(&audit.spaces),
            public: Arc::clone(&audit.public),
            shares: audit.design.shares,
            matched: audit.entries.iter().map(|entry| audit.design.is_matched(entry)).collect(),
            halves: audit.halves.clone(),
            scorer: audit.scorer.clone(),
            canaries: audit.entries.len(),
            provider,
            journal,
            progress,
            permits: Arc::new(Semaphore::new(audit.options.concurrency.max(1))),
            claims: Semaphore::new(CLAIMS),
            stopped: AtomicBool::new(false),
            sampling: audit.options.sampling,
            choices: audit.options.choices.max(1),
            samples: audit.design.samples,
            threshold: audit.design.threshold(),
            window,
        }
    }

    /// The name under which the journal has answers of that kind.
    pub(super) fn lane(&self, lane: Lane, canary: usize) -> usize {
        lane as usize * self.canaries + canary
    }

    /// Asks, unless the journal has the answer in `entry`; the answer is in the entry that is returned,
    /// once the journal was flushed.
    pub(super) async fn ask(
        &self,
        canary: usize,
        number: u64,
        entry: Option<i64>,
        request: Request,
    ) -> Result<(i64, Answer), Fault> {
        if let Some(entry) = entry {
            match self.recall(canary, number, entry) {
                Ok(answer) => return Ok((entry, answer)),
                // A damaged entry is lost; the others are not.
                Err(JournalError::Entry) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ProviderError::Setup("not asked: an earlier request failed for good".into()).into());
        }
        let answer = self.provider.complete(&request).await?;
        let answers = answer.completions.len() as u64;
        let entry = self.journal.record_paid(canary, number, &answer.pack(), answers, answer.usage)?;
        Ok((entry, answer))
    }

    fn recall(&self, canary: usize, number: u64, entry: i64) -> Result<Answer, JournalError> {
        let bytes = self.journal.recall(canary, number, entry)?;
        Answer::unpack(&bytes).ok_or(JournalError::Entry)
    }

    /// Reads the judged answers of a canary again, in the order of the samples from 1, until `visit`
    /// says that it has enough.
    pub(super) fn replay(&self, probed: &Probed, visit: impl FnMut(u64, &str) -> bool) -> Result<(), JournalError> {
        self.read(probed.canary, &probed.entries, probed.requests, probed.evidence.asked, visit)
    }

    fn read(
        &self,
        canary: usize,
        entries: &Entries,
        requests: u64,
        samples: u64,
        mut visit: impl FnMut(u64, &str) -> bool,
    ) -> Result<(), JournalError> {
        let mut sample = 0;
        for number in 0..requests {
            // A request that failed has no answer.
            let Some(entry) = entries.get(number) else { continue };
            for completion in self.recall(canary, number, entry)?.completions {
                if sample == samples {
                    return Ok(());
                }
                sample += 1;
                if !visit(sample, &completion.text) {
                    return Ok(());
                }
            }
        }
        // An answer that was judged is gone: a rank without it would be too low.
        if sample < samples { Err(JournalError::Entry) } else { Ok(()) }
    }
}

/// Answers of a canary that may be on their way to the disk while it is asked on.
const UNFLUSHED: u32 = 32;

/// Why a request has no answer that counts.
pub(super) enum Fault {
    Provider(ProviderError),
    Journal(JournalError),
}

impl From<ProviderError> for Fault {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// A canary whose probing has ended.
#[derive(Debug)]
pub struct Probed {
    /// Its position in the manifest.
    pub canary: usize,
    /// What was found.
    pub evidence: Evidence,
    /// Requests that were made for it, answered or not.
    pub requests: u64,
    /// Where their answers are.
    pub entries: Entries,
}

/// What was judged and may not be on disk yet.
#[derive(Default)]
struct Unflushed {
    /// Kept from one request to the next until a flush: handing it on each time would wake another
    /// task for every answer.
    permit: Option<OwnedSemaphorePermit>,
    newest: i64,
    /// How many answers; a long one counts for several.
    count: u32,
}

impl Unflushed {
    /// Waits until all of it is on disk.
    async fn flush(&mut self, journal: &Journal) -> Result<(), JournalError> {
        let Self { newest, .. } = std::mem::take(self);
        journal.flush(newest).await
    }
}

pub(super) struct Task {
    pub(super) index: usize,
    space: usize,
    template: usize,
    size: f64,
    pub(super) evidence: Evidence,
    requests: u64,
    /// Answers that are in no part of a sharded run: no fault of the provider's, but no evidence either.
    missing: u64,
    entries: Entries,
    unflushed: Unflushed,
    pub(super) sieve: Arc<Sieve>,
    /// Who sees what is thrown away.
    broken: Broken,
    pub(super) shared: Arc<Shared>,
}

impl Task {
    pub(super) fn new(
        index: usize,
        (space, template): (usize, usize),
        test: Test,
        size: f64,
        sieve: Sieve,
        shared: &Arc<Shared>,
    ) -> Self {
        let sieve = Arc::new(sieve);
        let evidence = Evidence::new(index, test, size, shared.shares).matched(shared.matched[index]);
        Self {
            index,
            space,
            template,
            size,
            evidence,
            requests: 0,
            missing: 0,
            entries: Entries::default(),
            unflushed: Unflushed::default(),
            broken: sieve.watch(&shared.journal),
            sieve,
            shared: Arc::clone(shared),
        }
    }

    pub(super) async fn run(mut self) -> Result<Probed, JournalError> {
        let shared = Arc::clone(&self.shared);
        let _turn = shared.claims.acquire().await.expect("the semaphore is never closed");
        let mut claim = shared.journal.claim(self.index).await?;
        self.entries = std::mem::take(&mut claim.entries);
        self.sieve.resume(&shared.journal)?;
        let mut plan = shared.script.plan(self.index);
        while self.left() > 0 && self.evidence.error.is_none() {
            let before = self.evidence.asked;
            if let Err(fault) = self.wave(&mut plan).await {
                self.end_early(fault)?;
            }
            (shared.progress)(Event::Samples(self.evidence.asked - before));
            if self.evidence.is_decided(shared.threshold) {
                break;
            }
        }
        // Nothing is made of answers that are not on disk.
        self.unflushed.flush(&shared.journal).await?;
        (shared.progress)(Event::Samples(shared.samples.saturating_sub(self.evidence.asked)));
        self.evidence.finish();
        self.reveal().await?;
        self.score().await?;
        self.evidence.broken = self.sieve.found(&shared.journal).await?;
        Ok(Probed { canary: self.index, evidence: self.evidence, requests: self.requests, entries: self.entries })
    }

    /// Notes why the canary is not asked on; nobody is, where the run cannot go on.
    pub(super) fn end_early(&mut self, fault: Fault) -> Result<(), JournalError> {
        let stopped = &self.shared.stopped;
        match fault {
            Fault::Provider(error) => {
                stopped.fetch_or(error.is_fatal(), Ordering::Relaxed);
                self.evidence.error = Some(error.to_string());
                Ok(())
            }
            Fault::Journal(error) => {
                stopped.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Samples that were not tried yet.
    fn left(&self) -> u64 {
        self.shared.samples.saturating_sub(self.evidence.asked + self.missing)
    }

    /// Asks for the next few samples at once, and judges them in their order.
    async fn wave(&mut self, plan: &mut Plan) -> Result<(), Fault> {
        let left = self.left();
        let choices = u64::from(self.shared.choices).min(left);
        // The first request goes alone: a canary that leaks at once costs one request.
        let width = if self.requests == 0 { 1 } else { self.shared.window.min(left.div_ceil(choices)) };
        let first = self.requests;
        let mut request = |number| plan.request(self.index, number, choices, self.shared.sampling);
        let head = request(first);
        let width = width.min(plan.end(first) - first);
        self.requests += width;
        if width == 1 {
            let (asked, mut request) = head;
            request.broken = self.broken.clone();
            if self.unflushed.permit.is_none() {
                self.unflushed.permit = Some(permit(&self.shared.permits).await);
            }
            let answer = self.shared.ask(self.index, first, self.entries.get(first), request).await;
            return self.judge(first, choices, asked, plan, answer).await;
        }
        self.unflushed.permit = None;
        let mut flight = JoinSet::new();
        for number in first..self.requests {
            let (shared, canary) = (Arc::clone(&self.shared), self.index);
            let (asked, mut request) = plan.request(canary, number, choices, shared.sampling);
            request.broken = self.broken.clone();
            let entry = self.entries.get(number);
            flight.spawn(async move {
                let _permit = permit(&shared.permits).await;
                (number, asked, shared.ask(canary, number, entry, request).await)
            });
        }
        let mut answers = Vec::with_capacity(width as usize);
        while let Some(done) = flight.join_next().await {
            answers.push(done.expect("a request neither panics nor is aborted"));
        }
        answers.sort_by_key(|(number, ..)| *number);
        // One failed request does not throw away the answers beside it: they were paid for, and one
        // of them may hold the secret.
        let mut outcome = Ok(());
        for (number, asked, answer) in answers {
            outcome = outcome.and(self.judge(number, choices, asked, plan, answer).await);
        }
        outcome
    }

    async fn judge(
        &mut self,
        number: u64,
        choices: u64,
        asked: Asked,
        plan: &mut Plan,
        answer: Result<(i64, Answer), Fault>,
    ) -> Result<(), Fault> {
        let (entry, answer) = match answer {
            // What comes after the gap may hold the secret.
            Err(Fault::Provider(ProviderError::NoPart)) => {
                self.missing += choices;
                return Ok(());
            }
            answer => answer?,
        };
        self.entries.insert(number, entry);
        let bytes: usize = answer.completions.iter().map(|c| c.text.len()).sum();
        let (shared, unflushed) = (&*self.shared, &mut self.unflushed);
        unflushed.newest = unflushed.newest.max(entry);
        // What waits for the disk stays below about a mebibyte.
        unflushed.count += 1 + (bytes >> 15) as u32;
        // Silence may wait for its commit; what is found waits at once.
        if unflushed.count >= UNFLUSHED {
            unflushed.flush(&shared.journal).await?;
        }
        let (near, space) = (shared.near.get(self.index), &shared.spaces[self.space]);
        let lens = Lens { searcher: &shared.searcher, near, space, public: &shared.public[self.template] };
        self.evidence.usage += answer.usage;
        for completion in &answer.completions {
            if self.evidence.asked >= shared.samples || self.evidence.is_decided(shared.threshold) {
                break;
            }
            self.evidence.push(completion, asked.strategy, lens);
            if plan.is_adaptive() {
                plan.note(asked, space.is_formed(&completion.text));
            }
            if let Some(tier) = self.evidence.unranked() {
                unflushed.flush(&shared.journal).await?;
                let (mut tally, share, size) = (Tally::new(tier), shared.shares.of(tier), self.size);
                let mut p_value = 1.0;
                shared.read(self.index, &self.entries, number + 1, self.evidence.asked, |_, text| {
                    tally.add(text, space, near);
                    p_value = tally.p_value(size);
                    // From here on it says nothing, whatever is still counted.
                    p_value < share
                })?;
                self.evidence.rank(tier, if p_value < share { p_value } else { 1.0 });
            }
        }
        Ok(())
    }
}

pub(super) async fn permit(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
}

/// A seed of its own for every request of a run.
pub(super) fn seed(canary: usize, request: u64) -> u32 {
    ((canary as u32) << 14 ^ request as u32) & 0x7fff_ffff
}
