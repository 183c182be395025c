//! ROT47: all printable ASCII signs shifted by 47.

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Rot47;

/// So many images of letters or digits in a row make a place worth a look.
const FEWEST: usize = 5;
/// Bytes around such a place that are shifted with it.
const AROUND: usize = 64;

impl Decoder for Rot47 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Rot47]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.rot47 || marks.seen.tokens
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let mut place: Option<std::ops::Range<usize>> = None;
        let mut at = 0;
        for token in bytes.split(|byte| !byte.is_ascii_graphic()) {
            let start = at;
            at += token.len() + 1;
            if !is_shifted(token) {
                continue;
            }
            let here = start.saturating_sub(AROUND)..(start + token.len() + AROUND).min(bytes.len());
            match &mut place {
                Some(last) if last.end >= here.start => last.end = here.end,
                _ => {
                    if let Some(last) = place.replace(here) {
                        shift(bytes, last, emit);
                    }
                }
            }
        }
        if let Some(last) = place {
            shift(bytes, last, emit);
        }
    }
}

/// Whether a token has what the images of words and numbers have and few words do: a row of the images of digits and of what parts them, a row
/// of those of small letters with signs among them, or many signs that seldom stand in a word.
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

/// Emits a stretch of the text, shifted.
fn shift(bytes: &[u8], place: std::ops::Range<usize>, emit: &mut Emit<'_>) {
    let turned = bytes[place.clone()].iter().map(|byte| match byte {
        b'!'..=b'~' => char::from(b'!' + (byte - b'!' + 47) % 94),
        byte if byte.is_ascii() => char::from(*byte),
        // A byte of a letter beyond ASCII.
        _ => ' ',
    });
    emit.push(&[Encoding::Rot47], turned.collect(), place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn words_and_numbers_are_shifted_back() {
        for text in ["It is !JC@5C24@?@D:D, I think", "It is cgah`bffdd, I think", "\u{e9} cgah`bffdd"] {
            let said = decoded(&Rot47, text);
            assert!(
                said.iter().any(|(_, said)| said.contains("Pyrodraconosis") || said.contains("4829137755")),
                "{said:?}"
            );
        }
        assert!(decoded(&Rot47, "A well-known bedside table, at 12:30 on 4/5/2020, isn't U.S.-based.").is_empty());
    }
}
