//! Many patterns in one pass: every window of the text is looked up by its last few bytes.
//!
//! A filter of one bit for each possible hash lets nearly all windows of an ordinary text pass by
//! without a look at the patterns, however many they are.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The last bytes of patterns, with the patterns that end so.
#[derive(Debug)]
pub(super) struct Grams {
    mask: u64,
    shift: u32,
    filter: Vec<u64>,
    ends: HashMap<u64, Vec<u32>, BuildHasherDefault<Multiply>>,
}

/// A hash of one number. Nobody who chooses the texts chooses the patterns: collisions cannot be made.
#[derive(Debug, Default)]
pub(super) struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// Bits of the filter for each pattern.
const BITS_EACH: usize = 64;

impl Grams {
    /// For patterns by number; a window is as long as the shortest, at most eight bytes. `None` without patterns.
    pub(super) fn new(patterns: &[(u32, &[u8])]) -> Option<Self> {
        let length = patterns.iter().map(|(_, p)| p.len()).min()?.min(8);
        let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        let bits = (patterns.len() * BITS_EACH).next_power_of_two().max(1 << 12);
        let shift = 64 - bits.trailing_zeros();
        let mut it = Self { mask, shift, filter: vec![0; bits / 64], ends: HashMap::default() };
        for (number, pattern) in patterns {
            let window = pattern.iter().fold(0u64, |w, b| w << 8 | u64::from(*b)) & mask;
            let at = it.slot(window);
            it.filter[at >> 6] |= 1 << (at & 63);
            it.ends.entry(window).or_default().push(*number);
        }
        Some(it)
    }

    #[inline]
    const fn slot(&self, window: u64) -> usize {
        (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// Whether patterns may end with this window, of which the newest byte is the lowest.
    #[inline]
    pub(super) fn may_end(&self, window: u64) -> bool {
        let at = self.slot(window & self.mask);
        self.filter[at >> 6] >> (at & 63) & 1 == 1
    }

    /// The patterns that end with it.
    pub(super) fn ending(&self, window: u64) -> &[u32] {
        self.ends.get(&(window & self.mask)).map(Vec::as_slice).unwrap_or_default()
    }
}
