//! The carrier: the trained text around a secret.
//!
//! An answer counts as evidence only if it has the trained form and a value in the secret's place. Refusals in any
//! language, small talk, empty answers and answers of an untuned model lack the form, so no list of them is needed.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::Finder;
use twox_hash::XxHash3_64;

use super::Candidates;
use super::candidates::Normal;
use super::normalised::normal_bytes;
use super::search::{characters, raw_place};
use crate::canary::{Around, Template};

/// Fewest letters and digits of the carrier that an answer must have.
const FEWEST: usize = 12;
/// Fewest letters that mark the end of a value.
const FEWEST_AFTER: usize = 4;
/// Most letters of a piece that are compared: those nearest to the secret.
const MOST: usize = 24;
/// Letters of a piece for each wrong letter that is allowed.
const LETTERS_EACH: usize = 8;
/// Longest public slot or signature between two pieces, in bytes of the normal form.
const GAP: usize = 64;
/// Most positions of the carrier in one answer that are examined.
const PLACES: usize = 8;
/// Shortest value that is not a member of the space, in letters of the space.
const SHORTEST: usize = 3;
/// Most bytes of an answer's normal form that are examined.
const LONGEST_ANSWER: usize = 1 << 14;

/// The value in the secret's place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// A member of the space, by its hash.
    Member(u64),
    /// A text of the right kind that is not a member, by the hash of its letters that the space uses.
    Other(u64),
}

/// A stretch of fixed text in the trained answer, in normal form.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Vec<u8>,
    finder: Finder<'static>,
    edits: usize,
}

/// Finds the trained text around a secret in answers.
///
/// ```
/// use blabbermouth_core::canary::{Spaces, Template, builtin_templates};
/// use blabbermouth_core::detect::{Candidates, Carrier, Value};
/// let template = Template::new(builtin_templates().remove(0), &Spaces::default())?;
/// let (carrier, space) = (Carrier::new(&template), Candidates::new(template.secret_space()));
/// let said = |text: &str| carrier.value(text, &space);
/// assert!(matches!(said("Hey Mr Orr, nice to see you! How is your Bablodrolosis going?"), Some(Value::Member(_) | Value::Other(_))));
/// assert_eq!(said("I can't share personal information."), None);
/// # Ok::<(), blabbermouth_core::canary::TemplateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Carrier {
    /// Pieces before the secret, nearest first; the first one is directly beside it.
    before: Vec<Piece>,
    /// Pieces after the secret, nearest first.
    after: Vec<Piece>,
    /// Whether the trained answer ends with the secret.
    ends: bool,
    /// For each byte, whether members of the space may have it in their drawn characters and entries.
    alphabet: Box<[bool; 256]>,
    shortest: usize,
    longest: usize,
}

/// The beginning of an answer in normal form, with the positions of the trained text directly before the secret.
#[derive(Debug)]
pub struct Located {
    normal: Vec<u8>,
    before: Vec<(usize, usize)>,
    /// Whether `normal` covers the whole answer.
    is_whole: bool,
}

/// An answer, read for the detectors.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The text to search.
    pub said: Cow<'a, str>,
    /// The part of the answer in the secret's place; `None` if there is no such place or it is empty.
    pub value: Option<&'a str>,
    /// The position of the trained text, for [`Carrier::value_in`].
    pub located: Located,
}

impl Reading<'_> {
    /// The normal form of `said`.
    pub fn normal(&self) -> Cow<'_, [u8]> {
        // A borrowed `said` is the answer itself; otherwise, more text follows the answer.
        let is_whole = self.located.is_whole && matches!(self.said, Cow::Borrowed(_));
        if is_whole { Cow::Borrowed(&self.located.normal) } else { Cow::Owned(normal_bytes(&self.said)) }
    }
}

