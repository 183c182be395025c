//! `blabbermouth test`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use blabbermouth::exit::ExitCode;
use blabbermouth::harness::{Session, Shown, execute};
use blabbermouth::report::{ReportFormat, summary};
use blabbermouth::store::Pending;
use blabbermouth::verdict::RunReport;
use libtest_mimic::Arguments;

use super::args::TestArgs;
use super::{Failure, Output, config_failure};

/// What an entry of a report takes up, amply.
const BYTES_A_CANARY: usize = 1200;

pub(crate) fn run(args: &TestArgs, output: &Output) -> Result<ExitCode, Failure> {
    let session = Session::open(
        Some(&args.config),
        |name| std::env::var(name).ok(),
        |config| {
            super::choose(config, args.model.as_deref(), args.base_url.as_deref());
            if let Some(samples) = args.samples {
                config.probe.samples = samples;
            }
            if let Some(concurrency) = args.concurrency {
                config.probe.concurrency = concurrency.max(1);
            }
        },
    )?
    .fresh(args.fresh);
    let reports = Reports::begin(&args.report, Path::new(""), session.entries().len())?;
    let mut words: Vec<OsString> = vec!["blabbermouth".into()];
    words.extend(args.filter.iter().map(OsString::from));
    if args.list {
        words.push("--list".into());
    }
    if output.is_quiet() {
        words.push("--quiet".into());
    }
    if !output.colour() {
        words.push("--color=never".into());
    }
    words.extend(args.libtest.iter().map(OsString::from));
    let shown = gate(&session, &Arguments::from_iter(words), output)?;
    let Some(report) = shown.report() else {
        if args.list {
            return Ok(ExitCode::Clean);
        }
        return Err(Failure::new(ExitCode::Inconclusive, "no canary was selected, so nothing was tested"));
    };
    reports.write(report, output)?;
    output.result(&summary(report, output.colour()));
    let code = report.verdict.exit_code();
    shown.settle()?;
    Ok(code)
}

/// Probes with a progress bar, and shows the trials.
pub(crate) fn gate(session: &Session, arguments: &Arguments, output: &Output) -> Result<Shown, Failure> {
    let (bar, progress) = output.progress();
    let shown = execute(session, arguments, progress);
    bar.finish_and_clear();
    Ok(shown?)
}

/// Report files that were begun before anything was paid for.
#[derive(Debug)]
pub(crate) struct Reports(Vec<(ReportFormat, PathBuf, Pending)>);

impl Reports {
    /// Begins the wanted reports, and takes up room for them: about `canaries` entries in each.
    pub(crate) fn begin(wanted: &[String], folder: &Path, canaries: usize) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for text in wanted {
            let (name, path) = text.split_once('=').map_or((text.as_str(), None), |(n, p)| (n, Some(p)));
            let format = ReportFormat::by_name(name).ok_or_else(|| {
                Failure::new(ExitCode::Usage, format!("unknown report `{name}`; there are junit and json"))
            })?;
            let path = folder.join(path.unwrap_or(format.default_path()));
            let room = 4096 + canaries * BYTES_A_CANARY;
            let pending = Pending::create(&path, true).and_then(|p| p.reserve(room)).map_err(config_failure)?;
            all.push((format, path, pending));
        }
        Ok(Self(all))
    }

    pub(crate) fn write(self, report: &RunReport, output: &Output) -> Result<(), Failure> {
        for (format, path, mut pending) in self.0 {
            let bytes = format.render(report).map_err(|e| Failure::new(ExitCode::Internal, e))?;
            std::io::Write::write_all(pending.writer(), &bytes).map_err(config_failure)?;
            pending.persist().map_err(config_failure)?;
            output.detail(&format!("written    {}", path.display()));
        }
        Ok(())
    }
}
