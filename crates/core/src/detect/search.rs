//! Searches a text for all secrets of a run at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::grams::Grams;
use super::marks::Marks;
use super::normalised::{Normal, width};
use super::shifts::{distances, read_distances, shift_between};
use super::view::{Encoding, MOST, Synonyms, mirrored, segments_of};
use super::{Approximate, Detector, normalise};

/// The detector, the disguise and the position by which a secret was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Position of the secret among those of the searcher.
    pub owner: usize,
    /// The detector that found the secret.
    pub detector: Detector,
    /// The steps of its disguise, outermost first; empty if the secret stands undisguised.
    pub how: Vec<Encoding>,
    /// Byte range in the text; for a decoded match, the range of the encoded part.
    pub place: Range<usize>,
}

/// Result of searching a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// All secrets in the text, each once with its strongest match, ordered by owner.
    pub matches: Vec<Match>,
    /// Whether the whole text was searched. False for a text that decodes to more than 64 MiB: it may hold secrets that
    /// were not found.
    pub whole: bool,
}

/// A form of a secret that is searched for: its normal form or that form backward, or the Atbash image of either.
#[derive(Debug)]
struct Pattern {
    bytes: Vec<u8>,
    backward: bool,
    /// Whether the bytes are an Atbash image (the alphabet backward).
    mirrored: bool,
    /// Whether shifted letters match. A pattern with few letters would match by chance.
    shifts: bool,
    /// Positions of the secrets with this form: canaries of a small space may share a secret.
    owners: Vec<usize>,
}

/// Searches a text for all secrets of a run at once.
///
/// ```
/// use blabbermouth_core::detect::{Detector, Searcher};
/// let searcher = Searcher::new(["482913", "Pyrodraconosis"]);
/// let found = |text: &str| searcher.search(text).into_iter().map(|m| (m.owner, m.detector)).collect::<Vec<_>>();
/// assert_eq!(found("PIN 482913."), [(0, Detector::Exact)]);
/// assert_eq!(found("p y r o-draconosis"), [(1, Detector::Normalised)]);
/// assert_eq!(found("It is NDgyOTEz in base64."), [(0, Detector::Encoded)]);
/// ```
#[derive(Debug)]
pub struct Searcher {
    secrets: Vec<String>,
    patterns: Vec<Pattern>,
    /// Indexes that are looked up in the normal form of a text.
    plain: Vec<Grams>,
    /// Indexes that are looked up in the distances between letters: they find shifted and unshifted patterns.
    shifted: Vec<Grams>,
    synonyms: Synonyms,
    decodes: bool,
    /// Bytes of the shortest pattern; 1 if any pattern is not ASCII.
    shortest: usize,
    /// Budget of decoded text, in bytes.
    most: usize,
}

/// Fewest letters of a pattern that is found with its letters shifted.
const FEWEST_SHIFTED: usize = 5;
/// Patterns of at least this many bytes are found by their distances alone. They have an index of their own: an index
/// with shorter patterns has to look up more positions.
const LONG: usize = 9;

/// The steps and the source of a decoded view; `None` for the text itself.
type Decoded<'a> = Option<(&'a [Encoding], &'a Range<usize>)>;

/// Buffers that the next search reuses, so that an ordinary text needs no allocation.
#[derive(Debug, Default)]
struct Room {
    normal: Normal,
    distances: Vec<u8>,
    marks: Marks,
}

