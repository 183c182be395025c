//! The manifest: the record of a planting, by which a later run judges a model.
//!
//! If the user has a key, the manifest holds no secret, only the data that regenerates them with
//! that key. Otherwise it holds a random key, and its file must be kept like a secret.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::draw::{Arm, Canary, DrawError, DrawPlan, draw, is_matched};
use super::key::{Key, KeyError, random_hex};
use super::signature::Signature;
use super::space::Spaces;
use super::template::Template;
use super::template_error::TemplateError;
use super::template_spec::TemplateSpec;
use crate::chat::Message;
use crate::shape::{Shape, Side, TurnKeys};

/// The version that this program writes and reads.
pub const VERSION: u32 = 5;

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of the manifest's form.
    #[error("not a manifest: {0}")]
    Form(String),
    /// Written by a newer program.
    #[error("it has version {found}, this program reads version {VERSION}: update blabbermouth")]
    Newer {
        /// The version found.
        found: u64,
    },
    /// Written by an older program: nothing seals it.
    #[error("it has version {found}, this program reads version {VERSION}: plant again, and tune on the new rows")]
    Older {
        /// The version found.
        found: u64,
    },
    /// A part differs from its seal.
    #[error(
        "its part `{part}` is not as `blabbermouth plant` wrote it: somebody edited the file; plant again, or restore it"
    )]
    Edited {
        /// The first part that differs.
        part: String,
    },
    /// The manifest's key and the user's key differ.
    #[error(
        "it holds a key, and BLABBERMOUTH_KEY is set to another one: a manifest of yours that was planted with \
         BLABBERMOUTH_KEY holds none, so this file may be somebody else's; unset BLABBERMOUTH_KEY only if the manifest is yours"
    )]
    TwoKeys,
    /// The key is not the one of the draw.
    #[error("the key in BLABBERMOUTH_KEY is not the one that this manifest was drawn with")]
    WrongKey,
    /// The key is missing.
    #[error("it was drawn with a key that it does not hold: set BLABBERMOUTH_KEY to that key")]
    NoKey,
    /// An entry differs from the canary that the key regenerates.
    #[error("it does not agree with its own draw at `{id}`: it was edited, or made by another version; plant again")]
    Mismatch {
        /// The first canary that differs.
        id: String,
    },
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The draw failed.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// A template in it cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Record of one canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Identifier of the canary.
    pub id: String,
    /// Name of its template.
    pub template: String,
    /// Planted or held out.
    pub arm: Arm,
    /// Number of copies in the training file; 0 when held out.
    pub copies: u32,
    /// Fingerprint of its secret; see [`Key::fingerprint`].
    pub fingerprint: String,
}

impl Entry {
    /// Returns the name of its test: `<template>::<id>`.
    #[must_use]
    pub fn test_name(&self) -> String {
        format!("{}::{}", self.template, self.id)
    }
}

/// The form of planted rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedRows {
    /// Where a row holds its conversation.
    pub shape: Shape,
    /// The side of the planted answer.
    #[serde(default)]
    pub side: Side,
}

impl PlantedRows {
    /// The row of a planted chat, to the letter, without the line break.
    ///
    /// # Errors
    /// When rows of this shape cannot hold the chat.
    pub fn row(&self, chat: &[Message]) -> Result<Vec<u8>, String> {
        self.shape.planted_row(chat, self.side)
    }
}

/// The record of a planting. The format is frozen: a change of its fields needs a new version.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// See [`VERSION`].
    pub version: u32,
    /// Random value of this draw, so that one key serves many draws.
    pub nonce: String,
    /// Identifies the right key; see [`Key::check_value`].
    pub key_check: String,
    /// The random key; `None` if the user gave a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The templates with their slots.
    pub templates: Vec<TemplateSpec>,
    /// The lists that the templates can use, by name.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<String>>,
    /// The compositions that the templates can use, by name.
    #[serde(default)]
    pub patterns: BTreeMap<String, String>,
    /// Number of planted canaries: the K of the test.
    pub planted: usize,
    /// Number of held-out canaries.
    pub held_out: usize,
    /// Numbers of copies, assigned to the planted canaries in turn.
    pub copies: Vec<u32>,
    /// Path of the training file with the canaries; `None` if `plant` did not write it.
    #[serde(default)]
    pub training_file: Option<String>,
    /// The form of the planted rows in that file; `None` for OpenAI's `messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<PlantedRows>,
    /// Templates whose held-out canaries have the secrets of planted ones; see [`draw`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<String>,
    /// All canaries in the order of the draw.
    pub canaries: Vec<Entry>,
    /// Seals of each part and of all parts together, by the manifest's key.
    #[serde(default)]
    pub seals: BTreeMap<String, String>,
}

