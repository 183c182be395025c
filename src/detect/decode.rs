//! Decodes what is written as bytes: base64, hexadecimal, percent signs, entities, escapes.

use std::ops::Range;

use super::marks::Marks;
use super::view::{Encoding, Out};

/// The shortest decoded text that is looked at, in bytes.
const SHORTEST: usize = 6;

pub(super) fn each(text: &str, marks: &Marks, out: Out<'_>) {
    if marks.seen.base64 {
        base64(text, marks, out);
    }
    if marks.seen.hex {
        hex(text, marks, out);
    }
    escaped(text, marks, out);
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

/// For each byte of the alphabet whether its bits 5, 3 and 1 are clear; the same three with ROT13 undone.
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

/// The offsets at which a short run may be a text of ASCII: such bytes have their first bit clear, which shows
/// in three of four sextets. Eight in a row that fit are seldom a word.
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

/// Runs of the alphabet, read at each of the four offsets, forward, backward, and with ROT13 undone.
/// A run may go on after a line break.
fn base64(text: &str, marks: &Marks, out: Out<'_>) {
    let bytes = text.as_bytes();
    let is_in = |at: usize| bytes.get(at).is_some_and(|b| BASE64[usize::from(*b)] != NONE);
    let mut done = 0;
    for start in marks.base64_runs() {
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
        let fits = if is_whole {
            let backward = |clear: u64| clear.reverse_bits() >> (64 - length);
            [
                offsets([clear[0], clear[1], clear[2]], length),
                offsets([backward(clear[0]), backward(clear[1]), backward(clear[2])], length),
                offsets([clear[3], clear[4], clear[5]], length),
            ]
        } else {
            [[true; 4]; 3]
        };
        if fits == [[false; 4]; 3] {
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
        sextets(run.iter().copied(), fits[0], &[Encoding::Base64], &source, out);
        sextets(run.iter().rev().copied(), fits[1], &[Encoding::Reversed, Encoding::Base64], &source, out);
        sextets(run.iter().copied().map(rot13), fits[2], &[Encoding::Rot13, Encoding::Base64], &source, out);
    }
}

/// Where a run goes on after one line break; only a long line does, as encoders break them.
fn after_break(bytes: &[u8], at: usize) -> Option<usize> {
    let next = match bytes.get(at..)? {
        [b'\r', b'\n', ..] => at + 2,
        [b'\n', ..] => at + 1,
        _ => return None,
    };
    bytes.get(next).is_some_and(|b| BASE64[usize::from(*b)] != NONE).then_some(next)
}

/// Decodes at the offsets that fit, and gives the stretches that are texts.
fn sextets(
    run: impl Iterator<Item = u8> + Clone,
    fits: [bool; 4],
    how: &[Encoding],
    source: &Range<usize>,
    out: Out<'_>,
) {
    for offset in (0..4).filter(|offset| fits[*offset]) {
        let mut stretch = Stretch::new(how, source.clone());
        let (mut buffer, mut bits) = (0u32, 0);
        for value in run.clone().skip(offset) {
            buffer = buffer << 6 | u32::from(value);
            bits += 6;
            if bits >= 8 {
                bits -= 8;
                stretch.push((buffer >> bits) as u8, out);
            }
        }
        stretch.end(out);
    }
}

/// Collects decoded bytes as long as they are printable, or letters beyond ASCII.
struct Stretch<'a> {
    how: &'a [Encoding],
    source: Range<usize>,
    bytes: Vec<u8>,
}

impl<'a> Stretch<'a> {
    const fn new(how: &'a [Encoding], source: Range<usize>) -> Self {
        Self { how, source, bytes: Vec::new() }
    }

    fn push(&mut self, byte: u8, out: Out<'_>) {
        if (b' '..0x7f).contains(&byte) || byte >= 0x80 || matches!(byte, b'\n' | b'\r' | b'\t') {
            self.bytes.push(byte);
        } else {
            self.end(out);
        }
    }

    fn end(&mut self, out: Out<'_>) {
        // Random bytes are seldom a text: most end after a few.
        if self.bytes.len() >= SHORTEST {
            for part in self.bytes.utf8_chunks() {
                if part.valid().len() >= SHORTEST {
                    out(self.how, part.valid().to_owned(), self.source.clone());
                }
            }
        }
        self.bytes.clear();
    }
}

const fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// What may stand between two pairs of hexadecimal digits.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b':' | b'-' | b',' | b'\\' | b'%' | b'=' | b'_' | b'\n' | b'"' | b'\'' | b'[' | b']')
}

