//! `blabbermouth doctor`.

use std::path::Path;

use crate::config::Config;
use crate::exit::ExitCode;
use crate::harness::{Session, SessionError, allowed, service, withholding};
use crate::report::escape::terminal;
use crate::tune::{State, TuneError};
use blabbermouth_provider::{Capability, Dialect, Found, OpenAi, Tuner};

use super::args::DoctorArgs;
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &DoctorArgs, output: &Output) -> Result<ExitCode, Failure> {
    let environment = super::environment;
    let mut config = Config::load(Some(&args.target.config), environment).map_err(config_failure)?;
    super::apply_target(&mut config, &args.target);
    let folder = args.target.config.parent().map(Path::to_owned).unwrap_or_default();
    output.result(&line("configuration", "ok", &args.target.config.display().to_string()));
    match Session::open(Some(&args.target.config), environment, |_| {}) {
        Ok(session) => output.result(&line("manifest", "ok", &format!("{} canaries", session.entries().len()))),
        Err(error) if args.offline && !matches!(error, SessionError::NoManifest { .. }) => return Err(error.into()),
        Err(error) => output.result(&line("manifest", "none", &error.chain())),
    }
    if args.offline {
        return Ok(ExitCode::Clean);
    }
    let (profile, connection) = service(&config, &folder, environment).map_err(TuneError::from)?;
    allowed(&config, Some(&args.target.config), &profile, environment)?;
    let named = if connection.key.is_some() { ("key", "ok") } else { ("key", "none") };
    output.result(&line(named.0, named.1, &connection.key_variable));
    if config.provider.kind == "mock" {
        output.result(&line("service", "ok", "mocked: nothing to measure"));
        return Ok(ExitCode::Clean);
    }
    if profile.dialect == Dialect::Embedded {
        let text = "within this process: samples, begun answers and exact scores; all strategies";
        output.result(&line("service", "ok", text));
        return Ok(ExitCode::Clean);
    }
    if profile.dialect != Dialect::OpenAi {
        output.result(&line("service", "ok", "only sampling is known here: replay, and the guess-number test"));
        return Ok(ExitCode::Clean);
    }
    let mut model = config.provider.model.clone();
    if model.is_empty() {
        let state = State::read(&folder.join(&config.tune.state))?;
        model = state.and_then(|state| state.model).ok_or_else(|| {
            Failure::new(ExitCode::Config, "no model is named: give --model, or make one with `blabbermouth tune`")
        })?;
    }
    let endpoint = profile.endpoint(&connection).map_err(TuneError::from)?;
    let client = OpenAi::with_profile(&endpoint, &profile, &model).map_err(TuneError::from)?;
    let client = match Session::open(Some(&args.target.config), environment, |_| {}) {
        Ok(session) => client.redact(session.redactor()),
        // Without a manifest there is no secret that a service could quote.
        Err(SessionError::NoManifest { .. }) => client,
        Err(_) => client.redact(withholding()),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Failure::new(ExitCode::Internal, e))?;
    let (found, shutdown) = runtime.block_on(async {
        let found = client.measure().await.map_err(TuneError::from)?;
        Ok::<_, Failure>((found, client.shutdown_date(&model).await.ok().flatten()))
    })?;
    output.result(&line("chat", "ok", &format!("{} at {}", terminal(&model), client.address())));
    if let Some(date) = shutdown {
        output.warning(&format!("{} is shut down on {}", terminal(&model), terminal(&date)));
    }
    Ok(show(&found, &config, output))
}

/// Prints the measured capabilities and what follows from them.
fn show(found: &[Capability], config: &Config, output: &Output) -> ExitCode {
    let mut code = ExitCode::Clean;
    for capability in found {
        let (word, note) = match &capability.found {
            Found::Yes => ("yes", String::new()),
            Found::No(why) => ("no", why.clone()),
            Found::Wrong(why) => ("WRONG", why.clone()),
            Found::Is(word, how) => (*word, how.clone()),
        };
        if capability.name == "variety" && capability.found != Found::Yes {
            code = ExitCode::Provider;
        }
        output.result(&line(capability.name, word, &terminal(&note)));
        output.detail(&format!("{:<26}for {}", "", capability.follows));
    }
    let is_greedy = found.iter().any(|c| matches!(c.found, Found::Is("greedy", _)));
    if config.sampling.server_default && is_greedy {
        code = ExitCode::Provider;
        output.warning(
            "sampling.server-default is true, and this server decodes greedily by itself: all samples are the same \
             answer, so that no bound can be shown",
        );
    }
    let has = |name: &str| found.iter().any(|c| c.name == name && c.found == Found::Yes);
    output.result("");
    output.result(&line("strategies", "", if has("prefill") { "replay; prefixes would work too" } else { "replay" }));
    let statistics = match (has("variety"), has("prompt scoring")) {
        (false, _) => "none: this server's answers do not vary",
        (true, true) => "guess-number and count-rank tests; likelihoods could be trusted too",
        (true, false) => "guess-number and count-rank tests; no likelihoods",
    };
    output.result(&line("statistics", "", statistics));
    if config.probe.choices > 1 && !has("n") {
        output.warning("probe.choices is above 1, and this server gives one answer a request: more requests are sent");
    }
    code
}

fn line(name: &str, word: &str, note: &str) -> String {
    format!("{name:<16} {word:<8} {note}").trim_end().to_owned()
}
