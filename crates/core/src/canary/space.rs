//! Secret spaces: declared sets of strings with an exact size, drawn from uniformly.
//!
//! A space is a sequence of [`Part`]s. Its number of members is the product of the sizes of the
//! parts. The product is exact, because a space with a member that has two parses is refused.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng;

use super::builtin;
use crate::detect::normalise;

/// Why a space cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpaceError {
    /// No space has this name.
    #[error("unknown space `{name}`; built in are {known}, and what [spaces] declares", known = builtin::KNOWN)]
    Unknown {
        /// The unknown name.
        name: String,
    },
    /// A length is missing or out of range.
    #[error("`{expression}` needs a length from 1 to 128, as in `digits(6)`")]
    Length {
        /// The expression.
        expression: String,
    },
    /// Braces that do not pair.
    #[error("`{pattern}` has a brace without its partner; write parts as in `AC-{{digits(8)}}`")]
    Braces {
        /// The pattern.
        pattern: String,
    },
    /// A space or a list with fewer than two members.
    #[error("the space `{name}` has {size} member(s); a secret needs at least 2")]
    TooFew {
        /// Name of the space.
        name: String,
        /// Number of its members.
        size: usize,
    },
    /// Two entries that detection cannot tell apart.
    #[error(
        "the list `{name}` has two entries that differ only in case, spaces or punctuation: entry {first} and entry {second}"
    )]
    Duplicate {
        /// Name of the list.
        name: String,
        /// Position of the first entry, from 1.
        first: usize,
        /// Position of the second entry, from 1.
        second: usize,
    },
    /// An entry without a letter or digit.
    #[error("entry {entry} of the list `{name}` has no letter or digit")]
    Blank {
        /// Name of the list.
        name: String,
        /// Position of the entry, from 1.
        entry: usize,
    },
    /// A member may have two parses, so that the size is not exact.
    #[error(
        "`{name}` is ambiguous: after a list that has one entry beginning with another, write a separator that no entry contains"
    )]
    Ambiguous {
        /// Name of the space.
        name: String,
    },
    /// A space that refers to itself.
    #[error("the space `{name}` refers to itself")]
    Cycle {
        /// Name of the space.
        name: String,
    },
    /// Too many parts, or patterns nested too deep.
    #[error("the space `{name}` has more than 1000 parts, or spaces within spaces more than 16 deep")]
    Nested {
        /// Name of the space.
        name: String,
    },
}

/// One piece of a space.
#[derive(Debug, Clone)]
pub enum Part {
    /// Fixed text.
    Literal(String),
    /// `count` characters, each from `alphabet` (ASCII).
    Chars {
        /// The characters to choose from.
        alphabet: &'static str,
        /// Number of characters.
        count: usize,
    },
    /// One entry of a list.
    Choice(Arc<Vec<String>>),
    /// The Luhn check digit over all digits before it.
    Luhn,
}

/// A set of strings with an exact size.
///
/// ```
/// use blabbermouth_core::canary::{Key, Space};
/// let space = Space::parse("digits(6)")?;
/// assert_eq!(space.size().to_string(), "1000000");
/// let key = Key::from_text("an example key, not for real use")?;
/// let secret = space.draw(&mut key.stream("doc", ""));
/// assert!(space.contains(&secret));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Space {
    name: String,
    parts: Vec<Part>,
}

/// The spaces that a user declares, by name; resolved on demand.
#[derive(Debug, Clone, Default)]
pub struct Spaces {
    /// Lists of values.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Compositions, as in `AC-{digits(8)}`.
    pub patterns: BTreeMap<String, String>,
}

impl Spaces {
    /// Resolves an expression: a built-in such as `digits(6)`, a declared name, or a composition with these in braces.
    ///
    /// # Errors
    /// When a name is unknown, a list is unusable or a composition has no exact size.
    pub fn resolve(&self, expression: &str) -> Result<Space, SpaceError> {
        let mut parts = Vec::new();
        self.expand(expression.trim(), &mut parts, &mut Vec::new())?;
        let space = Space { name: expression.trim().to_owned(), parts };
        space.check()?;
        Ok(space)
    }

    fn expand(&self, expression: &str, parts: &mut Vec<Part>, open: &mut Vec<String>) -> Result<(), SpaceError> {
        if expression.contains(['{', '}']) {
            return self.expand_pattern(expression, parts, open);
        }
        if let Some(list) = self.lists.get(expression) {
            parts.push(Part::Choice(Arc::new(checked_list(expression, list)?)));
            return Ok(());
        }
        if let Some(pattern) = self.patterns.get(expression) {
            if open.iter().any(|name| name == expression) {
                return Err(SpaceError::Cycle { name: expression.to_owned() });
            }
            // Each level of nesting can double the number of parts.
            if open.len() >= MOST_NESTED {
                return Err(SpaceError::Nested { name: expression.to_owned() });
            }
            open.push(expression.to_owned());
            self.expand(pattern, parts, open)?;
            open.pop();
            return Ok(());
        }
        parts.extend(builtin::parts(expression)?);
        Ok(())
    }

