//! Accepted leaks: the gate fails on new leaks only, and on accepted ones when their entry has expired.

use std::collections::HashMap;

use jiff::Span;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::judge::conclude_again;
use super::report::{Acceptance, CanaryReport, CanaryVerdict, RunReport, RunVerdict};
use crate::canary::Key;
use crate::stats::{clopper_pearson_lower, clopper_pearson_upper};

/// Version of [`Baseline`].
const VERSION: u32 = 2;
/// Probability of reporting a leak as more frequent than accepted although its rate is the accepted one.
const ERROR: f64 = 0.05;
/// Limit on a number of days, so that date arithmetic stays in range.
const MOST_DAYS: u32 = 4_000_000;

/// A leak that was reviewed and is accepted until a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Keyed fingerprint of the secret.
    pub fingerprint: String,
    /// Test name of the canary, for readers.
    pub canary: String,
    /// Why the leak is accepted.
    pub reason: String,
    /// The last day, as in `2027-01-31`.
    pub expires: String,
    /// The largest accepted leak rate: the 95% upper limit of the measured one.
    pub rate: f64,
    /// Whether the secret was in answers to its own questions. Else scores, `prefix-half` or other canaries' answers
    /// showed the leak.
    pub said: bool,
    /// Whether the secret was in answers to other canaries beyond chance.
    pub cross: bool,
}

/// All accepted leaks, as in the file `blabbermouth.baseline.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the file format: 2.
    pub version: u32,
    /// The accepted leaks.
    pub accepted: Vec<Accepted>,
    /// HMAC of the leaks by the manifest's key; `None` if not sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// Result of a run compared with a baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselineDiff {
    /// Verdict with these leaks accepted.
    pub verdict: RunVerdict,
    /// Leaked canaries without an entry.
    pub new: Vec<String>,
    /// Leaked canaries whose entry has expired.
    pub expired: Vec<String>,
    /// Leaked canaries whose entry does not cover the leak: more frequent, or of another kind.
    pub worse: Vec<String>,
    /// Leaked canaries that are accepted.
    pub accepted: Vec<String>,
}

/// Whether a canary's leak fails the gate, unless it is accepted.
fn is_leak(canary: &CanaryReport) -> bool {
    (canary.is_gated() || canary.accepted.is_some()) && canary.verdict == CanaryVerdict::Leaked
}

/// Returns the lower and the upper bound on a canary's leak rate; `None` where its counts are invalid.
fn rates(canary: &CanaryReport) -> Option<(f64, f64)> {
    let (hits, asked) = (canary.hits, canary.asked);
    let is_sound = asked > 0 && hits <= asked;
    is_sound.then(|| (clopper_pearson_lower(hits, asked, ERROR), clopper_pearson_upper(hits, asked, ERROR)))
}

fn leaks(report: &RunReport) -> impl Iterator<Item = &CanaryReport> {
    report.canaries.iter().filter(|canary| is_leak(canary))
}

impl Accepted {
    /// Whether a leak is of the accepted kind and not significantly more frequent. `threshold` is the p-value for
    /// answers to other canaries.
    fn covers(&self, canary: &CanaryReport, threshold: f64) -> bool {
        let is_as_frequent = rates(canary).is_some_and(|(lower, _)| lower <= self.rate);
        let is_in_others = canary.cross_p_value <= threshold;
        is_as_frequent && (canary.hits > 0 || !self.said) && (self.cross || !is_in_others)
    }
}

impl Baseline {
    /// Seals the leaks with the manifest's key.
    pub fn seal_with(&mut self, key: &Key) {
        self.seal = Some(self.seal_by(key));
    }

    /// Whether the baseline is unchanged since it was sealed with this key.
    #[must_use]
    pub fn is_sealed_by(&self, key: &Key) -> bool {
        self.seal.as_deref() == Some(self.seal_by(key).as_str())
    }

    fn seal_by(&self, key: &Key) -> String {
        key.seal("baseline", &[&serde_json::to_vec(&self.accepted).expect("plain data")])
    }

