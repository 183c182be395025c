//! Counts the members of a space that the detectors would have accepted in a text.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::view::{Synonyms, each_view};
use super::{Tier, normalise};
use crate::canary::{Part, Space};

/// A space in normal form, whose members are counted in normal texts.
#[derive(Debug)]
pub struct Candidates {
    pub(super) parts: Vec<Normal>,
    /// Whether members are walked through from their ends: faster where the last drawn part has fewer values than the
    /// first.
    pub(super) backwards: bool,
    /// Whether members may have letters, which can be shifted.
    letters: bool,
    synonyms: Synonyms,
}

#[derive(Debug)]
pub(super) enum Normal {
    Literal(String),
    /// For each byte, how many characters of the alphabet have it as their normal form.
    Chars {
        weight: Box<[u8; 256]>,
        count: usize,
    },
    Choice {
        entries: HashSet<String, foldhash::fast::RandomState>,
        /// The entries in order, each reversed if members are walked through from their ends.
        sorted: Vec<Vec<u8>>,
        lengths: Vec<usize>,
        heads: HashSet<u8>,
    },
    Luhn,
}

/// Names of candidates, each with the number of secrets that it stands for.
pub(crate) type Found = HashMap<u64, f64>;

impl Candidates {
    /// Prepares the counting for a space.
    #[must_use]
    pub fn new(space: &Space) -> Self {
        let width = |part: Option<&Part>| match part {
            Some(Part::Choice(list)) => list.len(),
            Some(Part::Chars { alphabet, .. }) => alphabet.len(),
            _ => 1,
        };
        let drawn = || space.parts().iter().filter(|part| !matches!(part, Part::Literal(_)));
        let backwards = width(drawn().next_back()) < width(drawn().next());
        let parts = space.parts().iter().filter_map(|part| match part {
            Part::Literal(text) => Some(normalise(text)).filter(|t| !t.is_empty()).map(Normal::Literal),
            Part::Luhn => Some(Normal::Luhn),
            Part::Chars { alphabet, count } => {
                let mut weight = Box::new([0u8; 256]);
                for byte in alphabet.bytes() {
                    weight[usize::from(byte.to_ascii_lowercase())] += 1;
                }
                Some(Normal::Chars { weight, count: *count })
            }
            Part::Choice(list) => {
                let entries: HashSet<String, foldhash::fast::RandomState> = list.iter().map(|e| normalise(e)).collect();
                let mut lengths: Vec<usize> = entries.iter().map(String::len).collect();
                lengths.sort_unstable();
                lengths.dedup();
                let heads = entries.iter().filter_map(|e| e.bytes().next()).collect();
                let mut sorted: Vec<Vec<u8>> = entries.iter().map(|e| e.clone().into_bytes()).collect();
                if backwards {
                    sorted.iter_mut().for_each(|e| e.reverse());
                }
                sorted.sort_unstable();
                Some(Normal::Choice { entries, sorted, lengths, heads })
            }
        });
        let parts: Vec<Normal> = parts.collect();
        let is_letter = |text: &str| text.bytes().any(|b| b.is_ascii_lowercase());
        let letters = parts.iter().any(|part| match part {
            Normal::Literal(text) => is_letter(text),
            Normal::Chars { weight, .. } => weight[usize::from(b'a')..=usize::from(b'z')].iter().any(|w| *w > 0),
            Normal::Choice { entries, .. } => entries.iter().any(|e| is_letter(e)),
            Normal::Luhn => false,
        });
        Self { parts, backwards, letters, synonyms: Synonyms::default() }
    }

    #[cfg(test)]
    pub(super) fn of_parts(parts: Vec<Normal>, backwards: bool) -> Self {
        Self { parts, backwards, letters: true, synonyms: Synonyms::default() }
    }

    /// Also counts in texts where synonyms may stand for values.
    #[must_use]
    pub fn with_synonyms(mut self, synonyms: Synonyms) -> Self {
        self.synonyms = synonyms;
        self
    }

    /// Adds to `found` every candidate in a text that the detectors of a tier, or of a stricter one, would accept.
    /// [`Approximate`](super::Approximate) counts for its tier. Returns false if the text exceeds the decoding budget,
    /// so that candidates may be missing.
    pub(crate) fn collect_all(&self, tier: Tier, text: &str, found: &mut Found) -> bool {
        match tier {
            Tier::Plain => {
                self.collect(&normalise(text), found);
                true
            }
            _ => each_view(text, &self.synonyms, self.letters, &mut |normal| self.collect(normal, found)),
        }
    }

    /// Returns the name under which a member is counted; `None` if the text is not a member.
    pub fn name(&self, member: &str) -> Option<u64> {
        let normal = normalise(member);
        let mut bounds = Vec::with_capacity(self.parts.len());
        self.is_whole(normal.as_bytes(), 0, 0, &mut bounds).then(|| name(normal.as_bytes(), &bounds))
    }

