//! Searches discarded responses for the secret of the canary that was asked about.
//!
//! A hit is noted in the journal before the question is asked again. So no answer of the retry is on disk without the
//! note, and a resumed run knows the hit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Journal, JournalError};
use blabbermouth_core::detect::{Approximate, Candidates, Searcher};
use blabbermouth_core::verdict::{DiscardedEvidence, Test};
use blabbermouth_provider::{DiscardSink, Discarded, texts};

/// Searches discarded responses about one canary.
pub(crate) struct DiscardScanner {
    pub(super) searcher: Arc<Searcher>,
    pub(super) near: Arc<Vec<Approximate>>,
    pub(super) spaces: Arc<Vec<Candidates>>,
    pub(super) space: usize,
    pub(super) canary: usize,
    pub(super) test: Test,
    /// Journal stream id of the notes.
    pub(super) lane: usize,
    pub(super) kept: Mutex<Kept>,
}

/// Results so far. Each note holds all of them, so the last one counts.
#[derive(Default)]
pub(super) struct Kept {
    parts: DiscardedEvidence,
    notes: u64,
    /// Journal entry of the last note.
    newest: i64,
}

impl DiscardScanner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the last note of an earlier process from the journal. If a later note cannot be read, the canary cannot be
    /// clean.
    pub(crate) fn resume(&self, journal: &Journal) -> Result<(), JournalError> {
        let entries = journal.entries(self.lane);
        let mut kept = self.kept();
        kept.notes = entries.end();
        let mut is_lost = false;
        for number in (0..entries.end()).rev() {
            let Some(entry) = entries.get(number) else { continue };
            let note: Option<DiscardedEvidence> = match journal.recall(self.lane, number, entry) {
                Ok(bytes) => serde_json::from_slice(&bytes).ok(),
                Err(JournalError::Entry) => None,
                Err(error) => return Err(error),
            };
            if let Some(parts) = note {
                kept.parts = parts;
                break;
            }
            is_lost = true;
        }
        if is_lost {
            kept.parts.lose();
        }
        Ok(())
    }

    /// Replay answers that failed tries asked for so far, without tries at a busy server.
    pub(super) fn failed(&self) -> u64 {
        self.kept().parts.failed()
    }

    /// Searches a discarded response. Returns the journal entry of the last note.
    pub(crate) fn see(&self, journal: &Journal, bytes: &[u8]) -> i64 {
        self.see_try(journal, Discarded { bytes, withheld: true }, 0)
    }

    /// Same as [`DiscardScanner::see`], and counts the `answers` replay answers that the discarded try asked for.
    pub(crate) fn see_try(&self, journal: &Journal, discarded: Discarded<'_>, answers: u64) -> i64 {
        let (texts, near) = (texts(discarded.bytes), self.near.get(self.canary));
        let mut kept = self.kept();
        kept.parts.fail(answers, discarded.withheld);
        let own = (self.canary, self.test);
        let is_found = !texts.is_empty() && kept.parts.add(&texts, own, &self.searcher, near, &self.spaces[self.space]);
        if is_found || answers > 0 {
            self.note(journal, &mut kept);
        }
        kept.newest
    }

    /// Notes a discarded response to the first half of the secret that holds the second half.
    pub(super) fn reveal(&self, journal: &Journal, p_value: f64) {
        let mut kept = self.kept();
        kept.parts.reveal(p_value);
        self.note(journal, &mut kept);
    }

    fn note(&self, journal: &Journal, kept: &mut Kept) {
        let bytes = serde_json::to_vec(&kept.parts).expect("plain data");
        // If nothing can be recorded any more, no answer can be either, and the run ends.
        if let Ok(entry) = journal.record(self.lane, kept.notes, &bytes) {
            kept.notes += 1;
            kept.newest = entry;
        }
    }

    /// Callback for discarded tries of requests for `answers` replay answers each; 0 for other questions.
    pub(super) fn watch(self: &Arc<Self>, journal: &Arc<Journal>, answers: u64) -> DiscardSink {
        let (sieve, journal) = (Arc::clone(self), Arc::clone(journal));
        DiscardSink::new(move |discarded| {
            sieve.see_try(&journal, discarded, answers);
        })
    }

    /// Results, once they are on disk.
    pub(super) async fn found(&self, journal: &Journal) -> Result<DiscardedEvidence, JournalError> {
        let (parts, newest) = {
            let kept = self.kept();
            (kept.parts.clone(), kept.newest)
        };
        journal.flush(newest).await?;
        Ok(parts)
    }
}
