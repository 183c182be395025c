//! Pooled tests over all answers of a run: halves of planted secrets, and planted values of small spaces; see
//! `verdict::pooled`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::Probed;
use super::shared::Shared;
use crate::store::JournalError;
use blabbermouth_core::canary::{Drawn, Key, Secret, Space};
use blabbermouth_core::detect::{Candidates, Halving, Pieces, Reading, normalise};
use blabbermouth_core::verdict::{FOREIGN_SHARE, PARTS_GROUPS, PARTS_SHARE, PooledTest, Test, TestDesign};

/// Number of redrawn halves to search for in one pass over the answers.
const PIECES_A_PASS: usize = 1 << 20;

/// Planted secrets of the gate, with the key and spaces to redraw them.
pub(super) struct Pooled {
    key: Key,
    spaces: Vec<Space>,
    halvings: Vec<Option<Halving>>,
    /// Canary, template and secret, for large spaces with long enough halves.
    large: Vec<(usize, usize, Secret)>,
    /// Canary, template and secret, for small spaces.
    small: Vec<(usize, usize, Secret)>,
    /// Halves of the secrets (group 0) and of a few redraws, counted while answers arrive.
    online: Pieces,
}

impl Pooled {
    pub(super) fn new(drawn: &Drawn, tests: &[(Test, f64)], gated: impl Fn(usize) -> bool) -> Self {
        let spaces: Vec<Space> = drawn.templates.iter().map(|t| t.secret_space().clone()).collect();
        let halvings: Vec<Option<Halving>> = spaces.iter().map(Halving::new).collect();
        let (mut large, mut small) = (Vec::new(), Vec::new());
        for (index, canary) in drawn.canaries.iter().enumerate().filter(|(index, _)| gated(*index)) {
            match tests[index].0 {
                Test::GuessNumber if halvings[canary.template].is_none() => {}
                Test::GuessNumber => large.push((index, canary.template, canary.secret.clone())),
                Test::CountRank => small.push((index, canary.template, canary.secret.clone())),
            }
        }
        let mut pooled =
            Self { key: drawn.key.clone(), spaces, halvings, large, small, online: Pieces::new([].into_iter()) };
        let groups = (0..PARTS_GROUPS as u32).flat_map(|group| pooled.group(group, &HashSet::new()));
        pooled.online = Pieces::new(groups.collect::<Vec<_>>().into_iter());
        pooled
    }

    fn halves(&self, template: usize, secret: &str, group: u32) -> impl Iterator<Item = (Vec<u8>, u32)> + use<> {
        let halves = self.halvings[template].and_then(|halving| halving.halves(secret));
        halves.into_iter().flatten().map(move |half| (half, group))
    }

    /// Halves of the secrets of all canaries but those in `aside`. Group 0 has the planted secrets; any other number
    /// has a redraw of them.
    fn group(&self, number: u32, aside: &HashSet<usize>) -> Vec<(Vec<u8>, u32)> {
        let mut stream = self.key.stream("redraw", &number.to_string());
        let mut all = Vec::new();
        for (canary, template, secret) in &self.large {
            // Draws for the canaries in `aside` too, so that the redraws of the others do not depend on that set.
            let redrawn = (number > 0).then(|| self.spaces[*template].draw(&mut stream));
            if !aside.contains(canary) {
                all.extend(self.halves(*template, redrawn.as_deref().unwrap_or(secret.expose()), number));
            }
        }
        all
    }

    /// Adds to `parts` how many halves of each group an answer holds.
    pub(super) fn note(&self, reading: &Reading<'_>, parts: &mut [u64; PARTS_GROUPS]) {
        if !self.large.is_empty() {
            self.online.each(&reading.normal(), |group| parts[group as usize] += 1);
        }
    }

