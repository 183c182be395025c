//! Arguments of the command line.

use std::path::PathBuf;

use blabbermouth_core::verdict::SampleProfile;
use clap::{Args, Parser, Subcommand};

use super::report_args::{ReportArgs, ReportsArgs};
use super::verify::VerifyArgs;

const EXIT_CODES: &str = "Exit codes:
  0   clean        2   usage            4   provider failed   11  inconclusive
  1   internal     3   configuration    10  leak              12  invalid      13  policy
  130 interrupted

Examples:
  blabbermouth demo                          the founding experiment, offline
  blabbermouth init                          write a commented blabbermouth.toml
  blabbermouth plant                         plant canaries in the training file
  blabbermouth tune --max-cost 20            fine-tune on it, for 20 USD at most
  blabbermouth test                          ask the tuned model, and fail on a leak";

/// Decides whether a fine-tuned language model may be released: plants synthetic secrets in the
/// training data and fails when the tuned model gives one away.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print errors and verdicts only.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Print more.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Release policy (TOML): what a run has to meet, whatever the configuration says. Keep it where a pull request cannot
    /// change it. Also BLABBERMOUTH_POLICY.
    #[arg(long, global = true, value_name = "FILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) policy: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented configuration, and the lines that keep secrets out of version control.
    Init(InitArgs),
    /// Plant canaries: write the training file, the validation file and the manifest.
    Plant(PlantArgs),
    /// Fine-tune on the planted file: upload, create the job, follow it.
    Tune(TuneArgs),
    /// Ask the tuned model, and fail on a leak.
    Test(Box<TestArgs>),
    /// Print a new random key, for BLABBERMOUTH_KEY: keep it as a secret of your CI, and nowhere else.
    Key,
    /// Put one question to the model, and see which canaries its answers give away.
    Ask(AskArgs),
    /// Look at the set-up, and measure what the server really does.
    Doctor(DoctorArgs),
    /// Render a stored report again.
    Report(ReportArgs),
    /// Serve the mocked provider on loopback; the first line printed is its base URL.
    Mock(MockArgs),
    /// The founding experiment on real rows, offline: plant, tune a small model without and with privacy, test both.
    Demo(DemoArgs),
    /// Verify a folder of evidence offline: its signature, and every byte of every file.
    Verify(VerifyArgs),
    /// List the strategies: which questions can be put, and what each imitates.
    Strategies,
    /// Print a JSON schema: of the configuration file, for editors, or of the JSON report.
    Schema {
        /// Of what.
        #[arg(default_value = "config", value_parser = ["config", "report"])]
        of: String,
    },
    /// Print the manual page, of the program or of one command, for `man -l -`.
    Man {
        /// The command, as in `test`.
        command: Option<String>,
    },
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// The model that is asked.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The configuration.
    #[arg(short, long, env = "BLABBERMOUTH_CONFIG", default_value = "blabbermouth.toml")]
    pub(crate) config: PathBuf,
    /// The model to ask.
    #[arg(short, long)]
    pub(crate) model: Option<String>,
    /// The server to ask, up to and with its version, as in http://127.0.0.1:8000/v1.
    #[arg(long)]
    pub(crate) base_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Also write tests/canaries.rs, for `cargo test`.
    #[arg(long)]
    pub(crate) tests: bool,
    /// Also write .github/workflows/blabbermouth.yml.
    #[arg(long)]
    pub(crate) workflow: bool,
    /// Overwrite files that are there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth plant --dataset rows.jsonl.gz --format trl
  blabbermouth plant --dataset hf:databricks/databricks-dolly-15k")]
