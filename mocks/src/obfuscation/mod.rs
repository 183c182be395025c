//! Disguises of secrets, for the parrot and for measuring the detectors.

mod codes;
mod spelled;

use data_encoding::{BASE32, BASE64, BASE64URL_NOPAD, HEXLOWER};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use self::codes::coded;

/// A transformation of a secret.
#[derive(Debug, Clone, Copy)]
pub struct Disguise {
    /// Name of the disguise.
    pub name: &'static str,
    /// Whether the detectors claim to find a secret in this disguise.
    pub claimed: bool,
    fits: Fits,
    make: fn(&str, &mut ChaCha20Rng) -> String,
}

/// The secrets that a disguise changes without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    All,
    /// For leet: a digit of the secret cannot be told from a replaced letter.
    NoDigit,
    /// For `x` as a separator: it cannot be told from an `x` of the secret.
    NoX,
    /// For ROT47: short groups of digits become short words like any others.
    NoSpace,
    /// For number words: letters between digits would separate the words.
    DigitsOnly,
}

type Make = fn(&str, &mut ChaCha20Rng) -> String;

const fn claimed(name: &'static str, make: Make) -> Disguise {
    Disguise { name, claimed: true, fits: Fits::All, make }
}

const fn claimed_for(fits: Fits, name: &'static str, make: Make) -> Disguise {
    Disguise { name, claimed: true, fits, make }
}

const fn unclaimed(name: &'static str, make: Make) -> Disguise {
    Disguise { name, claimed: false, fits: Fits::All, make }
}

