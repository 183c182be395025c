//! Self-contained HTML page: no network, no script but its own, readable without scripts.

use std::fmt::Write as _;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::copies::Copies;
use super::escape::html;
use super::finding::leaked;
use super::{SourceMap, attacker, likelihood, prefix_half};
use blabbermouth_core::canary::Arm;
use blabbermouth_core::stats::wilson;
use blabbermouth_core::verdict::{CanaryReport, CanaryVerdict, RunReport, Test};

pub(super) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Maximum number of canaries per arm in the plot of exposures.
const DOTS: usize = 2000;
/// Number of table rows that are shown without the script.
const ROWS: usize = 500;

pub(super) fn render(report: &RunReport, places: &SourceMap) -> Vec<u8> {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text));
    let s = &report.settings;
    let mut out = String::with_capacity(8192 + report.canaries.len() * 600);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{verdict}: {model}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header class=\"{verdict}\">\n<p class=\"word\">{verdict}</p>\n<h1>{}</h1>\n\
         <p>Model <b>{model}</b> at {}</p>\n</header>\n",
        hash(STYLE),
        hash(SCRIPT),
        html(&report.reason),
        html(&s.address),
        verdict = report.verdict.as_str(),
        model = html(&s.model),
    );
    copies(&mut out, report);
    exposure(&mut out, report);
    attacks(&mut out, report);
    found(&mut out, report);
    checks(&mut out, report);
    canaries(&mut out, report);
    settings(&mut out, report, places);
    let _ = write!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    out.into_bytes()
}

fn planted(report: &RunReport) -> impl Iterator<Item = &CanaryReport> {
    report.canaries.iter().filter(|c| c.arm == Arm::Planted)
}

/// Plots the leaked canaries by copies, with 95% Clopper–Pearson intervals.
fn copies(out: &mut String, report: &RunReport) {
    let rows = Copies::groups(planted(report));
    if rows.is_empty() {
        return;
    }
    let height = 34 * rows.len() + 40;
    let _ = write!(
        out,
        "<section>\n<h2>Leaked canaries by copies</h2>\n<figure>\n<svg viewBox=\"0 0 640 {height}\" role=\"img\" \
         aria-label=\"Share of leaked canaries by number of copies; the table below has the numbers\">\n"
    );
    let x = |share: f64| 90.0 + 520.0 * share;
    for tick in 0..=4 {
        let share = f64::from(tick) / 4.0;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"8\" y2=\"{1}\"/><text x=\"{0:.1}\" y=\"{2}\" \
             text-anchor=\"middle\">{3:.0}%</text>",
            x(share),
            height - 28,
            height - 10,
            100.0 * share
        );
    }
    for (index, group) in rows.iter().enumerate() {
        let y = 24 + 34 * index;
        let word = if group.copies == 1 { "copy" } else { "copies" };
        let _ = write!(out, "<text x=\"80\" y=\"{}\" text-anchor=\"end\">{} {word}</text>", y + 5, group.copies);
        let _ = match group.share() {
            Some((share, low, high)) => writeln!(
                out,
                "<line class=\"interval\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/><circle class=\"point\" cx=\"{:.1}\" \
                 cy=\"{y}\" r=\"6\"/>",
                x(low),
                x(high),
                x(share)
            ),
            None => writeln!(out, "<text x=\"{:.1}\" y=\"{}\">not measured</text>", x(0.0), y + 5),
        };
    }
    out.push_str("</svg>\n</figure>\n");
    Copies::table(out, &rows);
    out.push_str("</section>\n");
}