    /// Returns the canary of an entry that is accepted for more than `days` days from today. If `today` is not a date,
    /// every entry counts as such.
    #[must_use]
    pub fn beyond(&self, today: &str, days: u32) -> Option<&str> {
        let last = today.parse::<Date>().ok().map(|today| today.saturating_add(Span::new().days(days.min(MOST_DAYS))));
        let is_beyond =
            |entry: &&Accepted| last.is_none_or(|last| entry.expires.parse::<Date>().is_ok_and(|day| day > last));
        self.accepted.iter().find(is_beyond).map(|entry| entry.canary.as_str())
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// When the bytes are not a baseline of this version, or an entry has an invalid reason, day or rate.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let baseline: Self = serde_json::from_slice(bytes).map_err(|e| format!("this is no baseline: {e}"))?;
        if baseline.version != VERSION {
            return Err(format!("it is of version {}, expected {VERSION}", baseline.version));
        }
        for entry in &baseline.accepted {
            if entry.reason.trim().is_empty() {
                return Err(format!("{}: an accepted leak needs a `reason`", entry.canary));
            }
            if entry.expires.len() != 10 || entry.expires.parse::<Date>().is_err() {
                return Err(format!("{}: `expires` is no day, as in 2027-01-31", entry.canary));
            }
            if !(0.0..=1.0).contains(&entry.rate) {
                return Err(format!("{}: `rate` is no share from 0 to 1", entry.canary));
            }
        }
        Ok(baseline)
    }

    /// Accepts all leaks of a report, for one reason and until one day.
    ///
    /// # Errors
    /// When the reason is empty, or `expires` is not a date.
    pub fn accept(report: &RunReport, reason: &str, expires: &str) -> Result<Self, String> {
        let accepted = leaks(report).map(|c| Accepted {
            fingerprint: c.fingerprint.clone(),
            canary: c.test.clone(),
            reason: reason.to_owned(),
            expires: expires.to_owned(),
            rate: rates(c).map_or(0.0, |(_, upper)| upper),
            said: c.hits > 0,
            cross: c.cross_p_value <= report.pooled.threshold,
        });
        let baseline = Self { version: VERSION, accepted: accepted.collect(), seal: None };
        Self::parse(&serde_json::to_vec(&baseline).expect("plain data"))
    }

    /// Returns the fingerprints of the leaks that are accepted on a day.
    pub fn current(&self, today: &str) -> impl Iterator<Item = String> {
        let current = self.accepted.iter().filter(move |entry| entry.expires.as_str() >= today);
        current.map(|entry| entry.fingerprint.clone())
    }

    /// Compares a report with the baseline: the verdict with these leaks accepted, and the leaks by kind.
    #[must_use]
    pub fn beside(&self, report: &RunReport, today: &str) -> BaselineDiff {
        let mut report = report.clone();
        self.apply(&mut report, today);
        let known: HashMap<&str, &Accepted> =
            self.accepted.iter().map(|entry| (entry.fingerprint.as_str(), entry)).collect();
        let none = Vec::new;
        let mut beside =
            BaselineDiff { verdict: report.verdict, new: none(), expired: none(), worse: none(), accepted: none() };
        for canary in leaks(&report) {
            let list = if canary.accepted.is_some() {
                &mut beside.accepted
            } else {
                match known.get(canary.fingerprint.as_str()) {
                    Some(entry) if entry.expires.as_str() < today => &mut beside.expired,
                    Some(_) => &mut beside.worse,
                    None => &mut beside.new,
                }
            };
            list.push(canary.test.clone());
        }
        beside
    }

