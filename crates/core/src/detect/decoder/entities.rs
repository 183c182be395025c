//! Entities of HTML: `&#65;`, `&#x41;`, `&amp;`.

use super::{Decoder, Emit, Text, digits_at_start, resolve, scalar};
use crate::detect::marks::Marks;
use crate::detect::view::Encoding;

pub(super) struct Entities;

impl Decoder for Entities {
    fn encodings(&self) -> &'static [Encoding] {
        &[Encoding::Entities]
    }

    fn may_apply(&self, marks: &Marks) -> bool {
        marks.seen.escapes
    }

    fn decode(&self, text: &Text<'_>, emit: &mut Emit<'_>) {
        resolve(text.raw, Encoding::Entities, b'&', 0, entity, emit);
    }
}

fn entity(rest: &str) -> Option<(Vec<u8>, usize)> {
    let inner = rest.strip_prefix('&')?;
    if let Some(number) = inner.strip_prefix('#') {
        let (hexadecimal, radix) = match number.strip_prefix(['x', 'X']) {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        let count = digits_at_start(hexadecimal, radix, 7);
        let semicolon = usize::from(hexadecimal.as_bytes().get(count) == Some(&b';'));
        let length = rest.len() - hexadecimal.len() + count + semicolon;
        return Some((scalar(hexadecimal.get(..count)?, radix)?, length));
    }
    let named =
        [("amp;", "&"), ("lt;", "<"), ("gt;", ">"), ("quot;", "\""), ("apos;", "'"), ("nbsp;", " "), ("shy;", "")];
    let more = [("lowbar;", "_"), ("commat;", "@"), ("period;", "."), ("hyphen;", "-"), ("dash;", "-")];
    let found = named.iter().chain(&more).find(|(name, _)| inner.starts_with(name))?;
    Some((found.1.as_bytes().to_vec(), 1 + found.0.len()))
}
