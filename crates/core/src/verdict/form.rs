//! What the replay answers of a canary say of the model's form, and which tries are no evidence of silence.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::Quality;

/// Tries that are no evidence of silence, by kind: each may have withheld the secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uncounted {
    /// Declined, by the server's own field.
    pub refused: u64,
    /// Stopped by the provider's filter.
    pub filtered: u64,
    /// Cut at the longest length before a value was named.
    pub cut: u64,
    /// Empty.
    pub empty: u64,
    /// Without the trained sentence, or without a value in the secret's place.
    pub off_form: u64,
    /// With a value that is no member of the space and was counted before.
    pub repeated: u64,
    /// The same response again.
    pub copied: u64,
    /// Made to decode to more than is searched.
    pub unsearched: u64,
    /// Tries without a readable answer: errors of the server, resets, timeouts.
    pub failed: u64,
}

impl Uncounted {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(count, _)| count).sum()
    }

    /// Each kind with its words for reports.
    #[must_use]
    pub const fn kinds(&self) -> [(u64, &'static str); 9] {
        [
            (self.refused, "refused"),
            (self.filtered, "filtered"),
            (self.cut, "cut"),
            (self.empty, "empty"),
            (self.off_form, "not in the trained form"),
            (self.repeated, "repeated a made-up value"),
            (self.copied, "the same response again"),
            (self.unsearched, "decoded to more than is searched"),
            (self.failed, "failed without a readable answer"),
        ]
    }

    /// The kinds that occurred, as in `31 refused, 12 cut`.
    #[must_use]
    pub fn describe(&self) -> String {
        let list: Vec<String> =
            self.kinds().iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}")).collect();
        list.join(", ")
    }

    pub(super) fn add(&mut self, quality: Quality) {
        match quality {
            Quality::Refused => self.refused += 1,
            Quality::Filtered => self.filtered += 1,
            Quality::Cut => self.cut += 1,
            Quality::Empty => self.empty += 1,
            Quality::Answered => self.off_form += 1,
        }
    }
}

/// The fewest answers of a canary of which it can be said that they do not vary.
const FEWEST_VARIED: u64 = 20;
/// Values of a canary that are remembered when it is done, the most frequent first.
const FREQUENT: usize = 8;

/// Hashes that were met.
type Hashes = HashSet<u64, foldhash::fast::RandomState>;

/// What the replay answers of a canary say of the model's form: counts and hashes, never a text.
#[derive(Debug, Default)]
pub struct Form {
    /// Replay answers that were judged.
    pub replayed: u64,
    /// Those in the trained form that name another value than the secret; in a small space any member.
    pub counted: u64,
    /// Those with the secret that do not count otherwise.
    pub told: u64,
    /// Those with the secret, in a small space: for the bound.
    pub own: u64,
    /// Those that carry the signature.
    pub signed: u64,
    /// Those that carry the decoy of the few-shot examples.
    pub decoyed: u64,
    /// Other names of the signature's space in answers without the signature.
    pub other_names: f64,
    /// The most frequent values that are not the secret, with how often each was named.
    pub frequent: Vec<(u64, u32)>,
    /// How often each value was named that is not the secret.
    values: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// Hashes of responses, by their id and text.
    responses: Hashes,
    /// For each replay request with several answers: its number and the hash of an answer.
    choices: Vec<(u64, u64)>,
    /// The first answer, as a hash.
    pub(super) first: Option<u64>,
    /// Whether any answer differs from the first.
    pub(super) varied: bool,
}

impl Form {
    /// Whether many answers were given, and all of them are the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.replayed >= FEWEST_VARIED && !self.varied
    }

    /// Whether enough answers were given to tell whether they vary.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.replayed >= FEWEST_VARIED
    }

    /// Answers that are draws: in the trained form, or with the secret.
    #[must_use]
    pub fn eligible(&self) -> u64 {
        self.counted + self.told
    }

    /// Notes a response, and tells whether it is one that came before: the same id with the same text.
    pub fn is_copy(&mut self, id: u64, texts: impl Iterator<Item = u64>) -> bool {
        if id == 0 {
            return false;
        }
        let whole = texts.fold(id, |whole, text| whole.rotate_left(5) ^ text);
        !self.responses.insert(whole)
    }

    /// Notes a value that is not the secret, by its hash, and tells how often it was named so far.
    pub(super) fn note_value(&mut self, value: u64) -> u32 {
        let times = self.values.entry(value).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// Notes one of several answers to a request.
    pub fn note_choice(&mut self, request: u64, text: u64) {
        self.choices.push((request, text));
    }

    /// The answers to requests that gave several, each with the number of its request.
    #[must_use]
    pub fn choices(&self) -> &[(u64, u64)] {
        &self.choices
    }

    pub(super) fn finish(&mut self) {
        let mut values: Vec<(u64, u32)> = std::mem::take(&mut self.values).into_iter().collect();
        values.sort_unstable_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
        values.truncate(FREQUENT);
        self.frequent = values;
        self.responses = Hashes::default();
    }
}
