//! Evidence: a folder that shows an auditor or a promotion gate what a run found about a model.
//!
//! All files are made from one sealed [`RunReport`]. `statement.json` is an in-toto statement (test-result predicate,
//! v0.1). The statement names the model by digest, and holds the digests of the report and of the documents.
//! `statement.dsse.json` is the statement in a signed DSSE envelope, so one signature covers the folder.

mod annex;
mod attacks;
mod bom;
mod card;
mod controls;
mod document;
mod envelope;
mod error;
mod statement;
mod subject;

use std::collections::BTreeMap;

use serde_json::Value;

pub use envelope::{Signer, Verifier};
pub use error::EvidenceError;
pub use subject::Subject;

use crate::exit::ExitCode;
use crate::report::{ReportFormat, SourceMap};
use blabbermouth_core::verdict::{REPORT_VERSION, RunReport};

const STATEMENT: &str = "statement.json";
const ENVELOPE: &str = "statement.dsse.json";
const PREDICATE: &str = "predicate.json";
const REPORT: &str = "report.json";
/// Files whose digests are in the statement.
const DIGESTED: [&str; 5] = ["annex.html", "annex.md", "ml-bom.json", "model-card.md", REPORT];

/// Files of an evidence folder.
///
/// ```
/// use blabbermouth::canary::Key;
/// use blabbermouth::evidence::{EvidencePack, Signer, Subject, Verifier};
/// use blabbermouth::verdict::RunReport;
///
/// let report: RunReport = serde_json::from_str(include_str!("../../testdata/report-v1.json"))?;
/// let key = Key::random()?;
/// let pack = EvidencePack::new(&report, &[Subject::of_model(&report)], &Signer::Manifest(key.clone()));
/// let files = pack.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
/// let verified = EvidencePack::verify(&files, &Verifier::Manifest(key))?;
/// assert_eq!(verified.result, "FAILED");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EvidencePack(BTreeMap<&'static str, Vec<u8>>);

/// The content of a folder whose signature and digests are valid.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedEvidence {
    /// `PASSED`, `WARNED` or `FAILED`.
    pub result: String,
    /// Name and digest of each tested subject.
    pub subjects: Vec<(String, String)>,
    /// Verdict of the run and its reason, in one line.
    pub verdict: String,
    /// The exit code of that verdict.
    pub code: ExitCode,
    /// The run report.
    pub report: Box<RunReport>,
}

impl EvidencePack {
    /// Name of the file with the signature.
    pub const ENVELOPE: &'static str = ENVELOPE;
    /// The names of all files.
    pub const FILES: [&str; 8] =
        ["annex.html", "annex.md", "ml-bom.json", "model-card.md", PREDICATE, REPORT, ENVELOPE, STATEMENT];

    /// Makes the files from a report; `subjects` is the tested model.
    ///
    /// # Panics
    /// When `subjects` is empty: a statement needs one.
    #[must_use]
    pub fn new(report: &RunReport, subjects: &[Subject], signer: &Signer) -> Self {
        assert!(!subjects.is_empty(), "a statement has a subject");
        let whole = ReportFormat::Json.render(report, &SourceMap::default()).expect("JSON is always written");
        let annex = annex::annex(report, subjects);
        let mut files = BTreeMap::from([
            ("annex.html", annex.html().into_bytes()),
            ("annex.md", annex.markdown().into_bytes()),
            ("ml-bom.json", lines_of(&bom::bom(report, subjects))),
            ("model-card.md", card::card(report).into_bytes()),
            (REPORT, whole),
        ]);
        let statement = statement::statement(report, subjects, &files);
        let bytes = lines_of(&statement);
        files.insert(PREDICATE, lines_of(&statement["predicate"]));
        files.insert(ENVELOPE, envelope::seal(&bytes, signer));
        files.insert(STATEMENT, bytes);
        Self(files)
    }

