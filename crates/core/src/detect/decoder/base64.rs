//! Base64, also url-safe, in lines or pieces, and with compressed data in it.

use std::ops::Range;

use super::bytes::{SHORTEST, Stretch, is_printable};
use super::{Decoder, Emit, Text, inflate};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Base64;

impl Decoder for Base64 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Base64, Encoding::Reversed, Encoding::Rot13, Encoding::Utf16, Encoding::Compressed]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.base64 || marks.seen.mixed
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        if text.marks.seen.base64 {
            runs(text, emit);
        }
        if text.marks.seen.mixed {
            joined(text, emit);
        }
    }
}

const NONE: u8 = 0xff;

const BASE64: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < 26 {
        table[b'A' as usize + i] = i as u8;
        table[b'a' as usize + i] = 26 + i as u8;
        i += 1;
    }
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = 52 + i as u8;
        i += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

const fn rot13(value: u8) -> u8 {
    match value {
        0..26 => (value + 13) % 26,
        26..52 => 26 + (value - 13) % 26,
        other => other,
    }
}

/// For each byte of the alphabet, a bit for each of the bits 5, 3 and 1 that is clear; then the same with ROT13 undone.
const CLEAR: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = BASE64[byte];
        if value != NONE {
            let turned = rot13(value);
            table[byte] = (!value >> 5 & 1)
                | (!value >> 3 & 1) << 1
                | (!value >> 1 & 1) << 2
                | (!turned >> 5 & 1) << 3
                | (!turned >> 3 & 1) << 4
                | (!turned >> 1 & 1) << 5;
        }
        byte += 1;
    }
    table
};

/// Returns the offsets at which a short run may encode ASCII text. The first bit of an ASCII byte is clear, which shows
/// in three of four sextets: in bit 5, 3 or 1. Words seldom fit for eight letters in a row.
fn offsets(clear: [u64; 3], length: usize) -> [bool; 4] {
    std::array::from_fn(|offset| {
        let place = |at: u32| 0x1111_1111_1111_1111u64.rotate_left(offset as u32 + at);
        let mut row = (clear[0] | !place(0)) & (clear[1] | !place(1)) & (clear[2] | !place(2));
        row &= u64::MAX >> (64 - length);
        row &= row >> 1;
        row &= row >> 2;
        row & row >> 4 != 0
    })
}

/// Like [`offsets`], for a run forward, backward, and with ROT13 undone.
fn offsets_of(clear: [u64; 6], length: usize) -> [[bool; 4]; 3] {
    let backward = |clear: u64| clear.reverse_bits() >> (64 - length);
    [
        offsets([clear[0], clear[1], clear[2]], length),
        offsets([backward(clear[0]), backward(clear[1]), backward(clear[2])], length),
        offsets([clear[3], clear[4], clear[5]], length),
    ]
}

/// Decodes the first three bytes of a run, which has at least eight letters.
fn head(run: &[u8]) -> [u8; 3] {
    let values = run.iter().take(4).map(|byte| BASE64[usize::from(*byte)] & 63);
    let [_, head @ ..] = values.fold(0, |bits, value| bits << 6 | u32::from(value)).to_be_bytes();
    head
}

/// Decodes all bytes of a run of sextets.
fn bytes_of(run: &[u8]) -> Vec<u8> {
    let (fours, rest) = run.as_chunks::<4>();
    let mut bytes = Vec::with_capacity(3 * fours.len() + 2);
    let of = |four: [u8; 4]| four.iter().fold(0, |bits, value| bits << 6 | u32::from(*value)).to_be_bytes();
    fours.iter().for_each(|four| bytes.extend_from_slice(&of(*four)[1..]));
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    bytes.extend_from_slice(&of(last)[1..1 + rest.len() * 6 / 8]);
    bytes
}

/// Decodes runs of the alphabet at each of the four offsets: forward, backward, and with ROT13 undone. A run may
/// continue after a line break.
fn runs(text: &Text<'_>, emit: &mut Emit<'_>) {
    let bytes = text.raw.as_bytes();
    let is_in = |at: usize| bytes.get(at).is_some_and(|b| BASE64[usize::from(*b)] != NONE);
    let mut done = 0;
    for start in text.marks.base64_runs() {
        if start < done {
            continue;
        }
        let mut clear = [0u64; 6];
        let mut at = start;
        while is_in(at) && at - start < 64 {
            let bits = u64::from(CLEAR[usize::from(bytes[at])]);
            for (which, clear) in clear.iter_mut().enumerate() {
                *clear |= (bits >> which & 1) << (at - start);
            }
            at += 1;
        }
        done = at;
        let length = at - start;
        let is_whole = !is_in(at) && after_break(bytes, at).is_none();
        let fits = if is_whole { offsets_of(clear, length) } else { [[true; 4]; 3] };
        let may_be_compressed =
            inflate::may_begin(head(&bytes[start..]), if is_whole { length * 3 / 4 } else { usize::MAX });
        if fits == [[false; 4]; 3] && !may_be_compressed {
            continue;
        }
        let mut run: Vec<u8> = Vec::new();
        let mut at = start;
        loop {
            while is_in(at) {
                run.push(BASE64[usize::from(bytes[at])]);
                at += 1;
            }
            match after_break(bytes, at) {
                Some(next) => at = next,
                None => break,
            }
        }
        done = at;
        let source = start..at;
        if may_be_compressed {
            inflate::inflate(&bytes_of(&run), &[Encoding::Base64], &source, emit);
        }
        if !text.can_hold(run.len() * 3 / 4) {
            continue;
        }
        sextets(run.iter().copied(), fits[0], &[Encoding::Base64], &source, emit);
        sextets(run.iter().rev().copied(), fits[1], &[Encoding::Reversed, Encoding::Base64], &source, emit);
        sextets(run.iter().copied().map(rot13), fits[2], &[Encoding::Rot13, Encoding::Base64], &source, emit);
    }
}

