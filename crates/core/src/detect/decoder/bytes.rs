//! Finds the stretches of decoded bytes that are text.

use std::ops::Range;

use super::Emit;
use crate::detect::view::Encoding;

/// Shortest decoded text that is emitted, in bytes.
pub(super) const SHORTEST: usize = 6;
/// Most NULs between two letters: one in UTF-16, three in UTF-32.
const MOST_NULS: usize = 3;

/// Whether a byte is printable ASCII or white space.
pub(super) const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

/// Collects stretches of decoded bytes that are printable or non-ASCII. Also collects printable bytes with NULs between
/// them, as in UTF-16 of either byte order.
#[derive(Clone)]
pub(super) struct Stretch<'a> {
    how: &'a [Encoding],
    source: Range<usize>,
    bytes: Vec<u8>,
    wide: Vec<u8>,
    /// NULs since the last printable byte.
    nuls: usize,
    /// Whether a non-ASCII byte ends a stretch.
    ascii: bool,
}

impl<'a> Stretch<'a> {
    pub(super) const fn new(how: &'a [Encoding], source: Range<usize>) -> Self {
        Self { how, source, bytes: Vec::new(), wide: Vec::new(), nuls: 0, ascii: false }
    }

    /// Like [`Stretch::new`], for ASCII only: many ordinary texts would otherwise decode to a stretch by chance.
    pub(super) const fn of_ascii(how: &'a [Encoding], source: Range<usize>) -> Self {
        Self { how, source, bytes: Vec::new(), wide: Vec::new(), nuls: 0, ascii: true }
    }

    pub(super) fn push(&mut self, byte: u8, emit: &mut Emit<'_>) {
        if is_printable(byte) || byte >= 0x80 && !self.ascii {
            self.bytes.push(byte);
            if self.nuls == 0 || !byte.is_ascii() {
                self.end_wide(emit);
            }
            self.nuls = 0;
            self.wide.extend(byte.is_ascii().then_some(byte));
        } else if byte == 0 {
            self.end_narrow(emit);
            self.nuls += 1;
            if self.nuls > MOST_NULS {
                self.end_wide(emit);
            }
        } else {
            self.end(emit);
        }
    }

    pub(super) fn extend(&mut self, bytes: impl IntoIterator<Item = u8>, emit: &mut Emit<'_>) {
        bytes.into_iter().for_each(|byte| self.push(byte, emit));
    }

    pub(super) fn end(&mut self, emit: &mut Emit<'_>) {
        self.end_narrow(emit);
        self.end_wide(emit);
        self.nuls = 0;
    }

    fn end_narrow(&mut self, emit: &mut Emit<'_>) {
        // Random bytes are seldom text: most stretches end after a few.
        if self.bytes.len() >= SHORTEST {
            for part in self.bytes.utf8_chunks() {
                if part.valid().len() >= SHORTEST {
                    emit.push(self.how, part.valid().to_owned(), self.source.clone());
                }
            }
        }
        self.bytes.clear();
    }

    fn end_wide(&mut self, emit: &mut Emit<'_>) {
        if self.wide.len() >= SHORTEST {
            let text = String::from_utf8_lossy(&self.wide).into_owned();
            emit.push(&[self.how, &[Encoding::Utf16]].concat(), text, self.source.clone());
        }
        self.wide.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_with_nuls_between_them_are_a_text_of_two_byte_letters() {
        let said = |bytes: &[u8]| {
            let mut all = Vec::new();
            let mut take = |how: &[Encoding], text: String, _| all.push((how.len(), text));
            let mut emit = Emit::new(100, 9, 1, &mut take);
            let mut stretch = Stretch::new(&[Encoding::Hex], 0..1);
            stretch.extend(bytes.iter().copied(), &mut emit);
            stretch.end(&mut emit);
            all
        };
        for order in [b"s\0e\0c\0r\0e\0t\0".as_slice(), b"\0s\0e\0c\0r\0e\0t", b"\xff\xfes\0e\0c\0r\0e\0t"] {
            assert_eq!(said(order), [(2, "secret".to_owned())], "{order:?}");
        }
        assert_eq!(said(b"\xaa\0s\0e\0c\0r\0e\0t"), [(2, "secret".to_owned())]);
        assert_eq!(said(b"s\0\0\0e\0\0\0c\0\0\0r\0\0\0e\0\0\0t"), [(2, "secret".to_owned())]);
        assert_eq!(said(b"secret\0secrets"), [(1, "secret".to_owned()), (1, "secrets".to_owned())]);
        assert!(said(b"s\0e\0crets\0").is_empty());
    }
}
