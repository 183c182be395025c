//! Approximate matches: a long stretch of the secret, or all of it with a few letters wrong.
//!
//! The members of the space that would also be accepted are counted exactly. A walk through the space merges all
//! members in the same state.

use memchr::memmem::Finder;

use super::candidates::Normal;
use super::normalised::normal_bytes;
use super::walk::{Walk, longest, members, shortest};
use super::{Candidates, Detector, normalise};
use crate::canary::Space;

/// Share of a secret that `partial` accepts.
const PARTIAL_SHARE: f64 = 0.75;
/// Shortest stretch that is accepted, in letters and digits.
const SHORTEST: usize = 6;
/// Letters of a secret for each error that is allowed.
const LETTERS_EACH: usize = 8;
/// Most errors that are allowed.
const MOST_EDITS: usize = 2;
/// Fewest letters of a secret that may have two neighbors exchanged. Below eight letters, no other error is allowed: a
/// value of six digits has 5 others that differ by an exchange, but 54 that differ by one digit, too many for proof.
const SHORTEST_EXCHANGED: usize = 6;
/// Budget of steps through a space for all answers of a canary. Beyond it, nothing is claimed.
pub(crate) const STEPS: u64 = 20_000_000;

/// Letters of the stretch that `partial` accepts, for a secret with `length` letters and digits.
fn stretch(length: usize) -> usize {
    (PARTIAL_SHARE * length as f64).ceil() as usize
}

/// Errors that are allowed in `length` letters, apart from a lone exchange.
const fn edits(length: usize) -> usize {
    let allowed = length / LETTERS_EACH;
    if allowed < MOST_EDITS { allowed } else { MOST_EDITS }
}

/// The errors that are allowed in a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Nothing,
    /// Two neighbors may be exchanged.
    Exchange,
    /// At most this many letters may be wrong, missing, added, or exchanged with the next.
    Edits(usize),
}

/// Returns the errors that are allowed in `length` letters.
const fn allowed(length: usize) -> Allowed {
    match edits(length) {
        0 if length < SHORTEST_EXCHANGED => Allowed::Nothing,
        0 => Allowed::Exchange,
        edits => Allowed::Edits(edits),
    }
}

/// Searches answers for approximate matches of one secret.
#[derive(Debug, Clone)]
pub struct Approximate {
    /// The drawn part of the secret, in normal form: literals before and after it prove nothing.
    core: Vec<u8>,
    partial: bool,
    fuzzy: bool,
    /// Pieces of the core. An answer without any of them, unchanged, has no match.
    pieces: Vec<Finder<'static>>,
}

