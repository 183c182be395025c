//! A walk through all members of a space at once, which merges members in the same state.

use std::collections::HashMap;
use std::hash::Hash;

use super::candidates::Normal;

/// Bytes of the longest value of a part.
pub(super) fn longest(part: &Normal) -> usize {
    match part {
        Normal::Literal(text) => text.len(),
        Normal::Chars { count, .. } => *count,
        Normal::Choice { lengths, .. } => lengths.last().copied().unwrap_or(0),
        Normal::Luhn => 1,
    }
}

/// Bytes of the shortest value of a part.
pub(super) fn shortest(part: &Normal) -> usize {
    if let Normal::Choice { lengths, .. } = part { lengths.first().copied().unwrap_or(0) } else { longest(part) }
}

/// Number of values of a part.
fn many(part: &Normal) -> f64 {
    match part {
        Normal::Literal(_) => 1.0,
        Normal::Chars { weight, count } => weight.iter().map(|w| f64::from(*w)).sum::<f64>().powi(*count as i32),
        Normal::Choice { sorted, .. } => sorted.len() as f64,
        Normal::Luhn => 10.0,
    }
}

/// The state of a detector while a member of the space is spelled, byte by byte.
pub(super) trait Walk {
    type State: Eq + Hash + Clone;
    fn start(&self) -> Self::State;
    /// Spells one more byte; `None` if no member with this beginning can be accepted.
    fn step(&self, state: &Self::State, byte: u8) -> Option<Self::State>;
    fn accepts(&self, state: &Self::State) -> bool;
    /// Whether all members that continue from here are accepted (`true`), or none (`false`); `None` if that is still
    /// open. `rest` has the fewest and the most bytes that are left.
    fn fate(&self, state: &Self::State, rest: (usize, usize)) -> Option<bool>;
    /// The searched text: a step takes longer in a long one.
    fn text(&self) -> &[u8];
}

/// States with the number of members that lead there.
type States<S> = HashMap<S, f64, foldhash::fast::RandomState>;

/// Counts the members of a space that a walk accepts; `None` if that takes more than `steps`. With `backwards`, members
/// and the text are read from their ends.
pub(super) fn members<W: Walk>(parts: &[Normal], backwards: bool, walk: &W, steps: &mut u64) -> Option<f64> {
    let cost = 1 + walk.text().len() as u64 / 512;
    // Spells one byte, which is the normal form of `many` characters.
    let mut step = |states: &States<W::State>, byte: u8, many: f64, next: &mut States<W::State>| {
        *steps = steps.checked_sub(cost * states.len() as u64)?;
        for (state, weight) in states {
            if let Some(state) = walk.step(state, byte) {
                *next.entry(state).or_insert(0.0) += weight * many;
            }
        }
        Some(())
    };
    let mut states = States::from_iter([(walk.start(), 1.0)]);
    let turn = |number| if backwards { parts.len() - 1 - number } else { number };
    let mut accepted = 0.0;
    for number in 0..parts.len() {
        let left = || (number..parts.len()).map(|number| &parts[turn(number)]);
        let rest = (left().map(shortest).sum(), left().map(longest).sum());
        states.retain(|state, weight| {
            let fate = walk.fate(state, rest);
            if fate == Some(true) {
                accepted += *weight * left().map(many).product::<f64>();
            }
            fate.is_none()
        });
        let part = &parts[turn(number)];
        let mut next = States::default();
        match part {
            Normal::Literal(text) => {
                let mut text = text.clone().into_bytes();
                if backwards {
                    text.reverse();
                }
                spell(&[text], 0, states, &mut step, &mut next)?;
            }
            Normal::Choice { sorted, .. } => spell(sorted, 0, states, &mut step, &mut next)?,
            Normal::Chars { weight, count } => {
                for _ in 0..*count {
                    next = States::default();
                    for (byte, many) in (0u8..=255).zip(weight.iter()).filter(|(_, many)| **many > 0) {
                        step(&states, byte, f64::from(*many), &mut next)?;
                    }
                    states = std::mem::take(&mut next);
                }
                next = states;
            }
            // Any digit is spelled: that can only count too many, which is safe.
            Normal::Luhn => (b'0'..=b'9').try_for_each(|digit| step(&states, digit, 1.0, &mut next))?,
        }
        states = next;
    }
    let last = states.iter().filter(|(state, _)| walk.accepts(state)).map(|(_, weight)| weight);
    Some(accepted + last.sum::<f64>())
}

/// Spells each of the sorted `texts`, whose first `depth` bytes are equal and already spelled. A shared beginning is
/// spelled only once, and texts that lead nowhere are skipped.
fn spell<S: Eq + Hash + Clone>(
    texts: &[Vec<u8>],
    mut depth: usize,
    mut states: States<S>,
    step: &mut impl FnMut(&States<S>, u8, f64, &mut States<S>) -> Option<()>,
    reached: &mut States<S>,
) -> Option<()> {
    let mut rest = texts;
    while let Some((text, others)) = rest.split_first().filter(|_| !states.is_empty()) {
        let Some(byte) = text.get(depth) else {
            for (state, weight) in &states {
                *reached.entry(state.clone()).or_insert(0.0) += weight;
            }
            rest = others;
            continue;
        };
        let alike = rest.partition_point(|other| other[depth] == *byte);
        let mut next = States::default();
        step(&states, *byte, 1.0, &mut next)?;
        if alike == rest.len() {
            // All remaining texts continue with this byte, so no recursion is needed.
            (states, depth) = (next, depth + 1);
        } else {
            spell(&rest[..alike], depth + 1, next, step, reached)?;
            rest = &rest[alike..];
        }
    }
    Some(())
}
