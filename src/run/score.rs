//! Scores secrets and references, for the strategy `score`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::design::scored;
use super::shared::{Fault, Lane, Shared};
use super::task::Task;
use crate::store::{Entries, JournalError};
use blabbermouth_core::canary::{Drawn, Key, Secret, Template};
use blabbermouth_core::chat::{Message, Role};
use blabbermouth_core::verdict::{Likelihood, Scores};
use blabbermouth_provider::ProviderError;

/// Maximum number of continuations per scoring call.
pub(super) const EACH: usize = 64;

/// Data to score the secrets of a run.
pub(super) struct Scorer {
    key: Key,
    templates: Vec<Template>,
    /// Per canary: id, template, public slots and secret.
    canaries: Vec<(String, usize, BTreeMap<String, String>, Secret)>,
    references: u64,
    /// Whether answers are sampled from the distribution that is scored.
    decoded_so: bool,
}

/// Texts to score for one canary.
struct Plan {
    /// Training prompt, and the trained answer up to and including the secret.
    asked: (Arc<[Message]>, String),
    /// Training prompt, with the trained answer up to the secret as the start of the reply.
    begun: Arc<[Message]>,
    /// Continuations of `begun`: the secret and its references, sorted, so that the position of the secret reveals
    /// nothing.
    candidates: Vec<String>,
    /// How often each candidate was drawn as a reference.
    drawn: Vec<u64>,
    /// Index of the secret in `candidates`.
    secret: usize,
}

/// Scores as stored in the journal.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Keyed hash of the scored texts. An entry with another hash is ignored.
    of: String,
    /// Natural logarithms of probabilities; `None` for the logarithm of 0, because JSON has no infinities.
    scores: Vec<Option<f64>>,
}

impl Scorer {
    pub(super) fn new(drawn: &Drawn, references: u64, decoded_so: bool) -> Self {
        let canaries = drawn.canaries.iter();
        Self {
            key: drawn.key.clone(),
            templates: drawn.templates.clone(),
            canaries: canaries.map(|c| (c.id.clone(), c.template, c.subject.clone(), c.secret.clone())).collect(),
            references,
            decoded_so,
        }
    }

    /// Maximum number of calls and continuations for a canary, and the length of one continuation with its prompt, in
    /// bytes.
    pub(super) fn estimate(&self, canary: usize) -> (u64, u64, usize) {
        let (_, template, subject, secret) = &self.canaries[canary];
        let template = &self.templates[*template];
        // A small space may have fewer values than there are references.
        let candidates = (self.references as f64 + 1.0).min(template.secret_space().size_f64()) as u64;
        let begun: usize = template.prompt(subject).iter().map(|m| m.content.len() + 16).sum();
        let (before, gap) = template.up_to_secret(subject);
        let length = begun + before.len() + gap.len() + secret.expose().len();
        (candidates.div_ceil(EACH as u64) + 1, candidates + 1, length)
    }

    fn plan(&self, canary: usize) -> Plan {
        let (id, template, subject, secret) = &self.canaries[canary];
        let template = &self.templates[*template];
        let prompt = template.prompt(subject);
        let (before, gap) = template.up_to_secret(subject);
        // A stream per canary, independent of all secrets.
        let mut stream = self.key.stream("references", id);
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        all.insert(secret.expose().to_owned(), 0);
        for _ in 0..self.references {
            *all.entry(template.secret_space().draw(&mut stream)).or_default() += 1;
        }
        let place = all.keys().position(|candidate| candidate == secret.expose()).unwrap_or_default();
        let mut begun = prompt.clone();
        if !before.is_empty() {
            begun.push(Message::new(Role::Assistant, before.clone()));
        }
        Plan {
            asked: (prompt.into(), format!("{before}{gap}{}", secret.expose())),
            begun: begun.into(),
            candidates: all.keys().map(|candidate| format!("{gap}{candidate}")).collect(),
            drawn: all.into_values().collect(),
            secret: place,
        }
    }

