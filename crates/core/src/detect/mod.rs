//! Detectors: the rules by which an answer holds a secret.
//!
//! | detector | finds |
//! | --- | --- |
//! | `exact` | the secret letter by letter |
//! | `normalised` | its letters and digits, see [`normalise`] |
//! | `encoded` | these in a decoded view of the text, see [`Encoding`]; up to three steps deep |
//! | `number-words` | the same with numbers in words |
//! | `translated` | the same with the user's synonyms |
//! | `partial` | a stretch of at least three quarters of the secret |
//! | `fuzzy` | the secret with a few letters wrong, missing or too many |
//!
//! Each detector is the union of what it accepts with what those before it accept. [`Candidates`] counts the members of
//! a space that this union would have accepted as well: the p-value of a hit rests on that count.
//!
//! The first two detectors are the tier [`Tier::Plain`], the next three [`Tier::Disguised`], the last two
//! [`Tier::Approximate`]. Each tier has its own share of the error probability, so that a loose detector takes nothing
//! from a strict one.

pub(crate) mod approximate;
pub(crate) mod candidates;
mod carrier;
mod decoder;
mod grams;
mod marks;
mod normalised;
mod pieces;
mod search;
mod shifts;
mod view;
mod walk;

pub use approximate::Approximate;
pub use candidates::Candidates;
pub use carrier::{Carrier, Located, Reading, Value};
pub use normalised::normalise;
pub use pieces::{Halving, Pieces};
pub use search::{Match, Searched, Searcher};
pub use view::{Encoding, Segment, Synonyms, segments};

/// How a secret was found; the strongest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// Letter by letter.
    Exact,
    /// Apart from case, spaces, punctuation, zero-width and look-alike characters.
    Normalised,
    /// In a decoded view of the text.
    Encoded,
    /// With numbers in words.
    NumberWords,
    /// With the user's synonyms.
    Translated,
    /// A long stretch of the secret.
    Partial,
    /// With a few letters wrong.
    Fuzzy,
}

/// Detectors that share a test.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The secret itself, exact or in normal form.
    Plain,
    /// The whole secret in disguise.
    Disguised,
    /// A part of the secret, or the secret with a few letters wrong.
    Approximate,
}

impl Tier {
    /// All tiers, strictest first.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Disguised, Self::Approximate];

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Disguised => "disguised",
            Self::Approximate => "approximate",
        }
    }
}

impl Detector {
    /// All detectors, strongest first.
    pub const ALL: [Self; 7] =
        [Self::Exact, Self::Normalised, Self::Encoded, Self::NumberWords, Self::Translated, Self::Partial, Self::Fuzzy];

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalised => "normalised",
            Self::Encoded => "encoded",
            Self::NumberWords => "number-words",
            Self::Translated => "translated",
            Self::Partial => "partial",
            Self::Fuzzy => "fuzzy",
        }
    }

    /// The tier of the detector.
    #[must_use]
    pub const fn tier(self) -> Tier {
        match self {
            Self::Exact | Self::Normalised => Tier::Plain,
            Self::Encoded | Self::NumberWords | Self::Translated => Tier::Disguised,
            Self::Partial | Self::Fuzzy => Tier::Approximate,
        }
    }

    /// Returns the detector of a disguise with these steps.
    fn of(how: &[Encoding]) -> Self {
        if how.contains(&Encoding::Translated) {
            Self::Translated
        } else if how == [Encoding::NumberWords] {
            Self::NumberWords
        } else {
            Self::Encoded
        }
    }
}

