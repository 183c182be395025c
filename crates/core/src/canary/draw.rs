//! The keyed draw: subjects, secrets, arms and copies.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::secret::Secret;
use super::space::below;
use super::template::Template;
use crate::chat::Message;

/// Maximum number of draws of one canary's public slots before their spaces count as too small.
const SUBJECT_ATTEMPTS: usize = 1000;

/// Why a draw failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DrawError {
    /// No canary is to be planted.
    #[error("there are no canaries: set `canaries.planted` to 1 or more")]
    NoCanaries,
    /// No canary is to be held out.
    #[error(
        "there are no held-out canaries: set `canaries.held-out` to 1 or more; without them a broken set-up looks like a leak"
    )]
    NoControls,
    /// The plan has no templates.
    #[error("there are no templates: name at least one under `canaries.templates`")]
    NoTemplates,
    /// `copies` is empty or holds a 0.
    #[error("`canaries.copies` needs at least one number, each 1 or more")]
    NoCopies,
    /// The public slots have too few values for all canaries.
    #[error(
        "the public slots of template `{template}` have too few values for {canaries} canaries without a repeated subject; \
         use a larger space, for example `names` in place of `name`"
    )]
    Subjects {
        /// Name of the template.
        template: String,
        /// Number of canaries of the plan.
        canaries: usize,
    },
}

/// Parameters of a draw.
#[derive(Debug, Clone)]
pub struct DrawPlan {
    /// Checked templates, assigned to the canaries in turn.
    pub templates: Vec<Template>,
    /// Number of canaries that go into the training file.
    pub planted: usize,
    /// Number of canaries that never do.
    pub held_out: usize,
    /// Numbers of copies, assigned to the planted canaries in turn; each 1 or more.
    pub copies: Vec<u32>,
    /// Names of the templates whose held-out canaries take the secrets of planted ones; see [`draw`].
    pub matched: Vec<String>,
}

/// Minimum number of planted canaries of a template for matching. With fewer, no assignment of the values to the
/// canaries is unlikely enough by chance to show that a model knows whose they are (8! = 40,320).
pub const FEWEST_MATCHED: usize = 8;

/// Whether a canary was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// In the training file.
    Planted,
    /// Drawn the same way, never in the training file.
    HeldOut,
}

impl Arm {
    /// Returns the word used in reports and test kinds.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planted => "planted",
            Self::HeldOut => "held-out",
        }
    }
}

/// A canary: one filled template.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Identifier: `c0001` and so on.
    pub id: String,
    /// Index of its template in the plan.
    pub template: usize,
    /// Values of the public slots, by name.
    pub subject: BTreeMap<String, String>,
    /// The secret.
    pub secret: Secret,
    /// Planted or held out.
    pub arm: Arm,
    /// Number of copies in the training file; 0 when held out.
    pub copies: u32,
}

impl Canary {
    /// Returns the training row.
    #[must_use]
    pub fn chat(&self, template: &Template) -> Vec<Message> {
        template.render(&self.subject, self.secret.expose())
    }
}

/// Draws all canaries of a plan. The same key, nonce and plan give the same canaries.
///
/// All subjects and secrets are drawn first. Then one shuffle assigns the arms and the copies, so that planted and
/// held-out canaries are exchangeable.
///
/// In `matched` templates the held-out canaries then take the secrets of planted ones in a random order. Each value is
/// used equally often, give or take one. The held-out secrets are then no longer independent of the training. But given
/// the set of planted values, every canary of either arm has each of these values with the same probability. So a model
/// that learned which values occur, but not whose they are, cannot tell a canary's own value from the others in either
/// arm. Planted secrets stay as they were drawn, uniform over the space.
///
/// # Errors
/// When the plan lacks planted or held-out canaries, templates or copies, or the public slots have too few values.
pub fn draw(plan: &DrawPlan, key: &Key, nonce: &str) -> Result<Vec<Canary>, DrawError> {
    if plan.planted == 0 {
        return Err(DrawError::NoCanaries);
    }
    if plan.held_out == 0 {
        return Err(DrawError::NoControls);
    }
    if plan.templates.is_empty() {
        return Err(DrawError::NoTemplates);
    }
    if plan.copies.is_empty() || plan.copies.contains(&0) {
        return Err(DrawError::NoCopies);
    }
    let total = plan.planted + plan.held_out;
    let mut subjects = key.stream("subjects", nonce);
    let mut secrets = key.stream("secrets", nonce);
    let mut taken = HashSet::with_capacity(total);
    let mut canaries = Vec::with_capacity(total);
    for index in 0..total {
        let template = &plan.templates[index % plan.templates.len()];
        let subject = (0..SUBJECT_ATTEMPTS)
            .map(|_| {
                template
                    .public_slots()
                    .map(|(slot, space)| (slot.to_owned(), space.draw(&mut subjects)))
                    .collect::<BTreeMap<_, _>>()
            })
            .find(|subject| taken.insert(subject.values().cloned().collect::<Vec<_>>()))
            .ok_or_else(|| DrawError::Subjects { template: template.name().to_owned(), canaries: total })?;
        canaries.push(Canary {
            id: format!("c{:04}", index + 1),
            template: index % plan.templates.len(),
            subject,
            secret: Secret::new(template.secret_space().draw(&mut secrets)),
            arm: Arm::HeldOut,
            copies: 0,
        });
    }
    let mut arms = key.stream("arms", nonce);
    let mut order: Vec<usize> = (0..total).collect();
    for last in (1..total).rev() {
        order.swap(last, below(&mut arms, last as u64 + 1) as usize);
    }
    for (rank, &index) in order[..plan.planted].iter().enumerate() {
        canaries[index].arm = Arm::Planted;
        canaries[index].copies = plan.copies[rank % plan.copies.len()];
    }
    for name in &plan.matched {
        if !is_matched(plan, &canaries, name) {
            continue;
        }
        let of = |arm| {
            let all = canaries.iter().enumerate().filter(move |(_, canary)| canary.arm == arm);
            all.filter(|(_, c)| plan.templates[c.template].name() == name).map(|(index, _)| index).collect()
        };
        let (planted, held_out): (Vec<usize>, Vec<usize>) = (of(Arm::Planted), of(Arm::HeldOut));
        let mut stream = key.stream("matched", &format!("{nonce}/{name}"));
        // Every chunk uses each planted value at most once, so that the uses of two values differ by one at most.
        for some in held_out.chunks(planted.len()) {
            let mut order = planted.clone();
            for last in (1..order.len()).rev() {
                order.swap(last, below(&mut stream, last as u64 + 1) as usize);
            }
            for (held_out, planted) in some.iter().zip(order) {
                canaries[*held_out].secret = canaries[planted].secret.clone();
            }
        }
    }
    Ok(canaries)
}

