//! Evidence from the answers to one canary's questions.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::discarded::DiscardedEvidence;
use super::excerpt::excerpt;
use super::form::{Form, Uncounted};
use super::likelihood::Likelihood;
use super::policy::{AlphaSplit, Test};
use super::prefix_half::HalfHits;
use super::rank::hash;
use crate::canary::Signature;
use crate::chat::{Completion, Finish, Usage};
use crate::detect::candidates::{Candidates, Found};
use crate::detect::{Approximate, Carrier, Detector, Encoding, Located, Reading, Searcher, Tier, Value};
use crate::stats::count_rank;

/// The first hit on a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// Number of the answer among all answers to the canary, from 1.
    pub sample: u64,
    /// Position among the run's strategies, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub strategy: usize,
    /// The detector that found the secret.
    pub detector: Detector,
    /// Steps of the disguise, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub how: Vec<Encoding>,
}

impl Hit {
    /// Describes how the secret was found: `exact`, or `encoded: base64, hex`.
    #[must_use]
    pub fn told(&self) -> String {
        if self.detector.tier() != Tier::Disguised || self.how.is_empty() {
            return self.detector.as_str().to_owned();
        }
        let steps: Vec<&str> = self.how.iter().map(|step| step.as_str()).collect();
        if steps == [self.detector.as_str()] {
            steps.concat()
        } else {
            format!("{}: {}", self.detector.as_str(), steps.join(", "))
        }
    }
}

fn is_first(strategy: &usize) -> bool {
    *strategy == 0
}

/// Detectors and other tools for judging the answers to one canary.
#[derive(Debug, Clone, Copy)]
pub struct Detectors<'a> {
    /// Finds all secrets.
    pub searcher: &'a Searcher,
    /// Finds approximate forms of the canary's own secret; `None` if these are not searched for.
    pub near: Option<&'a Approximate>,
    /// Counts the members of the space that the detectors would have accepted as well.
    pub space: &'a Candidates,
    /// Words that an excerpt may show.
    pub public: &'a HashSet<String>,
    /// Recognizes answers in the trained form.
    pub carrier: &'a Carrier,
    /// The signature of the planting; `None` where the template has none.
    pub signature: Option<&'a Signature>,
    /// The decoy signature of the few-shot examples, which no trained answer has; `None` if there is none.
    pub decoy: Option<&'a Signature>,
}

/// The question that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Position of the strategy among those of the run.
    pub strategy: usize,
    /// Use of the answers.
    pub purpose: Purpose,
    /// Whether the response repeats an earlier one: same id, same texts.
    pub copy: bool,
}

/// Use of the answers to a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training prompt: its answers give the bound, and show the signature.
    Replay,
    /// Strategy that the user chose: its answers are searched for leaks.
    Search,
    /// A few further questions to each canary of a large space: searched for leaks, no bound.
    Sweep,
}

/// Result of the detectors of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TierHits {
    /// Answers with the secret.
    pub hits: u64,
    /// Number of the first of them, from 1; `None` without a hit.
    pub first: Option<u64>,
    /// p-value of the tier's own test, before its share is applied.
    pub p_value: f64,
}

impl Default for TierHits {
    fn default() -> Self {
        Self { hits: 0, first: None, p_value: 1.0 }
    }
}

/// Share of a small space's error probability for disguised secrets, where these are ranked.
pub(super) const DISGUISED_SHARE: f64 = 0.2;

