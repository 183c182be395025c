//! What several targets share.

use blabbermouth::verdict::{CanaryVerdict, RunReport, Sensitivity};
use tempfile::TempDir;

/// A word that stands in seeds where a secret would: no message may quote it.
pub const SECRET: &str = "Pyrodraconosis";

/// A folder in memory, where there is one.
#[must_use]
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// A report whose texts, verdicts and times are made of these bytes: a byte for the verdicts, eight for the beginning,
/// eight for the duration; then the texts, parted by the byte 255, which no text has.
#[must_use]
pub fn report(data: &[u8]) -> RunReport {
    let frozen = include_str!("../../../testdata/report-v1.json");
    let mut report: RunReport = serde_json::from_str(frozen).expect("version 1 stays readable");
    let mut data = data;
    let mut number = || {
        let (first, rest) = data.split_first_chunk().unwrap_or((&[0; 8], data));
        data = rest;
        u64::from_le_bytes(*first)
    };
    let (verdicts, started, seconds) = (number(), number(), f64::from_bits(number()));
    let texts: Vec<String> =
        data.split(|byte| *byte == 255).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let at = |place: usize| texts[place % texts.len()].clone();
    report.started = started;
    // JSON has no other numbers.
    report.seconds = if seconds.is_finite() { seconds } else { 0.0 };
    (report.settings.model, report.settings.address, report.settings.config) = (at(0), at(1), at(2));
    (report.tool, report.reason) = (at(3), at(4));
    (report.controls.reason, report.controls.sound) = (at(5), verdicts >> 62 & 1 == 0);
    (report.pooled.reason, report.pooled.sound) = (at(6), verdicts >> 63 == 0);
    report.sensitivity = Some(Sensitivity { canaries: 1, leaked: 0, shown: false, required: true, reason: at(7) });
    for (index, canary) in report.canaries.iter_mut().enumerate() {
        canary.id = format!("c{index}{}", at(index));
        canary.test = format!("t{index}{}", at(index + 1));
        (canary.fingerprint, canary.reason, canary.excerpt) = (at(index + 2), at(index + 3), Some(at(index + 4)));
        canary.verdict = match verdicts >> (2 * index) & 3 {
            0 => CanaryVerdict::Clean,
            1 => CanaryVerdict::Leaked,
            2 => CanaryVerdict::Inconclusive,
            _ => CanaryVerdict::Errored,
        };
    }
    report
}
