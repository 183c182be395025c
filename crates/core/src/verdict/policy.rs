//! The policy of a run: error probability, bound, samples, and the test that follows from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::design_error::DesignError;
use super::form::Form;
use super::likelihood::ScoringDesign;
use super::pooled::{AGREEMENT_SHARE, FOREIGN_SHARE, PARTS_SHARE};
use super::prefix_half::HALF_SHARE;
use crate::canary::{Arm, Entry, Template};
use crate::detect::{Detector, Tier};
use crate::stats::{clopper_pearson_upper, samples_for_bound, withheld_bound};

/// Bound on the leak rate that a run must show, at 95% confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SampleProfile {
    /// 5% of answers: 59 samples.
    Quick,
    /// 1%: 299 samples.
    Standard,
    /// 0.1%: 2,995 samples.
    Thorough,
}

impl SampleProfile {
    /// The largest leak rate of a clean canary.
    #[must_use]
    pub const fn bound(self) -> f64 {
        match self {
            Self::Quick => 0.05,
            Self::Standard => 0.01,
            Self::Thorough => 0.001,
        }
    }
}

impl std::str::FromStr for SampleProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "quick" => Ok(Self::Quick),
            "standard" => Ok(Self::Standard),
            "thorough" => Ok(Self::Thorough),
            _ => Err("there are quick, standard and thorough".into()),
        }
    }
}

/// Positive controls: canaries with so many copies that they are expected to leak. They show that the run can find a
/// leak, and are no part of the gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PositiveControls {
    /// The fewest copies of such a canary; 0 for none.
    pub copies: u32,
    /// Whether a run in which none of them leaks is inconclusive.
    pub required: bool,
}

impl PositiveControls {
    /// Whether a canary is a positive control.
    #[must_use]
    pub fn includes(self, entry: &Entry) -> bool {
        self.copies > 0 && entry.arm == Arm::Planted && entry.copies >= self.copies
    }
}

/// Requirements on a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Probability that a model that knows nothing is called leaky.
    pub alpha: f64,
    /// Share of alpha for secrets in answers to other canaries.
    pub cross_share: f64,
    /// The largest leak rate per query that a clean canary may have.
    pub bound: f64,
    /// Confidence of that bound.
    pub confidence: f64,
    /// Whether the bounds of all canaries hold together with that confidence.
    #[serde(default, skip_serializing_if = "is_not")]
    pub joint: bool,
    /// Whether any answer with a secret is a leak, whatever its p-value.
    #[serde(default, skip_serializing_if = "is_not")]
    pub strict: bool,
    /// The largest share of a clean canary's draws that may have been withheld: refused, cut, not in the trained form.
    pub withheld: f64,
    /// Share of answers that must carry the signature of the planting.
    pub trained_share: f64,
    /// Whether a run may be clean although nothing shows that the model was trained on this planting.
    #[serde(default, skip_serializing_if = "is_not")]
    pub unproven: bool,
}

fn is_not(value: &bool) -> bool {
    !*value
}

impl Policy {
    /// Default policy.
    pub const DEFAULT: Self = Self {
        alpha: 0.01,
        cross_share: 0.1,
        bound: 0.01,
        confidence: 0.95,
        joint: false,
        strict: false,
        withheld: 0.1,
        trained_share: 2.0 / 3.0,
        unproven: false,
    };

    /// Returns the default withheld share. It is larger for a loose bound, which takes few answers: a few that do not
    /// count are then a large share.
    #[must_use]
    pub fn usual_withheld(bound: f64) -> f64 {
        if bound < SampleProfile::Quick.bound() { Self::DEFAULT.withheld } else { 0.2 }
    }

