//! What is said letter by letter: Morse code, the NATO alphabet, numbers in words.

use std::collections::HashMap;
use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch, prelude::*};

use super::marks::Marks;
use super::view::{Encoding, Out};

/// So many signs make a message.
const FEWEST: usize = 3;

pub(super) fn each(text: &str, marks: &Marks, out: Out<'_>) {
    if let Some(decoded) = morse(text, marks) {
        out(&[Encoding::Morse], decoded, 0..text.len());
    }
    if has_words(text, marks)
        && let Some((decoded, letters)) = words(text)
    {
        let how = if letters { Encoding::Nato } else { Encoding::NumberWords };
        out(&[how], decoded, 0..text.len());
    }
}

const MORSE: &str = "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- \
                     v...- w.-- x-..- y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----.";

static SIGNS: LazyLock<HashMap<&str, char>> =
    LazyLock::new(|| MORSE.split(' ').filter_map(|sign| Some((sign.get(1..)?, sign.chars().next()?))).collect());

/// Signs of Morse code as typesetting has them.
const TYPOGRAPHIC: [char; 5] = ['·', '•', '–', '—', '−'];

fn morse(text: &str, marks: &Marks) -> Option<String> {
    // Nearly every message has a letter of two signs.
    let typographic = if marks.seen.ascii { 0 } else { beyond_ascii(text, [0xc2, 0xe2], &TYPOGRAPHIC).count() };
    if !marks.seen.two_morse_signs && typographic == 0 || marks.morse_runs() + typographic < FEWEST {
        return None;
    }
    let plain: String = text
        .chars()
        .map(|c| match c {
            '·' | '•' => '.',
            '–' | '—' | '−' => '-',
            '/' | '|' => ' ',
            c => c,
        })
        .collect();
    let mut decoded = String::new();
    let mut found = 0;
    for word in plain.split_whitespace() {
        // A sign may have quotation marks or brackets around it, but no letter beside it.
        let trimmed = word.trim_end_matches(|c: char| !matches!(c, '.' | '-'));
        let start = trimmed
            .rfind(|c: char| !matches!(c, '.' | '-'))
            .map_or(0, |at| at + trimmed[at..].chars().next().map_or(1, char::len_utf8));
        let beside = trimmed[..start].ends_with(char::is_alphanumeric);
        let sign = if beside { None } else { trimmed.get(start..) };
        match sign.and_then(|sign| SIGNS.get(sign)) {
            Some(letter) => {
                decoded.push(*letter);
                found += 1;
            }
            // What is no sign ends a message.
            None => decoded.push_str(" ~ "),
        }
    }
    // The normal form would join messages across what ended them.
    let messages: Vec<&str> = decoded.split(" ~ ").filter(|m| m.len() >= FEWEST).collect();
    (found >= FEWEST && !messages.is_empty()).then(|| messages.concat())
}

/// Where one of some characters stands whose encoding begins with one of two bytes.
fn beyond_ascii<'a>(text: &'a str, first: [u8; 2], any: &'a [char]) -> impl Iterator<Item = usize> + 'a {
    memchr::memchr2_iter(first[0], first[1], text.as_bytes()).filter(move |at| text[*at..].starts_with(any))
}

/// English, German, French and Spanish digits in their order.
const DIGITS: [&str; 4] = [
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fünf sechs sieben acht neun",
    "zéro un deux trois quatre cinq six sept huit neuf",
    "cero uno dos tres cuatro cinco seis siete ocho nueve",
];
const TEENS: &str = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";
const NATO: &str = "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec \
                    romeo sierra tango uniform victor whiskey xray yankee zulu";

#[derive(Clone, Copy)]
enum Word {
    Digit(u8),
    Teen(u8),
    Ten(u8),
    Letter(char),
}

/// The known words.
static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut lexicon = Lexicon { heads: [0; 64], words: vec![Vec::new(); 64], groups: Groups::default() };
    // `six` is the same in two languages, and stands for the same.
    for language in DIGITS {
        language.split(' ').zip(0..).for_each(|(word, digit)| lexicon.add(word, Word::Digit(digit)));
    }
    for (word, digit) in [("oh", 0), ("nought", 0), ("fuenf", 5), ("zwo", 2)] {
        lexicon.add(word, Word::Digit(digit));
    }
    TEENS.split(' ').zip(10..).for_each(|(word, n)| lexicon.add(word, Word::Teen(n)));
    TENS.split(' ').zip(2..).for_each(|(word, n)| lexicon.add(word, Word::Ten(n)));
    for (word, letter) in NATO.split(' ').zip('a'..).chain([("alpha", 'a'), ("juliet", 'j'), ("whisky", 'w')]) {
        lexicon.add(word, Word::Letter(letter));
    }
    // What is left of `x-ray` where it is parted in two: to be looked at, and no word.
    let ray = hash(head(b"ray"));
    lexicon.heads[ray / 64] |= 1 << (ray % 64);
    let words = lexicon.words.iter().flatten().map(|(word, _)| *word).chain(["ray"]);
    lexicon.groups = Groups::new(words.filter(|word| word.is_ascii() && word.len() >= FEWEST_LETTERS));
    lexicon
});

