//! Every escaper: a real parser returns the input, or its documented cleaning.

mod parsers;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use blabbermouth::canary::{DrawPlan, Key, Manifest, Space, Spaces, Template, builtin_templates};
use blabbermouth::detect::{Approximate, Candidates, Carrier, Detector, Searcher, Tier, normalise};
use blabbermouth::provider::read_batch_line;
use blabbermouth::report::escape::{
    csv_cell, html, lines, markdown_cell, message, terminal, workflow_data, workflow_property, xml_text,
};
use blabbermouth::report::{Compared, ReportFormat, SourceMap, comparison, explain, summary};
use blabbermouth::verdict::{
    AlphaSplit, Asked, CanaryVerdict, Detectors, Evidence, GuessCounter, Purpose, RunReport, Sensitivity, StrategyHits,
    Test,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use wiremock::matchers::any as anything;
use wiremock::{Mock, MockServer, ResponseTemplate};

use self::parsers::{MARKUP, cells, command, elements, moves, page, unescaped_percent, unescaped_unicode};
use crate::{blabbermouth, project, text};

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "::error file=a,line=1::x", "::add-mask::x", "::stop-commands::t", "##[error]x", "##[[ATTACHMENT|/etc/passwd]]", "::",
    "%0A::warning::", "%25", "%3A%2C", "\u{1b}[2J", "\u{1b}]0;title\u{7}", "\u{1b}]52;c;cm0gLXJm\u{7}",
    "\u{1b}]8;;http://x.y\u{1b}\\link\u{1b}]8;;\u{1b}\\", "\u{9b}31m", "\u{85}", "\u{7f}", "\u{0}", "\r", "\r\n", "\n", "\t",
    "\u{2028}", "\u{fffe}", "\u{202e}gnp.exe", "\u{2066}a\u{2069}", "\u{200f}", "\u{61c}", "\u{200b}\u{2060}\u{feff}", "\\ud800",
    "\\u{1b}", "]]>", "<![CDATA[", "<!--", "-->", "</script>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "</failure></testcase>", "\" onload=\"x", "&lt;", "&#x202e;", "&b;", "' OR 1=1 --", "=cmd|' /C calc'!A0", "+1", "@SUM(A1)",
    "\",\"", "[x](javascript:alert(1))", "![x](//a)", "`", "```", "|", "\\", "\\|", "https://x.y", "www.x.y", "{{7*7}}", "${x}",
    "$(id)", "../../etc/passwd", "not ok 1 # SKIP", "1..0", "...", "---", ".", "😀", "é漢", "e\u{301}",
];

const FLOODS: &[&str] = &["\u{200b}", "\u{200d}", "\u{feff}", "\u{301}", "\u{202e}"];

/// A hostile answer: pieces with a meaning to a parser, floods of invisible characters, sometimes 100 KB.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        300 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        80 => any::<char>().prop_map(String::from),
        10 => (proptest::sample::select(FLOODS), 1..2000_usize).prop_map(|(mark, count)| mark.repeat(count)),
        1 => Just("[x](y)<i>\u{202e}".repeat(8_400)),
    ];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// The documented cleaning of a Markdown cell.
