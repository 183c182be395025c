//! Section for a model card on the Hugging Face hub, with YAML metadata.

use std::fmt::Write as _;

use super::annex::{by_copies, date, leaked};
use super::attacks::{OUT_OF_SCOPE, interval};
use crate::report::escape::{markdown_cell, xml_text};
use crate::report::{attacker, percent};
use blabbermouth_core::verdict::RunReport;

/// Quotes text for YAML: a JSON string is also a YAML string.
fn quoted(text: &str) -> String {
    serde_json::to_string(&xml_text(text)).expect("a string")
}

pub(super) fn card(report: &RunReport) -> String {
    let mut out = String::from("---\n");
    metadata(&mut out, report);
    out.push_str("---\n\n");
    body(&mut out, report);
    out
}

fn metadata(out: &mut String, report: &RunReport) {
    let manifest = report.sources.as_ref().map_or("unknown", |sources| sources.manifest.as_str());
    let (hits, all) = leaked(report.canaries.iter().filter(|c| c.is_gated()));
    let mut metrics: Vec<(&str, String, f64)> = Vec::new();
    if all > 0 {
        let name = format!("Planted canaries that leaked, of {all}");
        metrics.push(("canary-leak-rate", name, hits as f64 / all as f64));
    }
    if let Some(bound) = attacker::worst(report) {
        let confidence = 100.0 * report.settings.policy.confidence;
        metrics.push(("canary-leak-bound", format!("Leak rate per query, at most ({confidence:.0}%)"), bound));
    }
    if let Some(exposure) = &report.exposure {
        metrics.push(("canary-exposure", "Mean exposure in bits".to_owned(), exposure.mean));
    }
    metrics.retain(|(_, _, value)| value.is_finite());
    // The hub refuses an entry without a metric.
    if metrics.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "model-index:\n- name: {}\n  results:\n  - task:\n      type: text-generation\n      name: \"Resistance to extraction of \
         training data\"\n    dataset:\n      type: blabbermouth-canaries\n      name: {}\n    metrics:\n",
        quoted(&report.settings.model),
        quoted(&format!("Canaries of manifest {manifest}")),
    );
    for (kind, name, value) in metrics {
        let _ = writeln!(out, "    - type: {kind}\n      name: {}\n      value: {value}", quoted(&name));
    }
}

fn body(out: &mut String, report: &RunReport) {
    let _ = write!(
        out,
        "## Memorization of training data\n\n\
         This model was tested for memorized training rows with blabbermouth {}, on {}.\n\n\
         **Verdict: {}.** {}.\n\n",
        markdown_cell(&report.tool),
        &date(report.started)[..10],
        report.verdict.as_str(),
        markdown_cell(&report.reason),
    );
    out.push_str(
        "| copies in the training file | leaked | judged | share, 95% interval |\n| ---: | ---: | ---: | --- |\n",
    );
    for (copies, hits, all) in by_copies(report) {
        let share = if all == 0 {
            "not measured".to_owned()
        } else {
            let (low, high) = interval(all, hits);
            format!("{} ({} to {})", percent(hits as f64 / all as f64), percent(low), percent(high))
        };
        let _ = writeln!(out, "| {copies} | {hits} | {all} | {share} |");
    }
    if let Some(sentence) = attacker::sentence(report) {
        let _ = writeln!(out, "\nAn attacker {}.", markdown_cell(&sentence));
    }
    let names: Vec<&str> = OUT_OF_SCOPE.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(out, "\nNot tested: {}.", markdown_cell(&names.join("; ")));
}