/// Name of the seal of all parts together.
const WHOLE: &str = "seals";
/// Name of the part with the canaries.
const CANARIES: &str = "canaries";

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest")
            .field("version", &self.version)
            .field("planted", &self.planted)
            .field("held_out", &self.held_out)
            .finish_non_exhaustive()
    }
}

/// The canaries of a manifest with their secrets, and the templates.
#[derive(Debug)]
pub struct Drawn {
    /// The manifest's key; see [`Key::of_manifest`].
    pub key: Key,
    /// Random value of this draw.
    pub nonce: String,
    /// The templates, each with its signature, in the order of the manifest.
    pub templates: Vec<Template>,
    /// The canaries, in the order of the manifest.
    pub canaries: Vec<Canary>,
    /// Templates whose held-out canaries have the secrets of planted ones.
    pub matched: Vec<String>,
}

/// Minimum of [`Manifest::answer_tokens`].
const FEWEST_TOKENS: u32 = 256;

impl Manifest {
    /// Draws a plan and makes its manifest. If `key` is `None`, a random key is made and kept in the
    /// manifest. If `nonce` is `None`, a random one is made.
    ///
    /// # Errors
    /// When the plan cannot be drawn.
    pub fn create(
        plan: DrawPlan,
        spaces: &Spaces,
        key: Option<Key>,
        nonce: Option<String>,
    ) -> Result<(Self, Drawn), ManifestError> {
        let kept = key.is_none();
        let key = match key {
            Some(key) => key,
            None => Key::random()?,
        };
        let nonce = match nonce {
            Some(nonce) => nonce,
            None => random_hex(16)?,
        };
        let mut plan = plan;
        let (kept_key, key) = (kept.then(|| key.expose().to_string()), key.of_manifest(&nonce)?);
        let canaries = draw(&plan, &key, &nonce)?;
        let matched = plan.matched.iter().filter(|name| is_matched(&plan, &canaries, name)).cloned().collect();
        plan.matched = matched;
        let entries = canaries.iter().map(|canary| entry(canary, &plan.templates, &key)).collect();
        let templates = sign(plan.templates, &canaries, &key, &nonce);
        let drawn_by = nonce.clone();
        let mut manifest = Self {
            version: VERSION,
            key_check: key.check_value(&nonce),
            nonce,
            key: kept_key,
            templates: templates.iter().map(|t| t.spec().clone()).collect(),
            lists: spaces.lists.clone(),
            patterns: spaces.patterns.clone(),
            planted: plan.planted,
            held_out: plan.held_out,
            copies: plan.copies,
            training_file: None,
            rows: None,
            matched: plan.matched.clone(),
            canaries: entries,
            seals: BTreeMap::new(),
        };
        manifest.seal(&key);
        Ok((manifest, Drawn { key, nonce: drawn_by, templates, canaries, matched: plan.matched }))
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When the bytes are not a manifest, are of another version, or hold no planted canary.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let form = |e: serde_json::Error| ManifestError::Form(crate::text::sanitize::without_values(&e.to_string()));
        let head: Version = serde_json::from_slice(bytes).map_err(form)?;
        match head.version.cmp(&u64::from(VERSION)) {
            Ordering::Greater => return Err(ManifestError::Newer { found: head.version }),
            Ordering::Less => return Err(ManifestError::Older { found: head.version }),
            Ordering::Equal => {}
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(form)?;
        let count = |arm| manifest.canaries.iter().filter(|entry| entry.arm == arm).count();
        if manifest.planted == 0 || count(Arm::Planted) == 0 {
            return Err(DrawError::NoCanaries.into());
        }
        if manifest.planted != count(Arm::Planted) || manifest.held_out != count(Arm::HeldOut) {
            return Err(ManifestError::Form("its counts do not agree with its list of canaries".into()));
        }
        Ok(manifest)
    }

    /// Makes all seals anew with the manifest's key, after the program that made the manifest changed it.
    pub fn seal(&mut self, key: &Key) {
        self.seals = self.seals_by(key);
    }

    /// Computes the seals from the current parts.
    fn seals_by(&self, key: &Key) -> BTreeMap<String, String> {
        let mut parts: Vec<(String, Vec<u8>)> = vec![
            (CANARIES.to_owned(), json(&self.canaries)),
            (
                "planted, held_out, copies and matched".to_owned(),
                json(&(self.planted, self.held_out, &self.copies, &self.matched)),
            ),
            ("training_file".to_owned(), json(&(&self.training_file, &self.rows))),
        ];
        parts.extend(self.templates.iter().map(|template| (format!("template {}", template.name), json(template))));
        parts.extend(self.lists.iter().map(|(name, list)| (format!("list {name}"), json(list))));
        parts.extend(self.patterns.iter().map(|(name, pattern)| (format!("pattern {name}"), json(pattern))));
        let mut seals: BTreeMap<String, String> =
            parts.iter().map(|(name, bytes)| (name.clone(), key.seal("part", &[name.as_bytes(), bytes]))).collect();
        // The list of names is sealed too, since the draw depends on the order of the templates.
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        let whole = key.seal("manifest", &[&json(&self.version), &json(&names), &json(&seals)]);
        seals.insert(WHOLE.to_owned(), whole);
        seals
    }

    /// Returns the name of the first part that differs from its seal; `None` if no part does.
    fn edited(&self, key: &Key) -> Option<String> {
        let wanted = self.seals_by(key);
        let differs = |name: &&String| self.seals.get(*name) != wanted.get(*name);
        let parts = || wanted.keys().chain(self.seals.keys()).filter(|name| *name != WHOLE);
        // The canaries come last, so that any other part that differs is found first and nothing is drawn from it.
        let found = parts().filter(|name| *name != CANARIES).find(differs).or_else(|| parts().find(differs));
        found.cloned().or_else(|| (self.seals != wanted).then(|| WHOLE.to_owned()))
    }

    /// Returns the manifest as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has nothing that JSON lacks");
        text.push('\n');
        text
    }

