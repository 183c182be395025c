//! Matrix of controls: recommendations of regulators and standards, and what a run adds to each.

use blabbermouth_core::verdict::RunReport;

/// One recommendation.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) source: &'static str,
    pub(super) topic: &'static str,
    /// `yes`, `in part` or `not covered`.
    pub(super) status: &'static str,
    pub(super) text: String,
}

const YES: &str = "yes";
const PART: &str = "in part";
const NO: &str = "not covered";

pub(super) fn controls(report: &RunReport) -> Vec<Control> {
    let row = |source, topic, status, text: &str| Control { source, topic, status, text: text.to_owned() };
    let stated = report.context.as_ref().is_some_and(|context| context.stated().next().is_some());
    let scored = report.exposure.is_some();
    let claimed = report.claim.is_some();
    let model = !report.settings.mock;
    // A mock answers for no model, so its run covers nothing.
    let unless_mock = |status| if model { status } else { NO };
    vec![
        row(
            "EDPB opinion 28/2024, paragraph 46",
            "the context in which the model is released or used",
            if stated { PART } else { NO },
            if stated { "\"Context of the release\", as stated by the user" } else { "no `[context]` was stated" },
        ),
        row(
            "EDPB opinion 28/2024, paragraph 55",
            "tests of the resistance to known attacks",
            unless_mock(PART),
            "extraction and regurgitation of planted records; the attacks under \"Not tested\" are missing",
        ),
        row(
            "EDPB opinion 28/2024, paragraph 58",
            "documentation of tests and their results",
            unless_mock(PART),
            "this folder, signed; the impact assessment and the measures in training are the controller's",
        ),
        row(
            "CNIL, AI sheets of 22 July 2025",
            "documented tests of re-identification, to tell whether the model falls under the GDPR",
            unless_mock(PART),
            "extraction by queries of synthetic records; no natural record was searched for",
        ),
        row(
            "NIST AI 600-1, MS-2.10",
            "red-teaming for training data in outputs and for membership inference",
            unless_mock(PART),
            if scored {
                "outputs were searched for planted secrets; their likelihood was ranked"
            } else {
                "outputs were searched for planted secrets; membership inference was not measured"
            },
        ),
        row(
            "OWASP AISVS, C11.2 adversarial testing",
            "evaluation against known attacks, again after each tuning",
            unless_mock(PART),
            "known extraction attacks on the tuned model; no token manipulation, no adaptive attack on a filter",
        ),
        row(
            "OWASP AISVS, C11.3 membership inference",
            "attacks do no better than guessing; training with differential privacy and a documented budget",
            if model && (scored || claimed) { PART } else { NO },
            match (scored, claimed) {
                (true, true) => "likelihood ranks beside held-out canaries; the claimed epsilon was tested",
                (true, false) => "likelihood ranks beside held-out canaries; no privacy budget was claimed",
                (false, true) => "the claimed epsilon was tested; membership inference was not measured",
                (false, false) => "neither likelihoods nor a privacy budget were given",
            },
        ),
        row("OWASP AISVS, C11.4 model inversion", "limits on repeated adaptive queries", NO, "a matter of operation"),
        row(
            "ISO/IEC 42001, A.6.2.4",
            "verification and validation of the system, with criteria for release",
            unless_mock(if report.sources.as_ref().is_some_and(|s| s.policy.is_some()) { YES } else { PART }),
            if report.sources.as_ref().is_some_and(|s| s.policy.is_some()) {
                "one criterion for release, held by the release policy named under \"Made with\""
            } else {
                "one criterion for release, by the program's defaults; no release policy was given"
            },
        ),
        row(
            "GDPR, articles 15 to 22",
            "rights of the persons whom the rows are about",
            NO,
            "a matter of the controller",
        ),
    ]
}
