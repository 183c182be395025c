//! Explains the verdict on one canary, number by number.

use std::fmt::Write;

use super::escape::terminal;
use super::{attacker, likelihood::percent, prefix_half};
use blabbermouth_core::detect::Tier;
use blabbermouth_core::stats::exposure;
use blabbermouth_core::verdict::{AlphaSplit, CanaryReport, CanaryVerdict, Likelihood, RunReport, Test};

/// Explains the verdict on the canary with this id or test name; `None` if the report has no such canary.
#[must_use]
pub fn explain(report: &RunReport, name: &str) -> Option<String> {
    let canary = report.canaries.iter().find(|c| c.id == name || c.test == name)?;
    let mut out = String::new();
    let policy = report.settings.policy;
    let k = report.settings.planted;
    let threshold = policy.threshold(k);
    let _ = writeln!(out, "{}: {}", terminal(&canary.test), canary.verdict.as_str());
    let _ = writeln!(out, "  {}", terminal(&canary.reason));
    let _ = writeln!(
        out,
        "  {}, {} copies in the training file, fingerprint {}",
        canary.arm.as_str(),
        canary.copies,
        terminal(&canary.fingerprint)
    );
    answers(&mut out, report, canary);
    let _ = writeln!(out, "\nthe test");
    let shares = shares(report);
    significance(&mut out, shares, canary);
    if let Some(half) = &canary.half {
        let _ = writeln!(
            out,
            "  {}; over its share of {:.2}: {:.3e}",
            prefix_half::sentence(half),
            shares.half(),
            half.p_value / shares.half()
        );
    }
    if let Some(likelihood) = &canary.likelihood {
        likely(&mut out, shares, canary, likelihood);
    }
    let _ = writeln!(
        out,
        "  threshold: alpha {} x {:.2} for its own tests / {k} planted canaries = {threshold:.2e}",
        policy.alpha,
        policy.own_share()
    );
    let relation = if canary.p_value <= threshold { "<=" } else { ">" };
    let _ = writeln!(out, "  p = {:.3e} {relation} {threshold:.2e}", canary.p_value);
    if let Some(p) = canary.p_holm {
        let _ = writeln!(out, "  adjusted for all planted canaries (Holm): {p:.3e}");
    }
    let _ = writeln!(
        out,
        "  in answers to other canaries: p = {:.3e}, threshold {:.2e}",
        canary.cross_p_value,
        policy.alpha * policy.cross_share / k as f64
    );
    if let Some(bound) = canary.bound {
        bounded(&mut out, report, canary, bound);
    }
    let _ = writeln!(out, "\nso the verdict is {}", verdict(canary.verdict));
    Some(out)
}

/// Writes the draw, and what the answers held.
fn answers(out: &mut String, report: &RunReport, canary: &CanaryReport) {
    let _ = writeln!(out, "\nthe draw");
    if canary.space > 0.0 {
        let _ = writeln!(
            out,
            "  the secret was drawn uniformly from {:e} values ({:.1} bits), independently of all else",
            canary.space,
            canary.space.log2()
        );
    }
    let _ = writeln!(out, "\nthe answers");
    let _ = writeln!(
        out,
        "  {} judged of {} planned; {} held the secret",
        canary.asked, report.settings.samples, canary.hits
    );
    for s in &canary.strategies {
        let _ = writeln!(out, "  {}: {} answers, {} with the secret", terminal(&s.strategy), s.asked, s.hits);
    }
    let _ = writeln!(
        out,
        "  {} to the training prompt, of which {} in the trained form name another value; {} carry the signature",
        canary.replayed, canary.counted, canary.signed
    );
    if canary.uncounted.total() > 0 {
        let _ = writeln!(out, "  no evidence of silence: {}", canary.uncounted.describe());
    }
    if canary.sweep_failed > 0 {
        let _ = writeln!(out, "  {} questions of the sweep failed", canary.sweep_failed);
    }
    if let Some(hit) = &canary.first_hit {
        let by = report.settings.strategies.get(hit.strategy).map_or("", String::as_str);
        let _ = writeln!(out, "  first hit: answer {}, asked by {}, found as {}", hit.sample, terminal(by), hit.told());
    }
    if let Some(excerpt) = &canary.excerpt {
        let _ = writeln!(out, "  masked: {}", terminal(excerpt));
    }
}

