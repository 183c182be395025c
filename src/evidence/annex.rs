//! Annex for a data protection officer: attacks with results, what was not tested, matrix of controls.

use super::attacks::{interval, made, not_made};
use super::controls::controls;
use super::document::Document;
use super::statement::result;
use super::subject::Subject;
use crate::report::{attacker, percent};
use blabbermouth_core::canary::Arm;
use blabbermouth_core::verdict::{CanaryReport, CanaryVerdict, RunReport};

pub(super) fn annex(report: &RunReport, subjects: &[Subject]) -> Document {
    let mut annex = Document::new("Extraction test of a fine-tuned model: annex to the assessment of data protection");
    outcome(&mut annex, report, subjects);
    context(&mut annex, report);
    attacks(&mut annex, report);
    rates(&mut annex, report);
    exposure(&mut annex, report);
    claim(&mut annex, report);
    annex.heading("Not tested");
    annex.paragraph("A test speaks for the attacks that were made, and for no others. These were not made:");
    let rows = not_made(report).into_iter().map(|(name, why)| vec![name, why]).collect();
    annex.table(&["attack", "why not"], rows);
    annex.heading("Controls");
    annex.paragraph(
        "Each row names a recommendation and what this run adds to it. \"Not covered\" means that other evidence is needed. \
         The wording of the sources decides; this page is no legal advice.",
    );
    let rows = controls(report).into_iter().map(|c| vec![c.source.into(), c.topic.into(), c.status.into(), c.text]);
    annex.table(&["source", "asks for", "covered", "by"], rows.collect());
    origin(&mut annex, report);
    annex
}

fn outcome(annex: &mut Document, report: &RunReport, subjects: &[Subject]) {
    annex.heading("Outcome");
    annex.paragraph(format!("Verdict: {}. {}.", report.verdict.as_str(), report.reason));
    annex.paragraph(match result(report) {
        "PASSED" => "The run found no leak, and all its checks are sound.",
        "WARNED" => {
            "The run found no leak. Read the notes in brackets before you rely on it: it asks less than a full run."
        }
        _ => "This run is no ground for a release.",
    });
    if report.settings.mock {
        annex.paragraph("The program's own mock answered: this page says nothing of any model.");
    }
    let s = &report.settings;
    let mut rows = vec![
        vec!["Model".to_owned(), s.model.clone()],
        vec!["Asked at".into(), s.address.clone()],
        vec!["Begun".into(), date(report.started)],
        vec!["Program".into(), format!("blabbermouth {}", report.tool)],
    ];
    rows.extend(subjects.iter().take(20).map(|s| vec![format!("Digest of {}", s.name()), s.digest()]));
    if subjects.len() > 20 {
        rows.push(vec!["Further files".into(), format!("{}, listed in statement.json", subjects.len() - 20)]);
    }
    annex.table(&["", ""], rows);
    annex.paragraph(if subjects.iter().any(Subject::is_weights) {
        "The digests are of files that the user named. The program did not check that the server answered with these files."
    } else {
        "The service gives no digest of the weights: the digest is that of the model's name."
    });
}

/// Formats seconds since 1970, as in `2026-11-28T08:00:00Z`.
pub(super) fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or_default().to_string()
}

fn context(annex: &mut Document, report: &RunReport) {
    annex.heading("Context of the release");
    annex.paragraph("In the user's own words (`[context]` in the configuration); the program did not check them.");
    let context = report.context.clone().unwrap_or_default();
    let text = |text: &str| if text.trim().is_empty() { "not stated".to_owned() } else { text.to_owned() };
    annex.table(&["", ""], context.all().iter().map(|(name, said)| vec![(*name).to_owned(), text(said)]).collect());
}

fn attacks(annex: &mut Document, report: &RunReport) {
    annex.heading("Attacks that were made");
    let planted = report.canaries.iter().filter(|c| c.arm == Arm::Planted).count();
    annex.paragraph(format!(
        "{planted} canaries (synthetic records, each with one random secret) were planted in the training rows, and {} were drawn \
         in the same way and held out. An attack succeeds where an answer holds the secret, as it is or in one of the \
         disguises that the detectors see through. The answers of one canary are not independent of each other.",
        report.controls.canaries
    ));
    let rows = made(report).into_iter().map(|attack| vec![attack.name, attack.about, attack.result]).collect();
    annex.table(&["attack", "how", "result"], rows);
}

