//! JUnit report: written by `junit-report`, then completed and verified with an XML reader.

use std::borrow::Cow;

use junit_report::{Duration, OffsetDateTime, Report, TestCase, TestCaseBuilder, TestSuite};
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

use super::SourceMap;
use super::escape::{open_nothing, xml_text};
use super::finding::{Outcome, outcomes};
use blabbermouth_core::verdict::{CanaryVerdict, RunReport};

/// Why a JUnit file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// The writer failed.
    #[error("the JUnit file could not be written: {0}")]
    Write(String),
    /// The written file could not be read back.
    #[error("the JUnit file could not be read back: {0}")]
    Read(String),
}

pub(super) fn render(report: &RunReport, places: &SourceMap) -> Result<Vec<u8>, JunitError> {
    let mut suite = TestSuite::new("blabbermouth");
    suite.set_timestamp(
        // The date format ends with the year 9999.
        OffsetDateTime::from_unix_timestamp(report.started.min(253_402_300_799) as i64)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
    );
    let time = Duration::milliseconds((1000.0 * report.seconds / report.canaries.len().max(1) as f64) as i64);
    let file = xml_text(places.file(&report.settings.config));
    let all = outcomes(report, places);
    for outcome in &all {
        suite.add_testcase(case(outcome, time, &file));
    }
    // The builders of the library would copy the whole report.
    let (mut file, mut first) = (Report::new(), Vec::new());
    file.add_testsuite(suite);
    file.write_xml(&mut first).map_err(|e| JunitError::Write(e.to_string()))?;
    drop(file);
    let bytes = unopened(complete(&first, report, &all)?);
    // Reads the file once more: it must parse, and have all test cases.
    let mut reader = Reader::from_reader(bytes.as_slice());
    reader.config_mut().check_end_names = true;
    let mut cases = 0;
    loop {
        match reader.read_event().map_err(|e| JunitError::Read(e.to_string()))? {
            Event::Eof if cases == all.len() => return Ok(bytes),
            Event::Eof => return Err(JunitError::Read(format!("{cases} of {} cases are there", all.len()))),
            Event::Start(start) | Event::Empty(start) if start.name().as_ref() == b"testcase" => cases += 1,
            _ => {}
        }
    }
}

/// Breaks openings of attachments and commands that only two adjacent texts form together (found by fuzzing). The
/// markup itself has no such letters.
fn unopened(bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(xml) => match open_nothing(&xml) {
            Cow::Owned(broken) => broken.into_bytes(),
            Cow::Borrowed(_) => xml.into_bytes(),
        },
        Err(error) => error.into_bytes(),
    }
}

fn case(outcome: &Outcome<'_>, time: Duration, file: &str) -> TestCase {
    let (class, name) = outcome.parts();
    let time = if outcome.canary.is_some() { time } else { Duration::ZERO };
    let (name, message) = (xml_text(name), xml_text(outcome.reason));
    let mut case = match outcome.verdict {
        CanaryVerdict::Clean => TestCaseBuilder::success(&name, time),
        CanaryVerdict::Leaked => TestCaseBuilder::failure(&name, time, outcome.rule, &message),
        CanaryVerdict::Errored => TestCaseBuilder::error(&name, time, "provider.error", &message),
        CanaryVerdict::Inconclusive => TestCaseBuilder::skipped_with_cause(&name, outcome.rule, &message),
    };
    case.set_classname(&xml_text(class)).set_filepath(file);
    if !matches!(outcome.verdict, CanaryVerdict::Clean | CanaryVerdict::Inconclusive) {
        case.set_trace(&body(outcome));
    }
    if outcome.canary.is_some_and(|canary| canary.accepted.is_some()) {
        case.set_system_out(&message);
    }
    case.build()
}

/// Reason of a result, with the figures behind it.
fn body(outcome: &Outcome<'_>) -> String {
    let Some(canary) = outcome.canary else { return xml_text(outcome.reason) };
    let excerpt = canary.excerpt.as_ref().map(|e| format!("\nmasked: {e}")).unwrap_or_default();
    xml_text(&format!(
        "{}\narm: {}, copies: {}, answers: {}, with the secret: {}, p: {:.3e}, fingerprint: {}{excerpt}",
        canary.reason,
        canary.arm.as_str(),
        canary.copies,
        canary.asked,
        canary.hits,
        canary.p_value,
        canary.fingerprint
    ))
}

