//! Chooses the question of each request about a canary.

use std::collections::BTreeMap;
use std::sync::Arc;

use blabbermouth_core::canary::{Canary, Drawn, Signature, Template};
use blabbermouth_core::chat::{Message, Sampling};
use blabbermouth_core::probe::{Question, Scene, Schedule, Strategy, SweepQuestion, sweep, sweep_names};
use blabbermouth_core::verdict::{Asked, Purpose};
use blabbermouth_provider::{DiscardSink, Request};

/// Few-shot examples per template, about invented subjects.
const EXAMPLES: usize = 3;
/// Name of the strategy whose answers give the bound.
pub(super) const REPLAY: &str = "replay";

/// Strategies of a run, with the public data of its canaries.
pub(super) struct QuestionPlan {
    strategies: Vec<Box<dyn Strategy>>,
    templates: Vec<Template>,
    examples: Vec<Vec<Vec<Message>>>,
    /// Signature of the few-shot examples, per template; `None` if the template has no signature.
    decoys: Vec<Option<Signature>>,
    /// Per canary: template and public slots.
    subjects: Vec<(usize, BTreeMap<String, String>)>,
    adaptive: bool,
    sweeps: bool,
}

impl QuestionPlan {
    pub(super) fn new(drawn: &Drawn, strategies: Vec<Box<dyn Strategy>>, adaptive: bool, sweeps: bool) -> Self {
        let decoy = |(index, template): (usize, &Template)| {
            let own: Vec<&Canary> = drawn.canaries.iter().filter(|canary| canary.template == index).collect();
            template.is_signed().then(|| Signature::decoy(&drawn.key, &drawn.nonce, template, &own))
        };
        let decoys: Vec<Option<Signature>> = drawn.templates.iter().enumerate().map(decoy).collect();
        let examples = drawn.templates.iter().zip(&decoys).map(|(template, decoy)| {
            let mut stream = drawn.key.stream("examples", template.name());
            let template = match decoy {
                Some(decoy) => template.clone().with_signature(decoy.clone()),
                None => template.clone(),
            };
            let mut one = || {
                let subject = template.public_slots().map(|(slot, space)| (slot.to_owned(), space.draw(&mut stream)));
                let subject: BTreeMap<String, String> = subject.collect();
                let secret = template.secret_space().draw(&mut stream);
                template.render(&subject, &secret)
            };
            (0..EXAMPLES).map(|_| one()).collect()
        });
        Self {
            examples: examples.collect(),
            decoys,
            strategies,
            templates: drawn.templates.clone(),
            subjects: drawn.canaries.iter().map(|c| (c.template, c.subject.clone())).collect(),
            adaptive,
            sweeps,
        }
    }

    /// Names of the chosen strategies, followed by the names of the sweep's questions.
    pub(super) fn names(&self) -> Vec<String> {
        let chosen: Vec<String> = self.strategies.iter().map(|s| s.name().to_owned()).collect();
        let sweep: Vec<String> =
            if self.sweeps { sweep_names(&chosen).map(str::to_owned).collect() } else { Vec::new() };
        chosen.into_iter().chain(sweep).collect()
    }

    /// Signature of the few-shot examples, per template.
    pub(super) fn decoys(&self) -> &[Option<Signature>] {
        &self.decoys
    }

    /// Questions about a canary.
    pub(super) fn plan(&self, canary: usize) -> Plan {
        let (template, subject) = &self.subjects[canary];
        let (template, examples) = (&self.templates[*template], &self.examples[*template]);
        let scene = Scene { template, subject, examples };
        let names = self.names();
        let mut replay = None;
        let mut arms: Vec<(usize, Vec<Question>)> = Vec::new();
        for (number, strategy) in self.strategies.iter().enumerate() {
            let questions = strategy.questions(&scene);
            if strategy.name() == REPLAY {
                replay = questions.into_iter().next().map(|question| (number, question));
            } else if !questions.is_empty() {
                arms.push((number, questions));
            }
        }
        let chosen = &names[..self.strategies.len()];
        let place = |name: &str| names.iter().position(|known| known == name).unwrap_or(0);
        let sweep = if self.sweeps { sweep(&scene, chosen) } else { Vec::new() };
        Plan {
            replay,
            schedule: Schedule::new(arms.len(), self.adaptive),
            arms,
            sweep: sweep.into_iter().map(|question| (place(question.name), question)).collect(),
        }
    }

    /// Length of a canary's training prompt, and of its trained answer without the secret, in bytes.
    pub(super) fn bytes_of_replay(&self, canary: usize) -> (usize, usize) {
        let (template, subject) = &self.subjects[canary];
        let bytes = |messages: Vec<Message>| messages.iter().map(|message| message.content.len()).sum::<usize>();
        let prompt = bytes(self.templates[*template].prompt(subject));
        (prompt, bytes(self.templates[*template].render(subject, "")).saturating_sub(prompt))
    }

    /// Name of a template for which no chosen strategy has a question; `None` if there is none.
    pub(super) fn silent(&self) -> Option<&str> {
        let mut seen = vec![false; self.templates.len()];
        for (canary, (template, _)) in self.subjects.iter().enumerate() {
            let plan = || self.plan(canary);
            if !std::mem::replace(&mut seen[*template], true) && plan().is_empty() {
                return Some(self.templates[*template].name());
            }
        }
        None
    }

