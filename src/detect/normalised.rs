//! Letters and digits only, in one form.

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters of other scripts that look like a Latin one: pairs of look-alike and Latin.
const LOOK_ALIKES: &str = "аaАaеeЕeоoОoрpРpсcСcуyУyхxХxіiІiјjЈjѕsЅsԁdһhНhкkКkМmмmТtтtВbвbԛqԝwѵvӏlαaΑaΒbεeΕeΖzηnΗhιiΙiκkΚkΜmνvΝnοoΟoρpΡpτtΤtυuΥyχxΧxγyօoսuհhոnսuցgıiȷjɡgɑaƖlǀlꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu";

static LATIN: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let letters: Vec<char> = LOOK_ALIKES.chars().collect();
    letters.as_chunks().0.iter().map(|[like, latin]| (*like, *latin)).collect()
});

/// Letters in lower case and digits as they are, 0 for the rest.
const ASCII: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

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

/// So many bytes are written together, of which not all may count.
const AHEAD: usize = 256;
/// Bytes that are looked at together; eight at a time.
const STEP: usize = 248;

impl Normal {
    /// Takes the place of what was read before.
    pub(super) fn read(&mut self, text: &str) {
        self.count = 0;
        self.reserve(text.len() + AHEAD);
        let mut rest = text;
        if !text.is_ascii() {
            while let Some(end) = beyond_ascii(rest.as_bytes()) {
                self.push_ascii(&rest.as_bytes()[..end]);
                let mut others = rest[end..].chars();
                // One character at a time: the order of marks is all that would differ, and they are dropped.
                others.next().into_iter().nfkd().for_each(|c| self.push(c));
                rest = others.as_str();
            }
        }
        self.push_ascii(rest.as_bytes());
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

    fn push_ascii(&mut self, ascii: &[u8]) {
        self.reserve(ascii.len() + AHEAD);
        for chunk in ascii.chunks(STEP) {
            let Some(kept) = self.bytes[self.count..].first_chunk_mut::<AHEAD>() else { return };
            // Without a branch: each byte is written, and the next one over it unless it counts.
            let mut count = 0;
            let mut push = |byte: u8| {
                let byte = ASCII[usize::from(byte)];
                kept[count % AHEAD] = byte;
                count += usize::from(byte != 0);
            };
            let (eights, rest) = chunk.as_chunks::<8>();
            for [a, b, c, d, e, f, g, h] in eights {
                push(*a);
                push(*b);
                push(*c);
                push(*d);
                push(*e);
                push(*f);
                push(*g);
                push(*h);
            }
            rest.iter().for_each(|byte| push(*byte));
            self.count += count;
        }
    }

    /// Adds a character of a decomposed text.
    fn push(&mut self, c: char) {
        let mut push = |c: char| {
            let mut bytes = [0; 4];
            let bytes = c.encode_utf8(&mut bytes).as_bytes();
            self.reserve(bytes.len());
            self.bytes[self.count..][..bytes.len()].copy_from_slice(bytes);
            self.count += bytes.len();
        };
        if c.is_ascii_alphanumeric() {
            push(c.to_ascii_lowercase());
        } else if !c.is_ascii() && !is_combining_mark(c) {
            match LATIN.get(&c) {
                Some(latin) => push(*latin),
                None if c.is_alphanumeric() => c.to_lowercase().filter(|c| c.is_alphanumeric()).for_each(push),
                None => {}
            }
        }
    }
}

/// Where the first byte beyond ASCII stands.
fn beyond_ascii(bytes: &[u8]) -> Option<usize> {
    // Most texts that have any have few.
    let (lanes, _) = bytes.as_chunks::<16>();
    let before = 16 * lanes.iter().take_while(|lane| lane.is_ascii()).count();
    bytes[before..].iter().position(|byte| !byte.is_ascii()).map(|at| before + at)
}
