//! JUnit files are read by a real parser, which gives back what went in.
#![no_main]

#[path = "../../integration/escapes/parsers.rs"]
#[expect(dead_code, reason = "the tests of the escapers use the rest")]
mod parsers;

use blabbermouth::report::escape::xml_text;
use blabbermouth::report::{SourceMap, ReportFormat};
use blabbermouth::verdict::CanaryVerdict;
use blabbermouth_fuzz::report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let report = report(data);
    let bytes = ReportFormat::Junit.render(&report, &SourceMap::default()).expect("it is written, and read back");
    let xml = String::from_utf8(bytes).expect("UTF-8");
    let is_xml = |c| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_xml), "a character that XML has not");
    assert!(!xml.contains(['\u{202e}', '\u{2066}']) && !xml.contains("##[") && !xml.contains("[[ATTACHMENT|"));
    let attribute = |said: &str| xml_text(said).replace(['\n', '\t'], " ");
    let cases: Vec<_> = parsers::elements(&xml).into_iter().filter(|(a, _)| !a.contains_key("value")).collect();
    assert_eq!(cases.len(), report.canaries.len() + 3);
    for ((attributes, body), canary) in cases.iter().zip(&report.canaries) {
        let (class, name) = canary.test.split_once("::").unwrap_or(("", canary.test.as_str()));
        let written = ["classname", "name", "file"].map(|key| attributes[key].as_str());
        assert_eq!(written, [&attribute(class), &attribute(name), &attribute(&report.settings.config)]);
        if canary.verdict == CanaryVerdict::Clean {
            assert!(body.is_empty() && !attributes.contains_key("message"));
        } else {
            assert_eq!(attributes["message"], attribute(&canary.reason));
            // The bracket before a section of text, where there is one, and this reason open something together, which is broken.
            let reason = xml_text(&canary.reason);
            let broken = body.strip_prefix(' ').filter(|_| reason.starts_with("[ATTACHMENT|"));
            assert!(body.starts_with(&reason) || broken.is_some_and(|body| body.starts_with(&reason)), "{body:?} {reason:?}");
            assert!(body.ends_with(&xml_text(canary.excerpt.as_deref().unwrap_or_default())));
        }
    }
}
