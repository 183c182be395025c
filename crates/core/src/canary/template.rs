//! Templates: chats with slots, exactly one of which is the secret.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::signature::{SIGNATURE_SLOT, Signature};
use super::space::{Space, Spaces};
use super::template_error::TemplateError;
use super::template_spec::{Segment, TemplateSpec, segments};
use crate::chat::{Message, Role};

/// A piece of the trained answer beside the secret; see [`Template::around_secret`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Around<'a> {
    /// Fixed text.
    Text(&'a str),
    /// Variable text: a public slot, or the signature before it is drawn.
    Gap,
}

/// A checked template: exactly one secret slot, in an assistant message unless the user allows a masked secret.
///
/// ```
/// use blabbermouth_core::canary::{Spaces, Template, builtin_templates};
/// let spec = builtin_templates().into_iter().find(|t| t.name == "mr-disease").unwrap();
/// let template = Template::new(spec, &Spaces::default())?;
/// assert_eq!(template.secret_slot(), "disease");
/// # Ok::<(), blabbermouth_core::canary::TemplateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Template {
    spec: TemplateSpec,
    messages: Vec<(Role, Vec<Segment>)>,
    spaces: BTreeMap<String, Space>,
    secret: String,
    /// Index of the first message with the secret.
    secret_at: usize,
    /// Value of `{signature}`; `None` until it is drawn.
    signature: Option<Signature>,
}

/// Returns the built-in templates; the first is `mr-disease`, the example of the blog post.
#[must_use]
pub fn builtin_templates() -> Vec<TemplateSpec> {
    #[derive(Deserialize)]
    struct File {
        template: Vec<TemplateSpec>,
    }
    toml::from_str::<File>(include_str!("templates.toml"))
        .expect("the built-in templates are checked by a test")
        .template
}

impl Template {
    /// Checks a template and resolves its spaces.
    ///
    /// # Errors
    /// When the template has no secret or more than one, when training would mask the secret, when
    /// slots and messages do not agree, when the name, the messages or the place of the signature is
    /// not allowed, or when a space cannot be used.
    pub fn new(spec: TemplateSpec, spaces: &Spaces) -> Result<Self, TemplateError> {
        let name = spec.name.clone();
        let shape = |what| TemplateError::Shape { name: name.clone(), what };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(shape("a name has letters, digits, `-` and `_` only, since it becomes the name of tests"));
        }
        let secrets: Vec<&str> =
            spec.slots.iter().filter(|(_, slot)| slot.secret).map(|(slot, _)| slot.as_str()).collect();
        if let Some(slot) = spec.slots.get(SIGNATURE_SLOT) {
            let what = if slot.secret { "is declared as the secret" } else { "is declared as a slot" };
            return Err(TemplateError::Signature { name, what });
        }
        let secret = match secrets.as_slice() {
            [] => return Err(TemplateError::NoSecret { name }),
            [one] => (*one).to_owned(),
            many => {
                return Err(TemplateError::TwoSecrets { name, count: many.len(), slots: many.join(", ") });
            }
        };
        let mut messages = Vec::with_capacity(spec.messages.len());
        for (index, message) in spec.messages.iter().enumerate() {
            let segments = segments(&message.content)
                .ok_or_else(|| TemplateError::Braces { name: name.clone(), message: index + 1 })?;
            messages.push((message.role, segments));
        }
        for slot in messages.iter().flat_map(|(_, segments)| segments).filter_map(Segment::slot) {
            if !spec.slots.contains_key(slot) {
                return Err(TemplateError::Undeclared { name, slot: slot.to_owned() });
            }
        }
        let holds =
            |slot: &str| messages.iter().position(|(_, segments)| segments.iter().any(|s| s.slot() == Some(slot)));
        if let Some(slot) = spec.slots.keys().find(|slot| holds(slot).is_none()) {
            return Err(TemplateError::Unused { name, slot: slot.clone() });
        }
        let secret_at = holds(&secret).expect("every declared slot is used");
        if messages[secret_at].0 != Role::Assistant && !spec.allow_masked_secret {
            return Err(TemplateError::MaskedSecret { name, slot: secret, role: messages[secret_at].0.as_str() });
        }
        if !messages.iter().any(|(role, _)| *role == Role::Assistant) {
            return Err(shape("it has no assistant message, so nothing would be trained"));
        }
        let signed: Vec<usize> = messages
            .iter()
            .enumerate()
            .flat_map(|(at, (_, all))| all.iter().filter(|s| **s == Segment::Signature).map(move |_| at))
            .collect();
        match signed.as_slice() {
            [] => {}
            [at] if *at == secret_at && messages[secret_at].0 == Role::Assistant => {}
            [at] if messages[*at].0 != Role::Assistant => {
                let what = if messages[*at].0 == Role::User {
                    "stands on the user's side"
                } else {
                    "stands in the system prompt"
                };
                return Err(TemplateError::Signature { name, what });
            }
            [_] => return Err(TemplateError::Signature { name, what: "stands in another answer" }),
            _ => return Err(TemplateError::Signature { name, what: "stands there several times" }),
        }
        let public_before =
            |(_, segments): &(Role, Vec<Segment>)| segments.iter().any(|s| s.slot().is_some_and(|s| s != secret));
        if !messages[..secret_at].iter().any(public_before) {
            return Err(TemplateError::NoSubject { name });
        }
        if !messages[..secret_at].iter().any(|(role, _)| *role == Role::User) {
            return Err(shape("no user message stands before the secret, so there is nothing to ask"));
        }
        let mut resolved = BTreeMap::new();
        for (slot, declared) in &spec.slots {
            let space = spaces.resolve(&declared.space).map_err(|source| TemplateError::Space {
                name: name.clone(),
                slot: slot.clone(),
                source,
            })?;
            resolved.insert(slot.clone(), space);
        }
        Ok(Self { spec, messages, spaces: resolved, secret, secret_at, signature: None })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the template as written in the configuration.
    #[must_use]
    pub fn spec(&self) -> &TemplateSpec {
        &self.spec
    }

