//! State that all probing tasks of a run share: detectors, provider, journal.

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

/// Maximum number of canaries that one process probes at a time: each claim may be an open file.
const CLAIMS: usize = 256;

/// Kinds of answers about a canary, apart from replay (0). Each kind has a journal stream of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Scores of the secret.
    Scores = 1,
    /// Answers to questions with half of the secret.
    Halves = 2,
    /// Notes about discarded responses.
    Discarded = 3,
    /// Answers to the chosen strategies other than replay, and to the sweep.
    Search = 4,
}

/// Number of journal streams per canary.
pub(super) const LANES: usize = 5;

/// Journal stream ids of the selected canaries; `canaries` is the number of canaries in the manifest.
pub fn journaled(selected: &[usize], canaries: usize) -> Vec<usize> {
    selected.iter().flat_map(|index| (0..LANES).map(move |lane| lane * canaries + index)).collect()
}

/// State that all tasks of a run share.
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
    /// Per canary: whether held-out secrets of its template are values of planted ones.
    pub(super) matched: Vec<bool>,
    pub(super) halves: Option<Arc<Halves>>,
    pub(super) scorer: Option<Arc<Scorer>>,
    canaries: usize,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Progress,
    /// Limits the requests in flight.
    pub(super) permits: Arc<Semaphore>,
    pub(super) claims: Semaphore,
    pub(super) stopped: AtomicBool,
    pub(super) sampling: Sampling,
    pub(super) choices: u32,
    /// Samples per canary.
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

    /// Seed of a request.
    pub(super) fn seed(&self, stream: usize, number: u64) -> u32 {
        seed(stream, number, LANES * self.canaries)
    }

    /// Journal stream id of a kind of answers.
    pub(super) fn lane(&self, lane: Lane, canary: usize) -> usize {
        lane as usize * self.canaries + canary
    }

    /// Sends a request, unless the journal has its answer in `entry`. Returns the number of the journal entry, which is
    /// on disk only after a flush, and the answer.
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
                // A damaged entry loses only its own answer; the request is sent again.
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

    /// Detectors for the answers about a canary.
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

    /// Number of requests for the chosen strategies other than replay.
    pub(super) fn searches(&self) -> u64 {
        self.samples.div_ceil(u64::from(self.choices))
    }

    /// Reads the judged answers about a canary again, in the order of the samples from 1, until `visit` returns
    /// `false`.
    pub(super) fn replay(&self, probed: &Probed, visit: impl FnMut(u64, &str) -> bool) -> Result<(), JournalError> {
        self.read(&probed.read, probed.template, visit)
    }

    /// Same as [`Shared::replay`], for the streams in `read` of a canary with this template.
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
                // A failed request has no answer.
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
            // A judged answer is missing: a rank without it would be too low.
            if sample < *answers {
                return Err(JournalError::Entry);
            }
            before += sample;
        }
        Ok(())
    }
}

/// Judged answers of one stream, and their journal entries.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Journal stream id.
    pub(super) lane: usize,
    pub(super) entries: Entries,
    /// Requests so far, answered or not.
    pub(super) requests: u64,
    /// Number of judged answers.
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

/// Seed of a request: `number * streams + stream`, modulo 2^31. No two requests of a run share a seed as long as there
/// are fewer than 2^31.
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
        // The number 2^14 occurs twice in the chain.
        assert_eq!(seeds.len(), streams * 20_001);
    }
}
