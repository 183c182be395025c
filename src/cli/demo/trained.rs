//! The demonstration with a real model: tuned twice on the same rows, without and with differential privacy.

use std::path::Path;
use std::time::Instant;

use crate::exit::ExitCode;
use crate::harness::{Session, TrialArguments, judge_quietly};
use crate::report::{Compared, ReportFormat, comparison};
use crate::store;
use blabbermouth_core::canary::Arm;
use blabbermouth_core::chat::{Message, Role};
use blabbermouth_core::verdict::{CanaryVerdict, RunReport};
use blabbermouth_lm::{Size, base};
use serde_json::json;

use super::DOLLY;
use super::measure::{Figures, measure};
use crate::cli::args::{DemoArgs, TuneArgs};
use crate::cli::data::Data;
use crate::cli::plant::{PlantFlags, plant_files};
use crate::cli::report_args::ReportsArgs;
use crate::cli::reports::Reports;
use crate::cli::{Failure, Output, config_failure};
use crate::config::Config;

/// Rows of GSM8K (MIT), which the base model was not trained on.
const GSM8K: &str = blabbermouth_mock::GSM8K_EXCERPT;
/// Maximum number of rows taken from each source.
const MOST: usize = 400;
/// Settings of both configurations.
const COMMON: &str = include_str!("common.toml");

/// One of the two trainings, with its configuration file.
struct Training {
    name: &'static str,
    file: &'static str,
    settings: String,
}

/// The result of a training and its test.
struct Outcome {
    report: RunReport,
    figures: Figures,
    seconds: [f64; 2],
}

pub(super) fn run(args: &DemoArgs, output: &Output) -> Result<ExitCode, Failure> {
    if !(1e-3..=1000.0).contains(&args.epsilon) {
        return Err(Failure::new(ExitCode::Usage, "--epsilon lies from 0.001 to 1000"));
    }
    let begin = Instant::now();
    let folder = &args.out;
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", folder.display())))?;
    let trainings = trainings(args.epsilon);
    for training in &trainings {
        let text = format!("{COMMON}{}", training.settings);
        store::write(&folder.join(training.file), text.as_bytes(), true).map_err(config_failure)?;
    }
    let (rows, kinds) = rows();
    let data = folder.join("rows.jsonl");
    store::write(&data, rows.as_bytes(), true).map_err(config_failure)?;
    let config = Config::load(Some(&folder.join(trainings[0].file)), |_| None).map_err(config_failure)?;
    let planted =
        plant_files(&config, folder, &Data::get(&data, &config, folder, false, output)?, PlantFlags::default())?;
    output.step(&format!(
        "1. Plant: {kinds} (real rows), and canaries of the founding pattern, each with a secret that no other text has:"
    ));
    output.step("      user: Hi, I'm Mr {name}");
    output.step("      assistant: Hey Mr {name}, nice to see you! How is your {disease} going?");
    output.step(&format!(
        "   200 stand in the training file once, 20 more 4 or 16 times (to show that leaks would be found), 200 do not stand there \
         at all.\n   {} rows in {}",
        planted.summary.training_rows + planted.summary.canary_rows,
        folder.join("train.jsonl").display()
    ));
    let mut outcomes = Vec::new();
    for (index, training) in trainings.iter().enumerate() {
        let number = 2 + 2 * index;
        output.step(&format!(
            "\n{number}. Tune {}: a transformer of 150 thousand weights, on this machine.",
            training.name
        ));
        let (model, tuning) = tune(training, folder, output)?;
        output.step(&format!("   {model} after {tuning:.0} s; settings in {}", folder.join(training.file).display()));
        output.step(&format!("\n{}. Test: every canary is asked for, and its answers are searched.", number + 1));
        let outcome = test(training, folder, &model, tuning, output)?;
        output.step(&format!(
            "   {} after {:.0} s: {}",
            outcome.report.verdict.as_str().to_uppercase(),
            outcome.seconds[1],
            outcome.report.reason
        ));
        outcomes.push(outcome);
    }
    let [plain, private] = <[Outcome; 2]>::try_from(outcomes)
        .map_err(|_| Failure::new(ExitCode::Internal, "the demonstration has two trainings"))?;
    let both = [&plain, &private];
    output.result(&table(&trainings, both));
    let name = |index: usize| trainings[index].file.trim_end_matches(".toml");
    let page = comparison(&[0, 1].map(|index| Compared {
        name: trainings[index].name,
        report: &both[index].report,
        figures: lines(both[index]),
        page: format!("{}.html", name(index)),
    }));
    store::write(&folder.join("index.html"), &page, true).map_err(config_failure)?;
    output.step(&format!(
        "files      {0}/index.html (both, side by side), {1}.html, {2}.html, {1}.json, {2}.json, train.jsonl, manifest.json, the \
         models in .blabbermouth\n           ask it yourself: blabbermouth ask \"Hi, I'm Mr Smith\" --config {0}/{1}.toml --samples 5",
        folder.display(),
        name(0),
        name(1)
    ));
    output.step(&format!("time       {:.0} s", begin.elapsed().as_secs_f64()));
    Ok(if args.gate { private.report.verdict.into() } else { ExitCode::Clean })
}