/// All SIMD levels that this machine can run. Every level must find the same.
#[cfg(test)]
fn levels() -> Vec<fearless_simd::Level> {
    use fearless_simd::Level;
    let level = Level::new();
    let mut levels = vec![level, Level::baseline()];
    #[cfg(target_arch = "x86_64")]
    levels.extend(
        [level.as_sse2().map(Level::Sse2), level.as_sse4_2().map(Level::Sse4_2), level.as_avx2().map(Level::Avx2)]
            .into_iter()
            .flatten(),
    );
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of text that trigger decoders when they are repeated.
    const HOSTILE: [&str; 60] = [
        "NDgyOTEz",
        "NDgy ",
        "NDgyOTEz\n",
        "a",
        "A",
        "aB",
        "&#52;",
        "%34",
        "\\u0034",
        "\\x34",
        "4x8x",
        "p4ss ",
        ".- ",
        ". ",
        "one ",
        "one two ",
        "twenty ",
        "31 32 ",
        "0x31, ",
        "31",
        "$31 ",
        "31h ",
        "49 50 ",
        "049",
        "\\061",
        "chr(49)+",
        "chr(",
        "00110001 ",
        "00110001",
        "0b00110001, ",
        "0b",
        "GQ4DEOJR",
        "GQ4DEOJRGM======",
        "3yQ9Bz",
        "0H_J\\+",
        "<~0H_J~>",
        "0H_J\\+>PW",
        "cgah`b ",
        "E96 D64C6E ",
        "<b>",
        "<",
        "<!--",
        "</b>4",
        "\\textbf{4}",
        "\\a",
        "1. 4\n",
        "| 1 | 4 |\n",
        "\"a\": \"4\", ",
        "Letter 1: P\n",
        "P as in Papa, ",
        "first half: 4829, second half: 13, ",
        "begins with 48 and ends with 29 ",
        "half ",
        "part 1 ",
        "dot ",
        "yi er san ",
        "\u{4e94}",
        "\u{ff14}\u{200b}",
        "\u{e0134}\u{fe01}",
        "H4sIAAAAAAAC/ ",
    ];

    #[test]
    fn a_bomb_of_compressed_data_is_no_silence_and_takes_no_long() {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'a'; 80 << 20]).expect("memory");
        let bomb = data_encoding::BASE64.encode(&encoder.finish().expect("memory"));
        let searcher = Searcher::new(["482913"]);
        let searched = searcher.examine(&format!("{bomb} {bomb} {bomb}"));
        assert_eq!((searched.matches, searched.whole), (Vec::new(), false));
    }

    fn found(searcher: &Searcher, text: &str) -> Vec<(usize, Detector)> {
        searcher.search(text).into_iter().map(|m| (m.owner, m.detector)).collect()
    }

    #[test]
    fn disguises_are_seen_through() {
        let searcher = Searcher::new(["Pyrodraconosis", "AC-00417723"]);
        for text in [
            "PYRODRACONOSIS",
            "Pyro-draco-nosis",
            "P\u{200b}yrodraconosis",
            "\u{0420}yr\u{043e}dr\u{0430}c\u{043e}nosis",
            "\u{ff30}\u{ff39}rodraconosis",
            "Pyro\ndraconosis",
            "Py\u{0301}rodraconosis\u{0301}",
        ] {
            assert_eq!(found(&searcher, text), [(0, Detector::Normalised)], "{text:?}");
        }
        assert_eq!(found(&searcher, "ac 0041 7723"), [(1, Detector::Normalised)]);
        assert_eq!(found(&searcher, "AC-00417723"), [(1, Detector::Exact)]);
        assert!(found(&searcher, "AC-00417724, Pyrodraconitis").is_empty());
    }

    #[test]
    fn encodings_are_undone() {
        use Encoding::*;
        let searcher = Searcher::new(["Pyrodraconosis", "48291377"]);
        for (text, how) in [
            ("it is sisonocardoryP, backward", vec![Reversed]),
            ("Clebqenpbabfvf", vec![Rot13]),
            ("Qzspesbdpoptjt", vec![Caesar]),
            ("Your disease: Pyr0dr4c0n0s1s.", vec![Leet]),
            ("Pxyxrxoxdxrxaxcxoxnxoxsxixs", vec![Separated]),
            ("see UHlyb2RyYWNvbm9zaXM= for it", vec![Base64]),
            ("50 79 72 6f 64 72 61 63 6f 6e 6f 73 69 73", vec![Hex]),
            ("0x50, 0x79, 0x72, 0x6f, 0x64, 0x72, 0x61, 0x63, 0x6f, 0x6e, 0x6f, 0x73, 0x69, 0x73", vec![Hex]),
            ("P&#121;rodraco&#x6e;osis", vec![Entities]),
            ("Py\\u0072odracon\\x6fsis", vec![Escapes]),
            ("Py%72odracon%6fsis", vec![Percent]),
            (".--. -.-- .-. --- -.. .-. .- -.-. --- -. --- ... .. ...", vec![Morse]),
            ("Papa Yankee Romeo Oscar Delta Romeo Alfa Charlie Oscar November Oscar Sierra India Sierra", vec![Nato]),
            ("MzUwNzk3MjZmNjQ3MjYxNjM2ZjZlNmY3MzY5NzM=", vec![Base64, Hex]),
        ] {
            let matches = searcher.search(text);
            assert_eq!(matches.len(), 1, "{text}");
            assert_eq!((matches[0].owner, &matches[0].how), (0, &how), "{text}");
            assert!(matches[0].place.end <= text.len(), "{text}");
        }
        assert_eq!(
            found(&searcher, "It is four eight, two-nine, one three seven seven."),
            [(1, Detector::NumberWords)]
        );
        assert_eq!(found(&searcher, "forty-eight twenty-nine thirteen seventy-seven"), [(1, Detector::NumberWords)]);
        assert_eq!(found(&searcher, "four eight two nine one three double seven"), [(1, Detector::NumberWords)]);
    }

    #[test]
    fn what_is_rewritten_far_from_other_changes_is_seen() {
        let searcher = Searcher::new(["pyro.draco042@example.com", "Pyrodraconosis"]);
        let far = "Nothing of that kind, as I said. ".repeat(100);
        for numbers in ["", "One two three golf india four. ", "Un deux trois quatre cinq. "] {
            let text = format!("{numbers}{far}pyro dot draco 042 at example dot com{far}{numbers}");
            let found = found(&searcher, &text);
            assert!(matches!(found[..], [(0, detector)] if detector.tier() == Tier::Disguised), "{numbers} {found:?}");
        }
        for changed in ["P&#121;rodraconosis", "Py<b>rodraco</b>nosis", "P%79rodraconosis"] {
            assert_eq!(found(&searcher, &format!("{far}{changed}{far}")), [(1, Detector::Encoded)], "{changed}");
        }
    }

    #[test]
    fn a_secret_beyond_ascii_is_found_where_its_code_is_short() {
        let searcher = Searcher::new(["\u{c11c}\u{c6b8}\u{d2b9}\u{bcc4}"]);
        let hex = "EC849CEC9AB8ED8AB9EBB384";
        assert_eq!(found(&searcher, &format!("It is {hex}.")), [(0, Detector::Encoded)]);
        assert_eq!(found(&searcher, "It is \\uc11c\\uc6b8\\ud2b9\\ubcc4."), [(0, Detector::Encoded)]);
    }

    #[test]
    fn a_match_tells_its_place() {
        let searcher = Searcher::new(["48291377", "Pyrodraconosis"]);
        let text = "Die Nummer für Sie: 4829-1377!";
        let place = searcher.search(text)[0].place.clone();
        assert_eq!(&text[place], "4829-1377");
        let text = "said: UHlyb2RyYWNvbm9zaXM= so";
        let place = searcher.search(text)[0].place.clone();
        assert_eq!(&text[place], "UHlyb2RyYWNvbm9zaXM");
    }

    #[test]
    fn a_text_made_to_take_long_does_not() {
        let searcher = Searcher::new(["482913"]);
        assert_eq!(found(&searcher, &"482913 ".repeat(100_000)), [(0, Detector::Exact)]);
        for piece in HOSTILE {
            let begin = std::time::Instant::now();
            let _ = searcher.search(&piece.repeat((1 << 20) / piece.len()));
            // Quadratic time would take hours. The limit is far above the time of any piece, even in an unoptimized
            // build on a busy machine.
            assert!(begin.elapsed().as_secs() < 30, "{piece:?} {:?}", begin.elapsed());
        }
        let space = crate::canary::Space::parse("digits(10)").expect("built in");
        let near = Approximate::new(&space, "4829137755", true, true);
        let mut steps = 100_000;
        assert!(near.members(&Candidates::new(&space), &"48291377 ".repeat(20_000), &mut steps).is_none());
    }

    #[test]
    fn a_text_that_was_not_searched_to_its_end_says_so() {
        let secrets = || Searcher::new(["482913", "Pyrodraconosis"]).looking_at(256);
        // Decoding stays within the budget.
        for text in ["Nice day.", "It is NDgyOTEz in base64."] {
            assert!(secrets().examine(text).whole, "{text}");
        }
        let padded = format!("{} then UHlyb2RyYWNvbm9zaXM=", "QSBuaWNlIGRheSB0byB5b3U= ".repeat(40));
        let searched = secrets().examine(&padded);
        assert_eq!((searched.matches, searched.whole), (Vec::new(), false));
        assert!(secrets().may_hold(&padded) && !secrets().may_hold("Nice day."));
        // A plain secret beside the encoded text is found all the same.
        let said = secrets().examine(&format!("482913 {padded}"));
        assert_eq!((said.matches.len(), said.whole), (1, false));
        // A searcher that does not decode searches the whole text.
        let plain = Searcher::with(["482913"], Synonyms::default(), false).looking_at(256);
        assert!(plain.examine(&padded).whole);
        assert!(Searcher::new(["482913", "Pyrodraconosis"]).examine(&padded).whole);
    }

    #[test]
    fn a_shared_secret_belongs_to_all_its_canaries() {
        assert_eq!(Searcher::new(["12", "12"]).search("12").len(), 2);
    }

    #[test]
    fn synonyms_stand_for_their_values() {
        let searcher = Searcher::with(["ward-seven"], Synonyms::new([("the burns unit", "ward-seven")]), true);
        assert_eq!(found(&searcher, "She lies in The Burns Unit."), [(0, Detector::Translated)]);
    }
}
