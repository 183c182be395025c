//! Every report format with hostile texts, read back by a real parser where one exists.

use blabbermouth::canary::Manifest;
use blabbermouth::report::{ReportFormat, SourceMap};
use blabbermouth::verdict::{Baseline, CanaryVerdict, RunReport};
use serde_json::Value;

use crate::{blabbermouth, project, text};

const HOSTILE: [&str; 8] = [
    "::error::x\n::set-output name=a::b",
    "##[error]x ]]> [[ATTACHMENT|/etc/passwd]]",
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://x\")|cmd",
    "| a | [x](javascript:alert(1)) `` ``` <b>",
    "\u{1b}]0;title\u{7}\u{1b}[2J\r\u{202e}gnp.exe\u{0}\u{fffe}\u{ffff}",
    "not ok 1 # TODO \\# SKIP",
    "--- \n...\n%0A::warning::",
];

fn frozen() -> RunReport {
    serde_json::from_str(include_str!("../../testdata/report-v1.json")).expect("version 1 stays readable")
}

/// A report in which every text that a model, a service or a user could choose is hostile.
fn hostile() -> RunReport {
    let mut report = frozen();
    let seed = report.canaries.clone();
    report.canaries = HOSTILE
        .iter()
        .enumerate()
        .map(|(index, said)| {
            let mut canary = seed[index % seed.len()].clone();
            canary.id = format!("c{index}{said}");
            canary.test = format!("t{said}::c{index}{said}");
            canary.reason = (*said).to_owned();
            canary.fingerprint = (*said).to_owned();
            canary.verdict = [CanaryVerdict::Leaked, CanaryVerdict::Errored, CanaryVerdict::Inconclusive][index % 3];
            canary
        })
        .collect();
    report.settings.model = HOSTILE.join(" ");
    report.settings.config = HOSTILE[2].to_owned();
    report.reason = HOSTILE.join(" ");
    report.controls.reason = HOSTILE[0].to_owned();
    report
}

fn rendered(format: ReportFormat, report: &RunReport) -> String {
    let places = SourceMap::of("gate/blabbermouth.toml", "[canaries]\ntemplates = [\n  \"mr-disease\",\n]\n");
    String::from_utf8(format.render(report, &places).expect("rendered")).expect("UTF-8")
}

#[test]
fn all_formats_look_as_they_did() {
    for format in ReportFormat::ALL {
        if !matches!(format, ReportFormat::Json | ReportFormat::Junit) {
            insta::assert_snapshot!(format!("format-{}", format.name()), rendered(format, &frozen()));
        }
    }
}

#[test]
fn no_text_escapes_its_place() {
    let report = hostile();
    for format in ReportFormat::ALL {
        let shown = rendered(format, &report);
        let plain = !matches!(format, ReportFormat::Json);
        assert!(!plain || !shown.contains(['\u{1b}', '\u{0}', '\u{202e}']), "{format:?}");
        assert!(!plain || !shown.contains("##["), "{format:?}");
    }
    let page = rendered(ReportFormat::Html, &report);
    assert_eq!((page.matches("<script").count(), page.matches("<img").count()), (1, 0));
    // One line for each annotation, ten at most, and no foreign command.
    let lines = rendered(ReportFormat::Github, &report);
    assert_eq!(lines.lines().count(), 9 + 1);
    assert!(
        lines.lines().all(|l| l.starts_with("::error file=gate/blabbermouth.toml,line=")
            || l.starts_with("::warning file=gate/blabbermouth.toml,line=")),
        "{lines}"
    );
    let table = rendered(ReportFormat::Csv, &report);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a record")).collect();
    assert_eq!(rows.len(), HOSTILE.len());
    assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{table}");
    let tap = rendered(ReportFormat::Tap, &report);
    let results = tap.lines().filter(|l| l.starts_with("ok ") || l.starts_with("not ok ")).count();
    assert_eq!(results, HOSTILE.len() + 4, "{tap}");
    assert!(
        tap.lines()
            .all(|l| !l.contains("# TODO") || l.contains("\\# TODO") || l.starts_with("  ") || l.starts_with("# ")),
        "{tap}"
    );
    let summary = rendered(ReportFormat::Markdown, &report);
    let cells = summary.lines().filter(|l| l.starts_with("| t"));
    // Five cells in each row: an unescaped bar would begin another cell.
    assert!(cells.clone().count() == HOSTILE.len() && cells.clone().all(|l| bars(l) == 6), "{summary}");
}

