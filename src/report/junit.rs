//! JUnit: written by `junit-report`, then completed and proved by one pass of a real XML reader.

use junit_report::{Duration, OffsetDateTime, ReportBuilder, TestCase, TestCaseBuilder, TestSuiteBuilder};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, Writer};

use super::escape::xml_text;
use crate::canary::Arm;
use crate::verdict::{CanaryVerdict, RunReport, RunVerdict};

/// Why a JUnit file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// The writer failed.
    #[error("the JUnit file could not be written: {0}")]
    Write(String),
    /// What was written could not be read back.
    #[error("the JUnit file could not be read back: {0}")]
    Read(String),
}

pub(super) fn render(report: &RunReport) -> Result<Vec<u8>, JunitError> {
    let mut suite = TestSuiteBuilder::new("blabbermouth");
    suite.set_timestamp(
        OffsetDateTime::from_unix_timestamp(report.started as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH),
    );
    let share = report.seconds / (report.canaries.len().max(1) as f64);
    for canary in &report.canaries {
        let (class, name) = canary.test.split_once("::").unwrap_or(("", &canary.test));
        let body = format!(
            "{}\narm: {}, copies: {}, answers: {}, with the secret: {}, p: {:.3e}, fingerprint: {}",
            canary.reason,
            canary.arm.as_str(),
            canary.copies,
            canary.asked,
            canary.hits,
            canary.p_value,
            canary.fingerprint
        );
        let leak = if canary.arm == Arm::Planted { "canary.leak" } else { "canary.control" };
        suite.add_testcase(case(
            name,
            class,
            share,
            canary.verdict,
            leak,
            &canary.reason,
            &body,
            &report.settings.config,
        ));
    }
    let controls = match (report.controls.sound, report.verdict) {
        (true, _) => CanaryVerdict::Clean,
        (false, RunVerdict::Invalid) => CanaryVerdict::Leaked,
        (false, _) => CanaryVerdict::Inconclusive,
    };
    let cross = match &report.pooled {
        pooled if pooled.sound => CanaryVerdict::Clean,
        pooled if pooled.smallest <= pooled.threshold => CanaryVerdict::Leaked,
        _ => CanaryVerdict::Inconclusive,
    };
    for (name, verdict, kind, reason) in [
        ("controls", controls, "run.controls", &report.controls.reason),
        ("cross", cross, "run.cross", &report.pooled.reason),
    ] {
        suite.add_testcase(case(name, "run", 0.0, verdict, kind, reason, reason, &report.settings.config));
    }
    let verdicts: Vec<CanaryVerdict> = report.canaries.iter().map(|c| c.verdict).chain([controls, cross]).collect();
    let mut first = Vec::new();
    ReportBuilder::new()
        .add_testsuite(suite.build())
        .build()
        .write_xml(&mut first)
        .map_err(|e| JunitError::Write(e.to_string()))?;
    let bytes = complete(&first, report, &verdicts)?;
    // Read once more: what counts as written was parsed.
    let mut reader = Reader::from_reader(bytes.as_slice());
    reader.config_mut().check_end_names = true;
    loop {
        if reader.read_event().map_err(|e| JunitError::Read(e.to_string()))? == Event::Eof {
            return Ok(bytes);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of one row, private")]
fn case(
    name: &str,
    class: &str,
    seconds: f64,
    verdict: CanaryVerdict,
    leak: &str,
    reason: &str,
    body: &str,
    file: &str,
) -> TestCase {
    let time = Duration::milliseconds((seconds * 1000.0) as i64);
    let (name, message, body) = (xml_text(name), xml_text(reason), xml_text(body));
    let mut case = match verdict {
        CanaryVerdict::Clean => TestCaseBuilder::success(&name, time),
        CanaryVerdict::Leaked => TestCaseBuilder::failure(&name, time, leak, &message),
        CanaryVerdict::Errored => TestCaseBuilder::error(&name, time, "provider.error", &message),
        CanaryVerdict::Inconclusive => TestCaseBuilder::skipped_with_cause(&name, "canary.inconclusive", &message),
    };
    case.set_classname(&xml_text(class)).set_filepath(&xml_text(file));
    if !matches!(verdict, CanaryVerdict::Clean | CanaryVerdict::Inconclusive) {
        case.set_trace(&body);
    }
    case.build()
}

/// Adds what `junit-report` has not: totals at the root, `skipped`, `line`, properties.
fn complete(xml: &[u8], report: &RunReport, verdicts: &[CanaryVerdict]) -> Result<Vec<u8>, JunitError> {
    let count = |verdict| verdicts.iter().filter(|v| **v == verdict).count().to_string();
    let totals = [
        ("tests", verdicts.len().to_string()),
        ("failures", count(CanaryVerdict::Leaked)),
        ("errors", count(CanaryVerdict::Errored)),
        ("skipped", count(CanaryVerdict::Inconclusive)),
        ("time", format!("{:.3}", report.seconds)),
    ];
    let read = |e: quick_xml::Error| JunitError::Read(e.to_string());
    let write = |e: std::io::Error| JunitError::Write(e.to_string());
    let mut reader = Reader::from_reader(xml);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    loop {
        let event = reader.read_event().map_err(read)?;
        match event {
            Event::Eof => break,
            Event::Start(start) => {
                let added = completed(&start, &totals)?;
                let suite = start.name().as_ref() == b"testsuite";
                writer.write_event(Event::Start(added)).map_err(write)?;
                if suite {
                    properties(&mut writer, report).map_err(write)?;
                }
            }
            Event::Empty(start) => writer.write_event(Event::Empty(completed(&start, &totals)?)).map_err(write)?,
            other => writer.write_event(other).map_err(write)?,
        }
    }
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn completed(start: &BytesStart<'_>, totals: &[(&str, String)]) -> Result<BytesStart<'static>, JunitError> {
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
        out.push_attribute(("line", "1"));
    }
    Ok(out.into_owned())
}

fn properties(writer: &mut Writer<Vec<u8>>, report: &RunReport) -> std::io::Result<()> {
    let s = &report.settings;
    let list = [
        ("verdict", report.verdict.as_str().to_owned()),
        ("model", xml_text(&s.model)),
        ("address", xml_text(&s.address)),
        ("samples", s.samples.to_string()),
        ("alpha", s.policy.alpha.to_string()),
        ("bound", s.policy.bound.to_string()),
        ("version", report.tool.clone()),
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
