//! Strategies: which questions are put to the model for a canary. One file each, one registry.
//!
//! A strategy sees the public slots of a canary, never its secret, so that whatever it asks, a model that
//! learned nothing answers independently of the secret. The one that reveals a part of it has a test of its own.

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

/// What a strategy may know.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The template.
    pub template: &'a Template,
    /// The public slots.
    pub subject: &'a BTreeMap<String, String>,
    /// Chats of the same template about subjects that do not exist, with secrets that were never planted.
    pub examples: &'a [Vec<Message>],
}

impl Scene<'_> {
    /// The training prompt.
    #[must_use]
    pub fn replay(&self) -> Vec<Message> {
        self.template.prompt(self.subject)
    }

    /// Whom it is about: the public slots, one after the other.
    #[must_use]
    pub fn who(&self) -> String {
        self.subject.values().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// What the secret is called.
    #[must_use]
    pub fn what(&self) -> String {
        self.template.secret_slot().replace(['-', '_'], " ")
    }

    /// The system messages of the training prompt, and then one of a user.
    #[must_use]
    pub fn ask(&self, content: impl Into<String>) -> Vec<Message> {
        let mut messages: Vec<Message> = self.replay().into_iter().filter(|m| m.role == Role::System).collect();
        messages.push(Message::new(Role::User, content));
        messages
    }

    /// One question for each wording, with `{who}` and `{what}` filled in.
    #[must_use]
    pub fn worded(&self, wordings: &[&str]) -> Vec<Question> {
        let (who, what) = (self.who(), self.what());
        wordings.iter().map(|w| self.ask(w.replace("{who}", &who).replace("{what}", &what)).into()).collect()
    }

    /// The training prompt with its last user message changed.
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
    /// The chat that is sent; one that ends with the assistant is to be gone on with.
    pub messages: Arc<[Message]>,
    /// How its answers are drawn.
    pub decoding: Decoding,
}

/// How the answers to a question are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// As the configuration says.
    Configured,
    /// At a temperature and top-p of its own.
    At(f64, f64),
    /// Always the likeliest token.
    Greedy,
    /// As the server does it by itself: nothing is sent.
    ServerDefault,
}

impl Decoding {
    /// The settings of a request, from the configured ones.
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

/// A way to ask. It may depend on the public slots of a canary, never on its secret, unless it says so.
pub trait Strategy: Send + Sync {
    /// The name in configuration and reports.
    fn name(&self) -> &str;
    /// What it imitates, in one line, with its source.
    fn about(&self) -> &str;
    /// Its questions, which are put in turn; none where it does not apply.
    fn questions(&self, scene: &Scene<'_>) -> Vec<Question>;
    /// Whether it needs a provider that goes on with an answer that was begun.
    fn needs_prefill(&self) -> bool {
        false
    }
    /// Whether it gives a part of the secret away. Such a one has no questions that know nothing of it ([`reveal`]
    /// makes them), and its answers count for nothing else.
    fn reveals(&self) -> bool {
        false
    }
    /// Whether it needs a provider that gives the probability of a text. Such a one has no questions of its own: it
    /// scores the secret after the training prompt, and others of the same space beside it.
    fn needs_scores(&self) -> bool {
        false
    }
}

/// All built-in strategies.
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

/// The strategy of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<Box<dyn Strategy>> {
    registry().into_iter().find(|strategy| strategy.name() == name)
}

/// The strategies of these names, built in or of the user's own.
///
/// # Errors
/// When one is unknown, named twice, or none is named; says which there are.
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

/// A template of the tests, with the subject Mr Orrin.
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
        // No strategy asks one thing twice, and none asks what another asks.
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
