//! The readings of a text: as it is, and decoded.
//!
//! A secret is found in a text when its normal form is in the normal form of one of the text's
//! views. What [`Searcher`](super::Searcher) finds and what [`Candidates`](super::Candidates) counts
//! both rest on these views, so that no hit is without its place among the candidates.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::marks::Marks;
use super::normalised::normal_bytes;
use super::{decode, letters, normalise, spoken};

/// One step of a disguise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Back to front.
    Reversed,
    /// Letters shifted by 13.
    Rot13,
    /// Letters shifted by another number.
    Caesar,
    /// Digits and signs that look like letters, as in `p4ssw0rd`.
    Leet,
    /// The same letter or digit between any two.
    Separated,
    /// Base64, also url-safe.
    Base64,
    /// Two hexadecimal digits for a byte.
    Hex,
    /// `%41`.
    Percent,
    /// `&#65;`.
    Entities,
    /// `\u0041`, `\x41`, `U+0041`.
    Escapes,
    /// Morse code.
    Morse,
    /// Words of the NATO alphabet.
    Nato,
    /// Numbers in words.
    NumberWords,
    /// Synonyms that the user declared.
    Translated,
}

impl Encoding {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reversed => "reversed",
            Self::Rot13 => "rot13",
            Self::Caesar => "caesar",
            Self::Leet => "leet",
            Self::Separated => "separated",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Percent => "percent",
            Self::Entities => "entities",
            Self::Escapes => "escapes",
            Self::Morse => "morse",
            Self::Nato => "nato",
            Self::NumberWords => "number-words",
            Self::Translated => "translated",
        }
    }
}

/// A decoded part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// How it was decoded, the outermost step first.
    pub how: Vec<Encoding>,
    /// What it says, not normalised.
    pub text: String,
    /// Where in the text it stands, in bytes.
    pub source: Range<usize>,
}

/// Decoders are applied to what decoders gave, so often in all.
const DEPTH: usize = 2;
/// What all segments of a text may take up, in bytes, beyond which nothing is decoded: a text that
/// decodes to more was made for that, and its silence is none.
pub(super) const MOST: usize = 1 << 26;

/// The decoded parts of a text.
#[must_use]
pub fn segments(text: &str, synonyms: &Synonyms) -> Vec<Segment> {
    segments_of(text, &normal_bytes(text), &Marks::new(text), synonyms, 1, MOST).0
}

/// The same where the normal form and the marks are known, without some that have fewer than `shortest` bytes in
/// that form; and whether these are all, which take up `most` bytes or fewer.
pub(super) fn segments_of(
    text: &str,
    normal: &[u8],
    marks: &Marks,
    synonyms: &Synonyms,
    shortest: usize,
    most: usize,
) -> (Vec<Segment>, bool) {
    let mut all: Vec<Segment> = Vec::new();
    let mut bytes = 0;
    let mut add = |from: Option<&Segment>, how: &[Encoding], text: String, source: Range<usize>| {
        bytes += text.len();
        let outer = from.map(|from| from.how.as_slice()).unwrap_or_default();
        let source = from.map_or(source, |from| from.source.clone());
        (bytes <= most).then(|| Segment { how: [outer, how].concat(), text, source })
    };
    each_decoded(text, normal, marks, Some(shortest), synonyms, &mut |how, decoded, source| {
        all.extend(add(None, how, decoded, source))
    });
    let mut at = 0;
    while at < all.len() {
        if all[at].how.len() < DEPTH {
            let mut more = Vec::new();
            let from = all[at].clone();
            // Letters are dressed up once, innermost.
            let clothed =
                (!from.how.iter().any(|step| matches!(step, Encoding::Leet | Encoding::Separated))).then_some(shortest);
            let (normal, marks) = (normal_bytes(&from.text), Marks::new(&from.text));
            each_decoded(&from.text, &normal, &marks, clothed, synonyms, &mut |how, decoded, source| {
                if from.how.len() + how.len() <= DEPTH {
                    more.extend(add(Some(&from), how, decoded, source));
                }
            });
            all.extend(more);
        }
        at += 1;
    }
    (all, bytes <= most)
}

/// Takes a decoded part: its steps, what it says, and where it stands.
pub(super) type Out<'a> = &'a mut dyn FnMut(&[Encoding], String, Range<usize>);

/// Letters may be dressed up where the `shortest` text is given that is looked for.
fn each_decoded(text: &str, normal: &[u8], marks: &Marks, clothed: Option<usize>, synonyms: &Synonyms, out: Out<'_>) {
    decode::each(text, marks, out);
    if let Some(shortest) = clothed {
        letters::each(text, normal, shortest, marks, out);
    }
    spoken::each(text, marks, out);
    if let Some(replaced) = synonyms.replace(text) {
        out(&[Encoding::Translated], replaced, 0..text.len());
    }
}

/// Visits the normal form of every view of a text; those of shifted letters only where `letters` matter. False
/// where the text decodes to more than is looked at, so that views were left out.
pub(crate) fn each_view(text: &str, synonyms: &Synonyms, letters: bool, visit: &mut dyn FnMut(&str)) -> bool {
    let mut turned = |normal: &str| {
        let reversed: String = normal.chars().rev().collect();
        for way in [normal, &reversed] {
            visit(way);
            if letters && way.bytes().any(|b| b.is_ascii_lowercase()) {
                for shift in 1..26 {
                    visit(&shifted(way, shift));
                }
            }
        }
    };
    let normal = normalise(text);
    turned(&normal);
    let (segments, whole) = segments_of(text, normal.as_bytes(), &Marks::new(text), synonyms, 1, MOST);
    for segment in segments {
        turned(&normalise(&segment.text));
    }
    whole
}

/// A normal text with its letters shifted.
pub(crate) fn shifted(normal: &str, shift: u8) -> String {
    let shift_one = |c: char| match c {
        'a'..='z' => char::from(b'a' + (c as u8 - b'a' + shift) % 26),
        c => c,
    };
    normal.chars().map(shift_one).collect()
}

/// Other words for the values of a list.
#[derive(Debug, Clone, Default)]
pub struct Synonyms {
    found: Option<aho_corasick::AhoCorasick>,
    values: Vec<String>,
}

impl Synonyms {
    /// Prepares pairs of another word and the value that it stands for.
    ///
    /// # Panics
    /// When the words would not fit into memory.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (words, values): (Vec<String>, Vec<String>) =
            pairs.into_iter().map(|(word, value)| (word.to_lowercase(), value.to_owned())).unzip();
        let build = |words| {
            let kind = aho_corasick::MatchKind::LeftmostLongest;
            aho_corasick::AhoCorasick::builder().match_kind(kind).build(words).expect("the words fit into an automaton")
        };
        Self { found: (!words.is_empty()).then(|| build(&words)), values }
    }

    /// The text with values in place of other words; `None` when there are none in it.
    fn replace(&self, text: &str) -> Option<String> {
        let found = self.found.as_ref()?;
        let lower = text.to_lowercase();
        found.is_match(&lower).then(|| found.replace_all(&lower, &self.values))
    }
}
