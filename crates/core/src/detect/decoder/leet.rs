//! Leet: digits and signs that look like letters, as in `p4ssw0rd`.

use std::ops::Range;

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Leet;

impl Decoder for Leet {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Leet]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.leet
    }

    fn is_innermost(&self) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        for source in leet_places(text.raw, text.marks) {
            let dressed = &text.raw[source.clone()];
            // A `1` may be an `i` or an `l`.
            for one in if dressed.contains(['1', '!', '|']) { ['i', 'l'].as_slice() } else { &['i'] } {
                emit.push(&[Encoding::Leet], undressed(dressed, *one), source.clone());
            }
        }
    }
}

/// Bytes that are decoded on either side of a leet sign.
const AROUND: usize = 64;

/// Undoes leet in a text; `one` is the letter for `1`, `!` and `|`.
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

/// Returns the surroundings of digits and signs that have letters beside them.
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
