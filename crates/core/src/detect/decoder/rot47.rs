//! ROT47: all printable ASCII signs shifted by 47.

use std::ops::Range;

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Rot47;

/// Images of letters or digits in a row that show a shifted token.
const FEWEST: usize = 5;
/// Most bytes on either side of such a token that may be shifted with it.
const AROUND: usize = 64;

impl Decoder for Rot47 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Rot47]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.rot47 || marks.seen.tokens
    }

    /// Emits all shifted tokens together, with their neighbors that may be shifted, too.
    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let mut images = String::new();
        let (mut first, mut end) = (0, 0);
        for place in tokens(bytes).filter(|place| is_shifted(&bytes[place.clone()])) {
            if place.start < end {
                continue;
            }
            let here = with_neighbors(bytes, place, end);
            if images.is_empty() {
                first = here.start;
            } else {
                images.push('\n');
            }
            end = here.end;
            images.extend(bytes[here].iter().map(|byte| image(*byte)));
        }
        if !images.is_empty() {
            emit.push(&[Encoding::Rot47], images, first..end);
        }
    }
}

/// Returns the ranges of the tokens of a text: printable ASCII bytes without a space between them.
fn tokens(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    bytes.split(|byte| !byte.is_ascii_graphic()).map(move |token| {
        let start = at;
        at += token.len() + 1;
        start..start + token.len()
    })
}

/// Extends a token by the neighbors that may be shifted with it, from `begin` on. No neighbor is cut.
fn with_neighbors(bytes: &[u8], place: Range<usize>, begin: usize) -> Range<usize> {
    let is_space = |byte: &u8| !byte.is_ascii_graphic();
    let Range { mut start, mut end } = place;
    let (first, last) = (start.saturating_sub(AROUND), end + AROUND);
    while start > begin {
        let from = bytes[begin..start - 1].iter().rposition(is_space).map_or(begin, |at| begin + at + 1);
        if from < first || !may_be_shifted(&bytes[from..start - 1]) {
            break;
        }
        start = from;
    }
    while end < bytes.len() {
        let length = bytes[end + 1..].iter().position(is_space).unwrap_or(bytes.len() - end - 1);
        let to = end + 1 + length;
        if to > last || !may_be_shifted(&bytes[end + 1..to]) {
            break;
        }
        end = to;
    }
    start..end
}

/// Whether at most a third of a token's bytes are images of rare characters: most words of a language have more.
fn may_be_shifted(token: &[u8]) -> bool {
    3 * token.iter().filter(|byte| matches!(byte, b'i'..=b'z' | b'L'..=b'Z')).count() <= token.len()
}

/// Whether a token has what the images of words and numbers have and few words do:
///
/// - a row of images of digits and their separators,
/// - a row of images of lowercase letters, with signs among them, or
/// - many signs that are rare in words.
fn is_shifted(token: &[u8]) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'\\'..=b'h');
    let is_small = |byte: u8| matches!(byte, b'2'..=b'K');
    let is_sign = |byte: &u8| matches!(byte, b'#'..=b'%' | b'*' | b'+' | b'<'..=b'@' | b'['..=b'`' | b'{'..=b'~');
    let (mut digits, mut small, mut signs) = (0, 0, 0);
    for byte in token {
        digits = if is_digit(*byte) { digits + 1 } else { 0 };
        (small, signs) =
            if is_small(*byte) { (small + 1, signs + u32::from(matches!(byte, b':'..=b'@'))) } else { (0, 0) };
        if digits > FEWEST || small >= FEWEST && signs > 0 {
            return true;
        }
    }
    token.len() > 2 * FEWEST && token.iter().filter(|byte| is_sign(byte)).count() > 2
}

/// Returns the character that has this byte as its image.
fn image(byte: u8) -> char {
    match byte {
        b'!'..=b'~' => char::from(b'!' + (byte - b'!' + 47) % 94),
        byte if byte.is_ascii() => char::from(byte),
        // A byte of a non-ASCII character.
        _ => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn words_and_numbers_are_shifted_back() {
        for text in [
            "It is !JC@5C24@?@D:D, I think",
            "It is cgah`bffdd, I think",
            "\u{e9} cgah`bffdd",
            "aaaaaa                                                 : cgah`bffdd",
        ] {
            let said = decoded(&Rot47, text);
            assert!(
                said.iter().any(|(_, said)| said.contains("Pyrodraconosis") || said.contains("4829137755")),
                "{said:?}"
            );
        }
        assert!(decoded(&Rot47, "A well-known bedside table, at 12:30 on 4/5/2020, isn't U.S.-based.").is_empty());
    }
}
