//! Compressed data: gzip, zlib, and deflate without a header.

use std::io::Read;
use std::ops::Range;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::Emit;
use super::bytes::{SHORTEST, Stretch};
use crate::detect::view::Encoding;

/// The fewest bytes of compressed data with a text in it.
const FEWEST: usize = 8;

/// The fewest bytes of a block with a table of its own: a shorter text takes less with the fixed one.
const FEWEST_WITH_TABLE: usize = 32;

/// Whether bytes may be the beginning of compressed data, which is `length` bytes long.
pub(super) const fn may_begin(head: [u8; 3], length: usize) -> bool {
    let [first, second, _] = head;
    length >= FEWEST && (is_gzip([first, second]) || is_zlib([first, second]) || is_deflate(head, length))
}

const fn is_gzip(head: [u8; 2]) -> bool {
    matches!(head, [0x1f, 0x8b])
}

const fn is_zlib(head: [u8; 2]) -> bool {
    matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda])
}

/// A last block with the fixed or with its own table, as a short text has. With the fixed one, it begins with two letters.
const fn is_deflate([first, second, third]: [u8; 3], length: usize) -> bool {
    match first & 7 {
        3 => {
            let one = (first >> 3 | second << 5).reverse_bits();
            let two = (second >> 3 | third << 5).reverse_bits();
            // Bytes beyond ASCII have nine bits.
            one > LAST_OF_EIGHT || is_letter(one) && is_letter(two)
        }
        5 => length >= FEWEST_WITH_TABLE,
        _ => false,
    }
}

/// The code of the first byte in the fixed table (RFC 1951, 3.2.6), and that of the last one that has eight bits.
const FIRST: u8 = 0b0011_0000;
const LAST_OF_EIGHT: u8 = 0b1011_1111;

/// Whether a code of the fixed table stands for a printed byte of ASCII, or begins one beyond it.
const fn is_letter(code: u8) -> bool {
    code >= FIRST + b' ' && code <= FIRST + b'~' || code > LAST_OF_EIGHT || code == FIRST + b'\n'
}

/// Emits the texts of compressed data. A text that is longer than the budget ends it.
pub(super) fn inflate(data: &[u8], how: &[Encoding], source: &Range<usize>, emit: &mut Emit<'_>) {
    let Some(head) = data.first_chunk::<3>().filter(|_| data.len() >= FEWEST) else { return };
    let limit = (emit.left() as u64).saturating_add(1);
    let mut bytes = Vec::new();
    // Of data with a header what was read before an error counts; without one, only data that is sound.
    let is_sound = if is_gzip([head[0], head[1]]) {
        let _ = GzDecoder::new(data).take(limit).read_to_end(&mut bytes);
        true
    } else if is_zlib([head[0], head[1]]) {
        let _ = ZlibDecoder::new(data).take(limit).read_to_end(&mut bytes);
        true
    } else {
        is_deflate(*head, data.len()) && DeflateDecoder::new(data).take(limit).read_to_end(&mut bytes).is_ok()
    };
    if is_sound && bytes.len() >= SHORTEST {
        let how = [how, &[Encoding::Compressed]].concat();
        if bytes.len() > emit.left() {
            emit.push(&how, String::from_utf8_lossy(&bytes).into_owned(), source.clone());
            return;
        }
        let mut stretch = Stretch::new(&how, source.clone());
        stretch.extend(bytes, emit);
        stretch.end(emit);
    }
}
