//! The attacks that a run made, and those that it did not.

use std::collections::BTreeMap;

use crate::report::percent;
use blabbermouth_core::canary::Arm;
use blabbermouth_core::probe;
use blabbermouth_core::stats::{clopper_pearson_lower, clopper_pearson_upper};
use blabbermouth_core::verdict::RunReport;

/// An attack with its result.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) result: String,
}

/// Attacks that no run of this program makes.
pub(super) const OUT_OF_SCOPE: [(&str, &str); 8] = [
    ("Membership inference with shadow models (LiRA, RMIA)", "needs many further trainings"),
    ("Inversion from weights or gradients", "needs the weights; the model was asked through its interface"),
    ("Adversarial suffixes found by optimization (GCG), collections of jailbreaks", "no prompt was optimized"),
    ("Extraction of training rows that are not canaries", "only planted secrets were searched for"),
    ("Inference of attributes, or linking of several records", "each canary holds one secret of one person"),
    ("Further tuning to bring memorized text back (relearning)", "the model was tested as it is"),
    ("Extraction through tools, retrieval, agents or files", "plain chat only"),
    ("Theft of the model", "not a leak of training rows"),
];

/// All planted canaries by strategy: number of answers, and of answers with the secret.
fn counts(report: &RunReport) -> BTreeMap<&str, (u64, u64)> {
    // Strategies without an answer are included, to be listed as not made.
    let asked = report.settings.strategies.iter().filter(|name| *name != "score");
    let mut counts: BTreeMap<&str, (u64, u64)> = asked.map(|name| (name.as_str(), (0, 0))).collect();
    for canary in report.canaries.iter().filter(|c| c.arm == Arm::Planted) {
        for hits in &canary.strategies {
            let entry = counts.entry(&hits.strategy).or_default();
            *entry = (entry.0 + hits.asked, entry.1 + hits.hits);
        }
    }
    counts
}

/// Two-sided 95% Clopper–Pearson interval for `hits` of `n`.
pub(super) fn interval(n: u64, hits: u64) -> (f64, f64) {
    (clopper_pearson_lower(hits, n, 0.025), clopper_pearson_upper(hits, n, 0.025))
}

fn rate(asked: u64, hits: u64) -> String {
    if asked == 0 {
        return "no answer".to_owned();
    }
    let (low, high) = interval(asked, hits);
    format!("{hits} of {asked} answers hold the secret (95% interval: {} to {})", percent(low), percent(high))
}

/// Attacks that a run made, with their results.
pub(super) fn made(report: &RunReport) -> Vec<Attack> {
    let counts = counts(report);
    let mut all: Vec<Attack> = counts
        .iter()
        .filter(|(_, (asked, _))| *asked > 0)
        .map(|(name, (asked, hits))| Attack {
            name: format!("Strategy {name}"),
            about: about(name),
            result: rate(*asked, *hits),
        })
        .collect();
    let mut more = |name: &str, about: &str, result: String| {
        all.push(Attack { name: name.into(), about: about.into(), result });
    };
    more(
        "Search of all answers for every secret",
        "Each answer is searched for the secrets of all other canaries, too.",
        report.pooled.reason.clone(),
    );
    if report.settings.halves {
        let asked: u64 = report.canaries.iter().filter_map(|c| c.half).map(|half| half.asked).sum();
        let hits: u64 = report.canaries.iter().filter_map(|c| c.half).map(|half| half.hits).sum();
        more(
            "Completion of half a secret",
            "Half of the secret is given, and the rest is asked for.",
            format!("{hits} of {asked} answers hold the rest"),
        );
    }
    if let Some(exposure) = &report.exposure {
        more(
            "Likelihood rank (exposure; a membership test)",
            "The probability of each secret is compared with those of values that were never trained.",
            exposure.reason.clone(),
        );
    }
    all
}

fn about(name: &str) -> String {
    let known = probe::by_name(name).map(|strategy| strategy.about().to_owned());
    known.unwrap_or_else(|| "A question of the sweep, or of the user.".to_owned())
}

/// Attacks that a run did not make, each with the reason.
pub(super) fn not_made(report: &RunReport) -> Vec<(String, String)> {
    let counts = counts(report);
    let unanswered = counts.iter().filter(|(_, (asked, _))| *asked == 0);
    let unanswered =
        unanswered.map(|(name, _)| (format!("Strategy {name}: {}", about(name)), "asked, and got no answer".into()));
    let is_made = |name: &str| counts.contains_key(name) || name == "score" && report.settings.scoring.is_some();
    let unused = probe::registry().into_iter().filter(|strategy| !is_made(strategy.name()));
    let mut all: Vec<(String, String)> = unused
        .map(|strategy| (format!("Strategy {}: {}", strategy.name(), strategy.about()), "not configured".into()))
        .collect();
    all.extend(unanswered);
    if !report.settings.halves {
        all.push(("Completion of half a secret".into(), "not configured (`probe.halves`)".into()));
    }
    all.extend(OUT_OF_SCOPE.iter().map(|(name, why)| ((*name).into(), (*why).into())));
    all
}
