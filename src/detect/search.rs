//! Searches a text for all secrets of a run at once.

use std::collections::HashMap;
use std::ops::Range;

use super::grams::Grams;
use super::view::{Encoding, Synonyms, segments_of};
use super::{Detector, normalise};

/// Where and how a secret was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Whose secret, by position.
    pub owner: usize,
    /// Which detector.
    pub detector: Detector,
    /// The steps of its disguise, the outermost first.
    pub how: Vec<Encoding>,
    /// Where in the text, in bytes; for what had to be decoded the place of that.
    pub place: Range<usize>,
}

/// The normal form of a secret, or that form backward.
#[derive(Debug)]
struct Pattern {
    bytes: Vec<u8>,
    backward: bool,
    /// Two canaries may share a secret in a small space.
    owners: Vec<usize>,
}

/// Searches a text for all secrets of a run at once.
///
/// ```
/// use blabbermouth::detect::{Detector, Searcher};
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
    plain: Option<Grams>,
    shifted: Option<Grams>,
    synonyms: Synonyms,
    decodes: bool,
}

/// Letters that a shifted pattern needs after its first one.
const FEWEST_SHIFTED: usize = 4;

/// What a text says of shifted letters, whatever the shift: for each letter its distance from the one
/// before it; other bytes as they are.
struct Distances(Option<u8>);

impl Distances {
    fn next(&mut self, byte: u8) -> Option<u8> {
        if !byte.is_ascii_lowercase() {
            return Some(byte);
        }
        let before = self.0.replace(byte);
        before.map(|before| b'a' + (26 + byte - before) % 26)
    }

    /// Those of a pattern after its first letter; `None` where too few remain.
    fn of(pattern: &[u8]) -> Option<Vec<u8>> {
        let first = pattern.iter().position(u8::is_ascii_lowercase)?;
        let mut distances = Self(None);
        let after: Vec<u8> = pattern[first..].iter().filter_map(|b| distances.next(*b)).collect();
        (after.iter().filter(|b| b.is_ascii_lowercase()).count() >= FEWEST_SHIFTED).then_some(after)
    }
}

