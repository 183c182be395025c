//! Base85: Ascii85, Z85 (ZeroMQ), and the alphabet of Git and Python's `b85encode`.

use super::bytes::{Stretch, is_printable};
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Ascii85;

/// The fewest signs that hold a text.
const FEWEST: usize = 8;
/// Most signs of a sentence after a code.
const TRAILING: usize = 3;

const Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const GIT: &[u8; 85] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const ADOBE: [u8; 85] = {
    let mut signs = [0; 85];
    let mut value = 0;
    while value < 85 {
        signs[value] = b'!' + value as u8;
        value += 1;
    }
    signs
};

const NONE: u8 = 0xff;
static TABLES: [[u8; 256]; 3] = [table(&ADOBE), table(Z85), table(GIT)];

const fn table(signs: &[u8; 85]) -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 85 {
        table[signs[value] as usize] = value as u8;
        value += 1;
    }
    table
}

impl Decoder for Ascii85 {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Ascii85]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.tokens
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let mut at = 0;
        for token in text.raw.as_bytes().split(|byte| !byte.is_ascii_graphic()) {
            let start = at;
            at += token.len() + 1;
            let is_sign = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'\'');
            let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
            let is_marked = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            if token.len() < FEWEST
                || !text.can_hold(token.len() * 4 / 5)
                || !inner.iter().any(is_sign)
                || !token.iter().any(is_marked)
            {
                continue;
            }
            for table in &TABLES {
                for offset in (0..5).filter(|offset| may_be_text(&token[*offset..], table)) {
                    fives(&token[offset..], table, start + offset, emit);
                }
            }
        }
    }
}

/// Whether at least half of the whole groups, not counting one, decode to printable bytes only.
fn may_be_text(run: &[u8], table: &[u8; 256]) -> bool {
    let (groups, _) = run.as_chunks::<5>();
    let is_text = |five: &&[u8; 5]| {
        // The first of four printable bytes limits the first sign, which rules out most groups.
        let first = table[usize::from(five[0])];
        (2..42).contains(&first) && {
            let word = five.iter().fold(0u64, |word, sign| word * 85 + u64::from(table[usize::from(*sign)]));
            u32::try_from(word).is_ok_and(|word| word.to_be_bytes().into_iter().all(is_printable))
        }
    };
    let texts = groups.iter().filter(is_text).count();
    texts > 0 && 2 * texts >= groups.len() - 1
}

/// Decodes groups of five signs. The last ones are decoded with and without what may be signs of a sentence.
fn fives(run: &[u8], table: &[u8; 256], start: usize, emit: &mut Emit<'_>) {
    let mut stretch = Stretch::of_ascii(&[Encoding::Ascii85], start..start + run.len());
    let mut rest = run;
    while let Some((five, after)) = rest.split_first_chunk::<5>().filter(|(_, after)| after.len() >= 5 + TRAILING) {
        group(five, table, &mut stretch, emit);
        rest = after;
    }
    for cut in 0..=TRAILING.min(rest.len()) {
        let (kept, dropped) = rest.split_at(rest.len() - cut);
        if dropped.first().is_some_and(u8::is_ascii_alphanumeric) {
            break;
        }
        let mut last = stretch.clone();
        kept.chunks(5).for_each(|five| group(five, table, &mut last, emit));
        last.end(emit);
    }
}

/// Adds the bytes of a group; the last group may have fewer than five signs. An invalid group ends the stretch.
fn group(signs: &[u8], table: &[u8; 256], stretch: &mut Stretch<'_>, emit: &mut Emit<'_>) {
    let values = signs.iter().map(|sign| table[usize::from(*sign)]).chain(std::iter::repeat_n(84, 5 - signs.len()));
    let word = values.clone().fold(0u64, |word, value| word * 85 + u64::from(value));
    match u32::try_from(word) {
        Ok(word) if values.clone().all(|value| value != NONE) => {
            stretch.extend(word.to_be_bytes().into_iter().take(signs.len() - 1), emit);
        }
        _ => stretch.end(emit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn codes_are_read_with_signs_around_them() {
        let code = ":jI)\"A9)*gDf0K7Bla";
        for text in
            [format!("It is <~{code}~>"), format!("{code}."), format!("\"{code}\","), "P<e81WO89+Z*FgMX>$".into()]
        {
            let said = decoded(&Ascii85, &text);
            assert!(said.iter().any(|(_, said)| said.contains("Pyrodraconosis")), "{text} {said:?}");
        }
        assert!(decoded(&Ascii85, "a well-known U.S.-based company (1998-2004)").is_empty());
    }
}