    /// All files by name.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.iter().map(|(name, bytes)| (*name, bytes.as_slice()))
    }

    /// Verifies the files of a folder. Each byte of each file counts: the signature covers the statement, and the
    /// statement covers the other files.
    ///
    /// # Errors
    /// When a file is missing, changed or not part of the evidence, or the signature is not by the key of `verifier`.
    pub fn verify(files: &BTreeMap<String, Vec<u8>>, verifier: &Verifier) -> Result<VerifiedEvidence, EvidenceError> {
        if let Some(name) = files.keys().find(|name| !Self::FILES.contains(&name.as_str())) {
            return Err(EvidenceError::Foreign { name: name.clone() });
        }
        let file = |name: &'static str| files.get(name).map(Vec::as_slice).ok_or(EvidenceError::Missing { name });
        let bytes = envelope::open(file(ENVELOPE)?, verifier)?;
        if bytes != file(STATEMENT)? {
            return Err(EvidenceError::Changed { name: STATEMENT });
        }
        let statement: Value =
            serde_json::from_slice(&bytes).map_err(|_| EvidenceError::Changed { name: STATEMENT })?;
        if lines_of(&statement["predicate"]) != file(PREDICATE)? {
            return Err(EvidenceError::Changed { name: PREDICATE });
        }
        let digests = statement::digests(&statement);
        for name in DIGESTED {
            if digests.get(name).is_none_or(|known| *known != statement::sha256(files.get(name).map_or(&[], |f| f))) {
                file(name)?;
                return Err(EvidenceError::Changed { name });
            }
        }
        let report: RunReport =
            serde_json::from_slice(file(REPORT)?).map_err(|_| EvidenceError::Changed { name: REPORT })?;
        if report.version != REPORT_VERSION {
            return Err(EvidenceError::Version { found: report.version });
        }
        Ok(VerifiedEvidence {
            result: statement["predicate"]["result"].as_str().unwrap_or_default().to_owned(),
            subjects: statement::subjects(&statement),
            verdict: format!("{}: {}", report.verdict.as_str(), report.reason),
            code: report.verdict.into(),
            report: Box::new(report),
        })
    }
}

/// JSON with a final line end, and keys in alphabetical order.
fn lines_of(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain JSON");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use blabbermouth_core::canary::Key;

    fn report() -> RunReport {
        serde_json::from_str(include_str!("../../testdata/report-v1.json")).expect("version 1")
    }

    fn collected(pack: &EvidencePack) -> BTreeMap<String, Vec<u8>> {
        pack.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
    }

    #[test]
    fn one_bit_in_any_file_is_an_error() {
        let key = Key::from_text("a key for the tests of evidence").expect("long");
        let (signer, verifier) = envelope::tests::pair();
        for (signer, verifier) in [(Signer::Manifest(key.clone()), Verifier::Manifest(key.clone())), (signer, verifier)]
        {
            let report = report();
            let files = collected(&EvidencePack::new(&report, &[Subject::of_model(&report)], &signer));
            assert!(EvidencePack::verify(&files, &verifier).is_ok());
            let mut tried = 0;
            for (name, bytes) in &files {
                // All bits of a short file; in a long one a prime step reaches every part.
                let step = if bytes.len() < 3_000 { 1 } else { 97 };
                for bit in (0..bytes.len() * 8).step_by(step) {
                    let mut edited = files.clone();
                    edited.get_mut(name).expect("there")[bit / 8] ^= 1 << (bit % 8);
                    assert!(EvidencePack::verify(&edited, &verifier).is_err(), "{name}: bit {bit}");
                    tried += 1;
                }
                let mut edited = files.clone();
                edited.get_mut(name).expect("there").push(b'\n');
                assert!(EvidencePack::verify(&edited, &verifier).is_err(), "{name}: longer");
                edited.remove(name);
                assert!(EvidencePack::verify(&edited, &verifier).is_err(), "{name}: missing");
            }
            assert!(tried > 5_000, "{tried}");
            let mut more = files.clone();
            more.insert("notes.txt".into(), Vec::new());
            assert!(matches!(EvidencePack::verify(&more, &verifier), Err(EvidenceError::Foreign { .. })));
            let other = Key::from_text("another key for these tests").expect("long");
            assert!(EvidencePack::verify(&files, &Verifier::Manifest(other)).is_err());
        }
    }

    #[test]
    fn a_forged_folder_is_refused() {
        let (signer, verifier) = envelope::tests::pair();
        let report = report();
        let ours = collected(&EvidencePack::new(&report, &[Subject::of_model(&report)], &signer));
        // An attacker makes a whole folder from a better report.
        let mut better = report.clone();
        better.verdict = blabbermouth_core::verdict::RunVerdict::Clean;
        let key = Key::from_text("a key of an attacker, long enough").expect("long");
        let forged = collected(&EvidencePack::new(&better, &[Subject::of_model(&better)], &Signer::Manifest(key)));
        assert!(EvidencePack::verify(&forged, &verifier).is_err());
        // Files of two folders do not mix.
        for name in EvidencePack::FILES {
            let mut mixed = ours.clone();
            mixed.insert(name.to_owned(), forged[name].clone());
            assert!(ours[name] == forged[name] || EvidencePack::verify(&mixed, &verifier).is_err(), "{name}");
        }
    }

    #[test]
    fn files_are_pinned() {
        let report = report();
        let key = Key::from_text("a key for the tests of evidence").expect("long");
        let subjects = [Subject::of_model(&report)];
        let files = collected(&EvidencePack::new(&report, &subjects, &Signer::Manifest(key)));
        let text = |name: &str| String::from_utf8(files[name].clone()).expect("text");
        for name in ["annex.md", "model-card.md", "ml-bom.json", STATEMENT] {
            insta::assert_snapshot!(name, text(name));
        }
    }
}