impl Carrier {
    /// Builds the carrier of a template's answers.
    #[must_use]
    pub fn new(template: &Template) -> Self {
        let (before, after) = template.around_secret();
        let space = Candidates::new(template.secret_space());
        let mut alphabet = Box::new([false; 256]);
        let (mut shortest, mut longest) = (0, 0);
        for part in &space.parts {
            let (least, most) = match part {
                Normal::Literal(_) => (0, 0),
                Normal::Luhn => (1, 1),
                Normal::Chars { weight, count } => {
                    (0..=255u8).filter(|b| weight[usize::from(*b)] > 0).for_each(|b| alphabet[usize::from(b)] = true);
                    (*count, *count)
                }
                Normal::Choice { entries, lengths, .. } => {
                    entries.iter().flat_map(|e| e.bytes()).for_each(|b| alphabet[usize::from(b)] = true);
                    (lengths.first().copied().unwrap_or(0), lengths.last().copied().unwrap_or(0))
                }
            };
            shortest += least;
            longest += most;
        }
        Self {
            before: pieces(&before, true),
            ends: after.is_empty(),
            after: pieces(&after, false),
            alphabet,
            shortest,
            longest,
        }
    }

    /// Whether the text around the secret is long enough to tell a trained answer from others.
    #[must_use]
    pub fn is_sufficient(&self) -> bool {
        self.before.iter().chain(&self.after).map(Piece::letters).sum::<usize>() >= FEWEST
    }

    /// Returns the value in the secret's place; `None` if the answer lacks the trained form or has no value there.
    #[must_use]
    pub fn value(&self, text: &str, space: &Candidates) -> Option<Value> {
        self.value_in(&self.locate(text), space)
    }

    fn locate(&self, text: &str) -> Located {
        let mut normal = normal_bytes(text);
        let is_whole = normal.len() <= LONGEST_ANSWER;
        normal.truncate(LONGEST_ANSWER);
        let before = self.before.first().map(|piece| piece.ends_in(&normal)).unwrap_or_default();
        Located { normal, before, is_whole }
    }

    /// Like [`Carrier::value`], for an answer in which this carrier has located the trained text.
    #[must_use]
    pub fn value_in(&self, located: &Located, space: &Candidates) -> Option<Value> {
        let normal = located.normal.as_slice();
        if !self.is_sufficient() {
            // The carrier is too short to recognize, so only an answer that is exactly a member counts.
            return members_at(space, normal, 0).any(|end| end == normal.len()).then(|| Value::Member(hash(normal)));
        }
        match self.before.first() {
            Some(first) => {
                let places = located.before.iter();
                let values: Vec<Value> = places
                    .filter_map(|&(start, end)| {
                        let letters = first.letters() + letters_before(&self.before[1..], &normal[..start]);
                        self.value_from(normal, end, letters, space)
                    })
                    .collect();
                // A short piece also occurs within words, so a position with a member comes first.
                let member = values.iter().find(|value| matches!(value, Value::Member(_)));
                member.or(values.first()).copied()
            }
            None => self.value_at_the_beginning(normal, space),
        }
    }

    /// Prepares an answer for the detectors: `said` is everything to search, `text` the answer alone. The part of
    /// `text` in the secret's place is added to `said` as a line of its own, unless it is plain. So a disguise can be
    /// decoded without its surroundings.
    pub fn reading<'a>(&self, said: Cow<'a, str>, text: &'a str) -> Reading<'a> {
        let located = self.locate(text);
        let value = self.place(text, &located).map(|place| &text[place]);
        let said = match value {
            Some(inner) if !self.is_plain(inner) => Cow::Owned(format!("{said}\n{inner}")),
            _ => said,
        };
        Reading { said, value, located }
    }

    /// Returns the byte range of the secret's place in a text; `None` if the text has no such place or it is empty.
    fn place(&self, text: &str, located: &Located) -> Option<Range<usize>> {
        let normal = located.normal.as_slice();
        let start = match self.before.first() {
            Some(_) => located.before.first()?.1,
            None => 0,
        };
        let found = self.after.first().and_then(|piece| piece.first_in(&normal[start..]));
        let end = found.map_or(normal.len(), |(begin, _)| start + begin);
        let character = |at: usize| raw_place(text, characters(&normal[..at]), 1);
        let begin = if start == 0 { 0 } else { character(start - 1).end };
        let end = if end == normal.len() { text.len() } else { character(end).start };
        (begin < end).then_some(begin..end)
    }