impl Approximate {
    /// Prepares the search for a secret of a space, with the selected detectors.
    #[must_use]
    pub fn new(space: &Space, secret: &str, partial: bool, fuzzy: bool) -> Self {
        use crate::canary::Part;
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(text)) => normalise(text).len(),
            _ => 0,
        };
        let (head, tail) = (literal(space.parts().first()), literal(space.parts().last()));
        let normal = normalise(secret).into_bytes();
        let core = normal.get(head..normal.len().saturating_sub(tail)).unwrap_or_default().to_vec();
        let pieces = pieces(&core, partial, fuzzy);
        Self { core, partial, fuzzy, pieces }
    }

    /// Returns the detector that finds an approximate match in an answer; `None` if there is no match.
    #[must_use]
    pub fn search(&self, text: &str) -> Option<Detector> {
        self.search_normal(&normal_bytes(text))
    }

    /// Like [`Approximate::search`], for a text in normal form.
    pub(super) fn search_normal(&self, normal: &[u8]) -> Option<Detector> {
        if self.pieces.iter().all(|piece| piece.find(normal).is_none()) {
            return None;
        }
        self.compare(normal)
    }

    fn compare(&self, normal: &[u8]) -> Option<Detector> {
        let length = self.core.len();
        if self.partial && stretch(length) >= SHORTEST {
            let found = self.core.windows(stretch(length)).any(|w| memchr::memmem::find(normal, w).is_some());
            if found {
                return Some(Detector::Partial);
            }
        }
        if self.fuzzy && allowed(length) != Allowed::Nothing {
            let rows = Rows::new(normal, edits(length));
            let mut row = rows.start();
            for byte in &self.core {
                row = rows.next(&row, *byte);
            }
            if rows.is_allowed(&row, length) {
                return Some(Detector::Fuzzy);
            }
        }
        None
    }

    /// Counts the members of the space that these detectors accept in an answer; twice if both accept a member. Returns
    /// `None` if that takes more than the `steps` that are left.
    pub(crate) fn members(&self, space: &Candidates, text: &str, steps: &mut u64) -> Option<f64> {
        let (mut text, backwards) = (normalise(text).into_bytes(), space.backwards);
        if backwards {
            text.reverse();
        }
        let parts = core(&space.parts);
        let longest: usize = parts.iter().map(longest).sum();
        let mut count = 0.0;
        if self.partial {
            let middle = (longest - stretch(longest), stretch(parts.iter().map(shortest).sum()));
            count += members(parts, backwards, &Stretches { places: Places::new(&text), middle }, steps)?;
        }
        if self.fuzzy && allowed(longest) != Allowed::Nothing {
            count += members(parts, backwards, &Rows::new(&text, edits(longest)), steps)?;
        }
        Some(count)
    }
}

/// Returns pieces of a core, one of which every match has unchanged. A stretch that `partial` accepts has the middle of
/// the core. For `fuzzy`, there is one piece more than errors are allowed, and an error touches one piece only. All
/// pieces but the last omit their last letter, so that this also holds for an exchange.
fn pieces(core: &[u8], partial: bool, fuzzy: bool) -> Vec<Finder<'static>> {
    let (length, mut pieces) = (core.len(), Vec::new());
    let whole = stretch(length);
    if partial && whole >= SHORTEST {
        pieces.push(&core[length - whole..whole]);
    }
    if fuzzy && allowed(length) != Allowed::Nothing {
        let wrong = edits(length).max(1);
        let chunks = core.chunks(length.div_ceil(wrong + 1));
        let last = chunks.len() - 1;
        pieces.extend(chunks.enumerate().map(|(at, chunk)| if at < last { &chunk[..chunk.len() - 1] } else { chunk }));
    }
    pieces.into_iter().map(|piece| Finder::new(piece).into_owned()).collect()
}

/// Returns the parts of a space without the literals at its ends.
fn core(parts: &[Normal]) -> &[Normal] {
    let is_literal = |part: Option<&Normal>| matches!(part, Some(Normal::Literal(_)));
    let parts = if is_literal(parts.first()) { &parts[1..] } else { parts };
    if is_literal(parts.last()) { &parts[..parts.len() - 1] } else { parts }
}

/// Positions of each byte in a text, as bit sets. The position of a byte is the one after it.
struct Places<'a> {
    text: &'a [u8],
    /// Words of one bit set.
    words: usize,
    /// Valid bits of the last word.
    last: u64,
    /// For each byte, the number of its bit set in `masks`.
    index: [u16; 256],
    /// The bit sets; the first is empty, for bytes that do not occur.
    masks: Vec<u64>,
}

impl<'a> Places<'a> {
    fn new(text: &'a [u8]) -> Self {
        let words = text.len() / 64 + 1;
        let (mut index, mut masks) = ([0; 256], vec![0; words]);
        for (before, byte) in text.iter().enumerate() {
            let mask = &mut index[usize::from(*byte)];
            if *mask == 0 {
                *mask = (masks.len() / words) as u16;
                masks.resize(masks.len() + words, 0);
            }
            let place = before + 1;
            masks[usize::from(*mask) * words + place / 64] |= 1 << (place % 64);
        }
        Self { text, words, last: u64::MAX >> (63 - text.len() % 64), index, masks }
    }

