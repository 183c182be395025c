//! Probes one canary.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::Event;
use super::discarded::DiscardScanner;
use super::question_plan::{Plan, Prepared};
use super::shared::{Fault, Lane, Read, Shared, permit};
use crate::store::{Journal, JournalError};
use blabbermouth_core::chat::Finish;
use blabbermouth_core::detect::Tier;
use blabbermouth_core::verdict::{Evidence, GuessCounter, Purpose, Test, hash};
use blabbermouth_provider::{Answer, DiscardSink, ProviderError};

/// Judged answers about a canary that may wait for the disk while probing continues; a long answer counts for several.
const UNFLUSHED: u32 = 32;

/// A canary whose probing has ended.
#[derive(Debug)]
pub struct Probed {
    /// Position in the manifest.
    pub canary: usize,
    /// Evidence from its answers.
    pub evidence: Evidence,
    /// Index of its template.
    pub(super) template: usize,
    /// Judged answers: to the training prompt, then to all other questions.
    pub(super) read: [Read; 2],
}

/// Answers that are judged and may not be on disk yet.
#[derive(Default)]
struct Unflushed {
    /// Kept from one request to the next until a flush: returning it each time would wake another task for every
    /// answer.
    permit: Option<OwnedSemaphorePermit>,
    newest: i64,
    /// Number of answers; a long one counts for several.
    count: u32,
}

impl Unflushed {
    /// Waits until all of them are on disk.
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
    /// Replay answers that no part of a sharded recording has: no fault of the provider, but no evidence either.
    missing: u64,
    read: [Read; 2],
    unflushed: Unflushed,
    pub(super) sieve: Arc<DiscardScanner>,
    pub(super) shared: Arc<Shared>,
}

/// The two sequences of answers about a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    Replay = 0,
    Others = 1,
}

/// A completed request: its number, its question, and the journal entry with the answer.
type Flight = (u64, Prepared, Result<(i64, Answer), Fault>);

impl Task {
    pub(super) fn new(
        index: usize,
        (space, template): (usize, usize),
        test: Test,
        size: f64,
        sieve: DiscardScanner,
        shared: &Arc<Shared>,
    ) -> Self {
        let evidence = Evidence::new(index, test, size, shared.shares)
            .matched(shared.matched[index])
            .disguised(shared.design.ranks_disguised(size));
        Self {
            index,
            space,
            template,
            size,
            evidence,
            missing: 0,
            read: Default::default(),
            unflushed: Unflushed::default(),
            sieve: Arc::new(sieve),
            shared: Arc::clone(shared),
        }
    }

    pub(super) async fn run(mut self) -> Result<Probed, JournalError> {
        let shared = Arc::clone(&self.shared);
        let _turn = shared.claims.acquire().await.expect("the semaphore is never closed");
        self.sieve.resume(&shared.journal)?;
        let mut plan = shared.script.plan(self.index);
        self.ask_replay(&plan).await?;
        self.ask_others(&mut plan).await?;
        self.evidence.finish();
        self.reveal().await?;
        self.score().await?;
        self.evidence.broken = self.sieve.found(&shared.journal).await?;
        Ok(Probed { canary: self.index, evidence: self.evidence, template: self.template, read: self.read })
    }

