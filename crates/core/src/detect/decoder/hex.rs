//! Hexadecimal bytes, with any signs between them and before or after each: `50 79`, `0x50, 0x79`, `\x50\x79`, `$50`,
//! `#50`, `50h`, `| 50 | 79 |`.

use std::ops::Range;

use super::bytes::{SHORTEST, Stretch};
use super::{Decoder, Emit, Text, inflate, nibble};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Hex;

impl Decoder for Hex {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Hex, Encoding::Reversed, Encoding::Utf16, Encoding::Compressed]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.hex || marks.seen.codes
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        hex(text, emit);
    }
}

/// Most signs and spaces between two pairs, apart from a prefix.
const MOST_BETWEEN: usize = 6;

/// Returns where the next pair begins after a pair that ends at `at`; `at` itself if none follows.
fn next_pair(bytes: &[u8], at: usize) -> usize {
    let is_sign = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    // `50h`, as in assembly language.
    let suffix = matches!(bytes.get(at), Some(b'h' | b'H')) && bytes.get(at + 1).is_none_or(is_sign);
    let signs = at + usize::from(suffix);
    let between = bytes[signs..].iter().take(MOST_BETWEEN).take_while(|byte| is_sign(byte)).count();
    let mut next = signs + between;
    if matches!(bytes.get(next..next + 2), Some([b'0', b'x' | b'X'])) {
        next += 2;
    } else if between > 0 && matches!(bytes.get(next), Some(b'x' | b'X')) {
        next += 1;
    }
    let is_digit = |at: usize| bytes.get(at).is_some_and(|byte| nibble(*byte).is_some());
    if is_digit(next) && is_digit(next + 1) { next } else { at }
}

/// Decodes pairs of hexadecimal digits, forward and backward.
fn hex(text: &Text<'_>, emit: &mut Emit<'_>) {
    let bytes = text.raw.as_bytes();
    let mut done = 0;
    let mut digits: Vec<u8> = Vec::new();
    for start in text.marks.hex_pairs() {
        if start < done {
            continue;
        }
        let mut at = start;
        let mut end;
        digits.clear();
        loop {
            while let Some(digit) = bytes.get(at).and_then(|b| nibble(*b)) {
                // The `0` of a `0x` is not a digit.
                if digit == 0 && matches!(bytes.get(at + 1), Some(b'x' | b'X')) {
                    break;
                }
                digits.push(digit);
                at += 1;
            }
            end = at;
            let next = next_pair(bytes, at);
            let goes_on = next > at && digits.len().is_multiple_of(2);
            if !goes_on {
                break;
            }
            at = next;
        }
        if digits.len() >= 2 * SHORTEST {
            let source = start..end;
            let whole: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            if inflate::may_begin([whole[0], whole[1], whole[2]], whole.len()) {
                inflate::inflate(&whole, &[Encoding::Hex], &source, emit);
            }
            if text.can_hold(digits.len() / 2) {
                pairs(digits.iter().copied(), &[Encoding::Hex], source, emit);
                pairs(digits.iter().rev().copied(), &[Encoding::Reversed, Encoding::Hex], start..end, emit);
            }
        }
        done = end;
    }
}

/// Decodes at both offsets.
fn pairs(digits: impl Iterator<Item = u8> + Clone, how: &[Encoding], source: Range<usize>, emit: &mut Emit<'_>) {
    for offset in 0..2 {
        let mut stretch = Stretch::new(how, source.clone());
        let mut high = None;
        for digit in digits.clone().skip(offset) {
            match high.take() {
                None => high = Some(digit),
                Some(high) => stretch.push(high << 4 | digit, emit),
            }
        }
        stretch.end(emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn any_sign_may_stand_between_and_around() {
        for (before, after) in [
            ("", " "),
            ("0x", ", "),
            ("\\x", ""),
            ("$", " "),
            ("#", ";"),
            ("", "h, "),
            ("| ", " "),
            ("", "\r\n"),
            ("0x", " | "),
        ] {
            let text: String = "Pyrodraconosis".bytes().map(|byte| format!("{before}{byte:02x}{after}")).collect();
            let said = decoded(&Hex, &format!("Here: {text}."));
            assert!(said.iter().any(|(_, said)| said == "Pyrodraconosis"), "{text} {said:?}");
        }
        assert!(decoded(&Hex, "In 1998 we had 12, in 2004 23 and by 2010 34 people").is_empty());
    }
}
