//! Compressed data: gzip, zlib, and deflate without a header.

use std::io::Read;
use std::ops::Range;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::Emit;
use super::bytes::{SHORTEST, Stretch};
use crate::detect::view::Encoding;

/// The fewest bytes of compressed data with a text in it.
const FEWEST: usize = 8;

/// Whether bytes may be the beginning of compressed data.
pub(super) const fn may_begin(head: [u8; 2]) -> bool {
    is_gzip(head) || is_zlib(head) || is_deflate(head[0])
}

const fn is_gzip(head: [u8; 2]) -> bool {
    matches!(head, [0x1f, 0x8b])
}

const fn is_zlib(head: [u8; 2]) -> bool {
    matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda])
}

/// A last block with the fixed or with its own table, as a short text has.
const fn is_deflate(first: u8) -> bool {
    matches!(first & 7, 3 | 5)
}

/// Emits the texts of compressed data. A text that is longer than the budget ends it.
pub(super) fn inflate(data: &[u8], how: &[Encoding], source: &Range<usize>, emit: &mut Emit<'_>) {
    let Some(head) = data.first_chunk().filter(|_| data.len() >= FEWEST) else { return };
    let limit = (emit.left() as u64).saturating_add(1);
    let mut bytes = Vec::new();
    // Of data with a header what was read before an error counts; without one, only data that is sound.
    let is_sound = if is_gzip(*head) {
        let _ = GzDecoder::new(data).take(limit).read_to_end(&mut bytes);
        true
    } else if is_zlib(*head) {
        let _ = ZlibDecoder::new(data).take(limit).read_to_end(&mut bytes);
        true
    } else {
        is_deflate(head[0]) && DeflateDecoder::new(data).take(limit).read_to_end(&mut bytes).is_ok()
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