/// Pairs of hexadecimal digits, with up to three signs or `0x` between them; forward and backward.
fn hex(text: &str, marks: &Marks, out: Out<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    let mut digits: Vec<u8> = Vec::new();
    for start in marks.hex_pairs() {
        if start < done {
            continue;
        }
        let mut at = start;
        let mut end;
        digits.clear();
        loop {
            while let Some(digit) = bytes.get(at).and_then(|b| nibble(*b)) {
                // The `0` of a `0x` is no digit.
                if digit == 0 && matches!(bytes.get(at + 1), Some(b'x' | b'X')) {
                    break;
                }
                digits.push(digit);
                at += 1;
            }
            end = at;
            let between = bytes[at..].iter().take(3).take_while(|b| is_between(**b)).count();
            let mut next = at + between;
            if matches!(bytes.get(next..next + 2), Some([b'0' | b'\\', b'x' | b'X'])) {
                next += 2;
            } else if between > 0 && matches!(bytes.get(next), Some(b'x' | b'X')) {
                next += 1;
            }
            let goes_on = next > at
                && digits.len().is_multiple_of(2)
                && bytes.get(next).is_some_and(|b| nibble(*b).is_some())
                && bytes.get(next + 1).is_some_and(|b| nibble(*b).is_some());
            if !goes_on {
                break;
            }
            at = next;
        }
        if digits.len() >= 2 * SHORTEST {
            pairs(digits.iter().copied(), &[Encoding::Hex], start..end, out);
            pairs(digits.iter().rev().copied(), &[Encoding::Reversed, Encoding::Hex], start..end, out);
        }
        done = end;
    }
}

/// Decodes at both offsets.
fn pairs(digits: impl Iterator<Item = u8> + Clone, how: &[Encoding], source: Range<usize>, out: Out<'_>) {
    for offset in 0..2 {
        let mut stretch = Stretch::new(how, source.clone());
        let mut high = None;
        for digit in digits.clone().skip(offset) {
            match high.take() {
                None => high = Some(digit),
                Some(high) => stretch.push(high << 4 | digit, out),
            }
        }
        stretch.end(out);
    }
}

/// Reads one escape at the beginning of a text: its bytes, and how long it is.
type Read = fn(&str) -> Option<(Vec<u8>, usize)>;

/// The whole text with percent signs, entities or escapes resolved, for each kind that it has.
fn escaped(text: &str, marks: &Marks, out: Out<'_>) {
    let bytes = text.as_bytes();
    // The sign of each kind, and how far before it the escape begins.
    let kinds: [(bool, Encoding, u8, usize, Read); 4] = [
        (marks.seen.escapes, Encoding::Percent, b'%', 0, percent),
        (marks.seen.escapes, Encoding::Entities, b'&', 0, entity),
        (marks.seen.escapes, Encoding::Escapes, b'\\', 0, escape),
        (marks.seen.code_points, Encoding::Escapes, b'+', 1, escape),
    ];
    for (_, encoding, sign, before, read) in kinds.into_iter().filter(|(may_have, ..)| *may_have) {
        let mut decoded: Vec<u8> = Vec::new();
        let mut from = 0;
        for at in memchr::memchr_iter(sign, bytes) {
            let Some(at) = at.checked_sub(before).filter(|at| *at >= from && text.is_char_boundary(*at)) else {
                continue;
            };
            if let Some((value, length)) = read(&text[at..]) {
                decoded.extend_from_slice(&bytes[from..at]);
                decoded.extend_from_slice(&value);
                from = at + length;
            }
        }
        if from > 0 {
            decoded.extend_from_slice(&bytes[from..]);
            out(&[encoding], String::from_utf8_lossy(&decoded).into_owned(), 0..text.len());
        }
    }
}

