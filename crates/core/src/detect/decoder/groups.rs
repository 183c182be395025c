//! Where known words may begin in a text, found in many places at once.

use fearless_simd::{Simd, prelude::*};

/// Letters of a word that are looked at.
pub(super) const HEAD: usize = 4;
/// The bytes in which words begin, and those after them that have to be looked at.
pub(super) const BLOCK: usize = 64 + HEAD;

/// The block that begins at a place of a text; near its end with zeros beyond it, in `last`.
pub(super) fn block_at<'a>(bytes: &'a [u8], at: usize, last: &'a mut [u8; BLOCK]) -> &'a [u8; BLOCK] {
    bytes[at..].first_chunk().unwrap_or_else(|| {
        *last = [0; BLOCK];
        last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
        last
    })
}

/// Words in eight groups, which tell in a few instructions where one may begin in a stretch of text. A bit for each
/// group that has a letter at a place of a word; a word begins where one group has all four.
#[derive(Default)]
pub(super) struct Groups {
    /// For each place, by the number of the letter; for letters of 0 to 15 and from 16 on. Each four times, for each
    /// sixteenth of a vector.
    letters: [[Repeated; 2]; HEAD],
}

/// A table of sixteen in every quarter of a vector.
struct Repeated([u8; 64]);

impl Default for Repeated {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Groups {
    /// Each word goes to the group that then lets the fewest other words pass.
    ///
    /// Behind a word stands no letter where `ends` says so, else anything.
    pub(super) fn new<'a>(words: impl Iterator<Item = &'a str>, ends: bool) -> Self {
        const ANY: u32 = u32::MAX;
        // Signs and spaces, by the five bits that are looked at: letters with the same ones pass, too.
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

    /// Where a word of the groups may begin.
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
