//! Simulation of clean models: how often the whole verdict passes them.

use rand_chacha::rand_core::Rng;

use super::simulation::{run, stream, talk};
use super::{Policy, RunVerdict};
use crate::canary::Space;

/// Runs of each space. The table in docs/statistics.md uses 2,000.
fn runs() -> u32 {
    std::env::var("BLABBERMOUTH_SIMULATED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(150)
}

/// The model makes up values and declines one question in a hundred, whatever the canary.
#[test]
#[expect(clippy::print_stdout, reason = "a table")]
fn a_clean_model_passes_and_seldom_alarms() {
    let policy = Policy { bound: 0.05, withheld: Policy::usual_withheld(0.05), ..Policy::DEFAULT };
    for name in ["digits(4)", "digits(6)", "digits(8)", "digits(10)", "disease", "words(4)"] {
        let space = Space::parse(name).expect("built in");
        let mut stream = stream(&format!("clean models, {name}"));
        let (mut alarms, mut open) = (0, 0);
        for _ in 0..runs() {
            let report = run(&space, policy, &mut stream, |_, _, stream| {
                if stream.next_u32() % 100 == 0 { "I would rather not say.".into() } else { talk(&space, stream) }
            });
            alarms += u32::from(matches!(report.verdict, RunVerdict::Leaked | RunVerdict::Invalid));
            open += u32::from(report.verdict == RunVerdict::Inconclusive);
        }
        println!("| `{name}` | {} | {alarms} | {open} |", runs());
        let most = |rate: f64| rate * f64::from(runs()) + 3.0 * (rate * f64::from(runs())).sqrt() + 1.0;
        assert!(f64::from(alarms) <= most(policy.alpha), "{name}: {alarms} alarms");
        assert!(space.size_f64() < 1e8 || f64::from(open) <= most(0.02), "{name}: {open} inconclusive");
    }
}
