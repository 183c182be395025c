//! What the detectors find in an answer.
//!
//! Two detectors search every answer for every secret in one pass each: `exact`, and `normalised`,
//! which compares letters and digits only (see [`normalise`]). What is normalised includes what is
//! exact, so that a hit of the second alone is a disguised one. [`Candidates`] counts what the
//! detectors would have accepted: the p-value of a hit rests on it.

pub(crate) mod candidates;
mod normalised;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

pub use candidates::Candidates;
pub use normalised::normalise;

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
}

impl Detector {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalised => "normalised",
        }
    }
}

/// Searches a text for all secrets of a run at once.
///
/// ```
/// use blabbermouth::detect::{Detector, Searcher};
/// let searcher = Searcher::new(["482913", "Pyrodraconosis"]);
/// assert_eq!(searcher.search("PIN 482913.").1, [(0, Detector::Exact)]);
/// assert_eq!(searcher.search("p y r o-draconosis").1, [(1, Detector::Normalised)]);
/// ```
#[derive(Debug)]
pub struct Searcher {
    secrets: Vec<String>,
    normalised: AhoCorasick,
    /// Which secrets a pattern stands for: two canaries may share one in a small space.
    owners: Vec<Vec<usize>>,
}

impl Searcher {
    /// Prepares the search for `secrets`; hits name them by position.
    ///
    /// # Panics
    /// When a secret has no letter or digit, or the automaton would not fit into memory.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets: Vec<String> = secrets.into_iter().map(str::to_owned).collect();
        let mut patterns: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (index, secret) in secrets.iter().enumerate() {
            let normal = normalise(secret);
            assert!(!normal.is_empty(), "a secret has at least one letter or digit");
            let pattern = *known.entry(normal.clone()).or_insert_with(|| {
                patterns.push(normal);
                owners.push(Vec::new());
                patterns.len() - 1
            });
            owners[pattern].push(index);
        }
        // The fastest automaton takes about 256 bytes for each letter of the secrets.
        let small = patterns.iter().map(String::len).sum::<usize>() <= 1 << 15;
        let normalised = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(small.then_some(AhoCorasickKind::DFA))
            .build(&patterns)
            .expect("the secrets fit into an automaton");
        Self { secrets, normalised, owners }
    }

    /// The normalised text, for counting candidates, and the secrets in it by position, once each.
    #[must_use]
    pub fn search(&self, text: &str) -> (String, Vec<(usize, Detector)>) {
        let normal = normalise(text);
        let mut hits: Vec<(usize, Detector)> = Vec::new();
        for found in self.normalised.find_overlapping_iter(&normal) {
            for &owner in &self.owners[found.pattern().as_usize()] {
                if hits.iter().all(|(seen, _)| *seen != owner) {
                    let exact = text.contains(&self.secrets[owner]);
                    hits.push((owner, if exact { Detector::Exact } else { Detector::Normalised }));
                }
            }
        }
        hits.sort_unstable();
        (normal, hits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(searcher.search(text).1, [(0, Detector::Normalised)], "{text:?}");
        }
        assert_eq!(searcher.search("ac 0041 7723").1, [(1, Detector::Normalised)]);
        assert_eq!(searcher.search("AC-00417723").1, [(1, Detector::Exact)]);
        assert!(searcher.search("AC-00417724, Pyrodraconitis").1.is_empty());
    }

    #[test]
    fn a_shared_secret_belongs_to_all_its_canaries() {
        assert_eq!(Searcher::new(["12", "12"]).search("12").1.len(), 2);
    }
}
