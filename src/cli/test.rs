//! `blabbermouth test`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::config::is_ci;
use crate::exit::ExitCode;
use crate::harness::{Session, Shard, Shown, Tape, TrialArguments, execute, judge_quietly, selection, show};
use crate::report::escape::terminal;
use crate::report::summary;
use crate::store;
use crate::tune::{Stage, today};
use blabbermouth_core::canary::Arm;
use blabbermouth_core::verdict::{Baseline, CanaryVerdict, RunReport, RunVerdict};

use super::args::TestArgs;
use super::reports::{Reports, retract};
use super::{Failure, Output, config_failure};

pub(crate) fn run(args: &TestArgs, output: &Output) -> Result<ExitCode, Failure> {
    retract(&args.reports)?;
    if args.reports.evidence(Path::new(""))?.is_some() && (args.list || args.dry_run || args.checkpoints) {
        let text = "--report evidence is for a test of one model: leave out --list, --dry-run and --checkpoints";
        return Err(Failure::new(ExitCode::Usage, text));
    }
    if args.deadline.is_some_and(|minutes| !(1e-6..=1e6).contains(&minutes)) {
        return Err(Failure::new(ExitCode::Usage, "--deadline is a number of minutes above 0"));
    }
    let nothing = args.max_requests == Some(0) || args.max_tokens == Some(0);
    if nothing || args.max_cost.is_some_and(|usd| usd.is_nan() || usd <= 0.0) {
        return Err(Failure::new(ExitCode::Usage, "--max-requests, --max-tokens and --max-cost are above 0"));
    }
    if args.checkpoints {
        return checkpoints(args, output);
    }
    let baseline = baseline(args.baseline.as_deref())?;
    let session = open(args, None)?.baseline(baseline.clone(), today());
    if args.baseline_model.is_some() && session.config.provider.kind == "mock" {
        let text = "--baseline-model: the built-in mock has one model; `blabbermouth mock` serves more";
        return Err(Failure::new(ExitCode::Usage, text));
    }
    if let Some(unknown) = args
        .explain
        .iter()
        .find(|name| session.entries().iter().all(|entry| entry.id != **name && entry.test_name() != **name))
    {
        let text = format!("the manifest has no canary `{unknown}`; its names are like c0001");
        return Err(Failure::new(ExitCode::Usage, text));
    }
    if args.list {
        return trials(args, &session, baseline.as_ref(), output);
    }
    describe(&session, args, output)?;
    if let Some(base) = &args.baseline_model {
        describe(&open(args, Some(base))?, args, output)?;
    }
    if args.dry_run {
        output.step("nothing was sent");
        return Ok(ExitCode::Clean);
    }
    trials(args, &session, baseline.as_ref(), output)
}

/// Reads the baseline, if there is one.
pub(super) fn baseline(path: Option<&Path>) -> Result<Option<Baseline>, Failure> {
    let read = |path: &Path| {
        let bytes = store::read(path).map_err(config_failure)?;
        Baseline::parse(&bytes).map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))
    };
    path.map(read).transpose()
}

/// Opens a session; `model` takes precedence over the arguments.
fn open(args: &TestArgs, model: Option<&str>) -> Result<Session, Failure> {
    let shard = args.shard.as_deref().map(|text| {
        let how = "--shard is K/N, as in 2/5: the second of five parts";
        Shard::parse(text).ok_or_else(|| Failure::new(ExitCode::Usage, how))
    });
    let shard = shard.transpose()?;
    Ok(Session::open(Some(&args.target.config), super::environment, |config| {
        super::apply_target(config, &args.target);
        if let Some(model) = model {
            model.clone_into(&mut config.provider.model);
        }
        if let Some(samples) = args.samples {
            config.probe.samples = samples;
        }
        let budget = &mut config.budget;
        budget.max_requests = args.max_requests.unwrap_or(budget.max_requests);
        budget.max_tokens = args.max_tokens.unwrap_or(budget.max_tokens);
        budget.max_cost = args.max_cost.unwrap_or(budget.max_cost);
        config.probe.deadline_minutes = args.deadline.unwrap_or(config.probe.deadline_minutes);
        if !args.strategy.is_empty() {
            config.probe.strategies.clone_from(&args.strategy);
        }
        config.verdict.profile = args.profile.or(config.verdict.profile);
        config.verdict.strict |= args.strict;
        config.verdict.unproven |= args.unproven;
        config.sensitivity.required |= args.require_sensitivity;
        if let Some(concurrency) = args.concurrency {
            config.probe.concurrency = concurrency.max(1);
        }
    })?
    .fresh(args.fresh)
    .whole(is_ci(super::environment) && !args.allow_partial)
    .batch(args.batch)
    .shard(shard)
    .tape(Tape { record: args.record.clone(), replay: args.replay.iter().cloned().collect(), parts: false }))
}

