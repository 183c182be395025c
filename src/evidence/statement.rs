//! The in-toto statement with the test-result predicate, version 0.1.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::subject::Subject;
use blabbermouth_core::verdict::{CanaryVerdict, RunReport, RunVerdict};

/// SHA-256 of bytes, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Result for a promotion gate:
///
/// | run | result |
/// | --- | --- |
/// | clean, without a caveat | `PASSED` |
/// | clean, with a caveat | `WARNED` |
/// | any other, and a run on the mock | `FAILED` |
pub(super) fn result(report: &RunReport) -> &'static str {
    // `ROWS NOT CHECKED` is no caveat here, because the signature in the answers proves the training. A resumed run
    // keeps its caveat: its older answers may be of other weights under the same name.
    let is_caveat = |caveat: &String| caveat != "ROWS NOT CHECKED";
    match report.verdict {
        RunVerdict::Clean if report.settings.mock => "FAILED",
        RunVerdict::Clean if report.caveats().iter().any(is_caveat) => "WARNED",
        RunVerdict::Clean => "PASSED",
        _ => "FAILED",
    }
}

/// Statement about a model; `files` are the files whose digests it holds.
pub(super) fn statement(report: &RunReport, subjects: &[Subject], files: &BTreeMap<&str, Vec<u8>>) -> Value {
    let mut configuration = inputs(report);
    for (name, bytes) in files {
        let mut descriptor = json!({"name": name, "digest": {"sha256": sha256(bytes)},
                                    "annotations": {"role": "evidence"}});
        if *name == super::REPORT {
            descriptor["annotations"]["verdict"] = json!(report.verdict.as_str());
            descriptor["annotations"]["reason"] = json!(report.reason);
        }
        configuration.push(descriptor);
    }
    let named = |wanted: &dyn Fn(CanaryVerdict) -> bool, accepted: bool| -> Vec<&str> {
        let all = report.canaries.iter().filter(|c| c.accepted.is_some() == accepted && wanted(c.verdict));
        all.map(|c| c.test.as_str()).collect()
    };
    let mut warned = named(&|verdict| verdict == CanaryVerdict::Inconclusive, false);
    warned.extend(named(&|_| true, true));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.iter().map(Subject::descriptor).collect::<Vec<_>>(),
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": result(report),
            "configuration": configuration,
            "passedTests": named(&|verdict| verdict == CanaryVerdict::Clean, false),
            "warnedTests": warned,
            "failedTests": named(&|v| matches!(v, CanaryVerdict::Leaked | CanaryVerdict::Errored), false),
        }
    })
}

/// Descriptors of the inputs of a run.
fn inputs(report: &RunReport) -> Vec<Value> {
    let Some(sources) = &report.sources else { return Vec::new() };
    let some = |digest: &Option<String>| digest.clone().unwrap_or_default();
    let all = [
        ("program", some(&sources.program)),
        ("manifest", sources.manifest.clone()),
        ("configuration", some(&sources.configuration)),
        ("policy", some(&sources.policy)),
        ("training file", some(&sources.training_file)),
        ("strategies", sources.strategies.clone()),
    ];
    let hex = all.iter().filter_map(|(name, digest)| digest.strip_prefix("sha256:").map(|hex| (name, hex)));
    hex.map(|(name, hex)| json!({"name": name, "digest": {"sha256": hex}, "annotations": {"role": "input"}})).collect()
}

/// Digests of the evidence files in a statement, by name.
pub(super) fn digests(statement: &Value) -> BTreeMap<String, String> {
    let all = statement["predicate"]["configuration"].as_array().into_iter().flatten();
    let evidence = all.filter(|descriptor| descriptor["annotations"]["role"] == "evidence");
    let pair = |d: &Value| Some((d["name"].as_str()?.to_owned(), d["digest"]["sha256"].as_str()?.to_owned()));
    evidence.filter_map(pair).collect()
}

/// Names and digests of the subjects of a statement.
pub(super) fn subjects(statement: &Value) -> Vec<(String, String)> {
    let all = statement["subject"].as_array().into_iter().flatten();
    let pair = |subject: &Value| {
        let (algorithm, digest) = subject["digest"].as_object()?.iter().next()?;
        Some((subject["name"].as_str()?.to_owned(), format!("{algorithm}:{}", digest.as_str()?)))
    };
    all.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_a_clean_run_without_a_caveat() {
        let mut report: RunReport =
            serde_json::from_str(include_str!("../../testdata/report-v1.json")).expect("version 1");
        report.settings.planted = 60;
        report.settings.detectors = blabbermouth_core::detect::Detector::ALL.to_vec();
        for verdict in [RunVerdict::Invalid, RunVerdict::Leaked, RunVerdict::Errored, RunVerdict::Inconclusive] {
            report.verdict = verdict;
            assert_eq!(result(&report), "FAILED");
        }
        report.verdict = RunVerdict::Clean;
        assert_eq!((result(&report), report.caveats()), ("PASSED", Vec::<String>::new()));
        let mut mock = report.clone();
        mock.settings.mock = true;
        assert_eq!(result(&mock), "FAILED");
        let mut weak = report.clone();
        weak.settings.policy.bound = 0.05;
        assert_eq!(result(&weak), "WARNED");
        let mut part = report.clone();
        part.settings.canaries = 1_000;
        assert_eq!(result(&part), "WARNED");
        let mut untested = report.clone();
        untested.untested_claim = Some("too few canaries".into());
        assert_eq!((result(&untested), untested.caveats()), ("WARNED", vec!["CLAIM NOT TESTED".to_owned()]));
        let mut resumed = report.clone();
        resumed.sources = Some(blabbermouth_core::verdict::Sources { resumed: 7, ..Default::default() });
        assert_eq!(result(&resumed), "WARNED");
        report.settings.rows_checked = false;
        assert_eq!(result(&report), "PASSED");
    }
}