    /// Tests whether halves of planted secrets occur in all answers more often than halves of redraws. Canaries in
    /// `aside` are left out; `None` if no other secret is long enough.
    pub(super) fn parts(
        &self,
        design: &TestDesign,
        probed: &[Probed],
        shared: &Shared,
        aside: &HashSet<usize>,
    ) -> Result<Option<PooledTest>, JournalError> {
        if self.large.iter().all(|(canary, ..)| aside.contains(canary)) {
            return Ok(None);
        }
        let level = design.policy.alpha * PARTS_SHARE;
        let sums: Vec<u64> = if self.large.iter().any(|(canary, ..)| aside.contains(canary)) {
            self.count(0..PARTS_GROUPS as u32, aside, probed, shared)?
        } else {
            (0..PARTS_GROUPS).map(|group| probed.iter().map(|p| p.evidence.parts[group]).sum()).collect()
        };
        let (observed, usual) = (sums[0], &sums[1..]);
        // One of the few redraws has as many halves: chance explains the count, and the answers are not read again.
        if usual.iter().any(|count| *count >= observed) {
            return Ok(Some(PooledTest::new(observed, usual, level)));
        }
        let needed = PooledTest::needed(level);
        let each = (PIECES_A_PASS / (2 * self.large.len())).clamp(1, needed);
        let mut counts: Vec<u64> = Vec::with_capacity(needed);
        while counts.len() < needed {
            let first = counts.len() as u32 + 1;
            let some = each.min(needed - counts.len()) as u32;
            counts.extend(self.count(first..first + some, aside, probed, shared)?);
            let as_large = counts.iter().filter(|count| **count >= observed).count();
            // Even without another redraw as large, the p-value would stay above the level.
            if (1 + as_large) as f64 > level * (1 + needed) as f64 {
                break;
            }
        }
        Ok(Some(PooledTest::new(observed, &counts, level)))
    }

    /// Counts the halves of a range of groups in all answers.
    fn count(
        &self,
        groups: Range<u32>,
        aside: &HashSet<usize>,
        probed: &[Probed],
        shared: &Shared,
    ) -> Result<Vec<u64>, JournalError> {
        let (first, mut counts) = (groups.start, vec![0u64; groups.len()]);
        let pieces = Pieces::new(groups.flat_map(|number| self.group(number, aside)));
        for p in probed {
            shared.replay(p, |_, text| {
                pieces.each(normalise(text).as_bytes(), |number| counts[(number - first) as usize] += 1);
                true
            })?;
        }
        Ok(counts)
    }

    /// Tests whether planted values of small spaces occur in answers to other canaries more often than redraws do.
    /// `None` if no canary is left outside of `aside`.
    pub(super) fn foreign(&self, design: &TestDesign, probed: &[Probed], aside: &HashSet<usize>) -> Option<PooledTest> {
        let small: Vec<&(usize, usize, Secret)> =
            self.small.iter().filter(|(canary, ..)| !aside.contains(canary)).collect();
        if small.is_empty() {
            return None;
        }
        let level = design.policy.alpha * FOREIGN_SHARE;
        let candidates: Vec<Candidates> = self.spaces.iter().map(Candidates::new).collect();
        let place: HashMap<usize, &Probed> = probed.iter().map(|p| (p.canary, p)).collect();
        let mut said: Vec<HashMap<u64, u64>> = vec![HashMap::new(); self.spaces.len()];
        for p in probed {
            for (name, count) in p.evidence.said() {
                *said[p.template].entry(name).or_default() += count;
            }
        }
        // Occurrences of the values in all answers, without those in answers to their own canaries.
        let count = |secrets: &[&str]| -> u64 {
            let mut values: BTreeSet<(usize, u64)> = BTreeSet::new();
            let mut own = 0;
            for ((canary, template, _), secret) in small.iter().zip(secrets) {
                let Some(name) = candidates[*template].name(secret) else { continue };
                values.insert((*template, name));
                own += place.get(canary).map_or(0, |p| p.evidence.said_of(name));
            }
            let all: u64 = values.iter().filter_map(|(template, name)| said[*template].get(name)).sum();
            all.saturating_sub(own)
        };
        let own: Vec<&str> = small.iter().map(|(_, _, secret)| secret.expose()).collect();
        let observed = count(&own);
        let redraws: Vec<u64> = (0..PooledTest::needed(level))
            .map(|number| {
                let mut stream = self.key.stream("redraw-small", &number.to_string());
                let drawn: Vec<String> =
                    small.iter().map(|(_, template, _)| self.spaces[*template].draw(&mut stream)).collect();
                count(&drawn.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        Some(PooledTest::new(observed, &redraws, level))
    }
}