fn bars(line: &str) -> usize {
    let mut last = ' ';
    line.chars()
        .filter(|c| {
            let bar = *c == '|' && last != '\\';
            last = *c;
            bar
        })
        .count()
}

#[test]
fn sarif_has_a_place_a_rule_and_a_fingerprint_for_every_result() {
    let sarif: Value = serde_json::from_str(&rendered(ReportFormat::Sarif, &hostile())).expect("JSON");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert!(results.len() >= HOSTILE.len());
    let mut fingerprints = std::collections::HashSet::new();
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("an index") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "gate/blabbermouth.toml");
        assert!(place["region"]["startLine"].as_u64() >= Some(1));
        let print = result["partialFingerprints"]["primaryLocationLineHash"].as_str().expect("a fingerprint");
        assert!(fingerprints.insert(print.to_owned()), "{result}");
    }
    for rule in rules {
        assert!(
            rule["help"]["text"].is_string() && rule["fullDescription"]["text"].as_str().map(str::len) <= Some(1024)
        );
    }
    // A clean run has no result, and its file is still valid.
    let mut clean = frozen();
    clean.canaries.retain(|c| c.verdict == CanaryVerdict::Clean);
    let sarif: Value = serde_json::from_str(&rendered(ReportFormat::Sarif, &clean)).expect("JSON");
    assert!(sarif["runs"][0]["results"].is_array());
}

#[test]
fn a_summary_is_cut_between_rows() {
    let mut report = hostile();
    let one = report.canaries[0].clone();
    report.canaries = (0..40_000)
        .map(|i| {
            let mut c = one.clone();
            c.test = format!("t::c{i}");
            c
        })
        .collect();
    let summary = rendered(ReportFormat::Markdown, &report);
    assert!(summary.len() < 900_200 && summary.ends_with("further canaries are in the other reports.\n"));
    let annotations = rendered(ReportFormat::Github, &report);
    assert_eq!(annotations.lines().count(), 10);
    let sarif: Value = serde_json::from_str(&rendered(ReportFormat::Sarif, &report)).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(5000));
}

