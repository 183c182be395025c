//! Letters in other clothes: leet, and the same letter between any two.

use std::ops::Range;

use super::marks::Marks;
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
    // Few texts have the same letter at three places two apart.
    let any = bytes.len() > 2 * SHORTEST - 2
        && (bytes.iter().zip(&bytes[2..]).zip(&bytes[4..])).fold(false, |any, ((a, b), c)| any | (a == b) & (b == c));
    if !any {
        return all;
    }
    let mut done = 0;
    for at in 0..bytes.len() - 4 {
        if at < done || bytes[at] != bytes[at + 2] || bytes[at] != bytes[at + 4] {
            continue;
        }
        let separator = bytes[at];
        let is = |at: usize| bytes.get(at) == Some(&separator);
        // One letter or none between any two: where a space was separated, too, there is none.
        let mut start = at;
        while start > 0 && (is(start) || is(start - 1)) && start > done {
            start -= 1;
        }
        let mut end = at + 1;
        while end < bytes.len() && (is(end) || is(end - 1)) {
            end += 1;
        }
        done = end;
        let between: Vec<u8> = bytes[start..end].iter().copied().filter(|b| *b != separator).collect();
        if end - start - between.len() >= SHORTEST - 1 {
            all.extend(String::from_utf8(between).ok());
        }
    }
    all
}