/// Tests every checkpoint in `tune`'s state file, and prints a line for each.
fn checkpoints(args: &TestArgs, output: &Output) -> Result<ExitCode, Failure> {
    let baseline = baseline(args.baseline.as_deref())?;
    let session = open(args, None)?;
    let folder = args.target.config.parent().map(Path::to_owned).unwrap_or_default();
    let path = folder.join(&session.config.tune.state);
    let state = session.tuning()?.filter(|state| state.stage == Stage::Ready && !state.checkpoints.is_empty());
    let state = state.ok_or_else(|| {
        Failure::new(
            ExitCode::Config,
            format!("{}: there are no checkpoints; `blabbermouth tune` notes them", path.display()),
        )
    })?;
    if !session.is_of(&state) {
        let text = format!("{}: that model was tuned on another manifest's canaries; tune again", path.display());
        return Err(Failure::new(ExitCode::Config, text));
    }
    let mut worst = ExitCode::Clean;
    output.result("steps      leaked   in first answer   verdict");
    for checkpoint in &state.checkpoints {
        let session = open(args, Some(&checkpoint.model))?.baseline(baseline.clone(), today());
        if args.dry_run {
            describe(&session, args, output)?;
            continue;
        }
        let mut words: Vec<OsString> = vec!["blabbermouth".into()];
        words.extend(args.filter.iter().map(OsString::from));
        words.extend(args.libtest.iter().map(OsString::from));
        let wanted = TrialArguments::parse(words).map_err(|what| Failure::new(ExitCode::Usage, what))?;
        if wanted.libtest().list {
            return Err(Failure::new(ExitCode::Usage, "--checkpoints lists nothing; leave out one of the two"));
        }
        let (bar, progress) = output.progress();
        let done = judge_quietly(&session, &wanted, progress);
        bar.finish_and_clear();
        let done = done?
            .ok_or_else(|| Failure::new(ExitCode::Inconclusive, "no canary was selected, so nothing was tested"))?;
        let report = done.settle()?;
        let planted: Vec<_> = report.canaries.iter().filter(|c| c.arm == Arm::Planted).collect();
        let leaked = planted.iter().filter(|c| c.verdict == CanaryVerdict::Leaked).count();
        let first = planted.iter().filter(|c| c.first_answer == Some(true)).count();
        output.result(&format!(
            "{:<10} {:>3}/{:<3} {:>12}/{:<3}    {}  {}",
            checkpoint.step,
            leaked,
            planted.len(),
            first,
            planted.len(),
            report.verdict.as_str().to_uppercase(),
            terminal(&checkpoint.model)
        ));
        worst = worse(worst, report.verdict.into());
    }
    Ok(worst)
}

