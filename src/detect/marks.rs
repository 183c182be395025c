//! Which bytes of a text are letters, digits and so on, 64 in a word: what the decoders look at first, so
//! that an ordinary text costs little more than one pass.

use wide::u8x16;

/// One bit for each of 64 bytes, by class.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    letters: u64,
    capitals: u64,
    digits: u64,
    /// `a` to `f`.
    hex_letters: u64,
    /// `+`, `/`, `-` and `_`.
    base64_signs: u64,
    /// `@`, `$`, `!`, `|` and `+`.
    leet_signs: u64,
}

/// The classes of all bytes of a text; one empty block stands at the end.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Block>);

/// Letters, digits and signs of base64 in a row that are looked at.
pub(super) const BASE64_RUN: usize = 8;
/// Hexadecimal digits in a row that are looked at.
pub(super) const HEX_RUN: usize = 8;

impl Marks {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut blocks = Vec::with_capacity(text.len() / 64 + 2);
        let (chunks, rest) = text.as_chunks::<64>();
        blocks.extend(chunks.iter().map(Block::of));
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        blocks.push(Block::of(&last));
        blocks.push(Block::default());
        Self(blocks)
    }

    /// The bits of each block with those of the block after it: `of` gives a word.
    fn words(&self, of: impl Fn(&Block) -> u64) -> impl Iterator<Item = (usize, u64, u64)> {
        self.0.windows(2).enumerate().map(move |(at, pair)| (64 * at, of(&pair[0]), of(&pair[1])))
    }

    /// Where a run of at least `length` (a power of two) of a class begins; a long run once.
    fn runs(&self, length: usize, of: impl Fn(&Block) -> u64) -> impl Iterator<Item = usize> {
        let mut going_on = 0;
        self.words(of).flat_map(move |(at, here, after)| {
            let mut run = u128::from(after) << 64 | u128::from(here);
            let mut width = 1;
            while width < length {
                run &= run >> width;
                width *= 2;
            }
            let run = run as u64;
            let starts = run & !(run << 1 | going_on);
            going_on = run >> 63;
            bits(starts).map(move |bit| at + bit)
        })
    }

    /// Runs of base64 that may be a text: eight or more, with a capital, a digit or a sign after the first. Of
    /// random texts of six bytes fewer than one in three hundred are encoded without one; most words are.
    pub(super) fn base64_runs(&self) -> impl Iterator<Item = usize> {
        let class = |b: &Block| b.letters | b.digits | b.base64_signs;
        self.runs(BASE64_RUN, class).filter(move |start| {
            let (at, bit) = (start / 64, start % 64);
            let both = |of: &dyn Fn(&Block) -> u64| {
                (u128::from(of(&self.0[at + 1])) << 64 | u128::from(of(&self.0[at]))) >> bit
            };
            let length = both(&class).trailing_ones();
            let marked = both(&|b: &Block| b.capitals | b.digits | b.base64_signs) as u64;
            length >= 64 || marked & ((1 << length) - 1) & !1 != 0
        })
    }

    pub(super) fn hex_runs(&self) -> impl Iterator<Item = usize> {
        self.runs(HEX_RUN, |b| b.digits | b.hex_letters)
    }

    /// Whether four pairs of hexadecimal digits stand alone, one or two other signs between any two.
    pub(super) fn has_hex_pairs(&self) -> bool {
        for at in 0..self.0.len() - 1 {
            let hex = |b: &Block| b.digits | b.hex_letters;
            let word = |b: &Block| b.letters | b.digits;
            let (block, next) = (&self.0[at], &self.0[at + 1]);
            let before = if at == 0 { 0 } else { word(&self.0[at - 1]) >> 63 };
            let hexes = u128::from(hex(next)) << 64 | u128::from(hex(block));
            let words = u128::from(word(next)) << 64 | u128::from(word(block));
            let pairs = hexes & (hexes >> 1) & !(words >> 2) & !(words << 1 | u128::from(before));
            let chain = |step: u32| pairs & pairs >> step & pairs >> (2 * step) & pairs >> (3 * step);
            if chain(3) | chain(4) != 0 {
                return true;
            }
        }
        false
    }

    /// Digits and signs that have a letter where leet would have one.
    pub(super) fn leet(&self) -> impl Iterator<Item = usize> {
        let mut letter_before = 0;
        (0..self.0.len() - 1).flat_map(move |at| {
            let (block, next) = (&self.0[at], &self.0[at + 1]);
            let after = block.letters >> 1 | next.letters << 63;
            let before = block.letters << 1 | std::mem::replace(&mut letter_before, block.letters >> 63);
            bits(block.digits & (before | after) | block.leet_signs & after).map(move |bit| 64 * at + bit)
        })
    }

    /// Visits the words of three ASCII letters or more, where each begins and how many letters it has, 64 at most, until
    /// `visit` says that it has enough.
    pub(super) fn any_word(&self, mut visit: impl FnMut(usize, u32) -> bool) -> bool {
        let mut before = 0;
        for (at, pair) in self.0.windows(2).enumerate() {
            let here = pair[0].letters;
            let letters = u128::from(pair[1].letters) << 64 | u128::from(here);
            let long = ((letters >> 1) & (letters >> 2)) as u64;
            let mut starts = here & !(here << 1 | before) & long;
            before = here >> 63;
            while starts != 0 {
                let bit = starts.trailing_zeros();
                starts &= starts - 1;
                if visit(64 * at + bit as usize, (letters >> bit).trailing_ones().min(64)) {
                    return true;
                }
            }
        }
        false
    }
}

