//! Digits and letters in words of further languages and alphabets, from `vocabularies.txt`.
//!
//! Many of these words are also words of other languages: `sat` is a 7 in Hindi. So a vocabulary counts only where
//! several of its words are side by side, and a text is decoded with one vocabulary at a time.

use std::collections::HashMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use fearless_simd::{Level, Simd, dispatch};

use super::groups::{BLOCK, Groups, block_at};
use super::lexicon::{Lexicon, head};
use super::words::SIGNS;
use super::{Decoder, Emit, Rewritten, Scan, Text, tokens};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Vocabularies;

impl Decoder for Vocabularies {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::NumberWords, Encoding::Nato]
    }

    /// Always true: the decoder scans the words itself, many at once.
    fn may_apply(&self, _: &Marks) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        if text.scan().row {
            spaced(text.raw, emit);
        }
        if !text.marks.seen.ascii && has_byte(text.raw, 0xe3..=0xed) {
            unspaced(text.raw, emit);
        }
    }
}

/// Fewest words side by side that make a message.
const FEWEST: usize = 3;
/// Fewest words of an alphabet that do so: some are also words of English.
const FEWEST_LETTERS: usize = 4;
/// Longest word, in letters.
const LONGEST: usize = 16;

const LINES: &str = include_str!("vocabularies.txt");

/// Returns, for each line of the data file, whether it belongs to the main vocabulary, its name, and its words.
fn lines() -> impl Iterator<Item = (bool, &'static str, Vec<&'static str>)> {
    let mut is_main = true;
    LINES.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
        is_main &= line != "---";
        let (name, words) = line.split_once(": ")?;
        Some((is_main, name, words.split(' ').collect()))
    })
}

/// Returns the numbered lines of the main vocabulary: alternatives for each digit or letter.
pub(super) fn of_main() -> impl Iterator<Item = (usize, Vec<&'static str>)> {
    lines().filter(|(is_main, ..)| *is_main).map(|(_, _, words)| words).enumerate()
}

/// The other vocabularies.
struct Others {
    names: Vec<&'static str>,
    /// Numbers of the vocabularies with words for letters.
    alphabets: Vec<usize>,
    /// For each folded word, its meanings, each with the number of the vocabulary.
    words: HashMap<String, Vec<(usize, char)>, foldhash::fast::RandomState>,
    /// The vocabularies without spaces: the automaton of their words, and the meaning of each.
    unspaced: Vec<(AhoCorasick, Vec<String>)>,
}

static OTHERS: LazyLock<Others> = LazyLock::new(|| {
    let mut others =
        Others { names: Vec::new(), alphabets: Vec::new(), words: HashMap::default(), unspaced: Vec::new() };
    let mut folded = String::new();
    for (_, name, words) in lines().filter(|(is_main, ..)| !is_main) {
        let first = if words.len() == 10 { b'0' } else { b'a' };
        let meanings = || {
            (first..)
                .zip(&words)
                .flat_map(|(meaning, words)| words.split('|').map(move |word| (word, char::from(meaning))))
        };
        if name.starts_with('*') {
            let found =
                AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(meanings().map(|(word, _)| word));
            let values = meanings().map(|(_, meaning)| meaning.to_string()).collect();
            others.unspaced.extend(found.map(|found| (found, values)));
            continue;
        }
        let number = others.names.iter().position(|known| *known == name).unwrap_or(others.names.len());
        if number == others.names.len() {
            others.names.push(name);
        }
        if words.len() > 10 {
            others.alphabets.push(number);
        }
        for (word, meaning) in meanings() {
            tokens::fold(word, &mut folded);
            others.words.entry(folded.clone()).or_default().push((number, meaning));
        }
    }
    others
});

/// The kind of a known word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A digit or letter of one of the vocabularies.
    Known,
    /// A sign, such as `dot`.
    Sign,
    /// A part of something, such as `half`.
    Label,
}

/// All known ASCII words.
static LEXICON: LazyLock<Lexicon<Kind>> = LazyLock::new(|| {
    let mut lexicon = Lexicon::new();
    let known = lines().filter(|(is_main, name, _)| !is_main && !name.starts_with('*'));
    for word in known.flat_map(|(_, _, words)| words).flat_map(|words| words.split('|')) {
        if word.is_ascii() && lexicon.get(word.as_bytes()).is_none() {
            lexicon.add(word, Kind::Known);
        }
    }
    SIGNS.iter().for_each(|word| lexicon.add(word, Kind::Sign));
    super::parts::LABELS.iter().for_each(|word| lexicon.add(word, Kind::Label));
    lexicon.groups = Groups::new(lexicon.words().map(|(word, _)| word).collect::<Vec<_>>().into_iter(), true);
    lexicon
});

/// Whether a text has a byte in a range.
fn has_byte(text: &str, bytes: std::ops::RangeInclusive<u8>) -> bool {
    text.as_bytes().chunks(64).any(|chunk| chunk.iter().fold(false, |has, byte| has | bytes.contains(byte)))
}

/// Scans a text for known words.
pub(super) fn scan(text: &str, marks: &Marks) -> Scan {
    let lexicon = &*LEXICON;
    let mut scan = dispatch!(Level::new(), simd => scan_with(simd, text.as_bytes(), marks, lexicon));
    if !marks.seen.ascii && !scan.row {
        // Non-ASCII words are not in the lexicon. Accented letters of Latin-1 (`0xc3`) are in many texts, so they need
        // known words, too.
        let others = has_byte(text, 0xc4..=0xdf) || has_byte(text, 0xe0..=0xe1);
        scan.row = others || scan.known > 1 && has_byte(text, 0xc3..=0xc3);
    }
    scan
}