impl Disguise {
    /// All disguises.
    pub const ALL: [Self; 135] = [
        claimed("plain", |s, _| s.to_owned()),
        claimed("upper-case", |s, _| s.to_uppercase()),
        claimed("spaced", |s, _| join(s, " ")),
        claimed("hyphenated", |s, _| join(s, "-")),
        claimed("dotted", |s, _| join(s, ". ")),
        claimed("lines", |s, _| join(s, "\n")),
        claimed("bold-letters", |s, _| each(s, |c| format!("**{c}**"))),
        claimed("zero-width", |s, _| join(s, "\u{200b}")),
        claimed("full-width", |s, _| each(s, full_width)),
        claimed("look-alikes", |s, _| each(s, look_alike)),
        claimed("accents", |s, _| each(s, |c| format!("{c}\u{301}"))),
        claimed("halves", |s, _| {
            let (a, b) = s.split_at(s.char_indices().nth(s.chars().count() / 2).map_or(0, |(i, _)| i));
            format!("{a} ... {b}")
        }),
        claimed("reversed", |s, _| reversed(s)),
        claimed("rot13", |s, _| shifted(s, 13)),
        claimed("caesar", |s, stream| shifted(s, 1 + (stream.next_u32() % 25) as u8)),
        claimed_for(Fits::NoDigit, "leet", |s, _| each(s, leet)),
        claimed_for(Fits::NoX, "separated", |s, _| join(s, "x")),
        claimed("base64", |s, _| BASE64.encode(s.as_bytes())),
        claimed("base64url", |s, _| BASE64URL_NOPAD.encode(s.as_bytes())),
        claimed("base64-in-sentence", |s, stream| {
            let before = ["It is ", "Well: ", "a ", "the code ... "][(stream.next_u32() % 4) as usize];
            BASE64.encode(format!("{before}{s}, I think").as_bytes())
        }),
        claimed("hex", |s, _| HEXLOWER.encode(s.as_bytes())),
        claimed("hex-spaced", |s, _| bytes(s, |b| format!("{b:02X} "))),
        claimed("hex-0x", |s, _| bytes(s, |b| format!("0x{b:02x}, "))),
        claimed("hex-colons", |s, _| bytes(s, |b| format!("{b:02x}:"))),
        claimed("x-escapes", |s, _| bytes(s, |b| format!("\\x{b:02x}"))),
        claimed("u-escapes", |s, _| each(s, |c| format!("\\u{:04x}", u32::from(c)))),
        claimed("code-points", |s, _| each(s, |c| format!("U+{:04X} ", u32::from(c)))),
        claimed("percent", |s, _| bytes(s, |b| format!("%{b:02X}"))),
        claimed("entities", |s, _| each(s, |c| format!("&#{};", u32::from(c)))),
        claimed("entities-hex", |s, _| each(s, |c| format!("&#x{:x};", u32::from(c)))),
        claimed("morse", |s, _| morse(s)),
        claimed("nato", |s, _| nato(s)),
        claimed("number-words", |s, _| numbers(s, &ENGLISH)),
        claimed("number-words-german", |s, _| numbers(s, &GERMAN)),
        claimed("base64-twice", |s, _| BASE64.encode(BASE64.encode(s.as_bytes()).as_bytes())),
        claimed("hex-of-base64", |s, _| HEXLOWER.encode(BASE64.encode(s.as_bytes()).as_bytes())),
        claimed("base64-of-reversed", |s, _| BASE64.encode(reversed(s).as_bytes())),
        claimed("base64-of-rot13", |s, _| BASE64.encode(shifted(s, 13).as_bytes())),
        claimed("reversed-base64", |s, _| reversed(&BASE64.encode(s.as_bytes()))),
        claimed("rot13-base64", |s, _| shifted(&BASE64.encode(s.as_bytes()), 13)),
        claimed("percent-of-entities", |s, _| {
            bytes(&each(s, |c| format!("&#{};", u32::from(c))), |b| format!("%{b:02X}"))
        }),
        claimed("reversed-spaced", |s, _| join(&reversed(s), " ")),
        claimed("typo", changed),
        claimed("letter-missing", |s, stream| {
            let at = stream.next_u32() as usize % s.len();
            s.char_indices().filter(|(i, _)| *i != at).map(|(_, c)| c).collect()
        }),
        claimed("nine-tenths", |s, _| s.chars().take((9 * s.chars().count()).div_ceil(10)).collect()),
        claimed("base32", |s, _| BASE32.encode(s.as_bytes())),
        claimed("base58", |s, _| codes::base58(s)),
        claimed("ascii85", |s, _| codes::base85(s, codes::ASCII85)),
        unclaimed("z85", |s, _| codes::base85(s, codes::Z85)),
        claimed("octal", |s, _| coded(s, " ", |b| format!("{b:03o}"))),
        claimed("octal-escapes", |s, _| coded(s, "", |b| format!("\\{b:03o}"))),
        claimed("binary", |s, _| bytes(s, |b| format!("{b:08b} "))),
        claimed("binary-0b", |s, _| coded(s, ", ", |b| format!("0b{b:08b}"))),
        claimed("binary-joined", |s, _| coded(s, "", |b| format!("{b:08b}"))),
        claimed("decimal-codes", |s, _| bytes(s, |b| format!("{b} "))),
        claimed("decimal-list", |s, _| format!("[{}]", coded(s, ", ", |b| b.to_string()))),
        claimed("chr-calls", |s, _| coded(s, "+", |b| format!("chr({b})"))),
        claimed("from-char-code", |s, _| format!("String.fromCharCode({})", coded(s, ", ", |b| b.to_string()))),
        claimed("hex-dollar", |s, _| coded(s, " ", |b| format!("${b:02x}"))),
        claimed("hex-suffix", |s, _| coded(s, ", ", |b| format!("{b:02X}h"))),
        claimed("hex-pipes", |s, _| coded(s, " | ", |b| format!("{b:02x}"))),
        claimed("hex-lines", |s, _| coded(s, "\n", |b| format!("#{b:02x}"))),
        claimed("utf16-base64", |s, _| BASE64.encode(&codes::utf16(s, true))),
        claimed("utf16-hex", |s, _| HEXLOWER.encode(&codes::utf16(s, false))),
        claimed("gzip-base64", |s, _| BASE64.encode(&codes::gzip(s))),
        claimed("zlib-base64", |s, _| BASE64.encode(&codes::zlib(s))),
        claimed("deflate-base64", |s, _| BASE64.encode(&codes::deflate(s))),
        claimed("base64-in-fours", |s, _| codes::pieces(&BASE64.encode(s.as_bytes()), 4, " ")),
        claimed("base64-quoted-lines", |s, _| {
            let code = BASE64.encode(format!("The value that you ask for is {s}, I think").as_bytes());
            format!("\n> {}\n", codes::pieces(&code, 20, "\n> "))
        }),
        claimed("base64-json-list", |s, _| {
            let code = BASE64.encode(format!("It is {s}.").as_bytes());
            format!("[\"{}\"]", codes::pieces(&code, 8, "\", \""))
        }),
        claimed("base64-thrice", |s, _| {
            BASE64.encode(BASE64.encode(BASE64.encode(s.as_bytes()).as_bytes()).as_bytes())
        }),
        claimed("base64-of-hex-of-base32", |s, _| {
            BASE64.encode(HEXLOWER.encode(BASE32.encode(s.as_bytes()).as_bytes()).as_bytes())
        }),
        claimed("atbash", |s, _| each(s, atbash)),
        claimed("atbash-reversed", |s, _| reversed(&each(s, atbash))),
        claimed_for(Fits::NoSpace, "rot47", |s, _| each(s, codes::rot47)),
        claimed("tags", |s, _| each(s, codes::tag)),
        claimed("variation-selectors", |s, _| format!("\u{1f600}{}", bytes(s, codes::selector))),
        claimed("circled", |s, _| each(s, |c| codes::in_block(c, Some(0x24d0), None))),
        claimed("negative-circled", |s, _| each(s, |c| codes::in_block(c, Some(0x1f150), None))),
        claimed("negative-squared", |s, _| each(s, |c| codes::in_block(c, Some(0x1f170), None))),
        claimed("parenthesized", |s, _| each(s, |c| codes::in_block(c, Some(0x249c), None))),
        claimed("regional-indicators", |s, _| each(s, |c| codes::in_block(c, Some(0x1f1e6), None))),
        claimed("mathematical-bold", |s, _| each(s, |c| codes::in_block(c, Some(0x1d41a), Some(0x1d7ce)))),
        claimed("small-capitals", |s, _| each(s, codes::small_capital)),
        claimed("digits-arabic", |s, _| each(s, |c| codes::in_block(c, None, Some(0x660)))),
        claimed("digits-devanagari", |s, _| each(s, |c| codes::in_block(c, None, Some(0x966)))),
        claimed("digits-adlam", |s, _| each(s, |c| codes::in_block(c, None, Some(0x1e950)))),
        claimed("hangul-filler", |s, _| join(s, "\u{3164}")),
        claimed("wide-base64", |s, _| each(&BASE64.encode(s.as_bytes()), full_width)),
        claimed("html-tags", |s, _| each(s, |c| format!("<b class=\"x\">{c}</b>"))),
        claimed("html-comments", |s, _| join(s, "<!-- no -->")),
        claimed("latex", |s, _| each(s, |c| format!("\\textbf{{{c}}}"))),
        claimed("json-letters", |s, _| spelled::lines(s, ", ", |at, c| format!("\"k{at}\": \"{c}\""))),
        claimed("numbered-list", |s, _| spelled::lines(s, "\n", |at, c| format!("{at}. {c}"))),
        claimed("indexed-list", |s, _| spelled::lines(s, "\n", |at, c| format!("[{}] {c}", at - 1))),
        claimed("labelled-letters", |s, _| spelled::lines(s, "\n", |at, c| format!("Letter {at}: {c}"))),
        claimed("labelled-digits", |s, _| spelled::lines(s, "\n", |at, c| format!("Digit {at} = {c}"))),
        claimed("table", |s, _| spelled::lines(s, "\n", |at, c| format!("| {at} | {c} |"))),
        claimed("quoted-items", |s, _| {
            format!("[{}]", s.chars().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", "))
        }),
        claimed("as-in", |s, _| spelled::explained(s, "as in")),
        claimed("for-name", |s, _| spelled::explained(s, "for")),
        claimed("like-name", |s, _| spelled::explained(s, "like")),
        claimed("capital-small", |s, _| spelled::cases(s)),
        claimed("sign-words", |s, _| spelled::signs(s)),
        claimed("able-baker", |s, _| spelled::in_alphabet(s, spelled::ABLE, &ENGLISH)),
        claimed("raf-alphabet", |s, _| spelled::in_alphabet(s, spelled::RAF, &ENGLISH)),
        claimed("german-alphabet", |s, _| spelled::in_alphabet(s, spelled::GERMAN, &GERMAN)),
        claimed("begins-and-ends", |s, _| {
            let parts = spelled::parts(s, 2);
            format!("it begins with {} and ends with {}", parts[0], parts[parts.len() - 1])
        }),
        claimed("halves-labelled", |s, _| {
            spelled::labelled(s, 2, false, |at, part| format!("{} half: {part}", ["first", "second"][at - 1]))
        }),
        claimed("halves-exchanged", |s, _| {
            spelled::labelled(s, 2, true, |at, part| format!("the {} half is \"{part}\"", ["first", "second"][at - 1]))
        }),
        claimed("thirds-labelled", |s, _| {
            spelled::labelled(s, 3, false, |at, part| format!("{} third: {part}", ["first", "second", "last"][at - 1]))
        }),
        claimed("numbered-parts", |s, _| spelled::labelled(s, 3, false, |at, part| format!("part {at}: {part}"))),
        claimed("parts-backward", |s, _| spelled::labelled(s, 3, true, |at, part| format!("part {at}: {part}"))),
        claimed_for(Fits::DigitsOnly, "number-words-french", |s, _| spelled::in_language(s, "french")),
        claimed_for(Fits::DigitsOnly, "number-words-spanish", |s, _| spelled::in_language(s, "spanish")),
        claimed_for(Fits::DigitsOnly, "number-words-italian", |s, _| spelled::in_language(s, "italian")),
        claimed_for(Fits::DigitsOnly, "number-words-portuguese", |s, _| spelled::in_language(s, "portuguese")),
        claimed_for(Fits::DigitsOnly, "number-words-dutch", |s, _| spelled::in_language(s, "dutch")),
        claimed_for(Fits::DigitsOnly, "number-words-polish", |s, _| spelled::in_language(s, "polish")),
        claimed_for(Fits::DigitsOnly, "number-words-russian", |s, _| spelled::in_language(s, "russian")),
        claimed_for(Fits::DigitsOnly, "number-words-ukrainian", |s, _| spelled::in_language(s, "ukrainian")),
        claimed_for(Fits::DigitsOnly, "number-words-pinyin", |s, _| spelled::in_language(s, "pinyin")),
        claimed_for(Fits::DigitsOnly, "number-words-romaji", |s, _| spelled::in_language(s, "romaji")),
        claimed_for(Fits::DigitsOnly, "number-words-kana", |s, _| spelled::in_language(s, "kana")),
        claimed_for(Fits::DigitsOnly, "number-words-hindi", |s, _| spelled::in_language(s, "hindi")),
        claimed_for(Fits::DigitsOnly, "number-words-hindi-romanized", |s, _| {
            spelled::in_language(s, "hindi-romanized")
        }),
        claimed_for(Fits::DigitsOnly, "number-words-indonesian", |s, _| spelled::in_language(s, "indonesian")),
        claimed_for(Fits::DigitsOnly, "number-words-chinese", |s, _| spelled::in_language(s, "chinese")),
        claimed_for(Fits::DigitsOnly, "number-words-chinese-financial", |s, _| {
            spelled::in_language(s, "chinese-financial")
        }),
        claimed("neighbors-exchanged", exchanged),
        claimed("letter-doubled", |s, stream| {
            let letters: Vec<char> = s.chars().collect();
            let at = stream.next_u32() as usize % letters.len();
            letters.iter().enumerate().flat_map(|(i, c)| std::iter::repeat_n(*c, 1 + usize::from(i == at))).collect()
        }),
        unclaimed("without-vowels", |s, _| s.chars().filter(|c| !"aeiouAEIOU".contains(*c)).collect()),
        unclaimed("every-second-letter-only", |s, _| s.chars().step_by(2).collect()),
        unclaimed("zero-width-bits", |s, _| {
            bytes(s, |b| (0..8).rev().map(|bit| if b >> bit & 1 == 1 { '\u{200c}' } else { '\u{200b}' }).collect())
        }),
        unclaimed("sorted-letters", |s, _| {
            let mut letters: Vec<char> = s.chars().collect();
            letters.sort_unstable();
            letters.into_iter().collect()
        }),
    ];

    /// The disguise of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disguise| disguise.name == name)
    }

    /// Whether the whole secret can be recovered from this disguise alone. An `x` in the secret cannot be told from a
    /// separator `x`, and number words of most languages are read only where three are adjacent.
    #[must_use]
    pub fn fits(&self, secret: &str) -> bool {
        match self.fits {
            Fits::All => true,
            Fits::NoDigit => !secret.contains(|c: char| c.is_ascii_digit()),
            Fits::NoX => !secret.contains(['x', 'X']),
            Fits::NoSpace => !secret.contains(' '),
            Fits::DigitsOnly => !secret.contains(char::is_alphabetic),
        }
    }

    /// The secret in this disguise; `stream` decides random choices.
    #[must_use]
    pub fn apply(&self, secret: &str, stream: &mut ChaCha20Rng) -> String {
        (self.make)(secret, stream)
    }
}