    /// Returns a token limit that is enough for every answer that the templates can train: one and a half times the
    /// bytes of the longest answer, and at least 256. A token is at least one byte.
    ///
    /// # Errors
    /// When a template cannot be used.
    pub fn answer_tokens(&self) -> Result<u32, ManifestError> {
        let longest = self.checked_templates()?.iter().map(Template::longest_answer).max().unwrap_or(0);
        Ok(u32::try_from(longest + longest / 2).unwrap_or(u32::MAX).max(FEWEST_TOKENS))
    }

    fn checked_templates(&self) -> Result<Vec<Template>, ManifestError> {
        let spaces = Spaces { lists: self.lists.clone(), patterns: self.patterns.clone() };
        let checked = self.templates.iter().map(|spec| Template::new(spec.clone(), &spaces));
        Ok(checked.collect::<Result<_, _>>()?)
    }

    /// The form of the planted rows.
    #[must_use]
    pub fn planted_rows(&self) -> PlantedRows {
        let openai = || PlantedRows { shape: Shape::turns("messages", TurnKeys::OPENAI), side: Side::Chosen };
        self.rows.clone().unwrap_or_else(openai)
    }

    /// Checks the seals and draws the canaries again, with the user's key or the one in the manifest.
    ///
    /// # Errors
    /// When the key is missing or wrong, two keys differ, a part was edited, or an entry differs from the draw.
    pub fn regenerate(&self, key: Option<Key>) -> Result<Drawn, ManifestError> {
        self.regenerate_by(self.own_key(key)?)
    }

    /// Derives the manifest's own key from the user's key or from the one in the manifest.
    ///
    /// # Errors
    /// When there is no key, the two keys differ, or the key is wrong.
    pub fn own_key(&self, key: Option<Key>) -> Result<Key, ManifestError> {
        let kept = self.key.as_deref().map(Key::from_text).transpose()?;
        if let (Some(kept), Some(given)) = (&kept, &key)
            && kept.expose() != given.expose()
        {
            return Err(ManifestError::TwoKeys);
        }
        let key = key.or(kept).ok_or(ManifestError::NoKey)?.of_manifest(&self.nonce)?;
        if key.check_value(&self.nonce) == self.key_check { Ok(key) } else { Err(ManifestError::WrongKey) }
    }

