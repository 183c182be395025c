//! User-defined strategies: chats over the public slots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Question, Scene, Strategy};
use crate::canary::TemplateMessage;
use crate::chat::Message;

/// A user-defined strategy, as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserStrategySpec {
    /// Name of the strategy: letters, digits and `-`.
    pub name: String,
    /// The chat, with public slots in braces; `{{` and `}}` are literal braces. The last message is the user's. A
    /// template that lacks one of these slots is not asked in this way.
    pub messages: Vec<TemplateMessage>,
}

/// A checked user-defined strategy.
#[derive(Debug, Clone)]
pub struct UserStrategy(UserStrategySpec);

impl UserStrategy {
    /// Checks a user-defined strategy.
    ///
    /// # Errors
    /// When the name is empty or has characters other than letters, digits and `-`, the last message is not the user's,
    /// or braces do not pair.
    pub fn new(spec: &UserStrategySpec) -> Result<Self, String> {
        let name = &spec.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!("`{name}`: the name of a strategy has letters, digits and `-` only"));
        }
        if spec.messages.last().is_none_or(|m| m.role != crate::chat::Role::User) {
            return Err(format!("`{name}`: the last message of a strategy is the user's"));
        }
        if let Some(at) = spec.messages.iter().position(|m| fill(&m.content, None).is_none()) {
            return Err(format!(
                "`{name}`: message {} has a brace without its partner; write `{{{{` and `}}}}` for braces",
                at + 1
            ));
        }
        Ok(Self(spec.clone()))
    }
}

/// Fills the slots in braces; without a subject, each slot with nothing. Returns `None` if braces do not pair, or if
/// the subject lacks a slot.
fn fill(content: &str, subject: Option<&BTreeMap<String, String>>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), content);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("{{").or_else(|| tail.strip_prefix("}}")) {
            out.push_str(&tail[..1]);
            rest = after;
            continue;
        }
        let (slot, after) = tail.strip_prefix('{')?.split_once('}')?;
        match subject {
            Some(subject) => out.push_str(subject.get(slot)?),
            None if slot.is_empty() || slot.contains('{') => return None,
            None => {}
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

impl Strategy for UserStrategy {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn about(&self) -> &'static str {
        "a strategy of the configuration"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        let filled: Option<Vec<Message>> = self
            .0
            .messages
            .iter()
            .map(|m| Some(Message::new(m.role, fill(&m.content, Some(scene.subject))?)))
            .collect();
        filled.map(Question::from).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn spec(name: &str, content: &str) -> UserStrategySpec {
        let message = TemplateMessage { role: Role::User, content: content.into() };
        UserStrategySpec { name: name.into(), messages: vec![message] }
    }

    #[test]
    fn slots_are_filled_and_the_secret_is_none_of_them() {
        let (template, subject) = super::super::scene_of("mr-disease");
        let scene = Scene { template: &template, subject: &subject, examples: &[] };
        let ask = |content: &str| UserStrategy::new(&spec("mine", content)).map(|s| s.questions(&scene));
        let questions = ask("{{json}} of {name}?").expect("sound");
        assert_eq!(questions[0].messages[0].content, "{json} of Orrinname?");
        assert!(ask("the {disease} of {name}").expect("sound").is_empty(), "the secret is no public slot");
        assert!(ask("a {name").is_err() && ask("a } b").is_err());
        assert!(UserStrategy::new(&spec("my own", "x")).is_err());
    }
}