/// Returns where a run continues after one line break; `None` if it does not.
fn after_break(bytes: &[u8], at: usize) -> Option<usize> {
    let next = match bytes.get(at..)? {
        [b'\r', b'\n', ..] => at + 2,
        [b'\n', ..] => at + 1,
        _ => return None,
    };
    bytes.get(next).is_some_and(|b| BASE64[usize::from(*b)] != NONE).then_some(next)
}

/// Decodes at the offsets that fit, and emits the stretches that are text.
fn sextets(
    run: impl Iterator<Item = u8> + Clone,
    fits: [bool; 4],
    how: &[Encoding],
    source: &Range<usize>,
    emit: &mut Emit<'_>,
) {
    for offset in (0..4).filter(|offset| fits[*offset]) {
        let mut stretch = Stretch::new(how, source.clone());
        let (mut buffer, mut bits) = (0u32, 0);
        for value in run.clone().skip(offset) {
            buffer = buffer << 6 | u32::from(value);
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                stretch.push((buffer >> bits) as u8, emit);
            }
        }
        stretch.end(emit);
    }
}

/// Fewest letters of joined pieces.
const FEWEST_JOINED: usize = 8;

/// Decodes base64 in pieces, such as groups of four letters, quoted lines or list entries: all pieces are joined into
/// one run. A piece has a digit, a sign or a capital after its first letter, or its length is a multiple of four. The
/// word after a piece is joined, too, since it may be the last piece.
fn joined(text: &Text<'_>, emit: &mut Emit<'_>) {
    let mut run: Vec<u8> = Vec::new();
    let (mut pieces, mut is_joined, mut start, mut end) = (0, false, 0, 0);
    // Whether two pieces that are not words are neighbors, or have only other pieces between them.
    let (mut was_mixed, mut is_code) = (false, false);
    for piece in text.raw.as_bytes().split(|byte| BASE64[usize::from(*byte)] == NONE) {
        let (begin, next) = (end, end + piece.len() + 1);
        end = next;
        if !piece.iter().any(u8::is_ascii_alphanumeric) {
            continue;
        }
        let is_marked = piece[1..].iter().any(|byte| !byte.is_ascii_lowercase());
        let is_piece = is_marked || piece.len().is_multiple_of(4);
        if is_piece || is_joined {
            run.extend(piece.iter().map(|byte| BASE64[usize::from(*byte)]));
            if pieces == 0 {
                start = begin;
            }
            pieces += 1;
        }
        is_joined = is_piece;
        let mixed = is_mixed(piece);
        is_code |= mixed && was_mixed;
        was_mixed = mixed || was_mixed && is_piece;
    }
    if !is_code || pieces < 2 || run.len() < FEWEST_JOINED {
        return;
    }
    let source = start..(end - 1).min(text.raw.len());
    let whole = bytes_of(&run);
    if inflate::may_begin([whole[0], whole[1], whole[2]], whole.len()) {
        inflate::inflate(&whole, &[Encoding::Base64], &source, emit);
    }
    if !text.can_hold(run.len() * 3 / 4) {
        return;
    }
    for offset in 0..4 {
        let bytes = bytes_of(run.get(offset..).unwrap_or_default());
        // Text that is not base64 seldom decodes to a printable stretch.
        let is_apart = |byte: &u8| !is_printable(*byte) && *byte != 0;
        if bytes.split(is_apart).any(|text| text.len() >= SHORTEST) {
            let mut stretch = Stretch::of_ascii(&[Encoding::Base64], source.clone());
            stretch.extend(bytes, emit);
            stretch.end(emit);
        }
    }
}

/// Whether a piece has a digit beside a letter, or a capital after a letter and beside a lowercase one: few words have.
fn is_mixed(piece: &[u8]) -> bool {
    let digit = piece
        .array_windows()
        .any(|[a, b]| a.is_ascii_digit() && b.is_ascii_alphabetic() || a.is_ascii_alphabetic() && b.is_ascii_digit());
    let capital = piece.array_windows().any(|[a, b]| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    let inner = piece
        .array_windows()
        .any(|[a, b, c]| a.is_ascii_alphabetic() && b.is_ascii_uppercase() && c.is_ascii_lowercase());
    digit || capital || inner
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn pieces_and_compressed_data_are_read() {
        let says = |text: &str| decoded(&Base64, text).iter().any(|(_, said)| said.contains("Pyrodraconosis"));
        for text in [
            "It is UHly b2Ry YWNv bm9z aXM= as I said.",
            "> UHlyb2RyYWN\n> vbm9zaXM=",
            "[\"UHlyb2Ry\", \"YWNvbm9z\", \"aXM=\"]",
            "see eJwLqCzKTylKTM7Pyy/OLAYAK3EF4A==",
            "H4sIABsMCmsC/wuoLMpPKUpMzs/LL84sBgAwtav3DgAAAA==",
            "deflate: C6gsyk8pSkzOz8svziwGAA==",
        ] {
            assert!(says(text), "{text}");
        }
        assert!(!says("Well it was very nice to be here with 3 of 4 kids and more than 20 of 30 dogs"));
    }
}
