//! The part of an answer that may be shown: the surroundings of a secret, with every word masked that is not a word of
//! the template.

use std::collections::HashSet;
use std::ops::Range;

use crate::canary::Template;

/// Length shown on either side of a secret, in bytes.
const AROUND: usize = 80;

/// Returns the words of a template's messages, which are public, in lower case.
#[must_use]
pub fn public_words(template: &Template) -> HashSet<String> {
    let rendered = template.render(&Default::default(), "");
    let words = rendered.iter().flat_map(|m| m.content.split(|c: char| !c.is_alphanumeric()));
    words.filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// Returns the masked surroundings of a place in an answer.
///
/// Words of the template and common punctuation are kept. Everything else becomes `…`, and the text at the place
/// becomes `[secret]`.
#[must_use]
pub fn excerpt(text: &str, place: Range<usize>, public: &HashSet<String>) -> String {
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let place = boundary(place.start.min(text.len()))..boundary(place.end.min(text.len()));
    let (start, end) = (boundary(place.start.saturating_sub(AROUND)), boundary((place.end + AROUND).min(text.len())));
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    masked(&text[start..place.start], public, &mut out);
    out.push_str("[secret]");
    masked(&text[place.end..end], public, &mut out);
    if end < text.len() && !out.ends_with('…') {
        out.push('…');
    }
    out
}

fn masked(text: &str, public: &HashSet<String>, out: &mut String) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_alphanumeric() {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if public.contains(&word.to_lowercase()) {
                out.push_str(word);
            } else if !out.ends_with('…') {
                out.push('…');
            }
            rest = after;
        } else {
            match first {
                ' ' | '\n' | '\t' if !out.ends_with(' ') => out.push(' '),
                ',' | '.' | '!' | '?' | ':' | ';' | '\'' => out.push(first),
                _ => {}
            }
            rest = &rest[first.len_utf8()..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_template_are_left() {
        let public: HashSet<String> = ["hey", "mr", "how", "is", "your", "going"].map(str::to_owned).into();
        let text = "Hey Mr Orrin, how is your Pyrodraconosis going? <script>steal()</script> ::add-mask::x";
        let at = text.find("Pyro").expect("there");
        let shown = excerpt(text, at..at + 14, &public);
        assert_eq!(shown, "Hey Mr …, how is your [secret] going? … ::…::…", "{shown}");
        assert!(!shown.contains("Orrin") && !shown.contains("Pyro") && !shown.contains("script"));
        let shown = excerpt("Päßword ü", 0..0, &public);
        assert!(!shown.contains('P'), "{shown}");
        // A place within a character or beyond the text must not panic.
        for place in [1..2, 0..99, 2..2] {
            let _ = excerpt("ä", place, &public);
        }
    }
}
