//! Secrets that are spelled out: one letter or digit per item, whatever is around it.
//!
//! Reads lists (`1. P`, `[0] P`), tables (`| 1 | P |`), JSON (`"a": "P"`), labels (`letter 3: P`), and spelling aloud
//! (`P as in Papa`, `P for Peter`, `capital P`).

use super::{Decoder, Emit, Text, tokens, words};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Items;

/// The fewest letters of a message.
const FEWEST: usize = 4;

impl Decoder for Items {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Items]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.singles
    }

    fn is_innermost(&self) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let (mut all, mut without_numbers, mut without_letters) = (String::new(), String::new(), String::new());
        let (mut numbers, mut letters) = (Labels::default(), Labels::default());
        let mut places = tokens::words(text.raw).peekable();
        let mut before = 0;
        while let Some(place) = places.next() {
            // A line break or comma ends an item, even one without a letter: the next word may be a label again.
            if text.raw[std::mem::replace(&mut before, place.end)..place.start].contains(['\n', ',']) {
                (numbers.was_label, letters.was_label) = (false, false);
            }
            let word = &text.raw[place.clone()];
            let after = &text.raw[place.end..places.peek().map_or(text.raw.len(), |next| next.start)];
            let mut chars = word.chars();
            let single = chars.next().filter(|_| chars.next().is_none()).or_else(|| words::digit(word));
            let number = (word.len() <= 3 && word.is_ascii()).then(|| word.parse().ok()).flatten();
            if single.is_none() && number.is_none() {
                continue;
            }
            let is_label = after.contains([':', '.', ')', ']', '=', '|', '>', '}', '\t', '-']);
            let is_number = is_label && number.is_some_and(|number| numbers.takes(number));
            let letter = single.filter(char::is_ascii_alphabetic).map(|c| u32::from(c.to_ascii_lowercase()) - 96);
            let is_letter = is_label && letter.is_some_and(|letter| letters.takes(letter));
            let Some(single) = single else {
                numbers.was_label |= is_number;
                continue;
            };
            all.push(single);
            if is_number {
                numbers.was_label = true;
            } else {
                numbers.was_label = false;
                without_numbers.push(single);
            }
            if is_letter {
                letters.was_label = true;
            } else {
                letters.was_label = false;
                without_letters.push(single);
            }
        }
        let mut last = String::new();
        for items in [all, without_numbers, without_letters] {
            if items.len() >= FEWEST && items != last {
                last.clone_from(&items);
                emit.push(&[Encoding::Items], items, 0..text.raw.len());
            }
        }
    }
}

/// Labels that count up from 0 or 1. The item after a label is not a label.
#[derive(Default)]
struct Labels {
    next: Option<u32>,
    was_label: bool,
}

impl Labels {
    fn takes(&mut self, number: u32) -> bool {
        let is_next = match self.next {
            Some(next) => number == next && !self.was_label,
            None => number <= 1,
        };
        if is_next {
            self.next = Some(number + 1);
        } else if number == 1 && !self.was_label {
            // Another list begins.
            self.next = Some(2);
            return true;
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn items_are_read_whatever_labels_them() {
        let list = |make: &dyn Fn(usize, char) -> String, between: &str| {
            let made: Vec<String> = "Pyro4182draco".chars().enumerate().map(|(at, c)| make(at, c)).collect();
            made.join(between)
        };
        let label = |at: usize| char::from(b'a' + at as u8);
        for text in [
            list(&|at, c| format!("{}. {c}", at + 1), "\n"),
            list(&|at, c| format!("[{at}] = '{c}'"), "\n"),
            list(&|at, c| format!("| {} | {c} |", at + 1), "\n"),
            list(&|at, c| format!("\"{}\": \"{c}\"", label(at)), ", "),
            list(&|at, c| format!("Letter {}: {c}", at + 1), "\n"),
            list(&|_, c| format!("\"{c}\""), ", "),
            list(&|_, c| format!("{c} as in {c}apa"), ", "),
            list(&|_, c| format!("capital {c}"), " "),
        ] {
            let said = decoded(&Items, &format!("Here it is:\n{text}\nIs that all?"));
            assert!(said.iter().any(|(_, said)| said == "Pyro4182draco"), "{text} {said:?}");
        }
        assert!(decoded(&Items, "I have a dog. It's a nice one; I don't mind a cat.").is_empty());
    }
}