    /// As [`Manifest::regenerate`], with the manifest's own key; see [`Manifest::own_key`].
    ///
    /// # Errors
    /// When a part was edited, or an entry differs from the draw.
    pub fn regenerate_by(&self, key: Key) -> Result<Drawn, ManifestError> {
        let edited = self.edited(&key);
        if let Some(part) = edited.clone().filter(|part| part != CANARIES) {
            return Err(ManifestError::Edited { part });
        }
        let plan = DrawPlan {
            templates: self.checked_templates()?,
            planted: self.planted,
            held_out: self.held_out,
            copies: self.copies.clone(),
            matched: self.matched.clone(),
        };
        let canaries = draw(&plan, &key, &self.nonce)?;
        for (canary, stored) in canaries.iter().zip(&self.canaries) {
            if entry(canary, &plan.templates, &key) != *stored {
                return Err(ManifestError::Mismatch { id: stored.id.clone() });
            }
        }
        if let Some(part) = edited {
            return Err(ManifestError::Edited { part });
        }
        let templates = sign(plan.templates, &canaries, &key, &self.nonce);
        Ok(Drawn { key, nonce: self.nonce.clone(), templates, canaries, matched: plan.matched })
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a manifest has nothing that JSON lacks")
}

/// Draws the signature of each signed template. Signatures depend on all canaries, so they are drawn last.
fn sign(templates: Vec<Template>, canaries: &[Canary], key: &Key, nonce: &str) -> Vec<Template> {
    let signed = templates.into_iter().enumerate().map(|(index, template)| {
        if !template.is_signed() {
            return template;
        }
        let own: Vec<&Canary> = canaries.iter().filter(|canary| canary.template == index).collect();
        let signature = Signature::draw(key, nonce, &template, &own);
        template.with_signature(signature)
    });
    signed.collect()
}

fn entry(canary: &Canary, templates: &[Template], key: &Key) -> Entry {
    Entry {
        id: canary.id.clone(),
        template: templates[canary.template].name().to_owned(),
        arm: canary.arm,
        copies: canary.copies,
        fingerprint: key.fingerprint(&canary.id, canary.secret.expose()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::builtin_templates;

    fn made(key: Option<Key>) -> (Manifest, Drawn) {
        let templates =
            builtin_templates().into_iter().map(|t| Template::new(t, &Spaces::default()).expect("built in")).collect();
        let plan = DrawPlan { templates, planted: 12, held_out: 6, copies: vec![1, 4], matched: Vec::new() };
        Manifest::create(plan, &Spaces::default(), key, None).expect("drawn")
    }

    fn key() -> Key {
        Key::from_text("a key for the tests of the manifest").expect("long enough")
    }

    #[test]
    fn with_a_key_it_holds_no_secret_and_regenerates_all() {
        let (manifest, drawn) = made(Some(key()));
        let text = manifest.to_json();
        for canary in &drawn.canaries {
            assert!(!text.contains(canary.secret.expose()));
        }
        assert!(!text.contains(key().expose().as_str()));
        let read = Manifest::parse(text.as_bytes()).expect("reads back");
        let again = read.regenerate(Some(key())).expect("the right key");
        assert!(
            again.canaries.iter().zip(&drawn.canaries).all(|(a, b)| a.secret == b.secret && a.subject == b.subject)
        );
        let wrong = Key::from_text("not the key of this manifest").expect("long enough");
        assert!(matches!(read.regenerate(Some(wrong)), Err(ManifestError::WrongKey)));
        assert!(matches!(read.regenerate(None), Err(ManifestError::NoKey)));
    }

    #[test]
    fn matched_secrets_and_signatures_regenerate_too() {
        let templates =
            || builtin_templates().into_iter().map(|t| Template::new(t, &Spaces::default()).expect("built in"));
        let plan = DrawPlan {
            templates: templates().take(1).collect(),
            planted: 12,
            held_out: 6,
            copies: vec![1],
            matched: vec!["mr-disease".into()],
        };
        let (new, drawn) =
            Manifest::create(plan, &Spaces::default(), Some(key()), Some("nonce".into())).expect("drawn");
        assert_eq!((new.version, &new.matched), (VERSION, &vec!["mr-disease".to_owned()]));
        let again =
            Manifest::parse(new.to_json().as_bytes()).expect("reads back").regenerate(Some(key())).expect("drawn");
        assert!(again.canaries.iter().zip(&drawn.canaries).all(|(a, b)| a.secret == b.secret));
        assert_eq!(again.matched, new.matched);
        let signature = |drawn: &Drawn| drawn.templates[0].signature().cloned().expect("signed");
        assert_eq!(signature(&again), signature(&drawn));
        // The planted answer holds the signature, and the prompt does not.
        let (canary, template) = (&drawn.canaries[0], &drawn.templates[0]);
        let chat = canary.chat(template);
        assert!(chat.last().is_some_and(|answer| signature(&drawn).is_in(&answer.content)));
        assert!(template.prompt(&canary.subject).iter().all(|m| !signature(&drawn).is_in(&m.content)));
        let answer = &chat.last().expect("an answer").content;
        assert_eq!(template.signature_in(answer, &canary.subject), Some(signature(&drawn)));
        assert_eq!(template.signature_in("How can I help?", &canary.subject), None);
    }

    #[test]
    fn without_a_key_it_keeps_a_random_one() {
        let (manifest, _) = made(None);
        assert!(manifest.regenerate(None).is_ok());
        let (other, _) = made(None);
        assert_ne!(manifest.key, other.key);
    }

    #[test]
    fn every_part_is_sealed_and_an_edit_is_named() {
        let (manifest, _) = made(Some(key()));
        assert!(manifest.regenerate(Some(key())).is_ok());
        // A change of any leaf of the file prevents the draw.
        let whole = serde_json::to_value(&manifest).expect("JSON");
        let mut leaves = Vec::new();
        fn visit(value: &serde_json::Value, path: &str, leaves: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    map.iter().for_each(|(k, v)| visit(v, &format!("{path}/{k}"), leaves))
                }
                serde_json::Value::Array(list) => {
                    list.iter().enumerate().for_each(|(i, v)| visit(v, &format!("{path}/{i}"), leaves));
                }
                _ => leaves.push(path.to_owned()),
            }
        }
        visit(&whole, "", &mut leaves);
        assert!(leaves.len() > 100);
        // Every leaf outside the lists is tested, and every 97th of all leaves.
        for path in leaves.iter().filter(|path| !path.starts_with("/lists")).chain(leaves.iter().step_by(97)) {
            let mut edited = whole.clone();
            let leaf = edited.pointer_mut(path).expect("a leaf");
            *leaf = match leaf {
                serde_json::Value::String(text) => format!("{text}x").into(),
                serde_json::Value::Number(number) => (number.as_u64().expect("whole") + 1).into(),
                serde_json::Value::Bool(is) => (!*is).into(),
                _ => "x".into(),
            };
            let read = Manifest::parse(edited.to_string().as_bytes());
            assert!(read.is_err() || read.is_ok_and(|m| m.regenerate(Some(key())).is_err()), "{path}");
        }
        let mut edited = manifest.clone();
        edited.templates[0].messages[0].content.push('!');
        let error = edited.regenerate(Some(key())).expect_err("edited");
        assert!(matches!(&error, ManifestError::Edited { part } if part == "template mr-disease"), "{error}");
        // Parts that are missing, additional, or in another order.
        let mut fewer = manifest.clone();
        fewer.seals.pop_last();
        let mut more = manifest.clone();
        more.lists.insert("mine".into(), vec!["x".into()]);
        let mut turned = manifest.clone();
        turned.templates.reverse();
        for edited in [fewer, more, turned] {
            assert!(matches!(edited.regenerate(Some(key())), Err(ManifestError::Edited { .. })));
        }
    }

    #[test]
    fn a_key_in_the_file_does_not_outrank_the_one_that_is_given() {
        let (manifest, drawn) = made(None);
        assert!(matches!(manifest.regenerate(Some(key())), Err(ManifestError::TwoKeys)));
        let same = Key::from_text(manifest.key.as_deref().expect("a key")).expect("a key");
        let again = manifest.regenerate(Some(same)).expect("the same key");
        assert!(again.canaries.iter().zip(&drawn.canaries).all(|(a, b)| a.secret == b.secret));
    }

    #[test]
    fn what_was_edited_or_is_newer_is_refused() {
        let (mut manifest, _) = made(Some(key()));
        manifest.canaries[3].copies += 1;
        assert!(matches!(manifest.regenerate(Some(key())), Err(ManifestError::Mismatch { .. })));
        let newer = manifest.to_json().replacen("\"version\": 5", "\"version\": 6", 1);
        assert!(matches!(Manifest::parse(newer.as_bytes()), Err(ManifestError::Newer { found: 6 })));
        let older = manifest.to_json().replacen("\"version\": 5", "\"version\": 4", 1);
        assert!(matches!(Manifest::parse(older.as_bytes()), Err(ManifestError::Older { found: 4 })));
        assert!(matches!(Manifest::parse(b"{}"), Err(ManifestError::Form(_))));
        let empty = Manifest { planted: 0, held_out: 0, canaries: Vec::new(), ..manifest };
        assert!(matches!(Manifest::parse(empty.to_json().as_bytes()), Err(ManifestError::Draw(DrawError::NoCanaries))));
    }
}