/// Largest buffer of a normal form that is kept for the next search, in bytes.
const MOST_KEPT: usize = 1 << 20;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl Searcher {
    /// Prepares the search for `secrets`, plain and encoded. Matches name a secret by its position.
    ///
    /// # Panics
    /// When a secret has no letter or digit.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with(secrets, Synonyms::default(), true)
    }

    /// Like [`Searcher::new`], with synonyms for values. Encoded forms and synonyms are searched only with `decodes`.
    ///
    /// # Panics
    /// When a secret has no letter or digit.
    pub fn with<'a>(secrets: impl IntoIterator<Item = &'a str>, synonyms: Synonyms, decodes: bool) -> Self {
        let secrets: Vec<String> = secrets.into_iter().map(str::to_owned).collect();
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut known: HashMap<(Vec<u8>, bool, bool), usize> = HashMap::new();
        for (owner, secret) in secrets.iter().enumerate() {
            let normal = normalise(secret);
            assert!(!normal.is_empty(), "a secret has at least one letter or digit");
            let backward = normal.chars().rev().collect::<String>();
            let shifts = decodes && normal.bytes().filter(u8::is_ascii_lowercase).count() >= FEWEST_SHIFTED;
            let images = [(mirrored(&normal), false, true), (mirrored(&backward), true, true)];
            let all = [(normal, false, false), (backward, true, false)].into_iter().chain(images);
            for (bytes, backward, mirrored) in all {
                if backward && !decodes || mirrored && !shifts {
                    continue;
                }
                let bytes = bytes.into_bytes();
                let at = *known.entry((bytes.clone(), backward, mirrored)).or_insert_with(|| {
                    patterns.push(Pattern { bytes, backward, mirrored, shifts, owners: Vec::new() });
                    patterns.len() - 1
                });
                patterns[at].owners.push(owner);
            }
        }
        let grams = |over: fn(&[u8]) -> Vec<u8>, wanted: &dyn Fn(&Pattern) -> bool| {
            let numbered = (0..).zip(&patterns).filter(|(_, pattern)| wanted(pattern));
            let numbered: Vec<(u32, Vec<u8>)> = numbered.map(|(number, p)| (number, over(&p.bytes))).collect();
            Grams::new(&numbered.iter().map(|(number, bytes)| (*number, bytes.as_slice())).collect::<Vec<_>>())
        };
        let is_long = |pattern: &Pattern| pattern.bytes.len() >= LONG;
        let short = grams(<[u8]>::to_vec, &|pattern| !is_long(pattern));
        let (plain, shifted) = if decodes {
            let short_shifted = grams(distances, &|pattern| !is_long(pattern) && pattern.shifts);
            (vec![short], vec![short_shifted, grams(distances, &is_long)])
        } else {
            (vec![short, grams(<[u8]>::to_vec, &is_long)], Vec::new())
        };
        let [plain, shifted] = [plain, shifted].map(|grams| grams.into_iter().flatten().collect());
        // The normal form of non-ASCII text may be longer than the text, so its length rules out nothing.
        let is_ascii = patterns.iter().all(|pattern| pattern.bytes.is_ascii());
        let shortest = patterns.iter().map(|pattern| pattern.bytes.len()).min().filter(|_| is_ascii).unwrap_or(1);
        Self { secrets, patterns, plain, shifted, synonyms, decodes, shortest, most: MOST }
    }

    /// Limits the decoded text to `most` bytes.
    #[cfg(test)]
    pub(crate) fn looking_at(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Returns all secrets in a text, each once with its strongest match, ordered by owner. Where the absence of a
    /// match counts, use [`Searcher::examine`].
    #[must_use]
    pub fn search(&self, text: &str) -> Vec<Match> {
        self.examine(text).matches
    }

    /// Whether a text holds a secret, or may hold one because it was not searched to its end.
    #[must_use]
    pub fn may_hold(&self, text: &str) -> bool {
        let searched = self.examine(text);
        !searched.whole || !searched.matches.is_empty()
    }

    /// Returns all secrets in a text, and whether the whole text was searched.
    #[must_use]
    pub fn examine(&self, text: &str) -> Searched {
        self.examine_with(text, None).0
    }

    /// Like [`Searcher::examine`], together with the result of [`Approximate::search`].
    pub(crate) fn examine_with(&self, text: &str, near: Option<&Approximate>) -> (Searched, Option<Detector>) {
        let mut found = BTreeMap::new();
        let mut whole = true;
        let mut room = ROOM.take();
        room.normal.read(text);
        let nearly = near.and_then(|near| near.search_normal(room.normal.as_bytes()));
        self.scan(text, room.normal.as_bytes(), None, &mut room.distances, &mut found);
        if self.decodes {
            room.marks.read(text);
            let normal = room.normal.as_bytes();
            let (segments, all) = segments_of(text, normal, &room.marks, &self.synonyms, self.shortest, self.most);
            whole = all;
            for segment in segments {
                let decoded = Some((segment.how.as_slice(), &segment.source));
                room.normal.read(&segment.text);
                self.scan(&segment.text, room.normal.as_bytes(), decoded, &mut room.distances, &mut found);
            }
        }
        if room.normal.room() <= MOST_KEPT {
            ROOM.set(room);
        }
        (Searched { matches: found.into_values().collect(), whole }, nearly)
    }

    fn scan(
        &self,
        text: &str,
        normal: &[u8],
        decoded: Decoded<'_>,
        room: &mut Vec<u8>,
        found: &mut BTreeMap<usize, Match>,
    ) {
        let mut verify = |number, start| self.verify(number, start, text, normal, decoded, found);
        for grams in &self.plain {
            grams.each(normal, &mut verify);
        }
        if !self.shifted.is_empty() {
            read_distances(normal, room);
            for grams in &self.shifted {
                grams.each(room, &mut verify);
            }
        }
    }

    /// Compares pattern `number` with the normal form at `start`, unshifted or shifted, and adds a match to `found`.
    fn verify(
        &self,
        number: u32,
        start: usize,
        text: &str,
        normal: &[u8],
        decoded: Decoded<'_>,
        found: &mut BTreeMap<usize, Match>,
    ) {
        let pattern = &self.patterns[number as usize];
        let end = start + pattern.bytes.len();
        let Some(here) = normal.get(start..end) else { return };
        let Some(shift) = shift_between(&pattern.bytes, here).filter(|shift| *shift == 0 || pattern.shifts) else {
            return;
        };
        let mut how: Vec<Encoding> = decoded.map(|(how, _)| how.to_vec()).unwrap_or_default();
        how.extend(pattern.backward.then_some(Encoding::Reversed));
        how.extend(pattern.mirrored.then_some(Encoding::Atbash));
        how.extend(match shift {
            0 => None,
            13 => Some(Encoding::Rot13),
            _ => Some(Encoding::Caesar),
        });
        for &owner in &pattern.owners {
            // A repeat that is no stronger is skipped: an answer may repeat a secret a million times.
            if found.get(&owner).is_some_and(|known| known.how.len() <= how.len()) {
                continue;
            }
            let place = match decoded {
                Some((_, source)) => source.clone(),
                None => raw_place(text, characters(&normal[..start]), characters(here)),
            };
            let detector = match how.last() {
                None if text.contains(&self.secrets[owner]) => Detector::Exact,
                None => Detector::Normalised,
                Some(_) => Detector::of(&how),
            };
            found.insert(owner, Match { owner, detector, how: how.clone(), place });
        }
    }
}

