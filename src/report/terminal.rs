//! Summary of a run for the terminal.

use std::fmt::Write as _;

use super::escape::terminal;
use super::{attacker, likelihood, prefix_half};
use blabbermouth_core::canary::Arm;
use blabbermouth_core::verdict::{CanaryReport, CanaryVerdict, RunReport, RunVerdict, Test};

/// Summary after a run: leaks by copies, bounds of silent canaries, tokens, verdict.
#[must_use]
pub fn summary(report: &RunReport, colour: bool) -> String {
    let paint =
        |code: &str, text: &str| if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let mut out = String::new();
    let planted: Vec<&CanaryReport> = report.canaries.iter().filter(|c| c.arm == Arm::Planted).collect();
    let _ = writeln!(out, "model      {} at {}", terminal(&report.settings.model), terminal(&report.settings.address));
    table(&mut out, report, &planted);
    let worst = planted
        .iter()
        .filter(|c| c.is_gated())
        .filter_map(|c| c.bound)
        .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))));
    let withheld = planted.iter().filter(|c| c.is_gated() && c.bound.is_some()).filter_map(|c| c.withheld);
    if let Some(worst) = worst {
        let _ = writeln!(
            out,
            "\nsilent canaries give their secret in at most {:.2}% of answers each, and at most {:.1}% of their answers were\n\
             withheld ({:.0}% confidence)",
            100.0 * worst,
            100.0 * withheld.fold(0.0, f64::max),
            100.0 * report.settings.policy.confidence
        );
    }
    if let Some(attacker) = attacker::sentence(report) {
        let _ = writeln!(out, "attacker   {attacker}");
    }
    if let Some(half) = prefix_half::summary(report) {
        let _ = writeln!(out, "half       {half}");
    }
    if let Some(exposure) = likelihood::summary(report) {
        let _ = writeln!(out, "exposure   {exposure}");
    }
    let ranked = report.canaries.iter().filter(|c| c.statistic == Test::CountRank).count();
    if ranked > 0 {
        let _ = writeln!(
            out,
            "\n{ranked} canaries have a secret from a small space, which is said by chance too: they were asked all {} samples\n\
             and ranked by how often each value was said",
            report.settings.samples
        );
    }
    if ranked > 0 && report.settings.policy.strict {
        out.push_str("\nstrict: in a small space a model that learned nothing says a secret now and then, and fails\n");
    }
    let answers: u64 = report.canaries.iter().map(|c| c.asked).sum();
    let _ = writeln!(
        out,
        "\ncontrols   {}\nused       {answers} answers, {} + {} tokens, {:.1} s",
        terminal(&report.controls.reason),
        report.usage.prompt_tokens,
        report.usage.completion_tokens,
        report.seconds
    );
    if let Some(training) = &report.training {
        let _ = writeln!(out, "training   {}", terminal(&training.reason));
    }
    if let Some(sensitivity) = &report.sensitivity {
        let _ = writeln!(out, "power      {}", terminal(&sensitivity.reason));
    }
    if let Some(claim) = &report.claim {
        let _ = writeln!(out, "claim      {}", terminal(&claim.reason));
    }
    let code = if report.verdict == RunVerdict::Clean { "1;32" } else { "1;31" };
    let _ = writeln!(
        out,
        "verdict    {}: {}",
        paint(code, &report.verdict.as_str().to_uppercase()),
        terminal(&report.reason)
    );
    out
}

/// Writes the canaries by copies and by role.
fn table(out: &mut String, report: &RunReport, planted: &[&CanaryReport]) {
    let mut copies: Vec<u32> = planted.iter().map(|c| c.copies).collect();
    copies.sort_unstable();
    copies.dedup();
    if !planted.is_empty() {
        let _ = writeln!(out, "\ncopies   canaries   leaked   in first answer   clean   open");
        for copies in copies {
            row(out, &copies.to_string(), planted.iter().filter(|c| c.copies == copies).copied());
        }
        row(out, "all", planted.iter().copied().filter(|c| c.is_gated()));
        if planted.iter().any(|c| c.accepted.is_some()) {
            row(out, "accepted", planted.iter().copied().filter(|c| c.accepted.is_some()));
        }
        if report.sensitivity.is_some() {
            row(out, "positive", planted.iter().copied().filter(|c| c.positive_control));
        }
    }
    row(out, "held out", report.canaries.iter().filter(|c| c.arm == Arm::HeldOut));
}

fn row<'a>(out: &mut String, name: &str, canaries: impl Iterator<Item = &'a CanaryReport>) {
    let all: Vec<&CanaryReport> = canaries.collect();
    let count = |verdict| all.iter().filter(|c| c.verdict == verdict).count();
    let answered = all.iter().filter(|c| c.first_answer.is_some()).count();
    let first = all.iter().filter(|c| c.first_answer == Some(true)).count();
    let share = if answered == 0 {
        "-".to_owned()
    } else {
        format!("{first} ({:.0}%)", 100.0 * first as f64 / answered as f64)
    };
    let open = count(CanaryVerdict::Inconclusive) + count(CanaryVerdict::Errored);
    let _ = writeln!(
        out,
        "{name:<8} {:>8} {:>8} {share:>17} {:>7} {open:>6}",
        all.len(),
        count(CanaryVerdict::Leaked),
        count(CanaryVerdict::Clean)
    );
}
