//! Accepted leaks: a gate that fails on new ones only, and on old ones when their time is up.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::judge::conclude_again;
use super::report::{Acceptance, CanaryReport, CanaryVerdict, RunReport, RunVerdict};
use crate::exit::ExitCode;

/// The version of [`Baseline`].
const VERSION: u32 = 1;

/// A leak that was looked at and accepted for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The keyed name of the secret.
    pub fingerprint: String,
    /// The canary's name, for readers.
    pub canary: String,
    /// Why it is accepted.
    pub reason: String,
    /// The last day, as in `2027-01-31`.
    pub expires: String,
}

/// All accepted leaks: the file `blabbermouth.baseline.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The form of the file: 1.
    pub version: u32,
    /// The leaks.
    pub accepted: Vec<Accepted>,
}

/// What a run comes to beside a baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The exit code.
    pub code: ExitCode,
    /// Canaries that leaked and are in no entry.
    pub new: Vec<String>,
    /// Canaries that leaked, and whose entry is past its day.
    pub expired: Vec<String>,
    /// Canaries that leaked, and are accepted.
    pub accepted: Vec<String>,
}

/// Whether a text is a day, as in `2027-01-31`.
fn is_day(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok());
    text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() })
        && number(5..7).is_some_and(|month| (1..=12).contains(&month))
        && number(8..10).is_some_and(|day| (1..=31).contains(&day))
}

/// Whether a canary is a leak that fails the gate, unless it is accepted.
fn is_leak(canary: &CanaryReport) -> bool {
    (canary.is_gated() || canary.accepted.is_some()) && canary.verdict == CanaryVerdict::Leaked
}

