//! Letters as decimal or octal codes: `80 121 114`, `chr(80)+chr(121)`, `[80, 121]`, `\120\171`.

use std::ops::Range;

use super::bytes::{SHORTEST, Stretch};
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct NumberCodes;

/// Most digits of a code.
const MOST_DIGITS: usize = 3;
/// Most bytes between two codes.
const MOST_BETWEEN: usize = 24;
/// Words that may be between two codes, in lowercase.
const WORDS: [&str; 9] = ["chr", "char", "fromcharcode", "string", "ord", "o", "chrw", "codepoint", "ascii"];

impl Decoder for NumberCodes {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::DecimalCodes, Encoding::Octal]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.codes || marks.seen.long_digits
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        let mut row = Row::default();
        let mut at = 0;
        while let Some(start) = (at..bytes.len()).find(|at| bytes[*at].is_ascii_digit()) {
            let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let digits = &bytes[start..start + length];
            at = start + length;
            // The zero of `0o120` is not a code.
            if digits == b"0" && matches!(bytes.get(at), Some(b'o' | b'O')) {
                continue;
            }
            let goes_on = row.digits.is_empty() || may_stand_between(&bytes[row.source.end..start]);
            if !goes_on {
                row.end(text, emit);
            }
            if length <= MOST_DIGITS || length == MOST_DIGITS + 1 && digits[0] == b'0' {
                if row.digits.is_empty() {
                    row.source.start = start;
                }
                row.source.end = at;
                row.digits.push(digits);
            } else {
                row.end(text, emit);
                if length >= MOST_DIGITS * SHORTEST {
                    // Codes without signs between them have three digits each.
                    row.digits.extend(digits.chunks(MOST_DIGITS));
                    row.source = start..at;
                    row.end(text, emit);
                }
            }
        }
        row.end(text, emit);
    }
}

/// Codes in a row.
#[derive(Default)]
struct Row<'a> {
    digits: Vec<&'a [u8]>,
    source: Range<usize>,
}

impl Row<'_> {
    fn end(&mut self, text: &Text<'_>, emit: &mut Emit<'_>) {
        if self.digits.len() >= SHORTEST && text.can_hold(self.digits.len()) {
            for (how, radix) in [(Encoding::DecimalCodes, 10), (Encoding::Octal, 8)] {
                let steps = [how];
                let mut stretch = Stretch::new(&steps, self.source.clone());
                for digits in &self.digits {
                    let value = |value, digit: &u8| value * radix + u32::from(digit - b'0');
                    let is_in = digits.iter().all(|digit| u32::from(digit - b'0') < radix);
                    let code = if is_in { digits.iter().fold(0, value) } else { u32::MAX };
                    match u8::try_from(code) {
                        Ok(byte) => stretch.push(byte, emit),
                        Err(_) => stretch.end(emit),
                    }
                }
                stretch.end(emit);
            }
        }
        self.digits.clear();
    }
}

/// Whether these bytes may be between two codes: signs, spaces, and the words of a call.
fn may_stand_between(between: &[u8]) -> bool {
    if between.len() > MOST_BETWEEN || !between.is_ascii() {
        return false;
    }
    let mut words = between.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.all(|word| WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn decimal_and_octal_codes_are_read() {
        let join = |make: &dyn Fn(u8) -> String| "Pyrodraconosis".bytes().map(make).collect::<Vec<_>>();
        for text in [
            join(&|b| format!("{b}")).join(" "),
            join(&|b| format!("{b:03}")).concat(),
            join(&|b| format!("chr({b})")).join("+"),
            format!("String.fromCharCode({})", join(&|b| format!("{b}")).join(", ")),
            join(&|b| format!("\\{b:03o}")).concat(),
            join(&|b| format!("0o{b:o}")).join(" "),
        ] {
            let said = decoded(&NumberCodes, &format!("It is {text}, I think"));
            assert!(said.iter().any(|(_, said)| said == "Pyrodraconosis"), "{text} {said:?}");
        }
        assert!(
            decoded(&NumberCodes, "In 1998 we had 12 dogs, 13 cats, 14 cows, 15 pigs, 16 hens, 17 bees").is_empty()
        );
    }
}
