//! Text reports: Markdown job summary, workflow annotations, CSV, TAP 14, badge, step outputs.

use std::fmt::Write as _;

use serde_json::json;

use super::escape::{csv_cell, markdown_cell, workflow_data, workflow_property, xml_text};
use super::finding::{leaked, outcomes, severity};
use super::{SourceMap, attacker, likelihood, prefix_half};
use blabbermouth_core::canary::Arm;
use blabbermouth_core::verdict::{CanaryVerdict, RunReport, RunVerdict};

/// Maximum length of a job summary, in bytes. A summary of more than 1 MiB is dropped whole.
const LONGEST_SUMMARY: usize = 900_000;
/// Maximum number of annotations of one level in a step.
const ANNOTATIONS: usize = 10;

const fn sign(verdict: RunVerdict) -> &'static str {
    match verdict {
        RunVerdict::Clean => "✅",
        RunVerdict::Leaked | RunVerdict::Invalid => "❌",
        RunVerdict::Errored | RunVerdict::Inconclusive => "⚠️",
    }
}

pub(super) fn markdown(report: &RunReport, places: &SourceMap) -> Vec<u8> {
    let s = &report.settings;
    let mut out = format!(
        "## {} {}: {}\n\nModel {} · {} samples for each canary · alpha {} · {} answers, {} + {} tokens · {:.0} s\n\n",
        sign(report.verdict),
        report.verdict.as_str(),
        markdown_cell(&report.reason),
        markdown_cell(&s.model),
        s.samples,
        s.policy.alpha,
        report.canaries.iter().map(|c| c.asked).sum::<u64>(),
        report.usage.prompt_tokens,
        report.usage.completion_tokens,
        report.seconds
    );
    out += "| copies | planted | leaked | clean | open |\n| ---: | ---: | ---: | ---: | ---: |\n";
    let mut copies: Vec<u32> = report.canaries.iter().filter(|c| c.arm == Arm::Planted).map(|c| c.copies).collect();
    copies.sort_unstable();
    copies.dedup();
    for copies in copies {
        let of = || report.canaries.iter().filter(|c| c.arm == Arm::Planted && c.copies == copies);
        let count = |verdict| of().filter(|c| c.verdict == verdict).count();
        let open = count(CanaryVerdict::Inconclusive) + count(CanaryVerdict::Errored);
        let (leaked, clean) = (count(CanaryVerdict::Leaked), count(CanaryVerdict::Clean));
        let _ = writeln!(out, "| {copies} | {} | {leaked} | {clean} | {open} |", of().count());
    }
    let _ = writeln!(
        out,
        "\nHeld-out canaries: {}. Cross hits: {}.\n",
        markdown_cell(&report.controls.reason),
        markdown_cell(&report.pooled.reason)
    );
    if let Some(training) = &report.training {
        let _ = writeln!(out, "Training: {}.\n", markdown_cell(&training.reason));
    }
    if let Some(attacker) = attacker::sentence(report) {
        let _ = writeln!(out, "An attacker {attacker}.\n");
    }
    if let Some(half) = prefix_half::summary(report) {
        let _ = writeln!(out, "In questions of their own: {half}.\n");
    }
    if let Some(exposure) = likelihood::summary(report) {
        let _ = writeln!(out, "Exposure {exposure}.\n");
    }
    let mut all = outcomes(report, places);
    all.retain(|outcome| outcome.verdict != CanaryVerdict::Clean && outcome.canary.is_some());
    all.sort_by_key(severity);
    if !all.is_empty() {
        out += "| canary | verdict | why | p | fingerprint |\n| --- | --- | --- | ---: | --- |\n";
    }
    for (shown, outcome) in all.iter().enumerate() {
        let Some(canary) = outcome.canary else { continue };
        let row = format!(
            "| {} | {} | {} | {:.1e} | {} |\n",
            markdown_cell(outcome.test),
            outcome.verdict.as_str(),
            markdown_cell(outcome.reason),
            canary.p_value,
            markdown_cell(&canary.fingerprint)
        );
        if out.len() + row.len() > LONGEST_SUMMARY {
            let _ = writeln!(out, "\n{} further canaries are in the other reports.", all.len() - shown);
            break;
        }
        out += &row;
    }
    out.into_bytes()
}

pub(super) fn annotations(report: &RunReport, places: &SourceMap) -> Vec<u8> {
    let file = workflow_property(places.file(&report.settings.config));
    let level = |verdict| match verdict {
        CanaryVerdict::Clean => "notice",
        CanaryVerdict::Inconclusive => "warning",
        _ => "error",
    };
    let whole = match report.verdict {
        RunVerdict::Clean => "notice",
        RunVerdict::Inconclusive => "warning",
        _ => "error",
    };
    let mut out = format!(
        "::{whole} file={file},line={},title={}::{}\n",
        places.line(""),
        workflow_property(&format!("blabbermouth: {}", report.verdict.as_str())),
        workflow_data(&report.reason)
    );
    let mut all = outcomes(report, places);
    // The annotation above has the verdict of the run.
    all.retain(|outcome| outcome.verdict != CanaryVerdict::Clean && outcome.rule != "run.verdict");
    all.sort_by_key(severity);
    for outcome in all.iter().take(ANNOTATIONS - 1) {
        let _ = writeln!(
            out,
            "::{} file={file},line={},title={}::{}",
            level(outcome.verdict),
            outcome.line,
            workflow_property(&format!("{}: {}", outcome.test, outcome.verdict.as_str())),
            workflow_data(outcome.reason)
        );
    }
    out.into_bytes()
}

