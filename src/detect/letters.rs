//! Letters in other clothes: leet, and the same letter between any two.

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch, prelude::*};

use super::marks::Marks;
use super::view::{Encoding, Out};

/// What leet stands around a sign of it, in bytes.
const AROUND: usize = 64;

/// `shortest` is what the shortest text has that is looked for.
pub(super) fn each(text: &str, normal: &[u8], shortest: usize, marks: &Marks, out: Out<'_>) {
    for source in if marks.seen.leet { leet_places(text, marks) } else { Vec::new() } {
        let dressed = &text[source.clone()];
        // A `1` may be an i or an l.
        for one in if dressed.contains(['1', '!', '|']) { ['i', 'l'].as_slice() } else { &['i'] } {
            out(&[Encoding::Leet], undressed(dressed, *one), source.clone());
        }
    }
    for separated in dispatch!(Level::new(), simd => separated(simd, normal, shortest.min(SHORTEST_DECODED))) {
        out(&[Encoding::Separated], separated, 0..text.len());
    }
}

/// A text with leet undone.
fn undressed(text: &str, one: char) -> String {
    if !text.is_ascii() {
        return text.chars().map(|c| unleet(c, one)).collect();
    }
    let table = if one == 'i' { &UNLEET_I } else { &UNLEET_L };
    let plain = text.bytes().map(|byte| table[usize::from(byte)]).collect();
    String::from_utf8(plain).unwrap_or_default()
}

static UNLEET_I: [u8; 256] = unleet_table('i');
static UNLEET_L: [u8; 256] = unleet_table('l');

const fn unleet_table(one: char) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = unleet(byte as char, one) as u8;
        byte += 1;
    }
    table
}

const fn unleet(c: char, one: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' | '|' => one,
        '2' => 'z',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' => 'g',
        c => c,
    }
}

/// Stretches around digits and signs that have letters beside them.
fn leet_places(text: &str, marks: &Marks) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut places: Vec<Range<usize>> = Vec::new();
    for at in marks.leet() {
        let start = (at.saturating_sub(AROUND)..=at).find(|i| text.is_char_boundary(*i)).unwrap_or(at);
        let end = (at + AROUND..bytes.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(bytes.len());
        match places.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => places.push(start..end),
        }
    }
    places
}

/// The shortest separated text: so many characters.
const SHORTEST: usize = 6;
/// No decoder makes anything of fewer letters without signs.
const SHORTEST_DECODED: usize = 8;

/// What stands beside the same letter again and again, where that has so many bytes; of a normal form.
#[inline(always)]
fn separated<S: Simd>(simd: S, bytes: &[u8], shortest: usize) -> Vec<String> {
    let mut all = Vec::new();
    // For each letter how far it was followed: where two part others, one does not end what the other parts.
    let mut done = Vec::new();
    // Few texts have the same letter at three places two apart: many places are looked at together.
    for first in (0..bytes.len().saturating_sub(4)).step_by(TOGETHER) {
        let mut last = [0; TOGETHER + 4];
        let (next, places) = bytes[first..].first_chunk().map_or_else(
            || {
                last[..bytes.len() - first].copy_from_slice(&bytes[first..]);
                // Zeros beyond the end are the same as each other, too.
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

/// How many places are looked at together.
const TOGETHER: usize = 64;

/// The places at which a byte stands that stands two and four places later as well.
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

/// What stands beside the letter at a place, as far as it does, after `done`; and where that ends.
fn separated_at(bytes: &[u8], at: usize, done: usize, shortest: usize) -> (usize, Option<String>) {
    let separator = bytes[at];
    let is = |at: usize| bytes.get(at) == Some(&separator);
    // One letter or none between any two: where a space was separated, too, there is none.
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