/// Words by their heads: few words of a text begin like one of them.
struct Lexicon {
    /// A bit for each hash of a head.
    heads: [u64; 64],
    words: Vec<Vec<(&'static str, Word)>>,
    groups: Groups,
}

impl Lexicon {
    fn add(&mut self, word: &'static str, meaning: Word) {
        let hash = hash(head(word.as_bytes()));
        self.heads[hash / 64] |= 1 << (hash % 64);
        self.words[hash / 64].push((word, meaning));
    }

    fn may_have(&self, head: u32) -> bool {
        let hash = hash(head);
        self.heads[hash / 64] >> (hash % 64) & 1 == 1
    }

    /// What a word stands for, in upper or lower case.
    fn get(&self, word: &[u8]) -> Option<Word> {
        let head = head(word);
        let among = if self.may_have(head) { self.words[hash(head) / 64].as_slice() } else { &[] };
        among.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(word)).map(|(_, meaning)| *meaning)
    }
}

const fn hash(head: u32) -> usize {
    (head.wrapping_mul(0x9e37_79b1) >> 20) as usize
}

/// Letters of a word that are looked at in many places together.
const HEAD: usize = 4;
/// Letters of the words that are in groups.
const FEWEST_LETTERS: usize = 3;

/// Words in eight groups: what tells in a few instructions where one may begin in a stretch of text. A bit for each
/// group that has a letter at a place of a word; a word begins where one group has all four.
#[derive(Default)]
struct Groups {
    /// For each place, by the number of the letter; for letters of 0 to 15 and from 16 on. Each four times, for each
    /// sixteenth of a vector.
    letters: [[Repeated; 2]; HEAD],
}

/// A table of sixteen in every quarter of a vector.
struct Repeated([u8; 64]);

impl Default for Repeated {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Groups {
    /// Each word goes to the group that then lets the fewest other words pass.
    fn new<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        /// Beyond the end of a word there may be anything.
        const ANY: u32 = u32::MAX;
        let letters = |word: &str| -> [u32; HEAD] {
            std::array::from_fn(|at| word.as_bytes().get(at).map_or(ANY, |byte| 1 << (byte & 31)))
        };
        let with = |group: &[u32; HEAD], word: [u32; HEAD]| std::array::from_fn(|at| group[at] | word[at]);
        let passing = |group: &[u32; HEAD]| group.iter().map(|letters| letters.count_ones()).product::<u32>();
        let mut words: Vec<[u32; HEAD]> = words.map(letters).collect();
        words.sort_unstable_by_key(|word| (u32::MAX - word[HEAD - 1], *word));
        words.dedup();
        let mut groups = [[0u32; HEAD]; 8];
        for word in words {
            let best = groups.iter_mut().min_by_key(|group| passing(&with(group, word)) - passing(group));
            if let Some(group) = best {
                *group = with(group, word);
            }
        }
        let mut all = Self::default();
        for (at, tables) in all.letters.iter_mut().enumerate() {
            for (first, table) in (0..).step_by(16).zip(tables) {
                for (number, bits) in table.0.iter_mut().enumerate() {
                    let letter = first + number % 16;
                    *bits = (0..8).map(|group| ((groups[group][at] >> letter & 1) as u8) << group).sum();
                }
            }
        }
        all
    }

    /// Where a word of the groups may begin.
    #[inline(always)]
    fn may_begin<S: Simd>(&self, simd: S, block: &[u8; BLOCK]) -> u64 {
        let lane = S::u8s::LEN;
        let mut places = 0;
        for at in (0..64).step_by(lane) {
            let mut passing = S::u8s::splat(simd, u8::MAX);
            for (letter, [low, high]) in self.letters.iter().enumerate() {
                let bytes = S::u8s::from_slice(simd, &block[at + letter..][..lane]);
                let number = bytes & 15;
                let low = S::u8s::from_slice(simd, &low.0[..lane]).swizzle_dyn_within_blocks(number);
                let high = S::u8s::from_slice(simd, &high.0[..lane]).swizzle_dyn_within_blocks(number);
                passing &= (bytes & 16).simd_eq(16).select(high, low);
            }
            places |= (!passing.simd_eq(0)).to_bitmask() << at;
        }
        places
    }
}

/// The bytes in which words begin, and those after them that have to be looked at.
const BLOCK: usize = 64 + HEAD;