    /// Records why probing of the canary ends. If the run cannot go on, all canaries end.
    pub(super) fn end_early(&mut self, fault: Fault) -> Result<(), JournalError> {
        let stopped = &self.shared.stopped;
        match fault {
            Fault::Provider(error) => {
                stopped.fetch_or(error.is_fatal(), Ordering::Relaxed);
                self.evidence.aborted = error == ProviderError::Aborted;
                self.evidence.error = Some(error.to_string());
                Ok(())
            }
            Fault::Journal(error) => {
                stopped.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn is_over(&self) -> bool {
        self.evidence.error.is_some() || self.evidence.is_decided(self.shared.threshold)
    }

    /// Asks the training prompt until enough answers count, the canary is known to leak, or an error ends it.
    async fn ask_replay(&mut self, plan: &Plan) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let lane = self.index;
        let mut claim = shared.journal.claim(lane).await?;
        self.read[0] = Read { lane, entries: std::mem::take(&mut claim.entries), ..Read::default() };
        let mut told = 0;
        while let Some(left) = Some(self.left()).filter(|left| *left > 0 && !self.is_over()) {
            let choices = u64::from(shared.choices).min(left);
            let Some(prepared) = plan.replay(choices, shared.sampling) else { break };
            // The first request goes alone: a canary that leaks at once costs one request.
            let width = if self.read[0].requests == 0 { 1 } else { shared.window.min(left.div_ceil(choices)) };
            let requests = (0..width).map(|_| prepared.clone()).collect();
            let broken = self.sieve.watch(&shared.journal, choices);
            if let Err(fault) = self.wave(Sequence::Replay, requests, &broken, None).await {
                self.end_early(fault)?;
            }
            let now = self.evidence.form.eligible().min(shared.samples);
            (shared.progress)(Event::Samples(now - told));
            told = now;
        }
        (shared.progress)(Event::Samples(shared.samples - told));
        // The next process that claims the canary must see every answer.
        self.unflushed.flush(&shared.journal).await
    }

    /// Number of replay answers that are still to be asked for.
    fn left(&self) -> u64 {
        let uncounted = self.evidence.uncounted.total() + self.sieve.failed();
        self.shared.design.left(&self.evidence.form, uncounted, self.missing)
    }

    /// Asks the chosen strategies other than replay, and the sweep.
    async fn ask_others(&mut self, plan: &mut Plan) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        // In a small space leaks show in counts, and the few answers of a sweep give none.
        let sweeps = self.evidence.test() == Test::GuessNumber;
        let sweep = if sweeps { plan.sweep(u64::from(shared.choices), shared.sampling) } else { Vec::new() };
        if self.is_over() || (!plan.searches() && sweep.is_empty()) {
            return Ok(());
        }
        let lane = shared.lane(Lane::Search, self.index);
        let mut claim = shared.journal.claim(lane).await?;
        self.read[1] = Read { lane, entries: std::mem::take(&mut claim.entries), ..Read::default() };
        let broken = self.sieve.watch(&shared.journal, 0);
        if plan.searches() {
            self.search(plan, &broken).await?;
        }
        let mut sweep = sweep.into_iter().peekable();
        // The sweep is numbered after all searches, whether or not all of these were needed.
        self.read[1].requests = if plan.searches() { shared.searches() } else { 0 };
        while sweep.peek().is_some() && !self.is_over() {
            let requests: Vec<Prepared> = sweep.by_ref().take(shared.window as usize).collect();
            if let Err(fault) = self.wave(Sequence::Others, requests, &broken, None).await {
                self.end_early(fault)?;
            }
        }
        self.unflushed.flush(&shared.journal).await
    }

    /// Asks the chosen strategies for as many answers as there are samples.
    async fn search(&mut self, plan: &mut Plan, broken: &DiscardSink) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let (mut number, mut asked) = (0, 0);
        while asked < shared.samples && !self.is_over() {
            let left = shared.samples - asked;
            let choices = u64::from(shared.choices).min(left);
            let width = shared.window.min(left.div_ceil(choices)).min(plan.end(number) - number);
            let requests: Vec<Prepared> =
                (number..number + width).map(|number| plan.search(number, choices, shared.sampling)).collect();
            number += width;
            asked += width * choices;
            if let Err(fault) = self.wave(Sequence::Others, requests, broken, Some(plan)).await {
                self.end_early(fault)?;
            }
        }
        Ok(())
    }