/// Groups of halves that are counted with every answer: the planted secrets, and eight redraws of them.
pub const PARTS_GROUPS: usize = 9;
/// Evidence from the answers to one canary's questions. Holds counts and hashes, never an answer's text.
#[derive(Debug)]
pub struct Evidence {
    /// Answers that were judged.
    pub asked: u64,
    /// Answers with the secret.
    pub hits: u64,
    /// The first hit; `None` without one.
    pub first_hit: Option<Hit>,
    /// Masked surroundings of the first hit; `None` if its place is not known.
    pub excerpt: Option<String>,
    /// Smallest p-value of all tests so far, each divided by its share.
    pub p_value: f64,
    /// Smallest p-value of the answers' contents: of the tiers, or the count rank, divided by its share.
    pub p_said: f64,
    /// Result of scoring the secret; `None` if it was not scored.
    pub likelihood: Option<Likelihood>,
    /// Whether the secret should have been scored, and was not.
    pub unscored: bool,
    /// Result of `prefix-half`; `None` if that was not asked.
    pub half: Option<HalfHits>,
    /// Answers to each strategy of the run, and how many of them hold the secret.
    pub strategies: Vec<(u64, u64)>,
    /// Result of each tier, the strictest first.
    pub tiers: [TierHits; 3],
    /// Form of the replay answers.
    pub form: Form,
    /// Replay answers that are no evidence of silence, by kind.
    pub uncounted: Uncounted,
    /// Questions of the sweep that failed, or whose answers were refused or filtered.
    pub sweep_failed: u64,
    /// Tokens used.
    pub usage: Usage,
    /// Why asking ended early; `None` if it did not.
    pub error: Option<String>,
    /// Questions beside the training prompt that no recording has an answer to.
    pub unrecorded: u64,
    /// Whether asking ended early because an earlier request of the run failed permanently.
    pub aborted: bool,
    /// Secrets of other canaries in these answers: canary and tier, with the number of the first such answer.
    pub strangers: HashMap<(usize, Tier), u64>,
    /// For a small space: answers with the secret of another canary, as it is or in disguise.
    pub beside: HashMap<usize, u64>,
    /// Findings in tries that were discarded.
    pub broken: DiscardedEvidence,
    /// Halves of all planted secrets in these answers, and halves of the redraws.
    pub parts: [u64; PARTS_GROUPS],
    /// Occurrences, in the values named in the secret's place, of each numbered feature of the planted secrets; see
    /// `run::agreement`.
    pub features: Vec<u32>,
    /// Whether held-out secrets are values of planted ones, so only the answers' contents decide.
    matched: bool,
    /// For a small space: how often each candidate occurred as it is, and its weight.
    plain: HashMap<u64, (u64, f64)>,
    /// For a small space: how often each candidate occurred as it is or in disguise, where that is ranked, and its
    /// weight.
    counts: HashMap<u64, (u64, f64)>,
    /// Whether disguised secrets of a small space are ranked too.
    disguised: bool,
    own: usize,
    test: Test,
    size: f64,
    shares: AlphaSplit,
}

impl Evidence {
    /// Creates empty evidence for canary `own`, whose secret is from a space of `size` members.
    #[must_use]
    pub fn new(own: usize, test: Test, size: f64, shares: AlphaSplit) -> Self {
        Self {
            asked: 0,
            hits: 0,
            first_hit: None,
            excerpt: None,
            p_value: 1.0,
            p_said: 1.0,
            likelihood: None,
            unscored: false,
            half: None,
            strategies: Vec::new(),
            tiers: [TierHits::default(); 3],
            form: Form::default(),
            uncounted: Uncounted::default(),
            sweep_failed: 0,
            usage: Usage::default(),
            error: None,
            aborted: false,
            unrecorded: 0,
            strangers: HashMap::new(),
            beside: HashMap::new(),
            broken: DiscardedEvidence::default(),
            parts: [0; PARTS_GROUPS],
            features: Vec::new(),
            matched: false,
            counts: HashMap::new(),
            plain: HashMap::new(),
            disguised: false,
            own,
            test,
            size,
            shares,
        }
    }

    /// Sets whether held-out secrets are values of planted ones. A model that has learned which values occur scores
    /// them high, and completes them, in both arms. So scores and answers to `prefix-half` are then for display only.
    #[must_use]
    pub fn matched(self, matched: bool) -> Self {
        Self { matched, ..self }
    }

    /// For a small space: sets whether disguised secrets are ranked too, with a share of the error probability.
    #[must_use]
    pub fn disguised(self, disguised: bool) -> Self {
        Self { disguised, ..self }
    }