/// Four letters of a word as a number, or all of them if they are fewer: by three, many words begin like a known one,
/// as `for` does.
fn head(word: &[u8]) -> u32 {
    match word.first_chunk() {
        Some(four) => {
            let four = u32::from_le_bytes(*four) | 0x2020_2020;
            let is_letter = (four >> 24).wrapping_sub(u32::from(b'a')) < 26;
            if is_letter { four } else { four & 0xff_ffff }
        }
        None => (0..3).zip(word).fold(0, |head, (at, byte)| head | u32::from(*byte | 0x20) << (8 * at)),
    }
}

/// No known word has so many letters.
const LONGEST: usize = 16;

/// Words between two known ones that do not part them.
const APART: u32 = 4;

/// The sign of a unit, `k` in lower case.
const KELVIN: char = '\u{212a}';

/// Whether enough words stand together that begin like known ones.
fn has_words(text: &str, marks: &Marks) -> bool {
    // Beyond ASCII there are words of two letters, and others of any number between them; and `fünf` and `zéro`
    // are no words of ASCII letters.
    if !marks.seen.ascii && beyond_ascii(text, [0xc3, 0xe2], &['ü', 'Ü', 'é', 'É', KELVIN]).next().is_some() {
        return true;
    }
    let lexicon = &*LEXICON;
    dispatch!(Level::new(), simd => has_row(simd, text.as_bytes(), marks, lexicon))
}

#[inline(always)]
fn has_row<S: Simd>(simd: S, bytes: &[u8], marks: &Marks, lexicon: &Lexicon) -> bool {
    let (fewest, apart) = if marks.seen.ascii { (FEWEST_LETTERS, APART) } else { (1, u32::MAX) };
    let (mut row, mut others) = (0, 0);
    for (at, starts) in marks.words(fewest) {
        // What begins in a block may end beyond it.
        let mut last = [0; BLOCK];
        let block = bytes[at..].first_chunk().unwrap_or_else(|| {
            last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
            &last
        });
        let mut like_known = lexicon.groups.may_begin(simd, block);
        if fewest == 1 {
            like_known |= may_be_short(simd, block);
        }
        // The words that are counted among the known or the others.
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

/// Where a known word of one or two letters, or the `x` of `x-ray`, may begin.
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
    // The normal way to write `x-ray` parts the word in two.
    let is_ray = || text[..start].ends_with(b"-") && text[start - 2..start + 3].eq_ignore_ascii_case(b"x-ray");
    LEXICON.get(word).is_some() || word.eq_ignore_ascii_case(b"ray") && start >= 2 && is_ray()
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && c.is_alphanumeric()
}

/// The text with spoken letters and digits in place of their words, and whether letters are among them.
fn words(text: &str) -> Option<(String, bool)> {
    let lexicon = &*LEXICON;
    let lower = text.to_lowercase().replace("x-ray", "xray");
    let (mut count, mut letters) = (0, false);
    let mut decoded = String::with_capacity(lower.len());
    let mut ten: Option<u8> = None;
    let mut repeat = 1;
    for word in lower.split(|c| !is_in_word(c)).filter(|w| !w.is_empty()) {
        let known = lexicon.get(word.as_bytes());
        if let Some(ten) = ten.take() {
            // Forty-eight is one number, forty alone another.
            match known {
                Some(Word::Digit(digit @ 1..)) => {
                    decoded.push_str(&format!("{ten}{digit}"));
                    count += 1;
                    continue;
                }
                _ => decoded.push_str(&format!("{ten}0")),
            }
        }
        match known {
            Some(Word::Digit(digit)) => {
                for _ in 0..std::mem::replace(&mut repeat, 1) {
                    decoded.push(char::from(b'0' + digit));
                }
            }
            Some(Word::Letter(letter)) => {
                letters = true;
                for _ in 0..std::mem::replace(&mut repeat, 1) {
                    decoded.push(letter);
                }
            }
            Some(Word::Teen(n)) => decoded.push_str(&n.to_string()),
            Some(Word::Ten(n)) => ten = Some(n),
            None => {
                match word {
                    "double" => repeat = 2,
                    "triple" => repeat = 3,
                    // Between the letters of a spelling, these say nothing.
                    "dash" | "hyphen" | "dot" | "underscore" | "space" | "capital" | "lowercase" | "uppercase"
                    | "small" | "as" | "in" | "for" | "like" | "and" | "comma" => {}
                    word => {
                        decoded.push(' ');
                        decoded.push_str(word);
                        decoded.push(' ');
                    }
                }
                continue;
            }
        }
        count += 1;
    }
    if let Some(ten) = ten {
        decoded.push_str(&format!("{ten}0"));
    }
    (count >= FEWEST).then_some((decoded, letters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::levels;

    #[test]
    fn every_known_word_is_in_a_group_and_few_others_are() {
        let lexicon = &*LEXICON;
        let known: Vec<&str> = lexicon.words.iter().flatten().map(|(word, _)| *word).collect();
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
