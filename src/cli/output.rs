//! Terminal output of the commands.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::run_pace::RunPace;
use crate::harness::{describe, describe_forgotten};
use crate::report::escape::{lines, message};
use crate::run::{Event, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Settings of the terminal, captured once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    quiet: bool,
    verbose: bool,
    colour: bool,
    bar: bool,
    /// Suppresses results and steps; warnings, errors and progress bars stay.
    hushed: bool,
}

/// The first write error of standard output.
static FAULT: OnceLock<String> = OnceLock::new();

impl Output {
    /// The first write error of standard output; `None` if there is none.
    pub(crate) fn fault() -> Option<&'static str> {
        FAULT.get().map(String::as_str)
    }

    pub(crate) fn capture(quiet: bool, verbose: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        Self {
            quiet,
            verbose,
            colour: std::io::stdout().is_terminal() && !set("NO_COLOR"),
            bar: std::io::stderr().is_terminal() && !set("CI") && !quiet,
            hushed: false,
        }
    }

    pub(crate) fn colour(&self) -> bool {
        self.colour
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// These settings without results and steps, for a part of a larger command.
    #[cfg(feature = "embedded")]
    pub(crate) fn hushed(&self) -> Self {
        Self { hushed: true, ..*self }
    }

    /// Prints a result, also when quiet. Escapes text of files, services and models.
    pub(crate) fn result(&self, text: &str) {
        self.verbatim(&lines(text));
    }

    /// Prints text unescaped: with colors, or for a program. The caller must escape foreign text.
    pub(crate) fn verbatim(&self, text: &str) {
        if self.hushed {
            return;
        }
        let mut out = std::io::stdout();
        let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        // A closed reader (`| head`) is no fault of this program; a full disk is one.
        if let Err(error) = written.map_err(|e| (e.kind() != ErrorKind::BrokenPipe).then(|| e.to_string()))
            && let Some(fault) = error
        {
            let _ = FAULT.set(fault);
        }
    }

    /// Prints a step, unless quiet.
    pub(crate) fn step(&self, text: &str) {
        if !self.quiet {
            self.result(text);
        }
    }

    /// Prints a detail, if verbose.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.result(text);
        }
    }

    pub(crate) fn warning(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "warning: {}", message(text));
    }

    pub(crate) fn error(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "error: {}", message(text));
    }

    /// A progress bar over the samples of a run; hidden when piped, quiet or in CI.
    pub(crate) fn progress(&self) -> (ProgressBar, Progress) {
        let target = if self.bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} samples, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        let (shared, output) = (bar.clone(), *self);
        let pace = Mutex::new(RunPace::default());
        let progress = move |event| {
            match event {
            Event::Planned(samples) => {
                shared.set_length(samples);
                pace.lock().unwrap_or_else(PoisonError::into_inner).planned = samples;
            }
            Event::Samples(samples) => {
                if output.bar {
                    shared.inc(samples);
                }
                let line = pace.lock().unwrap_or_else(PoisonError::into_inner).add(samples, !output.bar);
                if let Some(line) = line {
                    shared.suspend(|| output.step(&line));
                }
            }
            Event::Notice(text) => shared.suspend(|| output.step(&text)),
            Event::SmallSpace(canaries) => shared.suspend(|| {
                output.step(&format!(
                    "{canaries} canaries have a secret from a small space: judged by count rank, after all their samples"
                ));
            }),
            Event::RankDisplayed { references, needed } => shared.suspend(|| {
                output.step(&format!(
                    "{references} references for each secret: its rank among them decides nothing by itself, {needed} would \
                     let it (`probe.references`)"
                ));
            }),
            Event::Resumed(resumed) => shared.suspend(|| output.warning(&describe(&resumed))),
            Event::Forgotten(answers) => shared.suspend(|| output.warning(&describe_forgotten(answers))),
        }
        };
        (bar, Arc::new(progress))
    }

    /// A progress bar over the steps of a training; hidden when piped, quiet or in CI.
    pub(crate) fn steps(&self) -> ProgressBar {
        let target = if self.bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:40} step {pos}/{len} {msg}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(None, target).with_style(style)
    }
}