fn each(text: &str, make: impl Fn(char) -> String) -> String {
    text.chars().map(make).collect()
}

fn bytes(text: &str, make: impl Fn(u8) -> String) -> String {
    text.bytes().map(make).collect()
}

fn join(text: &str, between: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(between)
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

fn full_width(c: char) -> String {
    match c {
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c).to_string(),
        c => c.to_string(),
    }
}

fn look_alike(c: char) -> String {
    let pairs = [('a', 'а'), ('e', 'е'), ('o', 'о'), ('p', 'р'), ('c', 'с'), ('x', 'х'), ('i', 'і'), ('s', 'ѕ')];
    pairs.iter().find(|(latin, _)| *latin == c).map_or(c, |(_, other)| *other).to_string()
}

fn shifted(text: &str, by: u8) -> String {
    let shift = |c: char, first: u8| char::from((c as u8 - first + by) % 26 + first);
    text.chars()
        .map(|c| match c {
            'a'..='z' => shift(c, b'a'),
            'A'..='Z' => shift(c, b'A'),
            c => c,
        })
        .collect()
}

fn atbash(c: char) -> String {
    match c {
        'a'..='z' => char::from(b'z' - (c as u8 - b'a')).to_string(),
        'A'..='Z' => char::from(b'Z' - (c as u8 - b'A')).to_string(),
        c => c.to_string(),
    }
}

