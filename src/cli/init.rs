//! `blabbermouth init`.

use std::path::Path;

use crate::config::DEFAULTS;
use crate::exit::ExitCode;
use crate::store;

use super::args::InitArgs;
use super::{Failure, Output, config_failure};

const IGNORED: [&str; 5] = [
    "blabbermouth.manifest.json",
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
on: workflow_dispatch
permissions: {}
concurrency:
  group: blabbermouth
  cancel-in-progress: false
jobs:
  gate:
    name: Release gate
    runs-on: ubuntu-latest
    permissions:
      contents: read # to check out
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
        with:
          persist-credentials: false
      - uses: blabbermouth-rs/blabbermouth@0000000000000000000000000000000000000000 # put the commit of a release here
        with:
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
    if let Some((there, _)) = files.iter().find(|(path, _)| !args.force && Path::new(path).exists()) {
        return Err(Failure::new(ExitCode::Config, format!("{there} is there already; --force overwrites it")));
    }
    for (path, text) in files {
        if let Some(parent) = Path::new(path).parent() {
            std::fs::create_dir_all(parent).map_err(config_failure)?;
        }
        store::write(Path::new(path), text.as_bytes(), true).map_err(config_failure)?;
        output.step(&format!("written {path}"));
    }
    let ignore = Path::new(".gitignore");
    let mut text = std::fs::read_to_string(ignore).unwrap_or_default();
    let missing: Vec<&str> = IGNORED.into_iter().filter(|line| text.lines().all(|l| l.trim() != *line)).collect();
    if !missing.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for line in missing {
            text.push_str(line);
            text.push('\n');
        }
        store::write(ignore, text.as_bytes(), true).map_err(config_failure)?;
        output.step("written .gitignore: manifest and canaried files stay out of version control");
    }
    output.step("next: set dataset.path in blabbermouth.toml, then `blabbermouth plant`");
    Ok(ExitCode::Clean)
}
