//! Byte classes of a text, such as letters and digits, with 64 bytes per word. Decoders check these first, so that an
//! ordinary text costs little more than one pass.

use fearless_simd::{Level, Simd, dispatch, prelude::*};

/// One bit per class for each of 64 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Block {
    letters: u64,
    capitals: u64,
    digits: u64,
    /// `a` to `f`, in either case.
    hex_letters: u64,
    /// `+`, `/`, `-` and `_`.
    base64_signs: u64,
    /// `@`, `$`, `!`, `|` and `+`.
    leet_signs: u64,
    /// `.` and `-`.
    morse_signs: u64,
    /// `%`, `&` and `\`.
    escapes: u64,
    /// `x`, in either case.
    crosses: u64,
    /// Spaces, line breaks and other bytes up to a space.
    spaces: u64,
    /// `<`.
    angles: u64,
    /// ROT47 images of digits and their separators (`\` to `h`), and of lowercase letters (`2` to `K`).
    rot47: u64,
    beyond_ascii: u64,
}

impl Block {
    /// The block beside each end of a text: spaces only.
    const BESIDE: Self = Self {
        letters: 0,
        capitals: 0,
        digits: 0,
        hex_letters: 0,
        base64_signs: 0,
        leet_signs: 0,
        morse_signs: 0,
        escapes: 0,
        crosses: 0,
        spaces: u64::MAX,
        angles: 0,
        rot47: 0,
        beyond_ascii: 0,
    };

    const fn words(&self) -> u64 {
        self.letters | self.digits
    }

    const fn hex(&self) -> u64 {
        self.digits | self.hex_letters
    }

    const fn base64(&self) -> u64 {
        self.letters | self.digits | self.base64_signs
    }

    /// Visible ASCII signs: few words have one inside.
    const fn signs(&self) -> u64 {
        !(self.words() | self.spaces | self.beyond_ascii)
    }

    /// Bytes that a run of base64 has and that few words have after their first letter.
    const fn marked(&self) -> u64 {
        self.capitals | self.digits | self.base64_signs
    }
}

/// A block between its neighbors.
#[derive(Clone, Copy)]
struct Around<'a>(&'a [Block; 3]);