fn leet(c: char) -> String {
    match c.to_ascii_lowercase() {
        'a' => "4".into(),
        'e' => "3".into(),
        'i' => "1".into(),
        'o' => "0".into(),
        's' => "5".into(),
        't' => "7".into(),
        _ => c.to_string(),
    }
}

const ENGLISH: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const GERMAN: [&str; 10] = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];

fn numbers(text: &str, words: &[&str; 10]) -> String {
    let word = |c: char| c.to_digit(10).map_or_else(|| c.to_string(), |digit| format!(" {} ", words[digit as usize]));
    each(text, word)
}

fn nato(text: &str) -> String {
    const WORDS: &str = "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa \
                         Quebec Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu";
    let word = |c: char| match c.to_ascii_lowercase() {
        c @ 'a'..='z' => WORDS.split(' ').nth(usize::from(c as u8 - b'a')).unwrap_or_default().to_owned(),
        c @ '0'..='9' => ENGLISH[usize::from(c as u8 - b'0')].to_owned(),
        c => c.to_string(),
    };
    text.chars().map(word).collect::<Vec<_>>().join(" ")
}

fn morse(text: &str) -> String {
    const LETTERS: &str = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- \
                           -..- -.-- --..";
    const DIGITS: &str = "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.";
    let sign = |c: char| match c.to_ascii_lowercase() {
        c @ 'a'..='z' => LETTERS.split(' ').nth(usize::from(c as u8 - b'a')).unwrap_or_default(),
        c @ '0'..='9' => DIGITS.split(' ').nth(usize::from(c as u8 - b'0')).unwrap_or_default(),
        _ => "/",
    };
    text.chars().map(sign).collect::<Vec<_>>().join(" ")
}

/// Exchanges two adjacent letters or digits that differ, ignoring case.
fn exchanged(text: &str, stream: &mut ChaCha20Rng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let differ = |at: &usize| {
        let (a, b) = (letters[*at], letters[at + 1]);
        a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && !a.eq_ignore_ascii_case(&b)
    };
    let places: Vec<usize> = (0..letters.len().saturating_sub(1)).filter(differ).collect();
    if let Some(at) = places.get(stream.next_u32() as usize % places.len().max(1)) {
        letters.swap(*at, at + 1);
    }
    letters.into_iter().collect()
}

/// Replaces one letter or digit by the next one.
fn changed(text: &str, stream: &mut ChaCha20Rng) -> String {
    let places: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).map(|(i, _)| i).collect();
    let at = places.get(stream.next_u32() as usize % places.len().max(1)).copied();
    let next = |c: char| match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        c => char::from(c as u8 + 1),
    };
    text.char_indices().map(|(i, c)| if Some(i) == at { next(c) } else { c }).collect()
}