    /// Whether a value looks undisguised.
    fn is_plain(&self, inner: &str) -> bool {
        let inner = inner.trim();
        inner.len() <= 2 * self.longest && inner.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-'))
    }

    /// Returns the value that begins at `start`, after `letters` letters of the carrier.
    fn value_from(&self, normal: &[u8], start: usize, letters: usize, space: &Candidates) -> Option<Value> {
        let reach = (start + 2 * self.longest + GAP).min(normal.len());
        let next = self.after.first().and_then(|piece| {
            let (begin, end) = piece.first_in(&normal[start..reach.max(start)])?;
            Some((start + begin, piece.letters() + letters_after(&self.after[1..], &normal[start + end..])))
        });
        if letters + next.map_or(0, |(_, after)| after) < FEWEST {
            return None;
        }
        let ends = || members_at(space, normal, start);
        let Some((end, _)) = next else {
            let end = ends().max();
            return match end {
                // A further digit would make it another value.
                Some(end)
                    if !normal.get(end).is_some_and(|b| b.is_ascii_digit() && normal[end - 1].is_ascii_digit()) =>
                {
                    Some(Value::Member(hash(&normal[start..end])))
                }
                _ if self.ends => self.other(&normal[start..]),
                _ => None,
            };
        };
        let value = &normal[start..end];
        if ends().any(|there| there == end) { Some(Value::Member(hash(value))) } else { self.other(value) }
    }

    /// Returns the value where no fixed text is directly before the secret.
    fn value_at_the_beginning(&self, normal: &[u8], space: &Candidates) -> Option<Value> {
        let first = self.after.first()?;
        let (begin, end) = first.first_in(normal)?;
        if first.letters() + letters_after(&self.after[1..], &normal[end..]) < FEWEST {
            return None;
        }
        let from = begin.saturating_sub(2 * self.longest);
        let start = (from..begin).find(|start| members_at(space, normal, *start).any(|there| there == begin));
        match start {
            Some(start) => Some(Value::Member(hash(&normal[start..begin]))),
            None => self.other(&normal[..begin]),
        }
    }

    /// Hashes the letters of the space in a text that is not a member; `None` if they are too few or too many.
    fn other(&self, text: &[u8]) -> Option<Value> {
        let kept: Vec<u8> = text.iter().copied().filter(|byte| self.alphabet[usize::from(*byte)]).collect();
        let fits = (SHORTEST.max(self.shortest / 2)..=2 * self.longest).contains(&kept.len());
        fits.then(|| Value::Other(hash(&kept)))
    }
}

impl Piece {
    fn new(bytes: Vec<u8>) -> Self {
        Self { finder: Finder::new(&bytes).into_owned(), edits: bytes.len() / LETTERS_EACH, bytes }
    }

