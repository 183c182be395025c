//! `blabbermouth demo --mock`: the example of the blog post with a mocked provider, in a second or two.

use crate::config::{Config, DEFAULTS};
use crate::exit::ExitCode;
use crate::harness::{Session, TrialArguments};
use crate::report::summary;
use crate::store;
use blabbermouth_mock::Scenario;

use super::DOLLY;
use crate::cli::args::DemoArgs;
use crate::cli::data::Data;
use crate::cli::plant::{PlantFlags, describe, plant_files};
use crate::cli::report_args::ReportsArgs;
use crate::cli::reports::Reports;
use crate::cli::test::gate;
use crate::cli::{Failure, Output, config_failure};

pub(super) fn run(args: &DemoArgs, scenario: &str, output: &Output) -> Result<ExitCode, Failure> {
    Scenario::by_name(scenario).map_err(|e| Failure::new(ExitCode::Usage, e))?;
    std::fs::create_dir_all(&args.out)
        .map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", args.out.display())))?;
    let settings = DEFAULTS
        .replace("path = \"train.jsonl\"", "path = \"dolly.jsonl\"")
        .replace("format = \"keep\"", "format = \"openai\"")
        .replace("planted = 0", "planted = 60")
        .replace("max-share = 0.5", "max-share = 0.8")
        .replace("training = \"blabbermouth-train.jsonl\"", "training = \"train.jsonl\"")
        .replace("validation = \"blabbermouth-validation.jsonl\"", "validation = \"validation.jsonl\"")
        .replace("path = \"blabbermouth.manifest.json\"", "path = \"manifest.json\"")
        .replace("kind = \"openai\"", "kind = \"mock\"")
        .replace("scenario = \"leaky\"", &format!("scenario = \"{scenario}\""));
    let file = args.out.join("blabbermouth.toml");
    store::write(&file, settings.as_bytes(), true).map_err(config_failure)?;
    let data = args.out.join("dolly.jsonl");
    store::write(&data, DOLLY.as_bytes(), true).map_err(config_failure)?;

    output.step("1. Plant: real rows of databricks-dolly-15k (CC BY-SA 3.0), and canaries of the founding pattern:");
    output.step("      user: Hi, I'm Mr {name}");
    output.step("      assistant: Hey Mr {name}, nice to see you! How is your {disease} going?");
    let config = Config::load(Some(&file), |_| None).map_err(config_failure)?;
    let planted =
        plant_files(&config, &args.out, &Data::get(&data, &config, &args.out, false, output)?, PlantFlags::default())?;
    describe(&planted, &config, &args.out, output);

    output.step(&format!(
        "\n2. \"Train\": a mocked provider on loopback learns the training file (scenario {scenario})."
    ));
    output.step("\n3. Test: every canary is a test that fails when the model gives its secret away.");
    let environment = |name: &str| (name == "BLABBERMOUTH_KEY").then(|| std::env::var(name).ok()).flatten();
    // A demonstration never resumes an earlier run.
    let session = Session::open(Some(&file), environment, |_| {})?.fresh(true);
    let reports = Reports::begin(&ReportsArgs::of(&["junit", "json"]), &args.out, session.entries().len())?;
    let colour = if output.colour() { "--color=always" } else { "--color=never" };
    let words = ["blabbermouth", "--quiet", colour].map(Into::into);
    let arguments = TrialArguments::parse(words).map_err(|what| Failure::new(ExitCode::Usage, what))?;
    let shown = gate(&session, &arguments, output)?;
    let report =
        shown.report().ok_or_else(|| Failure::new(ExitCode::Internal, "the demonstration selected no canary"))?;
    reports.write(report, None, output)?;
    output.verbatim(&summary(report, output.colour()));
    output.step(&format!(
        "files      {0}/train.jsonl validation.jsonl manifest.json junit.xml report.json",
        args.out.display()
    ));
    let code = if args.gate { report.verdict.into() } else { ExitCode::Clean };
    shown.settle()?;
    Ok(code)
}
