//! The words of a text.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Whether a character belongs to a word.
fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
}

/// Returns the byte ranges of the words of a text: letters, digits and marks. An apostrophe between two non-ASCII
/// letters, as in `п'ять`, does not split a word.
pub(super) fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        let start = loop {
            match bytes.get(at)? {
                byte if byte.is_ascii_alphanumeric() => break at,
                byte if byte.is_ascii() => at += 1,
                _ => {
                    let c = text[at..].chars().next()?;
                    if is_in_word(c) {
                        break at;
                    }
                    at += c.len_utf8();
                }
            }
        };
        let mut end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let mut rest = text[end..].chars();
        while let Some(c) = rest.next() {
            let is_apostrophe = matches!(c, '\'' | '\u{2019}' | '\u{2bc}');
            let parts_none = is_apostrophe && {
                let before = text[start..end].chars().next_back();
                let after = rest.clone().next();
                before.zip(after).is_some_and(|(a, b)| !a.is_ascii() && !b.is_ascii() && is_in_word(b))
            };
            if !is_in_word(c) && !parts_none {
                break;
            }
            end += c.len_utf8();
        }
        at = end;
        Some(start..end)
    })
}

/// Writes a word to `folded` in lowercase, without marks and apostrophes.
pub(super) fn fold(word: &str, folded: &mut String) {
    folded.clear();
    if word.is_ascii() {
        folded.push_str(word);
        folded.make_ascii_lowercase();
        return;
    }
    let is_dropped = |c: &char| is_combining_mark(*c) || matches!(c, '\'' | '\u{2019}' | '\u{2bc}');
    folded.extend(word.nfkd().filter(|c| !is_dropped(c)).flat_map(char::to_lowercase));
}
