//! The first half of a secret, and the space that is left when it is known.

use super::space::{Part, Space};

/// The place where the members of a space are split in two: after the longest run of choices that holds at most half of
/// the space's entropy. A choice is a character of an alphabet or an entry of a list.
///
/// Every first half begins exactly as many members as [`PrefixSplit::rest`] has, because a member has only one parse.
#[derive(Debug, Clone)]
pub struct PrefixSplit {
    space: Space,
    /// Index of the part with the cut, and the number of its characters before the cut; 1 for a list entry.
    cut: (usize, usize),
    rest: Space,
}

impl PrefixSplit {
    /// Returns the space of second halves, for its size and for searching. Do not draw from it: a check digit in it
    /// depends on the whole member.
    #[must_use]
    pub fn rest(&self) -> &Space {
        &self.rest
    }

    /// Splits a member into its two halves; `None` when `member` is not in the space.
    #[must_use]
    pub fn split<'a>(&self, member: &'a str) -> Option<(&'a str, &'a str)> {
        member.split_at_checked(self.space.end_of(member, self.cut)?)
    }
}

impl Space {
    /// Splits the members in two; `None` when the first choice holds more than half of the entropy, as in a single
    /// list.
    #[must_use]
    pub fn half(&self) -> Option<PrefixSplit> {
        let entropy = |part: &Part| match part {
            Part::Literal(_) | Part::Luhn => 0.0,
            Part::Chars { alphabet, count } => *count as f64 * (alphabet.len() as f64).ln(),
            Part::Choice(list) => (list.len() as f64).ln(),
        };
        let parts = self.parts();
        // In nats. The small addition covers rounding when a half is even.
        let mut left = parts.iter().map(entropy).sum::<f64>() / 2.0 + 1e-9;
        let mut cut = (0, 0);
        for (index, part) in parts.iter().enumerate() {
            match part {
                _ if entropy(part) == 0.0 => {}
                Part::Chars { alphabet, count } => {
                    let letters = ((left / (alphabet.len() as f64).ln()) as usize).min(*count);
                    if letters > 0 {
                        cut = (index, letters);
                    }
                    if letters < *count {
                        break;
                    }
                    left -= entropy(part);
                }
                _ if entropy(part) <= left => {
                    left -= entropy(part);
                    cut = (index, 1);
                }
                _ => break,
            }
        }
        let rest = match &parts[cut.0] {
            _ if cut.1 == 0 => return None,
            Part::Chars { alphabet, count } if cut.1 < *count => Some(Part::Chars { alphabet, count: count - cut.1 }),
            _ => None,
        };
        let rest: Vec<Part> = rest.into_iter().chain(parts[cut.0 + 1..].iter().cloned()).collect();
        let rest = Self::of_parts(format!("the second half of {}", self.name()), rest);
        Some(PrefixSplit { space: self.clone(), cut, rest })
    }
}

#[cfg(test)]
mod tests {
    use crate::canary::{Key, Spaces};

    #[test]
    fn halves_are_exact_for_every_kind_of_space() {
        let mut spaces = Spaces::default();
        spaces.lists.insert("ward".into(), vec!["A".into(), "AB".into(), "C".into()]);
        let mut stream = Key::from_text("a key for the tests of halves").expect("long").stream("t", "");
        for (name, revealed, left) in [
            ("digits(10)", "12345".len(), 1e5),
            ("digits(7)", 3, 1e4),
            ("uuid", "01234567-0123-4012".len(), 0.0),
            ("phone", "+999 123 45".len(), 1e5),
            ("card", "999912345".len(), 1e6),
            ("words(4)", 0, 1024.0 * 1024.0),
            ("email", 0, 1024.0 * 3000.0),
            ("disease", 4, 0.0),
            ("openai-key", "sk-".len() + 24, 62f64.powi(24)),
            ("{ward}-{ward}", 0, 3.0),
        ] {
            let space = spaces.resolve(name).expect(name);
            let half = space.half().expect(name);
            let size = half.rest().size_f64();
            // The first half reveals at most half of the entropy.
            assert!(size * size >= space.size_f64() * (1.0 - 1e-9), "{name} {size}");
            assert!(left == 0.0 || (size / left - 1.0).abs() < 1e-9, "{name} {size}");
            for _ in 0..20 {
                let member = space.draw(&mut stream);
                let (first, second) = half.split(&member).expect(name);
                assert_eq!(format!("{first}{second}"), member);
                assert!(revealed == 0 || first.len() == revealed, "{name} {first}");
            }
            assert!(half.split("no member").is_none(), "{name}");
        }
        for name in ["name", "digits(1)", "ward"] {
            assert!(spaces.resolve(name).expect(name).half().is_none(), "{name}");
        }
    }

    #[test]
    fn the_size_of_what_is_left_is_that_of_counting() {
        let mut spaces = Spaces::default();
        spaces.lists.insert("ward".into(), vec!["A".into(), "AB".into(), "C".into()]);
        for (name, all) in [
            ("digits(2)", (0..100).map(|n| format!("{n:02}")).collect::<Vec<_>>()),
            (
                "{ward}-{ward}",
                ["A", "AB", "C"].iter().flat_map(|a| ["A", "AB", "C"].map(|b| format!("{a}-{b}"))).collect(),
            ),
        ] {
            let half = spaces.resolve(name).expect(name).half().expect(name);
            for member in &all {
                let first = half.split(member).expect("a member").0;
                let alike = all.iter().filter(|other| half.split(other).expect("a member").0 == first).count();
                assert_eq!(alike as f64, half.rest().size_f64(), "{name} {member}");
            }
        }
    }
}