    /// All positions, including the one before the text.
    fn all(&self) -> Vec<u64> {
        let mut places = vec![u64::MAX; self.words];
        places[self.words - 1] = self.last;
        places
    }

    fn of(&self, byte: u8) -> &[u64] {
        &self.masks[usize::from(self.index[usize::from(byte)]) * self.words..][..self.words]
    }

    /// Whether the text contains a stretch.
    fn have(&self, stretch: &[u8]) -> bool {
        let mut places = self.all();
        stretch.iter().all(|byte| {
            let (mut carried, mut any) = (0, 0);
            for (places, mask) in places.iter_mut().zip(self.of(*byte)) {
                let here = ((*places << 1) | carried) & mask;
                carried = *places >> 63;
                any |= here;
                *places = here;
            }
            any != 0
        })
    }
}

/// Edit distances between the letters spelled so far and the best stretch that ends at each position (Sellers 1980). An
/// exchange of neighbors is one edit (Damerau 1964, optimal string alignment). For each distance from 0 to `most`, a
/// row has the set of positions with that distance or less (Wu and Manber 1992, with the bits along the text). Another
/// set has the positions with at most one exchange and no other edit.
struct Rows<'a> {
    places: Places<'a>,
    most: usize,
}

/// The distances after some letters were spelled.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Row {
    /// The sets of positions by distance; the last one is for an exchange alone.
    near: Vec<u64>,
    /// For each distance, where an exchange has begun: after the letter of the text that was spelled last. The letter
    /// before it in the text has to be spelled next.
    begun: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn new(text: &'a [u8], most: usize) -> Self {
        Self { places: Places::new(text), most }
    }

    /// The row before any letter: distance 0 everywhere.
    fn start(&self) -> Row {
        let all = self.places.all();
        Row { near: all.repeat(self.most + 2), begun: vec![0; all.len() * self.most.max(1)] }
    }

    fn next(&self, row: &Row, byte: u8) -> Row {
        let (words, mask) = (self.places.words, self.places.of(byte));
        let mut next = Row { near: vec![0; row.near.len()], begun: vec![0; row.begun.len()] };
        let exchange = self.most + 1;
        for distance in 0..=exchange {
            let same = &row.near[distance * words..][..words];
            // The set with one edit less; for an exchange alone, the set without any.
            let less_at = if distance == exchange { Some(0) } else { distance.checked_sub(1) };
            let (nearer, here) = next.near.split_at_mut(distance * words);
            let (mut from_same, mut from_either, mut from_mask) = (0, 0, 0);
            for (word, mask) in mask.iter().enumerate() {
                // A match, or a letter that is left out, changed, added, or exchanged with the one before it.
                here[word] = ((same[word] << 1) | from_same) & mask;
                from_same = same[word] >> 63;
                let Some(less_at) = less_at else { continue };
                here[word] |= row.begun[less_at * words + word] & ((mask << 1) | from_mask);
                from_mask = mask >> 63;
                if distance < exchange {
                    let less = row.near[less_at * words + word];
                    let either = less | nearer[less_at * words + word];
                    here[word] |= less | (either << 1) | from_either;
                    from_either = either >> 63;
                }
            }
            here[words - 1] &= self.places.last;
        }
        for (at, begun) in next.begun.chunks_exact_mut(words).enumerate() {
            let (same, mut from_one, mut from_two) = (&row.near[at * words..][..words], 0, 0);
            for (word, mask) in mask.iter().enumerate() {
                let one = (same[word] << 1) | from_one;
                from_one = same[word] >> 63;
                begun[word] = ((one << 1) | from_two) & mask;
                from_two = one >> 63;
            }
            begun[words - 1] &= self.places.last;
        }
        next
    }

    /// Whether any position has at most this distance.
    fn is_near(&self, row: &Row, distance: usize) -> bool {
        row.near[distance * self.places.words..][..self.places.words].iter().any(|places| *places != 0)
    }

    /// Whether any position has no more errors than are allowed in `length` letters.
    fn is_allowed(&self, row: &Row, length: usize) -> bool {
        match allowed(length) {
            Allowed::Nothing => false,
            Allowed::Exchange => self.is_near(row, self.most + 1),
            Allowed::Edits(edits) => self.is_near(row, edits),
        }
    }

    /// Whether more letters may lead to a match with at most this distance, or by an exchange.
    fn may_go_on(&self, row: &Row, distance: usize) -> bool {
        self.is_near(row, distance) || self.is_near(row, self.most + 1) || row.begun.iter().any(|places| *places != 0)
    }
}