fn percent(rest: &str) -> Option<(Vec<u8>, usize)> {
    let bytes = rest.as_bytes();
    let [b'%', high, low, ..] = bytes else { return None };
    Some((vec![nibble(*high)? << 4 | nibble(*low)?], 3))
}

/// The bytes of a code point, by its digits.
fn scalar(digits: &str, radix: u32) -> Option<Vec<u8>> {
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    Some(c.to_string().into_bytes())
}

/// How many bytes at the beginning are digits of a radix, at most.
fn run(text: &str, radix: u32, most: usize) -> usize {
    text.chars().take(most).take_while(|c| c.is_digit(radix)).count()
}

fn entity(rest: &str) -> Option<(Vec<u8>, usize)> {
    let inner = rest.strip_prefix('&')?;
    if let Some(number) = inner.strip_prefix('#') {
        let (hexadecimal, radix) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        let count = run(hexadecimal, radix, 7);
        let semicolon = usize::from(hexadecimal.as_bytes().get(count) == Some(&b';'));
        let length = rest.len() - hexadecimal.len() + count + semicolon;
        return Some((scalar(hexadecimal.get(..count)?, radix)?, length));
    }
    let named =
        [("amp;", "&"), ("lt;", "<"), ("gt;", ">"), ("quot;", "\""), ("apos;", "'"), ("nbsp;", " "), ("shy;", "")];
    let more = [("lowbar;", "_"), ("commat;", "@"), ("period;", "."), ("hyphen;", "-"), ("dash;", "-")];
    let found = named.iter().chain(&more).find(|(name, _)| inner.starts_with(name))?;
    Some((found.1.as_bytes().to_vec(), 1 + found.0.len()))
}

fn escape(rest: &str) -> Option<(Vec<u8>, usize)> {
    let (prefix, digits) = match rest.as_bytes() {
        [b'\\', b'u', b'{', ..] => {
            let count = run(&rest[3..], 16, 6);
            let close = usize::from(rest.as_bytes().get(3 + count) == Some(&b'}'));
            return Some((scalar(rest.get(3..3 + count)?, 16)?, 3 + count + close));
        }
        [b'\\', b'u', ..] => (2, 4),
        [b'\\', b'U', ..] => (2, 8),
        [b'\\', b'x', ..] => (2, 2),
        // Between letters it is a sum; the signs around it are dropped by the normal form.
        [b'U', b'+', ..] => {
            let count = run(&rest[2..], 16, 6);
            return (count >= 4).then_some(()).and_then(|()| Some((scalar(&rest[2..2 + count], 16)?, 2 + count)));
        }
        [b'\\', b'n' | b't' | b'r', ..] => return Some((b" ".to_vec(), 2)),
        _ => return None,
    };
    let text = rest.get(prefix..prefix + digits)?;
    if run(text, 16, digits) < digits {
        return None;
    }
    // Two surrogates for one character.
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

    #[test]
    fn two_surrogates_are_one_character_and_taken_whole() {
        for pair in ["\\ud83d\\ude00", "\\U0000d83d\\ude00", "\\U0001f600", "\\u{1f600}"] {
            assert_eq!(escape(&format!("{pair}rest")), Some(("\u{1f600}".as_bytes().to_vec(), pair.len())), "{pair}");
            let text = format!("a {pair} b");
            let mut decoded = Vec::new();
            escaped(&text, &Marks::new(&text), &mut |how, said, _| decoded.push((how.to_vec(), said)));
            assert_eq!(decoded, [(vec![Encoding::Escapes], "a \u{1f600} b".to_owned())], "{pair}");
        }
        // One without the other is none.
        for alone in ["\\ud83d", "\\ud83d rest", "\\U0000d83d\\u0041", "\\ude00"] {
            assert_eq!(escape(alone), None, "{alone}");
        }
    }
}
