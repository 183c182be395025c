//! Report files and evidence folders that a command writes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::evidence::{EvidencePack, Signer, Subject};
use crate::exit::ExitCode;
use crate::harness::manifest_key;
use crate::report::{ReportFormat, SourceMap};
use crate::store::{self, Pending};
use blabbermouth_core::verdict::RunReport;

use super::report_args::ReportsArgs;
use super::{Failure, Output, config_failure};

/// Maximum bytes of one canary in the largest format.
const BYTES_A_CANARY: usize = 1200;
/// The report format that is a folder of evidence.
const EVIDENCE: &str = "evidence";

/// Reports whose files are opened before anything is paid for.
#[derive(Debug)]
pub(crate) struct Reports {
    files: Vec<(ReportFormat, PathBuf, Pending)>,
    evidence: Option<Evidence>,
}

/// An evidence folder in the making.
#[derive(Debug)]
struct Evidence {
    folder: PathBuf,
    files: Vec<(&'static str, Pending)>,
    /// Digests of the model's files; empty for a model at a service.
    subjects: Vec<Subject>,
    /// `None` to sign with the manifest's key.
    signer: Option<Signer>,
}

impl Reports {
    /// Opens the requested reports, and reserves disk space for about `canaries` entries in each.
    pub(crate) fn begin(args: &ReportsArgs, folder: &Path, canaries: usize) -> Result<Self, Failure> {
        let (mut files, mut evidence) = (Vec::new(), None);
        let room = 4096 + canaries * BYTES_A_CANARY;
        for text in &args.report {
            let (name, path) = text.split_once('=').map_or((text.as_str(), None), |(n, p)| (n, Some(p)));
            if name == EVIDENCE {
                let folder = args.evidence(folder)?.expect("it is wanted");
                evidence = Some(Evidence::begin(args, &folder, room)?);
                continue;
            }
            let format = ReportFormat::by_name(name).ok_or_else(|| {
                let mut known: Vec<&str> = ReportFormat::ALL.iter().map(|format| format.name()).collect();
                known.push(EVIDENCE);
                Failure::new(ExitCode::Usage, format!("unknown report `{name}`; there are {}", known.join(", ")))
            })?;
            // Only a path that the user names may be a link: one at a default path is not the user's choice.
            let pending = match path {
                Some("-") => Pending::report(Path::new("-")),
                Some(path) => Pending::report(&folder.join(path)),
                None => Pending::create(&folder.join(format.default_path()), true),
            };
            let path = folder.join(path.unwrap_or(format.default_path()));
            files.push((format, path, pending.and_then(|p| p.reserve(room)).map_err(config_failure)?));
        }
        if evidence.is_none() && (args.subject.is_some() || args.sign_with.is_some()) {
            let text = "--subject and --sign-with are for evidence: add --report evidence";
            return Err(Failure::new(ExitCode::Usage, text));
        }
        Ok(Self { files, evidence })
    }

    /// Whether an evidence folder is requested, which only a sealed report may fill.
    pub(crate) fn has_evidence(&self) -> bool {
        self.evidence.is_some()
    }

    /// Writes the report in all formats. `config` is the configuration whose lines the reports cite, if available.
    pub(crate) fn write(self, report: &RunReport, config: Option<&Path>, output: &Output) -> Result<(), Failure> {
        let places = config.map_or_else(SourceMap::default, places);
        for (format, path, mut pending) in self.files {
            let bytes = format.render(report, &places).map_err(|e| Failure::new(ExitCode::Internal, e))?;
            pending.writer().write_all(&bytes).map_err(config_failure)?;
            pending.persist().map_err(config_failure)?;
            output.detail(&format!("written    {}", path.display()));
        }
        match (self.evidence, config) {
            (Some(evidence), Some(config)) => evidence.write(report, config, output),
            _ => Ok(()),
        }
    }
}

/// Removes the signature of an evidence folder that is about to be rewritten, so that old evidence does not pass for
/// this run's. Call this before anything else can fail.
pub(crate) fn retract(args: &ReportsArgs) -> Result<(), Failure> {
    match args.evidence(Path::new(""))? {
        Some(folder) if folder.is_dir() => store::remove(&folder.join(EvidencePack::ENVELOPE)).map_err(config_failure),
        _ => Ok(()),
    }
}

impl Evidence {
    /// Does everything that can fail before anything is paid for: reads the key, computes the model's digests.
    fn begin(args: &ReportsArgs, folder: &Path, room: usize) -> Result<Self, Failure> {
        let signer = args.sign_with.as_ref().map(|path| {
            let pem = store::read(path).map_err(config_failure)?;
            Signer::from_pem(&pem).map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))
        });
        let subjects = args.subject.as_ref().map(|path| Subject::of_path(path)).transpose().map_err(config_failure)?;
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", folder.display())))?;
        for name in names(folder)? {
            // A killed run leaves unfinished files, which the next run removes.
            if !EvidencePack::FILES.contains(&name.as_str()) && !store::is_unfinished(&name) {
                let text = format!("{}: holds {name}, which is no evidence: name another folder", folder.display());
                return Err(Failure::new(ExitCode::Config, text));
            }
        }
        let begin = |name: &'static str| {
            let pending = Pending::create(&folder.join(name), true).and_then(|p| p.reserve(room));
            pending.map(|pending| (name, pending)).map_err(config_failure)
        };
        let files = EvidencePack::FILES.into_iter().map(begin).collect::<Result<_, _>>()?;
        let folder = folder.to_owned();
        Ok(Self { folder, files, subjects: subjects.unwrap_or_default(), signer: signer.transpose()? })
    }

    fn write(mut self, report: &RunReport, config: &Path, output: &Output) -> Result<(), Failure> {
        let signer = match self.signer.take() {
            Some(signer) => signer,
            None => Signer::Manifest(manifest_key(config, super::environment)?),
        };
        if self.subjects.is_empty() {
            self.subjects.push(Subject::of_model(report));
        }
        let pack = EvidencePack::new(report, &self.subjects, &signer);
        for ((name, bytes), (begun, mut pending)) in pack.files().zip(self.files) {
            debug_assert_eq!(name, begun);
            pending.writer().write_all(bytes).map_err(config_failure)?;
            pending.persist().map_err(config_failure)?;
        }
        output.detail(&format!("written    {}", self.folder.display()));
        Ok(())
    }
}

/// Names of the entries of a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let fault = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{}: {e}", folder.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        names.push(entry.map_err(fault)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Maps templates to their lines in the configuration. The path is relative to the repository root, as code-scanning
/// tools expect.
fn places(config: &Path) -> SourceMap {
    let Ok(text) = store::read_text(config) else { return SourceMap::default() };
    let root = std::env::var_os("GITHUB_WORKSPACE").or_else(|| std::env::var_os("CI_PROJECT_DIR")).map(PathBuf::from);
    let whole = config.canonicalize().ok();
    let below = root
        .and_then(|root| root.canonicalize().ok())
        .zip(whole)
        .and_then(|(root, whole)| whole.strip_prefix(root).ok().map(|path| path.display().to_string()));
    SourceMap::of(&below.unwrap_or_else(|| config.display().to_string()), &text)
}
