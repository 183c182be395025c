//! Shifted letters: what stays the same whatever they are shifted by.

/// Stands for a letter that follows no letter: it may be any.
const ANY: u8 = b'{';

/// For each byte of a normal form after the first: the distance of a letter from the letter before it, and
/// other bytes as they are. Shifting all letters changes none of that.
pub(super) fn distances(normal: &[u8]) -> Vec<u8> {
    let mut distances = Vec::new();
    read_distances(normal, &mut distances);
    distances
}

/// The same in place of other distances, whose room is used again.
pub(super) fn read_distances(normal: &[u8], distances: &mut Vec<u8>) {
    let after = normal.get(1..).unwrap_or_default();
    distances.clear();
    distances.extend(normal.iter().zip(after).map(|(before, here)| distance(*before, *here)));
}

/// Without a branch, so that many are computed at a time.
const fn distance(before: u8, here: u8) -> u8 {
    let is_after_letter = before.wrapping_sub(b'a') < 26;
    let difference = here.wrapping_sub(before);
    let around = if here < before { difference.wrapping_add(26) } else { difference };
    let letter = if is_after_letter { around.wrapping_add(b'a') } else { ANY };
    if here.wrapping_sub(b'a') < 26 { letter } else { here }
}

/// The shift that makes one normal text of another of the same length; `None` when there is none.
pub(super) fn shift_between(pattern: &[u8], text: &[u8]) -> Option<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::view::shifted;

    #[test]
    fn distances_do_not_change_with_the_shift() {
        let normal = "zebra00azé12漢字xx9";
        for shift in 0..26 {
            let other = shifted(normal, shift);
            assert_eq!(distances(normal.as_bytes()), distances(other.as_bytes()));
            assert_eq!(shift_between(normal.as_bytes(), other.as_bytes()), Some(shift));
        }
        assert_eq!(distances(b"az1bc"), *b"z1{b");
        assert!(distances(b"a").is_empty() && distances(b"").is_empty());
    }
}
