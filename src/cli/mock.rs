//! `blabbermouth mock`.

use std::net::TcpListener;
use std::path::Path;

use crate::config::Config;
use crate::exit::ExitCode;
use crate::store;
use blabbermouth_mock::{MODEL, Options, Scenario, Server};

use super::args::MockArgs;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &MockArgs, output: &Output) -> Result<ExitCode, Failure> {
    let scenario = Scenario::by_name(&args.scenario).map_err(|e| Failure::new(ExitCode::Usage, e))?;
    let mut options = Options::new(scenario);
    if let Some(file) = &args.config {
        let config = Config::load(Some(file), super::environment).map_err(config_failure)?;
        let spaces = config.spaces(file.parent().unwrap_or(Path::new(""))).map_err(config_failure)?;
        // A user's template precedes a built-in one that it resembles.
        options.templates.splice(0..0, config.templates(&spaces, true).map_err(config_failure)?);
    }
    let usual = Path::new("blabbermouth-train.jsonl");
    let training = match &args.training {
        Some(path) => store::read(path).map_err(config_failure)?,
        None if usual.exists() => store::read(usual).map_err(config_failure)?,
        None => Vec::new(),
    };
    if !(args.speed >= 0.0 && args.speed.is_finite()) {
        return Err(Failure::new(ExitCode::Usage, "--speed is a number from 0 on"));
    }
    let embedded = args.engine == "embedded";
    let passing = tempfile::tempdir().map_err(config_failure)?;
    let folder = args.models.clone().unwrap_or_else(|| passing.path().to_owned());
    let engine = embedded.then_some(folder);
    options = Options { engine, training, speed: args.speed, key: args.key.clone(), recording: true, ..options };
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .map_err(|e| Failure::new(ExitCode::Config, format!("port {}: {e}", args.port)))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::new(ExitCode::Internal, e))?;
    runtime.block_on(async {
        let server = Server::start(listener, options).map_err(|e| Failure::new(ExitCode::Internal, e))?;
        output.result(&server.base_url());
        let what = if embedded { "the embedded model, tuned by jobs".into() } else { format!("model {MODEL}") };
        output.step(&format!("{what}, scenario {}; ends with Ctrl-C", args.scenario));
        // Waits for Ctrl-C instead of dying by the signal, so that the temporary folder is removed.
        let _ = tokio::signal::ctrl_c().await;
        Ok(ExitCode::Interrupted)
    })
}