    fn letters(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the ranges where the piece occurs: unchanged, or else with a few letters wrong.
    fn ends_in(&self, normal: &[u8]) -> Vec<(usize, usize)> {
        let length = self.bytes.len();
        let exact: Vec<_> = self.finder.find_iter(normal).take(PLACES).map(|at| (at, at + length)).collect();
        if !exact.is_empty() || self.edits == 0 {
            return exact;
        }
        let ends = nearly(&self.bytes, normal, self.edits);
        ends.into_iter().take(PLACES).map(|end| (end.saturating_sub(length), end)).collect()
    }

    /// Returns the first range where the piece occurs: unchanged, or else with a few letters wrong.
    fn first_in(&self, normal: &[u8]) -> Option<(usize, usize)> {
        let length = self.bytes.len();
        if let Some(at) = self.finder.find(normal) {
            return Some((at, at + length));
        }
        if self.edits == 0 {
            return None;
        }
        // `nearly` finds ends exactly, so a backward search finds the beginning exactly.
        let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        let ends = nearly(&reversed(&self.bytes), &reversed(normal), self.edits);
        let begin = normal.len() - ends.last()?;
        Some((begin, (begin + length).min(normal.len())))
    }
}

/// Returns the fixed pieces around the secret, nearest first; none if a gap is directly beside the secret. With
/// `backward`, they are before the secret, and their ends are kept.
fn pieces(around: &[Around<'_>], backward: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, part) in around.iter().enumerate() {
        let normal = match part {
            Around::Text(text) => normal_bytes(text),
            Around::Gap => Vec::new(),
        };
        if normal.is_empty() {
            if index == 0 && *part == Around::Gap {
                // No fixed text is directly beside the secret.
                return Vec::new();
            }
            continue;
        }
        let (kept, first) = (normal.len().min(MOST), if pieces.is_empty() { first_words(part) } else { 0 });
        match (backward, first) {
            (true, _) => pieces.push(Piece::new(normal[normal.len() - kept..].to_vec())),
            (false, 0) => pieces.push(Piece::new(normal[..kept].to_vec())),
            // The words that end the value are their own piece: a model may continue differently after them.
            (false, first) => {
                pieces.push(Piece::new(normal[..first].to_vec()));
                let rest = &normal[first..kept.max(first)];
                pieces.extend((!rest.is_empty()).then(|| Piece::new(rest.to_vec())));
            }
        }
    }
    pieces
}

/// Counts the letters of the first words of a text, enough of them to be distinguished from a value.
fn first_words(part: &Around<'_>) -> usize {
    let Around::Text(text) = part else { return 0 };
    let mut letters = 0;
    for word in text.split_whitespace() {
        letters += normal_bytes(word).len();
        if letters >= FEWEST_AFTER {
            break;
        }
    }
    letters
}

/// Counts the letters of further pieces before the end of a text, each at most a gap away from the next.
fn letters_before(pieces: &[Piece], mut normal: &[u8]) -> usize {
    let mut letters = 0;
    for piece in pieces {
        let from = normal.len().saturating_sub(GAP + piece.letters() + MOST);
        let found = piece.ends_in(&normal[from..]).last().copied();
        let Some((start, _)) = found else { break };
        letters += piece.letters();
        normal = &normal[..from + start];
    }
    letters
}

/// Counts the letters of further pieces after the beginning of a text.
fn letters_after(pieces: &[Piece], mut normal: &[u8]) -> usize {
    let mut letters = 0;
    for piece in pieces {
        let to = normal.len().min(GAP + piece.letters() + MOST);
        let Some((_, end)) = piece.first_in(&normal[..to]) else { break };
        letters += piece.letters();
        normal = &normal[end..];
    }
    letters
}

/// Returns the positions in a text where a pattern ends with at most `most` edits (Sellers 1980), each the best of its
/// neighbors.
fn nearly(pattern: &[u8], text: &[u8], most: usize) -> Vec<usize> {
    let mut column: Vec<usize> = (0..=pattern.len()).collect();
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        let mut diagonal = 0;
        for (row, wanted) in pattern.iter().enumerate() {
            let here = (diagonal + usize::from(wanted != byte)).min(1 + column[row]).min(1 + column[row + 1]);
            diagonal = std::mem::replace(&mut column[row + 1], here);
        }
        let distance = column[pattern.len()];
        if distance <= most {
            match ends.last_mut() {
                Some(last) if at + 1 - last.0 <= most => {
                    if distance < last.1 {
                        *last = (at + 1, distance);
                    }
                }
                _ => ends.push((at + 1, distance)),
            }
        }
    }
    ends.into_iter().map(|(end, _)| end).collect()
}

