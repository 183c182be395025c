//! Digits and letters in words of English, German, French and Spanish, and of the NATO alphabet; and words for signs,
//! as in `john dot doe at example dot com`.

use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch, prelude::*};

use super::groups::{BLOCK, Groups, block_at};
use super::lexicon::{Lexicon, head};
use super::{Decoder, Emit, Rewritten, Text, beyond_ascii, vocabularies};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Words;

impl Decoder for Words {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Nato, Encoding::NumberWords, Encoding::Spelled]
    }

    /// Always true: the decoder scans the words itself, many at once.
    fn may_apply(&self, _: &Marks) -> bool {
        true
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        let has_words = has_words(text.raw, text.marks);
        if !has_words && !text.scan().signs {
            return;
        }
        let said = words(text.raw);
        let how = match said.count {
            FEWEST.. if said.letters => Encoding::Nato,
            FEWEST.. => Encoding::NumberWords,
            _ if text.scan().signs => Encoding::Spelled,
            _ => return,
        };
        said.text.emit(how, FEWEST, &(0..text.raw.len()), emit);
    }
}

/// Fewest words that make a message.
const FEWEST: usize = 3;
/// Fewest letters of the words that are in groups.
const FEWEST_LETTERS: usize = 3;

const TEENS: &str = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";

/// Words for signs that seldom mean anything else.
pub(super) const SIGNS: [&str; 13] = [
    "dot",
    "dash",
    "hyphen",
    "underscore",
    "minus",
    "punkt",
    "bindestrich",
    "unterstrich",
    "punto",
    "arroba",
    "guion",
    "tiret",
    "arobase",
];

/// The meaning of a word.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Digit(u8),
    Teen(u8),
    Ten(u8),
    Letter(char),
}

/// Returns the digit of a word in one of the four languages.
pub(super) fn digit(word: &str) -> Option<char> {
    match LEXICON.get(word.as_bytes()) {
        Some(Word::Digit(digit)) => Some(char::from(b'0' + digit)),
        _ => None,
    }
}

/// The known words.
static LEXICON: LazyLock<Lexicon<Word>> = LazyLock::new(|| {
    let mut lexicon = Lexicon::new();
    // Languages share some words, such as `six`, with the same meaning.
    for (number, words) in vocabularies::of_main() {
        let meaning = |at: usize| match words.len() {
            10 => Word::Digit(at as u8),
            _ => Word::Letter(char::from(b'a' + at as u8)),
        };
        for (at, alternatives) in words.iter().enumerate() {
            alternatives.split('|').for_each(|word| lexicon.add(word, meaning(at)));
        }
        debug_assert!(number < 8);
    }
    TEENS.split(' ').zip(10..).for_each(|(word, n)| lexicon.add(word, Word::Teen(n)));
    TENS.split(' ').zip(2..).for_each(|(word, n)| lexicon.add(word, Word::Ten(n)));
    // The second half of `x-ray`: examined like a known word, but not one.
    lexicon.add_head(b"ray");
    let words = lexicon.words().map(|(word, _)| word).chain(["ray"]);
    lexicon.groups = Groups::new(words.filter(|word| word.is_ascii() && word.len() >= FEWEST_LETTERS), false);
    lexicon
});

/// More letters than any known word has.
const LONGEST: usize = 16;

/// Most other words between two known ones of the same row.
const APART: u32 = 4;

/// The Kelvin sign, whose lowercase form is `k`.
const KELVIN: char = '\u{212a}';

/// Whether enough known words are near each other.
fn has_words(text: &str, marks: &Marks) -> bool {
    // `fünf`, `zéro` and words with a Kelvin sign are not words of ASCII letters. In other non-ASCII text, short words
    // count, too, with any number of other words between them.
    if !marks.seen.ascii && beyond_ascii(text, [0xc3, 0xe2], &['ü', 'Ü', 'é', 'É', KELVIN]).next().is_some() {
        return true;
    }
    let lexicon = &*LEXICON;
    dispatch!(Level::new(), simd => has_row(simd, text.as_bytes(), marks, lexicon))
}

#[inline(always)]
fn has_row<S: Simd>(simd: S, bytes: &[u8], marks: &Marks, lexicon: &Lexicon<Word>) -> bool {
    let (fewest, apart) = if marks.seen.ascii { (FEWEST_LETTERS, APART) } else { (1, u32::MAX) };
    let (mut row, mut others) = (0, 0);
    for (at, starts) in marks.words(fewest) {
        // A word that begins in a block may end beyond it.
        let mut last = [0; BLOCK];
        let block = block_at(bytes, at, &mut last);
        let mut like_known = lexicon.groups.may_begin(simd, block);
        if fewest == 1 {
            like_known |= may_be_short(simd, block);
        }
        // The positions up to the last known word, whose words are already counted.
        let mut passed = 0;
        let mut left = like_known & starts;
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            let head = head(&block[bit as usize % 64..]);
            if !(lexicon.may_have(head) || fewest == 1) || !is_known(bytes, at + bit as usize) {
                continue;
            }
            let before = (1 << bit) - 1;
            others += (starts & before & !passed).count_ones();
            passed = before | 1 << bit;
            row = if others > apart { 1 } else { row + 1 };
            others = 0;
            if row >= FEWEST {
                return true;
            }
        }
        others += (starts & !passed).count_ones();
    }
    false
}

