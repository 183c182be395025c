//! `blabbermouth verify`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::evidence::{EvidencePack, Subject, Verifier};
use crate::exit::ExitCode;
use crate::harness::manifest_key;
use crate::report::escape::terminal;
use crate::store;
use clap::Args;

use super::report_args::SealArgs;
use super::reports::names;
use super::{Failure, Output, config_failure};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth verify evidence --key public.pem
  blabbermouth verify evidence --key public.pem --subject adapter/   this model, and no other
  blabbermouth verify evidence                                       by the manifest's key

The exit code is 3 if a file was changed, the signature is not by the key, or the evidence is of another model. Otherwise it
is 0 for a clean verdict, and that of the verdict for any other. Nothing is sent.")]
pub(crate) struct VerifyArgs {
    /// The folder of the evidence.
    pub(crate) folder: PathBuf,
    /// The public key (Ed25519, PEM) of whom you trust; without it the manifest's key is used.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The file or folder of the model that is to be released: it has to be the one that was tested.
    #[arg(long, value_name = "PATH")]
    pub(crate) subject: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) seal: SealArgs,
}

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> Result<ExitCode, Failure> {
    let folder = args.folder.display();
    let at = |e: &dyn std::fmt::Display| Failure::new(ExitCode::Config, format!("{folder}: {e}"));
    let mut files = BTreeMap::new();
    for name in names(&args.folder)? {
        let path = args.folder.join(&name);
        let is_file = path.symlink_metadata().is_ok_and(|about| about.is_file());
        if !is_file {
            return Err(at(&format!("{name} is not a regular file")));
        }
        files.insert(name, store::read(&path).map_err(config_failure)?);
    }
    let verifier = match &args.key {
        Some(path) => {
            let pem = store::read(path).map_err(config_failure)?;
            Verifier::from_pem(&pem).map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))?
        }
        None => Verifier::Manifest(manifest_key(&args.seal.config, super::environment)?),
    };
    let verified = EvidencePack::verify(&files, &verifier).map_err(|e| at(&e))?;
    if let Some(path) = &args.subject {
        let own = Subject::of_path(path).map_err(config_failure)?;
        let first = own.first().map(Subject::digest);
        if first.is_none() || first.as_ref() != verified.subjects.first().map(|(_, digest)| digest) {
            return Err(at(&format!("the evidence is of another model than {}", path.display())));
        }
    }
    output.result(&format!("{folder}: the signature is valid, and no file was changed"));
    for (name, digest) in verified.subjects.iter().take(5) {
        output.result(&format!("subject    {} ({digest})", terminal(name)));
    }
    if verified.subjects.len() > 5 {
        output.result(&format!("           and {} further files", verified.subjects.len() - 5));
    }
    output.result(&format!("result     {}", verified.result));
    output.result(&format!("verdict    {}", terminal(&verified.verdict)));
    Ok(match verified.code {
        // A clean run on the mock says nothing of a model.
        ExitCode::Clean if verified.result == "FAILED" => ExitCode::Inconclusive,
        code => code,
    })
}
