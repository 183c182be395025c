//! Accepted leaks: a gate that fails on new ones only, and on old ones when their time is up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::{CanaryReport, CanaryVerdict, RunReport, RunVerdict};
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

fn leaks(report: &RunReport) -> impl Iterator<Item = &CanaryReport> {
    report.canaries.iter().filter(|c| c.is_gated() && c.verdict == CanaryVerdict::Leaked)
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

    /// What a run comes to where these leaks are accepted. Nothing else is: a run that is open, invalid or failed stays so.
    #[must_use]
    pub fn beside(&self, report: &RunReport, today: &str) -> Beside {
        let known: BTreeMap<&str, &str> =
            self.accepted.iter().map(|entry| (entry.fingerprint.as_str(), entry.expires.as_str())).collect();
        let mut beside =
            Beside { code: report.verdict.exit_code(), new: Vec::new(), expired: Vec::new(), accepted: Vec::new() };
        for canary in leaks(report) {
            let list = match known.get(canary.fingerprint.as_str()) {
                None => &mut beside.new,
                Some(expires) if *expires < today => &mut beside.expired,
                Some(_) => &mut beside.accepted,
            };
            list.push(canary.test.clone());
        }
        // A refuted claim, or what all secrets together show, is no leak that could be accepted.
        let refuted = report.claim.as_ref().is_some_and(|claim| claim.refuted)
            || report.exposure.as_ref().is_some_and(|exposure| exposure.leaked);
        if report.verdict == RunVerdict::Leaked && !refuted && beside.new.is_empty() && beside.expired.is_empty() {
            let open = |verdict| report.canaries.iter().any(|c| c.verdict == verdict);
            beside.code = if open(CanaryVerdict::Errored) {
                ExitCode::Provider
            } else if open(CanaryVerdict::Inconclusive)
                || !report.controls.sound
                || report.sensitivity.as_ref().is_some_and(|s| s.is_missing())
            {
                ExitCode::Inconclusive
            } else {
                ExitCode::Clean
            };
        }
        beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::Arm;

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