#[test]
fn a_run_writes_every_format_and_each_points_into_the_configuration() {
    let settings =
        "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 4\nheld-out = 2\ntemplates = [\"order-phone\"]\n";
    let folder = project(settings);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let mut arguments = vec!["test".to_owned()];
    for format in ReportFormat::ALL {
        arguments.extend(["--report".to_owned(), format!("{}=out-{0}", format.name())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = folder.path().display().to_string();
    let out = blabbermouth(folder.path(), &arguments, &[("GITHUB_WORKSPACE", &root)]);
    assert_eq!(out.status.code(), Some(10), "{}", text(&out.stderr));
    for format in ReportFormat::ALL {
        let file = std::fs::read_to_string(folder.path().join(format!("out-{}", format.name()))).expect("a report");
        assert!(file.len() > 40, "{format:?}");
        if matches!(format, ReportFormat::Junit | ReportFormat::Github | ReportFormat::Sarif) {
            let line = ["line=\"6\"", "line=6,", "\"startLine\": 6"];
            assert!(line.iter().any(|l| file.contains(l)), "{format:?}: {file}");
        }
    }
    let again = blabbermouth(
        folder.path(),
        &["report", "out-json", "--report", "html=again.html"],
        &[("GITHUB_WORKSPACE", &root)],
    );
    assert!(again.status.success(), "{}", text(&again.stderr));
    let page = |name: &str| std::fs::read(folder.path().join(name)).expect("a page");
    assert_eq!(page("again.html"), page("out-html"));
    let unknown = blabbermouth(folder.path(), &["test", "--report", "pdf"], &[]);
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("sarif"), "{}", text(&unknown.stderr));
}

#[test]
fn accepted_leaks_pass_until_their_day_and_new_ones_never() {
    let settings = "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 4\nheld-out = 2\n";
    let folder = project(settings);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    // Enough days for a date that no clock of a test reaches.
    std::fs::write(folder.path().join("policy.toml"), "baseline-days = 400000\n").expect("written");
    let run = |arguments: &[&str]| {
        let out = blabbermouth(folder.path(), arguments, &[("BLABBERMOUTH_POLICY", "policy.toml")]);
        (out.status.code(), text(&out.stdout) + &text(&out.stderr))
    };
    assert_eq!(run(&["test", "--report", "json"]).0, Some(10));
    let accept = |day: &str| run(&["report", "accept", "report.json", "--reason", "looked at", "--expires", day]);
    assert_eq!(accept("2999-12-31").0, Some(0));
    let baseline = ["test", "--baseline", "blabbermouth.baseline.json"];
    let (code, said) = run(&[&baseline[..], &["--report", "json=again.json", "--report", "junit=again.xml"]].concat());
    assert!(code == Some(0) && said.contains("4 accepted"), "{code:?} {said}");
    // Every report agrees with the exit code, and lists the accepted leaks.
    let junit = std::fs::read_to_string(folder.path().join("again.xml")).expect("a report");
    assert!(said.contains("test result: ok") && said.contains("4 ACCEPTED"), "{said}");
    assert!(junit.contains("failures=\"0\"") && junit.contains("looked at"), "{junit}");
    let (code, said) = run(&["report", "diff", "report.json", "again.json"]);
    assert!(code == Some(0) && said.contains("0 new leaks"), "{code:?} {said}");
    // An edited report is refused.
    let mut failed: RunReport =
        serde_json::from_slice(&std::fs::read(folder.path().join("again.json")).expect("a report")).expect("JSON");
    failed.canaries[0].verdict = CanaryVerdict::Errored;
    std::fs::write(folder.path().join("failed.json"), serde_json::to_vec(&failed).expect("JSON")).expect("written");
    for command in [&["diff", "report.json", "failed.json"][..], &["verify", "failed.json"]] {
        let (code, said) = run(&[&["report"], command].concat());
        assert!(code == Some(3) && said.contains("the seal does not fit"), "{code:?} {said}");
    }
    assert_eq!(run(&["report", "verify", "report.json", "again.json"]).0, Some(0));
    // Without a policy a leak is accepted for at most 90 days.
    let long = blabbermouth(folder.path(), &baseline, &[]);
    assert!(long.status.code() == Some(13) && text(&long.stderr).contains("for more than 90 days"));
    assert_eq!((accept("2020-01-01").0, accept("soon").0), (Some(2), Some(2)));
    let path = folder.path().join("blabbermouth.baseline.json");
    let entries = std::fs::read_to_string(&path).expect("a baseline");
    let mut past: Baseline = serde_json::from_str(&entries.replace("2999-12-31", "2020-01-01")).expect("JSON");
    let manifest = std::fs::read(folder.path().join("blabbermouth.manifest.json")).expect("a manifest");
    let drawn = Manifest::parse(&manifest).expect("a manifest").regenerate(None).expect("its own key");
    past.seal_with(&drawn.key);
    std::fs::write(&path, serde_json::to_vec(&past).expect("JSON")).expect("written");
    let (code, said) = run(&["test", "--baseline", "blabbermouth.baseline.json"]);
    assert!(code == Some(10) && said.contains("4 past its day"), "{code:?} {said}");
    // After new planting, no old acceptance applies, and the reports have no canary in common.
    assert_eq!(accept("2999-12-31").0, Some(0));
    assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
    let (code, said) = run(&["test", "--baseline", "blabbermouth.baseline.json"]);
    assert!(code == Some(3) && said.contains("accept them again"), "{code:?} {said}");
    assert_eq!(run(&["test", "--report", "json=other.json"]).0, Some(10));
    let (code, said) = run(&["report", "diff", "report.json", "other.json"]);
    assert!(code == Some(10) && said.contains("different manifests"), "{code:?} {said}");
    // A report of another manifest cannot be accepted.
    assert_eq!(accept("2999-12-31").0, Some(3));
    std::fs::write(folder.path().join("broken.json"), "{").expect("written");
    let (code, said) = run(&["test", "--baseline", "broken.json"]);
    assert!(code == Some(3) && said.contains("no baseline"), "{code:?} {said}");
    let shown = blabbermouth(folder.path(), &["ask", "Hi", "--show-secrets"], &[("CI", "true")]);
    assert!(shown.status.code() == Some(2) && text(&shown.stderr).contains("--force"), "{}", text(&shown.stderr));
}
