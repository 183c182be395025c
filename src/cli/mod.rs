//! The commands of the program. Terminal settings are captured once and passed down.

mod args;
mod ask;
mod data;
mod demo;
mod doctor;
mod explain;
mod init;
mod mock;
mod output;
mod plant;
mod report;
mod report_args;
mod reports;
mod run_pace;
mod seal;
mod strategies;
mod test;
mod tune;
mod verify;

use std::sync::OnceLock;

use clap::{CommandFactory, Parser};

use crate::config::{Config, POLICY_VARIABLE};
use crate::exit::ExitCode;
use crate::harness::SessionError;
use args::{Cli, Command, TargetArgs};
use blabbermouth_core::canary::Key;
pub(crate) use output::Output;

/// An error with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: ExitCode,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: ExitCode, message: impl std::fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self { code: error.exit_code(), message: error.chain() }
    }
}

/// Turns an error of the configuration or of a file into exit code 3, with all causes.
pub(crate) fn config_failure(error: impl Into<anyhow::Error>) -> Failure {
    let error: anyhow::Error = error.into();
    let mut message = String::new();
    for cause in error.chain() {
        let more = cause.to_string();
        if message.is_empty() {
            message = more;
        } else if !message.contains(&more) {
            message = format!("{message}: {more}");
        }
    }
    Failure { code: ExitCode::Config, message }
}

/// Applies the model and the address of the command line to the configuration.
pub(crate) fn apply_target(config: &mut Config, target: &TargetArgs) {
    if let Some(model) = &target.model {
        config.provider.model.clone_from(model);
    }
    if let Some(url) = &target.base_url {
        config.provider.base_url.clone_from(url);
        if config.provider.kind == "mock" {
            "openai".clone_into(&mut config.provider.kind);
        }
    }
}

/// The path that `--policy` gives.
static POLICY: OnceLock<String> = OnceLock::new();

/// Reads an environment variable. For the release policy, `--policy` takes precedence.
pub(crate) fn environment(name: &str) -> Option<String> {
    let given = POLICY.get().filter(|_| name == POLICY_VARIABLE).cloned();
    given.or_else(|| std::env::var(name).ok())
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Clean };
            let _ = error.print();
            return code;
        }
    };
    crate::harness::quiet_about_closed_pipes();
    // Keys and secrets are in memory: other processes must not read them, and no core dump may hold them.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let output = Output::capture(cli.quiet, cli.verbose);
    if let Some(path) = cli.policy {
        let _ = POLICY.set(path);
    }
    let done = match cli.command {
        Command::Init(args) => init::run(&args, &output),
        Command::Plant(args) => plant::run(&args, &output),
        Command::Tune(args) => tune::run(&args, &output),
        Command::Test(args) => test::run(&args, &output),
        Command::Key => Key::random().map_err(config_failure).map(|key| {
            output.verbatim(&key.expose());
            ExitCode::Clean
        }),
        Command::Ask(args) => ask::run(&args, &output),
        Command::Doctor(args) => doctor::run(&args, &output),
        Command::Report(args) => report::run(&args, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Mock(args) => mock::run(&args, &output),
        Command::Demo(args) => demo::run(&args, &output),
        Command::Strategies => strategies::run(&output),
        Command::Schema { of } => {
            let config = of == "config";
            output.verbatim(&if config { crate::config::schema() } else { crate::report::schema() });
            Ok(ExitCode::Clean)
        }
        Command::Man { command } => manual(command.as_deref()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "blabbermouth", &mut script);
            output.verbatim(&String::from_utf8_lossy(&script));
            Ok(ExitCode::Clean)
        }
    };
    let code = done.unwrap_or_else(|failure| {
        output.error(&failure.message);
        failure.code
    });
    match Output::fault() {
        Some(fault) if code == ExitCode::Clean => {
            output.error(&format!("standard output: {fault}"));
            ExitCode::Internal
        }
        _ => code,
    }
}

/// Prints a manual page: of the command `name`, or of the program.
fn manual(name: Option<&str>) -> Result<ExitCode, Failure> {
    let mut program = Cli::command();
    program.build();
    let command = match name {
        None => program,
        Some(name) => {
            let known: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
            let unknown = format!("there is no command `{name}`; there are {}", known.join(", "));
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::new(ExitCode::Usage, unknown))?
        }
    };
    clap_mangen::Man::new(command).render(&mut std::io::stdout()).map_err(config_failure)?;
    Ok(ExitCode::Clean)
}