impl Around<'_> {
    /// The bits of a class, each moved to the byte `by` places before.
    fn ahead(self, by: u32, class: impl Fn(&Block) -> u64) -> u64 {
        class(&self.0[1]) >> by | class(&self.0[2]) << (64 - by)
    }

    /// The bits of a class, each moved to the byte after.
    fn behind(self, class: impl Fn(&Block) -> u64) -> u64 {
        class(&self.0[1]) << 1 | class(&self.0[0]) >> 63
    }

    /// The bits of a class in the block and the one after it.
    fn both(self, class: impl Fn(&Block) -> u64) -> u128 {
        u128::from(class(&self.0[2])) << 64 | u128::from(class(&self.0[1]))
    }

    /// The starts of `many` bytes of a class in a row.
    fn row(self, many: u32, class: impl Fn(&Block) -> u64) -> u64 {
        let all = self.both(class);
        (1..many).fold(all, |row, by| row & all >> by) as u64
    }

    /// Two hexadecimal digits alone, or with a letter after them as in `50h`; and three decimal digits, also with a
    /// letter before them as in `0o120`.
    fn codes(self) -> u64 {
        let two = self.0[1].hex() & self.ahead(1, Block::hex);
        if two & !self.behind(Block::hex) == 0 {
            return 0;
        }
        let (words, letters) = (self.both(Block::words), self.both(|b| b.letters & !b.hex_letters));
        let digits = self.both(|b| b.digits);
        let alone = (!(words >> 2) | letters >> 2 & !(words >> 3)) as u64 & !self.behind(Block::words);
        let three = (digits & digits >> 1 & digits >> 2 & !(words >> 3)) as u64 & !self.behind(|b| b.digits);
        two & alone | three
    }

    /// Places where digit and letter meet, and capitals after a letter with a lowercase letter beside them.
    fn mixed(self) -> u64 {
        let block = &self.0[1];
        let small = |b: &Block| b.letters & !b.capitals;
        let (small, inner) = (self.behind(small), self.behind(|b| b.letters) & self.ahead(1, small));
        block.capitals & (small | inner)
            | block.digits & self.behind(|b| b.letters)
            | block.letters & self.behind(|b| b.digits)
    }

    /// Single letters and digits, with no other beside them, nor a letter before a sign before them, as in `isn't`.
    fn singles(self) -> u64 {
        let alone = self.0[1].words() & !self.behind(Block::words) & !self.ahead(1, Block::words);
        if alone == 0 {
            return 0;
        }
        let two_before = self.0[1].letters << 2 | self.0[0].letters >> 62;
        alone & (self.behind(|b| b.spaces) | !two_before)
    }

    /// Whether eight bytes in a row without a space have a sign among them, and a capital or a digit is near.
    fn has_token(self) -> bool {
        let block = &self.0[1];
        let small = |b: &Block| b.letters & !b.capitals;
        let in_word = self.behind(small) & self.ahead(1, small);
        let inner = block.signs()
            & !in_word
            & self.behind(|b| !b.spaces & !b.beyond_ascii)
            & self.ahead(1, |b| !b.spaces & !b.beyond_ascii);
        if inner == 0 {
            return false;
        }
        let [before, _, after] = self.0;
        let marked = |b: &Block| b.capitals | b.digits;
        if marked(before) | marked(block) | marked(after) == 0 {
            return false;
        }
        let seen = |b: &Block| !b.spaces & !b.beyond_ascii;
        let mut row = u128::from(self.eight(seen)) << 64
            | u128::from(Around(&[Block::default(), self.0[0], self.0[1]]).eight(seen));
        row |= row << 1;
        row |= row << 2;
        row |= row << 4;
        inner & (row >> 64) as u64 != 0
    }

    /// The starts of eight bytes of a class in a row.
    fn eight(self, class: impl Fn(&Block) -> u64) -> u64 {
        let mut row = self.both(class);
        row &= row >> 1;
        row &= row >> 2;
        row &= row >> 4;
        row as u64
    }

    /// Whether eight hexadecimal digits in a row, or four separate pairs, begin in the block.
    fn has_hex(self) -> bool {
        let two = self.0[1].hex() & self.ahead(1, Block::hex);
        let four = two & self.ahead(2, Block::hex) & self.ahead(3, Block::hex);
        if four != 0 && self.eight(Block::hex) != 0 {
            return true;
        }
        let pairs = two & !self.ahead(2, Block::words);
        if pairs & !self.behind(Block::words) == 0 {
            return false;
        }
        let (hex, words) = (self.both(Block::hex), self.both(Block::words));
        let begin = hex & hex >> 1 & !(words << 1 | u128::from(self.0[0].words() >> 63));
        let alone = begin & !(words >> 2);
        let chain = |step: u32| alone & alone >> step & alone >> (2 * step) & begin >> (3 * step);
        (chain(3) | chain(4)) as u64 != 0
    }

    /// Whether the block has a byte of `marked` in a base64 run of at least eight bytes, and not first.
    fn has_marked_run(self) -> bool {
        let marked = self.0[1].marked() & self.behind(Block::base64);
        if marked == 0 {
            return false;
        }
        // Starts of eight in a row in the previous block and this one; the shifts add all bytes of these runs.
        let before = Around(&[Block::default(), self.0[0], self.0[1]]).eight(Block::base64);
        let mut run = u128::from(self.eight(Block::base64)) << 64 | u128::from(before);
        run |= run << 1;
        run |= run << 2;
        run |= run << 4;
        marked & (run >> 64) as u64 != 0
    }

    fn leet(self) -> u64 {
        let block = &self.0[1];
        let after = self.ahead(1, |b| b.letters);
        block.digits & (self.behind(|b| b.letters) | after) | block.leet_signs & after
    }
}

