//! Shifted letters: what stays the same whatever they are shifted by.

use wide::u8x16;

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
    distances.reserve(after.len() + LANE);
    for (before, here) in normal.as_chunks().0.iter().zip(after.as_chunks().0) {
        distances.extend_from_slice(&lane(before, here));
    }
    // The last ones may have been among the computed: few at a time would take longer than all of them again.
    let before = &normal[..after.len()];
    match (before.last_chunk(), after.last_chunk()) {
        (Some(before), Some(here)) => {
            distances.truncate(after.len() - LANE);
            distances.extend_from_slice(&lane(before, here));
        }
        _ => distances.extend(before.iter().zip(after).map(|(before, here)| distance(*before, *here))),
    }
}

/// Bytes that are computed together.
const LANE: usize = 16;

/// As [`distance`] does, many at a time.
#[inline]
fn lane(before: &[u8; LANE], here: &[u8; LANE]) -> [u8; LANE] {
    let splat = u8x16::splat;
    let (before, here) = (u8x16::new(*before), u8x16::new(*here));
    let is_letter = |b: u8x16| {
        let place = b - splat(b'a');
        place.min(splat(25)).simd_eq(place)
    };
    let is_later = here.max(before).simd_eq(here);
    let around = here - before + (!is_later & splat(26));
    let after_letter = is_letter(before);
    let letter = (after_letter & (around + splat(b'a'))) | (!after_letter & splat(ANY));
    let is_here = is_letter(here);
    ((is_here & letter) | (!is_here & here)).to_array()
}

/// The distance of a byte from the one before it.
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
        // Many at a time as one by one: in texts of every length, and for every pair of bytes.
        for length in 0..70 {
            let text: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(length | 1).wrapping_mul(37)).collect();
            let one_by_one: Vec<u8> = text.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
            assert_eq!(distances(&text), one_by_one);
        }
        for (before, here) in (0..=u8::MAX).flat_map(|before| (0..=u8::MAX).map(move |here| (before, here))) {
            assert_eq!(lane(&[before; LANE], &[here; LANE]), [distance(before, here); LANE]);
        }
    }
}
