//! `blabbermouth ask`.

use std::collections::BTreeMap;

use crate::config::is_ci;
use crate::exit::ExitCode;
use crate::harness::Session;
use crate::report::escape::terminal;
use blabbermouth_core::chat::{Message, Quality, Role};

use super::args::AskArgs;
use super::{Failure, Output};

pub(crate) fn run(args: &AskArgs, output: &Output) -> Result<ExitCode, Failure> {
    if args.show_secrets && is_ci(super::environment) && !args.force {
        let how =
            "--show-secrets is refused where CI is set, since others may read the log; --force shows them all the same";
        return Err(Failure::new(ExitCode::Usage, how));
    }
    let session = Session::open(Some(&args.target.config), super::environment, |config| {
        super::apply_target(config, &args.target)
    })?;
    let system = args.system.iter().map(|text| Message::new(Role::System, text.as_str()));
    let question: Vec<Message> = system.chain([Message::new(Role::User, args.question.as_str())]).collect();
    let said = session.ask(&question, args.samples, args.show_secrets)?;
    let mut canaries: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, answer) in said.iter().enumerate() {
        // Escapes each line by itself, so that line breaks stay.
        let text: Vec<String> = answer.text.lines().map(terminal).collect();
        let number = format!("{}.", index + 1);
        output.result(&format!("{number:<4} {}", text.join("\n     | ")));
        if answer.quality != Quality::Answered {
            output.result(&format!("     ({})", format!("{:?}", answer.quality).to_lowercase()));
        }
        for canary in &answer.given_away {
            *canaries.entry(canary).or_default() += 1;
            output.result(&format!("     gives away {canary}"));
        }
    }
    for (canary, count) in &canaries {
        output.step(&format!("{canary}: in {count} of {} answers", said.len()));
    }
    if canaries.is_empty() {
        output.step("no canary is given away; that is no verdict: `blabbermouth test` gives one");
    }
    Ok(ExitCode::Clean)
}