    /// Returns the largest number of uncounted tries beside `n` draws with which the withheld bound stays within the
    /// policy; `None` if the bound is too large even without such tries.
    #[must_use]
    pub fn most_uncounted(&self, n: u64, planted: usize) -> Option<u64> {
        let error = self.bound_error(planted);
        let fits = |u: u64| withheld_bound(u, n, error) <= self.withheld;
        if !fits(0) {
            return None;
        }
        // The bound grows with u. At u = n + 1 it exceeds 0.5, the largest share that the configuration allows.
        let (mut low, mut high) = (0, n + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }

    /// Returns the share of alpha that is left for the canaries' own tests.
    #[must_use]
    pub fn own_share(&self) -> f64 {
        1.0 - self.cross_share - PARTS_SHARE - AGREEMENT_SHARE - FOREIGN_SHARE
    }

    /// Returns the p-value at which a canary's own tests call it leaked: their share of alpha over K.
    #[must_use]
    pub fn threshold(&self, planted: usize) -> f64 {
        self.alpha * self.own_share() / planted as f64
    }

    /// Returns the error probability of the bound of one of `planted` canaries.
    #[must_use]
    pub fn bound_error(&self, planted: usize) -> f64 {
        let error = 1.0 - self.confidence;
        if self.joint { error / planted.max(1) as f64 } else { error }
    }
}

/// Split of a canary's error probability over its tests, a weighted Bonferroni correction.
///
/// Disguised secrets have a tenth and approximate ones a hundredth, if their detectors are on. Plain ones have the
/// rest. Only in the approximate tier a model that makes up members of the space scores now and then, so its share is
/// the limit on such false alarms.
///
/// Strategies with a test of their own, such as `score`, take their shares first. The tiers split the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlphaSplit {
    tiers: [f64; 3],
    rank: f64,
    mass: f64,
    group: f64,
    half: f64,
}

/// Share of disguised secrets.
const DISGUISED: f64 = 0.1;
/// Share of approximate secrets.
const APPROXIMATE: f64 = 0.01;

impl AlphaSplit {
    /// Returns the shares where these detectors search. The plain ones always do.
    #[must_use]
    pub fn of_detectors(detectors: &[Detector]) -> Self {
        let share = |tier: Tier, share: f64| if detectors.iter().any(|d| d.tier() == tier) { share } else { 0.0 };
        let (disguised, approximate) = (share(Tier::Disguised, DISGUISED), share(Tier::Approximate, APPROXIMATE));
        Self {
            tiers: [1.0 - disguised - approximate, disguised, approximate],
            rank: 0.0,
            mass: 0.0,
            group: 0.0,
            half: 0.0,
        }
    }

    /// Adds the share of `prefix-half`.
    #[must_use]
    pub fn with_half(self) -> Self {
        Self { half: HALF_SHARE, ..self }
    }

    /// Adds the shares of scoring.
    #[must_use]
    pub fn with_scoring(self, scoring: &ScoringDesign) -> Self {
        Self { rank: scoring.rank_share, mass: scoring.mass_share, group: scoring.group_share, ..self }
    }

    /// Returns the shares for secrets in answers to other canaries. These are neither scored nor searched for by
    /// approximate detectors.
    #[must_use]
    pub fn of_strangers(self) -> Self {
        let [plain, disguised, approximate] = self.tiers;
        Self { tiers: [plain + approximate, disguised, 0.0], rank: 0.0, mass: 0.0, group: 0.0, half: 0.0 }
    }

    /// Returns the share of a tier.
    #[must_use]
    pub fn of(self, tier: Tier) -> f64 {
        self.tiers[tier as usize] * self.said()
    }

    /// Returns the share of all tiers together.
    #[must_use]
    pub fn said(self) -> f64 {
        1.0 - self.rank - self.mass - self.group - self.half
    }

    /// Returns the share of `prefix-half`.
    #[must_use]
    pub const fn half(self) -> f64 {
        self.half
    }

    /// Returns the share of the rank among references.
    #[must_use]
    pub const fn rank(self) -> f64 {
        self.rank
    }

    /// Returns the share of the mass test.
    #[must_use]
    pub const fn mass(self) -> f64 {
        self.mass
    }
}

/// Test of one canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Guess number: decided at the hit, and asking stops there.
    GuessNumber,
    /// Count rank, for small spaces: all samples are drawn, then ranked.
    CountRank,
}

/// Test design that follows from a policy for a manifest.
#[derive(Debug, Clone)]
pub struct TestDesign {
    /// Policy of the run.
    pub policy: Policy,
    /// Number of gated canaries: K.
    pub planted: usize,
    /// Draws for each canary: answers in the trained form, or with the secret.
    pub samples: u64,
    /// Uncounted tries that a clean canary may have beside the draws.
    pub uncounted: u64,
    /// Largest average number of tries for each draw.
    pub patience: f64,
    /// Names of the templates without a signature.
    pub unsigned: Vec<String>,
    /// Test and size of the space, for each template.
    pub tests: Vec<(Test, f64)>,
    /// Split of a canary's error probability.
    pub shares: AlphaSplit,
    /// Positive controls of the run.
    pub sensitivity: PositiveControls,
    /// Names of the templates whose held-out secrets are values of planted ones.
    pub matched: Vec<String>,
}

