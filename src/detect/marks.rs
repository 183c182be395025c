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
    /// `.` and `-`.
    morse_signs: u64,
    /// `%`, `&` and `\`.
    escapes: u64,
}

impl Block {
    const fn words(&self) -> u64 {
        self.letters | self.digits
    }

    const fn hex(&self) -> u64 {
        self.digits | self.hex_letters
    }

    const fn base64(&self) -> u64 {
        self.letters | self.digits | self.base64_signs
    }
}

/// A block and those around it.
#[derive(Clone, Copy)]
struct Around<'a>(&'a [Block; 3]);

impl Around<'_> {
    /// The bits of a class, each at the place of the byte `by` before it.
    fn ahead(self, by: u32, class: impl Fn(&Block) -> u64) -> u64 {
        class(&self.0[1]) >> by | class(&self.0[2]) << (64 - by)
    }

    /// The bits of a class, each at the place of the byte after it.
    fn behind(self, class: impl Fn(&Block) -> u64) -> u64 {
        class(&self.0[1]) << 1 | class(&self.0[0]) >> 63
    }

    /// The bits of a class and of the block after it.
    fn both(self, class: impl Fn(&Block) -> u64) -> u128 {
        u128::from(class(&self.0[2])) << 64 | u128::from(class(&self.0[1]))
    }

    /// Where eight in a row of a class begin.
    fn eight(self, class: impl Fn(&Block) -> u64) -> u64 {
        let mut row = self.both(class);
        row &= row >> 1;
        row &= row >> 2;
        row &= row >> 4;
        row as u64
    }
}

/// The classes of all bytes of a text; one empty block stands at either end.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Block>);

impl Marks {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut blocks = Vec::with_capacity(text.len() / 64 + 3);
        blocks.push(Block::default());
        let (chunks, rest) = text.as_chunks::<64>();
        blocks.extend(chunks.iter().map(Block::of));
        if !rest.is_empty() {
            let mut last = [0; 64];
            last[..rest.len()].copy_from_slice(rest);
            blocks.push(Block::of(&last));
        }
        blocks.push(Block::default());
        Self(blocks)
    }

    /// Each block with its neighbours, and the place of its first byte.
    fn blocks(&self) -> impl Iterator<Item = (usize, Around<'_>)> {
        (0..).step_by(64).zip(self.0.array_windows().map(Around))
    }

    fn any(&self, of: impl Fn(Around<'_>) -> bool) -> bool {
        self.0.array_windows().any(|around| of(Around(around)))
    }

    /// The places of the bits that `of` sets.
    fn places(&self, of: impl Fn(Around<'_>) -> u64) -> Vec<usize> {
        let mut places = Vec::new();
        for (at, around) in self.blocks() {
            places.extend(bits(of(around)).map(|bit| at + bit));
        }
        places
    }

    /// Where runs of base64 begin that may be a text: eight or more, with a capital, a digit or a sign after the
    /// first. Of random texts of six bytes fewer than one in three hundred are encoded without one; most words are.
    pub(super) fn base64_runs(&self) -> Vec<usize> {
        let marked = |b: &Block| b.capitals | b.digits | b.base64_signs;
        let may_be = |around: Around<'_>, bit: usize| {
            let length = (around.both(Block::base64) >> bit).trailing_ones();
            let marked = (around.both(marked) >> bit) as u64;
            length >= 64 || marked & ((1 << length) - 1) & !1 != 0
        };
        self.places(|around| {
            let mut runs = around.eight(Block::base64) & !around.behind(Block::base64);
            if runs == 0 || marked(&around.0[1]) | marked(&around.0[2]) == 0 && around.0[2].base64() != u64::MAX {
                return 0;
            }
            for bit in bits(runs).filter(|bit| !may_be(around, *bit)) {
                runs &= !(1 << bit);
            }
            runs
        })
    }

    /// Whether there are eight hexadecimal digits in a row, or four pairs of which the first three stand alone, one or
    /// two other signs between any two.
    pub(super) fn has_hex(&self) -> bool {
        self.any(|around| {
            let hex = around.both(Block::hex);
            let two = hex & hex >> 1;
            if two == 0 {
                return false;
            }
            let four = two & two >> 2;
            let words = around.both(Block::words);
            let begin = two & !(words << 1 | u128::from(around.0[0].words() >> 63));
            let alone = begin & !(words >> 2);
            let chain = |step: u32| alone & alone >> step & alone >> (2 * step) & begin >> (3 * step);
            (four & four >> 4 | chain(3) | chain(4)) as u64 != 0
        })
    }

    /// Whether `visit` says yes to a place of a sign or digit with a letter and then two hexadecimal digits after it,
    /// as in `0x41`.
    pub(super) fn any_hex_prefix(&self, mut visit: impl FnMut(usize) -> bool) -> bool {
        self.blocks().any(|(at, around)| {
            let two = around.ahead(2, Block::hex) & around.ahead(3, Block::hex);
            bits(around.ahead(1, |b| b.letters) & two & !around.0[1].letters).any(|bit| visit(at + bit))
        })
    }

    /// Whether there is what percent signs, entities and escapes begin with.
    pub(super) fn may_have_escapes(&self) -> bool {
        self.any(|around| around.0[1].escapes != 0)
    }

    /// Whether a plus sign, which is the only one in two classes, has a capital before it.
    pub(super) fn may_have_code_points(&self) -> bool {
        self.any(|around| {
            let plus = around.0[1].base64_signs & around.0[1].leet_signs;
            plus != 0 && plus & around.behind(|b| b.capitals) != 0
        })
    }

    /// How many runs of signs of Morse code have no letter or digit before them, and whether any sign has one after it.
    pub(super) fn morse_runs(&self) -> (usize, bool) {
        let (mut count, mut two) = (0, 0);
        for (_, around) in self.blocks() {
            let signs = around.0[1].morse_signs;
            count += (signs & !around.behind(|b| b.morse_signs | b.words())).count_ones() as usize;
            two |= signs & around.ahead(1, |b| b.morse_signs);
        }
        (count, two != 0)
    }

    /// Digits and signs that have a letter where leet would have one.
    pub(super) fn leet(&self) -> Vec<usize> {
        self.places(|around| {
            let block = &around.0[1];
            if block.digits | block.leet_signs == 0 {
                return 0;
            }
            let after = around.ahead(1, |b| b.letters);
            block.digits & (around.behind(|b| b.letters) | after) | block.leet_signs & after
        })
    }

    /// Visits the words of at least `fewest` ASCII letters (one or three), where each begins, until `visit` says that
    /// it has enough.
    pub(super) fn any_word(&self, fewest: usize, mut visit: impl FnMut(usize) -> bool) -> bool {
        for (at, around) in self.blocks() {
            let mut starts = around.0[1].letters & !around.behind(|b| b.letters);
            if fewest > 1 {
                starts &= around.ahead(1, |b| b.letters) & around.ahead(2, |b| b.letters);
            }
            while starts != 0 {
                if visit(at + starts.trailing_zeros() as usize) {
                    return true;
                }
                starts &= starts - 1;
            }
        }
        false
    }
}

