//! Arguments of `blabbermouth report`.

use std::path::{Path, PathBuf};

use crate::exit::ExitCode;
use clap::{Args, Subcommand};

use super::Failure;
use super::args::TargetArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  blabbermouth report report.json                       the summary
  blabbermouth report report.json --report html
  blabbermouth report merge part-*.cassette --report junit")]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ReportCommand>,
    #[command(flatten)]
    pub(crate) render: RenderArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Write a stored report in other formats, or print its summary.
    Render(RenderArgs),
    /// Tell which canaries leak in the new report and did not in the old one.
    Diff(DiffArgs),
    /// Print how the verdict on a canary of a stored report came about, number by number.
    Explain(ExplainArgs),
    /// Accept the leaks of a report for a while: writes the baseline that `test --baseline` reads.
    Accept(AcceptArgs),
    /// See whether a stored report is as the run wrote it: its seal is checked with the key of the manifest.
    Verify(VerifyArgs),
    /// Judge the parts of a sharded run together: the verdict, and every figure, are those of the whole.
    Merge(MergeArgs),
}

/// Which reports to write.
#[derive(Debug, Default, Args)]
pub(crate) struct ReportsArgs {
    /// Write a report, with an optional =PATH: junit, json, sarif, html, markdown, github, csv, tap, badge, outputs, or
    /// evidence (a signed folder for auditors). Repeatable.
    #[arg(long, value_name = "FORMAT[=PATH]")]
    pub(crate) report: Vec<String>,
    /// With --report evidence: the file or folder of the tested weights or adapter, whose digest the evidence names.
    #[arg(long, value_name = "PATH")]
    pub(crate) subject: Option<PathBuf>,
    /// With --report evidence: sign with this private key (Ed25519, PEM) in place of the manifest's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) sign_with: Option<PathBuf>,
}

impl ReportsArgs {
    /// The evidence folder, if one is requested. Refuses a link at the default path, which the user did not choose.
    pub(crate) fn evidence(&self, folder: &Path) -> Result<Option<PathBuf>, Failure> {
        let usage = |text: &str| Failure::new(ExitCode::Usage, text);
        let wanted: Vec<&str> = self.report.iter().filter_map(|text| text.strip_prefix("evidence")).collect();
        let wanted: Vec<&str> = wanted.into_iter().filter(|rest| rest.is_empty() || rest.starts_with('=')).collect();
        match wanted.as_slice() {
            [] => Ok(None),
            [""] if folder.join("evidence").is_symlink() => {
                Err(usage("evidence: is a link, which is not followed: name the folder, as in --report evidence=DIR"))
            }
            [""] => Ok(Some(folder.join("evidence"))),
            ["=" | "=-"] => Err(usage("--report evidence=DIR: a folder is needed")),
            [named] => Ok(Some(folder.join(&named[1..]))),
            _ => Err(usage("--report evidence: one folder of evidence is written at a time")),
        }
    }

    /// Requests reports in these formats, as the command line does.
    pub(crate) fn of(wanted: &[&str]) -> Self {
        Self { report: wanted.iter().map(|text| (*text).to_owned()).collect(), ..Self::default() }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is 10 for a new leak; else that of the new report, where it is neither clean nor leaked; else 0."
)]
pub(crate) struct DiffArgs {
    /// The stored report (JSON) of before.
    pub(crate) old: PathBuf,
    /// That of now.
    pub(crate) new: PathBuf,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// The configuration that names the manifest, whose key checks the seals.
    #[arg(short, long, env = "BLABBERMOUTH_CONFIG", default_value = "blabbermouth.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "The exit code is 0 if the seal of every report is valid, else 3.")]
pub(crate) struct VerifyArgs {
    /// The stored reports (JSON).
    #[arg(required = true)]
    pub(crate) reports: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The stored report (JSON).
    pub(crate) from: PathBuf,
    /// The canary, as in c0001.
    pub(crate) canary: String,
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The stored report (JSON).
    pub(crate) from: PathBuf,
    /// Why its leaks are accepted.
    #[arg(long)]
    pub(crate) reason: String,
    /// Until which day, as in 2027-01-31.
    #[arg(long, value_name = "DAY")]
    pub(crate) expires: String,
    /// The baseline; one that is there is replaced.
    #[arg(long, default_value = "blabbermouth.baseline.json")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth test --shard 1/3 --record part-1.cassette      on the first machine, and so on
  blabbermouth report merge part-1.cassette part-2.cassette part-3.cassette --report junit
A part that is missing makes the verdict inconclusive. The manifest's key opens the parts.")]
pub(crate) struct MergeArgs {
    /// What `test --shard K/N --record FILE` wrote.
    #[arg(required = true)]
    pub(crate) parts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Samples for each canary, as they were asked for.
    #[arg(long)]
    pub(crate) samples: Option<u64>,
    /// Fail on new leaks only, as with `test`.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Without --report, the summary is printed.")]
pub(crate) struct RenderArgs {
    /// The stored report (JSON).
    #[arg(default_value = "report.json")]
    pub(crate) from: PathBuf,
    /// The configuration that reports point into, where it is at hand.
    #[arg(short, long, env = "BLABBERMOUTH_CONFIG", default_value = "blabbermouth.toml")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
}