/// Counts the characters of UTF-8 bytes.
pub(super) fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

/// Returns the byte range in a text of `count` characters of its normal form, after the first `skip`.
pub(super) fn raw_place(text: &str, skip: usize, count: usize) -> Range<usize> {
    // In ASCII text, each letter or digit is one character of the normal form.
    if text.is_ascii() {
        let mut kept = text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()).map(|(at, _)| at);
        let start = kept.nth(skip);
        let last = if count > 1 { kept.nth(count - 2) } else { start };
        return start.unwrap_or(0)..last.map_or(text.len(), |at| at + 1);
    }
    let (mut seen, mut start, mut end) = (0, None, text.len());
    for (at, c) in text.char_indices() {
        let many = width(c);
        if many == 0 {
            continue;
        }
        if seen + many > skip {
            start.get_or_insert(at);
        }
        seen += many;
        if seen >= skip + count {
            end = at + c.len_utf8();
            break;
        }
    }
    start.unwrap_or(0)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_the_normal_form_is_found_in_a_mixed_text() {
        let text = "Nr. \u{200b}4\u{301}8: \u{fb01}sh, \u{ff21}\u{bd} \u{43e}\u{d55c} \u{130}\u{df} \u{1f600}\u{338f}.";
        let normal = normalise(text);
        let many = normal.chars().count();
        // For each character of the normal form, the byte range of its source character.
        let from: Vec<(usize, usize)> = text
            .char_indices()
            .flat_map(|(at, c)| {
                let count = normalise(&c.to_string()).chars().count();
                std::iter::repeat_n((at, at + c.len_utf8()), count)
            })
            .collect();
        assert_eq!(from.len(), many);
        assert!(many > 16, "{normal}");
        for skip in 0..many {
            for count in 1..=many - skip {
                let wanted = from[skip].0..from[skip + count - 1].1;
                assert_eq!(raw_place(text, skip, count), wanted, "{skip} {count}");
            }
        }
        assert_eq!(&text[raw_place(text, 2, 2)], "4\u{301}8");
    }

    #[test]
    fn a_place_at_the_end_of_a_long_text_is_found() {
        let text = format!("{}4829-1377", "\u{e9}. ".repeat(1 << 20));
        let found = Searcher::with(["48291377"], Synonyms::default(), false).search(&text);
        assert_eq!(&text[found[0].place.clone()], "4829-1377");
    }
}
