//! Base58, with Bitcoin's alphabet.

use super::bytes::Stretch;
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Base58;

/// Fewest letters that hold a text, and most that are decoded: the time grows with the square of the length.
const FEWEST: usize = 8;
const MOST: usize = 256;

const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let alphabet = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < alphabet.len() {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

impl Decoder for Base58 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Base58]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.base64
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let mut done = 0;
        for start in text.marks.base64_runs() {
            let mut at = start.max(done);
            while bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_')) {
                let run = &bytes[at..];
                let length = run.iter().take_while(|byte| VALUES[usize::from(**byte)] != NONE).count();
                if (FEWEST..=MOST).contains(&length) && text.can_hold(length * 3 / 4) && is_mixed(&run[..length]) {
                    let mut stretch = Stretch::of_ascii(&[Encoding::Base58], at..at + length);
                    stretch.extend(decode(&run[..length]), emit);
                    stretch.end(emit);
                }
                at += length.max(1);
            }
            done = at;
        }
    }
}

/// Whether letters of both cases, or letters and digits, follow the first letter: nearly all codes have that, and few
/// words.
fn is_mixed(run: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| usize::from(run[1..].iter().any(class));
    has(u8::is_ascii_uppercase) + has(u8::is_ascii_lowercase) + has(u8::is_ascii_digit) > 1
}

/// Returns the bytes of a number in base 58.
fn decode(run: &[u8]) -> Vec<u8> {
    // Words of 32 bits, lowest first.
    let mut words: Vec<u32> = Vec::with_capacity(run.len() / 5 + 1);
    for byte in run {
        let mut carry = u64::from(VALUES[usize::from(*byte)]);
        for word in &mut words {
            carry += u64::from(*word) * 58;
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    words.iter().rev().flat_map(|word| word.to_be_bytes()).skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn a_code_is_read() {
        let said = decoded(&Base58, "Hello is 9Ajdvzr, and more: 2NEpo7TZRRrLZSi2U.");
        assert_eq!(said, [(vec![Encoding::Base58], "Hello World!".to_owned())]);
        assert!(decoded(&Base58, "International-McDonald OfTheOldest").iter().all(|(_, said)| said.len() < 16));
    }
}
