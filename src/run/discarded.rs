//! What came of answers that are thrown away, searched for the secret of the canary that was asked about.
//!
//! Where it is in one, that is noted in the journal before the question is put again. So no answer that came in its
//! place is on disk without the note, and a run that goes on knows of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Journal, JournalError};
use blabbermouth_core::detect::{Approximate, Candidates, Searcher};
use blabbermouth_core::verdict::{DiscardedEvidence, Test};
use blabbermouth_provider::{DiscardSink, Discarded, texts};

/// Searches what is thrown away of the answers to one canary.
pub(crate) struct DiscardScanner {
    pub(super) searcher: Arc<Searcher>,
    pub(super) near: Arc<Vec<Approximate>>,
    pub(super) spaces: Arc<Vec<Candidates>>,
    pub(super) space: usize,
    pub(super) canary: usize,
    pub(super) test: Test,
    /// The name under which the journal has its notes.
    pub(super) lane: usize,
    pub(super) kept: Mutex<Kept>,
}

/// What was found so far. Each note holds all of it: the last one counts.
#[derive(Default)]
pub(super) struct Kept {
    parts: DiscardedEvidence,
    notes: u64,
    /// The entry of the last note.
    newest: i64,
}

impl DiscardScanner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what the journal has of another process.
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

    /// Replay answers whose tries failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.kept().parts.failed()
    }

    /// Searches what came of an answer; gives the entry of the last note.
    pub(crate) fn see(&self, journal: &Journal, bytes: &[u8]) -> i64 {
        self.see_try(journal, Discarded { bytes, withheld: true }, 0)
    }

    /// The same for a discarded try of so many replay answers, which is counted too.
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

    /// Notes the second half of the secret in an answer to its first one.
    pub(super) fn reveal(&self, journal: &Journal, p_value: f64) {
        let mut kept = self.kept();
        kept.parts.reveal(p_value);
        self.note(journal, &mut kept);
    }

    fn note(&self, journal: &Journal, kept: &mut Kept) {
        let bytes = serde_json::to_vec(&kept.parts).expect("plain data");
        // Where nothing can be recorded any more, no answer can be either, and the run ends.
        if let Ok(entry) = journal.record(self.lane, kept.notes, &bytes) {
            kept.notes += 1;
            kept.newest = entry;
        }
    }

    /// Sees the discarded tries of requests for so many replay answers each; 0 for other questions.
    pub(super) fn watch(self: &Arc<Self>, journal: &Arc<Journal>, answers: u64) -> DiscardSink {
        let (sieve, journal) = (Arc::clone(self), Arc::clone(journal));
        DiscardSink::new(move |discarded| {
            sieve.see_try(&journal, discarded, answers);
        })
    }

    /// What was found, once it is on disk.
    pub(super) async fn found(&self, journal: &Journal) -> Result<DiscardedEvidence, JournalError> {
        let (parts, newest) = {
            let kept = self.kept();
            (kept.parts.clone(), kept.newest)
        };
        journal.flush(newest).await?;
        Ok(parts)
    }
}