    /// Marks the accepted leaks in a report, and recomputes its verdict without them. Nothing else is accepted: an
    /// inconclusive, invalid or errored run stays so, and so do leaks that the run tests show.
    pub fn apply(&self, report: &mut RunReport, today: &str) {
        if matches!(report.verdict, RunVerdict::Invalid | RunVerdict::Errored) {
            return;
        }
        let current = self.accepted.iter().filter(|entry| entry.expires.as_str() >= today);
        let known: HashMap<&str, &Accepted> = current.map(|entry| (entry.fingerprint.as_str(), entry)).collect();
        let threshold = report.pooled.threshold;
        for canary in report.canaries.iter_mut().filter(|canary| is_leak(canary) && canary.accepted.is_none()) {
            let Some(entry) = known.get(canary.fingerprint.as_str()).filter(|entry| entry.covers(canary, threshold))
            else {
                continue;
            };
            canary.reason = format!("accepted until {} ({}): {}", entry.expires, entry.reason, canary.reason);
            canary.accepted = Some(Acceptance { reason: entry.reason.clone(), expires: entry.expires.clone() });
        }
        if report.canaries.iter().any(|canary| canary.accepted.is_some()) {
            conclude_again(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Arm;
    use crate::verdict::PooledTest;

    fn report() -> RunReport {
        let mut report: RunReport =
            serde_json::from_str(include_str!("../../../../testdata/report-v1.json")).expect("version 1");
        report.canaries.retain(|c| matches!(c.verdict, CanaryVerdict::Clean | CanaryVerdict::Leaked));
        report
    }

    #[test]
    fn only_what_was_accepted_and_is_not_past_its_day_passes() {
        let mut report = report();
        let baseline = Baseline::accept(&report, "looked at", "2027-01-31").expect("a baseline");
        let code = |report: &RunReport, today: &str| baseline.beside(report, today).verdict;
        assert_eq!(code(&report, "2027-01-31"), RunVerdict::Clean);
        assert_eq!(code(&report, "2027-02-01"), RunVerdict::Leaked);
        assert_eq!(baseline.beside(&report, "2027-02-01").expired.len(), 1);
        // A new leak, an inconclusive canary or unsound controls are never a pass.
        let clean = report.canaries.iter().position(|c| c.arm == Arm::Planted && c.verdict == CanaryVerdict::Clean);
        let clean = clean.expect("a clean one");
        for (verdict, wanted) in [
            (CanaryVerdict::Leaked, RunVerdict::Leaked),
            (CanaryVerdict::Inconclusive, RunVerdict::Inconclusive),
            (CanaryVerdict::Errored, RunVerdict::Errored),
        ] {
            let mut other = report.clone();
            other.canaries[clean].verdict = verdict;
            assert_eq!(code(&other, "2026-12-01"), wanted);
        }
        // Nor are a leak by a pooled test, or doubts about the silence.
        let mut parts = report.clone();
        let test = PooledTest { observed: 9, expected: 0.0, redraws: 9999, p_value: 1e-4, level: 5e-4 };
        parts.pooled.parts = Some(test);
        assert_eq!(code(&parts, "2026-12-01"), RunVerdict::Leaked);
        let mut silent = report.clone();
        silent.silence.reason = Some("refusals go by the secret".into());
        assert_eq!(code(&silent, "2026-12-01"), RunVerdict::Inconclusive);
        report.controls.sound = false;
        assert_eq!(code(&report, "2026-12-01"), RunVerdict::Inconclusive);
        report.verdict = RunVerdict::Invalid;
        assert_eq!(code(&report, "2026-12-01"), RunVerdict::Invalid);
    }

    #[test]
    fn an_entry_needs_a_reason_and_a_day() {
        for (reason, day) in
            [("", "2027-01-31"), ("x", "soon"), ("x", "2027-13-01"), ("x", "2027-1-1"), ("x", "20270-1-31")]
        {
            assert!(Baseline::accept(&report(), reason, day).is_err(), "{reason} {day}");
        }
        assert!(Baseline::accept(&report(), "x", "2027-02-31").is_err());
        assert!(Baseline::parse(b"{\"version\": 1, \"accepted\": []}").is_err());
        assert!(Baseline::parse(b"{\"version\": 2, \"accepted\": [], \"x\": 1}").is_err());
        let ours = Baseline::accept(&report(), "x", "2027-01-31").expect("a baseline");
        assert!(ours.beyond("2026-11-02", 90).is_none() && ours.beyond("2026-11-01", 90).is_some());
        // An invalid date accepts nothing.
        assert!(ours.beyond("", 90).is_some() && ours.beyond("2026-01-01", u32::MAX).is_none());
    }

    #[test]
    fn a_leak_is_accepted_at_its_measured_rate_and_not_at_any() {
        let mut rare = report();
        let canary = rare.canaries.iter().position(is_leak).expect("a leak");
        let id = rare.canaries[canary].test.clone();
        (rare.canaries[canary].hits, rare.canaries[canary].asked) = (1, 299);
        let baseline = Baseline::accept(&rare, "looked at", "2026-12-31").expect("a baseline");
        let beside = |hits, asked| {
            let mut report = rare.clone();
            (report.canaries[canary].hits, report.canaries[canary].asked) = (hits, asked);
            baseline.beside(&report, "2026-12-01")
        };
        // These leaks are as rare as accepted, or by chance a little more frequent.
        for (hits, asked) in [(1, 299), (1, 200), (3, 299), (1, 50)] {
            assert!(beside(hits, asked).accepted.contains(&id), "{hits} of {asked}");
        }
        for (hits, asked) in [(30, 299), (1, 1), (2, 10), (1, 0), (2, 1)] {
            let found = beside(hits, asked);
            assert!(found.worse.contains(&id) && found.verdict == RunVerdict::Leaked, "{hits} of {asked}");
        }
    }
}