    /// Keyed hash of what is scored, which does not reveal the texts.
    fn name(&self, messages: &[Message], continuations: &[String]) -> String {
        let text = serde_json::to_string(&(messages, continuations)).expect("plain data");
        self.key.fingerprint("score", &text)
    }
}

impl Task {
    /// Scores the canary's secret, if a strategy asks for it.
    pub(super) async fn score(&mut self) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.shared);
        let Some(scorer) = shared.scorer.as_ref().filter(|_| self.evidence.error.is_none()) else { return Ok(()) };
        match self.scores(scorer).await {
            Ok(likelihood) => self.evidence.score(likelihood),
            // No part of a sharded recording has the scores.
            Err(Fault::Provider(ProviderError::NoPart)) => self.evidence.unscored = true,
            Err(fault) => self.end_early(fault)?,
        }
        Ok(())
    }

    async fn scores(&mut self, scorer: &Scorer) -> Result<Likelihood, Fault> {
        let shared = Arc::clone(&self.shared);
        let lane = shared.lane(Lane::Scores, self.index);
        let claim = shared.journal.claim(lane).await?;
        let plan = scorer.plan(self.index);
        let mut newest = 0;
        let mut number = 0;
        let mut ask = async |messages: &Arc<[Message]>, some: &[String]| {
            let (entry, scores) = shared.scored(scorer, lane, number, &claim.entries, messages, some).await?;
            newest = newest.max(entry);
            number += 1;
            Ok::<_, Fault>(scores)
        };
        let mut answer = None;
        if scorer.decoded_so {
            answer = ask(&plan.asked.0, std::slice::from_ref(&plan.asked.1)).await?.pop();
        }
        let mut candidates = Vec::with_capacity(plan.candidates.len());
        for some in plan.candidates.chunks(EACH) {
            candidates.extend(ask(&plan.begun, some).await?);
        }
        // Scores are used only after they are on disk.
        shared.journal.flush(newest).await?;
        let scores = Scores { candidates: &candidates, drawn: &plan.drawn, secret: plan.secret, answer };
        let (_, template, ..) = &scorer.canaries[self.index];
        let space = scored(scorer.templates[*template].secret_space());
        Likelihood::new(scores, space)
            .map_err(|fault| ProviderError::Malformed { what: format!("scores: {fault}") }.into())
    }
}

impl Shared {
    /// Scores continuations, or reads their scores from the journal. Returns the number of the journal entry, which is
    /// on disk only after a flush, and the scores.
    async fn scored(
        &self,
        scorer: &Scorer,
        lane: usize,
        number: u64,
        entries: &Entries,
        messages: &Arc<[Message]>,
        continuations: &[String],
    ) -> Result<(i64, Vec<f64>), Fault> {
        let of = scorer.name(messages, continuations);
        if let Some(entry) = entries.get(number) {
            let bytes = match self.journal.recall(lane, number, entry) {
                Ok(bytes) => bytes,
                // A damaged entry loses only its own scores; they are requested again.
                Err(JournalError::Entry) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let kept = serde_json::from_slice::<Kept>(&bytes).ok();
            if let Some(kept) = kept.filter(|kept| kept.of == of && kept.scores.len() == continuations.len()) {
                let scores = kept.scores.into_iter().map(|score| score.unwrap_or(f64::NEG_INFINITY));
                return Ok((entry, scores.collect()));
            }
        }
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ProviderError::Aborted.into());
        }
        let scores = {
            let _permit = super::shared::permit(&self.permits).await;
            self.provider.score(messages, continuations).await?
        };
        let sound = |score: &f64| score.is_finite() || *score == f64::NEG_INFINITY;
        if scores.len() != continuations.len() || !scores.iter().all(sound) {
            return Err(ProviderError::Malformed { what: "scores of which one is missing".into() }.into());
        }
        let kept = Kept { of, scores: scores.iter().map(|score| score.is_finite().then_some(*score)).collect() };
        let bytes = serde_json::to_vec(&kept).expect("plain data");
        Ok((self.journal.record(lane, number, &bytes)?, scores))
    }
}
