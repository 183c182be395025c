//! Escapes of programming languages: `\u0041`, `\x41`, `U+0041`.

use super::{Decoder, Emit, Text, digits_at_start, resolve, scalar};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Escapes;

impl Decoder for Escapes {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Escapes]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.escapes || marks.seen.code_points
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        if text.marks.seen.escapes {
            resolve(text.raw, Encoding::Escapes, b'\\', 0, escape, emit);
        }
        if text.marks.seen.code_points {
            resolve(text.raw, Encoding::Escapes, b'+', 1, escape, emit);
        }
    }
}

fn escape(rest: &str) -> Option<(Vec<u8>, usize)> {
    let (prefix, digits) = match rest.as_bytes() {
        [b'\\', b'u', b'{', ..] => {
            let count = digits_at_start(&rest[3..], 16, 6);
            let close = usize::from(rest.as_bytes().get(3 + count) == Some(&b'}'));
            return Some((scalar(rest.get(3..3 + count)?, 16)?, 3 + count + close));
        }
        [b'\\', b'u', ..] => (2, 4),
        [b'\\', b'U', ..] => (2, 8),
        [b'\\', b'x', ..] => (2, 2),
        // With fewer than four digits, `U+` may begin a sum.
        [b'U', b'+', ..] => {
            let count = digits_at_start(&rest[2..], 16, 6);
            return (count >= 4).then_some(()).and_then(|()| Some((scalar(&rest[2..2 + count], 16)?, 2 + count)));
        }
        [b'\\', b'n' | b't' | b'r', ..] => return Some((b" ".to_vec(), 2)),
        _ => return None,
    };
    let text = rest.get(prefix..prefix + digits)?;
    if digits_at_start(text, 16, digits) < digits {
        return None;
    }
    // Two surrogates stand for one character.
    let value = u32::from_str_radix(text, 16).ok()?;
    if (0xd800..0xdc00).contains(&value) {
        let low = rest.get(prefix + digits..)?.strip_prefix("\\u")?.get(..4)?;
        let low = u32::from_str_radix(low, 16).ok().filter(|low| (0xdc00..0xe000).contains(low))?;
        let c = char::from_u32(0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00))?;
        return Some((c.to_string().into_bytes(), prefix + digits + "\\uDC00".len()));
    }
    Some((scalar(text, 16)?, prefix + digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn two_surrogates_are_one_character_and_taken_whole() {
        for pair in ["\\ud83d\\ude00", "\\U0000d83d\\ude00", "\\U0001f600", "\\u{1f600}"] {
            assert_eq!(escape(&format!("{pair}rest")), Some(("\u{1f600}".as_bytes().to_vec(), pair.len())), "{pair}");
            let said = decoded(&Escapes, &format!("a {pair} b"));
            assert_eq!(said, [(vec![Encoding::Escapes], "a \u{1f600} b".to_owned())], "{pair}");
        }
        // A surrogate alone is not a character.
        for alone in ["\\ud83d", "\\ud83d rest", "\\U0000d83d\\u0041", "\\ude00"] {
            assert_eq!(escape(alone), None, "{alone}");
        }
    }
}