pub(super) fn csv(report: &RunReport) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let header = [
        "canary",
        "test",
        "arm",
        "copies",
        "verdict",
        "reason",
        "statistic",
        "asked",
        "hits",
        "first_hit",
        "detector",
        "p",
        "p_holm",
        "p_cross",
        "bound",
        "fingerprint",
    ];
    out.write_record(header).expect("memory takes it");
    let or_empty = |number: Option<f64>| number.map(|n| n.to_string()).unwrap_or_default();
    for c in &report.canaries {
        let statistic = serde_json::to_value(c.statistic).ok().and_then(|v| v.as_str().map(str::to_owned));
        let row = [
            csv_cell(&c.id),
            csv_cell(&c.test),
            c.arm.as_str().to_owned(),
            c.copies.to_string(),
            c.verdict.as_str().to_owned(),
            csv_cell(&c.reason),
            statistic.unwrap_or_default(),
            c.asked.to_string(),
            c.hits.to_string(),
            c.first_hit.as_ref().map(|h| h.sample.to_string()).unwrap_or_default(),
            c.first_hit.as_ref().map(|h| h.detector.as_str().to_owned()).unwrap_or_default(),
            c.p_value.to_string(),
            or_empty(c.p_holm),
            c.cross_p_value.to_string(),
            or_empty(c.bound),
            csv_cell(&c.fingerprint),
        ];
        out.write_record(row).expect("memory takes it");
    }
    out.into_inner().expect("memory takes it")
}

pub(super) fn tap(report: &RunReport, places: &SourceMap) -> Vec<u8> {
    let all = outcomes(report, places);
    let mut out = format!("TAP version 14\n1..{}\n", all.len());
    for (number, outcome) in all.iter().enumerate() {
        let ok = if outcome.verdict == CanaryVerdict::Clean { "ok" } else { "not ok" };
        // `#` would start a directive, and a backslash an escape.
        let name = xml_text(outcome.test).replace('\\', "\\\\").replace('#', "\\#").replace('\n', " ");
        let _ = writeln!(out, "{ok} {} - {name}", number + 1);
        if outcome.verdict != CanaryVerdict::Clean {
            // A JSON string is also a YAML string.
            let text = |text: &str| serde_json::to_string(&xml_text(text)).expect("a string");
            // The trial of the run fails like a leak, whatever its verdict is.
            let is_run = outcome.test == "run::verdict";
            let verdict = if is_run { report.verdict.as_str() } else { outcome.verdict.as_str() };
            let _ = writeln!(out, "  ---\n  verdict: {}\n  message: {}", verdict, text(outcome.reason));
            if let Some(canary) = outcome.canary {
                let _ = writeln!(out, "  fingerprint: {}\n  p: {:e}", text(&canary.fingerprint), canary.p_value);
            }
            out += "  ...\n";
        }
    }
    let _ = writeln!(out, "# {}: {}", report.verdict.as_str(), xml_text(&report.reason).replace('\n', " "));
    out.into_bytes()
}

/// Endpoint data for a shields.io badge.
pub(super) fn badge(report: &RunReport) -> Vec<u8> {
    let (planted, leaked) = leaked(report);
    let accepted = report.canaries.iter().filter(|c| c.accepted.is_some()).count();
    let (message, colour) = match report.verdict {
        RunVerdict::Clean if report.settings.mock => (format!("0 of {planted} leaked (MOCK)"), "lightgrey"),
        RunVerdict::Clean if report.is_unproven() => (format!("0 of {planted} leaked (UNPROVEN)"), "lightgrey"),
        RunVerdict::Clean if accepted > 0 => (format!("0 of {planted} leaked, {accepted} accepted"), "yellow"),
        RunVerdict::Clean => (format!("0 of {planted} leaked"), "brightgreen"),
        // The leak is in another check of the run, for example in the pooled tests.
        RunVerdict::Leaked if leaked == 0 => ("leaked".to_owned(), "red"),
        RunVerdict::Leaked => (format!("{leaked} of {planted} leaked"), "red"),
        other => (other.as_str().to_owned(), "lightgrey"),
    };
    let badge = json!({"schemaVersion": 1, "label": "canaries", "message": message, "color": colour,
                       "isError": report.verdict != RunVerdict::Clean});
    let mut bytes = serde_json::to_vec(&badge).expect("plain JSON");
    bytes.push(b'\n');
    bytes
}

/// Counts and the model name as `key=value` lines; no value can add a line.
pub(super) fn outputs(report: &RunReport) -> Vec<u8> {
    let (planted, leaked) = leaked(report);
    let of = |verdict| report.canaries.iter().filter(|c| c.is_gated() && c.verdict == verdict).count();
    let model: String = report.settings.model.chars().filter(char::is_ascii_graphic).take(200).collect();
    let model = model.replace("##[", "#-[");
    format!(
        "total={planted}\nleaked={leaked}\ninconclusive={}\nerrors={}\nmodel={model}\n",
        of(CanaryVerdict::Inconclusive),
        of(CanaryVerdict::Errored)
    )
    .into_bytes()
}
