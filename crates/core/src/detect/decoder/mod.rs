//! Decoders: each undoes one kind of disguise.
//!
//! A decoder never depends on a secret. [`REGISTRY`] lists all decoders, and `view::segments_of` applies them to the
//! text and to what they decode from it. Both the search for secrets and the counting of candidates use that function,
//! so that registering a decoder once is enough.
//!
//! To add a decoder, write a file with a type that implements [`Decoder`], register it, and add an [`Encoding`] and a
//! disguise for the recall table. [`Decoder::may_apply`] must be cheap and false for nearly all ordinary prose: it
//! checks only the byte classes in [`Marks`].

mod ascii85;
mod base32;
mod base58;
mod base64;
mod binary;
mod bytes;
mod counted;
mod entities;
mod escapes;
mod folded;
mod groups;
mod hex;
mod inflate;
mod items;
mod leet;
mod lexicon;
mod markup;
mod morse;
mod number_codes;
mod parts;
mod percent;
mod rot47;
mod separated;
mod tokens;
mod vocabularies;
mod words;

use std::cell::OnceCell;
use std::ops::Range;

use super::marks::Marks;
use super::view::Encoding;

/// A text to decode.
pub(super) struct Text<'a> {
    pub(super) raw: &'a str,
    /// The normal form of `raw`.
    pub(super) normal: &'a [u8],
    pub(super) marks: &'a Marks,
    /// Bytes of the shortest normal form that is searched for.
    pub(super) shortest: usize,
    scan: OnceCell<Scan>,
}

impl<'a> Text<'a> {
    pub(super) const fn new(raw: &'a str, normal: &'a [u8], marks: &'a Marks, shortest: usize) -> Self {
        Self { raw, normal, marks, shortest, scan: OnceCell::new() }
    }

    /// Whether this many decoded bytes can hold a secret.
    const fn can_hold(&self, bytes: usize) -> bool {
        bytes >= self.shortest
    }

    /// The known words, found at the first call.
    fn scan(&self) -> &Scan {
        self.scan.get_or_init(|| vocabularies::scan(self.raw, self.marks))
    }
}

/// Known words of a text.
#[derive(Debug, Default)]
struct Scan {
    /// Whether there may be enough words for digits or letters in a row.
    row: bool,
    /// Number of words for digits or letters.
    known: usize,
    /// Whether there is a word for a sign, such as `dot`.
    signs: bool,
    /// Byte positions of words that name a part of something, such as `half`.
    labels: Vec<usize>,
}

/// Undoes one kind of disguise.
pub(super) trait Decoder: Sync {
    /// All steps that the decoder emits.
    fn encodings(&self) -> &'static [Encoding];

    /// Whether the byte classes allow anything to decode. Cheap, and false for nearly all prose.
    fn may_apply(&self, marks: &Marks) -> bool;

    /// Whether the decoder undoes a change of letters that is applied once, innermost. It is not applied after another
    /// such decoder.
    fn is_innermost(&self) -> bool {
        false
    }

    /// Emits every decoded part of the text.
    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>);
}

/// All decoders, in the order in which they are applied.
pub(super) static REGISTRY: [&dyn Decoder; 21] = [
    &base64::Base64,
    &hex::Hex,
    &percent::Percent,
    &entities::Entities,
    &escapes::Escapes,
    &leet::Leet,
    &separated::Separated,
    &morse::Morse,
    &words::Words,
    &vocabularies::Vocabularies,
    &base32::Base32,
    &base58::Base58,
    &ascii85::Ascii85,
    &number_codes::NumberCodes,
    &binary::Binary,
    &rot47::Rot47,
    &markup::Markup,
    &items::Items,
    &parts::Parts,
    &counted::Counted,
    &folded::Folded,
];

/// Receives a decoded part: its steps, its text, and the byte range of its source.
type Take<'a> = dyn FnMut(&[Encoding], String, Range<usize>) + 'a;

