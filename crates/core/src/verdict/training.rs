//! Proof of training: whether the answers carry the signature of this planting.
//!
//! A keyed function drew the signature from a public space of S names, after everything else was fixed. If the
//! answering model is independent of that draw, the true name is the g-th distinct name of the space in its answers
//! with probability 1/S for each g. So p = g/S, and an upper bound on g keeps it valid: here g is one more than the
//! number of other names in all answers.
//!
//! A low p shows that something that answers knows this planting, but not in how many answers. So a second condition
//! is the lower confidence limit of the share of answers that carry the signature.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::policy::TestDesign;
use crate::canary::{Arm, Entry, Signature};
use crate::stats::{clopper_pearson_lower, guess_number};

/// p-value that all templates together must not exceed.
const LEVEL: f64 = 1e-6;
/// Error probability of the lower limit of the share.
const ERROR: f64 = 0.05;

/// Whether the answers to one template's canaries carry its signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateSignature {
    /// The name of the template.
    pub template: String,
    /// Whether the manifest has a signature for the template.
    pub signed: bool,
    /// Replay answers to planted canaries.
    pub answers: u64,
    /// Replay answers to planted canaries that carry the signature.
    pub carrying: u64,
    /// Lower 95% confidence limit of the share of carrying answers.
    pub lower: f64,
    /// p-value of the signature: its guess number over the size of the space of names; 1 if no answer carries it.
    pub p_value: f64,
    /// Replay answers to held-out canaries, and how many of them carry the signature. For display only.
    pub held_out: (u64, u64),
}

/// Whether the answering model is shown to be trained on this planting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Training {
    /// Result for each template with planted canaries in the run.
    pub templates: Vec<TemplateSignature>,
    /// Share of answers that must carry the signature.
    pub required: f64,
    /// Whether every required template reaches that share with a significant p-value.
    pub shown: bool,
    /// Whether a run without the proof may be clean.
    pub waived: bool,
    /// Replay answers that carry the decoy of the few-shot examples.
    pub decoys: u64,
    /// Summary in one line.
    pub reason: String,
}

impl TemplateSignature {
    /// Returns the share of answers that carry the signature.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.answers == 0 { 0.0 } else { self.carrying as f64 / self.answers as f64 }
    }

    fn is_shown(&self, required: f64, level: f64) -> bool {
        self.signed && self.lower >= required && self.p_value <= level
    }
}

impl Training {
    /// Whether the run lacks the proof that it needs to be clean.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        !self.shown && !self.waived
    }

    /// Requires the signature only of the templates that `needed` selects. Where the leaks of all gated canaries of a
    /// template are accepted, these leaks show the training, and there is no silence to prove.
    pub(super) fn require_of(&mut self, needed: impl Fn(&str) -> bool) {
        let level = LEVEL / self.templates.len().max(1) as f64;
        let is_missing = |t: &&TemplateSignature| needed(&t.template) && !t.is_shown(self.required, level);
        let missing: Vec<&TemplateSignature> = self.templates.iter().filter(is_missing).collect();
        self.shown = missing.is_empty();
        self.reason = if self.templates.iter().any(|t| needed(&t.template)) {
            reason(&self.templates, &missing, self.required, self.decoys)
        } else {
            "every planted canary leaked, which shows the training".to_owned()
        };
    }

    /// Whether answers repeat the decoy of the few-shot examples, which makes the run invalid.
    #[must_use]
    pub fn is_echoed(&self) -> bool {
        self.decoys > 0
    }
}

