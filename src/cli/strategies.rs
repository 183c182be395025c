//! `blabbermouth strategies`.

use crate::exit::ExitCode;
use blabbermouth_core::probe::registry;

use super::{Failure, Output};

/// Lists the built-in strategies, with the attack that each imitates.
pub(crate) fn run(output: &Output) -> Result<ExitCode, Failure> {
    for strategy in registry() {
        let needs = match (strategy.needs_prefill(), strategy.needs_scores()) {
            (true, _) => " [needs a service that goes on with a begun answer]",
            (_, true) => " [needs a service that scores texts]",
            _ => "",
        };
        output.result(&format!("{:<14} {}{needs}", strategy.name(), strategy.about()));
    }
    Ok(ExitCode::Clean)
}