/// Plots the exposure in bits: −log2 of the p-value of each canary's own test, the guesses that the model saves an
/// attacker.
fn exposure(out: &mut String, report: &RunReport) {
    let bits = |c: &CanaryReport| -c.p_value.clamp(1e-30, 1.0).log2();
    let most = report.canaries.iter().map(bits).fold(8.0, f64::max);
    let x = |bits: f64| 90.0 + 520.0 * bits / most;
    out.push_str(
        "<section>\n<h2>Exposure of planted and held-out canaries</h2>\n<figure>\n<svg viewBox=\"0 0 640 130\" role=\"img\" \
         aria-label=\"Exposure in bits of planted canaries above, held-out ones below\">\n",
    );
    for tick in 0..=4 {
        let at = most * f64::from(tick) / 4.0;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"8\" y2=\"100\"/><text x=\"{0:.1}\" y=\"120\" \
             text-anchor=\"middle\">{at:.0} bits</text>",
            x(at)
        );
    }
    for (arm, name, y) in [(Arm::Planted, "planted", 34), (Arm::HeldOut, "held out", 78)] {
        let _ = writeln!(out, "<text x=\"80\" y=\"{}\" text-anchor=\"end\">{name}</text>", y + 5);
        // Canaries at the same position are drawn once.
        let mut places: Vec<i64> =
            report.canaries.iter().filter(|c| c.arm == arm).map(|c| (x(bits(c)) * 2.0) as i64).collect();
        places.sort_unstable();
        let mut last = None;
        for (number, place) in places.iter().take(DOTS).enumerate() {
            if last != Some(*place) {
                let jitter = (number as i64 * 7) % 17 - 8;
                let _ = write!(
                    out,
                    "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{}\" r=\"4\"/>",
                    arm.as_str(),
                    *place as f64 / 2.0,
                    y + jitter
                );
            }
            last = Some(*place);
        }
        out.push('\n');
    }
    out.push_str(
        "</svg>\n<figcaption>Bits by which the answers narrow the secret down, from the p-value of each canary's own test. Held-out \
         secrets were never trained: they show what chance does.</figcaption>\n</figure>\n",
    );
    if let Some(summary) = likelihood::summary(report) {
        let _ = writeln!(out, "<p>Exposure {}.</p>", html(&summary));
    }
    out.push_str("</section>\n");
}

/// Writes the bounds for an attacker who repeats the questions.
fn attacks(out: &mut String, report: &RunReport) {
    let Some(bound) = attacker::worst(report) else { return };
    let _ = write!(
        out,
        "<section>\n<h2>What an attacker gets</h2>\n<p>From a silent canary, in the ways in which it was asked; {}.</p>\n\
         <table class=\"small\"><thead><tr><th scope=\"col\">queries</th><th scope=\"col\">probability of its secret, at \
         most</th></tr></thead><tbody>\n",
        attacker::worth(report)
    );
    for queries in attacker::QUERIES {
        let chance = likelihood::percent(attacker::within(bound, queries));
        let _ = writeln!(out, "<tr><td>{queries}</td><td>{chance}</td></tr>");
    }
    out.push_str("</tbody></table>\n");
    if let Some(half) = prefix_half::summary(report) {
        let _ = writeln!(out, "<p>In questions of their own: {half}.</p>");
    }
    out.push_str("</section>\n");
}

/// Counts the leaked canaries by strategy and detector of the first hit.
fn found(out: &mut String, report: &RunReport) {
    let mut counts = std::collections::BTreeMap::new();
    for canary in report.canaries.iter().filter(|c| c.verdict == CanaryVerdict::Leaked) {
        if let Some(hit) = &canary.first_hit {
            let strategy = report.settings.strategies.get(hit.strategy).map_or("", String::as_str);
            *counts.entry((strategy, hit.detector.as_str())).or_insert(0u64) += 1;
        }
    }
    if counts.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<section>\n<h2>What found them</h2>\n<table class=\"small\"><thead><tr><th scope=\"col\">strategy</th>\
         <th scope=\"col\">detector of the first hit</th><th scope=\"col\">canaries</th></tr></thead><tbody>\n"
    );
    for ((strategy, detector), count) in counts {
        let _ = writeln!(out, "<tr><td>{}</td><td>{detector}</td><td>{count}</td></tr>", html(strategy));
    }
    out.push_str("</tbody></table>\n");
    strategies(out, report);
    out.push_str("</section>\n");
}