/// Features that the byte classes show. Without its feature, a decoder has nothing to decode.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) ascii: bool,
    /// Runs of base64 that may be text, see [`Marks::base64_runs`].
    pub(super) base64: bool,
    /// Eight hexadecimal digits in a row; or four pairs with one or two other signs between them, of which the first
    /// three are alone; or two digits after an `x`, as in `0x41`.
    pub(super) hex: bool,
    /// `%`, `&` or `\`, with which percent codes, entities and escapes begin.
    pub(super) escapes: bool,
    /// A plus sign with a capital before it, as in `U+0041`.
    pub(super) code_points: bool,
    /// A digit beside a letter, or a leet sign before a letter.
    pub(super) leet: bool,
    /// Two signs of Morse code in a row.
    pub(super) two_morse_signs: bool,
    /// Six numbers that may be codes of letters, in two neighboring blocks.
    pub(super) codes: bool,
    /// Seven digits in a row.
    pub(super) long_digits: bool,
    /// Two places in two neighboring blocks where digit and letter meet, or where a capital after a letter has a
    /// lowercase letter beside it.
    pub(super) mixed: bool,
    /// Eight bytes in a row without a space, with a sign that is not at an end.
    pub(super) tokens: bool,
    /// Six ROT47 images of digits or lowercase letters in a row.
    pub(super) rot47: bool,
    /// `<` with a letter or a sign such as `/` or `!` after it.
    pub(super) tags: bool,
    /// Six single letters or digits in two neighboring blocks.
    pub(super) singles: bool,
}

/// The byte classes of a text.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The blocks of the text between two blocks of spaces.
    blocks: Vec<Block>,
    pub(super) seen: Seen,
}

impl Marks {
    pub(super) fn new(text: &str) -> Self {
        let mut marks = Self::default();
        marks.read(text);
        marks
    }

    /// Reads another text into the same buffer.
    pub(super) fn read(&mut self, text: &str) {
        let blocks = &mut self.blocks;
        blocks.clear();
        self.seen = dispatch!(Level::new(), simd => read(simd, text.as_bytes(), blocks));
    }

    /// Each block with its neighbors, and the position of its first byte.
    fn blocks(&self) -> impl Iterator<Item = (usize, Around<'_>)> {
        (0..).step_by(64).zip(self.blocks.array_windows().map(Around))
    }

    /// The positions of the bits that `of` sets.
    fn places(&self, of: impl Fn(Around<'_>) -> u64) -> Vec<usize> {
        let mut places = Vec::new();
        for (at, around) in self.blocks() {
            places.extend(bits(of(around)).map(|bit| at + bit));
        }
        places
    }

    /// Starts of base64 runs that may be text: 64 bytes, or eight with a capital, a digit or a sign after the first
    /// one. Fewer than one in 300 random texts of six bytes is encoded without such a byte; most words have none.
    pub(super) fn base64_runs(&self) -> Vec<usize> {
        let may_be = |around: Around<'_>, bit: usize| {
            let length = (around.both(Block::base64) >> bit).trailing_ones();
            let marked = (around.both(Block::marked) >> bit) as u64;
            length >= 64 || marked & ((1 << length) - 1) & !1 != 0
        };
        self.places(|around| {
            let mut runs = around.eight(Block::base64) & !around.behind(Block::base64);
            for bit in bits(runs).filter(|bit| !may_be(around, *bit)) {
                runs &= !(1 << bit);
            }
            runs
        })
    }

    /// Positions where two hexadecimal digits begin.
    pub(super) fn hex_pairs(&self) -> Vec<usize> {
        self.places(|around| around.0[1].hex() & around.ahead(1, Block::hex))
    }

    /// Positions of digits beside a letter, and of leet signs before a letter.
    pub(super) fn leet(&self) -> Vec<usize> {
        self.places(|around| around.leet())
    }

    /// Counts the runs of Morse signs with no letter or digit before them.
    pub(super) fn morse_runs(&self) -> usize {
        let starts = |around: Around<'_>| around.0[1].morse_signs & !around.behind(|b| b.morse_signs | b.words());
        self.blocks().map(|(_, around)| starts(around).count_ones() as usize).sum()
    }

    /// Starts of words with `fewest` ASCII letters (one or three) or more: each block's position and a bit per word.
    pub(super) fn words(&self, fewest: usize) -> impl Iterator<Item = (usize, u64)> {
        self.blocks().map(move |(at, around)| {
            let starts = around.0[1].letters & !around.behind(|b| b.letters);
            let long = around.ahead(1, |b| b.letters) & around.ahead(2, |b| b.letters);
            (at, if fewest > 1 { starts & long } else { starts })
        })
    }
}

