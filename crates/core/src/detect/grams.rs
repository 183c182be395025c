//! Finds many patterns in one pass: every few bytes, a window of the text is looked up.
//!
//! For each pattern, as many consecutive windows are indexed as there are bytes from one lookup to the next. So one
//! lookup hits one of them, wherever the pattern occurs. A filter rejects nearly all windows of an ordinary text,
//! however many patterns there are.

/// An index of windows of patterns.
#[derive(Debug)]
pub(super) struct Grams {
    /// Bytes of a window.
    length: usize,
    mask: u64,
    /// Bytes from one lookup to the next.
    stride: usize,
    filter: Filter,
    buckets: Buckets,
}

/// A window of a pattern.
#[derive(Debug, Clone, Copy)]
struct Gram {
    window: u64,
    pattern: u32,
    offset: u32,
}

/// Longest window, in bytes: as many as a word holds.
const LONGEST: usize = 8;
/// Longest stride: beyond it, the filter grows faster than the lookups become fewer.
const MOST_STRIDE: usize = 4;
/// From this many patterns on, a short window would often match one of them by chance.
const MANY: usize = 20_000;
/// Bytes of a window that suffice with fewer patterns.
const SHORT: usize = 6;

/// A fixed hash is safe: whoever chooses the texts does not choose the patterns, and cannot make collisions.
const fn hash(window: u64) -> u64 {
    window.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Grams {
    /// Builds the index for numbered patterns; `None` without patterns.
    pub(super) fn new(patterns: &[(u32, &[u8])]) -> Option<Self> {
        let shortest = patterns.iter().map(|(_, p)| p.len()).min()?;
        let wanted = if patterns.len() < MANY { SHORT } else { LONGEST };
        let stride = (shortest + 1).saturating_sub(wanted).clamp(1, MOST_STRIDE);
        let length = (shortest + 1 - stride).min(LONGEST);
        let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        let windows = |pattern: &[u8]| (0..=pattern.len() - length).map(|at| load(&pattern[at..]) & mask).collect();
        let crowd = Crowd::new(patterns.iter().flat_map(|(_, p)| -> Vec<u64> { windows(p) }));
        let mut grams = Vec::with_capacity(patterns.len() * stride);
        for (number, pattern) in patterns {
            let windows: Vec<u64> = windows(pattern);
            let crowded = |row: &[u64]| row.iter().map(|window| crowd.at(*window)).sum::<u64>();
            // The windows that the fewest patterns share cause the fewest comparisons.
            let first = windows.windows(stride).enumerate().min_by_key(|(_, row)| crowded(row)).map_or(0, |(at, _)| at);
            let row = (first..).zip(&windows[first..first + stride]);
            grams.extend(row.map(|(at, window)| Gram { window: *window, pattern: *number, offset: at as u32 }));
        }
        let filter = Filter::new(&grams);
        Some(Self { length, mask, stride, filter, buckets: Buckets::new(grams) })
    }

    /// Visits possible matches in a text: the number of the pattern, and where it would begin.
    pub(super) fn each(&self, text: &[u8], visit: impl FnMut(u32, usize)) {
        match self.stride {
            1 => self.each_by::<1>(text, visit),
            2 => self.each_by::<2>(text, visit),
            3 => self.each_by::<3>(text, visit),
            _ => self.each_by::<MOST_STRIDE>(text, visit),
        }
    }

    /// Like [`Grams::each`], with a constant stride: the next lookup needs no bounds check.
    fn each_by<const STRIDE: usize>(&self, text: &[u8], mut visit: impl FnMut(u32, usize)) {
        let (mask, filter) = (self.mask, &self.filter);
        let mut rest = text;
        while let Some(eight) = rest.first_chunk() {
            let window = u64::from_le_bytes(*eight) & mask;
            if filter.may_have(window) {
                self.buckets.each(window, text.len() - rest.len(), &mut visit);
            }
            rest = &rest[STRIDE..];
        }
        while self.length <= rest.len() {
            self.buckets.each(load(rest) & mask, text.len() - rest.len(), &mut visit);
            rest = &rest[STRIDE..];
        }
    }
}

/// Returns the next eight bytes, with zeros beyond the end.
fn load(bytes: &[u8]) -> u64 {
    if let Some(eight) = bytes.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    (0..).zip(bytes).fold(0, |word, (at, byte)| word | u64::from(*byte) << (8 * at))
}

/// Counts, by hash, how many windows of all patterns are the same. Windows that patterns share, such as a domain or the
/// beginning of a key, are a bad choice: wherever one occurs, all these patterns would be compared.
struct Crowd(Vec<u16>, u32);

impl Crowd {
    fn new(windows: impl Iterator<Item = u64> + Clone) -> Self {
        let slots = windows.clone().count().next_power_of_two().max(2);
        let mut crowd = Self(vec![0; slots], 64 - slots.trailing_zeros());
        for window in windows {
            let slot = crowd.slot(window);
            crowd.0[slot] = crowd.0[slot].saturating_add(1);
        }
        crowd
    }

    const fn slot(&self, window: u64) -> usize {
        (hash(window) >> self.1) as usize
    }

    fn at(&self, window: u64) -> u64 {
        u64::from(self.0[self.slot(window)])
    }
}

/// A Bloom filter with two bits in one word for each window.
#[derive(Debug)]
struct Filter {
    words: Vec<u64>,
    shift: u32,
}

/// Bits of the filter for each window.
const BITS_EACH: usize = 16;

impl Filter {
    fn new(grams: &[Gram]) -> Self {
        let words = (grams.len() * BITS_EACH / 64).next_power_of_two().max(64);
        let mut filter = Self { words: vec![0; words], shift: 64 - words.trailing_zeros() };
        for gram in grams {
            let (at, [a, b]) = filter.bits(gram.window);
            filter.words[at] |= 1 << a | 1 << b;
        }
        filter
    }

    /// Returns the word of a window, and the positions of its bits.
    const fn bits(&self, window: u64) -> (usize, [u64; 2]) {
        let hash = hash(window);
        ((hash >> self.shift) as usize, [hash >> 34 & 63, hash >> 40 & 63])
    }

    #[inline]
    fn may_have(&self, window: u64) -> bool {
        let (at, [a, b]) = self.bits(window);
        self.words[at] >> a & self.words[at] >> b & 1 == 1
    }
}

/// The windows, ordered by the bucket of their hash.
#[derive(Debug)]
struct Buckets {
    grams: Vec<Gram>,
    /// The start of each bucket, and the end of the last one.
    starts: Vec<u32>,
    shift: u32,
}

impl Buckets {
    fn new(mut grams: Vec<Gram>) -> Self {
        let count = grams.len().next_power_of_two().max(2);
        let shift = 64 - count.trailing_zeros();
        grams.sort_unstable_by_key(|gram| (hash(gram.window) >> shift, gram.window, gram.pattern));
        let mut starts = vec![0u32; count + 1];
        for gram in &grams {
            starts[(hash(gram.window) >> shift) as usize + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        Self { grams, starts, shift }
    }

    /// Visits the patterns with the window at a position: their numbers, and where they would begin.
    fn each(&self, window: u64, at: usize, visit: &mut impl FnMut(u32, usize)) {
        let bucket = (hash(window) >> self.shift) as usize;
        let bucket = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        for gram in self.grams[bucket].iter().filter(|gram| gram.window == window) {
            if let Some(start) = at.checked_sub(gram.offset as usize) {
                visit(gram.pattern, start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the matches in a text, without false alarms.
    fn found(patterns: &[&str], text: &str) -> Vec<(u32, usize)> {
        let numbered: Vec<(u32, &[u8])> = (0..).zip(patterns.iter().map(|p| p.as_bytes())).collect();
        let mut found = Vec::new();
        Grams::new(&numbered).expect("patterns").each(text.as_bytes(), |number, start| {
            if text[start..].starts_with(patterns[number as usize]) {
                found.push((number, start));
            }
        });
        found.sort_unstable();
        found
    }

    #[test]
    fn patterns_are_found_once_wherever_they_stand() {
        for length in 1..20 {
            let patterns = ["abcdefghijklmnopqrstuvwxyz", &"0123456789987654321001234"[..length]];
            for before in 0..30 {
                let text = format!("{}{}{}", "-".repeat(before), patterns[1], patterns[0]);
                assert_eq!(found(&patterns, &text), [(0, before + length), (1, before)], "{length} {before}");
            }
        }
    }

    #[test]
    fn what_patterns_share_does_not_name_them() {
        let patterns: Vec<String> = (0..1000).map(|i| format!("user{i:04}examplecom")).collect();
        let numbered: Vec<(u32, &[u8])> = (0..).zip(patterns.iter().map(|p| p.as_bytes())).collect();
        let mut looked = 0;
        Grams::new(&numbered).expect("patterns").each("somebodyexamplecom".repeat(100).as_bytes(), |_, _| looked += 1);
        assert!(looked < 100, "{looked}");
    }
}