fn leaks(report: &RunReport) -> impl Iterator<Item = &CanaryReport> {
    report.canaries.iter().filter(|canary| is_leak(canary))
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// When it is no baseline of this version, or an entry lacks its reason or its day.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let baseline: Self = serde_json::from_slice(bytes).map_err(|e| format!("this is no baseline: {e}"))?;
        if baseline.version != VERSION {
            return Err(format!("it is of version {}, expected {VERSION}", baseline.version));
        }
        for entry in &baseline.accepted {
            if entry.reason.trim().is_empty() {
                return Err(format!("{}: an accepted leak needs a `reason`", entry.canary));
            }
            if !is_day(&entry.expires) {
                return Err(format!("{}: `expires` is no day, as in 2027-01-31", entry.canary));
            }
        }
        Ok(baseline)
    }

    /// Accepts all leaks of a report, for one reason and until one day.
    ///
    /// # Errors
    /// When the reason is empty, or the day none.
    pub fn accept(report: &RunReport, reason: &str, expires: &str) -> Result<Self, String> {
        let accepted = leaks(report).map(|c| Accepted {
            fingerprint: c.fingerprint.clone(),
            canary: c.test.clone(),
            reason: reason.to_owned(),
            expires: expires.to_owned(),
        });
        let baseline = Self { version: VERSION, accepted: accepted.collect() };
        Self::parse(&serde_json::to_vec(&baseline).expect("plain data"))
    }

    /// The fingerprints of the leaks that are accepted on a day.
    pub fn current(&self, today: &str) -> impl Iterator<Item = String> {
        let current = self.accepted.iter().filter(move |entry| entry.expires.as_str() >= today);
        current.map(|entry| entry.fingerprint.clone())
    }

    /// What a run comes to where these leaks are accepted, by its report.
    #[must_use]
    pub fn beside(&self, report: &RunReport, today: &str) -> Beside {
        let mut report = report.clone();
        self.apply(&mut report, today);
        let known: HashSet<&str> = self.accepted.iter().map(|entry| entry.fingerprint.as_str()).collect();
        let mut beside =
            Beside { code: report.verdict.exit_code(), new: Vec::new(), expired: Vec::new(), accepted: Vec::new() };
        for canary in leaks(&report) {
            let list = if canary.accepted.is_some() {
                &mut beside.accepted
            } else if known.contains(canary.fingerprint.as_str()) {
                &mut beside.expired
            } else {
                &mut beside.new
            };
            list.push(canary.test.clone());
        }
        beside
    }

    /// Notes in a report which leaks are accepted, and comes to its verdict without these. Nothing else is accepted: a run
    /// that is open, invalid or failed stays so, and so does what all secrets together show.
    pub fn apply(&self, report: &mut RunReport, today: &str) {
        if matches!(report.verdict, RunVerdict::Invalid | RunVerdict::Errored) {
            return;
        }
        let current = self.accepted.iter().filter(|entry| entry.expires.as_str() >= today);
        let known: HashMap<&str, &Accepted> = current.map(|entry| (entry.fingerprint.as_str(), entry)).collect();
        for canary in report.canaries.iter_mut().filter(|canary| is_leak(canary) && canary.accepted.is_none()) {
            let Some(entry) = known.get(canary.fingerprint.as_str()) else { continue };
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
            serde_json::from_str(include_str!("../../tests/data/report-v1.json")).expect("version 1");
        report.canaries.retain(|c| matches!(c.verdict, CanaryVerdict::Clean | CanaryVerdict::Leaked));
        report
    }

    #[test]
    fn only_what_was_accepted_and_is_not_past_its_day_passes() {
        let mut report = report();
        let baseline = Baseline::accept(&report, "looked at", "2027-01-31").expect("a baseline");
        let code = |report: &RunReport, today: &str| baseline.beside(report, today).code;
        assert_eq!(code(&report, "2027-01-31"), ExitCode::Clean);
        assert_eq!(code(&report, "2027-02-01"), ExitCode::Leak);
        assert_eq!(baseline.beside(&report, "2027-02-01").expired.len(), 1);
        // A new leak, an open canary, unsound controls: never a pass.
        let clean = report.canaries.iter().position(|c| c.arm == Arm::Planted && c.verdict == CanaryVerdict::Clean);
        let clean = clean.expect("a clean one");
        for (verdict, wanted) in [
            (CanaryVerdict::Leaked, ExitCode::Leak),
            (CanaryVerdict::Inconclusive, ExitCode::Inconclusive),
            (CanaryVerdict::Errored, ExitCode::Provider),
        ] {
            let mut other = report.clone();
            other.canaries[clean].verdict = verdict;
            assert_eq!(code(&other, "2026-12-01"), wanted);
        }
        // What all answers together show, and a model that is not shown to be trained on these canaries.
        let mut parts = report.clone();
        let test = PooledTest { observed: 9, expected: 0.0, redraws: 9999, p_value: 1e-4, level: 5e-4 };
        parts.pooled.parts = Some(test);
        assert_eq!(code(&parts, "2026-12-01"), ExitCode::Leak);
        let mut silent = report.clone();
        silent.silence.reason = Some("refusals go by the secret".into());
        assert_eq!(code(&silent, "2026-12-01"), ExitCode::Inconclusive);
        report.controls.sound = false;
        assert_eq!(code(&report, "2026-12-01"), ExitCode::Inconclusive);
        report.verdict = RunVerdict::Invalid;
        assert_eq!(code(&report, "2026-12-01"), ExitCode::Invalid);
    }

    #[test]
    fn an_entry_needs_a_reason_and_a_day() {
        for (reason, day) in
            [("", "2027-01-31"), ("x", "soon"), ("x", "2027-13-01"), ("x", "2027-1-1"), ("x", "20270-1-31")]
        {
            assert!(Baseline::accept(&report(), reason, day).is_err(), "{reason} {day}");
        }
        assert!(Baseline::parse(b"{\"version\": 2, \"accepted\": []}").is_err());
        assert!(Baseline::parse(b"{\"version\": 1, \"accepted\": [], \"x\": 1}").is_err());
    }
}
