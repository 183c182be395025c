//! Published reports stay readable and look the same.

use blabbermouth::report::{ReportFormat, SourceMap, schema, summary};
use blabbermouth::verdict::RunReport;
use serde_json::Value;

use crate::{blabbermouth, project, text};

/// A report of version 1, with one canary of each verdict and a hostile model name.
const REPORT: &str = include_str!("../../testdata/report-v1.json");

fn report() -> RunReport {
    serde_json::from_str(REPORT).expect("version 1 stays readable")
}

fn check(document: &Value) {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("report.json", serde_json::from_str(&schema()).expect("JSON")).expect("a schema");
    let index = compiler.compile("report.json", &mut schemas).expect("a schema");
    schemas.validate(document, index).unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn the_json_report_and_its_schema_are_frozen() {
    insta::assert_snapshot!("report-schema", schema());
    let json: Value = serde_json::from_str(REPORT).expect("JSON");
    check(&json);
    let again = ReportFormat::Json.render(&report(), &SourceMap::default()).expect("rendered");
    assert_eq!(serde_json::from_slice::<Value>(&again).expect("JSON"), json, "nothing is lost or added");
    let mut wrong = json.clone();
    wrong["verdict"] = "green".into();
    assert!(std::panic::catch_unwind(|| check(&wrong)).is_err(), "the schema refuses an unknown verdict");
}

#[test]
fn a_fresh_report_keeps_to_the_schema() {
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n[provider]\nkind = \"mock\"\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let out = blabbermouth(folder.path(), &["test", "--report", "json"], &[]);
    assert_eq!(out.status.code(), Some(10), "{}", text(&out.stderr));
    let bytes = std::fs::read(folder.path().join("report.json")).expect("a report");
    check(&serde_json::from_slice(&bytes).expect("JSON"));
    let printed = blabbermouth(folder.path(), &["schema", "report"], &[]);
    assert_eq!(text(&printed.stdout).trim_end(), schema());
}

#[test]
fn the_summary_and_junit_look_as_they_did() {
    insta::assert_snapshot!("summary", summary(&report(), false));
    let xml = ReportFormat::Junit.render(&report(), &SourceMap::default()).expect("rendered");
    insta::assert_snapshot!("junit", text(&xml));
}

/// Every command in the README exists in the program.
#[test]
fn every_command_of_the_readme_exists() {
    let readme = include_str!("../../README.md");
    let folder = project("");
    let mut seen = 0;
    let blocks = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    for line in blocks.flat_map(str::lines).map(str::trim).filter(|l| l.starts_with("blabbermouth ")) {
        let command = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let help = blabbermouth(folder.path(), &[words[0], "--help"], &[]);
        let said = text(&help.stdout);
        assert!(help.status.success(), "{line}");
        for flag in words.iter().filter(|w| w.starts_with("--")) {
            assert!(said.contains(flag), "{flag} of `{line}` is not in its help");
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
    insta::assert_snapshot!("help", text(&blabbermouth(folder.path(), &["--help"], &[]).stdout));
}
