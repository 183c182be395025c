//! Morse code.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Decoder, Emit, Text, beyond_ascii};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Morse;

impl Decoder for Morse {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Morse]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.two_morse_signs || !marks.seen.ascii
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        if let Some(decoded) = morse(text.raw, text.marks) {
            emit.push(&[Encoding::Morse], decoded, 0..text.raw.len());
        }
    }
}

/// Fewest letters that make a message.
const FEWEST: usize = 3;

const MORSE: &str = "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- \
                     v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----.";

static SIGNS: LazyLock<HashMap<&str, char, foldhash::fast::RandomState>> =
    LazyLock::new(|| MORSE.split(' ').filter_map(|sign| Some((sign.get(1..)?, sign.chars().next()?))).collect());

/// Typographic variants of Morse signs.
const TYPOGRAPHIC: [char; 5] = ['·', '•', '–', '—', '−'];

fn morse(text: &str, marks: &Marks) -> Option<String> {
    // Nearly every message has a letter with two signs in a row.
    let typographic = if marks.seen.ascii { 0 } else { beyond_ascii(text, [0xc2, 0xe2], &TYPOGRAPHIC).count() };
    if !marks.seen.two_morse_signs && typographic == 0 || marks.morse_runs() + typographic < FEWEST {
        return None;
    }
    let plain: String = text
        .chars()
        .map(|c| match c {
            '·' | '•' => '.',
            '–' | '—' | '−' => '-',
            '/' | '|' => ' ',
            c => c,
        })
        .collect();
    let mut decoded = String::new();
    let mut found = 0;
    for word in plain.split_whitespace() {
        // A sign may have quotation marks or brackets around it, but no letter beside it.
        let trimmed = word.trim_end_matches(|c: char| !matches!(c, '.' | '-'));
        let start = trimmed
            .rfind(|c: char| !matches!(c, '.' | '-'))
            .map_or(0, |at| at + trimmed[at..].chars().next().map_or(1, char::len_utf8));
        let beside = trimmed[..start].ends_with(char::is_alphanumeric);
        let sign = if beside { None } else { trimmed.get(start..) };
        match sign.and_then(|sign| SIGNS.get(sign)) {
            Some(letter) => {
                decoded.push(*letter);
                found += 1;
            }
            // A word that is not Morse code ends a message.
            None => decoded.push_str(" ~ "),
        }
    }
    // Messages of fewer letters arise by chance: they are dropped before the rest is joined.
    let messages: Vec<&str> = decoded.split(" ~ ").filter(|m| m.len() >= FEWEST).collect();
    (found >= FEWEST && !messages.is_empty()).then(|| messages.concat())
}