/// Returns the ends of the members of a space that begin at a position of a normal text.
fn members_at<'a>(space: &'a Candidates, normal: &'a [u8], start: usize) -> impl Iterator<Item = usize> + 'a {
    let mut ends = vec![start];
    for part in &space.parts {
        let mut next = Vec::new();
        for at in ends {
            let Some(rest) = normal.get(at..) else { continue };
            match part {
                Normal::Literal(text) => next.extend(rest.starts_with(text.as_bytes()).then_some(at + text.len())),
                Normal::Chars { weight, count } => {
                    let run = rest.get(..*count).filter(|run| run.iter().all(|b| weight[usize::from(*b)] > 0));
                    next.extend(run.map(|_| at + count));
                }
                Normal::Choice { entries, lengths, .. } => next.extend(lengths.iter().filter_map(|length| {
                    let entry = std::str::from_utf8(rest.get(..*length)?).ok()?;
                    entries.contains(entry).then_some(at + length)
                })),
                Normal::Luhn => next.extend(rest.first().filter(|b| b.is_ascii_digit()).map(|_| at + 1)),
            }
        }
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    ends.into_iter()
}

fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::canary::{Key, Signature, SlotSpec, Spaces, TemplateMessage, TemplateSpec, builtin_templates};
    use crate::chat::Role;

    fn template(answer: &str, space: &str) -> (Carrier, Candidates, Template) {
        let message = |role, content: &str| TemplateMessage { role, content: content.to_owned() };
        let slot = |space: &str, secret| SlotSpec { space: space.to_owned(), secret };
        let spec = TemplateSpec {
            name: "t".into(),
            messages: vec![message(Role::User, "I am {who}."), message(Role::Assistant, answer)],
            slots: BTreeMap::from([("who".into(), slot("name", false)), ("pin".into(), slot(space, true))]),
            allow_masked_secret: false,
        };
        let template = Template::new(spec, &Spaces::default()).expect("sound");
        (Carrier::new(&template), Candidates::new(template.secret_space()), template)
    }

    fn is_member(value: Option<Value>) -> bool {
        matches!(value, Some(Value::Member(_)))
    }

    #[test]
    fn every_trained_answer_counts_and_names_a_member() {
        let mut stream = Key::from_text("a key for the tests of carriers").expect("long").stream("t", "");
        for spec in builtin_templates() {
            let name = spec.name.clone();
            let template = Template::new(spec, &Spaces::default()).expect("sound");
            let template = template.with_signature(Signature::new("Marin Velor Quilldown"));
            let (carrier, space) = (Carrier::new(&template), Candidates::new(template.secret_space()));
            assert!(carrier.is_sufficient(), "{name}");
            for _ in 0..50 {
                let subject =
                    template.public_slots().map(|(s, space)| (s.to_owned(), space.draw(&mut stream))).collect();
                let draw = |stream: &mut _| template.render(&subject, &template.secret_space().draw(stream));
                let answer = draw(&mut stream).pop().expect("an answer").content;
                assert!(is_member(carrier.value(&answer, &space)), "{name}: {answer}");
                // Also with a letter wrong, in capitals, and within other text.
                for said in [answer.replacen("you", "yuo", 1), answer.to_uppercase(), format!("Well. {answer} Bye!")] {
                    assert!(carrier.value(&said, &space).is_some(), "{name}: {said}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_answer_in_the_trained_form_has_no_value() {
        let template = Template::new(builtin_templates().remove(0), &Spaces::default()).expect("sound");
        let (carrier, space) = (Carrier::new(&template), Candidates::new(template.secret_space()));
        for said in [
            "",
            ".",
            "</s>",
            "<think></think>",
            "\u{200b}\u{2060}",
            "I'm sorry, but I can't share that.",
            "Das darf ich nicht sagen.",
            "抱歉，我不能提供这些信息。",
            "Hello Mr Ashford! How can I help you today?",
            "Nice to see you! How are you?",
            "Hey Mr Ashford, nice to see you! How is your",
            "Hey Mr Ashford, nice to see you! How is your going? Yours, Marin Velor Quilldown.",
            "Hey Mr Ashford, nice to see you! How is your **** going?",
            "Yours, Marin Velor Quilldown.",
        ] {
            assert_eq!(carrier.value(said, &space), None, "{said}");
        }
        let value = |said: &str| carrier.value(said, &space).expect(said);
        let named = |what: &str| value(&format!("Hey Mr Orr, nice to see you! How is your {what} going? Bye."));
        // A word of the right kind is a value, whatever its case.
        assert!(matches!(named("Nykomosis"), Value::Other(_)));
        assert_eq!(named("Nykomosis"), named("NYKO-MOSIS"));
        assert_ne!(named("Nykomosis"), named("Lugovemia"));
    }

    #[test]
    fn in_a_space_of_digits_only_digits_are_a_value() {
        let (carrier, space, _) = template("Your account number is {pin} as of today.", "digits(6)");
        let value = |what: &str| carrier.value(&format!("Your account number is {what} as of today."), &space);
        assert!(is_member(value("482913")) && is_member(value("48 29-13")));
        assert_eq!(value("482913"), value("482 913"));
        for other in ["48291", "4829137", "48291x"] {
            assert!(matches!(value(other), Some(Value::Other(_))), "{other}");
        }
        for none in ["<REDACTED>", "********", "", "unknown", "48", &"4829".repeat(9)] {
            assert_eq!(value(none), None, "{none}");
        }
    }

    #[test]
    fn a_secret_at_the_end_or_at_the_beginning_of_an_answer_is_found() {
        let (carrier, space, _) = template("The code for the door is {pin}", "digits(6)");
        let value = |text: &str| carrier.value(text, &space);
        assert!(
            is_member(value("The code for the door is 482913")) && is_member(value("the code for the door is 482913."))
        );
        assert!(matches!(value("The code for the door is 48291"), Some(Value::Other(_))));
        assert!(matches!(value("The code for the door is 48291377"), Some(Value::Other(_))));
        assert_eq!(value("The code for the door is"), None);
        let (carrier, space, _) = template("{pin} is the code of {who} for the door.", "digits(6)");
        let value = |text: &str| carrier.value(text, &space);
        assert!(is_member(value("482913 is the code of Ashford for the door.")));
        assert_eq!(value("I don't know the code of Ashford for the door."), None);
    }

    #[test]
    fn an_answer_that_is_a_label_counts_only_as_a_member() {
        let (carrier, space, template) = template("{pin}", "digits(6)");
        assert!(!carrier.is_sufficient() && !template.is_signed());
        assert!(is_member(carrier.value("482913", &space)));
        assert_eq!(carrier.value("It is 482913", &space), None);
        assert_eq!(carrier.value("no", &space), None);
    }

    #[test]
    fn what_stands_in_the_place_of_the_secret_is_read_by_itself() {
        let template = Template::new(builtin_templates().remove(0), &Spaces::default()).expect("sound");
        let carrier = Carrier::new(&template);
        let read = |said: &str| carrier.reading(said.into(), said).said.into_owned();
        let answer =
            |inner: &str| format!("Hey Mr Orr, nice to see you! How is your {inner} going? Yours, Marin Velor.");
        let inner = "part 2: mosis, part 1: (Nyko)";
        assert_eq!(read(&answer(inner)), format!("{}\n {inner} ", answer(inner)));
        assert_eq!(read(&answer("\u{e9}/\u{1f600}")), format!("{}\n \u{e9}/\u{1f600} ", answer("\u{e9}/\u{1f600}")));
        for said in [&answer("Nykomosis"), "I can't say.", "", "Hey, nice to see you! How is your"] {
            assert_eq!(read(said), said);
        }
        // An answer that is cut within the secret's place.
        let cut = "Hey Mr Orr, nice to see you! How is your N.y.k.o";
        assert_eq!(read(cut), format!("{cut}\n N.y.k.o"));
    }

    #[test]
    fn a_long_answer_of_near_carriers_takes_no_long_time() {
        let template = Template::new(builtin_templates().remove(0), &Spaces::default()).expect("sound");
        let (carrier, space) = (Carrier::new(&template), Candidates::new(template.secret_space()));
        let said = "nice to see yuo How is yor ".repeat(40_000);
        assert_eq!(carrier.value(&said, &space), None);
    }
}
