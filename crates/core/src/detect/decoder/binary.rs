//! Binary digits: groups of eight or seven for a byte, with or without signs between them, also `0b01010000`.

use super::bytes::{SHORTEST, Stretch};
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Binary;

/// Digits of a group that omits the first bit of its byte.
const SHORT_GROUP: usize = 7;
/// Most signs and spaces between two groups.
const MOST_BETWEEN: usize = 6;

impl Decoder for Binary {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Binary, Encoding::Utf16]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.long_digits
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let is_bit = |byte: &u8| matches!(byte, b'0' | b'1');
        let mut bits: Vec<u8> = Vec::new();
        let (mut at, mut first, mut end) = (0, 0, 0);
        while let Some(start) = (at..bytes.len()).find(|at| is_bit(&bytes[*at])) {
            let length = bytes[start..].iter().take_while(|byte| is_bit(byte)).count();
            at = start + length;
            // The zero of `0b` is not a bit.
            let is_prefix = length == 1 && matches!(bytes.get(at), Some(b'b' | b'B'));
            if is_prefix {
                continue;
            }
            if !bits.is_empty() && !may_stand_between(&bytes[end..start]) {
                read(&bits, first..end, emit);
                bits.clear();
            }
            if length < SHORT_GROUP {
                continue;
            }
            if bits.is_empty() {
                first = start;
            }
            end = at;
            bits.extend((length == SHORT_GROUP).then_some(0));
            bits.extend(bytes[start..at].iter().map(|byte| byte & 1));
        }
        read(&bits, first..end, emit);
    }
}

/// Whether these bytes may be between two groups: a few signs, and the prefix of the next group.
fn may_stand_between(between: &[u8]) -> bool {
    let between = between.strip_suffix(b"0b").or_else(|| between.strip_suffix(b"0B")).unwrap_or(between);
    between.len() <= MOST_BETWEEN && between.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric())
}

/// Decodes bits at each of the eight offsets.
fn read(bits: &[u8], source: std::ops::Range<usize>, emit: &mut Emit<'_>) {
    for offset in 0..8.min(bits.len() / 8) {
        if bits.len() < 8 * SHORTEST {
            return;
        }
        let mut stretch = Stretch::new(&[Encoding::Binary], source.clone());
        let byte = |eight: &[u8]| eight.iter().fold(0, |byte, bit| byte << 1 | bit);
        stretch.extend(bits[offset..].chunks_exact(8).map(byte), emit);
        stretch.end(emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn groups_of_bits_are_read() {
        let join = |make: &dyn Fn(u8) -> String, between: &str| {
            "Pyrodraconosis".bytes().map(make).collect::<Vec<_>>().join(between)
        };
        for text in [
            join(&|b| format!("{b:08b}"), " "),
            join(&|b| format!("{b:08b}"), ""),
            join(&|b| format!("{b:07b}"), " "),
            join(&|b| format!("0b{b:08b}"), ", "),
            join(&|b| format!("{b:08b}"), "\n"),
        ] {
            let said = decoded(&Binary, &format!("It is {text}, I think"));
            assert!(said.iter().any(|(_, said)| said == "Pyrodraconosis"), "{text} {said:?}");
        }
        assert!(decoded(&Binary, "10000000 people, 1000000 dogs").is_empty());
    }
}
