//! Views of a text: the text itself and its decoded parts.
//!
//! A secret is found in a text when its normal form is in the normal form of one of the text's views.
//! [`Searcher`](super::Searcher) and [`Candidates`](super::Candidates) use the same views, so that every hit is among
//! the counted candidates.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decoder::{Emit, REGISTRY, Text};
use super::marks::Marks;
use super::normalise;
use super::normalised::{Normal, normal_bytes};

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
    /// The same letter or digit between any two characters.
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
    /// Words of the NATO alphabet or of another one.
    Nato,
    /// Numbers in words.
    NumberWords,
    /// Synonyms that the user declared.
    Translated,
    /// The alphabet backward: `a` for `z`.
    Atbash,
    /// All printable ASCII characters shifted by 47.
    Rot47,
    /// Base32, in either case.
    Base32,
    /// Base58, with Bitcoin's alphabet.
    Base58,
    /// Ascii85, Z85 and other alphabets of 85 signs.
    Ascii85,
    /// Codes of letters as decimal numbers, also in calls of `chr`.
    DecimalCodes,
    /// Codes of letters as octal numbers.
    Octal,
    /// Bytes as binary digits.
    Binary,
    /// Two or four bytes for each letter.
    Utf16,
    /// Compressed by gzip, zlib or deflate.
    Compressed,
    /// Tags, commands of LaTeX, and labels of lists.
    Markup,
    /// One letter or digit per item of a list.
    Items,
    /// Words for signs, such as `dot`.
    Spelled,
    /// Labeled or numbered parts.
    Parts,
    /// Characters that look like ASCII ones, around text that had to be decoded.
    LookAlikes,
    /// Bytes hidden in variation selectors.
    VariationSelectors,
}

impl Encoding {
    /// All encodings.
    pub const ALL: [Self; 30] = [
        Self::Reversed,
        Self::Rot13,
        Self::Caesar,
        Self::Leet,
        Self::Separated,
        Self::Base64,
        Self::Hex,
        Self::Percent,
        Self::Entities,
        Self::Escapes,
        Self::Morse,
        Self::Nato,
        Self::NumberWords,
        Self::Translated,
        Self::Atbash,
        Self::Rot47,
        Self::Base32,
        Self::Base58,
        Self::Ascii85,
        Self::DecimalCodes,
        Self::Octal,
        Self::Binary,
        Self::Utf16,
        Self::Compressed,
        Self::Markup,
        Self::Items,
        Self::Spelled,
        Self::Parts,
        Self::LookAlikes,
        Self::VariationSelectors,
    ];

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
            Self::Atbash => "atbash",
            Self::Rot47 => "rot47",
            Self::Base32 => "base32",
            Self::Base58 => "base58",
            Self::Ascii85 => "ascii85",
            Self::DecimalCodes => "decimal-codes",
            Self::Octal => "octal",
            Self::Binary => "binary",
            Self::Utf16 => "utf16",
            Self::Compressed => "compressed",
            Self::Markup => "markup",
            Self::Items => "items",
            Self::Spelled => "spelled",
            Self::Parts => "parts",
            Self::LookAlikes => "look-alikes",
            Self::VariationSelectors => "variation-selectors",
        }
    }
}

/// A decoded part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The steps by which the part was decoded, outermost first.
    pub how: Vec<Encoding>,
    /// The decoded text, not normalized.
    pub text: String,
    /// Byte range of the encoded part in the text.
    pub source: Range<usize>,
}

/// Most decoding steps in a chain.
const DEPTH: usize = 3;
/// Budget for all segments of a text, in bytes (64 MiB). Beyond it, nothing more is decoded. A text that exceeds the
/// budget was made to do so, so finding nothing in it proves nothing.
pub(super) const MOST: usize = 1 << 26;

/// Returns the decoded parts of a text.
#[must_use]
pub fn segments(text: &str, synonyms: &Synonyms) -> Vec<Segment> {
    segments_of(text, &normal_bytes(text), &Marks::new(text), synonyms, 1, MOST).0
}

/// Like [`segments`], where the normal form and the marks of the text are known. Parts that are too short for a normal
/// form of `shortest` bytes may be missing. Also returns whether all segments fit into `most` bytes.
///
/// A decoded part is omitted if the same text was decoded before in as few steps.
pub(super) fn segments_of(
    text: &str,
    normal: &[u8],
    marks: &Marks,
    synonyms: &Synonyms,
    shortest: usize,
    most: usize,
) -> (Vec<Segment>, bool) {
    // A synonym may be shorter than its value.
    let shortest = if synonyms.found.is_none() { shortest } else { 1 };
    let mut all: Vec<Segment> = Vec::new();
    let mut take = |how: &[Encoding], text: String, source| all.push(Segment { how: how.to_vec(), text, source });
    let mut emit = Emit::new(most, DEPTH, shortest, &mut take);
    decode_all(&Text::new(text, normal, marks, shortest), &[], synonyms, &mut emit);
    let (mut left, mut whole) = (emit.left(), !emit.overflowed());
    if all.is_empty() {
        return (all, whole);
    }
    let mut known = Known::default();
    known.is_new(text, &[]);
    all.retain(|segment| known.is_new(&segment.text, &segment.how));
    let (mut normal_of_part, mut marks_of_part) = (Normal::default(), Marks::default());
    // Breadth first: new parts go to the end and are decoded in turn.
    let mut at = 0;
    while at < all.len() && whole {
        let from = &all[at];
        if from.how.len() < DEPTH && Rank::of(&from.how) != Rank::Last {
            let mut more: Vec<Segment> = Vec::new();
            let mut take = |how: &[Encoding], text: String, _| {
                let how = [&from.how, how].concat();
                if known.is_new(&text, &how) {
                    more.push(Segment { how, text, source: from.source.clone() });
                }
            };
            let mut emit = Emit::new(left, DEPTH - from.how.len(), shortest, &mut take);
            normal_of_part.read(&from.text);
            marks_of_part.read(&from.text);
            let text = Text::new(&from.text, normal_of_part.as_bytes(), &marks_of_part, shortest);
            decode_all(&text, &from.how, synonyms, &mut emit);
            (left, whole) = (emit.left(), !emit.overflowed());
            all.extend(more);
        }
        at += 1;
    }
    (all, whole)
}

