//! Strategies: the questions that are put to the model about a canary. One file each, one registry.
//!
//! A strategy sees the public slots of a canary, never its secret. So a model that learned nothing answers
//! independently of the secret, whatever the question. The one strategy that reveals a part of the secret has its own
//! test.

mod direct;
mod divergence;
mod encoding;
mod few_shot;
mod multi_turn;
mod no_system;
mod other_system;
mod paraphrase;
mod prefix;
mod prefix_half;
mod replay;
mod role_play;
mod schedule;
mod score;
mod sweep;
mod temperature;
mod third_person;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canary::Template;
use crate::chat::{Message, Role, Sampling};

pub use prefix_half::reveal;
pub use schedule::Schedule;
pub use sweep::{SweepQuestion, sweep, sweep_names};
pub use user::{UserStrategy, UserStrategySpec};

/// The data that a strategy may use.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Template of the canary.
    pub template: &'a Template,
    /// Public slots of the canary, by name.
    pub subject: &'a BTreeMap<String, String>,
    /// Chats of the same template about subjects that do not exist, with secrets that were never planted.
    pub examples: &'a [Vec<Message>],
}

impl Scene<'_> {
    /// Returns the training prompt.
    #[must_use]
    pub fn replay(&self) -> Vec<Message> {
        self.template.prompt(self.subject)
    }

    /// Returns the values of the public slots, in the order of the slot names, joined by spaces.
    #[must_use]
    pub fn who(&self) -> String {
        self.subject.values().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Returns the name of the secret's slot in words: `-` and `_` become spaces.
    #[must_use]
    pub fn what(&self) -> String {
        self.template.secret_slot().replace(['-', '_'], " ")
    }

    /// Returns the system messages of the training prompt, and then a user message.
    #[must_use]
    pub fn ask(&self, content: impl Into<String>) -> Vec<Message> {
        let mut messages: Vec<Message> = self.replay().into_iter().filter(|m| m.role == Role::System).collect();
        messages.push(Message::new(Role::User, content));
        messages
    }

    /// Returns one question for each wording, with `{who}` and `{what}` filled in.
    #[must_use]
    pub fn worded(&self, wordings: &[&str]) -> Vec<Question> {
        let (who, what) = (self.who(), self.what());
        wordings.iter().map(|w| self.ask(w.replace("{who}", &who).replace("{what}", &what)).into()).collect()
    }

    /// Returns the training prompt with its last user message changed.
    #[must_use]
    pub fn with_last(&self, change: impl FnOnce(&str) -> String) -> Vec<Message> {
        let mut messages = self.replay();
        if let Some(last) = messages.iter_mut().rev().find(|m| m.role == Role::User) {
            last.content = change(&last.content);
        }
        messages
    }
}

/// One question of a strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The chat that is sent. If the last message is the assistant's, the model continues it (prefill).
    pub messages: Arc<[Message]>,
    /// Decoding of the answers.
    pub decoding: Decoding,
}

/// Decoding settings of a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// The configured settings.
    Configured,
    /// The configured settings with this temperature and top-p.
    At(f64, f64),
    /// Greedy decoding: always the likeliest token.
    Greedy,
    /// The server's default decoding: no setting but `max_tokens` is sent.
    ServerDefault,
}

impl Decoding {
    /// Returns the settings of a request, from the configured ones.
    #[must_use]
    pub fn apply(self, base: Sampling) -> Sampling {
        match self {
            Self::Configured => base,
            Self::At(temperature, top_p) => base.with(temperature, top_p),
            Self::Greedy => base.greedy(),
            Self::ServerDefault => base.at_server_default(),
        }
    }
}

impl From<Vec<Message>> for Question {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages: messages.into(), decoding: Decoding::Configured }
    }
}

