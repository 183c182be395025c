//! The words of a text.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Whether a character belongs to a word.
fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
}

/// Where the words of a text stand: letters, digits and marks. An apostrophe between two letters beyond ASCII, as in
/// `п'ять`, parts no word.
pub(super) fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_in_word)?;
        let mut end = start;
        let mut rest = text[start..].chars();
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

/// A word in lower case, without marks and apostrophes.
pub(super) fn folded(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let is_dropped = |c: &char| is_combining_mark(*c) || matches!(c, '\'' | '\u{2019}' | '\u{2bc}');
    word.nfkd().filter(|c| !is_dropped(c)).flat_map(char::to_lowercase).collect()
}