/// Which decoders may follow the steps of a part. A rank allows everything that the ranks after it allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// All decoders.
    Free,
    /// All decoders except those that undo a change of letters: these apply once.
    Changed,
    /// No decoder: few chains continue after leet within another encoding.
    Last,
}

impl Rank {
    fn of(how: &[Encoding]) -> Self {
        match how {
            [_, .., Encoding::Leet] => Self::Last,
            _ if how.iter().any(|step| matches!(step, Encoding::Leet | Encoding::Separated | Encoding::Items)) => {
                Self::Changed
            }
            _ => Self::Free,
        }
    }
}

/// Hashes of the texts seen so far, each with its fewest steps for each rank, counting the ranks before it.
#[derive(Default)]
struct Known {
    steps: HashMap<u64, [usize; 3], foldhash::fast::RandomState>,
}

impl Known {
    /// Whether this text can yield more than earlier occurrences of the same text. An omitted text yields nothing that
    /// the earlier one does not yield, whatever the order of the parts. So every view that is searched is also counted.
    fn is_new(&mut self, text: &str, how: &[Encoding]) -> bool {
        let hash = self.steps.hasher().hash_one(text);
        let fewest = self.steps.entry(hash).or_insert([usize::MAX; 3]);
        let rank = Rank::of(how) as usize;
        // Nothing is decoded from a part of the last rank, so its number of steps does not matter.
        let steps = if rank == Rank::Last as usize { DEPTH } else { how.len() };
        if fewest[rank] <= steps {
            return false;
        }
        fewest[rank..].iter_mut().for_each(|fewest| *fewest = steps.min(*fewest));
        true
    }
}

/// Applies all decoders that may follow the steps `how` to a text.
fn decode_all(text: &Text<'_>, how: &[Encoding], synonyms: &Synonyms, emit: &mut Emit<'_>) {
    let innermost = Rank::of(how) == Rank::Free;
    for decoder in REGISTRY {
        // ROT47 applied twice gives the original text.
        let is_undone = how.last() == Some(&Encoding::Rot47) && decoder.encodings() == [Encoding::Rot47];
        if (innermost || !decoder.is_innermost()) && !is_undone && decoder.may_apply(text.marks) {
            decoder.decode(text, emit);
        }
    }
    if let Some(replaced) = synonyms.replace(text.raw) {
        emit.push(&[Encoding::Translated], replaced, 0..text.raw.len());
    }
}

/// Visits the normal form of every view of a text, forward and backward. With `letters`, also visits each with its
/// letters shifted, and with the alphabet backward. Returns false if the text exceeds the decoding budget, so that
/// views are missing.
pub(crate) fn each_view(text: &str, synonyms: &Synonyms, letters: bool, visit: &mut dyn FnMut(&str)) -> bool {
    let mut turned = |normal: &str| {
        let reversed: String = normal.chars().rev().collect();
        for way in [normal, &reversed] {
            visit(way);
            if letters && way.bytes().any(|b| b.is_ascii_lowercase()) {
                (1..26).for_each(|shift| visit(&shifted(way, shift)));
                let mirrored = mirrored(way);
                (0..26).for_each(|shift| visit(&shifted(&mirrored, shift)));
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

/// Shifts the letters of a normal text.
pub(crate) fn shifted(normal: &str, shift: u8) -> String {
    let shift_one = |c: char| match c {
        'a'..='z' => char::from(b'a' + (c as u8 - b'a' + shift) % 26),
        c => c,
    };
    normal.chars().map(shift_one).collect()
}

/// Replaces the letters of a normal text by those of the alphabet backward (Atbash).
pub(crate) fn mirrored(normal: &str) -> String {
    let mirror_one = |c: char| if c.is_ascii_lowercase() { char::from(b'a' + b'z' - c as u8) } else { c };
    normal.chars().map(mirror_one).collect()
}

/// The user's synonyms for the values of a list.
#[derive(Debug, Clone, Default)]
pub struct Synonyms {
    found: Option<aho_corasick::AhoCorasick>,
    values: Vec<String>,
}

impl Synonyms {
    /// Prepares pairs of a synonym and the value that it stands for.
    ///
    /// # Panics
    /// When the words do not fit into memory.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (words, values): (Vec<String>, Vec<String>) =
            pairs.into_iter().map(|(word, value)| (word.to_lowercase(), value.to_owned())).unzip();
        let build = |words| {
            let kind = aho_corasick::MatchKind::LeftmostLongest;
            aho_corasick::AhoCorasick::builder().match_kind(kind).build(words).expect("the words fit into an automaton")
        };
        Self { found: (!words.is_empty()).then(|| build(&words)), values }
    }

    /// Returns the text in lowercase with values in place of synonyms; `None` if it has no synonym.
    fn replace(&self, text: &str) -> Option<String> {
        let found = self.found.as_ref()?;
        let lower = text.to_lowercase();
        found.is_match(&lower).then(|| found.replace_all(&lower, &self.values))
    }
}
