//! Non-ASCII characters that stand for ASCII ones, turned into these, so that their text can be decoded; and bytes that
//! are hidden in variation selectors.

use unicode_normalization::char::{decompose_canonical, decompose_compatible};

use super::bytes::Stretch;
use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::normalised::ascii_of;
use crate::detect::view::Encoding;

pub(super) struct Folded;

/// Fewest characters standing for others that are no accident.
const FEWEST: usize = 4;

impl Decoder for Folded {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::LookAlikes, Encoding::VariationSelectors]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        !marks.seen.ascii
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let mut count = 0;
        let how = [Encoding::VariationSelectors];
        let mut hidden = Stretch::new(&how, 0..text.raw.len());
        for c in text.raw.chars().filter(|c| !c.is_ascii()) {
            if let Some(byte) = hidden_byte(c) {
                hidden.push(byte, emit);
            }
            count += usize::from(count < FEWEST && stands_for_another(c));
        }
        hidden.end(emit);
        if count < FEWEST {
            return;
        }
        let mut folded = String::with_capacity(text.raw.len());
        for c in text.raw.chars() {
            if c.is_ascii() {
                folded.push(c);
            } else if !is_invisible(c) {
                decompose_compatible(c, |c| folded.push(ascii_of(c).unwrap_or(c)));
            }
        }
        emit.push(&[Encoding::LookAlikes], folded, 0..text.raw.len());
    }
}

/// Whether a character stands for an ASCII one, or is invisible. A letter with an accent does not count.
fn stands_for_another(c: char) -> bool {
    let (mut first, mut is_ascii) = (None, false);
    decompose_canonical(c, |c| _ = first.get_or_insert(c));
    decompose_compatible(c, |c| is_ascii |= c.is_ascii_alphanumeric() || ascii_of(c).is_some());
    is_invisible(c) || is_ascii && !first.is_some_and(|c: char| c.is_ascii())
}

/// Whether a character is invisible.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Returns the byte that a variation selector hides; `None` for other characters.
fn hidden_byte(c: char) -> Option<u8> {
    match c {
        '\u{fe00}'..='\u{fe0f}' => u8::try_from(u32::from(c) - 0xfe00).ok(),
        '\u{e0100}'..='\u{e01ef}' => u8::try_from(u32::from(c) - 0xe0100 + 16).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn letters_of_other_forms_and_hidden_bytes_are_read() {
        let wide: String = "NDgyOTEz".chars().filter_map(|c| char::from_u32(u32::from(c) + 0xfee0)).collect();
        assert_eq!(decoded(&Folded, &wide), [(vec![Encoding::LookAlikes], "NDgyOTEz".to_owned())]);
        let parted = "N\u{200b}D\u{2060}g\u{200b}y\u{feff}OTEz";
        assert_eq!(decoded(&Folded, parted), [(vec![Encoding::LookAlikes], "NDgyOTEz".to_owned())]);
        let hidden: String = "\u{1f600}"
            .chars()
            .chain("secret".bytes().filter_map(|b| char::from_u32(0xe0100 - 16 + u32::from(b))))
            .collect();
        assert!(decoded(&Folded, &hidden).contains(&(vec![Encoding::VariationSelectors], "secret".to_owned())));
        assert!(
            decoded(
                &Folded,
                "\u{201c}Tr\u{e8}s bien\u{201d}, dit-il \u{2014} na\u{ef}vet\u{e9}, \u{e9}l\u{e8}ve, h\u{e9}las"
            )
            .is_empty()
        );
    }
}