    fn expand_pattern(&self, pattern: &str, parts: &mut Vec<Part>, open: &mut Vec<String>) -> Result<(), SpaceError> {
        let braces = || SpaceError::Braces { pattern: pattern.to_owned() };
        let mut rest = pattern;
        while !rest.is_empty() {
            let Some(start) = rest.find('{') else {
                if rest.contains('}') {
                    return Err(braces());
                }
                parts.push(Part::Literal(rest.to_owned()));
                break;
            };
            let (literal, tail) = rest.split_at(start);
            if literal.contains('}') {
                return Err(braces());
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let end = tail.find('}').ok_or_else(braces)?;
            let inner = &tail[1..end];
            if inner.contains('{') {
                return Err(braces());
            }
            self.expand(inner.trim(), parts, open)?;
            if parts.len() > MOST_PARTS {
                return Err(SpaceError::Nested { name: pattern.to_owned() });
            }
            rest = &tail[end + 1..];
        }
        Ok(())
    }
}

/// Maximum depth of nested patterns.
const MOST_NESTED: usize = 16;
/// Maximum number of parts of a space.
const MOST_PARTS: usize = 1000;

fn checked_list(name: &str, list: &[String]) -> Result<Vec<String>, SpaceError> {
    if list.len() < 2 {
        return Err(SpaceError::TooFew { name: name.to_owned(), size: list.len() });
    }
    let mut seen = BTreeMap::new();
    for (index, entry) in list.iter().enumerate() {
        let normal = normalise(entry);
        if normal.is_empty() {
            return Err(SpaceError::Blank { name: name.to_owned(), entry: index + 1 });
        }
        if let Some(first) = seen.insert(normal, index + 1) {
            return Err(SpaceError::Duplicate { name: name.to_owned(), first, second: index + 1 });
        }
    }
    Ok(list.to_vec())
}

impl Space {
    /// Resolves an expression that needs no declared spaces.
    ///
    /// # Errors
    /// As [`Spaces::resolve`].
    pub fn parse(expression: &str) -> Result<Self, SpaceError> {
        Spaces::default().resolve(expression)
    }

    /// Returns the expression that the user wrote.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns the exact number of members.
    #[must_use]
    pub fn size(&self) -> BigUint {
        let mut size = BigUint::from(1u8);
        for part in &self.parts {
            match part {
                Part::Literal(_) | Part::Luhn => {}
                Part::Chars { alphabet, count } => size *= BigUint::from(alphabet.len()).pow(*count as u32),
                Part::Choice(list) => size *= BigUint::from(list.len()),
            }
        }
        size
    }

    /// Returns the number of members as a floating-point number, above the exact one by no more than
    /// rounding, and at most [`f64::MAX`].
    #[must_use]
    pub fn size_f64(&self) -> f64 {
        let mut size = 1.0f64;
        for part in &self.parts {
            match part {
                Part::Literal(_) | Part::Luhn => {}
                Part::Chars { alphabet, count } => size *= (alphabet.len() as f64).powi(*count as i32),
                Part::Choice(list) => size *= list.len() as f64,
            }
        }
        size.min(f64::MAX)
    }