/// The places of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    })
}

impl Block {
    fn of(bytes: &[u8; 64]) -> Self {
        let mut block = Self::default();
        let (lanes, _) = bytes.as_chunks::<16>();
        for (at, lane) in lanes.iter().enumerate() {
            let b = u8x16::new(*lane);
            let lower = b | u8x16::splat(0x20);
            let within = |b: u8x16, low: u8, high: u8| {
                let over = (b - u8x16::splat(low)).saturating_sub(u8x16::splat(high - low));
                over.simd_eq(u8x16::splat(0))
            };
            let is = |byte: u8| b.simd_eq(u8x16::splat(byte));
            let plus = is(b'+');
            let set = |mask: u8x16| u64::from(mask.to_bitmask()) << (16 * at);
            block.letters |= set(within(lower, b'a', b'z'));
            block.capitals |= set(within(b, b'A', b'Z'));
            block.hex_letters |= set(within(lower, b'a', b'f'));
            block.digits |= set(within(b, b'0', b'9'));
            block.base64_signs |= set(plus | is(b'/') | is(b'-') | is(b'_'));
            block.leet_signs |= set(plus | is(b'@') | is(b'$') | is(b'!') | is(b'|'));
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_words_are_found_across_blocks() {
        for shift in 0..130 {
            let text = format!("{}abcdefgh12 p4ss ab, cd ef: 12 zz", " ".repeat(shift));
            let marks = Marks::new(text.as_bytes());
            assert_eq!(marks.base64_runs().collect::<Vec<_>>(), [shift]);
            assert_eq!(marks.hex_runs().count(), 0);
            assert_eq!(marks.leet().map(|at| at - shift).collect::<Vec<_>>(), [8, 12]);
            let mut words = Vec::new();
            assert!(!marks.any_word(|at, length| {
                words.push((at - shift, length));
                false
            }));
            assert_eq!(words, [(0, 8)]);
            assert!(!marks.has_hex_pairs(), "{shift}");
            for pairs in ["12 ab 34 cd", "12, ab, 34, cd"] {
                assert!(Marks::new(format!("{}{pairs}", " ".repeat(shift)).as_bytes()).has_hex_pairs(), "{shift}");
            }
        }
        let words = Marks::new(b"Ordinary internationalisation NDgyOTEz");
        assert_eq!(words.base64_runs().collect::<Vec<_>>(), [30]);
        let long = "a".repeat(1000);
        let marks = Marks::new(long.as_bytes());
        assert_eq!(marks.base64_runs().collect::<Vec<_>>(), [0]);
        assert_eq!(marks.hex_runs().collect::<Vec<_>>(), [0]);
    }
}