/// Reads the classes of all bytes into blocks, with a block of spaces at either end, and returns the features.
#[inline(always)]
fn read<S: Simd>(simd: S, text: &[u8], blocks: &mut Vec<Block>) -> Seen {
    let (chunks, rest) = text.as_chunks();
    let mut last = [[0; 64]];
    last[0][..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { [].as_slice() } else { &last };
    let count = chunks.len() + last.len() + 2;
    blocks.resize(count, Block::default());
    (blocks[0], blocks[count - 1]) = (Block::BESIDE, Block::BESIDE);
    let mut seen = Seen { ascii: true, ..Seen::default() };
    for (bytes, block) in chunks.iter().chain(last).zip(&mut blocks[1..]) {
        *block = Block::of(simd, bytes);
        seen.ascii &= block.beyond_ascii == 0;
    }
    let mut before = Counts::default();
    for around in blocks.array_windows() {
        seen.look(Around(around));
        before = seen.count(Around(around), before);
    }
    seen
}

/// Counts, in one block, of features that need several places.
#[derive(Clone, Copy, Default)]
struct Counts {
    codes: u32,
    mixed: u32,
    singles: u32,
}

impl Seen {
    /// Adds the features of a block.
    #[inline(always)]
    fn look(&mut self, around: Around<'_>) {
        let [_, block, after] = around.0;
        // A run of 64 bytes counts without a marked byte.
        let reach = block.base64().leading_ones() + after.base64().trailing_ones();
        self.base64 |= reach >= 64 || around.has_marked_run();
        let prefixes = block.crosses & !around.behind(|b| b.letters);
        self.hex |= around.has_hex() || prefixes & around.ahead(1, Block::hex) & around.ahead(2, Block::hex) != 0;
        self.escapes |= block.escapes != 0;
        // `+` is the only sign in both classes.
        let plus = block.base64_signs & block.leet_signs;
        self.code_points |= plus & around.behind(|b| b.capitals) != 0;
        self.leet |= around.leet() != 0;
        self.tokens |= around.has_token();
        let tag = around.ahead(1, |b| b.letters | b.base64_signs | b.leet_signs);
        self.tags |= block.angles & tag != 0;
        self.long_digits |= block.digits & around.ahead(1, |b| b.digits) & around.ahead(2, |b| b.digits) != 0
            && around.row(7, |b| b.digits) != 0;
        self.rot47 |= block.rot47 & around.ahead(1, |b| b.rot47) & around.ahead(2, |b| b.rot47) != 0
            && around.row(6, |b| b.rot47) != 0;
        self.two_morse_signs |= block.morse_signs & around.ahead(1, |b| b.morse_signs) != 0;
    }
}

impl Seen {
    /// Counts the places in a block, and judges them together with those of the block before.
    #[inline(always)]
    fn count(&mut self, around: Around<'_>, before: Counts) -> Counts {
        let counts = Counts {
            codes: around.codes().count_ones(),
            mixed: around.mixed().count_ones(),
            singles: around.singles().count_ones(),
        };
        self.codes |= before.codes + counts.codes >= 6;
        self.mixed |= before.mixed + counts.mixed >= 2;
        self.singles |= before.singles + counts.singles >= 6;
        counts
    }
}

/// The positions of the set bits.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    })
}