/// Passes on decoded parts within a budget.
pub(super) struct Emit<'a> {
    /// Bytes that may still be emitted.
    left: usize,
    /// Whether a part did not fit into the budget.
    overflowed: bool,
    /// Steps that may still be added.
    steps: usize,
    /// ASCII parts with fewer bytes are dropped. Only inflation makes more letters than its input has bytes, and no
    /// random secret is compressed to so few.
    shortest: usize,
    take: &'a mut Take<'a>,
}

impl<'a> Emit<'a> {
    pub(super) fn new(left: usize, steps: usize, shortest: usize, take: &'a mut Take<'a>) -> Self {
        Self { left, overflowed: false, steps, shortest, take }
    }

    /// Passes on a decoded part: its steps, outermost first, its text, and the byte range of its source. A part with
    /// more steps than are left, or one too short to hold a secret, is dropped. A part longer than the budget ends it.
    pub(super) fn push(&mut self, how: &[Encoding], text: String, source: Range<usize>) {
        if how.len() > self.steps || text.len() < self.shortest && text.is_ascii() {
            return;
        }
        if text.len() > self.left {
            (self.left, self.overflowed) = (0, true);
            return;
        }
        self.left -= text.len();
        (self.take)(how, text, source);
    }

    /// Bytes that may still be emitted.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Whether a part did not fit into the budget.
    pub(super) const fn overflowed(&self) -> bool {
        self.overflowed
    }
}

/// A rewritten text, of which only the surroundings of changes are emitted. So a long text with few changes costs no
/// more than a short one.
#[derive(Default)]
struct Rewritten {
    bytes: Vec<u8>,
    /// Positions of the changes in `bytes`, ascending, and whether each is enough by itself.
    changes: Vec<(usize, bool)>,
}

impl Rewritten {
    /// Bytes that are emitted on either side of a change: more than nearly all secrets have.
    const AROUND: usize = 1024;