/// Adds what `junit-report` lacks: totals at the root, the text of `skipped`, `line`, properties.
fn complete(xml: &[u8], report: &RunReport, all: &[Outcome<'_>]) -> Result<Vec<u8>, JunitError> {
    let count = |verdict| all.iter().filter(|o| o.verdict == verdict).count().to_string();
    let totals = [
        ("tests", all.len().to_string()),
        ("failures", count(CanaryVerdict::Leaked)),
        ("errors", count(CanaryVerdict::Errored)),
        ("skipped", count(CanaryVerdict::Inconclusive)),
        ("time", format!("{:.3}", report.seconds)),
    ];
    let read = |e: quick_xml::Error| JunitError::Read(e.to_string());
    let write = |e: std::io::Error| JunitError::Write(e.to_string());
    let mut reader = Reader::from_reader(xml);
    // Reserves the whole size: a full buffer would be copied into one of twice the size.
    let mut writer = Writer::new_with_indent(Vec::with_capacity(2 * xml.len()), b' ', 2);
    // The test cases are in the order of the results.
    let mut cases = all.iter();
    let mut open: Option<&Outcome<'_>> = None;
    loop {
        let event = reader.read_event().map_err(read)?;
        match event {
            Event::Eof => break,
            Event::Start(start) => {
                if start.name().as_ref() == b"testcase" {
                    open = cases.next();
                }
                let added = completed(&start, &totals, open)?;
                let suite = start.name().as_ref() == b"testsuite";
                writer.write_event(Event::Start(added)).map_err(write)?;
                if suite {
                    properties(&mut writer, report).map_err(write)?;
                }
            }
            Event::Empty(start) => {
                if start.name().as_ref() == b"testcase" {
                    open = cases.next();
                }
                let added = completed(&start, &totals, open)?;
                // GitLab and others read the text of an element, and not its attributes.
                match open.filter(|_| start.name().as_ref() == b"skipped") {
                    Some(outcome) => {
                        writer.write_event(Event::Start(added)).map_err(write)?;
                        writer.write_event(Event::Text(BytesText::new(&body(outcome)))).map_err(write)?;
                        writer.write_event(Event::End(BytesEnd::new("skipped"))).map_err(write)?;
                    }
                    None => writer.write_event(Event::Empty(added)).map_err(write)?,
                }
            }
            other => writer.write_event(other).map_err(write)?,
        }
    }
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn completed(
    start: &BytesStart<'_>,
    totals: &[(&str, String)],
    outcome: Option<&Outcome<'_>>,
) -> Result<BytesStart<'static>, JunitError> {
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    let mut out = BytesStart::new(name.clone());
    let replaced = |key: &[u8]| {
        matches!(name.as_str(), "testsuite" | "testsuites") && totals.iter().any(|(total, _)| total.as_bytes() == key)
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| JunitError::Read(e.to_string()))?;
        if !replaced(attribute.key.as_ref()) {
            out.push_attribute(attribute);
        }
    }
    if matches!(name.as_str(), "testsuite" | "testsuites") {
        for (key, value) in totals {
            out.push_attribute((*key, value.as_str()));
        }
    }
    if name == "testsuites" {
        out.push_attribute(("name", "blabbermouth"));
    }
    if name == "testcase" {
        let line = outcome.map_or(1, |outcome| outcome.line).to_string();
        out.push_attribute(("line", line.as_str()));
    }
    Ok(out.into_owned())
}

fn properties(writer: &mut Writer<Vec<u8>>, report: &RunReport) -> std::io::Result<()> {
    let s = &report.settings;
    let list = [
        ("verdict", report.verdict.as_str().to_owned()),
        ("reason", xml_text(&report.reason)),
        ("model", xml_text(&s.model)),
        ("address", xml_text(&s.address)),
        ("samples", s.samples.to_string()),
        ("alpha", s.policy.alpha.to_string()),
        ("bound", s.policy.bound.to_string()),
        ("version", xml_text(&report.tool)),
    ];
    writer.create_element("properties").write_inner_content(|writer| {
        for (name, value) in &list {
            writer
                .create_element("property")
                .with_attribute(("name", *name))
                .with_attribute(("value", value.as_str()))
                .write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}
