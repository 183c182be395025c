//! A text without its markup: tags and comments of HTML, commands of LaTeX, code fences, labels of lists and of JSON.

use super::{Decoder, Emit, Rewritten, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Markup;

/// The longest tag, command or label, in bytes.
const LONGEST: usize = 256;

impl Decoder for Markup {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Markup]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.tags || marks.seen.escapes || marks.seen.singles
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let (raw, seen) = (text.raw, &text.marks.seen);
        // Percent signs and ampersands are not markup.
        if !seen.tags && !seen.singles && memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return;
        }
        let mut plain = Rewritten::default();
        let (mut at, mut from, mut is_line_start) = (0, 0, true);
        while let Some(byte) = raw.as_bytes().get(at) {
            let rest = &raw[at..];
            let length = match byte {
                b'<' => tag(rest),
                b'\\' => command(rest),
                b'`' if is_line_start => fence(rest),
                b'"' | b'\'' => key(rest),
                _ if is_line_start => index(rest),
                _ => 0,
            };
            is_line_start = matches!(byte, b'\n') || is_line_start && matches!(byte, b' ' | b'\t');
            if length > 0 {
                plain.keep(&raw[from..at]);
                plain.change_alone(b" ");
                at += length;
                from = at;
                is_line_start = false;
            } else {
                at += 1;
                while !raw.is_char_boundary(at) {
                    at += 1;
                }
            }
        }
        plain.keep(&raw[from..]);
        plain.emit(Encoding::Markup, usize::MAX, &(0..raw.len()), emit);
    }
}

/// Counts the bytes up to and including `end`; 0 if `end` is not near.
fn up_to(text: &str, end: &str) -> usize {
    let near = &text.as_bytes()[..text.len().min(LONGEST)];
    memchr::memmem::find(near, end.as_bytes()).map_or(0, |at| at + end.len())
}

const CDATA: &str = "<![CDATA[";

/// The length of a tag or comment of HTML, or 0.
fn tag(text: &str) -> usize {
    match text.as_bytes() {
        [b'<', b'!', b'-', b'-', ..] => up_to(text, "-->"),
        // The content is text; its closing `]]>` has no letter.
        [b'<', b'!', b'[', ..] if text.starts_with(CDATA) => CDATA.len(),
        [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'!', ..] => up_to(text, ">"),
        _ => 0,
    }
}

/// The length of a command of LaTeX, or 0: a backslash and two letters or more. A single letter may be an escape.
fn command(text: &str) -> usize {
    let letters = text.bytes().skip(1).take(LONGEST).take_while(u8::is_ascii_alphabetic).count();
    if letters > 1 { 1 + letters } else { 0 }
}

/// The length of a code fence with the name of its language, or 0.
fn fence(text: &str) -> usize {
    if text.starts_with("```") { text.bytes().take(LONGEST).take_while(|byte| *byte != b'\n').count() } else { 0 }
}

/// The length of a key of JSON with its colon, or 0.
fn key(text: &str) -> usize {
    let quote = text.as_bytes()[0];
    let near = &text.as_bytes()[1..text.len().min(LONGEST)];
    let Some(close) = memchr::memchr3(quote, b'\n', b':', near).filter(|at| near[*at] == quote) else { return 0 };
    let spaces = near[close + 1..].iter().take_while(|byte| **byte == b' ').count();
    if near.get(close + 1 + spaces) == Some(&b':') { close + spaces + 3 } else { 0 }
}

/// The length of the label of a line, or 0: `1.`, `[0]`, `(2)`, or a word with a number and a colon.
fn index(text: &str) -> usize {
    let bytes = &text.as_bytes()[..text.len().min(LONGEST)];
    let count =
        |from: usize, class: fn(&u8) -> bool| bytes[from.min(bytes.len())..].iter().take_while(|b| class(b)).count();
    let word = count(0, u8::is_ascii_alphabetic);
    let open = word + count(word, |byte| matches!(byte, b' ' | b'_' | b'[' | b'(' | b'#'));
    let digits = count(open, u8::is_ascii_digit);
    let close = open + digits + count(open + digits, |byte| matches!(byte, b' ' | b']' | b')'));
    let is_open = open > word && word == 0 && close > open + digits;
    let ends = matches!(bytes.get(close), Some(b':' | b'.' | b'='));
    match (1..4).contains(&digits) {
        true if ends => close + 1,
        true if is_open || word == 0 && bytes.get(close - 1) == Some(&b')') => close,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;
    use crate::detect::normalise;

    #[test]
    fn markup_falls_away() {
        for text in [
            "<b>P</b>y<i class=\"x\">ro</i>dra<br/>co<!-- not -->nosis",
            "<![CDATA[P]]><![CDATA[yro]]><![CDATA[draco]]><![CDATA[nosis]]>",
            "\\textbf{P}\\emph{yro}draco\\textit{nosis}",
            "1. P\n2. y\n3. r\n4. o\n5. d\n6. r\n7. a\n8. c\n9. o\n10. n\n11. osis",
            "{\"a\": \"P\", \"b\": \"y\", \"c\": \"r\", \"d\": \"o\", \"e\": \"d\", \"f\": \"r\", \"g\": \"aconosis\"}",
            "Letter 1: P\nLetter 2: y\nLetter 3: r\nLetter 4: o\nLetter 5: d\nLetter 6: r\nLetter 7: aconosis",
        ] {
            let said = decoded(&Markup, text);
            assert!(said.iter().any(|(_, said)| normalise(said) == "pyrodraconosis"), "{text} {said:?}");
        }
        assert!(decoded(&Markup, "12 < 13 and <<48/2=24>>24, 5 % of \"it\"").is_empty());
    }
}