/// Returns the positions where a known word of one or two letters, or the `x` of `x-ray`, may begin.
#[inline(always)]
fn may_be_short<S: Simd>(simd: S, block: &[u8; BLOCK]) -> u64 {
    let mut places = 0;
    for at in (0..64).step_by(S::u8s::LEN) {
        let letters = S::u8s::from_slice(simd, &block[at..][..S::u8s::LEN]) | 0x20;
        places |= (letters.simd_eq(b'o') | letters.simd_eq(b'u') | letters.simd_eq(b'x')).to_bitmask() << at;
    }
    places
}

/// Whether a known word begins at a place.
fn is_known(text: &[u8], start: usize) -> bool {
    let length = text[start..].iter().take(LONGEST).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let word = &text[start..start + length];
    // The hyphen of `x-ray` splits the word in two.
    let is_ray = || text[..start].ends_with(b"-") && text[start - 2..start + 3].eq_ignore_ascii_case(b"x-ray");
    LEXICON.get(word).is_some() || word.eq_ignore_ascii_case(b"ray") && start >= 2 && is_ray()
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && c.is_alphanumeric()
}

/// A text with letters and digits in place of the words for them.
#[derive(Default)]
struct Said {
    text: Rewritten,
    /// Number of words that were replaced.
    count: usize,
    /// Whether letters are among them.
    letters: bool,
}

impl Said {
    fn digits(&mut self, number: u8) {
        self.text.change(number.to_string().as_bytes());
        self.count += 1;
    }
}

/// Replaces spoken letters and digits, and drops the words for signs.
fn words(text: &str) -> Said {
    let lexicon = &*LEXICON;
    let lower = text.to_lowercase().replace("x-ray", "xray");
    let mut said = Said::default();
    let mut ten: Option<u8> = None;
    let mut repeat = 1;
    for word in lower.split(|c| !is_in_word(c)).filter(|w| !w.is_empty()) {
        let known = lexicon.get(word.as_bytes());
        if let Some(ten) = ten.take() {
            // `forty-eight` is one number; `forty` alone is another.
            match known {
                Some(Word::Digit(digit @ 1..)) => {
                    said.text.change(&[b'0' + ten]);
                    said.count += 1;
                    said.digits(digit);
                    continue;
                }
                _ => said.digits(10 * ten),
            }
        }
        match known {
            Some(Word::Digit(digit)) => {
                (1..std::mem::replace(&mut repeat, 1)).for_each(|_| said.text.change(&[b'0' + digit]));
                said.digits(digit);
            }
            Some(Word::Letter(letter)) => {
                said.letters = true;
                (0..std::mem::replace(&mut repeat, 1)).for_each(|_| said.text.change(&[letter as u8]));
                said.count += 1;
            }
            Some(Word::Teen(n)) => said.digits(n),
            Some(Word::Ten(n)) => ten = Some(n),
            None => match word {
                "double" => repeat = 2,
                "triple" => repeat = 3,
                // These words mean nothing between spelled letters.
                "space" | "capital" | "lowercase" | "uppercase" | "small" | "as" | "in" | "for" | "like" | "and"
                | "comma" | "at" | "plus" => {}
                word if SIGNS.contains(&word) => said.text.change_alone(b""),
                word => {
                    said.text.keep(" ");
                    said.text.keep(word);
                    said.text.keep(" ");
                }
            },
        }
    }
    if let Some(ten) = ten {
        said.digits(10 * ten);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::levels;

    #[test]
    fn every_known_word_is_in_a_group_and_few_others_are() {
        let lexicon = &*LEXICON;
        let known: Vec<&str> = lexicon.words().map(|(word, _)| word).collect();
        let at = |word: &str, place: usize, level: Level| {
            let mut block = [b' '; BLOCK + 16];
            block[place..place + word.len()].copy_from_slice(word.as_bytes());
            let block = block.first_chunk().expect("shorter");
            dispatch!(level, simd => lexicon.groups.may_begin(simd, block)) >> place & 1 == 1
        };
        for level in levels() {
            for word in known.iter().filter(|word| word.is_ascii() && word.len() >= FEWEST_LETTERS) {
                for place in 0..64 {
                    assert!(at(word, place, level) && at(&word.to_uppercase(), place, level), "{word} {level:?}");
                }
            }
        }
        let others = "the and that with for was are from which have has been their would about people there when what";
        let passing = others.split(' ').filter(|word| at(word, 5, Level::new())).count();
        assert!(passing < 9, "{passing}");
    }
}