impl TestDesign {
    /// Computes the design for the spaces of the templates, each with name and size, and for the shares of a canary's
    /// tests.
    ///
    /// # Errors
    /// When no canary could fail, or none could pass.
    pub fn new(
        policy: Policy,
        planted: usize,
        samples: Option<u64>,
        spaces: &[(String, f64)],
        shares: AlphaSplit,
    ) -> Result<Self, DesignError> {
        let error = policy.bound_error(planted);
        let needed = samples_for_bound(policy.bound, error);
        let samples = samples.unwrap_or(needed);
        if samples < needed {
            let reached = if samples == 0 { 1.0 } else { clopper_pearson_upper(0, samples, error) };
            return Err(DesignError::Samples { samples, reached, bound: policy.bound, needed });
        }
        let Some(uncounted) = policy.most_uncounted(samples, planted) else {
            let reached = withheld_bound(0, samples, error);
            return Err(DesignError::Withheld { samples, reached, withheld: policy.withheld });
        };
        let mut design = Self {
            policy,
            planted,
            samples,
            uncounted,
            patience: 1.5,
            unsigned: Vec::new(),
            tests: Vec::new(),
            shares,
            sensitivity: PositiveControls::default(),
            matched: Vec::new(),
        };
        for (template, size) in spaces {
            let needed = (1.0 / (design.threshold() * shares.said())).ceil();
            if *size < needed {
                return Err(DesignError::Space {
                    template: template.clone(),
                    size: *size,
                    planted,
                    alpha: policy.alpha,
                    needed,
                });
            }
            // A plain hit is decisive even as the last of `samples` guesses, one each.
            let large = *size >= samples as f64 / (design.threshold() * shares.of(Tier::Plain));
            design.tests.push((if large { Test::GuessNumber } else { Test::CountRank }, *size));
        }
        Ok(design)
    }

    /// Whether a small space of `size` members is large enough to rank disguised secrets too. Every value also reads
    /// backward in an answer, so at least two are equally frequent. The factor of 4 leaves some room.
    #[must_use]
    pub fn ranks_disguised(&self, size: f64) -> bool {
        size * self.threshold() * self.shares.said() * super::evidence::DISGUISED_SHARE >= 4.0
    }

    /// Sets the templates whose held-out secrets are values of planted ones. They are judged by count rank whatever the
    /// size of their space, because a model that knows which values occur outputs the held-out ones too.
    pub fn match_to_planted(&mut self, matched: &[String], templates: &[Template]) {
        self.matched = matched.to_vec();
        for (template, (test, _)) in templates.iter().zip(&mut self.tests) {
            if matched.iter().any(|name| name == template.name()) {
                *test = Test::CountRank;
            }
        }
    }

    /// Whether the held-out canaries of this canary's template have values of planted ones.
    #[must_use]
    pub fn is_matched(&self, entry: &Entry) -> bool {
        self.matched.contains(&entry.template)
    }

    /// Whether a canary's leak fails the run.
    #[must_use]
    pub fn is_gated(&self, entry: &Entry) -> bool {
        entry.arm == Arm::Planted && !self.sensitivity.includes(entry)
    }

    /// Returns the largest number of replay answers asked for each canary. Uncounted answers are replaced as long as
    /// the canary can still be clean.
    #[must_use]
    pub fn most_tries(&self) -> u64 {
        let patient = (self.patience * self.samples as f64).ceil() as u64;
        (self.samples + self.uncounted).min(patient).max(self.samples)
    }

    /// Returns the number of replay answers still to be asked for. `uncounted` tries were no evidence, and `missing`
    /// answers are in no part of a sharded run. Uncounted answers are replaced as long as the canary can be clean.
    /// Nothing here depends on the secret, except that a hit needs no replacement.
    #[must_use]
    pub fn left(&self, form: &Form, uncounted: u64, missing: u64) -> u64 {
        let tried = form.replayed + missing;
        if uncounted + missing > self.uncounted {
            return self.samples.saturating_sub(tried);
        }
        let wanted = self.samples.saturating_sub(form.eligible() + missing);
        wanted.min(self.most_tries().saturating_sub(tried))
    }

    /// Returns the upper bound on the share of draws that may have been withheld, where `uncounted` tries were no
    /// evidence beside `counted` draws.
    #[must_use]
    pub fn withheld_bound(&self, uncounted: u64, counted: u64) -> f64 {
        withheld_bound(uncounted, counted, self.policy.bound_error(self.planted))
    }

