//! Secrets in labeled parts: `begins with … and ends with …`, `first half: …, second half: …`, `part 2: … part 1: …`.

use std::ops::Range;

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Parts;

impl Decoder for Parts {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Parts]
    }

    /// Always true: the decoder scans the words itself, many at once.
    fn may_apply(&self, _: &Marks) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let labels = &text.scan().labels;
        if labels.len() < 2 {
            return;
        }
        // `beginning …, middle …, end …` counts only together: each of these words alone is common in prose.
        let has_middle = labels.len() > 2 && labels.iter().any(|at| is_middle(text.raw, *at));
        let found: Vec<Part> = labels.iter().filter_map(|at| part(text.raw, *at, has_middle)).collect();
        let mut begin = 0;
        while begin < found.len() {
            // A repeated number begins another secret.
            let again = |end: &usize| found[begin..*end].iter().any(|part| part.number == found[*end].number);
            let end = (begin + 1..found.len()).find(again).unwrap_or(found.len());
            join(text.raw, &found[begin..end], found.get(end), emit);
            begin = end;
        }
    }
}

/// Words that name a part: a text must have two of them.
pub(super) const LABELS: [&str; 37] = [
    "middle",
    "half",
    "part",
    "third",
    "piece",
    "chunk",
    "segment",
    "section",
    "portion",
    "quarter",
    "fragment",
    "digits",
    "characters",
    "letters",
    "begins",
    "starts",
    "begin",
    "start",
    "beginning",
    "starting",
    "ends",
    "end",
    "ending",
    "finishes",
    "continues",
    "followed",
    "halves",
    "parts",
    "teil",
    "h\u{e4}lfte",
    "beginnt",
    "endet",
    "stück",
    "mitad",
    "parte",
    "moitié",
    "partie",
];

/// Number of a last part: greater than all others.
const LAST: u32 = 1000;
/// Longest part, in bytes.
const LONGEST: usize = 512;

/// Whether `middle` is a word of its own at a position, and not within a value as in `a.middle7`.
fn is_middle(text: &str, at: usize) -> bool {
    let word = text.get(at..at + "middle".len()).is_some_and(|word| word.eq_ignore_ascii_case("middle"));
    let behind = text.as_bytes().get(at + "middle".len()).copied();
    let before = text[..at].bytes().next_back();
    let is_apart = |byte: Option<u8>| byte.is_none_or(|byte| matches!(byte, b' ' | b'\n' | b':' | b'"' | b'('));
    word && is_apart(before) && is_apart(behind)
}

/// The label of a part.
struct Part {
    number: u32,
    /// Byte range of the label, with all its words.
    place: Range<usize>,
}

/// Returns the number of a word beside the name of a part, such as `second`; `None` if it has none.
fn ordinal(word: &str) -> Option<u32> {
    let known = [
        ("first", 1),
        ("one", 1),
        ("second", 2),
        ("two", 2),
        ("next", 3),
        ("middle", 3),
        ("third", 3),
        ("three", 3),
        ("fourth", 4),
        ("four", 4),
        ("fifth", 5),
        ("five", 5),
        ("sixth", 6),
        ("six", 6),
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("d", 4),
        ("other", LAST),
        ("last", LAST),
        ("final", LAST),
        ("remaining", LAST),
        ("erste", 1),
        ("zweite", 2),
        ("erster", 1),
        ("zweiter", 2),
        ("primera", 1),
        ("segunda", 2),
    ];
    let named = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, number)| *number);
    named.or_else(|| word.parse().ok().filter(|number| (1..100).contains(number)))
}