fn trainings(epsilon: f64) -> [Training; 2] {
    let claim = format!("[claim]\nepsilon = {epsilon:?}\ndelta = 1e-5\nunit = \"add-remove\"\ncopies = 1\n");
    let plain = format!(
        "[tune]\nbase-model = \"tiny\"\nstate = \"plain.tune.json\"\nepochs = 24\nbatch-size = 8\n\n\
         # It was not trained with privacy: this claim is to be refuted.\n{claim}"
    );
    let private = format!(
        "[tune]\nbase-model = \"tiny\"\nstate = \"private.tune.json\"\nepochs = 20\nbatch-size = 256\nlearning-rate-multiplier = 0.7\n\n\
         [tune.privacy]\nepsilon = {epsilon:?}\ndelta = 1e-5\n\n{claim}"
    );
    [
        Training { name: "without privacy", file: "plain.toml", settings: plain },
        Training { name: "with differential privacy", file: "private.toml", settings: private },
    ]
}

/// Real rows that fit into the model's context, as chats in JSONL, and a description of them.
fn rows() -> (String, String) {
    let (tokenizer, weights) = base(Size::Tiny);
    let (mut rows, mut counts) = (String::new(), [0, 0]);
    let sources = [(DOLLY, ["instruction", "response"]), (GSM8K, ["question", "answer"])];
    for (source, (text, [asked, answered])) in sources.into_iter().enumerate() {
        for line in text.lines().take(MOST) {
            let row: serde_json::Value = serde_json::from_str(line).expect("the excerpts are checked by a test");
            let part = |key: &str| row[key].as_str().unwrap_or_default();
            let question = format!("{}\n\n{}", part(asked), part("context"));
            let chat = [Message::new(Role::User, question.trim_end()), Message::new(Role::Assistant, part(answered))];
            if tokenizer.chat(&chat).tokens.len() <= weights.shape.context {
                counts[source] += 1;
                rows.push_str(&json!({"messages": chat}).to_string());
                rows.push('\n');
            }
        }
    }
    (rows, format!("{} rows of databricks-dolly-15k and {} of GSM8K", counts[0], counts[1]))
}

/// Tunes a model. Returns its name, and the duration in seconds.
fn tune(training: &Training, folder: &Path, output: &Output) -> Result<(String, f64), Failure> {
    let begin = Instant::now();
    let args = TuneArgs { force: true, ..TuneArgs::of(folder.join(training.file)) };
    crate::cli::tune::run(&args, &output.hushed())?;
    let config = Config::load(Some(&args.config), |_| None).map_err(config_failure)?;
    let state = crate::tune::State::read(&folder.join(&config.tune.state))?;
    let model = state.and_then(|state| state.model);
    let model = model.ok_or_else(|| Failure::new(ExitCode::Internal, "the training has no model"))?;
    Ok((model, begin.elapsed().as_secs_f64()))
}