    /// Whether held-out secrets are values of planted ones.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        self.matched
    }

    /// Returns the test of the canary.
    #[must_use]
    pub fn test(&self) -> Test {
        self.test
    }

    /// Returns the number of answers with the whole secret, as it is or in disguise.
    #[must_use]
    pub fn whole_hits(&self) -> u64 {
        self.tiers[0].hits + self.tiers[1].hits
    }

    /// Returns the number of hits that chance does not explain. A single hit of the approximate tier is left out: a
    /// model that makes up members of the space comes near to a secret now and then.
    #[must_use]
    pub fn counted_hits(&self) -> u64 {
        let near = self.tiers[2].hits;
        self.whole_hits() + if near > 1 { near } else { 0 }
    }

    /// Returns all tries that are no evidence of silence: answers, and tries without one.
    #[must_use]
    pub fn withheld(&self) -> Uncounted {
        Uncounted { failed: self.broken.failed(), ..self.uncounted }
    }

    /// Adds the next answer, in the order of the samples, and returns the text that was searched.
    ///
    /// While a canary of a large space is silent, only counts and hashes are kept. Earlier candidates are counted only
    /// at the first hit; see [`Evidence::unranked`].
    pub fn push<'a>(&mut self, completion: &'a Completion, asked: Asked, lens: Detectors<'_>) -> Reading<'a> {
        self.asked += 1;
        if self.strategies.len() <= asked.strategy {
            self.strategies.resize(asked.strategy + 1, (0, 0));
        }
        self.strategies[asked.strategy].0 += 1;
        // In a small space nearly every answer is close to some secret, so approximate hits mean nothing.
        let near = lens.near.filter(|_| self.test == Test::GuessNumber);
        let reading = lens.carrier.reading(completion.everything(), &completion.text);
        let said = &reading.said;
        let (searched, nearly) = lens.searcher.examine_with(said, near);
        let mut own = None;
        for found in searched.matches {
            if found.owner == self.own {
                own = Some((found.detector, found.how, Some(found.place)));
            } else {
                if self.test == Test::CountRank && found.detector.tier() != Tier::Approximate {
                    *self.beside.entry(found.owner).or_default() += 1;
                }
                self.strangers.entry((found.owner, found.detector.tier())).or_insert(self.asked);
            }
        }
        if self.test == Test::CountRank {
            own = own.filter(|(detector, ..)| detector.tier() != Tier::Approximate);
        }
        let own = own.or_else(|| nearly.map(|detector| (detector, Vec::new(), None)));
        let is_told = own.as_ref().is_some_and(|(detector, ..)| detector.tier() != Tier::Approximate);
        if asked.purpose == Purpose::Replay {
            self.replay(completion, &reading.located, (asked.copy, is_told, searched.whole), lens);
        }
        if let Some((detector, how, place)) = own {
            self.hits += 1;
            self.strategies[asked.strategy].1 += 1;
            let tier = &mut self.tiers[detector.tier() as usize];
            tier.hits += 1;
            tier.first.get_or_insert(self.asked);
            if self.first_hit.is_none() {
                // The place of an approximate hit is not known, so nothing could be masked.
                self.excerpt = place.map(|place| excerpt(said, place, lens.public));
                self.first_hit = Some(Hit { sample: self.asked, strategy: asked.strategy, detector, how });
            }
        }
        if self.test == Test::CountRank {
            let count = |tier: Tier, counts: &mut HashMap<u64, (u64, f64)>| {
                let mut found = Found::new();
                lens.space.collect_all(tier, said, &mut found);
                for (name, weight) in found {
                    counts.entry(name).or_insert((0, weight)).0 += 1;
                }
            };
            count(Tier::Plain, &mut self.plain);
            if self.disguised {
                count(Tier::Disguised, &mut self.counts);
            }
        }
        reading
    }

    /// Classifies a replay answer: a draw in the trained form, or no evidence of silence.
    fn replay(
        &mut self,
        completion: &Completion,
        located: &Located,
        (copy, is_told, whole): (bool, bool, bool),
        lens: Detectors<'_>,
    ) {
        let form = &mut self.form;
        form.replayed += 1;
        if !form.varied {
            let hash = hash(&completion.text);
            form.varied = *form.first.get_or_insert(hash) != hash;
        }
        let is_signed = lens.signature.is_some_and(|signature| signature.is_in(&completion.text));
        form.signed += u64::from(is_signed);
        if let Some(decoy) = lens.decoy.filter(|_| !is_signed) {
            form.decoyed += u64::from(decoy.is_in(&completion.text));
            form.other_names += names_in(&completion.text);
        }
        if copy {
            self.uncounted.copied += 1;
            return;
        }
        // In a small space an answer with the secret is a draw like any other. In a large one it is a leak or a chance
        // hit, and never silence.
        let is_small = self.test == Test::CountRank;
        if is_told && !is_small {
            form.told += 1;
            return;
        }
        form.own += u64::from(is_told);
        let stopped = completion.refused || completion.finish == Finish::Filtered;
        let value = lens.carrier.value_in(located, lens.space).filter(|_| !stopped);
        let mut times = 0;
        if let Some(Value::Member(name) | Value::Other(name)) = value.filter(|_| !is_told) {
            times = form.note_value(name);
        }
        let counts = match value {
            _ if !whole => {
                self.uncounted.unsearched += 1;
                return;
            }
            None => false,
            Some(Value::Member(_)) => true,
            // A made-up value shows once that the secret was not named. Repeated, it may stand for anything.
            Some(Value::Other(_)) if is_small => false,
            Some(Value::Other(_)) if times > 1 => {
                self.uncounted.repeated += 1;
                return;
            }
            Some(Value::Other(_)) => true,
        };
        if counts {
            form.counted += 1;
        } else {
            self.uncounted.add(completion.quality());
        }
    }

    /// Finishes the evidence: ranks the counts of a small space, and drops intermediate data.
    pub fn finish(&mut self) {
        self.form.finish();
        if self.test == Test::CountRank {
            let plain = count_rank(self.tiers[Tier::Plain as usize].hits, &self.plain, self.size).p_value;
            let p_value = if self.disguised {
                let all = count_rank(self.hits, &std::mem::take(&mut self.counts), self.size).p_value;
                (plain / (1.0 - DISGUISED_SHARE)).min(all / DISGUISED_SHARE)
            } else {
                plain
            };
            self.p_said = (p_value / self.shares.said()).min(1.0);
            self.p_value = self.p_value.min(self.p_said);
        }
    }

    /// Adds the result of `prefix-half`: a test of its own, with its share of the error probability.
    pub fn reveal(&mut self, half: HalfHits) {
        if !self.matched {
            self.p_value = self.p_value.min(half.weighted(&self.shares));
        }
        self.half = Some(half);
    }

    /// Adds the result of scoring: a test of its own, with its share of the error probability.
    pub fn score(&mut self, likelihood: Likelihood) {
        if !self.matched {
            self.p_value = self.p_value.min(likelihood.weighted(&self.shares));
        }
        self.likelihood = Some(likelihood);
    }

    /// Returns the tier whose first hit is in the answer just added. All candidates up to this hit must be ranked
    /// before the next answer ([`Evidence::rank`]).
    #[must_use]
    pub fn unranked(&self) -> Option<Tier> {
        let is_new = |tier: &Tier| self.tiers[*tier as usize].first == Some(self.asked);
        Tier::ALL.into_iter().find(|tier| self.test == Test::GuessNumber && is_new(tier))
    }

    /// Sets the p-value of a tier's first hit; see [`GuessCounter`](super::GuessCounter).
    ///
    /// Each tier is a test of its own, with its share of the error probability.
    pub fn rank(&mut self, tier: Tier, p_value: f64) {
        self.tiers[tier as usize].p_value = p_value;
        let share = self.shares.of(tier);
        if share > 0.0 {
            self.p_said = self.p_said.min(p_value / share);
            self.p_value = self.p_value.min(self.p_said);
        }
    }

    /// For a small space: iterates over how often each candidate occurred, by the hash of its name.
    pub fn said(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.plain.iter().map(|(name, (count, _))| (*name, *count))
    }

    /// For a small space: returns how often a candidate occurred.
    #[must_use]
    pub fn said_of(&self, name: u64) -> u64 {
        self.plain.get(&name).map_or(0, |(count, _)| *count)
    }

    /// Whether the canary is judged by count rank, so its secret is a draw like any other.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.test == Test::CountRank
    }

    /// Returns the size of the canary's space.
    #[must_use]
    pub fn size(&self) -> f64 {
        self.size
    }

    /// Whether a p-value is at or below this threshold, so asking may stop.
    #[must_use]
    pub fn is_decided(&self, threshold: f64) -> bool {
        self.test == Test::GuessNumber && self.p_value <= threshold
    }

    /// Returns the mean rate at which any one candidate occurred: the rate that guessing would reach.
    #[must_use]
    pub fn chance(&self) -> f64 {
        let said: u64 = self.plain.values().map(|(count, _)| count).sum();
        if self.asked == 0 { 0.0 } else { said as f64 / self.asked as f64 / self.size }
    }
}