impl Searcher {
    /// Prepares the search for `secrets`, in plain and in encoded form; matches name them by position.
    ///
    /// # Panics
    /// When a secret has no letter or digit.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with(secrets, Synonyms::default(), true)
    }

    /// The same with other words for values, and encoded forms only where they are wanted.
    ///
    /// # Panics
    /// When a secret has no letter or digit.
    pub fn with<'a>(secrets: impl IntoIterator<Item = &'a str>, synonyms: Synonyms, decodes: bool) -> Self {
        let secrets: Vec<String> = secrets.into_iter().map(str::to_owned).collect();
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut known: HashMap<(Vec<u8>, bool), usize> = HashMap::new();
        for (owner, secret) in secrets.iter().enumerate() {
            let normal = normalise(secret);
            assert!(!normal.is_empty(), "a secret has at least one letter or digit");
            let backward = normal.chars().rev().collect::<String>();
            for (bytes, backward) in [(normal.into_bytes(), false), (backward.into_bytes(), true)] {
                if backward && !decodes {
                    continue;
                }
                let at = *known.entry((bytes.clone(), backward)).or_insert_with(|| {
                    patterns.push(Pattern { bytes, backward, owners: Vec::new() });
                    patterns.len() - 1
                });
                patterns[at].owners.push(owner);
            }
        }
        let numbered: Vec<(u32, &[u8])> = (0..).zip(patterns.iter().map(|p| p.bytes.as_slice())).collect();
        let plain = Grams::new(&numbered);
        let distances: Vec<(u32, Vec<u8>)> = numbered
            .iter()
            .filter(|_| decodes)
            .filter_map(|(number, pattern)| Some((*number, Distances::of(pattern)?)))
            .collect();
        let distances: Vec<(u32, &[u8])> = distances.iter().map(|(n, d)| (*n, d.as_slice())).collect();
        let shifted = Grams::new(&distances);
        Self { secrets, patterns, plain, shifted, synonyms, decodes }
    }

    /// All secrets in a text, each once and with its strongest match, in the order of their owners.
    #[must_use]
    pub fn search(&self, text: &str) -> Vec<Match> {
        let mut found = HashMap::new();
        let normal = normalise(text);
        self.scan(text, &normal, None, &mut found);
        if self.decodes {
            for segment in segments_of(text, &normal, &self.synonyms) {
                let normal = normalise(&segment.text);
                self.scan(&segment.text, &normal, Some((&segment.how, &segment.source)), &mut found);
            }
        }
        let mut found: Vec<Match> = found.into_values().collect();
        found.sort_unstable_by_key(|m| m.owner);
        found
    }

    fn scan(
        &self,
        text: &str,
        normal: &str,
        decoded: Option<(&[Encoding], &Range<usize>)>,
        found: &mut HashMap<usize, Match>,
    ) {
        let Some(plain) = &self.plain else { return };
        let (mut window, mut distances) = (0u64, 0u64);
        let mut last = 0u8;
        for (at, &byte) in normal.as_bytes().iter().enumerate() {
            window = window << 8 | u64::from(byte);
            if plain.may_end(window) {
                self.verify(plain.ending(window), 0, text, normal, at + 1, decoded, found);
            }
            let Some(shifted) = &self.shifted else { continue };
            let token = if byte.is_ascii_lowercase() {
                let token = b'a' + (26 + byte - last.max(b'a')) % 26;
                last = byte;
                token
            } else {
                byte
            };
            distances = distances << 8 | u64::from(token);
            if shifted.may_end(distances) {
                self.verify(shifted.ending(distances), 1, text, normal, at + 1, decoded, found);
            }
        }
    }

    /// Compares whole patterns that may end at a place of the normal form: as they are, or (`from` 1) with
    /// their letters shifted.
    #[expect(clippy::too_many_arguments, reason = "the place and what was found, private")]
    fn verify(
        &self,
        patterns: &[u32],
        from: u8,
        text: &str,
        normal: &str,
        end: usize,
        decoded: Option<(&[Encoding], &Range<usize>)>,
        found: &mut HashMap<usize, Match>,
    ) {
        for &number in patterns {
            let pattern = &self.patterns[number as usize];
            let Some(start) = end.checked_sub(pattern.bytes.len()) else { continue };
            let Some(shift) = shift_between(&pattern.bytes, &normal.as_bytes()[start..end]) else { continue };
            if (shift == 0) != (from == 0) {
                continue;
            }
            let mut how: Vec<Encoding> = decoded.map(|(how, _)| how.to_vec()).unwrap_or_default();
            how.extend(pattern.backward.then_some(Encoding::Reversed));
            how.extend(match shift {
                0 => None,
                13 => Some(Encoding::Rot13),
                _ => Some(Encoding::Caesar),
            });
            for &owner in &pattern.owners {
                // Once said, said again is no news: an answer may say a secret a million times.
                if found.get(&owner).is_some_and(|known| known.how.len() <= how.len()) {
                    continue;
                }
                let place = match decoded {
                    Some((_, source)) => source.clone(),
                    None => raw_place(text, normal[..start].chars().count(), normal[start..end].chars().count()),
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
}

/// The shift that makes one normal text of another; `None` when there is none.
fn shift_between(pattern: &[u8], text: &[u8]) -> Option<u8> {
    let mut shift = None;
    for (&a, &b) in pattern.iter().zip(text) {
        if a.is_ascii_lowercase() && b.is_ascii_lowercase() {
            let here = (26 + b - a) % 26;
            if *shift.get_or_insert(here) != here {
                return None;
            }
        } else if a != b {
            return None;
        }
    }
    Some(shift.unwrap_or(0))
}

/// Where a stretch of the normal form stands in the text, in bytes.
fn raw_place(text: &str, skip: usize, count: usize) -> Range<usize> {
    let (mut seen, mut start, mut end) = (0, None, text.len());
    let mut buffer = [0; 4];
    for (at, c) in text.char_indices() {
        let many = normalise(c.encode_utf8(&mut buffer)).chars().count();
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