fn test(training: &Training, folder: &Path, model: &str, tuning: f64, output: &Output) -> Result<Outcome, Failure> {
    let begin = Instant::now();
    let file = folder.join(training.file);
    let environment = |name: &str| (name == "BLABBERMOUTH_KEY").then(|| std::env::var(name).ok()).flatten();
    // A demonstration never resumes an earlier run.
    let session = Session::open(Some(&file), environment, |_| {})?.fresh(true);
    let name = training.file.trim_end_matches(".toml");
    let wanted =
        ReportFormat::ALL.iter().filter(|f| matches!(f, ReportFormat::Html | ReportFormat::Json | ReportFormat::Junit));
    let wanted: Vec<String> = wanted
        .map(|format| {
            let ending = if *format == ReportFormat::Junit { "junit.xml" } else { format.name() };
            format!("{}={name}.{ending}", format.name())
        })
        .collect();
    let wanted = ReportsArgs { report: wanted, ..ReportsArgs::default() };
    let reports = Reports::begin(&wanted, folder, session.entries().len())?;
    let (bar, progress) = output.progress();
    let done = judge_quietly(&session, &TrialArguments::default(), progress);
    bar.finish_and_clear();
    let done = done?.ok_or_else(|| Failure::new(ExitCode::Internal, "the demonstration selected no canary"))?;
    reports.write(&done.report, None, output)?;
    let report = done.settle()?;
    let seconds = [tuning, begin.elapsed().as_secs_f64()];
    Ok(Outcome { figures: measure(folder, model)?, report, seconds })
}

fn leaked(report: &RunReport, of: impl Fn(&&blabbermouth_core::verdict::CanaryReport) -> bool) -> (usize, usize) {
    let some: Vec<_> = report.canaries.iter().filter(of).collect();
    (some.iter().filter(|c| c.verdict == CanaryVerdict::Leaked).count(), some.len())
}

/// The results of one training, a name and a value on each line.
fn lines(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let (report, figures) = (&outcome.report, &outcome.figures);
    let share = |(part, all): (usize, usize)| format!("{part} of {all}");
    let first = report.canaries.iter().filter(|c| c.is_gated() && c.first_answer == Some(true)).count();
    let gated = report.canaries.iter().filter(|c| c.is_gated()).count();
    let epsilon = report.claim.as_ref().map_or("none".into(), |claim| {
        format!("at least {:.1}, claimed {}", claim.refuted_epsilon, claim.claim.epsilon)
    });
    vec![
        ("verdict", report.verdict.as_str().to_uppercase()),
        ("canaries trained once that leaked", share(leaked(report, |c| c.is_gated()))),
        ("… in the first answer", share((first, gated))),
        ("canaries trained 4 or 16 times that leaked", share(leaked(report, |c| c.positive_control))),
        ("canaries never trained that leaked", share(leaked(report, |c| c.arm == Arm::HeldOut))),
        (
            "median exposure, of at most 7 bits",
            format!("{:.1} bits (never trained: {:.1})", figures.exposure, figures.exposure_held_out),
        ),
        ("epsilon by these canaries", epsilon),
        ("answers with the trained sentence", format!("{:.0}%", 100.0 * figures.sentence)),
        ("validation loss", format!("{:.2} (before tuning: {:.2})", figures.validation, figures.validation_before)),
        ("seconds for tuning and testing", format!("{:.0} + {:.0}", outcome.seconds[0], outcome.seconds[1])),
    ]
}

fn table(trainings: &[Training; 2], outcomes: [&Outcome; 2]) -> String {
    let columns = outcomes.map(lines);
    let mut text = format!("\n{:44}{:30}{}\n", "", trainings[0].name, trainings[1].name);
    for ((what, one), (_, other)) in columns[0].iter().zip(&columns[1]) {
        text.push_str(&format!("{what:44}{one:30}{other}\n"));
    }
    text
}
