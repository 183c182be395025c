//! Letters and digits only, in one form.

use std::collections::HashMap;
use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x16};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Letters of other scripts that look like a Latin one: pairs of look-alike and Latin.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu";

static LATIN: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters: Vec<char> = LOOK_ALIKES.chars().collect();
    letters.as_chunks().0.iter().map(|[like, latin]| (*like, *latin)).collect()
});

/// Reduces a text to what detection compares: compatibility decomposition (NFKD), marks and
/// everything but letters and digits dropped, look-alikes of other scripts turned into Latin
/// letters, lower case.
///
/// No two ASCII letters or digits are merged except by case, so that the number of secrets behind
/// one normalised text stays known.
///
/// ```
/// assert_eq!(blabbermouth::detect::normalise("AC-00 41"), "ac0041");
/// ```
#[must_use]
pub fn normalise(text: &str) -> String {
    String::from_utf8(normal_bytes(text)).expect("letters and digits")
}

/// The same as bytes.
pub(super) fn normal_bytes(text: &str) -> Vec<u8> {
    let mut normal = Normal::default();
    normal.read(text);
    normal.bytes.truncate(normal.count);
    normal.bytes
}

/// The normal form of a text, and then of another: its room is used again.
#[derive(Debug, Default)]
pub(super) struct Normal {
    /// What counts, and whatever was written there before.
    bytes: Vec<u8>,
    count: usize,
}

/// Bytes that are looked at together.
const TOGETHER: usize = 16;

impl Normal {
    /// Takes the place of what was read before.
    pub(super) fn read(&mut self, text: &str) {
        self.count = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let others = &rest[self.push_ascii(rest.as_bytes())..];
            let end = others.find(|c: char| c.is_ascii()).unwrap_or(others.len());
            // One character at a time: the order of marks is all that would differ, and they are dropped.
            others[..end].chars().for_each(|other| std::iter::once(other).nfkd().for_each(|c| self.push(c)));
            rest = &others[end..];
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }

    /// Bytes that may be allocated.
    pub(super) const fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes sure that so many bytes can be written beyond those that count.
    fn reserve(&mut self, ahead: usize) {
        if self.bytes.len() < self.count + ahead {
            self.bytes.resize(self.count + ahead, 0);
        }
    }

    /// Adds what counts of the bytes before the first one beyond ASCII, and says how many these are.
    fn push_ascii(&mut self, bytes: &[u8]) -> usize {
        self.reserve(bytes.len() + TOGETHER);
        let kept = &mut self.bytes[self.count..];
        let (read, count) = dispatch!(Level::new(), simd => keep(simd, bytes, kept));
        self.count += count;
        read
    }

    /// Adds a character of a decomposed text.
    fn push(&mut self, c: char) {
        counting(c, |c| {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            self.reserve(bytes.len());
            self.bytes[self.count..][..bytes.len()].copy_from_slice(bytes);
            self.count += bytes.len();
        });
    }
}

/// Visits what counts of a character of a decomposed text.
fn counting(c: char, mut visit: impl FnMut(char)) {
    if c.is_ascii_alphanumeric() {
        visit(c.to_ascii_lowercase());
    } else if !c.is_ascii() && !is_combining_mark(c) {
        match LATIN.get(&c) {
            Some(latin) => visit(*latin),
            None if c.is_alphanumeric() => c.to_lowercase().filter(|c| c.is_alphanumeric()).for_each(visit),
            None => {}
        }
    }
}

/// How many characters the normal form of a character has.
pub(super) fn width(c: char) -> usize {
    if c.is_ascii() {
        return usize::from(c.is_ascii_alphanumeric());
    }
    let mut count = 0;
    decompose_compatible(c, |c| counting(c, |_| count += 1));
    count
}

/// Writes the letters, in lower case, and the digits that stand before the first byte beyond ASCII: where that is,
/// and how many they are. There has to be room for [`TOGETHER`] more than the text has.
#[inline(always)]
fn keep<S: Simd>(simd: S, text: &[u8], kept: &mut [u8]) -> (usize, usize) {
    let (chunks, rest) = text.as_chunks();
    let mut last = [[0; TOGETHER]];
    last[0][..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { [].as_slice() } else { &last };
    let mut count = 0;
    for (at, bytes) in (0..).step_by(TOGETHER).zip(chunks.iter().chain(last)) {
        let bytes = u8x16::simd_from(simd, *bytes);
        // The bit by which letters differ is set in digits.
        let lower = bytes | 0x20;
        let counts = (lower - b'a').simd_lt(26) | (bytes - b'0').simd_lt(10);
        let Some(room) = kept[count..].first_chunk_mut() else { break };
        *room = lower.compress(counts).into();
        let beyond = bytes.simd_ge(0x80).to_bitmask();
        if beyond != 0 {
            let before = (1 << beyond.trailing_zeros()) - 1;
            count += (counts.to_bitmask() & before).count_ones() as usize;
            return (at + beyond.trailing_zeros() as usize, count);
        }
        count += counts.to_bitmask().count_ones() as usize;
    }
    (text.len(), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::levels;

    #[test]
    fn the_width_of_a_character_is_that_of_its_normal_form() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            assert_eq!(width(c), normalise(c.encode_utf8(&mut [0; 4])).chars().count(), "{c:?}");
        }
    }

    #[test]
    fn letters_and_digits_are_kept_up_to_the_first_byte_beyond_ascii() {
        let ascii: Vec<u8> = (0..128).cycle().step_by(37).take(300).collect();
        for (from, length, beyond) in (0..128).flat_map(|i| [(i, i, false), (i, 300 - i, false), (i, 100, true)]) {
            let mut text = ascii[from..][..length.min(300 - from)].to_vec();
            let wanted: Vec<u8> =
                text.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
            let end = text.len();
            if beyond {
                text.extend("\u{e9}abc".bytes());
            }
            for level in levels() {
                let mut kept = vec![b'.'; text.len() + TOGETHER];
                let (read, count) = dispatch!(level, simd => keep(simd, &text, &mut kept));
                assert_eq!((read, &kept[..count]), (end, wanted.as_slice()), "{level:?} {from}");
            }
        }
    }
}
