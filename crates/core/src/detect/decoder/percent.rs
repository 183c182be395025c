//! Percent codes of URLs: `%41`.

use super::{Decoder, Emit, Text, nibble, resolve};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Percent;

impl Decoder for Percent {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Percent]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.escapes
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        resolve(text.raw, Encoding::Percent, b'%', 0, percent, emit);
    }
}

fn percent(rest: &str) -> Option<(Vec<u8>, usize)> {
    let bytes = rest.as_bytes();
    let [b'%', high, low, ..] = bytes else { return None };
    Some((vec![nibble(*high)? << 4 | nibble(*low)?], 3))
}