#[inline(always)]
fn scan_with<S: Simd>(simd: S, bytes: &[u8], marks: &Marks, lexicon: &Lexicon<Kind>) -> Scan {
    let mut scan = Scan::default();
    // Known words side by side, and other words since the last known one.
    let (mut row, mut others) = (0, 0);
    for (at, starts) in marks.words(1) {
        let mut last = [0; BLOCK];
        let block = block_at(bytes, at, &mut last);
        let mut passed = 0u64;
        let mut left = lexicon.groups.may_begin(simd, block) & starts;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            if !lexicon.may_have(head_in_text(&block[bit % 64..])) {
                continue;
            }
            let start = at + bit;
            let length = bytes[start..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphabetic()).count();
            let Some(kind) = lexicon.get(&bytes[start..start + length]) else { continue };
            let before = (1 << bit) - 1;
            others += (starts & before & !passed).count_ones();
            passed = before | 1 << bit;
            match kind {
                Kind::Sign => scan.signs = true,
                Kind::Label => {
                    scan.labels.push(start);
                    others += 1;
                }
                Kind::Known => {
                    scan.known += 1;
                    row = if others == 0 { row + 1 } else { 1 };
                    others = 0;
                    scan.row |= row >= FEWEST;
                }
            }
        }
        others += (starts & !passed).count_ones();
    }
    scan
}

/// The head of a word that other text follows.
fn head_in_text(text: &[u8]) -> u32 {
    let third_is_letter = text.get(2).is_some_and(u8::is_ascii_alphabetic);
    if third_is_letter { head(text) } else { head(&text[..text.len().min(2)]) }
}

/// Decodes a text with each vocabulary that has enough words side by side.
fn spaced(text: &str, emit: &mut Emit<'_>) {
    let others = &*OTHERS;
    let mut rows = vec![(0, false); others.names.len()];
    type Word<'a> = (std::ops::Range<usize>, &'a [(usize, char)]);
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut is_in_row = false;
    let mut word = String::new();
    for place in tokens::words(text) {
        tokens::fold(&text[place.clone()], &mut word);
        if SIGNS.contains(&word.as_str()) {
            words.push((place, &[]));
            continue;
        }
        let meanings = others.words.get(word.as_str()).map(Vec::as_slice).unwrap_or_default();
        if meanings.is_empty() && !std::mem::take(&mut is_in_row) {
            continue;
        }
        is_in_row = !meanings.is_empty();
        for (number, (row, is_enough)) in rows.iter_mut().enumerate() {
            *row = if meanings.iter().any(|(known, _)| *known == number) { *row + 1 } else { 0 };
            let fewest = if others.alphabets.contains(&number) { FEWEST_LETTERS } else { FEWEST };
            *is_enough |= *row >= fewest;
        }
        if !meanings.is_empty() {
            words.push((place, meanings));
        }
    }
    for (number, _) in rows.iter().enumerate().filter(|(_, (_, is_enough))| *is_enough) {
        let mut decoded = Rewritten::default();
        let (mut from, mut letters) = (0, false);
        for (place, meanings) in &words {
            let meaning = meanings.iter().find(|(known, _)| *known == number).map(|(_, meaning)| *meaning);
            if meaning.is_some() || meanings.is_empty() {
                decoded.keep(&text[from..place.start]);
                let meaning_bytes = meaning.map(|meaning| [meaning as u8]);
                decoded.change(meaning_bytes.as_ref().map_or(&[], <[u8; 1]>::as_slice));
                letters |= meaning.is_some_and(char::is_alphabetic);
                from = place.end;
            }
        }
        decoded.keep(&text[from..]);
        let how = if letters { Encoding::Nato } else { Encoding::NumberWords };
        decoded.emit(how, FEWEST, &(0..text.len()), emit);
    }
}

/// Decodes a text with each vocabulary without spaces that has enough words in it.
fn unspaced(text: &str, emit: &mut Emit<'_>) {
    for (found, values) in &OTHERS.unspaced {
        if found.find_iter(text).nth(FEWEST - 1).is_some() {
            emit.push(&[Encoding::NumberWords], found.replace_all(text, values), 0..text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::decoder::decoded;

    #[test]
    fn every_vocabulary_is_complete_and_read() {
        let mut count = 0;
        for (is_main, name, words) in lines().filter(|(is_main, ..)| !is_main) {
            assert!(matches!(words.len(), 10 | 26), "{name} {is_main} {}", words.len());
            let first = if words.len() == 10 { '0' } else { 'a' };
            let wanted: String = (first..).take(words.len()).collect();
            for which in 0..3 {
                let said = words.iter().map(|words| words.split('|').cycle().nth(which).unwrap_or_default());
                let text = format!("Well: {}.", said.collect::<Vec<_>>().join(", "));
                let read = decoded(&Vocabularies, &text);
                assert!(
                    read.iter().any(|(_, said)| crate::detect::normalise(said).contains(&wanted)),
                    "{text} {read:?}"
                );
            }
            count += 1;
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn words_that_stand_alone_are_words() {
        for text in [
            "She sat down due to teen angst, do go on.",
            "How easy love is for a king",
            "Der Hund, \u{e4}hnlich wie zes",
        ] {
            assert!(decoded(&Vocabularies, text).is_empty(), "{text}");
        }
    }
}
