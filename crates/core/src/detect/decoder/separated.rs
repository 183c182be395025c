//! Text with the same letter or digit between any two characters, as in `sxexcxrxext`.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Separated;

impl Decoder for Separated {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Separated]
    }

    /// Always true: the decoder checks the normal form itself, many positions at once.
    fn may_apply(&self, _: &Marks) -> bool {
        true
    }

    fn is_innermost(&self) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let shortest = text.shortest.min(SHORTEST_DECODED);
        for separated in dispatch!(Level::new(), simd => separated(simd, text.normal, shortest)) {
            emit.push(&[Encoding::Separated], separated, 0..text.raw.len());
        }
    }
}

/// Shortest separated text, in characters.
const SHORTEST: usize = 6;
/// Fewest letters without signs from which another decoder makes anything.
const SHORTEST_DECODED: usize = 8;

/// Returns the texts in a normal form that are separated by a letter and have at least `shortest` bytes.
#[inline(always)]
fn separated<S: Simd>(simd: S, bytes: &[u8], shortest: usize) -> Vec<String> {
    let mut all = Vec::new();
    // For each letter, where its last text ended. Texts with different separators may overlap.
    let mut done = Vec::new();
    // Few texts have the same letter three times, two apart, so many positions are checked together.
    for first in (0..bytes.len().saturating_sub(4)).step_by(TOGETHER) {
        let mut last = [0; TOGETHER + 4];
        let (next, places) = bytes[first..].first_chunk().map_or_else(
            || {
                last[..bytes.len() - first].copy_from_slice(&bytes[first..]);
                // Zeros beyond the end are equal, too, and do not count.
                (&last, u64::MAX >> (first + TOGETHER + 4 - bytes.len()))
            },
            |next| (next, u64::MAX),
        );
        let mut places = places & same_thrice(simd, next);
        while places != 0 {
            let at = first + places.trailing_zeros() as usize;
            places &= places - 1;
            done.resize(256, 0);
            let done = &mut done[usize::from(bytes[at])];
            if at >= *done {
                let (end, between) = separated_at(bytes, at, *done, shortest);
                *done = end;
                all.extend(between);
            }
        }
    }
    all
}

/// Positions that are checked together.
const TOGETHER: usize = 64;

/// Returns the positions of bytes that occur again two and four places later.
#[inline(always)]
fn same_thrice<S: Simd>(simd: S, bytes: &[u8; TOGETHER + 4]) -> u64 {
    let mut places = 0;
    for at in (0..TOGETHER).step_by(S::u8s::LEN) {
        let here = S::u8s::from_slice(simd, &bytes[at..][..S::u8s::LEN]);
        let two_later = S::u8s::from_slice(simd, &bytes[at + 2..][..S::u8s::LEN]);
        let four_later = S::u8s::from_slice(simd, &bytes[at + 4..][..S::u8s::LEN]);
        places |= (here.simd_eq(two_later) & two_later.simd_eq(four_later)).to_bitmask() << at;
    }
    places
}

/// Returns where the text ends that the letter at `at` separates, and its other characters; `None` if they are too few.
/// The text begins at `done` or later.
fn separated_at(bytes: &[u8], at: usize, done: usize, shortest: usize) -> (usize, Option<String>) {
    let separator = bytes[at];
    let is = |at: usize| bytes.get(at) == Some(&separator);
    // Up to one letter between any two separators: none where a space was separated, too.
    let mut start = at;
    while start > done && (is(start) || is(start - 1)) {
        start -= 1;
    }
    let mut end = at + 1;
    while end < bytes.len() && (is(end) || is(end - 1)) {
        end += 1;
    }
    let separators = bytes[start..end].iter().filter(|b| **b == separator).count();
    if separators < SHORTEST - 1 || end - start - separators < shortest {
        return (end, None);
    }
    (end, String::from_utf8(bytes[start..end].iter().copied().filter(|b| *b != separator).collect()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::levels;

    #[test]
    fn letters_that_stand_between_others_are_seen_wherever_they_begin() {
        for before in 0..150 {
            for after in [0, 1, 70] {
                let text = format!("{}sxexcxrxextx{}", "ab".repeat(before), "cd".repeat(after));
                for level in levels() {
                    let all = dispatch!(level, simd => separated(simd, text.as_bytes(), 6));
                    assert!(all.iter().any(|text| text.contains("secret")), "{level:?} {before} {after} {all:?}");
                }
            }
        }
    }
}
