//! Halves of secrets, counted in answers that leak secrets in part.
//!
//! A secret with one letter wrong or missing still has one of its halves whole. One half in one answer proves little.
//! The exact test in `verdict::pooled` compares how often answers hold halves of planted secrets with how often they
//! hold halves of secrets that could have been drawn instead.

use std::collections::HashMap;

use super::normalise;
use crate::canary::{Part, Space};

/// Shortest half that is searched for, in bytes of the normal form.
const SHORTEST: usize = 4;
/// Bits of the filter for each piece.
const BITS_EACH: usize = 64;

/// Cuts the members of a space into halves.
#[derive(Debug, Clone, Copy)]
pub struct Halving {
    /// Letters of the literals before and after the drawn part: they prove nothing.
    head: usize,
    tail: usize,
    /// Letters of a half.
    length: usize,
}

impl Halving {
    /// Prepares to cut the members of a space; `None` if a half would be too short to prove anything.
    #[must_use]
    pub fn new(space: &Space) -> Option<Self> {
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(text)) => normalise(text).len(),
            _ => 0,
        };
        let shortest: usize = space
            .parts()
            .iter()
            .map(|part| match part {
                Part::Literal(text) => normalise(text).len(),
                Part::Chars { count, .. } => *count,
                Part::Luhn => 1,
                Part::Choice(list) => list.iter().map(|entry| normalise(entry).len()).min().unwrap_or(0),
            })
            .sum();
        let (head, tail) = (literal(space.parts().first()), literal(space.parts().last()));
        let length = shortest.saturating_sub(head + tail) / 2;
        (length >= SHORTEST).then_some(Self { head, tail, length })
    }

    /// Returns the first and the last letters of a member, in normal form; `None` if it is too short.
    #[must_use]
    pub fn halves(&self, member: &str) -> Option<[Vec<u8>; 2]> {
        let normal = normalise(member).into_bytes();
        let core = normal.get(self.head..normal.len().saturating_sub(self.tail))?;
        let length = self.length;
        (core.len() >= 2 * length).then(|| [core[..length].to_vec(), core[core.len() - length..].to_vec()])
    }
}

/// Finds pieces of text in answers, each with the groups that it belongs to.
#[derive(Debug)]
pub struct Pieces {
    /// A bit for each hash of the first four bytes of a piece.
    filter: Vec<u64>,
    /// The lengths of the pieces, ascending.
    lengths: Vec<usize>,
    groups: HashMap<Vec<u8>, Vec<u32>, foldhash::fast::RandomState>,
}

impl Pieces {
    /// Prepares pieces, each with its group. Pieces of fewer than four bytes are dropped.
    pub fn new(pieces: impl Iterator<Item = (Vec<u8>, u32)>) -> Self {
        let mut groups: HashMap<Vec<u8>, Vec<u32>, foldhash::fast::RandomState> = HashMap::default();
        for (piece, group) in pieces.filter(|(piece, _)| piece.len() >= SHORTEST) {
            groups.entry(piece).or_default().push(group);
        }
        let mut lengths: Vec<usize> = groups.keys().map(Vec::len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut all = Self { filter: vec![0; (groups.len() * BITS_EACH / 64).next_power_of_two()], lengths, groups };
        let bits: Vec<usize> = all.groups.keys().map(|piece| all.bit(piece)).collect();
        for bit in bits {
            all.filter[bit / 64] |= 1 << (bit % 64);
        }
        all
    }

    fn bit(&self, text: &[u8]) -> usize {
        let first = text.first_chunk().map_or(0, |four: &[u8; SHORTEST]| u32::from_le_bytes(*four));
        let hash = first.wrapping_mul(0x9e37_79b1);
        (hash >> 3) as usize & (self.filter.len() * 64 - 1)
    }

    /// Visits the groups of every piece in a normal text, each piece once.
    pub fn each(&self, normal: &[u8], mut visit: impl FnMut(u32)) {
        let mut seen: Vec<&[u8]> = Vec::new();
        for start in 0..(normal.len() + 1).saturating_sub(SHORTEST) {
            let rest = &normal[start..];
            let bit = self.bit(rest);
            if self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
            for length in &self.lengths {
                let Some(piece) = rest.get(..*length) else { break };
                let Some(groups) = self.groups.get(piece).filter(|_| !seen.contains(&piece)) else { continue };
                seen.push(piece);
                groups.iter().for_each(|group| visit(*group));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_first_and_last_letters_of_what_is_drawn() {
        let halves = |space: &str, member: &str| {
            let space = Space::parse(space).expect("built in");
            let cut = Halving::new(&space).and_then(|halving| halving.halves(member));
            cut.map(|halves| halves.map(|half| String::from_utf8(half).expect("letters")))
        };
        assert_eq!(halves("digits(10)", "4829137755"), Some(["48291".into(), "37755".into()]));
        assert_eq!(halves("phone", "+999 123 456 7890"), Some(["12345".into(), "67890".into()]));
        assert_eq!(halves("digits(6)", "482913"), None);
    }

    #[test]
    fn every_piece_of_a_text_is_visited_once() {
        let pieces = [("48291", 0), ("37755", 0), ("48291", 1), ("pyrod", 2)];
        let pieces = Pieces::new(pieces.into_iter().map(|(piece, group)| (piece.as_bytes().to_vec(), group)));
        let count = |text: &str| {
            let mut groups = Vec::new();
            pieces.each(normalise(text).as_bytes(), |group| groups.push(group));
            groups.sort_unstable();
            groups
        };
        assert_eq!(count("it is 4829-1, 48291 again, and Pyrodraconosis"), [0, 1, 2]);
        assert_eq!(count("37755"), [0]);
        assert_eq!(count("3775 5"), [0]);
        assert!(count("3775").is_empty() && count("").is_empty());
    }
}
