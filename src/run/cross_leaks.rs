//! Tests over all answers of a run: secrets in answers to other canaries, and the pooled tests.

use std::collections::{HashMap, HashSet};

use super::PreparedRun;
use super::shared::Shared;
use super::task::Probed;
use crate::store::JournalError;
use blabbermouth_core::detect::Tier;
use blabbermouth_core::verdict::{CrossLeaks, Place, Pool, Test};

impl PreparedRun {
    /// Canaries whose leak is accepted and that leak again in this run. The pooled tests leave them out: they would
    /// report the accepted leak again.
    fn aside(&self, probed: &[Probed]) -> HashSet<usize> {
        let is_accepted = |p: &&Probed| self.options.accepted.contains(self.entries[p.canary].fingerprint.as_str());
        let said = probed.iter().filter(is_accepted).filter(|p| p.evidence.counted_hits() > 0);
        said.map(|p| p.canary).collect()
    }

    /// Ranks the secrets that occur in answers to other canaries, over the sequence of all answers.
    pub(super) fn strangers(&self, probed: &[Probed], shared: &Shared) -> Result<CrossLeaks, JournalError> {
        let mut first: HashMap<(usize, Tier), Place> = HashMap::new();
        for p in probed {
            for (&stranger, &sample) in &p.evidence.strangers {
                let place = (sample, p.canary);
                first.entry(stranger).and_modify(|old| *old = (*old).min(place)).or_insert(place);
            }
        }
        let (shares, aside) = (self.design.shares.of_strangers(), self.aside(probed));
        let mut strangers = CrossLeaks {
            parts: self.pooled.parts(&self.design, probed, shared, &aside)?,
            foreign: self.pooled.foreign(&self.design, probed, &aside),
            agreement: self.agreement.test(&self.design, probed, &aside),
            ..CrossLeaks::default()
        };
        for (space, candidates) in self.spaces.iter().enumerate() {
            // In a small space a secret occurs by chance; the count-rank test covers such canaries.
            let own = |canary: usize| self.space_of[canary] == space && self.tests[canary].0 == Test::GuessNumber;
            for tier in [Tier::Plain, Tier::Disguised] {
                let of_tier = first.iter().filter(|((canary, of), _)| *of == tier && own(*canary));
                let hits: Vec<(usize, Place)> = of_tier.map(|((canary, _), place)| (*canary, *place)).collect();
                let Some(&(any, _)) = hits.first() else { continue };
                let mut pool = Pool::new(tier, hits);
                for p in probed {
                    shared.replay(p, |sample, text| {
                        pool.add((sample, p.canary), text, candidates);
                        pool.reaches((sample + 1, p.canary))
                    })?;
                }
                for (canary, p_value) in pool.p_values(self.tests[any].1) {
                    let weighted = (p_value / shares.of(tier)).min(1.0);
                    strangers.p_values.entry(canary).and_modify(|old| *old = old.min(weighted)).or_insert(weighted);
                }
            }
        }
        Ok(strangers)
    }
}