    /// Sends the next requests of a sequence at once, and judges their answers in order.
    async fn wave(
        &mut self,
        sequence: Sequence,
        requests: Vec<Prepared>,
        broken: &DiscardSink,
        mut plan: Option<&mut Plan>,
    ) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let read = &mut self.read[sequence as usize];
        let (lane, first) = (read.lane, read.requests);
        read.requests += requests.len() as u64;
        if let [prepared] = requests.as_slice() {
            let request = prepared.request(shared.seed(lane, first), broken.clone());
            if self.unflushed.permit.is_none() {
                self.unflushed.permit = Some(permit(&shared.permits).await);
            }
            let entry = self.read[sequence as usize].entries.get(first);
            let answer = shared.ask(lane, first, entry, request).await;
            return self.judge(sequence, (first, prepared.clone(), answer), plan).await;
        }
        self.unflushed.permit = None;
        let mut flight = JoinSet::new();
        for (number, prepared) in (first..).zip(requests) {
            let shared = Arc::clone(&shared);
            let request = prepared.request(shared.seed(lane, number), broken.clone());
            let entry = self.read[sequence as usize].entries.get(number);
            flight.spawn(async move {
                let _permit = permit(&shared.permits).await;
                (number, prepared, shared.ask(lane, number, entry, request).await)
            });
        }
        let mut answers: Vec<Flight> = Vec::new();
        while let Some(done) = flight.join_next().await {
            answers.push(done.expect("a request neither panics nor is aborted"));
        }
        answers.sort_by_key(|(number, ..)| *number);
        // One failed request does not discard the answers beside it: they were paid for, and one of them may hold the
        // secret.
        let mut outcome = Ok(());
        for answer in answers {
            outcome = outcome.and(self.judge(sequence, answer, plan.as_deref_mut()).await);
        }
        outcome
    }

    async fn judge(
        &mut self,
        sequence: Sequence,
        (number, prepared, answer): Flight,
        plan: Option<&mut Plan>,
    ) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let is_replay = sequence == Sequence::Replay;
        let (entry, answer) = match answer {
            // A gap ends nothing: a later answer may hold the secret.
            Err(Fault::Provider(ProviderError::NoPart)) => {
                self.missing += if is_replay { u64::from(prepared.choices()) } else { 0 };
                self.evidence.unrecorded += u64::from(!is_replay);
                return Ok(());
            }
            // A recording without this answer is of another run, or was cut.
            Err(Fault::Provider(error @ ProviderError::Cassette { .. })) => return Err(error.into()),
            // A sweep gives no bound: its failed questions are only counted, unless no further request can succeed.
            Err(Fault::Provider(error)) if prepared.asked.purpose == Purpose::Sweep && !error.is_fatal() => {
                self.evidence.sweep_failed += 1;
                return Ok(());
            }
            answer => answer?,
        };
        self.read[sequence as usize].entries.insert(number, entry);
        let bytes: usize = answer.completions.iter().map(|c| c.text.len() + c.beside.len()).sum();
        self.unflushed.newest = self.unflushed.newest.max(entry);
        // Bounds the text that waits for the disk to about 1 MiB.
        self.unflushed.count += 1 + (bytes >> 15) as u32;
        // Answers without a hit may wait for their commit; `rank` flushes at a hit.
        if self.unflushed.count >= UNFLUSHED {
            self.unflushed.flush(&shared.journal).await?;
        }
        self.evidence.usage += answer.usage;
        let mut asked = prepared.asked;
        if is_replay {
            let texts = || answer.completions.iter().map(|completion| hash(&completion.text));
            asked.copy = self.evidence.form.is_copy(answer.id, texts());
            if answer.completions.len() > 1 {
                texts().for_each(|text| self.evidence.form.note_choice(number, text));
            }
        }
        let mut plan = plan;
        for completion in &answer.completions {
            if self.is_over() || is_replay && self.left() == 0 {
                break;
            }
            if asked.purpose == Purpose::Sweep && (completion.refused || completion.finish == Finish::Filtered) {
                self.evidence.sweep_failed += 1;
            }
            let hits = self.evidence.hits;
            let read = self.evidence.push(completion, asked, shared.lens((self.index, self.space, self.template)));
            shared.pooled.note(&read, &mut self.evidence.parts);
            // In a large space an answer with the secret is a hit of the canary's own test, and is left out here.
            let is_named = is_replay && (self.evidence.hits == hits || self.evidence.is_small());
            if let Some(value) = read.value.filter(|_| is_named) {
                shared.agreement.note((self.index, self.template), value, &mut self.evidence.features);
            }
            self.read[sequence as usize].answers += 1;
            if let Some((plan, arm)) = plan.as_deref_mut().filter(|plan| plan.is_adaptive()).zip(prepared.arm) {
                plan.note(arm, shared.spaces[self.space].is_formed(&completion.text));
            }
            if let Some(tier) = self.evidence.unranked() {
                self.rank(tier).await?;
            }
        }
        Ok(())
    }

    /// Ranks the first hit of a tier among all values that were said before it.
    async fn rank(&mut self, tier: Tier) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        self.unflushed.flush(&shared.journal).await?;
        let (near, space) = (shared.near.get(self.index), &shared.spaces[self.space]);
        let (mut tally, share, size) = (GuessCounter::new(tier), shared.shares.of(tier), self.size);
        let mut p_value = 1.0;
        shared.read(&self.read, self.template, |_, text| {
            tally.add(text, space, near);
            p_value = tally.p_value(size);
            // The p-value only grows: once it reaches the share, further answers do not matter.
            p_value < share
        })?;
        self.evidence.rank(tier, if p_value < share { p_value } else { 1.0 });
        Ok(())
    }
}
