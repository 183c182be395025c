//! What is said letter by letter: Morse code, the NATO alphabet, numbers in words.

use std::collections::HashMap;
use std::sync::LazyLock;

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

fn morse(text: &str, marks: &Marks) -> Option<String> {
    // Nearly every message has a letter of two signs.
    let (runs, two) = marks.morse_runs();
    let typographic = if text.is_ascii() { 0 } else { typographic(text) };
    if !two && typographic == 0 || runs + typographic < FEWEST {
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

/// How many signs are not those of ASCII.
fn typographic(text: &str) -> usize {
    let is_one = |at: &usize| text[*at..].starts_with(['·', '•', '–', '—', '−']);
    memchr::memchr2_iter(0xc2, 0xe2, text.as_bytes()).filter(is_one).count()
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

static WORDS: LazyLock<HashMap<&str, Word>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for (list, language) in DIGITS.iter().enumerate() {
        for (digit, word) in language.split(' ').enumerate() {
            // `six` is the same in two; English goes first.
            let entry = words.entry(word).or_insert(Word::Digit(digit as u8));
            debug_assert!(list > 0 || matches!(entry, Word::Digit(_)));
        }
    }
    words.extend([
        ("oh", Word::Digit(0)),
        ("nought", Word::Digit(0)),
        ("fuenf", Word::Digit(5)),
        ("zwo", Word::Digit(2)),
    ]);
    words.extend(TEENS.split(' ').zip(10..).map(|(word, n)| (word, Word::Teen(n))));
    words.extend(TENS.split(' ').zip(2..).map(|(word, n)| (word, Word::Ten(n))));
    words.extend(NATO.split(' ').zip('a'..).map(|(word, letter)| (word, Word::Letter(letter))));
    words.extend([("alpha", Word::Letter('a')), ("juliet", Word::Letter('j')), ("whisky", Word::Letter('w'))]);
    // The normal way to write it parts the word in two.
    words.insert("x-ray", Word::Letter('x'));
    words
});

/// The first four letters of a word as a number, shorter words end in zeros, with its length: that is known of few
/// other words.
fn head(word: &[u8], length: usize) -> u32 {
    let four = word.first_chunk().map_or_else(
        || (0..).zip(word).fold(0, |head, (at, byte)| head | u32::from(*byte) << (24 - 8 * at)),
        |four| u32::from_be_bytes(*four),
    );
    // Signs beyond a short word are cut off; no other byte than a letter or a zero is left.
    let letters = (four | 0x2020_2020) & (u32::MAX << (32 - 8 * length.min(4)));
    letters ^ length as u32
}

const fn slot(head: u32) -> usize {
    (head.wrapping_mul(0x9e37_79b1) >> 20) as usize
}

/// A bit for each hash of the head of a known word.
static HEADS: LazyLock<[u64; 64]> = LazyLock::new(|| {
    let mut table = [0; 64];
    let mut add = |word: &str| {
        let at = slot(head(word.as_bytes(), word.len()));
        table[at / 64] |= 1 << (at % 64);
    };
    WORDS.keys().filter(|word| word.is_ascii()).for_each(|word| add(word));
    // What are words of letters in `x-ray`.
    ["x", "ray"].into_iter().for_each(add);
    table
});

/// Words between two known ones that do not part them.
const APART: u32 = 4;

/// Whether enough words stand together that begin like known ones.
fn has_words(text: &str, marks: &Marks) -> bool {
    // Beyond ASCII there are words of two letters, and others of any number between them; and `fünf` and `zéro`
    // are no words of ASCII letters.
    let (fewest, apart) = if text.is_ascii() { (3, APART) } else { (1, u32::MAX) };
    if fewest == 1 && text.chars().any(|c| !c.is_ascii() && c.is_alphanumeric()) {
        return true;
    }
    let bytes = text.as_bytes();
    let heads = &*HEADS;
    let (mut row, mut others) = (0, 0);
    marks.any_word(fewest, |start, length| {
        let at = slot(head(&bytes[start..], length));
        if heads[at / 64] >> (at % 64) & 1 == 0 {
            others += 1;
            return false;
        }
        row = if others > apart { 1 } else { row + 1 };
        others = 0;
        row >= FEWEST
    })
}

/// The text with spoken letters and digits in place of their words, and whether letters are among them.
fn words(text: &str) -> Option<(String, bool)> {
    let lower = text.to_lowercase().replace("x-ray", "xray");
    let (mut count, mut letters) = (0, false);
    let mut decoded = String::with_capacity(lower.len());
    let mut ten: Option<u8> = None;
    let mut repeat = 1;
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let known = WORDS.get(word).copied();
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
