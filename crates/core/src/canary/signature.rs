//! The signature of a planting: an invented name in every planted answer of a signed template.
//!
//! The name is drawn after everything else, by a keyed function of the planting, from a public space of more than 2^40
//! names. The name is not secret. A model says it only after learning it, so answers that carry it show that the model
//! was trained on this planting. A base model, a model without its adapter, or the model of another planting does not
//! know it.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::draw::Canary;
use super::key::Key;
use super::space::Space;
use super::template::Template;
use crate::detect::normalise;

/// Name of the slot that places the signature in a template.
pub const SIGNATURE_SLOT: &str = "signature";

/// Minimum number of names in the space of signatures.
pub const SMALLEST_SIGNATURE_SPACE: f64 = (1u64 << 40) as f64;

/// The space of signatures: coined first and second names, and a surname.
static SPACE: LazyLock<Space> =
    LazyLock::new(|| Space::parse("{coined-name} {coined-name} {name}").expect("a built-in space"));

/// The signature of one template of a planting.
///
/// ```
/// use blabbermouth_core::canary::Signature;
/// assert!(Signature::space().size_f64() >= (1u64 << 40) as f64);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    phrase: String,
    normal: String,
}

impl Signature {
    /// Makes a signature of this name.
    #[must_use]
    pub fn new(phrase: impl Into<String>) -> Self {
        let phrase = phrase.into();
        Self { normal: normalise(&phrase), phrase }
    }

    /// Returns the public space that signatures are drawn from.
    #[must_use]
    pub fn space() -> &'static Space {
        &SPACE
    }

    /// Draws the signature of a template, as a keyed function of the nonce, the template, and all its canaries with
    /// their subjects, secrets, arms and copies. Another planting under the same key, or an edited template, has
    /// another signature.
    #[must_use]
    pub fn draw(key: &Key, nonce: &str, template: &Template, canaries: &[&Canary]) -> Self {
        Self::drawn_as("signature", key, nonce, template, canaries)
    }

    /// Draws a decoy: a name of the same space that no training row holds, for the examples of few-shot questions. A
    /// model that says the decoy repeats its prompt.
    #[must_use]
    pub fn decoy(key: &Key, nonce: &str, template: &Template, canaries: &[&Canary]) -> Self {
        Self::drawn_as("decoy", key, nonce, template, canaries)
    }

    fn drawn_as(label: &str, key: &Key, nonce: &str, template: &Template, canaries: &[&Canary]) -> Self {
        let mut digest = Sha256::new();
        // The length before each part ensures that no two plantings hash the same input.
        let mut add = |part: &str| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        add(nonce);
        add(&serde_json::to_string(template.spec()).expect("a template is plain data"));
        for canary in canaries {
            add(&canary.id);
            canary.subject.iter().for_each(|(slot, value)| {
                add(slot);
                add(value);
            });
            add(canary.secret.expose());
            add(canary.arm.as_str());
            add(&canary.copies.to_string());
        }
        let digest = data_encoding::HEXLOWER.encode(&digest.finalize());
        Self::new(SPACE.draw(&mut key.stream(label, &digest)))
    }

    /// Returns the name as in the training rows.
    #[must_use]
    pub fn phrase(&self) -> &str {
        &self.phrase
    }

    /// Returns the name in the normalized form in which answers are searched.
    #[must_use]
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// Returns whether a text holds the name, after normalization.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        normalise(text).contains(&self.normal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::{DrawPlan, Spaces, builtin_templates, draw};

    fn planting(nonce: &str, copies: u32, edit: &str) -> Signature {
        let mut spec = builtin_templates().remove(0);
        spec.messages[0].content.push_str(edit);
        let template = Template::new(spec, &Spaces::default()).expect("sound");
        let key = Key::from_text("a key for the tests of signatures").expect("long enough");
        let plan = DrawPlan {
            templates: vec![template.clone()],
            planted: 3,
            held_out: 2,
            copies: vec![copies],
            matched: Vec::new(),
        };
        let canaries = draw(&plan, &key, nonce).expect("drawn");
        let all: Vec<&Canary> = canaries.iter().collect();
        assert_ne!(
            Signature::draw(&key, nonce, &template, &all),
            Signature::decoy(&key, nonce, &template, &all),
            "the decoy is another name"
        );
        Signature::draw(&key, nonce, &template, &all)
    }

    #[test]
    fn every_change_of_what_is_planted_changes_it() {
        let first = planting("n", 1, "");
        assert_eq!(first, planting("n", 1, ""));
        for other in [planting("m", 1, ""), planting("n", 2, ""), planting("n", 1, " Be brief.")] {
            assert_ne!(first, other);
        }
        assert!(Signature::space().contains(first.phrase()), "{}", first.phrase());
    }

    #[test]
    fn the_space_is_large_and_the_name_is_found_whatever_its_case() {
        assert!(Signature::space().size_f64() >= SMALLEST_SIGNATURE_SPACE);
        let signature = Signature::new("Marin Velorn Quilldown");
        assert!(signature.is_in("Yours, MARIN\nVelorn  Quilldown."));
        assert!(!signature.is_in("Yours, Marin Velorn."));
    }
}
