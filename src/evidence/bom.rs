//! A CycloneDX 1.6 document with the model's card: metrics with confidence intervals, and limitations.

use serde_json::{Value, json};

use super::annex::{by_copies, date, leaked};
use super::attacks::{OUT_OF_SCOPE, interval};
use super::statement::sha256;
use super::subject::Subject;
use crate::report::attacker;
use blabbermouth_core::verdict::RunReport;

/// Replaces characters that XML, and so some readers, cannot hold.
fn clean(text: &str) -> String {
    crate::report::escape::xml_text(text)
}

pub(super) fn bom(report: &RunReport, subjects: &[Subject]) -> Value {
    let s = &report.settings;
    let digest = sha256(&serde_json::to_vec(report).expect("a report has nothing that JSON lacks"));
    let files: Vec<Value> = subjects
        .iter()
        .enumerate()
        .filter_map(|(number, subject)| {
            let content = subject.of_file()?;
            // By number: two names may be equal after cleaning.
            Some(json!({"type": "file", "bom-ref": format!("file:{number}"), "name": clean(subject.name()),
                        "hashes": [{"alg": "SHA-256", "content": content}]}))
        })
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid(&digest),
        "version": 1,
        "metadata": {
            "timestamp": date(report.started),
            "tools": {"components": [{"type": "application", "name": "blabbermouth", "version": clean(&report.tool)}]},
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "model",
                "name": clean(&s.model),
                "components": files,
                "modelCard": {
                    "quantitativeAnalysis": {"performanceMetrics": metrics(report)},
                    "considerations": considerations(report),
                    "properties": properties(report),
                },
            },
        },
    })
}

/// UUID of version 8 (RFC 9562) from a digest: its bits are the maker's choice, and equal reports have the same UUID.
fn uuid(digest: &str) -> String {
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &digest[..8],
        &digest[8..12],
        &digest[13..16],
        &digest[17..20],
        &digest[20..32]
    )
}

/// The metrics, each with its 95% interval where it has one.
fn metrics(report: &RunReport) -> Vec<Value> {
    let rate = |kind: &str, slice: String, hits: u64, all: u64| {
        let (low, high) = interval(all, hits);
        json!({"type": kind, "slice": slice, "value": (hits as f64 / all as f64).to_string(),
               "confidenceInterval": {"lowerBound": low.to_string(), "upperBound": high.to_string()}})
    };
    let (hits, all) = leaked(report.canaries.iter().filter(|c| c.is_gated()));
    let mut metrics = Vec::new();
    if all > 0 {
        metrics.push(rate("canary leak rate", "planted canaries of the gate".into(), hits, all));
    }
    for (copies, hits, all) in by_copies(report).into_iter().filter(|(_, _, all)| *all > 0) {
        metrics.push(rate("canary leak rate", format!("planted, {copies} in the training file"), hits, all));
    }
    if let Some(bound) = attacker::worst(report) {
        let slice = format!("one query, silent canaries, {:.0}% confidence", 100.0 * report.settings.policy.confidence);
        metrics.push(json!({"type": "leak rate, upper bound", "slice": slice, "value": bound.to_string()}));
    }
    if let Some(e) = &report.exposure {
        metrics
            .push(json!({"type": "mean exposure in bits", "slice": "planted canaries", "value": e.mean.to_string()}));
        if let Some(bits) = e.held_out {
            let slice = "held-out canaries (1.44 is chance)";
            metrics.push(json!({"type": "mean exposure in bits", "slice": slice, "value": bits.to_string()}));
        }
    }
    if let Some(c) = &report.claim {
        let slice = format!("claimed epsilon {}, delta {}", c.claim.epsilon, c.claim.delta);
        let value = c.refuted_epsilon.to_string();
        metrics.push(json!({"type": "largest refuted epsilon", "slice": slice, "value": value}));
    }
    metrics
}

fn considerations(report: &RunReport) -> Value {
    let context = report.context.clone().unwrap_or_default();
    let list = |text: &str| if text.trim().is_empty() { Vec::new() } else { vec![clean(text)] };
    let safeguards = list(&context.safeguards).pop().unwrap_or_else(|| "not stated".to_owned());
    json!({
        "users": list(&context.audience),
        "useCases": list(&context.purpose),
        "technicalLimitations": OUT_OF_SCOPE.iter().map(|(name, _)| format!("Not tested: {name}")).collect::<Vec<_>>(),
        "ethicalConsiderations": [{"name": "Memorized training rows can come back in answers",
                                   "mitigationStrategy": safeguards}],
    })
}

fn properties(report: &RunReport) -> Vec<Value> {
    let mut all = vec![
        ("verdict", report.verdict.as_str().to_owned()),
        ("reason", clean(&report.reason)),
        ("result", super::statement::result(report).to_owned()),
    ];
    if let Some(sources) = &report.sources {
        all.push(("manifest", sources.manifest.clone()));
    }
    all.into_iter().map(|(name, value)| json!({"name": format!("blabbermouth:{name}"), "value": value})).collect()
}