fn as_cell(said: &str) -> String {
    xml_text(said).replace(['\n', '\t'], " ").replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

/// A report in which every text that a model, a service or a user can choose is one of `said`.
fn report(said: &[String]) -> RunReport {
    let frozen = include_str!("../../testdata/report-v1.json");
    let mut report: RunReport = serde_json::from_str(frozen).expect("version 1 stays readable");
    let at = |place: usize| said[place % said.len()].clone();
    let strategies = [format!("0{}", at(3)), format!("1{}", at(4))];
    report.settings.strategies = strategies.to_vec();
    (report.settings.model, report.settings.address, report.settings.config) = (at(0), at(1), at(2));
    (report.reason, report.controls.reason, report.pooled.reason) = (at(5), at(6), at(7));
    report.sensitivity = Some(Sensitivity { canaries: 1, leaked: 0, shown: false, required: true, reason: at(8) });
    for (index, canary) in report.canaries.iter_mut().enumerate() {
        canary.id = format!("c{index}{}", at(index));
        canary.test = format!("t{index}{}::{}", at(index + 1), at(index + 2));
        (canary.fingerprint, canary.reason, canary.excerpt) = (at(index + 3), at(index + 4), Some(at(index + 5)));
        canary.strategies = strategies.clone().map(|strategy| StrategyHits { strategy, asked: 1, hits: 0 }).to_vec();
    }
    report
}

fn rendered(format: ReportFormat, report: &RunReport) -> String {
    String::from_utf8(format.render(report, &SourceMap::default()).expect("rendered")).expect("UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_comes_back_from_where_it_was_put(said in hostile()) {
        let clean = xml_text(&said);
        prop_assert!(!clean.contains("##[") && !clean.contains("[[ATTACHMENT|") && !clean.contains("]]>"));
        let (data, property) = (workflow_data(&said), workflow_property(&said));
        prop_assert!(!data.contains(['\r', '\n']) && !property.contains(['\r', '\n', ':', ',']));
        prop_assert_eq!(&unescaped_percent(&data, false), &clean);
        prop_assert_eq!(&unescaped_percent(&property, true), &clean);
        prop_assert_eq!(cells(&markdown_cell(&said), MARKUP), [as_cell(&said)]);
        let (tags, texts) = page(&format!("<a title=\"x{0}\">x{0}</a>", html(&said)));
        prop_assert_eq!((tags, texts), (vec!["a title=".to_owned(), "/a".to_owned()], vec![format!("x{clean}")]));
        let cell = csv_cell(&said);
        assert!(cell == clean || cell == format!("'{clean}"), "{cell}");
        assert!(!cell.trim_start().starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']), "{cell}");
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([cell.as_str(), "end"]).expect("memory takes it");
        let bytes = writer.into_inner().expect("memory takes it");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a record")).collect();
        prop_assert_eq!(rows, [csv::StringRecord::from(vec![cell.as_str(), "end"])]);
    }

    #[test]
    fn what_a_terminal_shows_is_seen_and_stays_in_its_place(said in hostile()) {
        let shown = terminal(&said);
        prop_assert!(!shown.contains(moves), "{shown}");
        // In a job log this begins a command anywhere in a line.
        prop_assert!(!shown.contains("##["), "{shown}");
        prop_assert_eq!(unescaped_unicode(&shown).replace("# #[", "##["), unescaped_unicode(&said).replace("# #[", "##["));
        prop_assert_eq!(terminal(&shown), shown);
    }

    #[test]
    fn several_lines_on_a_terminal_are_seen_and_are_no_commands(said in hostile()) {
        let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
        let each: Vec<&str> = said.lines().collect();
        for shown in [lines(&said), message(&said)] {
            prop_assert!(!shown.contains(|c: char| moves(c) && c != '\n'), "{shown}");
            prop_assert!(!shown.lines().any(is_command), "{shown}");
            prop_assert_eq!(shown.split('\n').count(), each.len().max(1));
        }
        let (shown, told) = (lines(&said), message(&said));
        let again = lines(&shown);
        prop_assert_eq!(again.trim_end_matches('\n'), shown.trim_end_matches('\n'));
        // Lines after the first are indented, so that foreign text does not look like the program's own.
        prop_assert!(told.lines().skip(1).all(|line| line.starts_with("  ")), "{told}");
        prop_assert_eq!(message(&told), told);
    }

    /// Names become files, tests and lines of a log, so they must be harmless.
    #[test]
    fn a_template_and_a_canary_have_harmless_names(said in hostile()) {
        let mut spec = builtin_templates().remove(0);
        spec.name.clone_from(&said);
        let harmless = said.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        prop_assert_eq!(Template::new(spec, &Spaces::default()).is_ok(), harmless);
        let template = Template::new(builtin_templates().remove(0), &Spaces::default()).expect("built in");
        let plan = DrawPlan { templates: vec![template], planted: 1, held_out: 1, copies: vec![1], matched: Vec::new() };
        let key = Key::from_text("a key for the tests of escapes").expect("long enough");
        let (mut manifest, _) = Manifest::create(plan, &Spaces::default(), Some(key.clone()), None).expect("drawn");
        manifest.canaries[1].id.clone_from(&said);
        let read = Manifest::parse(manifest.to_json().as_bytes()).expect("of the right form");
        prop_assert_eq!(&read.canaries[1].id, &said);
        prop_assert!(said == "c0002" || read.regenerate(Some(key)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_report_gives_back_what_it_was_made_of(said in proptest::collection::vec(hostile(), 9)) {
        let (report, plain) = (report(&said), report(&["x".to_owned()]));
        let bad: Vec<_> = report.canaries.iter().filter(|c| c.verdict != CanaryVerdict::Clean).collect();
        let json = rendered(ReportFormat::Json, &report);
        prop_assert_eq!(&serde_json::from_str::<RunReport>(&json).expect("JSON"), &report);

        let xml = rendered(ReportFormat::Junit, &report);
        let is_xml = |c| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(xml.chars().all(is_xml));
        let attribute = |said: &str| xml_text(said).replace(['\n', '\t'], " ");
        let (properties, cases): (Vec<_>, Vec<_>) = elements(&xml).into_iter().partition(|(a, _)| a.contains_key("value"));
        prop_assert!(properties.iter().any(|(a, _)| a["name"] == "model" && a["value"] == attribute(&said[0])));
        prop_assert_eq!(cases.len(), report.canaries.len() + 5);
        for ((attributes, body), canary) in cases.iter().zip(&report.canaries) {
            let (class, name) = canary.test.split_once("::").expect("two parts");
            prop_assert_eq!(&attributes["classname"], &attribute(class));
            prop_assert_eq!(&attributes["name"], &attribute(name));
            prop_assert_eq!(&attributes["file"], &attribute(&said[2]));
            if canary.verdict == CanaryVerdict::Clean {
                prop_assert!(body.is_empty() && !attributes.contains_key("message"));
                continue;
            }
            prop_assert_eq!(&attributes["message"], &attribute(&canary.reason));
            prop_assert!(body.starts_with(&xml_text(&canary.reason)), "{body}");
            prop_assert!(body.ends_with(&xml_text(canary.excerpt.as_ref().expect("set"))), "{body}");
        }

        let sarif: Value = serde_json::from_str(&rendered(ReportFormat::Sarif, &report)).expect("JSON");
        let results = sarif["runs"][0]["results"].as_array().expect("results");
        for canary in &bad {
            let name = xml_text(&canary.test);
            let place = |result: &&Value| result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == name;
            let result = results.iter().find(place).expect("a result");
            let told = result["message"]["text"].as_str().expect("a text");
            prop_assert!(told.starts_with(&format!("{name}: {}", xml_text(&canary.reason))), "{told}");
            let uri = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            let (mut bytes, uri) = (Vec::new(), uri.as_str().expect("an address"));
            for (index, part) in uri.split('%').enumerate() {
                let (code, rest) = if index == 0 { ("", part) } else { part.split_at(2) };
                bytes.extend(u8::from_str_radix(code, 16));
                bytes.extend_from_slice(rest.as_bytes());
            }
            prop_assert!(uri.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)), "{uri}");
            prop_assert_eq!(bytes, said[2].trim_start_matches("./").as_bytes());
        }

        let (tags, texts) = page(&rendered(ReportFormat::Html, &report));
        prop_assert_eq!(tags, page(&rendered(ReportFormat::Html, &plain)).0);
        let mut wanted = vec![&said[0], &said[5], &said[6], &said[7], &said[8]];
        wanted.extend(report.canaries.iter().flat_map(|c| [&c.test, &c.reason].into_iter().chain(&c.excerpt)));
        let texts: HashSet<String> = texts.into_iter().collect();
        prop_assert!(wanted.iter().all(|said| texts.contains(&xml_text(said))));
        let compared = |name: &str, report| comparison(&[Compared {
            name: &format!("x{name}"), report, figures: vec![(name, name.to_owned())], page: format!("x{name}") }]);
        let tags = |bytes: Vec<u8>| page(&String::from_utf8(bytes).expect("UTF-8")).0;
        prop_assert_eq!(tags(compared(&said[0], &report)), tags(compared("x", &plain)));

        let table = rendered(ReportFormat::Csv, &report);
        let rows: Vec<_> = csv::Reader::from_reader(table.as_bytes()).into_records().map(|r| r.expect("a record")).collect();
        prop_assert_eq!(rows.len(), report.canaries.len());
        for (row, canary) in rows.iter().zip(&report.canaries) {
            let written = [&canary.id, &canary.test, &canary.reason, &canary.fingerprint].map(|said| csv_cell(said));
            prop_assert_eq!([0, 1, 5, 15].map(|at| row[at].to_owned()), written);
        }

        let lines = rendered(ReportFormat::Github, &report);
        let commands: Vec<_> = lines.lines().map(command).collect();
        prop_assert!(commands.iter().all(|(properties, _)| properties["file"] == xml_text(&said[2])));
        prop_assert_eq!(&commands[0].1, &xml_text(&report.reason));
        for canary in &bad {
            let title = xml_text(&format!("{}: {}", canary.test, canary.verdict.as_str()));
            prop_assert!(commands.iter().any(|(p, told)| p["title"] == title && *told == xml_text(&canary.reason)));
        }

        let summary = rendered(ReportFormat::Markdown, &report);
        let rows: Vec<&str> = summary.lines().filter(|line| line.starts_with("| t")).collect();
        prop_assert_eq!((rows.len(), bad.len()), (3, 3));
        for (row, canary) in rows.into_iter().zip([bad[0], bad[2], bad[1]]) {
            let cells = cells(row, MARKUP);
            prop_assert_eq!(cells.len(), 7);
            for (at, said) in [(1, &canary.test), (3, &canary.reason), (5, &canary.fingerprint)] {
                prop_assert_eq!(&cells[at], &format!(" {} ", as_cell(said)));
            }
        }

        let tap = rendered(ReportFormat::Tap, &report);
        let result = |line: &&str| line.starts_with("ok ") || line.starts_with("not ok ");
        for (line, canary) in tap.lines().filter(result).zip(&report.canaries) {
            let name = line.split_once(" - ").expect("a name").1;
            prop_assert_eq!(cells(name, "#"), [xml_text(&canary.test).replace('\n', " ")]);
        }
        let told: Vec<String> = tap.lines().filter_map(|l| l.strip_prefix("  message: "))
            .map(|told| serde_json::from_str(told).expect("a text")).collect();
        let reasons = bad.iter().map(|c| &c.reason).chain([&said[7], &said[5], &said[8]]).map(|said| xml_text(said));
        prop_assert_eq!(told, reasons.collect::<Vec<_>>());

        for format in [ReportFormat::Markdown, ReportFormat::Github, ReportFormat::Tap, ReportFormat::Outputs] {
            let [lines, usual] = [&report, &plain].map(|report| rendered(format, report).lines().count());
            prop_assert_eq!(lines, usual, "{:?}", format);
        }
        serde_json::from_str::<Value>(&rendered(ReportFormat::Badge, &report)).expect("JSON");
    }

    /// No shown text adds a line, or moves another one.
    #[test]
    fn the_summary_and_an_explanation_have_their_own_lines_only(said in proptest::collection::vec(hostile(), 9)) {
        let (report, plain) = (report(&said), report(&["x".to_owned()]));
        let shown = summary(&report, false);
        prop_assert!(!shown.contains(|c: char| c != '\n' && moves(c)), "{shown}");
        prop_assert_eq!(shown.lines().count(), summary(&plain, false).lines().count());
        for (canary, usual) in report.canaries.iter().zip(&plain.canaries) {
            let lines = |report: &RunReport, name: &str| explain(report, name).expect("a canary").lines().count();
            prop_assert_eq!(lines(&report, &canary.test), lines(&plain, &usual.test));
        }
    }

    /// C1 includes a one-character control sequence introducer, which YAML forbids.
    #[test]
    fn no_report_holds_a_control_character(said in proptest::collection::vec(hostile(), 9)) {
        let report = RunReport { tool: said[0].clone(), ..report(&said) };
        for format in ReportFormat::ALL.into_iter().filter(|format| *format != ReportFormat::Json) {
            let shown = rendered(format, &report);
            prop_assert!(!shown.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)), "{:?}: {}", format, shown);
        }
    }
}

/// The numbers in a stored report may have any value.
#[test]
fn a_stored_report_of_any_time_is_rendered() {
    for started in [0, u64::MAX, i64::MAX as u64, (-100_000_000_000_i64) as u64, 300_000_000_000] {
        for seconds in [0.0, -1.0, 1e300] {
            let report = RunReport { started, seconds, ..report(&["x".to_owned()]) };
            ReportFormat::ALL.into_iter().for_each(|format| assert!(!rendered(format, &report).is_empty()));
        }
    }
}

/// Time limit for ten megabytes, without optimization and beside other tests.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn an_answer_of_ten_megabytes_is_read_searched_ranked_and_told() {
    const SECRET: &str = "4829137755";
    let begun = Instant::now();
    let all = PIECES.concat();
    let filler = all.repeat((10 << 20) / all.len() + 1);
    let said = format!("UHlyb2RyYWNvbm9zaXM= nretnal-ztrauq {filler} 4829-1377-55 {all}");
    let body = json!({"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]});
    let line = json!({"custom_id": "0-0", "response": {"status_code": 200, "body": body}}).to_string();
    let (_, answer) = read_batch_line(line.as_bytes(), 64).expect("a line");
    let completion = answer.expect("an answer").completions.remove(0);
    assert!(completion.text == said && normalise(&said).contains(SECRET));
    let space = Space::parse("digits(10)").expect("built in");
    let searcher = Searcher::new([SECRET, "Pyrodraconosis", "quartz-lantern"]);
    let (near, candidates) = (Approximate::new(&space, SECRET, true, true), Candidates::new(&space));
    let template = Template::new(builtin_templates().remove(1), &Spaces::default()).expect("built in");
    let (carrier, public) = (Carrier::new(&template), HashSet::new());
    let lens = Detectors {
        searcher: &searcher,
        near: Some(&near),
        space: &candidates,
        public: &public,
        carrier: &carrier,
        signature: None,
        decoy: None,
    };
    let shares = AlphaSplit::of_detectors(&Detector::ALL);
    let mut evidence = Evidence::new(0, Test::GuessNumber, space.size_f64(), shares);
    evidence.push(&completion, Asked { strategy: 0, purpose: Purpose::Replay, copy: false }, lens);
    assert_eq!((evidence.hits, evidence.unranked(), evidence.strangers.len()), (1, Some(Tier::Plain), 2));
    let mut tally = GuessCounter::new(Tier::Plain);
    tally.add(&completion.text, &candidates, Some(&near));
    evidence.rank(Tier::Plain, tally.p_value(space.size_f64()));
    assert!(evidence.p_value < 1e-4, "{}", evidence.p_value);
    let shown = evidence.excerpt.expect("an excerpt");
    assert!(shown.len() < 400 && shown.contains("[secret]") && !normalise(&shown).contains(SECRET), "{shown}");
    assert!(page(&html(&said)).0.is_empty() && !terminal(&said).contains('\u{1b}'));
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn half_a_character_is_no_answer() {
    for said in ["\\ud800", "\\udc00", "\\ud800\\u0041", "\\ud83d\\ude0"] {
        let body = format!(r#"{{"choices":[{{"message":{{"content":"{said}"}},"finish_reason":"stop"}}]}}"#);
        let line = format!(r#"{{"custom_id":"0-0","response":{{"status_code":200,"body":{body}}}}}"#);
        assert!(read_batch_line(line.as_bytes(), 64).is_none(), "{said}");
    }
}

/// Errors and steps print file names.
#[test]
fn the_name_of_a_file_commands_nobody() {
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n");
    let name = "a\u{1b}[2J\u{9b}\u{202e}\u{200b}\r\n::error::x\n##[error]y\u{2028}.toml";
    let manifest = "a\u{1b}[2J\u{9b}\u{202e}\u{200b}\r\n::error::x\n##[error]y\u{2028}.json";
    let named = [("BLABBERMOUTH_MANIFEST_PATH", manifest)];
    let refused = ["plant", "tune", "test", "doctor"].map(|command| {
        let out = blabbermouth(folder.path(), &[command, "--config", name], &[]);
        assert!(!out.status.success(), "{command}");
        out
    });
    let planted = blabbermouth(folder.path(), &["plant"], &named);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    for out in refused.iter().chain([&planted]) {
        let shown = text(&out.stdout) + &text(&out.stderr);
        assert!(shown.contains("\\u{1b}[2J"), "{shown}");
        for line in shown.lines() {
            assert!(!line.trim_start().starts_with("::") && !line.contains("##[") && !line.contains(moves), "{line:?}");
        }
    }
}

/// The runner reads every line of an answer in a job log, and ignores white space before a command.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_shown_commands_nobody() {
    let server = MockServer::start().await;
    let said = format!("Well.\n{}", PIECES.join("\n"));
    let choice = json!({"message": {"role": "assistant", "content": said}, "finish_reason": "stop"});
    let body = json!({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    Mock::given(anything()).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let url = format!("{}/v1", server.uri());
    let key = ("OPENAI_API_KEY", "sk-test-0123456789");
    let out = blabbermouth(folder.path(), &["ask", "Hi", "--base-url", &url, "--model", "m"], &[key]);
    let shown = text(&out.stdout) + &text(&out.stderr);
    assert!(out.status.success() && shown.contains("alert(1)"), "{shown}");
    for line in shown.lines() {
        assert!(!line.trim_start().starts_with("::") && !line.contains("##[") && !line.contains(moves), "{line:?}");
    }
}