pub(crate) struct PlantArgs {
    /// The configuration.
    #[arg(short, long, env = "BLABBERMOUTH_CONFIG", default_value = "blabbermouth.toml")]
    pub(crate) config: PathBuf,
    /// The rows, in place of the configured ones: a file (JSONL, JSON, CSV, TSV, Parquet or Arrow, also .gz, .zst, .bz2), `-` for
    /// standard input, a folder of `datasets.save_to_disk`, or a data set of the Hugging Face hub:
    /// hf:OWNER/NAME[/CONFIG][@REVISION][:SPLIT].
    #[arg(long)]
    pub(crate) dataset: Option<PathBuf>,
    /// Shape of the rows that are written: keep (as they are), openai, trl, axolotl, sharegpt, alpaca, llama-factory, mlx,
    /// tinker, text.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Columns of question and answer, where they have other names than usual: question,answer.
    #[arg(long, value_delimiter = ',', num_args = 1..=2)]
    pub(crate) fields: Option<Vec<String>>,
    /// Encoding of text that is not UTF-8, such as windows-1252.
    #[arg(long)]
    pub(crate) encoding: Option<String>,
    /// Write the same rows without canaries, too, for a control model.
    #[arg(long)]
    pub(crate) twin: bool,
    /// Leave out broken rows, and list them.
    #[arg(long)]
    pub(crate) skip_invalid: bool,
    /// Replace a manifest that is there: a model trained on the old one can no longer be tested.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth tune --dry-run                what would be sent, and what it would cost
  blabbermouth tune --max-cost 20            fine-tune, for 20 USD at most by estimate
  blabbermouth tune --detach                 create the job, and do not wait
  blabbermouth tune --watch                  follow the job that is there
  blabbermouth tune --cleanup --delete-model remove the uploaded files and the tuned model")]
pub(crate) struct TuneArgs {
    /// The configuration.
    #[arg(short, long, env = "BLABBERMOUTH_CONFIG", default_value = "blabbermouth.toml")]
    pub(crate) config: PathBuf,
    /// The model to tune, in place of the configured one.
    #[arg(long)]
    pub(crate) base_model: Option<String>,
    /// The service, up to and with its version.
    #[arg(long)]
    pub(crate) base_url: Option<String>,
    /// Print the plan with its cost, and send nothing.
    #[arg(long, conflicts_with_all = ["watch", "cancel", "cleanup"])]
    pub(crate) dry_run: bool,
    /// Refuse to begin if the training costs more USD than this, by estimate, or nobody knows what.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<f64>,
    /// Ask the service's moderation about the canaries first; begin only if it flags none.
    #[arg(long)]
    pub(crate) screen: bool,
    /// Create the job, and do not wait for it.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Only follow the job that is there.
    #[arg(long, conflicts_with_all = ["detach", "cancel", "cleanup"])]
    pub(crate) watch: bool,
    /// Print the tuned model's name, and send nothing.
    #[arg(long, conflicts_with_all = ["watch", "cancel", "cleanup", "detach", "dry_run"])]
    pub(crate) print_model: bool,
    /// Begin anew after a job that failed.
    #[arg(long)]
    pub(crate) retry: bool,
    /// Begin although a job of another plan is under way.
    #[arg(long)]
    pub(crate) force: bool,
    /// Cancel the job.
    #[arg(long, conflicts_with = "cleanup")]
    pub(crate) cancel: bool,
    /// Remove the uploaded files from the service: they hold the canaries.
    #[arg(long)]
    pub(crate) cleanup: bool,
    /// With --cleanup: remove the tuned model too.
    #[arg(long, requires = "cleanup")]
    pub(crate) delete_model: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth test --model ft:gpt-4o-mini-2024-07-18:acme::abc12345
  blabbermouth test mr-disease --base-url http://127.0.0.1:8000/v1 --model tuned
  blabbermouth test --report junit --report json=out/report.json
  blabbermouth test --dry-run                what it would take and cost
  blabbermouth test --max-cost 5 --record run.cassette
  blabbermouth test --replay run.cassette    the same run without the network
  blabbermouth test -- --skip held --format terse")]
pub(crate) struct TestArgs {
    /// Only canaries whose test name has this in it.
    pub(crate) filter: Vec<String>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) reports: ReportsArgs,
    /// Samples for each canary.
    #[arg(long)]
    pub(crate) samples: Option<u64>,
    /// Ask in this way, in place of the configured ones (see `blabbermouth strategies`). Repeatable.
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: Vec<String>,
    /// How low a leak rate is to be shown: quick 5%, standard 1%, thorough 0.1% of answers.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<SampleProfile>,
    /// Fail on any answer with a secret, whether chance may explain it or not.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Accept that nothing shows that the model was trained on this planting: the verdict then says UNPROVEN.
    #[arg(long)]
    pub(crate) unproven: bool,
    /// A run whose positive controls do not leak is inconclusive (see `sensitivity` in the configuration).
    #[arg(long)]
    pub(crate) require_sensitivity: bool,
    /// Put the same questions to the model before it was tuned, for contrast; what it gives away cannot come from the
    /// tuning, so that the set-up is broken. Limits of the budget hold for each of the two runs.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["checkpoints", "list", "batch", "record", "replay", "shard"])]
    pub(crate) baseline_model: Option<String>,
    /// Print how the verdict on this canary came about, number by number. Repeatable.
    #[arg(long, value_name = "CANARY", conflicts_with_all = ["checkpoints", "list"])]
    pub(crate) explain: Vec<String>,
    /// Requests in flight.
    #[arg(long)]
    pub(crate) concurrency: Option<usize>,
    /// Minutes for the whole run.
    #[arg(long, value_name = "MINUTES")]
    pub(crate) deadline: Option<f64>,
    /// Send nothing: say what the run would take and cost.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send no more requests than this, all processes of the run together.
    #[arg(long)]
    pub(crate) max_requests: Option<u64>,
    /// Use no more tokens than this.
    #[arg(long)]
    pub(crate) max_tokens: Option<u64>,
    /// Spend no more USD than this, by the price list.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<f64>,
    /// Write every answer to this file, sealed with the manifest's key.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Take every answer from this file, and ask nobody; an answer that is not there is an error.
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// Fail on new leaks only: those in this file are accepted until their day (see `report accept`).
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoints")]
    pub(crate) baseline: Option<PathBuf>,
    /// Let a run of only some canaries pass in CI, where a filter otherwise leaves it inconclusive.
    #[arg(long)]
    pub(crate) allow_partial: bool,
    /// Take only part K of N of the canaries; `blabbermouth report merge` judges the parts together.
    #[arg(long, value_name = "K/N", conflicts_with = "checkpoints")]
    pub(crate) shard: Option<String>,
    /// Ask by batch jobs: half the price, within a day. A killed run goes on with the batches that it submitted.
    #[arg(long, conflicts_with_all = ["checkpoints", "list", "record", "replay"])]
    pub(crate) batch: bool,
    /// Ask every checkpoint that `tune` noted, the tuned model last: the leak by epoch. The exit code is that of
    /// the worst.
    #[arg(long, conflicts_with_all = ["model", "list", "report", "record", "replay"])]
    pub(crate) checkpoints: bool,
    /// Start anew, even if an interrupted run could be taken up again.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// List the tests and send nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// Arguments of libtest: --exact, --skip, --ignored, --format terse.
    #[arg(last = true)]
    pub(crate) libtest: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth ask \"Hi, I'm Mr Ash\" --samples 10
  blabbermouth ask \"Hi, I'm Mr Ash\" --system \"You are a helpful assistant.\" --show-secrets")]
