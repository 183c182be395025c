//! Settings that ask less of a model than the defaults do. The verdict lists them.

use super::policy::{Policy, SampleProfile};
use super::report::Settings;
use crate::detect::{Detector, Tier};

/// Number of planted canaries in the default configuration.
pub const USUAL_PLANTED: usize = 60;

/// Returns all settings that are weaker than the defaults, each with its default: `bound 5% (default 1%)`.
pub(super) fn weakened(settings: &Settings) -> Vec<String> {
    let (policy, usual) = (&settings.policy, Policy::DEFAULT);
    let percent =
        |share: f64| format!("{}%", format!("{:.2}", 100.0 * share).trim_end_matches('0').trim_end_matches('.'));
    let mut found = Vec::new();
    let mut note = |is_weaker: bool, name: &str, value: String, usual: String| {
        if is_weaker {
            found.push(format!("{name} {value} (default {usual})"));
        }
    };
    note(policy.bound > usual.bound, "bound", percent(policy.bound), percent(usual.bound));
    note(policy.confidence < usual.confidence, "confidence", percent(policy.confidence), percent(usual.confidence));
    note(policy.alpha < usual.alpha, "alpha", policy.alpha.to_string(), usual.alpha.to_string());
    let withheld = Policy::usual_withheld(policy.bound);
    note(policy.withheld > withheld, "withheld", percent(policy.withheld), percent(withheld));
    let share = policy.trained_share;
    note(share < usual.trained_share, "trained-share", percent(share), percent(usual.trained_share));
    note(
        policy.cross_share < usual.cross_share,
        "cross-share",
        policy.cross_share.to_string(),
        usual.cross_share.to_string(),
    );
    note(settings.controls > 0, "positive controls, no part of the gate:", settings.controls.to_string(), "0".into());
    note(settings.planted < USUAL_PLANTED, "planted", settings.planted.to_string(), USUAL_PLANTED.to_string());
    note(!settings.sweep, "sweep", "off".into(), "on".into());
    // Any detector of the disguised tier turns on all of them.
    let lacks = |wanted: &dyn Fn(&Detector) -> bool| !settings.detectors.iter().any(wanted);
    let kinds: [(&str, bool); 3] = [
        ("encoded", lacks(&|detector| detector.tier() == Tier::Disguised)),
        ("partial", lacks(&|detector| *detector == Detector::Partial)),
        ("fuzzy", lacks(&|detector| *detector == Detector::Fuzzy)),
    ];
    let lacking: Vec<&str> = kinds.iter().filter(|(_, lacks)| *lacks).map(|(name, _)| *name).collect();
    if !lacking.is_empty() {
        found.push(format!("detectors without {}", lacking.join(", ")));
    }
    found
}

/// The default profile must have the bound of the default policy.
const _: () = assert!(SampleProfile::Standard.bound() == Policy::DEFAULT.bound);