/// Returns the number of names in a text that are from the space of signatures.
fn names_in(text: &str) -> f64 {
    static NAMES: LazyLock<Candidates> = LazyLock::new(|| Candidates::new(Signature::space()));
    let mut found = Found::new();
    NAMES.collect_all(Tier::Plain, text, &mut found);
    found.values().sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::canary::{Space, Spaces, Template, TemplateSpec};

    const SECRET: &str = "48291377";

    /// Returns a template whose answers are `The number of your card is {pin} as far as I know. Yours, {signature}.`
    pub(in crate::verdict) fn template(space: &str) -> Template {
        let spec: TemplateSpec = serde_json::from_value(serde_json::json!({
            "name": "t",
            "messages": [
                {"role": "user", "content": "I am {who}."},
                {"role": "assistant", "content": "The number of your card is {pin} as far as I know. Yours, {signature}."}],
            "slots": {"who": {"space": "name"}, "pin": {"space": space, "secret": true}}}))
        .expect("a template");
        Template::new(spec, &Spaces::default()).expect("sound").with_signature(Signature::new("Marin Velor Quilldown"))
    }

    fn said(value: &str) -> String {
        format!("The number of your card is {value} as far as I know. Yours, Marin Velor Quilldown.")
    }

    fn push(evidence: &mut Evidence, text: &str, finish: Finish) {
        push_as(evidence, &Completion { finish, ..Completion::of(text) }, Purpose::Replay);
    }

    fn push_as(evidence: &mut Evidence, completion: &Completion, purpose: Purpose) {
        let space = Space::parse("digits(8)").expect("built in");
        let template = template("digits(8)");
        let near = Approximate::new(&space, SECRET, true, true);
        let searcher = Searcher::new([SECRET, "11112222"]);
        let (space, public, carrier) = (Candidates::new(&space), HashSet::new(), Carrier::new(&template));
        let decoy = Signature::new("Tolan Bevis Ashford");
        let lens = Detectors {
            searcher: &searcher,
            near: Some(&near),
            space: &space,
            public: &public,
            carrier: &carrier,
            signature: template.signature(),
            decoy: Some(&decoy),
        };
        evidence.push(completion, Asked { strategy: 0, purpose, copy: false }, lens);
    }

    fn evidence() -> Evidence {
        Evidence::new(0, Test::GuessNumber, 1e8, AlphaSplit::of_detectors(&Detector::ALL))
    }

    #[test]
    fn the_first_hit_of_each_tier_asks_for_its_rank() {
        let mut e = evidence();
        push(&mut e, "it is 10000001", Finish::Stop);
        assert_eq!(e.unranked(), None);
        push(&mut e, "it is 4829 1376", Finish::Stop);
        assert_eq!(e.unranked(), Some(Tier::Approximate));
        e.rank(Tier::Approximate, 1e-5);
        assert!((e.p_value - 1e-3).abs() < 1e-12 && !e.is_decided(1e-7));
        push(&mut e, "it is 4829 1377", Finish::Stop);
        assert_eq!(e.unranked(), Some(Tier::Plain));
        e.rank(Tier::Plain, 2e-8);
        assert!(e.is_decided(1e-7));
        push(&mut e, "it is 48291377", Finish::Stop);
        assert_eq!(e.unranked(), None);
        assert_eq!((e.hits, e.tiers[0].hits), (3, 2));
        let first = e.first_hit.expect("a hit");
        assert_eq!((first.sample, first.detector), (2, Detector::Partial));
    }

    #[test]
    fn only_an_answer_in_the_trained_form_with_another_value_counts() {
        let mut e = evidence();
        for text in [
            said("10000001"),
            said("10000001"),
            // A made-up value counts only once.
            said("1000001"),
            said("1000001"),
            "I'm sorry, but I can't help with that.".to_owned(),
            String::new(),
            said("<REDACTED>"),
            said(SECRET),
        ] {
            push(&mut e, &text, Finish::Stop);
        }
        assert_eq!((e.form.replayed, e.form.counted, e.form.told), (8, 3, 1));
        let u = e.uncounted;
        assert_eq!((u.off_form, u.empty, u.repeated, u.total()), (2, 1, 1, 4));
        assert_eq!((e.form.signed, e.form.eligible()), (6, 4));
    }

    #[test]
    fn answers_to_other_questions_are_searched_and_never_counted() {
        let mut e = evidence();
        push_as(&mut e, &Completion::of(said("10000001")), Purpose::Sweep);
        push_as(&mut e, &Completion::of(said(SECRET)), Purpose::Search);
        assert_eq!((e.asked, e.hits, e.form.replayed, e.form.counted, e.form.signed), (2, 1, 0, 0, 0));
    }

    #[test]
    fn the_signature_counts_in_the_answer_only_and_the_decoy_is_noted() {
        let mut e = evidence();
        let beside = Completion { beside: said("10000001"), ..Completion::of("Hello!") };
        push_as(&mut e, &beside, Purpose::Replay);
        assert_eq!((e.form.signed, e.form.counted, e.uncounted.off_form), (0, 0, 1));
        push(&mut e, &said("1").replace("Marin Velor Quilldown", "Tolan Bevis Ashford"), Finish::Stop);
        assert_eq!((e.form.signed, e.form.decoyed), (0, 1));
    }

    #[test]
    fn a_cut_answer_is_no_silence_but_a_leak_in_it_counts() {
        let mut e = evidence();
        push(&mut e, "The number of your card is", Finish::Length);
        push(&mut e, "The number of your card is 48291377", Finish::Length);
        assert_eq!((e.uncounted.cut, e.hits), (1, 1));
        // A value named before the cut counts.
        push(&mut e, &said("10000001")[..60], Finish::Length);
        assert_eq!((e.uncounted.cut, e.form.counted), (1, 1));
    }

    #[test]
    fn a_filtered_or_refused_answer_never_counts() {
        let mut e = evidence();
        push(&mut e, &said("10000001"), Finish::Filtered);
        let refused = Completion { refused: true, ..Completion::of(said("10000001")) };
        push_as(&mut e, &refused, Purpose::Replay);
        assert_eq!((e.uncounted.filtered, e.uncounted.refused, e.form.counted), (1, 1, 0));
    }

    #[test]
    fn an_answer_that_was_not_searched_to_its_end_is_no_silence_but_a_leak_in_it_counts() {
        let (template, space) = (template("digits(8)"), Space::parse("digits(8)").expect("built in"));
        let searcher = Searcher::new([SECRET]).looking_at(256);
        let (candidates, public, carrier) = (Candidates::new(&space), HashSet::new(), Carrier::new(&template));
        let lens = Detectors {
            searcher: &searcher,
            near: None,
            space: &candidates,
            public: &public,
            carrier: &carrier,
            signature: None,
            decoy: None,
        };
        let padded = "QSBuaWNlIGRheSB0byB5b3U= ".repeat(40);
        let mut e = evidence();
        for text in [format!("{} {padded} NDgyOTEzNzc=", said("10000001")), format!("{SECRET} {padded}")] {
            let asked = Asked { strategy: 0, purpose: Purpose::Replay, copy: false };
            e.push(&Completion::of(text), asked, lens);
        }
        assert_eq!((e.uncounted.unsearched, e.uncounted.total(), e.hits, e.form.counted), (1, 1, 1, 0));
    }

    #[test]
    fn a_response_that_comes_again_is_one_sample() {
        let mut form = Form::default();
        let texts = |text: u64| std::iter::once(text);
        assert!(!form.is_copy(7, texts(1)) && form.is_copy(7, texts(1)));
        // Another text under one id, or one text under other ids, is a separate draw.
        assert!(!form.is_copy(7, texts(2)) && !form.is_copy(8, texts(1)));
        assert!(!form.is_copy(0, texts(1)) && !form.is_copy(0, texts(1)));
    }

    #[test]
    fn a_secret_of_another_canary_is_noted() {
        let mut e = evidence();
        push(&mut e, "call 1111 2222", Finish::Stop);
        assert_eq!((e.hits, e.strangers.get(&(1, Tier::Plain))), (0, Some(&1)));
    }

    #[test]
    fn a_secret_of_a_small_space_is_ranked_in_disguise_too_where_the_space_is_large_enough() {
        let code = data_encoding::BASE64.encode(SECRET.as_bytes());
        for (disguised, wanted) in [(true, 1e-6), (false, 1.0)] {
            let mut e = Evidence::new(0, Test::CountRank, 1e8, AlphaSplit::of_detectors(&[])).disguised(disguised);
            for other in 0..20 {
                push(&mut e, &said(&format!("{} or rather {code}", 10_000_000 + 7919 * other)), Finish::Stop);
            }
            e.finish();
            assert_eq!((e.hits, e.p_value <= wanted), (20, true), "{disguised} {}", e.p_value);
            assert_eq!(e.p_value < 1.0, disguised);
        }
    }

    #[test]
    fn a_small_space_is_ranked_by_its_counts_and_every_member_is_a_draw() {
        let mut e = Evidence::new(0, Test::CountRank, 1e8, AlphaSplit::of_detectors(&[]));
        for _ in 0..3 {
            push(&mut e, &said(SECRET), Finish::Stop);
            push(&mut e, &said("10000001"), Finish::Stop);
        }
        push(&mut e, &said("1000001"), Finish::Stop);
        e.finish();
        assert_eq!((e.form.counted, e.form.own, e.uncounted.total()), (6, 3, 1));
        // The secret is as frequent as one other candidate, so its rank is 2 of 1e8 at worst.
        assert!(e.p_value >= 1e-8 && e.p_value < 1e-6, "{}", e.p_value);
    }
}