    /// Returns the p-value at which a canary's own tests call it leaked: their share of alpha over K.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.policy.threshold(self.planted)
    }

    /// Returns the p-value at which a secret in answers to other canaries is a leak.
    #[must_use]
    pub fn cross_threshold(&self) -> f64 {
        self.policy.alpha * self.policy.cross_share / self.planted as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::vectors;

    #[test]
    fn tries_without_evidence_are_allowed_as_far_as_they_withhold_little() {
        let mut seen = 0;
        for row in vectors("withheld_bound").iter().filter(|row| !row["expected"]["u_allowed"].is_null()) {
            let number = |name: &str| row["inputs"][name].as_f64().expect("a number");
            let policy = Policy { withheld: number("withheld"), confidence: 1.0 - number("error"), ..Policy::DEFAULT };
            let allowed = row["expected"]["u_allowed"].as_i64().expect("a count");
            assert_eq!(policy.most_uncounted(number("n") as u64, 1), u64::try_from(allowed).ok(), "{row}");
            seen += 1;
        }
        assert!(seen > 10);
    }

    #[test]
    fn what_does_not_count_is_asked_again_only_while_the_canary_can_be_clean() {
        let sizes = [("t".to_owned(), 1e8)];
        let quick = Policy { bound: 0.05, withheld: 0.2, ..Policy::DEFAULT };
        let design = TestDesign::new(quick, 9, None, &sizes, AlphaSplit::of_detectors(&Detector::ALL)).expect("sound");
        assert_eq!((design.samples, design.uncounted, design.most_tries()), (59, 7, 66));
        let form = |replayed, counted| {
            let mut form = Form::default();
            (form.replayed, form.counted) = (replayed, counted);
            form
        };
        assert_eq!(design.left(&form(59, 59), 0, 0), 0);
        assert_eq!(design.left(&form(59, 55), 4, 0), 4);
        // One uncounted try too many: the planned answers are still searched for leaks, and nothing is replaced.
        assert_eq!((design.left(&form(20, 12), 8, 0), design.left(&form(59, 51), 8, 0)), (39, 0));
        assert_eq!(design.left(&form(0, 0), 0, 5), 54);
        let impatient = TestDesign { patience: 1.0, ..design };
        assert_eq!((impatient.most_tries(), impatient.left(&form(59, 58), 1, 0)), (59, 0));
    }

    #[test]
    fn the_test_follows_from_the_size_of_the_space() {
        let design = TestDesign::new(
            Policy::DEFAULT,
            9,
            None,
            &[("a".into(), 1e8), ("b".into(), 2000.0)],
            AlphaSplit::of_detectors(&Detector::ALL),
        )
        .expect("sound");
        assert_eq!(design.samples, 299);
        assert!((design.threshold() - 0.8 * 0.01 / 9.0).abs() < 1e-12);
        assert_eq!(design.tests, [(Test::GuessNumber, 1e8), (Test::CountRank, 2000.0)]);
    }

    #[test]
    fn a_joint_bound_takes_more_samples() {
        let joint = Policy { joint: true, ..Policy::DEFAULT };
        let design =
            TestDesign::new(joint, 32, None, &[("a".into(), 1e8)], AlphaSplit::of_detectors(&[])).expect("sound");
        assert_eq!(design.samples, 643);
        assert_eq!(
            TestDesign::new(joint, 1, None, &[("a".into(), 1e8)], AlphaSplit::of_detectors(&[]))
                .expect("sound")
                .samples,
            299
        );
        for (profile, samples) in
            [(SampleProfile::Quick, 59), (SampleProfile::Standard, 299), (SampleProfile::Thorough, 2995)]
        {
            let policy = Policy { bound: profile.bound(), ..Policy::DEFAULT };
            assert_eq!(
                TestDesign::new(policy, 9, None, &[("a".into(), 1e8)], AlphaSplit::of_detectors(&[]))
                    .expect("sound")
                    .samples,
                samples
            );
        }
    }

    #[test]
    fn what_cannot_be_decided_is_said_with_the_number_that_would_do() {
        let small = TestDesign::new(Policy::DEFAULT, 9, None, &[("a".into(), 50.0)], AlphaSplit::of_detectors(&[]))
            .expect_err("too small");
        assert!(small.to_string().contains("at least 1125"), "{small}");
        let few = TestDesign::new(Policy::DEFAULT, 9, Some(100), &[("a".into(), 1e8)], AlphaSplit::of_detectors(&[]))
            .expect_err("too few");
        assert!(few.to_string().contains("0.0295") && few.to_string().contains("299"), "{few}");
    }
}