/// Number of leaked canaries, and of judged ones (leaked or clean).
pub(super) fn leaked<'a>(canaries: impl Iterator<Item = &'a CanaryReport>) -> (u64, u64) {
    let judged = canaries.filter(|c| matches!(c.verdict, CanaryVerdict::Leaked | CanaryVerdict::Clean));
    judged.fold((0, 0), |(leaked, all), c| (leaked + u64::from(c.verdict == CanaryVerdict::Leaked), all + 1))
}

/// Planted canaries by number of copies: copies, leaked, judged.
pub(super) fn by_copies(report: &RunReport) -> Vec<(u32, u64, u64)> {
    let planted = || report.canaries.iter().filter(|c| c.arm == Arm::Planted);
    let mut copies: Vec<u32> = planted().map(|c| c.copies).collect();
    copies.sort_unstable();
    copies.dedup();
    let of = |copies: u32| leaked(planted().filter(|c| c.copies == copies));
    copies.into_iter().map(|copies| (copies, of(copies).0, of(copies).1)).collect()
}

fn share(leaked: u64, all: u64) -> String {
    if all == 0 {
        return "not measured".to_owned();
    }
    let (low, high) = interval(all, leaked);
    format!("{} ({} to {})", percent(leaked as f64 / all as f64), percent(low), percent(high))
}

fn rates(annex: &mut Document, report: &RunReport) {
    annex.heading("Rates of success");
    let row = |name: String, leaked: u64, all: u64| vec![name, leaked.to_string(), all.to_string(), share(leaked, all)];
    let mut rows: Vec<Vec<String>> = by_copies(report)
        .into_iter()
        .map(|(copies, leaked, all)| row(format!("planted, copies in the training file: {copies}"), leaked, all))
        .collect();
    let (held_leaked, held) = leaked(report.canaries.iter().filter(|c| c.arm == Arm::HeldOut));
    rows.push(row("held out (chance)".into(), held_leaked, held));
    annex.table(&["canaries", "leaked", "judged", "share, 95% interval"], rows);
    let Some(bound) = attacker::worst(report) else {
        annex.paragraph(
            "No planted canary was silent in enough answers, so that no bound on the leak rate can be given.",
        );
        return;
    };
    annex.paragraph(format!(
        "From a canary that stayed silent, an attacker who asks in these ways gets the secret with the following \
         probability at most ({}):",
        attacker::worth(report)
    ));
    let within = |n: &u32| vec![n.to_string(), percent(attacker::within(bound, *n))];
    annex.table(&["queries", "probability, at most"], attacker::QUERIES.iter().map(within).collect());
}

fn exposure(annex: &mut Document, report: &RunReport) {
    annex.heading("Exposure");
    match &report.exposure {
        None => annex.paragraph(
            "Not measured: the probabilities of the secrets were not asked for. Text alone shows less than they do.",
        ),
        Some(e) => annex.paragraph(format!(
            "Mean exposure of {} planted secrets: {:.2} bits; of held-out ones: {}. A model that learned nothing has 1.44 bits \
             on average. {}.",
            e.canaries,
            e.mean,
            e.held_out.map_or_else(|| "not measured".to_owned(), |bits| format!("{bits:.2} bits")),
            e.reason
        )),
    }
}

fn claim(annex: &mut Document, report: &RunReport) {
    annex.heading("Differential privacy");
    match &report.claim {
        None => annex.paragraph(match &report.untested_claim {
            Some(why) => format!("A claim of differential privacy was made, and was not tested: {why}."),
            None => "No claim of differential privacy was made, so that none was tested.".to_owned(),
        }),
        Some(c) => {
            annex.paragraph(format!(
                "Claimed: epsilon {}, delta {}. {}. The largest epsilon that these canaries refute is {:.2}; the largest that they \
                 could have refuted is {:.2}.",
                c.claim.epsilon, c.claim.delta, c.reason, c.refuted_epsilon, c.reach
            ));
            annex.paragraph("A claim that is not refuted is not proven.");
        }
    }
}

fn origin(annex: &mut Document, report: &RunReport) {
    annex.heading("Made with");
    let Some(sources) = &report.sources else {
        annex.paragraph("The report has no digests of what it was made with.");
        return;
    };
    let some = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "not known".to_owned());
    annex.table(
        &["", "digest"],
        [
            ("program", some(&sources.program)),
            ("manifest", sources.manifest.clone()),
            ("configuration", some(&sources.configuration)),
            ("release policy", some(&sources.policy)),
            ("training file", some(&sources.training_file)),
            ("questions and sampling", sources.strategies.clone()),
        ]
        .map(|(name, digest)| vec![name.to_owned(), digest])
        .to_vec(),
    );
}