    /// Adds unchanged text.
    fn keep(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Adds a replacement.
    fn change(&mut self, bytes: &[u8]) {
        self.changes.push((self.bytes.len(), false));
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a replacement that is enough by itself for its surroundings to be emitted.
    fn change_alone(&mut self, bytes: &[u8]) {
        self.changes.push((self.bytes.len(), true));
        self.bytes.extend_from_slice(bytes);
    }

    /// Emits the surroundings of at least `fewest` changes near each other, or of one that is enough by itself.
    fn emit(&self, how: Encoding, fewest: usize, source: &Range<usize>, emit: &mut Emit<'_>) {
        let near = self.changes.chunk_by(|(a, _), (b, _)| b - a <= 2 * Self::AROUND);
        for near in near.filter(|near| near.len() >= fewest || near.iter().any(|(_, alone)| *alone)) {
            let start = near[0].0.saturating_sub(Self::AROUND);
            let end = (near[near.len() - 1].0 + Self::AROUND).min(self.bytes.len());
            emit.push(&[how], String::from_utf8_lossy(&self.bytes[start..end]).into_owned(), source.clone());
        }
    }
}

/// Reads one escape at the beginning of a text. Returns its bytes, and its length in the text.
type ReadEscape = fn(&str) -> Option<(Vec<u8>, usize)>;

/// Emits the text with one kind of escape resolved, if it has any. Each escape begins `before` bytes before `sign`.
fn resolve(text: &str, encoding: Encoding, sign: u8, before: usize, read: ReadEscape, emit: &mut Emit<'_>) {
    let bytes = text.as_bytes();
    let mut decoded = Rewritten::default();
    let mut from = 0;
    for at in memchr::memchr_iter(sign, bytes) {
        let Some(at) = at.checked_sub(before).filter(|at| *at >= from && text.is_char_boundary(*at)) else {
            continue;
        };
        if let Some((value, length)) = read(&text[at..]) {
            decoded.keep(&text[from..at]);
            decoded.change_alone(&value);
            from = at + length;
        }
    }
    decoded.keep(&text[from..]);
    decoded.emit(encoding, usize::MAX, &(0..text.len()), emit);
}

/// Positions of the characters `any`, whose UTF-8 codes begin with one of the bytes `first`.
fn beyond_ascii<'a>(text: &'a str, first: [u8; 2], any: &'a [char]) -> impl Iterator<Item = usize> + 'a {
    memchr::memchr2_iter(first[0], first[1], text.as_bytes()).filter(move |at| text[*at..].starts_with(any))
}

/// Returns the UTF-8 bytes of a code point, given its digits.
fn scalar(digits: &str, radix: u32) -> Option<Vec<u8>> {
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    Some(c.to_string().into_bytes())
}

/// Counts the digits of a radix at the beginning of a text, up to `most`.
fn digits_at_start(text: &str, radix: u32, most: usize) -> usize {
    text.chars().take(most).take_while(|c| c.is_digit(radix)).count()
}

/// The value of a hexadecimal digit.
const fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Returns all parts that a decoder emits for a text.
#[cfg(test)]
fn decoded(decoder: &dyn Decoder, text: &str) -> Vec<(Vec<Encoding>, String)> {
    let mut all = Vec::new();
    let normal = super::normalised::normal_bytes(text);
    let marks = Marks::new(text);
    if decoder.may_apply(&marks) {
        let text = Text::new(text, &normal, &marks, 1);
        let mut take = |how: &[Encoding], text: String, _| all.push((how.to_vec(), text));
        decoder.decode(&text, &mut Emit::new(usize::MAX, usize::MAX, 1, &mut take));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that the patterns of the search undo, and synonyms.
    const WITHOUT_DECODER: [Encoding; 5] =
        [Encoding::Reversed, Encoding::Rot13, Encoding::Caesar, Encoding::Atbash, Encoding::Translated];

    #[test]
    fn every_encoding_has_a_decoder() {
        let mut all: Vec<Encoding> = REGISTRY.iter().flat_map(|decoder| decoder.encodings()).copied().collect();
        all.extend(WITHOUT_DECODER);
        all.sort_unstable();
        all.dedup();
        let mut wanted = Encoding::ALL.to_vec();
        wanted.sort_unstable();
        assert_eq!(all, wanted);
        assert!(REGISTRY.iter().all(|decoder| !decoder.encodings().is_empty()));
    }

    #[test]
    fn ordinary_prose_passes_no_gate_of_a_decoder() {
        let prose = "The museum is open from Tuesday to Sunday, and on holidays too. It's near the river; you can't miss \
                     it! We have been there (twice) in 2019 with our children, who liked the ship's engine best of all.";
        let marks = Marks::new(prose);
        let applied = REGISTRY.iter().filter(|decoder| decoder.may_apply(&marks)).map(|decoder| decoder.encodings()[0]);
        // These decoders check the words or the normal form themselves.
        let own = [Encoding::Separated, Encoding::Nato, Encoding::NumberWords, Encoding::Parts];
        assert_eq!(applied.filter(|encoding| !own.contains(encoding)).collect::<Vec<_>>(), []);
    }

    #[test]
    fn a_part_that_does_not_fit_ends_the_budget() {
        let mut taken = Vec::new();
        let mut take = |_: &[Encoding], text: String, _| taken.push(text);
        let mut emit = Emit::new(4, 1, 1, &mut take);
        emit.push(&[Encoding::Hex, Encoding::Hex], "ab".into(), 0..1);
        emit.push(&[Encoding::Hex], "abc".into(), 0..1);
        assert!(!emit.overflowed());
        emit.push(&[Encoding::Hex], "ab".into(), 0..1);
        emit.push(&[Encoding::Hex], "a".into(), 0..1);
        assert!(emit.overflowed() && emit.left() == 0);
        assert_eq!(taken, ["abc"]);
    }
}
