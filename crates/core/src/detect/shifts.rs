//! Distances between letters: they stay the same when all letters are shifted.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// Stands for a letter that does not follow a letter: any letter matches.
const ANY: u8 = b'{';

/// Returns, for each byte of a normal form after the first, the distance of a letter from the letter before it; other
/// bytes as they are. Shifting all letters changes none of that.
pub(super) fn distances(normal: &[u8]) -> Vec<u8> {
    let mut distances = Vec::new();
    read_distances(normal, &mut distances);
    distances
}

/// Like [`distances`], into a buffer that is reused.
pub(super) fn read_distances(normal: &[u8], distances: &mut Vec<u8>) {
    let after = normal.get(1..).unwrap_or_default();
    distances.clear();
    dispatch!(Level::new(), simd => read(simd, &normal[..after.len()], after, distances));
}

#[inline(always)]
fn read<S: Simd>(simd: S, before: &[u8], after: &[u8], distances: &mut Vec<u8>) {
    let lane = S::u8s::LEN;
    distances.resize(after.len(), 0);
    if after.len() < lane {
        for ((before, here), distance_here) in before.iter().zip(after).zip(distances) {
            *distance_here = distance(*before, *here);
        }
        return;
    }
    // The last vector may overlap the one before it: single bytes would take longer.
    let last = after.len() - lane;
    for at in (0..last).step_by(lane).chain([last]) {
        let here = S::u8s::from_slice(simd, &after[at..][..lane]);
        let before = S::u8s::from_slice(simd, &before[at..][..lane]);
        let difference = here - before;
        let around = here.simd_lt(before).select(difference + 26, difference);
        let letter = (before - b'a').simd_lt(26).select(around + b'a', S::u8s::splat(simd, ANY));
        (here - b'a').simd_lt(26).select(letter, here).store_slice(&mut distances[at..][..lane]);
    }
}

/// The distance of a byte from the one before it.
const fn distance(before: u8, here: u8) -> u8 {
    let is_after_letter = before.wrapping_sub(b'a') < 26;
    let difference = here.wrapping_sub(before);
    let around = if here < before { difference.wrapping_add(26) } else { difference };
    let letter = if is_after_letter { around.wrapping_add(b'a') } else { ANY };
    if here.wrapping_sub(b'a') < 26 { letter } else { here }
}

/// Returns the shift that turns a normal text into another of the same length; `None` if no shift does.
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
    use crate::detect::levels;
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
        // Vectors give the same as single bytes: in texts of many lengths, and for every pair of bytes.
        let pairs = (0..=u8::MAX).flat_map(|before| (0..=u8::MAX).flat_map(move |here| [before, here])).collect();
        let texts =
            (0..200).map(|length: u8| (0..length).map(|at| at.wrapping_mul(length | 1).wrapping_mul(37)).collect());
        for text in texts.chain([pairs]) {
            let text: Vec<u8> = text;
            let after = text.get(1..).unwrap_or_default();
            let one_by_one: Vec<u8> = text.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
            for level in levels() {
                let mut together = vec![1; 7];
                dispatch!(level, simd => read(simd, &text[..after.len()], after, &mut together));
                assert_eq!(together, one_by_one, "{level:?}");
            }
        }
    }
}
