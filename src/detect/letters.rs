//! Letters in other clothes: leet, and the same letter between any two.

use std::ops::Range;

use wide::u8x16;

use super::marks::{Marks, bits};
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
    for separated in separated(normal, shortest.min(SHORTEST_DECODED)) {
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
fn separated(bytes: &[u8], shortest: usize) -> Vec<String> {
    let mut all = Vec::new();
    // For each letter how far it was followed: where two part others, one does not end what the other parts.
    let mut done = Vec::new();
    // Few texts have the same letter at three places two apart: many places are looked at together.
    let mut first = 0;
    while first + 4 < bytes.len() {
        let (places, rest) = match bytes[first..].first_chunk() {
            Some(next) => (same_thrice(next), 0),
            None => {
                let mut last = [0; TOGETHER + 4];
                last[..bytes.len() - first].copy_from_slice(&bytes[first..]);
                (same_thrice(&last), first + TOGETHER + 4 - bytes.len())
            }
        };
        // Zeros beyond the end are the same as each other, too.
        for bit in bits(places & (ALL >> rest)) {
            let at = first + bit;
            done.resize(256, 0);
            let done = &mut done[usize::from(bytes[at])];
            if at >= *done {
                let (end, between) = separated_at(bytes, at, *done, shortest);
                *done = end;
                all.extend(between);
            }
        }
        first += TOGETHER;
    }
    all
}

/// How many places are looked at together: those of a word that have two more after them.
const TOGETHER: usize = 62;
const ALL: u64 = u64::MAX >> 2;

/// The places at which a byte stands that stands two and four places later as well.
fn same_thrice(bytes: &[u8; TOGETHER + 4]) -> u64 {
    let lane = |at: usize| bytes[at..].first_chunk().map_or(u8x16::ZERO, |lane| u8x16::new(*lane));
    let same = |at: usize| u64::from(lane(at).simd_eq(lane(at + 2)).to_bitmask()) << at;
    let twice = same(0) | same(16) | same(32) | same(48);
    twice & twice >> 2
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
