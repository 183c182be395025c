//! `blabbermouth mock`.

use std::net::TcpListener;
use std::path::Path;

use blabbermouth::canary::{Spaces, Template, builtin_templates};
use blabbermouth::config::Config;
use blabbermouth::exit::ExitCode;
use blabbermouth::harness::parrot;
use blabbermouth::provider::mock::{MODEL, Server};

use super::args::MockArgs;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &MockArgs, output: &Output) -> Result<ExitCode, Failure> {
    let mut templates: Vec<Template> =
        builtin_templates().into_iter().filter_map(|spec| Template::new(spec, &Spaces::default()).ok()).collect();
    if let Some(file) = &args.config {
        let config = Config::load(Some(file), |name| std::env::var(name).ok()).map_err(config_failure)?;
        let spaces = config.spaces(file.parent().unwrap_or(Path::new(""))).map_err(config_failure)?;
        // A template of the user's own comes before a built-in one that it resembles.
        templates.splice(0..0, config.templates(&spaces).map_err(config_failure)?);
    }
    let parrot = parrot(&args.training, templates, &args.scenario)?;
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .map_err(|e| Failure::new(ExitCode::Config, format!("port {}: {e}", args.port)))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::new(ExitCode::Internal, e))?;
    runtime.block_on(async {
        let server = Server::start(listener, parrot).map_err(|e| Failure::new(ExitCode::Internal, e))?;
        output.result(&server.base_url());
        output.step(&format!("model {MODEL}, scenario {}; ends with Ctrl-C", args.scenario));
        std::future::pending().await
    })
}