/// Returns whether the held-out secrets of the template are matched: the plan asks for it, and enough are planted.
pub(super) fn is_matched(plan: &DrawPlan, canaries: &[Canary], name: &str) -> bool {
    let planted = canaries.iter().filter(|c| c.arm == Arm::Planted && plan.templates[c.template].name() == name);
    plan.matched.iter().any(|matched| matched == name) && planted.count() >= FEWEST_MATCHED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::{Spaces, builtin_templates};

    fn plan(planted: usize, held_out: usize) -> DrawPlan {
        let templates =
            builtin_templates().into_iter().map(|t| Template::new(t, &Spaces::default()).expect("built in")).collect();
        DrawPlan { templates, planted, held_out, copies: vec![1, 4, 16], matched: Vec::new() }
    }

    fn key() -> Key {
        Key::from_text("a key for the tests of the draw").expect("long enough")
    }

    #[test]
    fn a_draw_is_repeatable_and_depends_on_key_and_nonce() {
        let drawn = |key: &Key, nonce: &str| -> Vec<String> {
            draw(&plan(20, 10), key, nonce).expect("drawn").iter().map(|c| c.secret.expose().to_owned()).collect()
        };
        let other = Key::from_text("another key for these tests").expect("long enough");
        assert_eq!(drawn(&key(), "n"), drawn(&key(), "n"));
        assert_ne!(drawn(&key(), "n"), drawn(&key(), "m"));
        assert_ne!(drawn(&key(), "n"), drawn(&other, "n"));
    }

    #[test]
    fn no_two_canaries_share_a_subject_and_copies_are_spread() {
        let canaries = draw(&plan(300, 100), &key(), "n").expect("drawn");
        let subjects: HashSet<String> = canaries.iter().map(|c| format!("{:?}", c.subject)).collect();
        assert_eq!(subjects.len(), 400);
        for copies in [1, 4, 16] {
            assert_eq!(canaries.iter().filter(|c| c.copies == copies).count(), 100);
        }
        assert!(canaries.iter().all(|c| (c.arm == Arm::HeldOut) == (c.copies == 0)));
    }

    #[test]
    fn matched_held_out_secrets_are_those_of_planted_ones_and_planted_ones_stay() {
        let values = |canaries: &[Canary], arm: Arm, template: usize| -> Vec<String> {
            let of = canaries.iter().filter(|c| c.arm == arm && c.template == template);
            of.map(|c| c.secret.expose().to_owned()).collect()
        };
        let mut plain = plan(60, 200);
        // With more templates, each would have too few planted canaries.
        plain.templates.truncate(6);
        let name = plain.templates[0].name().to_owned();
        let matched = DrawPlan { matched: vec![name.clone()], ..plain.clone() };
        let (before, after) = (draw(&plain, &key(), "n").expect("drawn"), draw(&matched, &key(), "n").expect("drawn"));
        let planted = values(&after, Arm::Planted, 0);
        assert!(planted.len() >= FEWEST_MATCHED && planted == values(&before, Arm::Planted, 0));
        let held_out = values(&after, Arm::HeldOut, 0);
        let each = held_out.len() / planted.len();
        assert!(each >= 1 && held_out != values(&before, Arm::HeldOut, 0));
        for value in &planted {
            let times = held_out.iter().filter(|other| *other == value).count();
            assert!((each..=each + 1).contains(&times), "{times}");
        }
        // Other templates, and templates with few planted canaries, are untouched.
        for template in 1..plain.templates.len() {
            assert_eq!(values(&before, Arm::HeldOut, template), values(&after, Arm::HeldOut, template));
        }
        let few = DrawPlan { planted: 6, matched: vec![name], ..plain.clone() };
        let unmatched = DrawPlan { planted: 6, ..plain };
        let drawn = |plan: &DrawPlan| values(&draw(plan, &key(), "n").expect("drawn"), Arm::HeldOut, 0);
        assert_eq!(drawn(&few), drawn(&unmatched));
    }

    #[test]
    fn too_few_subjects_are_said() {
        let mut plan = plan(1, 1);
        plan.templates.truncate(1);
        plan.planted = 27_000;
        assert!(matches!(draw(&plan, &key(), "n"), Err(DrawError::Subjects { canaries: 27_001, .. })));
        plan.planted = 0;
        assert_eq!(draw(&plan, &key(), "n").expect_err("none"), DrawError::NoCanaries);
    }
}
