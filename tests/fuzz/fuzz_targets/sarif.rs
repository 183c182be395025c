//! SARIF files are read by a real parser, which gives back what went in.
#![no_main]

use std::collections::HashSet;

use blabbermouth::report::escape::xml_text;
use blabbermouth::report::{SourceMap, ReportFormat};
use blabbermouth::verdict::{CanaryVerdict, RunReport};
use blabbermouth_fuzz::report;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let report = report(data);
    let read = |format: ReportFormat| -> Vec<u8> { format.render(&report, &SourceMap::default()).expect("written") };
    let sarif: Value = serde_json::from_slice(&read(ReportFormat::Sarif)).expect("JSON");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(run["properties"]["reason"], xml_text(&report.reason));
    let id = run["automationDetails"]["id"].as_str().expect("an id");
    assert!(id.matches('/').count() == 2 && id.is_ascii(), "{id}");
    let mut known = HashSet::new();
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("a number") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().expect("an address");
        assert_eq!(decoded(uri), report.settings.config.trim_start_matches("./").as_bytes());
        assert!(place["region"]["startLine"].as_u64() >= Some(1));
        assert!(known.insert(result["partialFingerprints"]["primaryLocationLineHash"].to_string()), "{result}");
        let name = result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].as_str().expect("a name");
        let told = result["message"]["text"].as_str().expect("a text");
        assert!(told.starts_with(&format!("{name}:")) && told.ends_with('.'), "{told}");
    }
    for canary in report.canaries.iter().filter(|canary| canary.verdict != CanaryVerdict::Clean) {
        let told = format!("{}: {} (", xml_text(&canary.test), xml_text(&canary.reason));
        let is = |result: &&Value| result["message"]["text"].as_str().is_some_and(|text| text.starts_with(&told));
        assert_eq!(results.iter().filter(is).count(), 1, "{told}");
    }
    // The report itself is JSON too, and loses nothing.
    assert!(serde_json::from_slice::<RunReport>(&read(ReportFormat::Json)).expect("JSON") == report);
}

/// Percent signs undone.
fn decoded(uri: &str) -> Vec<u8> {
    assert!(uri.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte)), "{uri}");
    let mut parts = uri.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}