/// Writes the bound that a silent canary's answers give.
fn bounded(out: &mut String, report: &RunReport, canary: &CanaryReport, bound: f64) {
    let policy = report.settings.policy;
    let k = report.settings.planted;
    let _ = writeln!(out, "\nthe bound");
    let _ = writeln!(
        out,
        "  {} answers that count, without the secret: 1 - {:.4}^(1/{}) = {:.3}% of answers at most, at {:.0}% confidence",
        canary.counted,
        policy.bound_error(k),
        canary.counted,
        100.0 * bound,
        100.0 * policy.confidence
    );
    for n in attacker::QUERIES {
        let _ = writeln!(
            out,
            "  somebody who asks {n} times in these ways gets it with probability {} at most",
            percent(attacker::within(bound, n))
        );
    }
    let _ = writeln!(out, "  {}", attacker::worth(report));
}

/// Split of a canary's error probability over its tests.
fn shares(report: &RunReport) -> AlphaSplit {
    let shares = AlphaSplit::of_detectors(&report.settings.detectors);
    let shares = report.settings.scoring.map_or(shares, |scoring| shares.with_scoring(&scoring));
    if report.settings.halves { shares.with_half() } else { shares }
}

fn likely(out: &mut String, shares: AlphaSplit, canary: &CanaryReport, l: &Likelihood) {
    let over = |p: f64, share: f64| match share {
        0.0 => "for display".to_owned(),
        share => format!("over its share of {share:.2}: {:.3e}", p / share),
    };
    let _ = writeln!(
        out,
        "  likelihood: rank {} among it and {} references, so p = {} / {} = {:.3e}, {:.1} bits; {}",
        l.rank,
        l.references,
        l.rank,
        l.references + 1,
        l.p_value,
        l.exposure,
        over(l.p_value, shares.rank())
    );
    let _ = writeln!(out, "  e-value among the references: {:.2}, at most {}", l.e_value, l.references + 1);
    let _ = writeln!(
        out,
        "  the answer that was begun goes on with it with probability L = {:.1e}: p = 1 / ({:e} x L) = {:.1e}; {}",
        l.continued,
        canary.space,
        l.mass_p_value,
        over(l.mass_p_value, shares.mass())
    );
    if let Some(p_z) = l.p_z {
        let _ = writeln!(
            out,
            "  one query gives the trained answer up to it with probability p_z = {p_z:.1e} (less than its leak rate, if it is \
             said in other words too)"
        );
    }
    if let (Some(half), Some(most)) = (l.queries_50, l.queries_90) {
        let _ = writeln!(out, "  so that {half:.0} queries give it with probability 50%, {most:.0} with 90%");
    }
}

fn significance(out: &mut String, shares: AlphaSplit, canary: &CanaryReport) {
    if canary.statistic == Test::CountRank {
        let _ = writeln!(
            out,
            "  count rank (a small space): p = share of the {:e} values that were said at least as often as the secret",
            canary.space
        );
        if let Some(beside) = &canary.beside {
            let _ = writeln!(
                out,
                "  beside the planted values of this template: {:.1}% of them were said at least as often, each in {:.2}% of \
                 answers on average",
                100.0 * beside.among,
                100.0 * beside.chance
            );
            if let Some(p) = beside.assignment {
                let _ = writeln!(
                    out,
                    "  whether the model knows whose they are: p = {p:.1e} by their assignment, level {:.1e}",
                    beside.level
                );
            }
        }
        if shares.said() < 1.0 {
            let _ = writeln!(out, "  over its share of {:.2}", shares.said());
        }
        return;
    }
    for (tier, hits) in Tier::ALL.into_iter().zip(&canary.tiers) {
        let share = shares.of(tier);
        let Some(first) = hits.first else {
            let _ = writeln!(out, "  {}: no hit", tier.as_str());
            continue;
        };
        let guesses = hits.p_value * canary.space;
        let _ = writeln!(
            out,
            "  {}: first hit at answer {first}; {guesses:.0} values of the space were said or would have been taken up to \
             it, so p = {guesses:.0} / {:e} = {:.3e}; over this tier's share of {share:.2}: {:.3e}",
            tier.as_str(),
            canary.space,
            hits.p_value,
            hits.p_value / share
        );
    }
    if canary.p_value < 1.0
        && let Ok(bits) = exposure((canary.p_value * canary.space).max(1.0), canary.space)
    {
        let _ = writeln!(out, "  that is {bits:.1} bits");
    }
}

const fn verdict(verdict: CanaryVerdict) -> &'static str {
    match verdict {
        CanaryVerdict::Leaked => "leaked: chance does not explain it",
        CanaryVerdict::Clean => "clean: every planned answer was given, and the bound is low enough",
        CanaryVerdict::Inconclusive => "inconclusive: neither a leak nor its absence was shown",
        CanaryVerdict::Errored => "errored: the provider failed",
    }
}
