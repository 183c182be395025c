//! Finds where known words may begin in a text, at many positions at once.

use fearless_simd::{Simd, prelude::*};

/// Letters of a word that are compared.
pub(super) const HEAD: usize = 4;
/// The bytes in which words begin, and those after them that are compared.
pub(super) const BLOCK: usize = 64 + HEAD;

/// Returns the block at a position of a text. Near the end of the text, that is `last`, with zeros beyond the end.
pub(super) fn block_at<'a>(bytes: &'a [u8], at: usize, last: &'a mut [u8; BLOCK]) -> &'a [u8; BLOCK] {
    bytes[at..].first_chunk().unwrap_or_else(|| {
        *last = [0; BLOCK];
        last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
        last
    })
}

/// Known words in eight groups, which show in a few instructions where a word may begin. For each of the first four
/// letters, each group has a set of letters. A word may begin where one group has all four.
#[derive(Default)]
pub(super) struct Groups {
    /// For each position in a word, the groups that have a letter there, one bit per group. The first table has letters
    /// of number 0 to 15, the second those from 16 on.
    letters: [[Repeated; 2]; HEAD],
}

/// A table of 16 bytes, repeated for every 16 bytes of a vector.
struct Repeated([u8; 64]);

impl Default for Repeated {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Groups {
    /// Builds the groups: each word goes to the one that then lets the fewest other words pass.
    ///
    /// With `ends`, no letter may follow a word of fewer than four letters; otherwise, anything may.
    pub(super) fn new<'a>(words: impl Iterator<Item = &'a str>, ends: bool) -> Self {
        const ANY: u32 = u32::MAX;
        // Signs and spaces after a word, by the five bits that are compared: letters with the same bits pass, too.
        const END: u32 = 0b1111_1100_0000_0000_1111_0110_1000_0101;
        let letters = |word: &str| -> [u32; HEAD] {
            std::array::from_fn(|at| match word.as_bytes().get(at) {
                Some(byte) => 1 << (byte & 31),
                None if ends && at == word.len() => END,
                None => ANY,
            })
        };
        let with = |group: &[u32; HEAD], word: [u32; HEAD]| std::array::from_fn(|at| group[at] | word[at]);
        let passing = |group: &[u32; HEAD]| group.iter().map(|letters| letters.count_ones()).product::<u32>();
        let mut words: Vec<[u32; HEAD]> = words.map(letters).collect();
        words.sort_unstable_by_key(|word| (u32::MAX - word[HEAD - 1], *word));
        words.dedup();
        let mut groups = [[0u32; HEAD]; 8];
        for word in words {
            let best = groups.iter_mut().min_by_key(|group| passing(&with(group, word)) - passing(group));
            if let Some(group) = best {
                *group = with(group, word);
            }
        }
        let mut all = Self::default();
        for (at, tables) in all.letters.iter_mut().enumerate() {
            for (first, table) in (0..).step_by(16).zip(tables) {
                for (number, bits) in table.0.iter_mut().enumerate() {
                    let letter = first + number % 16;
                    *bits = (0..8).map(|group| ((groups[group][at] >> letter & 1) as u8) << group).sum();
                }
            }
        }
        all
    }

    /// Returns a bit for each position of a block where a word may begin.
    #[inline(always)]
    pub(super) fn may_begin<S: Simd>(&self, simd: S, block: &[u8; BLOCK]) -> u64 {
        let lane = S::u8s::LEN;
        let mut places = 0;
        for at in (0..64).step_by(lane) {
            let mut passing = S::u8s::splat(simd, u8::MAX);
            for (letter, [low, high]) in self.letters.iter().enumerate() {
                let bytes = S::u8s::from_slice(simd, &block[at + letter..][..lane]);
                let number = bytes & 15;
                let low = S::u8s::from_slice(simd, &low.0[..lane]).swizzle_dyn_within_blocks(number);
                let high = S::u8s::from_slice(simd, &high.0[..lane]).swizzle_dyn_within_blocks(number);
                passing &= (bytes & 16).simd_eq(16).select(high, low);
            }
            places |= (!passing.simd_eq(0)).to_bitmask() << at;
        }
        places
    }
}
