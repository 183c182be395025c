//! Base32 (RFC 4648): the usual alphabet in either case, and that of base32hex.

use super::bytes::Stretch;
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Base32;

/// The fewest letters that hold a text.
const FEWEST: usize = 10;

/// Returns the value of a letter; `None` if the alphabet lacks it.
type Value = fn(u8) -> Option<u8>;

const fn upper(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'2'..=b'7' => Some(byte - b'2' + 26),
        _ => None,
    }
}

const fn lower(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a'),
        b'2'..=b'7' => Some(byte - b'2' + 26),
        _ => None,
    }
}

const fn extended(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'V' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl Decoder for Base32 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Base32, Encoding::Utf16]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.base64
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let tables: [Value; 3] = [upper, lower, extended];
        let mut done = 0;
        for start in text.marks.base64_runs() {
            let length = bytes[start..].iter().take_while(|byte| is_near(**byte)).count();
            let (begin, end) = (start.max(done), start + length);
            done = end;
            // Words in lowercase are not a code.
            if length < FEWEST
                || !text.can_hold(length * 5 / 8)
                || bytes[begin..end].iter().all(|byte| !byte.is_ascii_uppercase() && !byte.is_ascii_digit())
            {
                continue;
            }
            for value in tables {
                let mut at = begin;
                while at < end {
                    // A run of base64 may have other letters before a run of this alphabet.
                    let length = bytes[at..end].iter().take_while(|byte| value(**byte).is_some()).count();
                    if length >= FEWEST && bytes[at..at + length].iter().any(|byte| !byte.is_ascii_lowercase()) {
                        quintets(&bytes[at..at + length], value, at, emit);
                    }
                    at += length.max(1);
                }
            }
        }
    }
}

/// Whether a byte may be in a run of base64.
const fn is_near(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Decodes at each of the eight offsets: other letters may be before the code.
fn quintets(run: &[u8], value: Value, start: usize, emit: &mut Emit<'_>) {
    for offset in 0..8 {
        let mut stretch = Stretch::of_ascii(&[Encoding::Base32], start..start + run.len());
        let (mut buffer, mut bits) = (0u32, 0);
        for five in run.iter().skip(offset).filter_map(|byte| value(*byte)) {
            buffer = buffer << 5 | u32::from(five);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                stretch.push((buffer >> bits) as u8, emit);
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
    fn runs_of_either_case_are_read() {
        for text in ["It is KB4XE33EOJQWG33ON5ZWS4Y=.", "code-kb4xe33eojqwg33on5zws4y=", "A1SN4RR4E9GM6RREDTPMISO="] {
            let said = decoded(&Base32, text);
            assert!(said.iter().any(|(_, said)| said == "Pyrodraconosis"), "{text} {said:?}");
        }
        assert!(decoded(&Base32, "THE INTERNATIONAL SPACE STATION").is_empty());
    }
}