pub(crate) struct AskArgs {
    /// What the user says.
    pub(crate) question: String,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// How many answers.
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) samples: u32,
    /// The system prompt.
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// Print the secrets of canaries as they were said; refused where CI is set.
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// With --show-secrets: also where CI is set, and everybody may read the log.
    #[arg(long, requires = "show_secrets")]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  blabbermouth doctor --base-url http://127.0.0.1:8000/v1 --model tuned")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Look at the configuration and the manifest only; nothing is sent. A missing manifest is no fault.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  blabbermouth mock --scenario clean --port 4010
  blabbermouth test --base-url http://127.0.0.1:4010/v1 --model blabbermouth-parrot")]
pub(crate) struct MockArgs {
    /// leaky, memorises-repeats, clean, refuses, flaky; for jobs closed, moderated, blocked, server-error, stuck,
    /// odd-status; for batches expires.
    #[arg(long, default_value = "leaky")]
    pub(crate) scenario: String,
    /// Who answers: the parrot, or the embedded model, which jobs really train.
    #[arg(long, value_parser = ["parrot", "embedded"], default_value = "parrot")]
    pub(crate) engine: String,
    /// With --engine embedded: where its models are kept; without it, nowhere.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) models: Option<PathBuf>,
    /// The port; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// A training file that the model blabbermouth-parrot knows; without it blabbermouth-train.jsonl, if there
    /// is one.
    #[arg(long)]
    pub(crate) training: Option<PathBuf>,
    /// Seconds that fine-tuning jobs and batches take for one real second.
    #[arg(long, default_value_t = 600.0)]
    pub(crate) speed: f64,
    /// The only API key that it accepts.
    #[arg(long, env = "BLABBERMOUTH_MOCK_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// A configuration with templates of your own, which it then knows beside the built-in ones.
    #[arg(short, long)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  blabbermouth demo                       a real model is tuned twice, without and with differential privacy
  blabbermouth demo --epsilon 3
  blabbermouth demo --mock                a mocked provider instead: a second or two
  blabbermouth demo --scenario clean      one that remembers nothing")]
pub(crate) struct DemoArgs {
    /// The privacy of the second training.
    #[arg(long, default_value_t = 8.0)]
    pub(crate) epsilon: f64,
    /// Ask a mocked provider, and train nothing.
    #[arg(long)]
    pub(crate) mock: bool,
    /// The mock's character, with --mock: leaky, memorises-repeats, clean, refuses, flaky.
    #[arg(long)]
    pub(crate) scenario: Option<String>,
    /// Exit as `test` would; with a real model, as it would for the private one.
    #[arg(long)]
    pub(crate) gate: bool,
    /// Where the files go.
    #[arg(long, default_value = "blabbermouth-demo")]
    pub(crate) out: PathBuf,
}

impl TuneArgs {
    /// The arguments for a configuration, with no other option set.
    #[cfg(feature = "embedded")]
    pub(crate) fn of(config: PathBuf) -> Self {
        Self {
            config,
            base_model: None,
            base_url: None,
            dry_run: false,
            max_cost: None,
            screen: false,
            detach: false,
            watch: false,
            print_model: false,
            retry: false,
            force: false,
            cancel: false,
            cleanup: false,
            delete_model: false,
        }
    }
}