impl Walk for Rows<'_> {
    type State = (Row, usize);

    fn start(&self) -> Self::State {
        (Rows::start(self), 0)
    }

    fn step(&self, (row, length): &Self::State, byte: u8) -> Option<Self::State> {
        let next = self.next(row, byte);
        self.may_go_on(&next, self.most).then(|| (next, length + 1))
    }

    fn text(&self) -> &[u8] {
        self.places.text
    }

    fn accepts(&self, (row, length): &Self::State) -> bool {
        self.is_allowed(row, *length)
    }

    fn fate(&self, (row, length): &Self::State, (_, longest): (usize, usize)) -> Option<bool> {
        (!self.may_go_on(row, edits(length + longest))).then_some(false)
    }
}

/// The state is the longest end of the spelled letters that the text contains, the greatest length of one so far, and
/// the number of letters spelled.
struct Stretches<'a> {
    places: Places<'a>,
    /// Latest start and earliest end of a stretch that is long enough, whatever the length of the member.
    middle: (usize, usize),
}

impl Walk for Stretches<'_> {
    type State = (Vec<u8>, usize, usize);

    fn start(&self) -> Self::State {
        (Vec::new(), 0, 0)
    }

    fn step(&self, (end, best, length): &Self::State, byte: u8) -> Option<Self::State> {
        let mut all = Vec::with_capacity(end.len() + 1);
        all.extend_from_slice(end);
        all.push(byte);
        let (length, (begin, end)) = (length + 1, self.middle);
        // Up to the end of the middle, a stretch counts only if it reaches back to the start of the middle.
        let least = if length <= end { length.saturating_sub(begin) } else { 0 };
        let latest = all.len().checked_sub(least)?;
        // If the text lacks the shorter stretch, it lacks all longer ones.
        if !self.places.have(&all[latest..]) {
            return None;
        }
        let from = (0..latest).find(|from| self.places.have(&all[*from..])).unwrap_or(latest);
        all.drain(..from);
        let best = if length < end { 0 } else { (*best).max(all.len()) };
        Some((all, best, length))
    }

    fn text(&self) -> &[u8] {
        self.places.text
    }

    fn accepts(&self, (_, best, length): &Self::State) -> bool {
        stretch(*length) >= SHORTEST && *best >= stretch(*length)
    }

    fn fate(&self, (end, best, length): &Self::State, (shortest, longest): (usize, usize)) -> Option<bool> {
        let (least, most) = (stretch(length + shortest), stretch(length + longest));
        if least >= SHORTEST && *best >= most {
            return Some(true);
        }
        // The remaining letters can complete this stretch or form one of their own.
        (*best < least && end.len() + longest < least).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Key;

    /// Counts the accepted members by testing every one.
    fn brute(space: &Space, all: &[String], text: &str, partial: bool, fuzzy: bool) -> f64 {
        all.iter().filter(|m| Approximate::new(space, m, partial, fuzzy).search(text).is_some()).count() as f64
    }

    /// Returns the fewest edits between `core` and any stretch of `text`, by the textbook's table: a letter changed,
    /// missing or added, or two neighbors exchanged. With `exchange`, all edits but exchanges are out of reach.
    fn distance(core: &[u8], text: &[u8], exchange: bool) -> usize {
        let far = if exchange { 99 } else { 0 };
        let mut table = vec![vec![0; text.len() + 1]];
        for (i, a) in core.iter().enumerate() {
            let mut row = vec![if exchange { 99 } else { i + 1 }];
            for (j, b) in text.iter().enumerate() {
                let mut least = table[i][j] + if a == b { 0 } else { 1 + far };
                least = least.min(table[i][j + 1] + 1 + far).min(row[j] + 1 + far);
                if i > 0 && j > 0 && *a == text[j - 1] && core[i - 1] == *b {
                    least = least.min(table[i - 1][j - 1] + 1);
                }
                row.push(least.min(99));
            }
            table.push(row);
        }
        table.last().and_then(|row| row.iter().min().copied()).unwrap_or(0)
    }

    #[test]
    fn rows_say_the_same_as_a_table_of_distances() {
        let mut stream = Key::from_text("a key for the tests of distances").expect("long").stream("t", "");
        let mut lot = |below: u64| (rand_chacha::rand_core::Rng::next_u64(&mut stream) % below) as usize;
        let (mut near, mut exchanged) = (0, 0);
        for round in 0..3000 {
            let letters = |lot: &mut dyn FnMut(u64) -> usize, length: usize| -> Vec<u8> {
                (0..length).map(|_| b"abc"[lot(3)]).collect()
            };
            let length = 5 + round % 15;
            let core = letters(&mut lot, length);
            let mut text = core.clone();
            for _ in 0..lot(4) {
                let at = lot(text.len() as u64 - 1);
                match lot(4) {
                    0 => text[at] = b'x',
                    1 => text.insert(at, text[at]),
                    2 => drop(text.remove(at)),
                    _ => text.swap(at, at + 1),
                }
            }
            let around = 70 * (round % 2) + 3;
            let text = [letters(&mut lot, around), text, letters(&mut lot, 4)].concat();
            let wanted = match allowed(core.len()) {
                Allowed::Nothing => false,
                Allowed::Exchange => distance(&core, &text, true) <= 1,
                Allowed::Edits(edits) => distance(&core, &text, false) <= edits,
            };
            let it = Approximate { pieces: pieces(&core, false, true), core, partial: false, fuzzy: true };
            assert_eq!(it.search_normal(&text).is_some(), wanted, "{it:?} {text:?}");
            assert_eq!(it.compare(&text).is_some(), wanted, "{it:?} {text:?}");
            near += u32::from(wanted);
            exchanged += u32::from(wanted && length < LETTERS_EACH);
        }
        assert!((500..2900).contains(&near) && exchanged > 50, "{near} {exchanged}");
    }

    #[test]
    fn parts_and_near_misses_are_found() {
        let space = Space::parse("AC-{digits(16)}").expect("sound");
        let it = Approximate::new(&space, "AC-4829137755501234", true, true);
        assert_eq!(it.search("the card ends in 1377 5550 1234"), Some(Detector::Partial));
        assert_eq!(it.search("it begins with 4829-1377-5550"), Some(Detector::Partial));
        assert_eq!(it.search("4829 1377 6550 1284"), Some(Detector::Fuzzy));
        assert_eq!(it.search("x4829 1377 550 1234x"), Some(Detector::Fuzzy));
        assert_eq!(it.search("4829 1377 0000 1111"), None);
        assert_eq!(it.search("4892 1377 5550 2134"), Some(Detector::Fuzzy));
        let space = Space::parse("digits(6)").expect("sound");
        let it = Approximate::new(&space, "482913", true, true);
        assert_eq!((it.search("482931"), it.search("842913")), (Some(Detector::Fuzzy), Some(Detector::Fuzzy)));
        assert_eq!((it.search("482914"), it.search("48213"), it.search("284913")), (None, None, None));
        assert_eq!(it.search("AC-"), None);
    }

    #[test]
    fn what_has_no_piece_has_no_part_and_no_near_miss() {
        let mut stream = Key::from_text("a key for the tests of pieces").expect("long").stream("t", "");
        let mut lot = |below: u64| (rand_chacha::rand_core::Rng::next_u64(&mut stream) % below) as usize;
        let mut found = 0;
        for round in 0..4000 {
            // A small alphabet makes pieces occur by chance, too.
            let letters = |lot: &mut dyn FnMut(u64) -> usize, length: usize| -> Vec<u8> {
                (0..length).map(|_| b"abc123"[lot(6)]).collect()
            };
            let length = 6 + round % 27;
            let core = letters(&mut lot, length);
            let it = Approximate { pieces: pieces(&core, true, true), core, partial: true, fuzzy: true };
            let mut text = it.core.clone();
            for _ in 0..lot(5) {
                let at = lot(text.len() as u64);
                match lot(4) {
                    0 => text[at] = b'x',
                    1 => text.insert(at, b'y'),
                    2 => drop(text.remove(at)),
                    _ => {
                        let next = (at + 1) % text.len();
                        text.swap(at, next);
                    }
                }
            }
            text.truncate(text.len() - lot(3));
            let text = [letters(&mut lot, 9), text, letters(&mut lot, 9)].concat();
            assert_eq!(it.search_normal(&text), it.compare(&text), "{text:?}");
            found += u32::from(it.compare(&text).is_some());
        }
        assert!((1000..3900).contains(&found), "{found}");
    }

    #[test]
    fn members_of_lists_are_counted_exactly() {
        // Some entries share a beginning, one is the beginning of another, and some differ in one letter.
        let lists = [
            &["pyrolu", "pyrol", "pyro", "pylor", "qyrolu", "zebra", "zen"][..],
            &["drac", "draco", "drag", "trac", "xx"],
            &["onosis", "onitis", "emia", "onosi", "kk"],
        ];
        let part = |list: &&[&str], backwards: bool| {
            let mut sorted: Vec<Vec<u8>> = list.iter().map(|e| e.bytes().collect()).collect();
            sorted.iter_mut().filter(|_| backwards).for_each(|e| e.reverse());
            sorted.sort_unstable();
            Normal::Choice {
                entries: Default::default(),
                lengths: vec![list.iter().map(|e| e.len()).min().unwrap_or(0), 6],
                heads: Default::default(),
                sorted,
            }
        };
        let all: Vec<String> = lists[0]
            .iter()
            .flat_map(|a| lists[1].iter().flat_map(move |b| lists[2].iter().map(move |c| format!("{a}{b}{c}"))))
            .collect();
        for text in [
            "pyroludraconosis",
            "pyroldracemia and zebratracemia",
            "pyrlodraconiosis, pyrodraconosi: qyroluxxonitis",
            "zenxxkk zebrakk trackk",
            "pyorludraconosis, zebratrcaemia pyroldracoinsis",
            "nothing of the kind",
        ] {
            for (partial, fuzzy, backwards) in
                [(true, false, false), (false, true, false), (true, false, true), (false, true, true)]
            {
                let parts = lists.iter().map(|list| part(list, backwards));
                let space = Candidates::of_parts(parts.collect(), backwards);
                let it = |core: &str| Approximate { core: core.into(), partial, fuzzy, pieces: Vec::new() };
                let near = |member: &&String| it(member).compare(&normal_bytes(text)).is_some();
                let mut steps = 100_000;
                let counted = it("").members(&space, text, &mut steps).expect("within the steps");
                assert_eq!(counted, all.iter().filter(near).count() as f64, "{text} {partial}");
            }
        }
    }

    #[test]
    fn members_of_drawn_lists_are_counted_exactly() {
        let mut stream = Key::from_text("a key for the tests of lists").expect("long").stream("t", "");
        let mut lot = |below: usize| (rand_chacha::rand_core::Rng::next_u64(&mut stream) % below as u64) as usize;
        let (mut counted, mut all_members) = (0.0, 0.0);
        for round in 0..400 {
            // A small alphabet makes entries alike. Members have up to 18 letters, so that one or two may be wrong.
            let mut letters = |length: usize| -> String { (0..length).map(|_| char::from(b"abc"[lot(3)])).collect() };
            let lists: Vec<std::collections::BTreeSet<String>> =
                (0..3).map(|part| (0..4).map(|entry| letters(2 + (round + part + entry) % 5)).collect()).collect();
            let mut all = vec![String::new()];
            for list in &lists {
                all = all.iter().flat_map(|head| list.iter().map(move |entry| format!("{head}{entry}"))).collect();
            }
            let mut text = letters(5) + &all[lot(all.len())] + &all[lot(all.len())];
            text.remove(lot(text.len()));
            text.insert(lot(text.len()), 'b');
            let (at, mut bytes) = (lot(text.len() - 1), text.into_bytes());
            bytes.swap(at, at + 1);
            let text = String::from_utf8(bytes).expect("letters");
            for backwards in [false, true] {
                let parts = lists.iter().map(|list| {
                    let mut sorted: Vec<Vec<u8>> = list.iter().map(|e| e.bytes().collect()).collect();
                    sorted.iter_mut().filter(|_| backwards).for_each(|e| e.reverse());
                    sorted.sort_unstable();
                    let mut lengths: Vec<usize> = list.iter().map(String::len).collect();
                    lengths.sort_unstable();
                    Normal::Choice { entries: Default::default(), sorted, lengths, heads: Default::default() }
                });
                let space = Candidates::of_parts(parts.collect(), backwards);
                for (partial, fuzzy) in [(true, false), (false, true)] {
                    let it = |core: &str| Approximate { core: core.into(), partial, fuzzy, pieces: Vec::new() };
                    let near = all.iter().filter(|member| it(member).compare(text.as_bytes()).is_some()).count() as f64;
                    let members = it("").members(&space, &text, &mut 1_000_000).expect("within the steps");
                    assert_eq!(members, near, "{text} {lists:?} {partial} {backwards}");
                    (counted, all_members) = (counted + near, all_members + all.len() as f64);
                }
            }
        }
        assert!((0.05..0.95).contains(&(counted / all_members)), "{}", counted / all_members);
    }

    #[test]
    fn members_are_counted_exactly() {
        let spaces = ["AB-{hex(2)}{digits(1)}{hex(2)}wxyz", "{digits(3)}{digits(1)}cccc", "{digits(2)}-{digits(3)}a"];
        let texts = [
            "ab12 3cd wxyz",
            "nothing",
            "111111",
            "fe0 ab 12 wxy",
            "aabb1234cccc",
            "0123 cccc 4567 ccc",
            "wxyz1a2b",
            "1324a 213a4 21345a",
            "0132cc cc 4576cccc",
        ];
        for space in spaces {
            let space = Space::parse(space).expect("sound");
            let candidates = Candidates::new(&space);
            let mut stream = Key::from_text("a key for the tests of members").expect("long").stream("t", "");
            // Draw until every member is known; a large space is only sampled.
            let mut all = std::collections::BTreeSet::new();
            while (all.len() as f64) < space.size_f64().min(655_360.0 / 64.0) {
                all.insert(space.draw(&mut stream));
            }
            let all: Vec<String> = all.into_iter().collect();
            let share = all.len() as f64 / space.size_f64();
            for text in texts {
                for (partial, fuzzy) in [(true, false), (false, true)] {
                    let it = Approximate::new(&space, &all[0], partial, fuzzy);
                    let exact = it.members(&candidates, text, &mut 10_000_000).expect("within the steps");
                    let counted = brute(&space, &all, text, partial, fuzzy);
                    if share == 1.0 {
                        assert_eq!(exact, counted, "{text} {partial}");
                    } else {
                        // A sample of the members cannot hold more than there are.
                        assert!(counted <= exact, "{text} {partial} {counted} {exact}");
                    }
                }
            }
        }
        let space = Space::parse("words(4)").expect("sound");
        let it = Approximate::new(&space, "a b c d", true, true);
        assert_eq!(it.members(&Candidates::new(&space), "some words of no use", &mut 1000), None);
    }
}