/// Writes answers and hits of each strategy over all planted canaries.
fn strategies(out: &mut String, report: &RunReport) {
    let mut all: std::collections::BTreeMap<&str, (u64, u64)> = std::collections::BTreeMap::new();
    for canary in report.canaries.iter().filter(|c| c.arm == Arm::Planted) {
        for s in &canary.strategies {
            let entry = all.entry(&s.strategy).or_default();
            *entry = (entry.0 + s.asked, entry.1 + s.hits);
        }
    }
    if all.len() < 2 {
        return;
    }
    out.push_str(
        "<table class=\"small\"><thead><tr><th scope=\"col\">strategy</th><th scope=\"col\">answers</th>\
         <th scope=\"col\">with the secret</th><th scope=\"col\">rate, 95%</th></tr></thead><tbody>\n",
    );
    for (name, (asked, hits)) in all {
        let (low, high) = wilson(hits, asked, 0.95);
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{asked}</td><td>{hits}</td><td>{:.1}% to {:.1}%</td></tr>",
            html(name),
            100.0 * low,
            100.0 * high
        );
    }
    out.push_str("</tbody></table>\n");
}

fn checks(out: &mut String, report: &RunReport) {
    let word = |sound: bool| if sound { "sound" } else { "not sound" };
    let _ = write!(
        out,
        "<section>\n<h2>Checks of the whole run</h2>\n<dl>\n<dt>Held-out canaries: {}</dt><dd>{}</dd>\n\
         <dt>Secrets in answers to other canaries: {}</dt><dd>{}</dd>\n",
        word(report.controls.sound),
        html(&report.controls.reason),
        word(report.pooled.sound),
        html(&report.pooled.reason)
    );
    let mut more = |name: &str, word: &str, reason: &str| {
        let _ = writeln!(out, "<dt>{name}: {word}</dt><dd>{}</dd>", html(reason));
    };
    if let Some(training) = &report.training {
        more("Trained on this planting", if training.shown { "shown" } else { "not shown" }, &training.reason);
    }
    if let Some(sensitivity) = &report.sensitivity {
        more(
            "Positive controls",
            if sensitivity.shown { "power shown" } else { "power not shown" },
            &sensitivity.reason,
        );
    }
    if let Some(exposure) = &report.exposure {
        let held = if exposure.sound { "at chance" } else { "inconclusive" };
        more("Exposure by likelihood", if exposure.leaked { "leaked" } else { held }, &exposure.reason);
    }
    if let Some(claim) = &report.claim {
        let held = if claim.sound { "not refuted" } else { "inconclusive" };
        more("Claim of differential privacy", if claim.refuted { "refuted" } else { held }, &claim.reason);
    }
    out.push_str("</dl>\n</section>\n");
}