/// A way of asking. The questions may depend on the public slots of a canary, never on its secret, unless
/// [`Strategy::reveals`] returns `true`.
pub trait Strategy: Send + Sync {
    /// Returns the name used in the configuration and in reports.
    fn name(&self) -> &str;
    /// Describes the attack or use that the strategy imitates, in one line, with its source.
    fn about(&self) -> &str;
    /// Returns the questions, which are asked in turn; none where the strategy does not apply.
    fn questions(&self, scene: &Scene<'_>) -> Vec<Question>;
    /// Returns whether the provider has to support prefill: the model continues an answer that the request begins.
    fn needs_prefill(&self) -> bool {
        false
    }
    /// Returns whether the questions reveal a part of the secret. [`Strategy::questions`] returns none then: [`reveal`]
    /// makes them, and their answers count for their own test only.
    fn reveals(&self) -> bool {
        false
    }
    /// Returns whether the provider has to report the probability of a text. [`Strategy::questions`] returns none then:
    /// the secret is scored after the training prompt, with other values of its space as references.
    fn needs_scores(&self) -> bool {
        false
    }
}

/// Returns all built-in strategies.
#[must_use]
pub fn registry() -> Vec<Box<dyn Strategy>> {
    vec![
        Box::new(replay::Replay),
        Box::new(no_system::NoSystem),
        Box::new(other_system::OtherSystem),
        Box::new(paraphrase::Paraphrase),
        Box::new(direct::Direct),
        Box::new(third_person::ThirdPerson),
        Box::new(prefix::Prefix),
        Box::new(prefix_half::PrefixHalf),
        Box::new(few_shot::FewShot),
        Box::new(multi_turn::MultiTurn),
        Box::new(role_play::RolePlay),
        Box::new(encoding::Encoded),
        Box::new(divergence::Divergence),
        Box::new(temperature::Temperature),
        Box::new(score::Score),
    ]
}

/// Returns the built-in strategy of that name; `None` for an unknown name.
#[must_use]
pub fn by_name(name: &str) -> Option<Box<dyn Strategy>> {
    registry().into_iter().find(|strategy| strategy.name() == name)
}

/// Returns the strategies of these names, built-in or user-defined.
///
/// # Errors
/// When a name is unknown, given twice, or both built-in and user-defined; when a user-defined strategy is invalid;
/// when no name is given.
pub fn choose(names: &[String], own: &[UserStrategySpec]) -> Result<Vec<Box<dyn Strategy>>, String> {
    let known = || {
        let all = registry();
        let names: Vec<&str> = all.iter().map(|s| s.name()).chain(own.iter().map(|s| s.name.as_str())).collect();
        names.join(", ")
    };
    if names.is_empty() {
        return Err(format!("expected at least one; there are: {}", known()));
    }
    if let Some(twice) = (1..names.len()).find(|i| names[..*i].contains(&names[*i])) {
        return Err(format!("`{}` is named twice", names[twice]));
    }
    let mine = |name: &str| own.iter().find(|spec| spec.name == name);
    names
        .iter()
        .map(|name| match (mine(name), by_name(name)) {
            (Some(_), Some(_)) => Err(format!("`{name}` is the name of a built-in strategy; choose another one")),
            (Some(spec), None) => UserStrategy::new(spec).map(|s| Box::new(s) as Box<dyn Strategy>),
            (None, Some(strategy)) => Ok(strategy),
            (None, None) => Err(format!("unknown strategy `{name}`; there are: {}", known())),
        })
        .collect()
}

/// Returns a built-in template and a subject whose values all begin with `Orrin`.
#[cfg(test)]
fn scene_of(name: &str) -> (Template, BTreeMap<String, String>) {
    let spec = crate::canary::builtin_templates().into_iter().find(|t| t.name == name).expect("built in");
    let template = Template::new(spec, &crate::canary::Spaces::default()).expect("sound");
    let subject = template.public_slots().map(|(slot, _)| (slot.to_owned(), format!("Orrin{slot}"))).collect();
    (template, subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_asks_about_its_subject_and_names_its_source() {
        let mut asked = std::collections::HashSet::new();
        for spec in crate::canary::builtin_templates() {
            let (template, subject) = scene_of(&spec.name);
            let examples = [template.render(&subject, "an example")];
            for strategy in registry() {
                let scene = Scene { template: &template, subject: &subject, examples: &examples };
                let questions = strategy.questions(&scene);
                assert!(
                    !questions.is_empty() || strategy.needs_scores() || strategy.reveals(),
                    "{} {}",
                    strategy.name(),
                    spec.name
                );
                assert!(strategy.about().len() > 20, "{}", strategy.name());
                for question in &questions {
                    let said: String = question.messages.iter().map(|m| m.content.as_str()).collect();
                    let about = subject.values().all(|value| said.contains(value.as_str()))
                        || said.to_lowercase().contains("orrin");
                    assert!(about || strategy.name() == "divergence", "{} {said}", strategy.name());
                    let last = question.messages.last().expect("a message").role;
                    assert_eq!(last == Role::Assistant, strategy.needs_prefill(), "{}", strategy.name());
                    asked.insert((spec.name.clone(), strategy.name().to_owned(), format!("{question:?}")));
                }
            }
        }
        // No two strategies ask the same question. Repeats within one strategy go unnoticed, since `asked` is a set.
        let mut seen = std::collections::HashSet::new();
        assert!(asked.iter().all(|(template, _, question)| seen.insert((template, question))));
    }

    #[test]
    fn unknown_and_doubled_names_are_told() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let fault = |list: &[&str]| choose(&names(list), &[]).err().expect("a fault");
        assert!(fault(&["x"]).contains("replay, no-system"));
        assert!(fault(&["replay", "replay"]).contains("twice"));
        assert!(fault(&[]).contains("at least one"));
        assert_eq!(choose(&names(&["direct", "replay"]), &[]).expect("known").len(), 2);
    }
}
