//! What all probing tasks of a run share: what answers are searched with, who answers, and the journal.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::agreement::Agreement;
use super::pooled::Pooled;
use super::prefix_half::Halves;
use super::question_plan::QuestionPlan;
use super::score::Scorer;
use super::task::Probed;
use super::{PreparedRun, Progress};
use crate::store::{Entries, Journal, JournalError};
use blabbermouth_core::canary::Signature;
use blabbermouth_core::chat::Sampling;
use blabbermouth_core::detect::{Approximate, Candidates, Carrier, Searcher};
use blabbermouth_core::verdict::{AlphaSplit, Detectors, TestDesign};
use blabbermouth_provider::{Answer, Provider, ProviderError, Request};

/// Canaries that one process holds claims on at a time: each is an open file.
const CLAIMS: usize = 256;

/// Which of a canary's answers: each kind is journaled for itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Scores of its secret.
    Scores = 1,
    /// Said with half of its secret given away.
    Halves = 2,
    /// Notes of tries that were discarded.
    Discarded = 3,
    /// Said to the chosen strategies beside the training prompt, and to the sweep.
    Search = 4,
}

/// The kinds of answers of a canary.
pub(super) const LANES: usize = 5;

/// The names under which the journal has the answers of these canaries, of so many in the manifest.
pub fn journaled(selected: &[usize], canaries: usize) -> Vec<usize> {
    selected.iter().flat_map(|index| (0..LANES).map(move |lane| lane * canaries + index)).collect()
}

/// What all tasks of a run share.
pub(super) struct Shared {
    searcher: Arc<Searcher>,
    pub(super) script: Arc<QuestionPlan>,
    pub(super) near: Arc<Vec<Approximate>>,
    pub(super) spaces: Arc<Vec<Candidates>>,
    public: Arc<Vec<HashSet<String>>>,
    carriers: Arc<Vec<Carrier>>,
    pub(super) signatures: Arc<Vec<Option<Signature>>>,
    pub(super) pooled: Arc<Pooled>,
    pub(super) agreement: Arc<Agreement>,
    pub(super) shares: AlphaSplit,
    /// For each canary, whether held-out secrets of its template are values of planted ones.
    pub(super) matched: Vec<bool>,
    pub(super) halves: Option<Arc<Halves>>,
    pub(super) scorer: Option<Arc<Scorer>>,
    canaries: usize,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Progress,
    /// Requests in flight.
    pub(super) permits: Arc<Semaphore>,
    pub(super) claims: Semaphore,
    pub(super) stopped: AtomicBool,
    pub(super) sampling: Sampling,
    pub(super) choices: u32,
    /// Draws for each canary.
    pub(super) samples: u64,
    pub(super) design: TestDesign,
    pub(super) threshold: f64,
    pub(super) window: u64,
}

impl Shared {
    pub(super) fn new(
        audit: &PreparedRun,
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
            carriers: Arc::clone(&audit.carriers),
            signatures: Arc::clone(&audit.signatures),
            pooled: Arc::clone(&audit.pooled),
            agreement: Arc::clone(&audit.agreement),
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
            design: audit.design.clone(),
            threshold: audit.design.threshold(),
            window,
        }
    }

    /// The name under which the journal has answers of that kind.
    /// The seed of a request.
    pub(super) fn seed(&self, stream: usize, number: u64) -> u32 {
        seed(stream, number, LANES * self.canaries)
    }

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
            return Err(ProviderError::Aborted.into());
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

    /// What the answers to a canary are searched with.
    pub(super) fn lens(&self, (canary, space, template): (usize, usize, usize)) -> Detectors<'_> {
        Detectors {
            searcher: &self.searcher,
            near: self.near.get(canary),
            space: &self.spaces[space],
            public: &self.public[template],
            carrier: &self.carriers[template],
            signature: self.signatures[template].as_ref(),
            decoy: self.script.decoys()[template].as_ref(),
        }
    }

    /// Requests of the chosen strategies beside the training prompt.
    pub(super) fn searches(&self) -> u64 {
        self.samples.div_ceil(u64::from(self.choices))
    }

    /// Reads the judged answers of a canary again, in the order of the samples from 1, until `visit`
    /// says that it has enough.
    pub(super) fn replay(&self, probed: &Probed, visit: impl FnMut(u64, &str) -> bool) -> Result<(), JournalError> {
        self.read(&probed.read, probed.template, visit)
    }

    /// The same for the answers to a canary of a template.
    pub(super) fn read(
        &self,
        read: &[Read; 2],
        template: usize,
        mut visit: impl FnMut(u64, &str) -> bool,
    ) -> Result<(), JournalError> {
        let mut before = 0;
        for Read { lane, entries, requests, answers } in read {
            let mut sample = 0;
            for number in 0..*requests {
                // A request that failed has no answer.
                let Some(entry) = entries.get(number) else { continue };
                for completion in self.recall(*lane, number, entry)?.completions {
                    if sample == *answers {
                        break;
                    }
                    sample += 1;
                    let reading = self.carriers[template].reading(completion.everything(), &completion.text);
                    if !visit(before + sample, &reading.said) {
                        return Ok(());
                    }
                }
            }
            // An answer that was judged is gone: a rank without it would be too low.
            if sample < *answers {
                return Err(JournalError::Entry);
            }
            before += sample;
        }
        Ok(())
    }
}

/// The answers of one kind that were judged, and where they are.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The journal's stream.
    pub(super) lane: usize,
    pub(super) entries: Entries,
    /// Requests that were made, answered or not.
    pub(super) requests: u64,
    /// Answers that were judged.
    pub(super) answers: u64,
}

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

/// The seed of a request: the requests of all `streams` are numbered in turn, so that no two of a run share one as long as
/// there are fewer than 2^31.
pub(super) fn seed(stream: usize, number: u64, streams: usize) -> u32 {
    (number.wrapping_mul(streams as u64).wrapping_add(stream as u64) & 0x7fff_ffff) as u32
}

pub(super) async fn permit(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_share_a_seed() {
        let streams = LANES * 3;
        let mut seeds: Vec<u32> = Vec::new();
        for number in (0..20_000).chain([1 << 14, 1 << 20]) {
            seeds.extend((0..streams).map(|stream| seed(stream, number, streams)));
        }
        seeds.sort_unstable();
        seeds.dedup();
        // The number 2^14 is there twice.
        assert_eq!(seeds.len(), streams * 20_001);
    }
}