/// The places of the bits that are set.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    })
}

impl Block {
    fn of(bytes: &[u8; 64]) -> Self {
        let (lanes, _) = bytes.as_chunks();
        let lanes = [u8x16::new(lanes[0]), u8x16::new(lanes[1]), u8x16::new(lanes[2]), u8x16::new(lanes[3])];
        let at_most = |b: u8x16, most: u8| b.min(u8x16::splat(most)).simd_eq(b);
        let from = |b: u8x16, least: u8| b - u8x16::splat(least);
        let is = |b: u8x16, byte: u8| b.simd_eq(u8x16::splat(byte));
        let letter = |b: u8x16| from(b | u8x16::splat(0x20), b'a');
        Self {
            letters: word(lanes, |b| at_most(letter(b), 25)),
            capitals: word(lanes, |b| at_most(from(b, b'A'), 25)),
            digits: word(lanes, |b| at_most(from(b, b'0'), 9)),
            hex_letters: word(lanes, |b| at_most(letter(b), 5)),
            base64_signs: word(lanes, |b| is(b, b'+') | is(b, b'-') | is(b, b'/') | is(b, b'_')),
            leet_signs: word(lanes, |b| is(b, b'+') | is(b, b'@') | is(b, b'$') | is(b, b'!') | is(b, b'|')),
            morse_signs: word(lanes, |b| is(b, b'-') | is(b, b'.')),
            escapes: word(lanes, |b| is(b, b'%') | is(b, b'&') | is(b, b'\\')),
        }
    }
}

/// One bit for each byte that `of` says yes to.
#[inline]
fn word([a, b, c, d]: [u8x16; 4], of: impl Fn(u8x16) -> u8x16) -> u64 {
    let bits = |lane: u8x16| u64::from(of(lane).to_bitmask());
    bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_words_are_found_across_blocks() {
        for shift in 0..130 {
            let text = format!("{}abcdefgh12 p4ss ab, cd ef: 12 zz", " ".repeat(shift));
            let marks = Marks::new(text.as_bytes());
            assert_eq!(marks.base64_runs(), [shift]);
            assert_eq!(marks.leet().into_iter().map(|at| at - shift).collect::<Vec<_>>(), [8, 12]);
            let mut words = Vec::new();
            assert!(!marks.any_word(3, |at| {
                words.push(at - shift);
                false
            }));
            assert_eq!(words, [0]);
            assert!(!marks.has_hex(), "{shift}");
            let marks = |text: &str| Marks::new(format!("{}{text}", " ".repeat(shift)).as_bytes());
            for hex in ["12 ab 34 cd", "12, ab, 34, cd", "12 ab 34 cd56", "1234abcd"] {
                assert!(marks(hex).has_hex(), "{shift} {hex}");
            }
            let mut prefixes = Vec::new();
            assert!(!marks("0x61 \\x61 2x 44").any_hex_prefix(|at| {
                prefixes.push(at - shift);
                false
            }));
            assert_eq!(prefixes, [0, 5]);
            assert!(marks("U+0041").may_have_code_points() && !marks("1+2").may_have_code_points());
            for sign in ["%", "&", "\\"] {
                assert!(marks(sign).may_have_escapes(), "{shift} {sign}");
            }
            assert_eq!((marks(".- -. x. .").morse_runs(), marks("- . -").morse_runs()), ((3, true), (3, false)));
        }
        let words = Marks::new(b"Ordinary internationalisation NDgyOTEz");
        assert_eq!(words.base64_runs(), [30]);
        let marks = Marks::new(&[b'a'; 1000]);
        assert_eq!(marks.base64_runs(), [0]);
        assert!(marks.has_hex());
    }
}