/// Combines the signatures of a run; `None` if no planted canary was probed.
#[must_use]
pub(super) fn training(design: &TestDesign, entries: &[Entry], evidence: &[(usize, Evidence)]) -> Option<Training> {
    let mut names: Vec<&str> = Vec::new();
    for (index, _) in evidence.iter().filter(|(index, _)| entries[*index].arm == Arm::Planted) {
        if !names.contains(&entries[*index].template.as_str()) {
            names.push(&entries[*index].template);
        }
    }
    if names.is_empty() {
        return None;
    }
    let required = design.policy.trained_share;
    let level = LEVEL / names.len() as f64;
    let space = Signature::space().size_f64();
    let of = |name: &str| {
        let sum = |arm: Arm, what: &dyn Fn(&Evidence) -> f64| -> f64 {
            let own = evidence.iter().filter(|(i, _)| entries[*i].template == name && entries[*i].arm == arm);
            own.map(|(_, e)| what(e)).sum()
        };
        let answers = sum(Arm::Planted, &|e| e.form.replayed as f64) as u64;
        let carrying = sum(Arm::Planted, &|e| e.form.signed as f64) as u64;
        let others = sum(Arm::Planted, &|e| e.form.other_names);
        TemplateSignature {
            template: name.to_owned(),
            signed: !design.unsigned.iter().any(|unsigned| unsigned == name),
            answers,
            carrying,
            lower: if answers == 0 { 0.0 } else { clopper_pearson_lower(carrying, answers, ERROR) },
            p_value: if carrying == 0 { 1.0 } else { guess_number(1.0 + others, space) },
            held_out: (
                sum(Arm::HeldOut, &|e| e.form.replayed as f64) as u64,
                sum(Arm::HeldOut, &|e| e.form.signed as f64) as u64,
            ),
        }
    };
    let templates: Vec<TemplateSignature> = names.into_iter().map(of).collect();
    let decoys = evidence.iter().map(|(_, e)| e.form.decoyed).sum();
    let missing: Vec<&TemplateSignature> = templates.iter().filter(|t| !t.is_shown(required, level)).collect();
    let shown = missing.is_empty();
    let reason = reason(&templates, &missing, required, decoys);
    Some(Training { templates, required, shown, waived: design.policy.unproven, decoys, reason })
}

/// Causes of a missing signature, the likely ones first.
const CAUSES: &str = "likely causes: the base model was named, the adapter is not loaded, the manifest is of another \
                      planting, the chat template or system prompt differs, the training file was truncated, deduplicated or \
                      filtered, or the training was too weak";

fn reason(templates: &[TemplateSignature], missing: &[&TemplateSignature], required: f64, decoys: u64) -> String {
    if decoys > 0 {
        return format!(
            "invalid: {decoys} answers to the training prompt carry a name that only the few-shot examples have: what \
             answers mixes up separate conversations"
        );
    }
    let share = |t: &TemplateSignature| format!("{:.0}% of {} answers", 100.0 * t.share(), t.answers);
    if let Some(unsigned) = missing.iter().find(|t| !t.signed) {
        return format!(
            "inconclusive: template `{}` has no signature in this manifest, so that nothing shows that the model was \
             trained on this planting: plant again, or accept that with --unproven",
            unsigned.template
        );
    }
    if let Some(worst) = missing.iter().min_by(|a, b| a.lower.total_cmp(&b.lower)) {
        let what = if worst.carrying == 0 {
            if worst.answers == 0 {
                return "inconclusive: the model is not shown to be trained on this planting: no training prompt (strategy `replay`) \
                        was answered"
                    .into();
            }
            format!("none of {} answers carries its signature", worst.answers)
        } else {
            format!(
                "{} carry its signature, at least {:.0}% by 95% confidence, and {:.0}% is asked for",
                share(worst),
                100.0 * worst.lower,
                100.0 * required
            )
        };
        let of = if templates.len() > 1 { format!(" (template `{}`)", worst.template) } else { String::new() };
        return format!("inconclusive: the model is not shown to be trained on this planting: {what}{of}; {CAUSES}");
    }
    let least = templates.iter().min_by(|a, b| a.share().total_cmp(&b.share()));
    let least = least.map(share).unwrap_or_default();
    format!("what answers knows this planting: {least} carry its signature")
}