/// The worse of two exit codes: clean, inconclusive, provider, invalid, then leak and all others.
fn worse(one: ExitCode, other: ExitCode) -> ExitCode {
    let rank = |code: ExitCode| match code {
        ExitCode::Clean => 0,
        ExitCode::Inconclusive => 1,
        ExitCode::Provider => 2,
        ExitCode::Invalid => 3,
        _ => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Prints what the run will take, before anything is sent.
fn describe(session: &Session, args: &TestArgs, output: &Output) -> Result<(), Failure> {
    if let Some(why) = &session.untested_claim {
        output.warning(why);
    }
    if output.is_quiet() {
        return Ok(());
    }
    let is_wanted =
        |name: &str| args.filter.is_empty() || args.filter.iter().any(|filter| name.contains(filter.as_str()));
    let selected: Vec<usize> = session
        .entries()
        .iter()
        .enumerate()
        .filter(|(index, entry)| session.takes(*index) && is_wanted(&entry.test_name()))
        .map(|(index, _)| index)
        .collect();
    let estimate = session.estimate(&selected)?;
    let cost = match &estimate.cost {
        Some((usd, source)) if args.batch => format!("; at most about {:.2} USD (half of {source})", usd / 2.0),
        Some((usd, source)) => format!("; at most about {usd:.2} USD ({source})"),
        None if matches!(session.config.provider.kind.as_str(), "mock" | "embedded") => String::new(),
        None => "; the price is not known".into(),
    };
    output.step(&format!(
        "plan       {}: at most {} requests, about {} + {} tokens{cost}",
        terminal(&estimate.model),
        estimate.requests,
        estimate.usage.prompt_tokens,
        estimate.usage.completion_tokens
    ));
    Ok(())
}

/// Prints how the leaks of a run compare with the baseline.
pub(super) fn tell_accepted(baseline: &Baseline, report: &RunReport, output: &Output) {
    let beside = baseline.beside(report, &today());
    let worse = "leaks more often, or in another way, than was accepted";
    let all = [
        ("new", &beside.new),
        ("past its day", &beside.expired),
        (worse, &beside.worse),
        ("accepted", &beside.accepted),
    ];
    for (what, canaries) in all {
        if !canaries.is_empty() {
            let some: Vec<String> = canaries.iter().take(9).map(|c| terminal(c)).collect();
            let more = if canaries.len() > 9 { ", …" } else { "" };
            output.result(&format!("baseline   {} {what}: {}{more}", canaries.len(), some.join(", ")));
        }
    }
    if report.verdict == RunVerdict::Clean && !beside.accepted.is_empty() {
        output.result("baseline   the gate passes: every leak of this run is accepted");
    }
}

fn trials(
    args: &TestArgs,
    session: &Session,
    baseline: Option<&Baseline>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let reports = Reports::begin(&args.reports, Path::new(""), session.entries().len())?;
    let mut words: Vec<OsString> = vec!["blabbermouth".into()];
    words.extend(args.filter.iter().map(OsString::from));
    if args.list {
        words.push("--list".into());
    }
    if output.is_quiet() {
        words.push("--quiet".into());
    }
    if !output.colour() {
        words.push("--color=never".into());
    }
    words.extend(args.libtest.iter().map(OsString::from));
    let arguments = TrialArguments::parse(words).map_err(|what| Failure::new(ExitCode::Usage, what))?;
    if let Some(path) = &arguments.libtest().logfile {
        let made = std::fs::File::options().create(true).append(true).open(path);
        made.map_err(|e| Failure::new(ExitCode::Usage, format!("--logfile: {path}: {e}")))?;
    }
    // Listing sends nothing, even with `--batch`.
    let batch = args.batch && !arguments.libtest().list;
    let shown = if batch { by_batch(session, &arguments, output)? } else { gate(session, &arguments, output)? };
    let Some(report) = shown.report() else {
        if arguments.libtest().list {
            return Ok(ExitCode::Clean);
        }
        return Err(Failure::new(ExitCode::Inconclusive, "no canary was selected, so nothing was tested"));
    };
    reports.write(report, Some(&args.target.config), output)?;
    output.verbatim(&summary(report, output.colour()));
    if let Some(served) = &report.settings.served_model {
        output.warning(&format!(
            "the answers name the model `{}`, asked for was `{}`: see that this is the model that you mean to release",
            terminal(served),
            terminal(&report.settings.model)
        ));
    }
    for canary in &args.explain {
        super::explain::explain_canary(report, canary, output)?;
    }
    if let Some(baseline) = baseline {
        tell_accepted(baseline, report, output);
    }
    let code = report.verdict.into();
    let tuned = match shown.settle() {
        Ok(Some(tuned)) => tuned,
        Ok(None) => return Ok(code),
        Err(error) => {
            retract(&args.reports)?;
            return Err(error.into());
        }
    };
    let Some(base) = &args.baseline_model else { return Ok(code) };
    let contrast = contrast(args, base, &tuned, &arguments, output);
    if !matches!(contrast, Ok(ExitCode::Clean)) {
        // The evidence does not mention the base model, so a contrast that fails retracts it.
        retract(&args.reports)?;
    }
    contrast.map(|base| worse(code, base))
}

/// Asks the base model the same questions: a secret that it leaks does not come from the tuning.
fn contrast(
    args: &TestArgs,
    base: &str,
    tuned: &RunReport,
    arguments: &TrialArguments,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let session = open(args, Some(base))?;
    let (bar, progress) = output.progress();
    let done = judge_quietly(&session, arguments, progress);
    bar.finish_and_clear();
    let Some(done) = done? else { return Ok(ExitCode::Clean) };
    let report = done.settle()?;
    let leaked = |report: &RunReport| {
        let gated = || report.canaries.iter().filter(|c| c.is_gated());
        (gated().filter(|c| c.verdict == CanaryVerdict::Leaked).count(), gated().count())
    };
    let ((after, all), (before, _)) = (leaked(tuned), leaked(&report));
    output.result(&format!(
        "contrast   of {all} planted canaries {} gives {after} away, {} before it was tuned {before} ({})",
        terminal(&tuned.settings.model),
        terminal(base),
        report.verdict.as_str()
    ));
    if before > 0 || report.verdict == RunVerdict::Invalid {
        output.warning(
            "the model gives away secrets that it was not trained on: look for them in the system prompt, in retrieval, or \
             whether this model was tuned before",
        );
        return Ok(ExitCode::Invalid);
    }
    Ok(ExitCode::Clean)
}

/// Probes by batch jobs, and shows the test results.
fn by_batch(session: &Session, arguments: &TrialArguments, output: &Output) -> Result<Shown, Failure> {
    let selected = selection(session, arguments);
    if selected.is_empty() {
        return Ok(show(session, arguments, None));
    }
    let tell = |line: String| output.step(&terminal(&line));
    let poll = Duration::from_secs_f64(session.config.tune.poll_seconds);
    let done = session.probe_by_batch(&selected, poll, &tell, std::sync::Arc::new(|_| {}))?;
    Ok(show(session, arguments, Some(done)))
}

/// Probes with a progress bar, and shows the test results.
pub(crate) fn gate(session: &Session, arguments: &TrialArguments, output: &Output) -> Result<Shown, Failure> {
    let (bar, progress) = output.progress();
    let shown = execute(session, arguments, progress);
    bar.finish_and_clear();
    Ok(shown?)
}