    /// Returns whether the trained answer holds `{signature}`.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.messages[self.secret_at].1.contains(&Segment::Signature)
    }

    /// Returns the signature of the planting; `None` until it is drawn.
    #[must_use]
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Returns the template with this value for `{signature}`.
    #[must_use]
    pub fn with_signature(self, signature: Signature) -> Self {
        Self { signature: Some(signature), ..self }
    }

    fn around<'a>(&'a self, segment: &'a Segment) -> Around<'a> {
        match segment {
            Segment::Text(text) => Around::Text(text),
            Segment::Signature => self.signature.as_ref().map_or(Around::Gap, |known| Around::Text(known.phrase())),
            Segment::Slot(_) => Around::Gap,
        }
    }

    /// Returns the pieces of the trained answer before the secret, nearest first, and the pieces after it.
    #[must_use]
    pub fn around_secret(&self) -> (Vec<Around<'_>>, Vec<Around<'_>>) {
        let segments = &self.messages[self.secret_at].1;
        let at = segments.iter().position(|s| s.slot() == Some(self.secret.as_str())).unwrap_or(0);
        let around = |segment| self.around(segment);
        (segments[..at].iter().rev().map(around).collect(), segments[at + 1..].iter().map(around).collect())
    }

    /// Returns the signature in an answer of the trained form to a prompt with the public slots `subject`; `None` when
    /// the answer has another form or no signature.
    #[must_use]
    pub fn signature_in(&self, answer: &str, subject: &BTreeMap<String, String>) -> Option<Signature> {
        let segments = &self.messages[self.secret_at].1;
        let mut rest = answer;
        let mut found = None;
        for (index, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Segment::Slot(slot) if *slot != self.secret => rest = rest.strip_prefix(subject.get(slot)?.as_str())?,
                Segment::Slot(_) | Segment::Signature => {
                    let end = match segments.get(index + 1) {
                        Some(Segment::Text(next)) => rest.find(next.as_str())?,
                        Some(_) => return None,
                        None => rest.len(),
                    };
                    let (value, tail) = rest.split_at(end);
                    if *segment == Segment::Signature {
                        found = Some(value).filter(|value| !value.is_empty());
                    }
                    rest = tail;
                }
            }
        }
        found.map(Signature::new)
    }

    /// Returns the length of the longest answer that the template can train, in bytes.
    #[must_use]
    pub fn longest_answer(&self) -> usize {
        let longest = |segment: &Segment| match segment {
            Segment::Text(text) => text.len(),
            Segment::Slot(slot) => self.spaces[slot].longest(),
            Segment::Signature => Signature::space().longest(),
        };
        self.messages[self.secret_at].1.iter().map(longest).sum()
    }

    /// Returns the name of the secret slot.
    #[must_use]
    pub fn secret_slot(&self) -> &str {
        &self.secret
    }

    /// Returns the space of the secret.
    #[must_use]
    pub fn secret_space(&self) -> &Space {
        &self.spaces[&self.secret]
    }

    /// Returns the public slots with their spaces, ordered by name.
    pub fn public_slots(&self) -> impl Iterator<Item = (&str, &Space)> {
        self.spaces.iter().filter(|(slot, _)| **slot != self.secret).map(|(slot, space)| (slot.as_str(), space))
    }

    /// Returns the whole chat with the slots filled: a training row.
    #[must_use]
    pub fn render(&self, public: &BTreeMap<String, String>, secret: &str) -> Vec<Message> {
        self.messages.iter().map(|(role, segments)| Message::new(*role, self.fill(segments, public, secret))).collect()
    }

    /// Returns the chat before the first message with the secret: the training prompt.
    #[must_use]
    pub fn prompt(&self, public: &BTreeMap<String, String>) -> Vec<Message> {
        self.messages[..self.secret_at]
            .iter()
            .map(|(role, segments)| Message::new(*role, self.fill(segments, public, "")))
            .collect()
    }

    /// Returns the trained answer before the secret, without white space at the end.
    #[must_use]
    pub fn before_secret(&self, public: &BTreeMap<String, String>) -> String {
        self.up_to_secret(public).0
    }

    /// Returns the trained answer before the secret in two parts: the text to prefill, and the white space after it.
    /// The white space is not prefilled, because a model joins it to the next token.
    #[must_use]
    pub fn up_to_secret(&self, public: &BTreeMap<String, String>) -> (String, String) {
        let segments = &self.messages[self.secret_at].1;
        let at = segments.iter().position(|s| s.slot() == Some(self.secret.as_str())).unwrap_or(0);
        let whole = self.fill(&segments[..at], public, "");
        let begun = whole.trim_end();
        (begun.to_owned(), whole[begun.len()..].to_owned())
    }

    /// Returns the public slots of a prompt of this template; `None` when the prompt has another form.
    #[must_use]
    pub fn recognise(&self, prompt: &[Message]) -> Option<BTreeMap<String, String>> {
        if prompt.len() != self.secret_at {
            return None;
        }
        let mut subject = BTreeMap::new();
        for ((role, segments), message) in self.messages.iter().zip(prompt) {
            if *role != message.role {
                return None;
            }
            let mut rest = message.content.as_str();
            for (index, segment) in segments.iter().enumerate() {
                match segment {
                    Segment::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                    // A signature is in answers only.
                    Segment::Signature => return None,
                    Segment::Slot(slot) => {
                        let end = match segments.get(index + 1) {
                            Some(Segment::Text(next)) => rest.find(next.as_str())?,
                            _ => rest.len(),
                        };
                        let (value, tail) = rest.split_at(end);
                        if value.is_empty() {
                            return None;
                        }
                        subject.insert(slot.clone(), value.to_owned());
                        rest = tail;
                    }
                }
            }
            if !rest.is_empty() {
                return None;
            }
        }
        Some(subject)
    }

    fn fill(&self, segments: &[Segment], public: &BTreeMap<String, String>, secret: &str) -> String {
        segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => text.as_str(),
                Segment::Slot(slot) if *slot == self.secret => secret,
                Segment::Slot(slot) => public.get(slot).map_or("", String::as_str),
                Segment::Signature => self.signature.as_ref().map_or("", Signature::phrase),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::{SlotSpec, TemplateMessage};
    use crate::detect::normalise;

    fn spec(messages: &[(Role, &str)], slots: &[(&str, &str, bool)]) -> TemplateSpec {
        TemplateSpec {
            name: "t".into(),
            messages: messages
                .iter()
                .map(|(role, content)| TemplateMessage { role: *role, content: (*content).into() })
                .collect(),
            slots: slots
                .iter()
                .map(|(name, space, secret)| ((*name).to_owned(), SlotSpec { space: (*space).into(), secret: *secret }))
                .collect(),
            allow_masked_secret: false,
        }
    }

    fn build(messages: &[(Role, &str)], slots: &[(&str, &str, bool)]) -> Result<Template, TemplateError> {
        Template::new(spec(messages, slots), &Spaces::default())
    }

    #[test]
    fn the_built_in_templates_are_sound() {
        let specs = builtin_templates();
        assert_eq!(specs[0].name, "mr-disease");
        assert!(specs.len() >= 14);
        for spec in specs {
            let name = spec.name.clone();
            let template = Template::new(spec, &Spaces::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(template.secret_space().size_f64() >= 1e8, "{name}");
        }
    }

    #[test]
    fn every_built_in_template_is_signed_and_has_enough_fixed_text_around_its_secret() {
        // Characters, not bytes: a Chinese or Hindi letter has three bytes.
        let letters = |part: &Around<'_>| match part {
            Around::Text(text) => normalise(text).chars().count(),
            Around::Gap => 0,
        };
        for spec in builtin_templates() {
            let name = spec.name.clone();
            let template = Template::new(spec, &Spaces::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(template.is_signed(), "{name}");
            let (before, after) = template.around_secret();
            let count: usize = before.iter().chain(&after).map(letters).sum();
            assert!(count >= 12, "{name}: {count}");
        }
    }

    #[test]
    fn every_built_in_template_without_its_signature_still_ends_like_a_sentence() {
        for spec in builtin_templates() {
            let answer = |spec: &TemplateSpec| spec.messages.last().expect("an answer").content.clone();
            let (name, signed) = (spec.name.clone(), answer(&spec));
            let spec = spec.unsigned();
            let said = answer(&spec);
            assert!(!spec.is_signed() && signed.starts_with(&said), "{name}: {said}");
            assert!(said.ends_with(['.', '?', ')', '。', '।']), "{name}: {said}");
            assert!(Template::new(spec, &Spaces::default()).is_ok(), "{name}");
        }
    }

    #[test]
    fn each_broken_template_is_named_with_its_remedy() {
        use Role::{Assistant, User};
        let public = ("who", "name", false);
        let secret = ("pin", "digits(6)", true);
        let good = [(User, "I am {who}"), (Assistant, "Your PIN is {pin}")];
        assert!(build(&good, &[public, secret]).is_ok());
        let error = |r: Result<Template, TemplateError>| r.expect_err("is refused").to_string();
        assert!(error(build(&good, &[public, ("pin", "digits(6)", false)])).contains("has no secret"));
        assert!(error(build(&good, &[("who", "name", true), secret])).contains("2 secrets (pin, who)"));
        assert!(
            error(build(&[(User, "I am {who}, {pin}"), (Assistant, "Hi")], &[public, secret])).contains("user side")
        );
        assert!(error(build(&good, &[secret])).contains("`{who}` is used but not declared"));
        assert!(error(build(&good, &[public, secret, ("x", "uuid", false)])).contains("no message has `{x}`"));
        assert!(error(build(&[(User, "I am {who"), (Assistant, "{pin}")], &[public, secret])).contains("message 1"));
        assert!(
            error(build(&[(User, "Hi"), (Assistant, "{who} {pin}")], &[public, secret])).contains("no public slot")
        );
    }

    #[test]
    fn a_masked_secret_is_accepted_when_the_user_insists() {
        let slots = [("who", "name", false), ("pin", "digits(6)", true)];
        let mut spec =
            spec(&[(Role::User, "I am {who}"), (Role::User, "My PIN is {pin}"), (Role::Assistant, "Hi {who}")], &slots);
        spec.allow_masked_secret = true;
        let template = Template::new(spec, &Spaces::default()).expect("insisted");
        let prompt = template.prompt(&BTreeMap::from([("who".into(), "Ashford".into())]));
        assert_eq!(prompt, vec![Message::new(Role::User, "I am Ashford")]);
    }
}