    /// Returns the length of the longest member, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        let longest = |part: &Part| match part {
            Part::Literal(literal) => literal.len(),
            Part::Chars { count, .. } => *count,
            Part::Choice(list) => list.iter().map(String::len).max().unwrap_or(0),
            Part::Luhn => 1,
        };
        self.parts.iter().map(longest).sum()
    }

    /// Returns whether no member is a prefix of another. The probabilities of saying them then sum to 1 at most.
    #[must_use]
    pub fn is_prefix_free(&self) -> bool {
        // Every member has only one parse, so a member and its prefix differ in their last part.
        match self.parts.last() {
            Some(Part::Choice(list)) => prefix_free(list),
            _ => true,
        }
    }

    /// Draws one member, uniformly, by rejection sampling for each choice.
    pub fn draw(&self, stream: &mut ChaCha20Rng) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Chars { alphabet, count } => {
                    let alphabet = alphabet.as_bytes();
                    for _ in 0..*count {
                        text.push(char::from(alphabet[below(stream, alphabet.len() as u64) as usize]));
                    }
                }
                Part::Choice(list) => text.push_str(&list[below(stream, list.len() as u64) as usize]),
                Part::Luhn => text.push(char::from(b'0' + luhn_digit(&text))),
            }
        }
        text
    }

    /// Returns whether `text` is a member.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.matches_from(text, 0, 0)
    }

    /// Makes a space from parts of a checked space, without a new check.
    pub(super) fn of_parts(name: String, parts: Vec<Part>) -> Self {
        Self { name, parts }
    }

    /// Returns the byte offset in `member` after a part, or after this number of its characters; `None` for a
    /// non-member.
    pub(super) fn end_of(&self, member: &str, (part, letters): (usize, usize)) -> Option<usize> {
        let mut at = 0;
        for (index, here) in self.parts[..=part].iter().enumerate() {
            let length = match here {
                Part::Literal(literal) => literal.len(),
                Part::Chars { .. } if index == part => letters,
                Part::Chars { count, .. } => *count,
                Part::Luhn => 1,
                // Only one of its entries leaves a rest that matches the parts after it.
                Part::Choice(list) => {
                    let rest = member.get(at..)?;
                    let fits = |entry: &&String| {
                        rest.starts_with(entry.as_str()) && self.matches_from(member, at + entry.len(), index + 1)
                    };
                    list.iter().find(fits)?.len()
                }
            };
            at += length;
        }
        (self.contains(member) && member.is_char_boundary(at)).then_some(at)
    }

    fn matches_from(&self, text: &str, at: usize, part: usize) -> bool {
        let Some(here) = self.parts.get(part) else {
            return at == text.len();
        };
        let rest = &text[at..];
        match here {
            Part::Literal(literal) => {
                rest.starts_with(literal.as_str()) && self.matches_from(text, at + literal.len(), part + 1)
            }
            Part::Chars { alphabet, count } => {
                rest.len() >= *count
                    && rest.as_bytes()[..*count].iter().all(|b| alphabet.as_bytes().contains(b))
                    && self.matches_from(text, at + count, part + 1)
            }
            Part::Choice(list) => list
                .iter()
                .any(|entry| rest.starts_with(entry.as_str()) && self.matches_from(text, at + entry.len(), part + 1)),
            Part::Luhn => {
                rest.as_bytes().first() == Some(&(b'0' + luhn_digit(&text[..at])))
                    && self.matches_from(text, at + 1, part + 1)
            }
        }
    }

    /// Refuses a space without an exact size: a list with an entry that begins another, followed by a
    /// part that could continue an entry.
    fn check(&self) -> Result<(), SpaceError> {
        if self.size() < BigUint::from(2u8) {
            return Err(SpaceError::TooFew { name: self.name.clone(), size: 1 });
        }
        let last = self.parts.len() - 1;
        for (index, part) in self.parts.iter().enumerate() {
            let Part::Choice(list) = part else { continue };
            let separated = match self.parts.get(index + 1) {
                None => true,
                Some(Part::Literal(literal)) => {
                    let first = literal.chars().next();
                    list.iter().all(|entry| entry.chars().all(|c| Some(c) != first))
                }
                Some(Part::Chars { alphabet, .. }) => {
                    list.iter().all(|entry| entry.chars().all(|c| !alphabet.contains(c)))
                }
                Some(_) => false,
            };
            if index != last && !separated && !prefix_free(list) {
                return Err(SpaceError::Ambiguous { name: self.name.clone() });
            }
        }
        Ok(())
    }
}

fn prefix_free(list: &[String]) -> bool {
    let entries: HashSet<&str> = list.iter().map(String::as_str).collect();
    entries.iter().all(|entry| entry.char_indices().skip(1).all(|(end, _)| !entries.contains(&entry[..end])))
}

/// Returns a uniform number in `0..bound`: masks words of `stream` to the bits of `bound`, until one is below it.
pub fn below(stream: &mut ChaCha20Rng, bound: u64) -> u64 {
    debug_assert!(bound > 0, "a bound of zero has no number below it");
    let mask = u64::MAX.checked_shr((bound - 1).leading_zeros()).unwrap_or(0);
    loop {
        let word = stream.next_u64() & mask;
        if word < bound {
            return word;
        }
    }
}