    /// Whether `text[at..]` is a value of the parts from `part` on; if so, `bounds` has the start of each part.
    fn is_whole(&self, text: &[u8], at: usize, part: usize, bounds: &mut Vec<usize>) -> bool {
        let Some(here) = self.parts.get(part) else { return at == text.len() };
        let rest = &text[at..];
        let lengths: Vec<usize> = match here {
            Normal::Literal(literal) => {
                rest.starts_with(literal.as_bytes()).then_some(literal.len()).into_iter().collect()
            }
            Normal::Chars { weight, count } => {
                let run = rest.get(..*count).filter(|run| run.iter().all(|b| weight[usize::from(*b)] > 0));
                run.map(<[u8]>::len).into_iter().collect()
            }
            Normal::Choice { entries, lengths, .. } => {
                let is_entry = |length: &&usize| {
                    let entry = rest.get(..**length).and_then(|e| std::str::from_utf8(e).ok());
                    entry.is_some_and(|e| entries.contains(e))
                };
                lengths.iter().filter(is_entry).copied().collect()
            }
            Normal::Luhn => rest.first().filter(|b| b.is_ascii_digit()).map(|_| 1).into_iter().collect(),
        };
        bounds.push(at);
        let found = lengths.into_iter().any(|length| self.is_whole(text, at + length, part + 1, bounds));
        if !found {
            bounds.pop();
        }
        found
    }

    /// Whether a text contains anything in the form of a member.
    pub fn is_formed(&self, text: &str) -> bool {
        let mut found = Found::new();
        self.collect(&normalise(text), &mut found);
        !found.is_empty()
    }

    /// Adds every candidate in a normal text to `found`.
    ///
    /// A candidate is a substring that the `normalised` detector would accept for some secret of the space. Its weight
    /// is the number of these secrets. Candidates include everything that the `exact` detector accepts.
    fn collect(&self, normal: &str, found: &mut Found) {
        let bytes = normal.as_bytes();
        let mut bounds = Vec::with_capacity(self.parts.len());
        for start in 0..bytes.len() {
            self.step(bytes, start, start, 0, 1.0, &mut bounds, found);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one recursive step over the parts, private")]
    fn step(
        &self,
        text: &[u8],
        start: usize,
        at: usize,
        part: usize,
        weight: f64,
        bounds: &mut Vec<usize>,
        found: &mut Found,
    ) {
        let Some(here) = self.parts.get(part) else {
            // The bounds of the parts belong to the name of a candidate: a text that can be read in two ways stands for
            // two secrets.
            found.insert(name(&text[start..at], bounds), weight);
            return;
        };
        let rest = &text[at..];
        let mut next = |length: usize, factor: f64| {
            bounds.push(at - start);
            self.step(text, start, at + length, part + 1, weight * factor, bounds, found);
            bounds.pop();
        };
        match here {
            Normal::Literal(literal) => {
                if rest.starts_with(literal.as_bytes()) {
                    next(literal.len(), 1.0);
                }
            }
            Normal::Chars { weight, count } => {
                if let Some(run) = rest.get(..*count) {
                    let mut factor = 1.0;
                    for byte in run {
                        match weight[usize::from(*byte)] {
                            0 => return,
                            w => factor *= f64::from(w),
                        }
                    }
                    next(*count, factor);
                }
            }
            Normal::Choice { entries, lengths, heads, .. } => {
                if rest.first().is_none_or(|b| !heads.contains(b)) {
                    return;
                }
                for &length in lengths {
                    let entry = rest.get(..length).and_then(|e| std::str::from_utf8(e).ok());
                    if entry.is_some_and(|e| entries.contains(e)) {
                        next(length, 1.0);
                    }
                }
            }
            // The check digit is not verified: that can only count too many, which is safe.
            Normal::Luhn => {
                if rest.first().is_some_and(u8::is_ascii_digit) {
                    next(1, 1.0);
                }
            }
        }
    }
}

/// Names a member by its normal form and the places where its parts begin.
fn name(text: &[u8], bounds: &[usize]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (text, bounds).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Key;

    fn count(space: &str, text: &str) -> f64 {
        let mut found = Found::new();
        Candidates::new(&Space::parse(space).expect(space)).collect(&normalise(text), &mut found);
        found.values().sum()
    }

    #[test]
    fn windows_of_digits_are_counted_once_each() {
        assert!((count("digits(4)", "12 34") - 1.0).abs() < 1e-9);
        assert!((count("digits(4)", "123456") - 3.0).abs() < 1e-9);
        assert!((count("digits(4)", "1111111") - 1.0).abs() < 1e-9);
        assert!(count("digits(4)", "123 dogs") == 0.0);
    }

    #[test]
    fn a_collapsed_case_counts_for_all_its_secrets() {
        assert!((count("alphanumeric(3)", "a1b") - 4.0).abs() < 1e-9);
    }

    #[test]
    fn every_secret_is_among_the_candidates_of_its_own_text() {
        let mut stream = Key::from_text("a key for the tests of candidates").expect("long").stream("t", "");
        for name in
            ["digits(6)", "words(4)", "uuid", "email", "phone", "card", "openai-key", "disease", "X{hex(4)}-{words(2)}"]
        {
            let space = Space::parse(name).expect(name);
            for _ in 0..20 {
                let secret = space.draw(&mut stream);
                assert!(count(name, &format!("Well, it is {secret}.")) >= 1.0, "{name}");
                // The name of a member is the one under which it is counted.
                let (candidates, mut found) = (Candidates::new(&space), Found::new());
                candidates.collect(&normalise(&secret), &mut found);
                assert!(candidates.name(&secret).is_some_and(|known| found.contains_key(&known)), "{name} {secret}");
            }
        }
    }
}
