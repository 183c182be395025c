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
    // Nearly no text has the same letter at four places two apart.
    let any = bytes.len() > 6
        && (bytes.iter().zip(&bytes[2..]).zip(bytes[4..].iter().zip(&bytes[6..])))
            .fold(false, |any, ((a, b), (c, d))| any | (a == b) & (b == c) & (c == d));
    if !any {
        return all;
    }
    let mut at = 0;
    // `bytes[at]` is the separator.
    while at + 2 * (SHORTEST - 1) < bytes.len() {
        let count = (at..bytes.len()).step_by(2).take_while(|i| bytes[*i] == bytes[at]).count();
        if count < SHORTEST - 1 {
            at += 1;
            continue;
        }
        let end = (at + 2 * count).min(bytes.len());
        let between: Vec<u8> = (at.saturating_sub(1)..end).filter(|i| (i + at) % 2 == 1).map(|i| bytes[i]).collect();
        all.extend(String::from_utf8(between).ok());
        at += 2 * count - 1;
    }
    all
}
