//! Letters in other clothes: leet, and the same letter between any two.

use std::ops::Range;

use wide::u8x16;

use super::marks::{Marks, bits};
use super::view::{Encoding, Out};

/// What leet stands around a sign of it, in bytes.
const AROUND: usize = 64;

pub(super) fn each(text: &str, normal: &str, marks: &Marks, out: Out<'_>) {
    for source in leet_places(text, marks) {
        // A `1` may be an i or an l.
        for one in ['i', 'l'] {
            let plain: String = text[source.clone()].chars().map(|c| unleet(c, one)).collect();
            out(&[Encoding::Leet], plain, source.clone());
        }
    }
    for separated in separated(normal) {
        out(&[Encoding::Separated], separated, 0..text.len());
    }
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

/// What stands beside the same letter again and again.
fn separated(normal: &str) -> Vec<String> {
    let bytes = normal.as_bytes();
    let mut all = Vec::new();
    let mut done = 0;
    // Few texts have the same letter at three places two apart: many places are looked at together.
    for first in (0..bytes.len().saturating_sub(4)).step_by(TOGETHER) {
        let [a, b, c] = [0, 2, 4].map(|by| lane(&bytes[first + by..]));
        for bit in bits(u64::from((a.simd_eq(b) & b.simd_eq(c)).to_bitmask())) {
            // Zeros stand beyond the end.
            let at = first + bit;
            if at < done || at + 4 >= bytes.len() {
                continue;
            }
            let (end, between) = separated_at(bytes, at, done);
            done = end;
            all.extend(between);
        }
    }
    all
}

/// How many places are looked at together.
const TOGETHER: usize = 16;

/// The next bytes; zeros beyond the end.
fn lane(bytes: &[u8]) -> u8x16 {
    u8x16::new(bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut last = [0; TOGETHER];
        last[..bytes.len()].copy_from_slice(bytes);
        last
    }))
}

/// What stands beside the letter at a place, as far as it does, after `done`; and where that ends.
fn separated_at(bytes: &[u8], at: usize, done: usize) -> (usize, Option<String>) {
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
    // Between nothing and nothing there is no text.
    if separators < SHORTEST - 1 || separators == end - start {
        return (end, None);
    }
    (end, String::from_utf8(bytes[start..end].iter().copied().filter(|b| *b != separator).collect()).ok())
}
