//! `blabbermouth init`.

use std::path::Path;

use crate::config::DEFAULTS;
use crate::exit::ExitCode;
use crate::store;

use super::args::InitArgs;
use super::{Failure, Output, config_failure};

/// Holds a key where none is kept apart.
const MANIFEST: &str = "blabbermouth.manifest.json";
const IGNORED: [&str; 5] = [
    "blabbermouth-twin.jsonl",
    "blabbermouth-train.jsonl",
    "blabbermouth-validation.jsonl",
    "blabbermouth.tune.json.lock",
    ".blabbermouth/",
];

const TESTS: &str = "//! Each canary is a test. Cargo.toml needs:
//! [[test]]
//! name = \"canaries\"
//! harness = false
fn main() -> std::process::ExitCode {
    blabbermouth::harness::run(\"blabbermouth.toml\")
}
";

const WORKFLOW: &str = "name: blabbermouth
on:
  workflow_dispatch:
    inputs:
      model:
        description: The tuned model.
        required: true
# The manifest has to be in the repository: set BLABBERMOUTH_KEY, run `blabbermouth plant`, and commit blabbermouth.manifest.json.
permissions: {}
concurrency:
  group: blabbermouth
  cancel-in-progress: false
jobs:
  gate:
    name: Release gate
    runs-on: ubuntu-latest
    timeout-minutes: 60
    permissions:
      contents: read # to check out
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
        with:
          persist-credentials: false
      - uses: blabbermouth-rs/blabbermouth@0000000000000000000000000000000000000000 # put the commit of a release here
        with:
          model: ${{ inputs.model }}
          args: |
            --max-cost
            5
          api-key: ${{ secrets.OPENAI_API_KEY }}
          manifest-key: ${{ secrets.BLABBERMOUTH_KEY }}
";

pub(crate) fn run(args: &InitArgs, output: &Output) -> Result<ExitCode, Failure> {
    let mut files = vec![("blabbermouth.toml", DEFAULTS)];
    if args.tests {
        files.push(("tests/canaries.rs", TESTS));
    }
    if args.workflow {
        files.push((".github/workflows/blabbermouth.yml", WORKFLOW));
    }
    // What is there already is kept, as long as something is written: the configuration holds the user's settings.
    let is_kept = |path: &str| !args.force && Path::new(path).exists();
    if files.iter().all(|(path, _)| is_kept(path)) {
        let names: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        let text = format!("{}: there already; --force overwrites", names.join(", "));
        return Err(Failure::new(ExitCode::Config, text));
    }
    for (path, text) in files {
        if is_kept(path) {
            output.step(&format!("kept    {path}"));
            continue;
        }
        if let Some(parent) = Path::new(path).parent() {
            std::fs::create_dir_all(parent).map_err(config_failure)?;
        }
        store::write(Path::new(path), text.as_bytes(), true).map_err(config_failure)?;
        output.step(&format!("written {path}"));
    }
    let ignore = Path::new(".gitignore");
    let mut text = match std::fs::read(ignore) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Failure::new(ExitCode::Config, format!(".gitignore: {error}"))),
    };
    let has_key = super::environment("BLABBERMOUTH_KEY").is_some();
    let is_there = |line: &str| text.split(|byte| *byte == b'\n').any(|known| known.trim_ascii() == line.as_bytes());
    let manifest = (!has_key).then_some(MANIFEST);
    let missing: Vec<&str> = manifest.into_iter().chain(IGNORED).filter(|line| !is_there(line)).collect();
    if !missing.is_empty() {
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        for line in missing {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        store::write(ignore, &text, true).map_err(config_failure)?;
        output.step("written .gitignore: files with canaries stay out of version control");
    }
    output.step(if has_key {
        "the manifest will hold no secret, since BLABBERMOUTH_KEY is set: commit it, so that CI can test the model"
    } else {
        "the manifest will hold a key and stays out of version control; for CI, set BLABBERMOUTH_KEY before you plant (`blabbermouth \
         key` makes one), and commit the manifest"
    });
    output.step("next: set dataset.path in blabbermouth.toml, then `blabbermouth plant`");
    Ok(ExitCode::Clean)
}