fn canaries(out: &mut String, report: &RunReport) {
    let (total, leaked) = leaked(report);
    let _ = write!(
        out,
        "<section>\n<h2>Canaries</h2>\n<p>{leaked} of {total} planted canaries leaked. No secret is part of this page, and of answers \
         no word that is not one of the template: the fingerprint names a secret under the manifest's key.</p>\n\
         <div class=\"tools\" hidden><label for=\"search\">Search</label> <input id=\"search\" type=\"search\" \
         autocomplete=\"off\"> <span id=\"count\" role=\"status\"></span></div>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of canaries\">\n<table id=\"canaries\"><thead><tr>"
    );
    let columns = ["canary", "arm", "copies", "verdict", "answers", "hits", "p", "why"];
    for name in columns {
        let _ = write!(out, "<th scope=\"col\">{name}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    // The worst first. Rows beyond `ROWS` are inert until the script takes them: to lay out ten thousand rows at once
    // would take seconds.
    let mut all: Vec<&CanaryReport> = report.canaries.iter().collect();
    all.sort_by_key(|c| match (c.verdict, c.arm) {
        (CanaryVerdict::Leaked, _) => 0,
        (CanaryVerdict::Errored, _) => 1,
        (CanaryVerdict::Inconclusive, _) => 2,
        (CanaryVerdict::Clean, Arm::Planted) => 3,
        _ => 4,
    });
    for (index, c) in all.iter().enumerate() {
        if index == ROWS {
            out.push_str("</tbody></table>\n<template id=\"more\"><table><tbody>\n");
        }
        row(out, c);
    }
    let rest = all.len().saturating_sub(ROWS);
    out.push_str("</tbody></table>");
    out.push_str(if rest > 0 { "</template>" } else { "\n<template id=\"more\"></template>" });
    let hidden = if rest > 0 { "" } else { " hidden" };
    let _ = write!(
        out,
        "\n</div>\n<p class=\"rest\"{hidden}>{rest} further canaries are listed where scripts may run, and in the other \
         reports.</p>\n<button id=\"next\" type=\"button\" hidden>List more</button>\n</section>\n"
    );
}

/// Writes one canary as a table row.
fn row(out: &mut String, c: &CanaryReport) {
    let statistic = match c.statistic {
        Test::CountRank => "rank of its count among all values",
        _ => "number of distinct guesses until it was said",
    };
    let _ = write!(
        out,
        "<tr class=\"{verdict}\"><td>{}</td><td>{}</td><td>{}</td><td>{verdict}</td><td>{}</td><td>{}</td>\
         <td data-v=\"{:e}\">{:.1e}</td><td><details><summary>{}</summary><p>Fingerprint {}. Test: {statistic}; p = {:.3e}",
        html(&c.test),
        if c.positive_control {
            "positive control"
        } else if c.accepted.is_some() {
            "planted, accepted"
        } else {
            c.arm.as_str()
        },
        c.copies,
        c.asked,
        c.hits,
        c.p_value,
        c.p_value,
        html(&c.reason),
        html(&c.fingerprint),
        c.p_value,
        verdict = c.verdict.as_str(),
    );
    if let Some(p) = c.p_holm {
        let _ = write!(out, ", {p:.3e} after Holm");
    }
    if let Some(hit) = &c.first_hit {
        let _ = write!(out, ". First hit: answer {}, found as {}", hit.sample, html(&hit.told()));
    }
    if let Some(excerpt) = &c.excerpt {
        let _ = write!(out, ". Masked: <q>{}</q>", html(excerpt));
    }
    if let Some(likelihood) = &c.likelihood {
        let _ = write!(out, ". {}", likelihood::sentence(likelihood));
    }
    if let Some(half) = &c.half {
        let _ = write!(out, ". {}", prefix_half::sentence(half));
    }
    if let Some(bound) = c.bound {
        let _ = write!(out, ". Leak rate at most {:.2}%", 100.0 * bound);
    }
    let _ =
        writeln!(out, ". Tokens: {} + {}.</p></details></td></tr>", c.usage.prompt_tokens, c.usage.completion_tokens);
}

fn settings(out: &mut String, report: &RunReport, places: &SourceMap) {
    let s = &report.settings;
    let rows = [
        ("configuration", html(places.file(&s.config))),
        ("strategies", html(&s.strategies.join(", "))),
        ("samples for each canary", s.samples.to_string()),
        ("decoding, longest answer", format!("{}, {} tokens", s.sampling.describe(), s.sampling.max_tokens)),
        ("alpha, share for cross hits", format!("{}, {}", s.policy.alpha, s.policy.cross_share)),
        ("bound, confidence", format!("{}, {}", s.policy.bound, s.policy.confidence)),
        ("answers", report.canaries.iter().map(|c| c.asked).sum::<u64>().to_string()),
        (
            "tokens, questions and answers",
            format!("{} + {}", report.usage.prompt_tokens, report.usage.completion_tokens),
        ),
        ("time", format!("{:.1} s", report.seconds)),
        ("made by", format!("blabbermouth {}", html(&report.tool))),
    ];
    out.push_str("<section>\n<h2>Settings and cost</h2>\n<table class=\"small\"><tbody>\n");
    for (name, value) in rows {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    out.push_str("</tbody></table>\n</section>\n");
}