    /// Name of a template whose own signature is in a question, so that any model could repeat it; `None` if there is
    /// none.
    pub(super) fn told(&self) -> Option<&str> {
        let mut seen = vec![false; self.templates.len()];
        for (canary, (index, _)) in self.subjects.iter().enumerate() {
            let template = &self.templates[*index];
            let Some(signature) = template.signature().filter(|_| !std::mem::replace(&mut seen[*index], true)) else {
                continue;
            };
            if self.plan(canary).messages().any(|message| signature.is_in(&message.content)) {
                return Some(template.name());
            }
        }
        None
    }
}

/// Questions about one canary, in order: training prompt, chosen strategies, sweep.
pub(super) struct Plan {
    replay: Option<(usize, Question)>,
    schedule: Schedule,
    arms: Vec<(usize, Vec<Question>)>,
    sweep: Vec<(usize, SweepQuestion)>,
}

/// A request without its seed.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    messages: Arc<[Message]>,
    sampling: Sampling,
    choices: u32,
    /// Strategy and purpose of its answers.
    pub(super) asked: Asked,
    /// Index among the chosen strategies other than replay, for the schedule; `None` for replay and sweep.
    pub(super) arm: Option<usize>,
}

impl Prepared {
    fn new(question: &Question, choices: u64, base: Sampling, strategy: usize, purpose: Purpose) -> Self {
        Self {
            messages: Arc::clone(&question.messages),
            sampling: question.decoding.apply(base),
            choices: choices as u32,
            asked: Asked { strategy, purpose, copy: false },
            arm: None,
        }
    }

    /// Number of answers to ask for.
    pub(super) fn choices(&self) -> u32 {
        self.choices
    }

    pub(super) fn request(&self, seed: u32, broken: DiscardSink) -> Request {
        let Self { messages, sampling, choices, .. } = self;
        Request { messages: Arc::clone(messages), sampling: *sampling, seed, choices: *choices, broken }
    }
}

impl Plan {
    /// Request with the training prompt; `None` if replay is not chosen.
    pub(super) fn replay(&self, choices: u64, base: Sampling) -> Option<Prepared> {
        let (strategy, question) = self.replay.as_ref()?;
        Some(Prepared::new(question, choices, base, *strategy, Purpose::Replay))
    }

    /// Whether chosen strategies other than replay have questions.
    pub(super) fn searches(&self) -> bool {
        !self.arms.is_empty()
    }

    /// Request of the chosen strategies other than replay. Call it with ascending numbers, and with numbers from
    /// [`Plan::end`] on only after all earlier answers were noted.
    pub(super) fn search(&mut self, number: u64, choices: u64, base: Sampling) -> Prepared {
        let (arm, turn) = self.schedule.of(number);
        let (strategy, questions) = &self.arms[arm];
        let question = &questions[(turn % questions.len() as u64) as usize];
        Prepared { arm: Some(arm), ..Prepared::new(question, choices, base, *strategy, Purpose::Search) }
    }

    /// All requests of the sweep, each for at most `choices` answers.
    pub(super) fn sweep(&self, choices: u64, base: Sampling) -> Vec<Prepared> {
        let mut all = Vec::new();
        for (strategy, SweepQuestion { question, answers, .. }) in &self.sweep {
            let mut left = u64::from(*answers);
            while left > 0 {
                let some = left.min(choices);
                all.push(Prepared::new(question, some, base, *strategy, Purpose::Sweep));
                left -= some;
            }
        }
        all
    }

    /// Number of answers that the sweep asks for.
    pub(super) fn sweep_answers(&self) -> u64 {
        self.sweep.iter().map(|(_, question)| u64::from(question.answers)).sum()
    }

    /// First number whose strategy depends on answers to earlier numbers; `u64::MAX` if the schedule does not adapt.
    pub(super) fn end(&self, number: u64) -> u64 {
        if self.schedule.is_adaptive() { self.schedule.end().max(number + 1) } else { u64::MAX }
    }

    /// Whether the schedule needs [`Plan::note`] for each answer.
    pub(super) fn is_adaptive(&self) -> bool {
        self.schedule.is_adaptive()
    }

    /// Notes whether an answer to a strategy has the form of the secret.
    pub(super) fn note(&mut self, arm: usize, formed: bool) {
        self.schedule.note(arm, formed);
    }

    fn is_empty(&self) -> bool {
        self.replay.is_none() && self.arms.is_empty()
    }

    fn questions(&self) -> impl Iterator<Item = &Question> {
        let replay = self.replay.iter().map(|(_, question)| question);
        let arms = self.arms.iter().flat_map(|(_, questions)| questions);
        replay.chain(arms).chain(self.sweep.iter().map(|(_, sweep)| &sweep.question))
    }

    fn messages(&self) -> impl Iterator<Item = &Message> {
        self.questions().flat_map(|question| question.messages.iter())
    }

    /// Average length of a question, in bytes, with 16 for each message.
    pub(super) fn length(&self) -> f64 {
        let all: usize = self.messages().map(|message| message.content.len() + 16).sum();
        all as f64 / self.questions().count().max(1) as f64
    }
}
