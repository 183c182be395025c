//! `blabbermouth verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::evidence::{EvidenceError, EvidencePack, Subject, VerifiedEvidence, Verifier};
use crate::exit::ExitCode;
use crate::harness::manifest_key;
use crate::report::escape::terminal;
use crate::store;
use crate::tune::{day, now, today};
use clap::Args;

use super::report_args::SealArgs;
use super::reports::names;
use super::seal::needs_own_key;
use super::{Failure, Output, config_failure};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth verify evidence --key public.pem
  blabbermouth verify evidence --key public.pem --subject adapter/   this model, and no other
  blabbermouth verify evidence                                       by the manifest's key

The exit code is 3 if a file was changed, the signature is not by the key, or the evidence is of another model, too old, or
not what --passed asks for. Otherwise it is 0 for a clean verdict, and that of the verdict for any other. Nothing is sent.")]
pub(crate) struct VerifyArgs {
    /// The folder of the evidence.
    pub(crate) folder: PathBuf,
    /// The public key (Ed25519, PEM) of the signer that you trust. Default: the manifest's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The file or folder of the model that is to be released: it has to be the one that was tested.
    #[arg(long, value_name = "PATH")]
    pub(crate) subject: Option<PathBuf>,
    /// The run may be this many days old, or its oldest recording where it replayed one.
    #[arg(long, value_name = "DAYS")]
    pub(crate) max_age: Option<u32>,
    /// Take no result but PASSED: no caveat, such as PARTIAL, REPLAYED or accepted leaks.
    #[arg(long)]
    pub(crate) passed: bool,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
}

/// Largest evidence folder, in bytes; the evidence of a million canaries is smaller.
const LARGEST: u64 = 2 << 30;

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> Result<ExitCode, Failure> {
    let folder = args.folder.display();
    let at = |e: &dyn std::fmt::Display| Failure::new(ExitCode::Config, format!("{folder}: {e}"));
    let files = files(&args.folder)?;
    let (verifier, signer) = match &args.key {
        Some(path) => {
            let pem = store::read(path).map_err(config_failure)?;
            let verifier = Verifier::from_pem(&pem)
                .map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))?;
            (verifier, format!("the private key of {}", path.display()))
        }
        None => {
            needs_own_key()?;
            let given = super::environment("BLABBERMOUTH_KEY").is_some();
            let from =
                if given { "BLABBERMOUTH_KEY" } else { "the manifest file, which anybody who has that file could use" };
            let key = manifest_key(&args.seal.config, super::environment)?;
            (Verifier::Manifest(key), format!("the manifest's key, from {from}"))
        }
    };
    let verified = EvidencePack::verify(&files, &verifier).map_err(|e| at(&e))?;
    if let Some(path) = &args.subject {
        let own = Subject::of_path(path).map_err(config_failure)?;
        let first = own.first().map(Subject::digest);
        if first.is_none() || first.as_ref() != verified.subjects.first().map(|(_, digest)| digest) {
            return Err(at(&format!("the evidence is of another model than {}", path.display())));
        }
    }
    show(&verified, &signer, args, output);
    demands(&verified, args).map_err(|e| at(&e))?;
    Ok(match verified.code {
        // A clean run on the mock proves nothing about a model.
        ExitCode::Clean if verified.result == "FAILED" => ExitCode::Inconclusive,
        code => code,
    })
}

/// Reads the evidence files of a folder; refuses any other file without reading it.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let at = |e: &dyn std::fmt::Display| Failure::new(ExitCode::Config, format!("{}: {e}", folder.display()));
    let (mut files, mut size) = (BTreeMap::new(), 0);
    for name in names(folder)? {
        let path = folder.join(&name);
        let about = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
        let about = about.ok_or_else(|| at(&format!("{name} is not a regular file")))?;
        if !EvidencePack::FILES.contains(&name.as_str()) {
            return Err(at(&EvidenceError::Foreign { name }));
        }
        size += about.len();
        if size > LARGEST {
            return Err(at(&"its files are larger than 2 GB"));
        }
        files.insert(name, store::read(&path).map_err(config_failure)?);
    }
    Ok(files)
}

fn show(verified: &VerifiedEvidence, signer: &str, args: &VerifyArgs, output: &Output) {
    let report = &verified.report;
    output.result(&format!("{}: the signature is valid, and no file was changed", args.folder.display()));
    output.result(&format!("signed by  {signer}"));
    output.result(&format!("run        of {}, blabbermouth {}", day(report.started), terminal(&report.tool)));
    output.result(&format!(
        "model      {} at {}",
        terminal(&report.settings.model),
        terminal(&report.settings.address)
    ));
    for (name, digest) in verified.subjects.iter().take(5) {
        output.result(&format!("subject    {} ({digest})", terminal(name)));
    }
    if verified.subjects.len() > 5 {
        output.result(&format!("           and {} further files", verified.subjects.len() - 5));
    }
    output.result(&format!("result     {}", verified.result));
    output.result(&format!("verdict    {}", terminal(&verified.verdict)));
}

/// Checks the age and the result of the evidence, and whether its accepted leaks are still accepted.
fn demands(verified: &VerifiedEvidence, args: &VerifyArgs) -> Result<(), String> {
    let today = today();
    let started = verified.report.sources.as_ref().and_then(|s| s.recorded).unwrap_or(verified.report.started);
    if let Some(days) = args.max_age {
        if started > now() + 86_400 {
            return Err(format!(
                "the run is dated {}, which is in the future: --max-age cannot be checked",
                day(started)
            ));
        }
        let age = now().saturating_sub(started) / 86_400;
        if age > u64::from(days) {
            return Err(format!("the run is of {}, {age} days old: --max-age allows {days}", day(started)));
        }
    }
    if args.passed && verified.result != "PASSED" {
        return Err(format!("the result is {}, and --passed wants PASSED", verified.result));
    }
    let accepted = verified.report.canaries.iter().filter_map(|canary| canary.accepted.as_ref());
    match accepted.map(|acceptance| acceptance.expires.as_str()).min() {
        Some(expires) if expires < today.as_str() => {
            Err(format!("it accepts leaks until {}, which has passed: test again", terminal(expires)))
        }
        _ => Ok(()),
    }
}