/// Returns the label whose name is at a position. In a text with a middle, its beginning and end need no further word.
fn part(text: &str, at: usize, has_middle: bool) -> Option<Part> {
    let length = text[at..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let name = text[at..at + length].to_ascii_lowercase();
    let after = &text[at + length..];
    // The next word, and where it ends.
    let word_after = |from: &str| {
        let skipped = from.len() - from.trim_start_matches([' ', '#', '*', '_', '(']).len();
        let word = from[skipped..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        (from[skipped..skipped + word].to_owned(), skipped + word)
    };
    let (next, next_end) = word_after(after);
    let end = at + length;
    let is_with = matches!(next.as_str(), "with" | "by" | "mit" | "in" | "as" | "con");
    let with_end = if is_with { end + next_end } else { end };
    match name.as_str() {
        "begins" | "starts" | "begin" | "start" | "beginning" | "starting" | "beginnt" => {
            return (is_with || has_middle).then_some(Part { number: 1, place: at..with_end });
        }
        "middle" if has_middle && is_middle(text, at) => return Some(Part { number: 2, place: at..with_end }),
        "continues" | "followed" => return is_with.then_some(Part { number: 2, place: at..with_end }),
        "ends" | "end" | "ending" | "finishes" | "endet" => {
            return (is_with || has_middle).then_some(Part { number: LAST, place: at..with_end });
        }
        _ => {}
    }
    // The number is one or two words before, as in `the first five digits`.
    let mut start = at;
    for _ in 0..2 {
        let before = text[..start].trim_end_matches([' ', '-']);
        let word = before.bytes().rev().take(16).take_while(u8::is_ascii_alphanumeric).count();
        let begin = before.len() - word;
        if word == 0 {
            break;
        }
        if let Some(number) =
            ordinal(&before[begin..]).filter(|_| !before[begin..].starts_with(|c: char| c.is_ascii_digit()))
        {
            // `first` may be before another number: `first five digits`.
            let more = text[..begin].trim_end_matches([' ', '-']);
            let other = more.bytes().rev().take(16).take_while(u8::is_ascii_alphanumeric).count();
            let first = ordinal(&more[more.len() - other..]);
            let number = first.unwrap_or(number);
            let start = if first.is_some() { more.len() - other } else { begin };
            return Some(Part { number, place: start..end });
        }
        start = begin;
    }
    ordinal(&next).map(|number| {
        let (of, of_end) = word_after(&after[next_end..]);
        let of_count = || word_after(&after[next_end + of_end..]).1;
        let end = end + next_end + if of == "of" { of_end + of_count() } else { 0 };
        Part { number, place: at..end }
    })
}

/// Emits the values of a secret's labels, joined in the order of their numbers.
fn join(text: &str, parts: &[Part], next: Option<&Part>, emit: &mut Emit<'_>) {
    let [first, .., last] = parts else { return };
    let end = next.map_or(text.len(), |next| next.place.start);
    let ends = parts.iter().skip(1).map(|part| part.place.start).chain([end]);
    let mut values: Vec<(u32, &str)> =
        parts.iter().zip(ends).map(|(part, end)| (part.number, value(text, part.place.end.min(end), end))).collect();
    values.sort_by_key(|(number, _)| *number);
    let joined: Vec<&str> = values.into_iter().map(|(_, value)| value).filter(|value| !value.is_empty()).collect();
    if joined.len() > 1 {
        emit.push(
            &[Encoding::Parts],
            joined.join(" "),
            first.place.start..last.place.end.max(end.min(last.place.end + LONGEST)),
        );
    }
}

/// Returns the value of a label: quoted, or up to the end of the clause.
fn value(text: &str, start: usize, end: usize) -> &str {
    let end = (start..=end.min(start + LONGEST)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(start);
    let mut rest = &text[start..end];
    loop {
        let trimmed = rest
            .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '=' | '-' | '*' | '>' | ')' | ','));
        let word = ["is ", "are ", "of it ", "would be ", "the ", "reads ", "ist "]
            .iter()
            .find(|word| trimmed.starts_with(**word));
        rest = match word {
            Some(word) => &trimmed[word.len()..],
            None if trimmed.len() == rest.len() => break,
            None => trimmed,
        };
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`' | '\'' | '\u{201c}' | '\u{2018}'));
    if let Some(quote) = quote {
        let inner = &rest[quote.len_utf8()..];
        let close = match quote {
            '\u{201c}' => '\u{201d}',
            '\u{2018}' => '\u{2019}',
            quote => quote,
        };
        if let Some(end) = inner.find(close) {
            return &inner[..end];
        }
    }
    let stops = [", ", "; ", ". ", "\n", " and ", " - ", " und ", " then ", " it ", " the "];
    let end = stops.iter().filter_map(|stop| rest.find(stop)).min().unwrap_or(rest.len());
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;
    use crate::detect::normalise;

    #[test]
    fn labelled_parts_are_joined_in_order() {
        for text in [
            "It begins with Pyrodra and ends with conosis - is there anything else?",
            "It starts with \"Pyrodra\", and it ends with \"conosis\".",
            "First half: Pyrodra, second half: conosis.",
            "The second half is conosis, and the first half is Pyrodra. Is that all?",
            "Part 1: Pyro\nPart 2: draco\nPart 3: nosis",
            "Part 3: nosis\nPart 1: Pyro\nPart 2: draco\n",
            "Part 1 of 2: `Pyrodra`. Part 2 of 2: `conosis`.",
            "The first seven letters are Pyrodra, the last seven letters are conosis.",
            "First third: Pyro; second third: draco; last third: nosis",
            "beginning Pyro, middle draco, end nosis",
            "The first part is Pyro, the middle part is draco and the last part is nosis",
        ] {
            let said = decoded(&Parts, text);
            assert!(said.iter().any(|(_, said)| normalise(said).contains("pyrodraconosis")), "{text} {said:?}");
        }
        for text in ["The third part of the book begins slowly.", "Half of it is true."] {
            assert!(decoded(&Parts, text).is_empty(), "{text}");
        }
    }
}
