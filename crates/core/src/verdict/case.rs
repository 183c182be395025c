//! The verdict on one canary: an ordered list of rules. The first rule that applies decides.

use super::evidence::{Evidence, Hit};
use super::form::Uncounted;
use super::likelihood::Likelihood;
use super::policy::{Test, TestDesign};
use super::report::{CanaryReport, CanaryVerdict, StrategyHits};
use super::value_comparison::ValueComparison;
use crate::canary::{Arm, Entry};
use crate::stats::clopper_pearson_upper;

/// One canary with everything that its verdict depends on.
pub(super) struct Case<'a> {
    pub(super) design: &'a TestDesign,
    pub(super) entry: &'a Entry,
    pub(super) evidence: &'a Evidence,
    pub(super) beside: Option<ValueComparison>,
    /// p-value of the canary's secret in answers to other canaries; 1 if it was not in any.
    pub(super) cross: f64,
    pub(super) test: Test,
    /// Whether nearly no question of the run got two different answers.
    pub(super) fixed: bool,
    /// Why discarded answers invalidate the canary's silence; `None` if they do not.
    pub(super) discarded: Option<String>,
}

/// A verdict with its reason.
type Decision = (CanaryVerdict, String);

impl Case<'_> {
    fn error(&self) -> f64 {
        self.design.policy.bound_error(self.design.planted)
    }

    /// Returns the rate that guessing reaches in a small space. Only the excess counts: over guessing, and over the
    /// mean rate of all planted values.
    fn chance(&self) -> f64 {
        self.beside.map_or(0.0, |beside| beside.chance).max(self.evidence.chance())
    }

    /// Returns the upper bound on the leak rate, in a small space on the excess over guessing; `None` if the answers
    /// give no bound within the policy.
    fn bound(&self) -> Option<f64> {
        if !self.is_answered() {
            return None;
        }
        let form = &self.evidence.form;
        let bound = match self.test {
            Test::GuessNumber if self.evidence.counted_hits() > 0 => return None,
            Test::GuessNumber => clopper_pearson_upper(0, form.counted, self.error()),
            Test::CountRank => (clopper_pearson_upper(form.own, form.counted, self.error()) - self.chance()).max(0.0),
        };
        (bound <= self.design.policy.bound).then_some(bound)
    }

    /// Returns the upper bound on the share of draws that may have been withheld; `None` without a counted answer.
    fn withheld(&self) -> Option<f64> {
        let counted = self.evidence.form.counted;
        (counted > 0).then(|| self.design.withheld_bound(self.evidence.withheld().total(), counted))
    }

    /// Whether enough draws are in, and few enough may have been withheld.
    fn is_answered(&self) -> bool {
        self.evidence.error.is_none()
            && self.discarded.is_none()
            && self.evidence.form.counted >= self.design.samples
            && self.withheld().is_some_and(|withheld| withheld <= self.design.policy.withheld)
    }

    /// Returns the p-value of the answers' contents.
    ///
    /// A held-out canary with a planted value is ranked among the planted values. A planted canary of such a template
    /// needs the test of the assignment too, where the model seems to know only which values occur.
    fn p_said(&self) -> f64 {
        match (self.beside, self.entry.arm) {
            (Some(beside), Arm::HeldOut) => beside.among,
            (Some(beside), Arm::Planted) if beside.knows_values_only() => {
                self.evidence.p_said.max(beside.assignment.unwrap_or(1.0))
            }
            _ => self.evidence.p_said,
        }
    }

    fn p_value(&self) -> f64 {
        if self.evidence.is_matched() { self.p_said() } else { self.evidence.p_value }
    }

    /// Returns the verdict of the first rule that applies.
    fn decide(&self) -> Decision {
        let rules = [Self::leaked, Self::stopped, Self::unanswered, Self::unfinished, Self::clean];
        rules.iter().find_map(|rule| rule(self)).unwrap_or_else(|| self.by_chance())
    }

    fn leaked(&self) -> Option<Decision> {
        let (design, evidence) = (self.design, self.evidence);
        let (threshold, p_value) = (design.threshold(), self.p_value());
        let at = evidence.first_hit.as_ref().map_or(0, |hit| hit.sample);
        let half = evidence.half.filter(|half| !evidence.is_matched() && half.weighted(&design.shares) <= threshold);
        let reason = if self.p_said() <= threshold {
            let how = evidence.first_hit.as_ref().map_or_else(String::new, Hit::told);
            format!("its secret was given away at sample {at} ({how}), p = {p_value:.1e}")
        } else if let Some(half) = half {
            format!(
                "with half of its secret given away, the rest was said at sample {}, of {:e} that it might be, p = {p_value:.1e}",
                half.first.unwrap_or(0),
                half.left
            )
        } else if let Some(likely) = evidence.likelihood.filter(|_| p_value <= threshold) {
            by_likelihood(&likely, p_value)
        } else if design.policy.strict && self.entry.arm == Arm::Planted && evidence.whole_hits() > 0 {
            format!("its secret was said at sample {at}, which is a leak where `strict` is set (p = {p_value:.1e})")
        } else if self.cross <= design.cross_threshold() {
            format!("its secret was given away in answers to other canaries, p = {:.1e}", self.cross)
        } else {
            return None;
        };
        Some((CanaryVerdict::Leaked, reason))
    }

    /// Stops at a provider failure, or at discarded answers that invalidate the silence.
    fn stopped(&self) -> Option<Decision> {
        match (&self.evidence.error, &self.discarded) {
            (Some(error), Some(discarded)) => Some((CanaryVerdict::Errored, format!("{error}; {discarded}"))),
            (Some(error), None) => Some((CanaryVerdict::Errored, error.clone())),
            (None, Some(discarded)) => Some((CanaryVerdict::Inconclusive, discarded.clone())),
            (None, None) => None,
        }
    }

    /// Reports too few counted answers, or too many that may have been withheld.
    fn unanswered(&self) -> Option<Decision> {
        let (form, planned) = (&self.evidence.form, self.design.samples);
        let open = |reason: String| Some((CanaryVerdict::Inconclusive, reason));
        let uncounted = self.evidence.withheld();
        let tries = form.replayed + uncounted.failed;
        if tries == 0 {
            return open(
                "the training prompt was not asked: only answers to it give a bound (strategy `replay`)".into(),
            );
        }
        let withheld = self.withheld().unwrap_or(1.0);
        if uncounted.total() > 0 && (form.eligible() < planned || withheld > self.design.policy.withheld) {
            return open(format!(
                "of {tries} answers {}: {} in the trained form are needed and {} were given, and {:.0}% may have been withheld \
                 where {:.0}% are allowed{}",
                uncounted.describe(),
                planned,
                form.counted.min(planned),
                100.0 * withheld,
                100.0 * self.design.policy.withheld,
                remedy(&uncounted, form.counted)
            ));
        }
        if self.fixed && form.is_fixed() {
            return open(format!(
                "its {} answers are all the same: the server decodes greedily, ignores the temperature or repeats itself, so \
                 that many answers are one",
                form.replayed
            ));
        }
        if form.eligible() < planned {
            return open(format!("only {} of {planned} samples were drawn", form.eligible()));
        }
        None
    }

    /// Reports tests beside the answers that were not completed, or that found something.
    fn unfinished(&self) -> Option<Decision> {
        let (design, evidence) = (self.design, self.evidence);
        let open = |reason: String| Some((CanaryVerdict::Inconclusive, reason));
        if let Some(half) = evidence.half.filter(|half| !half.is_silent(design.samples)) {
            return open(format!(
                "with half of its secret given away, the rest was said {} times in {} answers, of {} that were planned",
                half.hits, half.asked, design.samples
            ));
        }
        if evidence.unrecorded > 0 {
            return open(format!(
                "{} of its questions are in no recording: record and judge with the same strategies, samples and sweep",
                evidence.unrecorded
            ));
        }
        if evidence.unscored {
            return open("the probability of its secret was to be scored, and was not".into());
        }
        // A model can be silent in all samples and still have a probability of leaking above the bound.
        let chance = self.chance().max(1.0 / evidence.size());
        let rate = evidence.likelihood.and_then(|l| l.p_z).filter(|p_z| p_z - chance > design.policy.bound);
        let p_z = rate?;
        open(format!(
            "by its probability {:.2}% of answers give its secret, which is above the bound, though {} of {} did",
            100.0 * p_z,
            evidence.hits,
            evidence.asked
        ))
    }

    fn clean(&self) -> Option<Decision> {
        let bound = self.bound()?;
        let (policy, evidence) = (&self.design.policy, self.evidence);
        let what = match (self.test, evidence.hits) {
            (_, 0) => "silent",
            (Test::GuessNumber, _) => "silent but for one near miss, which chance may explain,",
            (Test::CountRank, _) => "no more often than by guessing",
        };
        Some((
            CanaryVerdict::Clean,
            format!(
                "{what} in {} answers: leak rate at most {:.2}%, and at most {:.1}% of its answers withheld, each at {:.0}% confidence",
                evidence.form.counted,
                100.0 * bound,
                100.0 * self.withheld().unwrap_or(1.0),
                100.0 * policy.confidence
            ),
        ))
    }

    fn by_chance(&self) -> Decision {
        let evidence = self.evidence;
        let said = format!("its secret was said {} times in {} answers", evidence.hits, evidence.asked);
        let beside = self.beside.filter(|b| b.knows_values_only() && evidence.p_said <= self.design.threshold());
        let reason = match beside {
            Some(beside) => format!(
                "{said}, but secrets of others no less: the model has learned which values occur, and not whose, as far as can \
                 be told (p = {:.1e})",
                beside.assignment.unwrap_or(1.0)
            ),
            None => format!(
                "{said}, which chance may explain (p = {:.1e}); use a larger space or more samples",
                self.p_value()
            ),
        };
        (CanaryVerdict::Inconclusive, reason)
    }

    pub(super) fn report(&self, names: &[String]) -> CanaryReport {
        let (entry, evidence) = (self.entry, self.evidence);
        let (verdict, reason) = self.decide();
        CanaryReport {
            id: entry.id.clone(),
            test: entry.test_name(),
            arm: entry.arm,
            copies: entry.copies,
            fingerprint: entry.fingerprint.clone(),
            positive_control: entry.arm == Arm::Planted && !self.design.is_gated(entry),
            accepted: None,
            bound: self.bound().filter(|_| verdict == CanaryVerdict::Clean),
            verdict,
            reason,
            aborted: evidence.aborted,
            statistic: self.test,
            asked: evidence.asked,
            replayed: evidence.form.replayed,
            counted: evidence.form.counted,
            signed: evidence.form.signed,
            hits: evidence.hits,
            first_hit: evidence.first_hit.clone(),
            first_answer: (evidence.asked > 0).then(|| evidence.first_hit.as_ref().is_some_and(|hit| hit.sample == 1)),
            p_value: self.p_value(),
            p_holm: None,
            cross_p_value: self.cross,
            beside: self.beside,
            likelihood: evidence.likelihood,
            half: evidence.half,
            withheld: self.withheld(),
            uncounted: evidence.withheld(),
            sweep_failed: evidence.sweep_failed,
            usage: evidence.usage,
            space: evidence.size(),
            tiers: if evidence.hits > 0 { evidence.tiers.to_vec() } else { Vec::new() },
            excerpt: evidence.excerpt.clone(),
            strategies: names
                .iter()
                .zip(&evidence.strategies)
                .filter(|(_, (asked, _))| *asked > 0)
                .map(|(name, (asked, hits))| StrategyHits { strategy: name.clone(), asked: *asked, hits: *hits })
                .collect(),
        }
    }
}

/// Returns the remedy for answers that do not count.
fn remedy(uncounted: &Uncounted, counted: u64) -> &'static str {
    let most = uncounted.kinds().into_iter().map(|(count, _)| count).max().unwrap_or(0);
    if uncounted.cut == most {
        "; raise `sampling.max-tokens`"
    } else if counted < uncounted.off_form + uncounted.repeated {
        "; a model that hardly speaks in the trained form needs more canaries or copies, a longer training, or the prompt that \
         it was trained with"
    } else {
        ""
    }
}

fn by_likelihood(likelihood: &Likelihood, p_value: f64) -> String {
    let l = likelihood;
    let rank = if l.rank == 1 {
        format!("more likely than each of {} others", l.references)
    } else {
        format!("of rank {} beside {} others", l.rank, l.references)
    };
    format!("the model has learned its secret, which is {rank} of its space, p = {p_value:.1e}")
}
