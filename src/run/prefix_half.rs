//! Asks with the first half of the secret in the question, for the strategy `prefix-half`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::discarded::DiscardScanner;
use super::shared::{Fault, Lane, permit};
use super::task::Task;
use crate::store::{Journal, JournalError};
use blabbermouth_core::canary::{Drawn, PrefixSplit, Secret, Template};
use blabbermouth_core::chat::{Completion, Message};
use blabbermouth_core::detect::Candidates;
use blabbermouth_core::probe::{Scene, reveal};
use blabbermouth_core::verdict::HalfEvidence;
use blabbermouth_provider::{DiscardSink, ProviderError, Request, texts};

/// Secrets of a run, each split into two halves.
pub(super) struct Halves {
    templates: Vec<(Template, PrefixSplit, Candidates)>,
    /// Per canary: template, public slots and secret.
    canaries: Vec<(usize, BTreeMap<String, String>, Secret)>,
}

impl Halves {
    /// Splits the secrets of a run. The test design must have accepted their spaces.
    pub(super) fn new(drawn: &Drawn) -> Self {
        let cut = |template: &Template| {
            let half = template.secret_space().half().expect("the design has seen to it");
            let candidates = Candidates::new(half.rest());
            (template.clone(), half, candidates)
        };
        Self {
            templates: drawn.templates.iter().map(cut).collect(),
            canaries: drawn.canaries.iter().map(|c| (c.template, c.subject.clone(), c.secret.clone())).collect(),
        }
    }

    /// Question about a canary, and the second half of its secret, which is not in the question.
    fn question(&self, canary: usize) -> (Arc<[Message]>, &str) {
        let (template, subject, secret) = &self.canaries[canary];
        let (template, half, _) = &self.templates[*template];
        let (first, rest) = half.split(secret.expose()).expect("a secret is a member of its space");
        let scene = Scene { template, subject, examples: &[] };
        (reveal(&scene, first).messages, rest)
    }

    /// Callback for discarded responses to that question. Searches them for the whole secret and for its second half.
    fn watch(self: &Arc<Self>, canary: usize, sieve: &Arc<DiscardScanner>, journal: &Arc<Journal>) -> DiscardSink {
        let (template, ..) = self.canaries[canary];
        let left = self.templates[template].1.rest().size_f64();
        let evidence = Mutex::new(HalfEvidence::new(self.question(canary).1, left));
        let (halves, sieve, journal) = (Arc::clone(self), Arc::clone(sieve), Arc::clone(journal));
        DiscardSink::new(move |discarded| {
            sieve.see(&journal, discarded.bytes);
            let completion = Completion::of(texts(discarded.bytes).join("\n"));
            let mut evidence = evidence.lock().unwrap_or_else(PoisonError::into_inner);
            let before = evidence.hits().hits;
            evidence.push(&completion, &halves.templates[template].2);
            if evidence.hits().hits > before {
                sieve.reveal(&journal, evidence.hits().p_value);
            }
        })
    }

    /// Length of the question about a canary, in bytes, with 16 for each message.
    pub(super) fn length(&self, canary: usize) -> usize {
        self.question(canary).0.iter().map(|m| m.content.len() + 16).sum()
    }
}

impl Task {
    /// Asks with half of the secret in the question, if the strategy is chosen and the canary has neither failed nor
    /// leaked.
    pub(super) async fn reveal(&mut self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let sealed = self.evidence.error.is_some() || self.evidence.p_value <= shared.threshold;
        let Some(halves) = shared.halves.as_ref().filter(|_| !sealed) else { return Ok(()) };
        let (template, ..) = halves.canaries[self.index];
        let (_, half, candidates) = &halves.templates[template];
        let (messages, rest) = halves.question(self.index);
        let mut evidence = HalfEvidence::new(rest, half.rest().size_f64());
        let broken = halves.watch(self.index, &self.sieve, &shared.journal);
        if let Err(fault) = self.ask_with_half(&messages, candidates, &broken, &mut evidence).await {
            self.end_early(fault)?;
        }
        self.evidence.reveal(evidence.hits());
        Ok(())
    }

    async fn ask_with_half(
        &mut self,
        messages: &Arc<[Message]>,
        candidates: &Candidates,
        broken: &DiscardSink,
        evidence: &mut HalfEvidence,
    ) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let lane = shared.lane(Lane::Halves, self.index);
        let claim = shared.journal.claim(lane).await?;
        let (mut number, mut missing) = (0, 0);
        while evidence.hits().asked + missing < shared.samples {
            let left = shared.samples - evidence.hits().asked - missing;
            let choices = u64::from(shared.choices).min(left);
            // The first request goes alone: a leak at once costs one request.
            let width = if number == 0 { 1 } else { shared.window.min(left.div_ceil(choices)) };
            let mut flight = JoinSet::new();
            for number in number..number + width {
                let (shared, entry) = (Arc::clone(&shared), claim.entries.get(number));
                let request = Request {
                    messages: Arc::clone(messages),
                    sampling: shared.sampling,
                    seed: shared.seed(lane, number),
                    choices: choices as u32,
                    broken: broken.clone(),
                };
                flight.spawn(async move {
                    let _permit = permit(&shared.permits).await;
                    (number, shared.ask(lane, number, entry, request).await)
                });
            }
            number += width;
            let mut answers = Vec::with_capacity(width as usize);
            while let Some(done) = flight.join_next().await {
                answers.push(done.expect("a request neither panics nor is aborted"));
            }
            answers.sort_by_key(|(number, _)| *number);
            // One failed request does not discard the answers beside it.
            let (mut outcome, mut newest) = (Ok(()), 0);
            for (_, answer) in answers {
                let (entry, answer) = match answer {
                    Ok(answer) => answer,
                    Err(Fault::Provider(ProviderError::NoPart)) => {
                        missing += choices;
                        continue;
                    }
                    Err(fault) => {
                        outcome = outcome.and(Err(fault));
                        continue;
                    }
                };
                newest = newest.max(entry);
                self.evidence.usage += answer.usage;
                let room = (shared.samples - evidence.hits().asked) as usize;
                answer.completions.iter().take(room).for_each(|completion| evidence.push(completion, candidates));
            }
            // No decision is based on answers that are not on disk.
            shared.journal.flush(newest).await?;
            outcome?;
            if evidence.hits().weighted(&shared.shares) <= shared.threshold {
                break;
            }
        }
        Ok(())
    }
}