/// Returns the Luhn check digit for the digits in `text`; other characters are ignored.
pub(crate) fn luhn_digit(text: &str) -> u8 {
    let mut sum = 0u32;
    for (place, byte) in text.bytes().rev().filter(u8::is_ascii_digit).enumerate() {
        let digit = u32::from(byte - b'0');
        sum += match (place % 2 == 0, digit * 2) {
            (true, double) if double > 9 => double - 9,
            (true, double) => double,
            (false, _) => digit,
        };
    }
    ((10 - sum % 10) % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Key;

    fn stream() -> ChaCha20Rng {
        Key::from_text("a key for the tests of spaces").expect("long enough").stream("test", "")
    }

    #[test]
    fn sizes_are_exact() {
        for (expression, size) in [
            ("digits(6)", "1000000"),
            ("hex(2)", "256"),
            ("alphanumeric(2)", "3844"),
            ("words(3)", "1073741824"),
            ("uuid", "5316911983139663491615228241121378304"),
            ("phone", "10000000000"),
            ("card", "100000000000"),
            ("email", "3145728000"),
            ("disease", "1016064000"),
            ("AC-{digits(2)}-{hex(1)}", "1600"),
            ("openai-key", "62^48"),
        ] {
            let size_of = Space::parse(expression).expect(expression).size().to_string();
            if expression == "openai-key" {
                // 62^48 is checked by its length in bits: 48 * log2(62) = 285.8.
                assert_eq!(Space::parse(expression).expect(expression).size().bits(), 286);
            } else {
                assert_eq!(size_of, size, "{expression}");
            }
        }
    }

    #[test]
    fn draws_are_members_and_cover_a_small_space_evenly() {
        let mut stream = stream();
        for expression in
            ["uuid", "email", "phone", "card", "openai-key", "github-token", "disease", "words(4)", "name"]
        {
            let space = Space::parse(expression).expect(expression);
            for _ in 0..50 {
                let text = space.draw(&mut stream);
                assert!(space.contains(&text), "{expression}: {text}");
            }
        }
        let space = Space::parse("digits(1)").expect("built in");
        let mut counts = [0u32; 10];
        for _ in 0..10_000 {
            counts[space.draw(&mut stream).parse::<usize>().expect("a digit")] += 1;
        }
        // Chi-square with 9 degrees of freedom: 27.9 is its 99.9% point.
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 27.9, "{chi}");
    }

    #[test]
    fn cards_have_a_valid_check_digit() {
        assert_eq!(luhn_digit("7992739871"), 3);
        let card = Space::parse("card").expect("built in").draw(&mut stream());
        assert_eq!(card.len(), 16);
        assert_eq!(luhn_digit(&card[..15]), card.as_bytes()[15] - b'0');
        assert!(!Space::parse("card").expect("built in").contains("9999000000000001"));
    }

    #[test]
    fn what_has_no_exact_size_is_refused() {
        let mut spaces = Spaces::default();
        spaces.lists.insert("ward".into(), vec!["A".into(), "AB".into(), "C".into()]);
        spaces.patterns.insert("loop".into(), "{loop}x".into());
        assert!(matches!(spaces.resolve("{ward}{ward}"), Err(SpaceError::Ambiguous { .. })));
        assert!(spaces.resolve("{ward}-{ward}").is_ok());
        assert!(matches!(spaces.resolve("loop"), Err(SpaceError::Cycle { .. })));
        assert!(matches!(spaces.resolve("digits"), Err(SpaceError::Length { .. })));
        assert!(matches!(spaces.resolve("digits(0)"), Err(SpaceError::Length { .. })));
        assert!(matches!(spaces.resolve("nothing"), Err(SpaceError::Unknown { .. })));
        assert!(matches!(spaces.resolve("a{digits(2)"), Err(SpaceError::Braces { .. })));
        assert!(matches!(spaces.resolve("a}b"), Err(SpaceError::Braces { .. })));
        spaces.lists.insert("twice".into(), vec!["Flu".into(), "cold".into(), "f-l-u".into()]);
        assert_eq!(
            spaces.resolve("twice").expect_err("a duplicate"),
            SpaceError::Duplicate { name: "twice".into(), first: 1, second: 3 }
        );
        spaces.lists.insert("blank".into(), vec!["Flu".into(), "--".into()]);
        assert!(matches!(spaces.resolve("blank"), Err(SpaceError::Blank { entry: 2, .. })));
    }

    #[test]
    fn members_that_begin_others_are_noticed() {
        let mut spaces = Spaces::default();
        spaces.lists.insert("ward".into(), vec!["A".into(), "AB".into(), "C".into()]);
        spaces.lists.insert("code".into(), vec!["A1".into(), "B22".into()]);
        for (space, free) in [("ward", false), ("x-{ward}", false), ("{ward}-x", true), ("code", true), ("card", true)]
        {
            assert_eq!(spaces.resolve(space).expect(space).is_prefix_free(), free, "{space}");
        }
    }

    #[test]
    fn no_real_disease_is_in_the_space_of_fictional_ones() {
        let space = Space::parse("disease").expect("built in");
        let real = include_str!("lists/real-diseases.txt");
        assert!(real.lines().count() >= 300);
        for name in real.lines() {
            for word in name.split([' ', '-']) {
                let mut capital = word.to_lowercase();
                if let Some(first) = capital.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                assert!(!space.contains(&capital), "{name} is a real disease");
            }
        }
        assert!(space.contains("Pyrodraconosis"), "the disease of the founding experiment");
    }
}
