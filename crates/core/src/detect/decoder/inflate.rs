//! Compressed data: gzip, zlib, and deflate without a header.

use std::io::Read;
use std::ops::Range;

use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};

use super::Emit;
use super::bytes::{SHORTEST, Stretch};
use crate::detect::view::Encoding;

/// The fewest bytes of compressed data with a text in it.
const FEWEST: usize = 8;

/// Fewest bytes of a block with its own table: a shorter block holds no more than the table.
const FEWEST_WITH_TABLE: usize = 20;

/// Whether `head` may begin compressed data of `length` bytes.
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

/// Whether the data is a last block with the fixed table or its own, as for a short text. With the fixed table, the
/// first codes must be those of a text.
const fn is_deflate([first, second, third]: [u8; 3], length: usize) -> bool {
    match first & 7 {
        3 => {
            let one = (first >> 3 | second << 5).reverse_bits();
            let two = (second >> 3 | third << 5).reverse_bits();
            // Non-ASCII bytes have codes of nine bits, and repetitions of seven.
            one > LAST_OF_EIGHT || is_letter(one) && (is_letter(two) || two >> 1 > 0 && two < FIRST)
        }
        5 => length >= FEWEST_WITH_TABLE,
        _ => false,
    }
}

/// The code of byte 0 in the fixed table (RFC 1951, 3.2.6), and that of the last byte with a code of eight bits.
const FIRST: u8 = 0b0011_0000;
const LAST_OF_EIGHT: u8 = 0b1011_1111;

/// Whether a code of the fixed table stands for a printable ASCII byte or a line break, or begins a non-ASCII byte.
const fn is_letter(code: u8) -> bool {
    code >= FIRST + b' ' && code <= FIRST + b'~' || code > LAST_OF_EIGHT || code == FIRST + b'\n'
}

/// Emits the text of compressed data. A text longer than the budget ends it.
pub(super) fn inflate(data: &[u8], how: &[Encoding], source: &Range<usize>, emit: &mut Emit<'_>) {
    let Some(head) = data.first_chunk::<3>().filter(|_| data.len() >= FEWEST) else { return };
    let limit = (emit.left() as u64).saturating_add(1);
    let mut bytes = Vec::new();
    // With a header, what is read before an error counts; without one, only sound data does.
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whatever_is_compressed_may_begin() {
        let mut stream =
            crate::canary::Key::from_text("a key for the tests of inflation").expect("long").stream("x", "");
        for expression in ["digits(6)", "digits(28)", "digits(36)", "words(4)", "disease", "email", "openai-key"] {
            let space = crate::canary::Space::parse(expression).expect("built in");
            for level in [1, 6, 9] {
                let secret = space.draw(&mut stream);
                for text in [secret.clone(), format!("aaaa{secret}"), format!("\u{e9}\u{e9}{secret}")] {
                    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
                    encoder.write_all(text.as_bytes()).expect("memory");
                    let data = encoder.finish().expect("memory");
                    // Stored text needs no inflation.
                    if data[0] & 7 == 1 {
                        continue;
                    }
                    let mut said = Vec::new();
                    let mut take = |_: &[Encoding], text: String, _| said.push(text);
                    let head = *data.first_chunk().expect("some bytes");
                    assert!(may_begin(head, data.len()), "{text} {data:?}");
                    inflate(&data, &[], &(0..1), &mut Emit::new(1 << 20, 9, 1, &mut take));
                    assert!(said.iter().any(|said| text.ends_with(said.as_str())), "{text} {said:?}");
                }
            }
        }
    }
}
