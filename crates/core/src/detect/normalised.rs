//! The normal form of a text: letters and digits only.

use std::collections::HashMap;
use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x16};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Letters of other scripts that look like a Latin letter: pairs of look-alike and Latin letter.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu\
     ᴀaʙbᴄcᴅdᴇeꜰfɢgʜhɪiᴊjᴋkʟlᴍmɴnᴏoᴘpꞯqʀrꜱsᴛtᴜuᴠvᴡwʏyᴢz";

static LATIN: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters: Vec<char> = LOOK_ALIKES.chars().collect();
    letters.as_chunks().0.iter().map(|[like, latin]| (*like, *latin)).collect()
});

/// Zeros of all scripts with decimal digits (Unicode 17, general category Nd) that NFKD does not map to ASCII. The nine
/// characters after each zero are 1 to 9.
const ZEROS: [u32; 68] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136,
    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0,
    0x11c50, 0x11d50, 0x11da0, 0x11de0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1e140, 0x1e2f0,
    0x1e4f0, 0x1e5f1, 0x1e950,
];

/// Ranges of characters that stand for consecutive ASCII characters and that NFKD leaves unchanged: the first and the
/// last code point, and the ASCII character of the first.
const IN_ORDER: [(u32, u32, char); 11] = [
    // Negative circled digits, and those of the dingbats.
    (0x24f5, 0x24fd, '1'),
    (0x2776, 0x277e, '1'),
    (0x2780, 0x2788, '1'),
    (0x278a, 0x2792, '1'),
    (0x24ff, 0x24ff, '0'),
    (0x1f10b, 0x1f10b, '0'),
    (0x1f10c, 0x1f10c, '0'),
    // Negative circled, negative squared, and regional indicator letters.
    (0x1f150, 0x1f169, 'a'),
    (0x1f170, 0x1f189, 'a'),
    (0x1f1e6, 0x1f1ff, 'a'),
    // Tags: an invisible copy of ASCII.
    (0xe0020, 0xe007e, ' '),
];

/// Invisible letters: the fillers of Hangul.
const FILLERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// Returns the ASCII character that a non-ASCII character stands for in every text; `None` if it stands only for itself. The
/// character must be from a decomposed text (NFKD).
pub(super) fn ascii_of(c: char) -> Option<char> {
    if let Some(latin) = LATIN.get(&c) {
        return Some(*latin);
    }
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last();
    if let Some(digit) = zero.and_then(|zero| u8::try_from(code - zero).ok()).filter(|digit| *digit < 10) {
        return Some(char::from(b'0' + digit));
    }
    let (first, _, stands_for) = IN_ORDER.iter().find(|(first, last, _)| (*first..=*last).contains(&code))?;
    char::from_u32(u32::from(*stands_for) + code - first)
}

/// Reduces a text to the normal form that detection compares:
///
/// - The text is decomposed (NFKD).
/// - Look-alikes of other scripts become Latin letters, and digits of all scripts become ASCII digits.
/// - Letters become lowercase.
/// - Marks, invisible letters and everything but letters and digits are dropped.
///
/// No two ASCII letters or digits are merged except by case, so that the number of secrets with the same normal form
/// stays known.
///
/// ```
/// assert_eq!(blabbermouth_core::detect::normalise("AC-00 41"), "ac0041");
/// ```
#[must_use]
pub fn normalise(text: &str) -> String {
    String::from_utf8(normal_bytes(text)).expect("letters and digits")
}

/// Like [`normalise`], as bytes.
pub(super) fn normal_bytes(text: &str) -> Vec<u8> {
    let mut normal = Normal::default();
    normal.read(text);
    normal.bytes.truncate(normal.count);
    normal.bytes
}

/// A normal form, whose buffer the next text reuses.
#[derive(Debug, Default)]
pub(super) struct Normal {
    /// The normal form, and after `count` bytes whatever was written there before.
    bytes: Vec<u8>,
    count: usize,
}

/// Bytes of a vector.
const TOGETHER: usize = 16;

impl Normal {
    /// Reads another text into the same buffer.
    pub(super) fn read(&mut self, text: &str) {
        self.count = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let others = &rest[self.push_ascii(rest.as_bytes())..];
            let end = others.find(|c: char| c.is_ascii()).unwrap_or(others.len());
            // Decomposing single characters changes only the order of marks, and these are dropped.
            others[..end].chars().for_each(|other| std::iter::once(other).nfkd().for_each(|c| self.push(c)));
            rest = &others[end..];
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }

    /// Allocated bytes.
    pub(super) const fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for `ahead` bytes after the normal form.
    fn reserve(&mut self, ahead: usize) {
        if self.bytes.len() < self.count + ahead {
            self.bytes.resize(self.count + ahead, 0);
        }
    }

    /// Adds the letters and digits before the first non-ASCII byte. Returns the position of that byte.
    fn push_ascii(&mut self, bytes: &[u8]) -> usize {
        self.reserve(bytes.len() + TOGETHER);
        let kept = &mut self.bytes[self.count..];
        let (read, count) = dispatch!(Level::new(), simd => keep(simd, bytes, kept));
        self.count += count;
        read
    }

    /// Adds the normal form of a character of a decomposed text.
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

/// Visits the normal form of a character of a decomposed text.
fn counting(c: char, mut visit: impl FnMut(char)) {
    if c.is_ascii_alphanumeric() {
        visit(c.to_ascii_lowercase());
    } else if !c.is_ascii() && !is_combining_mark(c) {
        match ascii_of(c) {
            Some(ascii) if ascii.is_ascii_alphanumeric() => visit(ascii.to_ascii_lowercase()),
            Some(_) => {}
            None if FILLERS.contains(&c) => {}
            None if c.is_alphanumeric() => c.to_lowercase().filter(|c| c.is_alphanumeric()).for_each(visit),
            None => {}
        }
    }
}

/// Counts the characters in the normal form of a character.
pub(super) fn width(c: char) -> usize {
    if c.is_ascii() {
        return usize::from(c.is_ascii_alphanumeric());
    }
    let mut count = 0;
    decompose_compatible(c, |c| counting(c, |_| count += 1));
    count
}

/// Writes to `kept` the letters, in lowercase, and the digits before the first non-ASCII byte. Returns the position of
/// that byte and the number of bytes written. `kept` needs room for [`TOGETHER`] bytes more than the text has.
#[inline(always)]
fn keep<S: Simd>(simd: S, text: &[u8], kept: &mut [u8]) -> (usize, usize) {
    let (chunks, rest) = text.as_chunks();
    let mut last = [[0; TOGETHER]];
    last[0][..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { [].as_slice() } else { &last };
    let mut count = 0;
    for (at, bytes) in (0..).step_by(TOGETHER).zip(chunks.iter().chain(last)) {
        let bytes = u8x16::simd_from(simd, *bytes);
        // The bit that makes a letter lowercase is already set in digits.
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
