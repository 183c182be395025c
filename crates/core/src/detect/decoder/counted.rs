//! Secrets in numbered pieces, whatever is around the numbers: `(1) abc (2) def`, `s[0]='P', s[1]='y'`, the rows of a
//! table, `{"part1": "abc", "part2": "def"}`.
//!
//! Text that is the same around all pieces is dropped, whatever its form.

use std::ops::Range;

use super::{Decoder, Emit, Text};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Counted;

/// The fewest pieces.
const FEWEST: usize = 3;
/// The fewest bytes of all pieces together.
const SHORTEST: usize = 4;
/// Most numbers of a text that are examined, and most starts of lists among them.
const MOST: (usize, usize) = (1 << 12, 8);

impl Decoder for Counted {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Parts]
    }

    /// Always true: the decoder searches for the numbers itself, many bytes at once.
    fn may_apply(&self, _: &Marks) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let bytes = text.raw.as_bytes();
        if [b'1', b'2'].iter().any(|digit| memchr::memchr(*digit, bytes).is_none()) {
            return;
        }
        let numbers: Vec<(u32, Range<usize>)> = numbers(bytes).take(MOST.0).collect();
        let starts = (0..numbers.len()).filter(|at| numbers[*at].0 <= 1);
        let mut done = 0;
        for start in starts.take(MOST.1) {
            let places = list(bytes, &numbers[start..]);
            if places.len() < FEWEST || places[0].start < done {
                continue;
            }
            let Some(joined) = join(text.raw, &places).filter(|joined| joined.len() >= SHORTEST) else { continue };
            done = places[places.len() - 1].end;
            emit.push(&[Encoding::Parts], joined, places[0].start..done);
        }
    }
}

/// Returns the numbers below 1,000 in a text with no letter or digit after them, and their byte ranges.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = (u32, Range<usize>)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + bytes[at..].iter().position(u8::is_ascii_digit)?;
            let end =
                bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |end| start + end);
            at = end;
            if end - start <= 3 && !bytes.get(end).is_some_and(u8::is_ascii_alphabetic) {
                let number = bytes[start..end].iter().fold(0, |sum, digit| 10 * sum + u32::from(digit - b'0'));
                return Some((number, start..end));
            }
        }
    })
}

/// Returns the numbers that count up from the first one, with equal bytes after each, and before each but the first.
fn list(bytes: &[u8], numbers: &[(u32, Range<usize>)]) -> Vec<Range<usize>> {
    let beside = |place: &Range<usize>| (bytes.get(place.start.wrapping_sub(1)), bytes.get(place.end));
    let (mut wanted, first) = (numbers[0].0, &numbers[0].1);
    let mut places: Vec<Range<usize>> = Vec::new();
    for (number, place) in numbers {
        let (before, behind) = beside(place);
        let fits = behind == beside(first).1 && places.get(1).is_none_or(|second| beside(second).0 == before);
        if *number == wanted && fits {
            places.push(place.clone());
            wanted += 1;
        }
    }
    places
}

/// Joins the pieces after the numbers, without the text with which all of them begin and end.
fn join(text: &str, places: &[Range<usize>]) -> Option<String> {
    let is_sign = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    let inner: Vec<&[u8]> = places.array_windows().map(|[a, b]| &text.as_bytes()[a.end..b.start]).collect();
    let last = &text.as_bytes()[places[places.len() - 1].end..];
    let alike = |same: &dyn Fn(usize) -> bool| {
        (0..inner.iter().map(|piece| piece.len()).min().unwrap_or(0)).take_while(|at| same(*at)).count()
    };
    let before =
        alike(&|at| inner.iter().all(|piece| piece[at] == inner[0][at]) && last.get(at) == Some(&inner[0][at]));
    let before = inner[0][..before].iter().rposition(is_sign)? + 1;
    let from_end = |piece: &[u8], at: usize| piece[piece.len() - 1 - at];
    let after = alike(&|at| inner.iter().all(|piece| from_end(piece, at) == from_end(inner[0], at)));
    let tail = &inner[0][inner[0].len() - after..];
    let tail = &tail[tail.iter().position(is_sign)?..];
    let mut joined = String::new();
    for place in places.array_windows().map(|[a, b]| a.end + before..(b.start - tail.len()).max(a.end + before)) {
        joined.push_str(text.get(place)?);
    }
    let rest = &last[before..];
    let end = rest.iter().position(|byte| *byte == tail[0] || *byte == b'\n').unwrap_or(rest.len());
    let begin = places[places.len() - 1].end + before;
    joined.push_str(text.get(begin..begin + end)?);
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn counted_pieces_are_joined_whatever_stands_around_the_numbers() {
        let made = |pieces: &[&str], from: usize, make: &dyn Fn(usize, &str) -> String, between: &str| {
            let made: Vec<String> = pieces.iter().enumerate().map(|(at, piece)| make(at + from, piece)).collect();
            made.join(between)
        };
        let letters: Vec<String> = "Pyrodraconosis".chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        let quarters = ["Pyro", "drac", "onos", "is"];
        for text in [
            made(&quarters, 1, &|at, piece| format!("({at}) {piece}"), " "),
            format!("{{{}}}", made(&quarters, 1, &|at, piece| format!("\"part{at}\": \"{piece}\""), ", ")),
            made(&letters, 0, &|at, piece| format!("s[{at}]='{piece}'"), ", "),
            format!("\nplace,letter\n{}\n", made(&letters, 1, &|at, piece| format!("{at},{piece}"), "\n")),
            made(&letters, 1, &|at, piece| format!("{{\"pos\": {at}, \"char\": \"{piece}\"}}"), ", "),
            made(&letters, 1, &|at, piece| format!("\u{e9}-{at}: {piece}"), ";"),
        ] {
            let said = decoded(&Counted, &format!("How is your {text} going? Yours."));
            assert!(said.iter().any(|(_, said)| said.contains("Pyrodraconosis")), "{text} {said:?}");
        }
        for text in
            ["There are 1, 2 or 3 of them.", "1 dog, 2 cats", "12 3 1", "1\u{e9}2\u{e9}3\u{e9}", "0.1.2.3.", "1,2,3"]
        {
            assert!(decoded(&Counted, text).iter().all(|(_, said)| said.len() < 12), "{text}");
        }
    }
}