impl Block {
    #[inline(always)]
    fn of<S: Simd>(simd: S, bytes: &[u8; 64]) -> Self {
        let mut block = Self::default();
        for (at, bytes) in (0..).step_by(S::u8s::LEN).zip(bytes.chunks_exact(S::u8s::LEN)) {
            let bytes = S::u8s::from_slice(simd, bytes);
            let letter = (bytes | 0x20) - b'a';
            let (plus, dash) = (bytes.simd_eq(b'+'), bytes.simd_eq(b'-'));
            block.letters |= letter.simd_lt(26).to_bitmask() << at;
            block.capitals |= (bytes - b'A').simd_lt(26).to_bitmask() << at;
            block.digits |= (bytes - b'0').simd_lt(10).to_bitmask() << at;
            block.hex_letters |= letter.simd_lt(6).to_bitmask() << at;
            let base64 = plus | dash | bytes.simd_eq(b'/') | bytes.simd_eq(b'_');
            block.base64_signs |= base64.to_bitmask() << at;
            let leet = plus | bytes.simd_eq(b'@') | bytes.simd_eq(b'$') | bytes.simd_eq(b'!') | bytes.simd_eq(b'|');
            block.leet_signs |= leet.to_bitmask() << at;
            block.morse_signs |= (dash | bytes.simd_eq(b'.')).to_bitmask() << at;
            block.crosses |= letter.simd_eq(b'x' - b'a').to_bitmask() << at;
            let escapes = bytes.simd_eq(b'%') | bytes.simd_eq(b'&') | bytes.simd_eq(b'\\');
            block.escapes |= escapes.to_bitmask() << at;
            block.spaces |= bytes.simd_lt(b'!').to_bitmask() << at;
            block.angles |= bytes.simd_eq(b'<').to_bitmask() << at;
            let rot47 = (bytes - b'2').simd_lt(26) | (bytes - b'\\').simd_lt(13);
            block.rot47 |= rot47.to_bitmask() << at;
            block.beyond_ascii |= bytes.simd_ge(0x80).to_bitmask() << at;
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::levels;

    #[test]
    fn runs_and_words_are_found_across_blocks() {
        for shift in 0..130 {
            let text = format!("{}abcdefgh12 p4ss ab, cd ef: 12 zz", " ".repeat(shift));
            let marks = Marks::new(&text);
            assert_eq!(marks.base64_runs(), [shift]);
            assert_eq!(marks.leet().into_iter().map(|at| at - shift).collect::<Vec<_>>(), [8, 12]);
            let words = |fewest| marks.words(fewest).flat_map(|(at, starts)| bits(starts).map(move |bit| at + bit));
            assert_eq!(words(3).collect::<Vec<_>>(), [shift]);
            assert_eq!(words(1).count(), 7);
            assert!(marks.seen.base64 && marks.seen.leet && !marks.seen.hex, "{shift}");
            let marks = |text: &str| Marks::new(&format!("{}{text}", " ".repeat(shift)));
            let seen = |text: &str| marks(text).seen;
            for hex in ["12 ab 34 cd", "12, ab, 34, cd", "12 ab 34 cd56", "1234abcd", "0x61", "\\x61", "x61"] {
                assert!(seen(hex).hex, "{shift} {hex}");
            }
            assert!(!seen("2x 44 exact 12 34 56").hex, "{shift}");
            assert_eq!(marks("1 ab2").hex_pairs(), [shift + 2, shift + 3]);
            assert!(["%", "&", "\\"].iter().all(|sign| seen(sign).escapes), "{shift}");
            assert!(seen("U+0041").code_points && !seen("1+2").code_points, "{shift}");
            assert_eq!((marks(".- -. x. .").morse_runs(), marks("- . -").morse_runs()), (3, 3));
            assert!(seen(".- -. x. .").two_morse_signs && !seen("- . -").two_morse_signs, "{shift}");
            assert!(!seen("Ordinary internationalisation Is 2,000").base64 && seen("x abcdefgH").base64, "{shift}");
            assert!(seen("1234567").long_digits && !seen("123456 7").long_digits, "{shift}");
            assert!(seen("cgah`b").rot47 && seen("E96D64").rot47 && !seen("bead 12345").rot47, "{shift}");
            assert!(seen("<b>").tags && seen("</b>").tags && !seen("a < b <1").tags, "{shift}");
            assert!(seen("0H_J\\PW+").tokens && !seen("It couldn't be a Well-known one.").tokens, "{shift}");
            assert!(seen("NDgy OTEz").mixed && !seen("NASA had 20 Men at 4 pm").mixed, "{shift}");
            assert!(seen("49 50 51 52 53 54").codes && seen("49h, 50h, 51h, 52h, 53h, 5ah").codes, "{shift}");
            assert!(seen("0o120 0o121 0o122 0o123 0o124 0o125").codes && !seen("120 121 12 and 3456").codes, "{shift}");
            assert!(seen("1. P\n2. y\n3. r\n").singles && !seen("isn't a b c don't U.S.A.").singles, "{shift}");
            assert!(seen(&"a".repeat(64)).base64 && !seen(&"a".repeat(56)).base64, "{shift}");
        }
        let words = Marks::new("Ordinary internationalisation NDgyOTEz");
        assert_eq!(words.base64_runs(), [30]);
        let marks = Marks::new(&"a".repeat(1000));
        assert_eq!(marks.base64_runs(), [0]);
        assert!(marks.seen.hex);
    }

    /// Runs of bytes of a class: where each begins, and its length.
    fn runs(text: &str, is_in: impl Fn(u8) -> bool) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (at, _) in text.bytes().enumerate().filter(|(_, byte)| is_in(*byte)) {
            match runs.last_mut() {
                Some((start, length)) if *start + *length == at => *length += 1,
                _ => runs.push((at, 1)),
            }
        }
        runs
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        /// A check byte by byte gives the same classes.
        #[test]
        fn blocks_see_what_bytes_show(
            pieces in proptest::collection::vec(
                proptest::prop_oneof!["[a-zA-Z]{1,12} ", "[0-9a-fA-F]{1,9}", "([0-9a-f]{2}[ :]{1,2}){2,5}", "[-+/_.@$!|%&\\\\xU]{1,3}", " {0,70}", "[a-z]{50,80}", "[é–漢]"],
                0..12,
            ),
        ) {
            let text = pieces.concat();
            let bytes = text.as_bytes();
            let marks = Marks::new(&text);
            for level in levels() {
                let mut blocks = vec![Block::default(); 3];
                let seen = dispatch!(level, simd => read(simd, bytes, &mut blocks));
                proptest::prop_assert_eq!(&blocks, &marks.blocks, "{:?}", level);
                proptest::prop_assert_eq!(seen.ascii, text.is_ascii());
            }
            let is = |at: usize, class: &dyn Fn(u8) -> bool| bytes.get(at).is_some_and(|byte| class(*byte));
            let is_sign = |byte: u8| b"+/-_".contains(&byte);
            let may_be = |(start, length): (usize, usize)| {
                let marked = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || is_sign(byte);
                length >= 64 || length >= 8 && bytes[start + 1..start + length].iter().any(|byte| marked(*byte))
            };
            let base64: Vec<usize> =
                runs(&text, |b| b.is_ascii_alphanumeric() || is_sign(b)).into_iter().filter(|run| may_be(*run)).map(|run| run.0).collect();
            proptest::prop_assert!(marks.seen.base64 || base64.is_empty());
            proptest::prop_assert_eq!(marks.base64_runs(), base64);
            let hex = |b: u8| b.is_ascii_hexdigit();
            let word = |b: u8| b.is_ascii_alphanumeric();
            let is_pair = |at: usize| {
                is(at, &hex) && is(at + 1, &hex) && !is(at + 2, &word) && (at == 0 || !is(at - 1, &word))
            };
            let has_pairs = (0..bytes.len()).any(|at| [3, 4].into_iter().any(|step| (0..4).all(|i| is_pair(at + step * i))));
            let has_prefix = text.contains("0x61") || text.contains("\\x61");
            let has_hex = runs(&text, hex).into_iter().any(|run| run.1 >= 8) || has_pairs || has_prefix;
            proptest::prop_assert!(marks.seen.hex || !has_hex);
            let letter = |b: u8| b.is_ascii_alphabetic();
            let leet: Vec<usize> = (0..bytes.len())
                .filter(|at| {
                    let after = is(at + 1, &letter);
                    bytes[*at].is_ascii_digit() && (after || *at > 0 && is(at - 1, &letter)) || b"@$!|+".contains(&bytes[*at]) && after
                })
                .collect();
            proptest::prop_assert_eq!(marks.seen.leet, !leet.is_empty());
            proptest::prop_assert_eq!(marks.leet(), leet);
            proptest::prop_assert_eq!(marks.seen.escapes, text.contains(['%', '&', '\\']));
            proptest::prop_assert!(marks.seen.code_points || !text.contains("U+"));
            let of_three: Vec<usize> = runs(&text, letter).into_iter().filter(|run| run.1 >= 3).map(|run| run.0).collect();
            proptest::prop_assert_eq!(marks.words(3).flat_map(|(at, starts)| bits(starts).map(move |bit| at + bit)).collect::<Vec<_>>(), of_three);
        }
    }
}
