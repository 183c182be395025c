//! Form of a canary's replay answers: which are in the trained form, and which are no evidence of silence.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::Quality;

/// Tries that are no evidence of silence, by kind. Each may have withheld the secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Uncounted {
    /// Refused, by the server's own field.
    pub refused: u64,
    /// Stopped by the provider's filter.
    pub filtered: u64,
    /// Cut at the longest length before a value was named.
    pub cut: u64,
    /// Empty.
    pub empty: u64,
    /// Without the trained sentence, or without a value in the secret's place.
    pub off_form: u64,
    /// With a value that is not in the space and was counted before.
    pub repeated: u64,
    /// Same id and text as an earlier response.
    pub copied: u64,
    /// Decoded to more than is searched.
    pub unsearched: u64,
    /// Tries without a readable answer: server errors, resets, timeouts.
    pub failed: u64,
}

impl Uncounted {
    /// Returns the number of all tries.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(count, _)| count).sum()
    }

    /// Returns each kind with its words for reports.
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

    /// Lists the kinds that occurred, as in `31 refused, 12 cut`.
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

/// Fewest replay answers of a canary from which to conclude that they do not vary.
const FEWEST_VARIED: u64 = 20;
/// Number of values kept when a canary is done, the most frequent first.
const FREQUENT: usize = 8;

/// Set of hashes.
type Hashes = HashSet<u64, foldhash::fast::RandomState>;

/// Form of a canary's replay answers: counts and hashes, never a text.
#[derive(Debug, Default)]
pub struct Form {
    /// Replay answers that were judged.
    pub replayed: u64,
    /// Answers in the trained form that name another value than the secret; in a small space any member.
    pub counted: u64,
    /// Answers with the secret, in a large space. They do not count otherwise.
    pub told: u64,
    /// Answers with the secret, in a small space; used for the bound.
    pub own: u64,
    /// Answers that carry the signature.
    pub signed: u64,
    /// Answers that carry the decoy of the few-shot examples, and not the signature.
    pub decoyed: u64,
    /// Number of names from the signature's space in answers without the signature.
    pub other_names: f64,
    /// The most frequent values that are not the secret, as hashes, with the number of times each was named.
    pub frequent: Vec<(u64, u32)>,
    /// Number of times each value that is not the secret was named, by its hash.
    values: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// Hashes of responses, by their id and texts.
    responses: Hashes,
    /// Answers to replay requests with several: request number and hash of the answer.
    choices: Vec<(u64, u64)>,
    /// Hash of the first answer.
    pub(super) first: Option<u64>,
    /// Whether any answer differs from the first.
    pub(super) varied: bool,
}

impl Form {
    /// Whether enough answers were given, and all of them are the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.replayed >= FEWEST_VARIED && !self.varied
    }

    /// Whether enough answers were given to tell whether they vary.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.replayed >= FEWEST_VARIED
    }

    /// Returns the number of draws: answers in the trained form, or with the secret.
    #[must_use]
    pub fn eligible(&self) -> u64 {
        self.counted + self.told
    }

    /// Notes a response. Returns whether it repeats an earlier one: same id, same texts. Id 0 means that there is none.
    pub fn is_copy(&mut self, id: u64, texts: impl Iterator<Item = u64>) -> bool {
        if id == 0 {
            return false;
        }
        let whole = texts.fold(id, |whole, text| whole.rotate_left(5) ^ text);
        !self.responses.insert(whole)
    }

    /// Notes a value that is not the secret, by its hash. Returns how often it has been named so far.
    pub(super) fn note_value(&mut self, value: u64) -> u32 {
        let times = self.values.entry(value).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// Notes one of several answers to a request.
    pub fn note_choice(&mut self, request: u64, text: u64) {
        self.choices.push((request, text));
    }

    /// Returns the answers to requests that gave several, each with the number of its request.
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
