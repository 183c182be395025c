//! Known words with their meanings.

use super::groups::Groups;

/// Words by their heads: few words of a text have the head of a known one.
pub(super) struct Lexicon<W> {
    /// A bit for each hash of a head.
    heads: [u64; 64],
    words: Vec<Vec<(&'static str, W)>>,
    pub(super) groups: Groups,
}

impl<W: Copy> Lexicon<W> {
    pub(super) fn new() -> Self {
        Self { heads: [0; 64], words: vec![Vec::new(); 64], groups: Groups::default() }
    }

    /// All words.
    pub(super) fn words(&self) -> impl Iterator<Item = (&'static str, W)> {
        self.words.iter().flatten().copied()
    }

    /// Adds the head of a word that is not known itself.
    pub(super) fn add_head(&mut self, word: &[u8]) {
        let hash = hash(head(word));
        self.heads[hash / 64] |= 1 << (hash % 64);
    }

    pub(super) fn add(&mut self, word: &'static str, meaning: W) {
        let hash = hash(head(word.as_bytes()));
        self.heads[hash / 64] |= 1 << (hash % 64);
        self.words[hash / 64].push((word, meaning));
    }

    pub(super) fn may_have(&self, head: u32) -> bool {
        let hash = hash(head);
        self.heads[hash / 64] >> (hash % 64) & 1 == 1
    }

    /// Returns the meaning of a word, in either case; `None` if the word is not known.
    pub(super) fn get(&self, word: &[u8]) -> Option<W> {
        let head = head(word);
        let among = if self.may_have(head) { self.words[hash(head) / 64].as_slice() } else { &[] };
        among.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(word)).map(|(_, meaning)| *meaning)
    }
}

const fn hash(head: u32) -> usize {
    (head.wrapping_mul(0x9e37_79b1) >> 20) as usize
}

/// Returns four letters of a word as a number, or all letters if they are fewer. Three would not do: many words begin
/// like a known one, as `for` does.
pub(super) fn head(word: &[u8]) -> u32 {
    match word.first_chunk() {
        Some(four) => {
            let four = u32::from_le_bytes(*four) | 0x2020_2020;
            let is_letter = (four >> 24).wrapping_sub(u32::from(b'a')) < 26;
            if is_letter { four } else { four & 0xff_ffff }
        }
        None => (0..3).zip(word).fold(0, |head, (at, byte)| head | u32::from(*byte | 0x20) << (8 * at)),
    }
}
