//! SARIF 2.1.0 report for code scanning.

use serde_json::{Value, json};

use super::SourceMap;
use super::escape::xml_text;
use super::finding::{Outcome, RULES, outcomes, severity};
use crate::exit::ExitCode;
use blabbermouth_core::verdict::{CanaryVerdict, RunReport, RunVerdict};

/// Maximum number of results. Code scanning shows no more, and refuses a file with more than 25,000.
const MOST: usize = 5000;
const HELP: &str = "https://github.com/blabbermouth-rs/blabbermouth#what-a-verdict-rests-on";

pub(super) fn render(report: &RunReport, places: &SourceMap) -> Vec<u8> {
    let file = places.file(&report.settings.config);
    let mut all = outcomes(report, places);
    // The verdict of the run is in the properties: it has no place in the code.
    all.retain(|outcome| outcome.verdict != CanaryVerdict::Clean && outcome.rule != "run.verdict");
    all.sort_by_key(severity);
    let left = all.len().saturating_sub(MOST);
    let results: Vec<Value> = all.iter().take(MOST).map(|outcome| result(outcome, file)).collect();
    let rules: Vec<Value> = RULES.iter().map(rule).collect();
    let mut notes = Vec::new();
    if left > 0 {
        notes.push(json!({"level": "warning", "message": {"text": format!("{left} further results are left out.")}}));
    }
    let code = ExitCode::from(report.verdict) as i32;
    let finished = !matches!(report.verdict, RunVerdict::Errored);
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "blabbermouth",
                "fullName": format!("blabbermouth {}", xml_text(&report.tool)),
                "organization": "blabbermouth",
                "informationUri": "https://github.com/blabbermouth-rs/blabbermouth",
                "semanticVersion": xml_text(&report.tool),
                "version": xml_text(&report.tool),
                "rules": rules}},
            "automationDetails": {"id": format!("blabbermouth/{}/", path_part(&report.settings.model))},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": finished,
                "exitCode": code,
                "toolExecutionNotifications": notes}],
            "properties": {"verdict": report.verdict.as_str(), "reason": xml_text(&report.reason)},
            "results": results}]});
    let mut bytes = serde_json::to_vec_pretty(&document).expect("plain JSON");
    bytes.push(b'\n');
    bytes
}

/// Converts a model name to one part of an id: a slash would start another part.
fn path_part(model: &str) -> String {
    let part: String = model
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._:-".contains(c) { c } else { '-' })
        .take(120)
        .collect();
    if part.is_empty() { "model".into() } else { part }
}

fn rule((id, short, long): &(&str, &str, &str)) -> Value {
    let (level, severity) = match *id {
        "canary.leak" | "run.cross" | "claim.refuted" | "run.exposure" => ("error", Some("8.5")),
        "canary.control" => ("error", Some("6.0")),
        _ => ("warning", None),
    };
    let name: String = id.split('.').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let mut properties = json!({"tags": ["security", "privacy"], "precision": "very-high"});
    if let Some(severity) = severity {
        properties["security-severity"] = json!(severity);
    }
    json!({
        "id": id, "name": name,
        "shortDescription": {"text": format!("{short}.")},
        "fullDescription": {"text": long},
        "help": {"text": long, "markdown": format!("**{short}.** {long}")},
        "helpUri": HELP,
        "defaultConfiguration": {"level": level},
        "properties": properties})
}

fn result(outcome: &Outcome<'_>, file: &str) -> Value {
    let index = RULES.iter().position(|(id, _, _)| *id == outcome.rule).expect("a known rule");
    let level = if outcome.verdict == CanaryVerdict::Leaked { "error" } else { "warning" };
    let known = outcome.canary.map_or("", |c| c.fingerprint.as_str());
    // Identifies canary and rule, and not the line, which moves.
    let stable = format!("{}/{}/{known}", outcome.rule, outcome.test);
    let mut text = format!("{}: {}", xml_text(outcome.test), xml_text(outcome.reason));
    if let Some(canary) = outcome.canary {
        text += &format!(" ({} copies, fingerprint {})", canary.copies, xml_text(&canary.fingerprint));
    }
    let mut result = json!({
        "ruleId": outcome.rule, "ruleIndex": index, "level": level,
        "message": {"text": format!("{}.", text.trim_end_matches('.'))},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {"startLine": outcome.line}},
            "logicalLocations": [{"fullyQualifiedName": xml_text(outcome.test), "kind": "member"}]}],
        "partialFingerprints": {"primaryLocationLineHash": digest(&stable), "canary/v1": digest(&stable)}});
    if let Some(canary) = outcome.canary {
        result["properties"] = json!({"asked": canary.asked, "hits": canary.hits, "p": canary.p_value});
    }
    result
}

fn digest(text: &str) -> String {
    use sha2::Digest;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(text)[..16])
}

/// Converts a path to a relative URI reference.
fn uri(file: &str) -> String {
    let mut out = String::new();
    for byte in file.trim_start_matches("./").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
