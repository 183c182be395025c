//! Which question each request of a canary puts.

use std::collections::BTreeMap;
use std::sync::Arc;

use blabbermouth_core::canary::{Canary, Drawn, Signature, Template};
use blabbermouth_core::chat::{Message, Sampling};
use blabbermouth_core::probe::{Question, Scene, Schedule, Strategy, SweepQuestion, sweep, sweep_names};
use blabbermouth_core::verdict::{Asked, Purpose};
use blabbermouth_provider::{DiscardSink, Request};

/// Chats about subjects that do not exist, for each template.
const EXAMPLES: usize = 3;
/// The strategy whose answers give the bound.
pub(super) const REPLAY: &str = "replay";

/// The strategies of a run with what they may know of its canaries.
pub(super) struct QuestionPlan {
    strategies: Vec<Box<dyn Strategy>>,
    templates: Vec<Template>,
    examples: Vec<Vec<Vec<Message>>>,
    /// For each template the signature of its examples.
    decoys: Vec<Option<Signature>>,
    /// For each canary: its template and its public slots.
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

    /// The names of the strategies, and then of what the sweep asks.
    pub(super) fn names(&self) -> Vec<String> {
        let chosen: Vec<String> = self.strategies.iter().map(|s| s.name().to_owned()).collect();
        let sweep: Vec<String> =
            if self.sweeps { sweep_names(&chosen).map(str::to_owned).collect() } else { Vec::new() };
        chosen.into_iter().chain(sweep).collect()
    }

    /// For each template the signature of its few-shot examples.
    pub(super) fn decoys(&self) -> &[Option<Signature>] {
        &self.decoys
    }

    /// The questions about a canary.
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

    /// The bytes of the training prompt of a canary, and at least of its trained answer.
    pub(super) fn bytes_of_replay(&self, canary: usize) -> (usize, usize) {
        let (template, subject) = &self.subjects[canary];
        let bytes = |messages: Vec<Message>| messages.iter().map(|message| message.content.len()).sum::<usize>();
        let prompt = bytes(self.templates[*template].prompt(subject));
        (prompt, bytes(self.templates[*template].render(subject, "")).saturating_sub(prompt))
    }

    /// A canary that none of the strategies asks about, if there is one.
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

    /// A template whose own signature stands in a question, so that any model could repeat it.
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

/// The questions about one canary, in their order: the training prompt, the chosen strategies, the sweep.
pub(super) struct Plan {
    replay: Option<(usize, Question)>,
    schedule: Schedule,
    arms: Vec<(usize, Vec<Question>)>,
    sweep: Vec<(usize, SweepQuestion)>,
}

/// A request before it has its seed.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    messages: Arc<[Message]>,
    sampling: Sampling,
    choices: u32,
    /// What its answers count for.
    pub(super) asked: Asked,
    /// Its place among the chosen strategies, for the schedule.
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

    /// Answers that it asks for.
    pub(super) fn choices(&self) -> u32 {
        self.choices
    }

    pub(super) fn request(&self, seed: u32, broken: DiscardSink) -> Request {
        let Self { messages, sampling, choices, .. } = self;
        Request { messages: Arc::clone(messages), sampling: *sampling, seed, choices: *choices, broken }
    }
}

impl Plan {
    /// The training prompt; `None` where it is not asked.
    pub(super) fn replay(&self, choices: u64, base: Sampling) -> Option<Prepared> {
        let (strategy, question) = self.replay.as_ref()?;
        Some(Prepared::new(question, choices, base, *strategy, Purpose::Replay))
    }

    /// Whether strategies were chosen beside the training prompt.
    pub(super) fn searches(&self) -> bool {
        !self.arms.is_empty()
    }

    /// A request of the chosen strategies. Numbers are asked for in their order, and beyond [`Plan::end`] only when
    /// the answers before it are noted.
    pub(super) fn search(&mut self, number: u64, choices: u64, base: Sampling) -> Prepared {
        let (arm, turn) = self.schedule.of(number);
        let (strategy, questions) = &self.arms[arm];
        let question = &questions[(turn % questions.len() as u64) as usize];
        Prepared { arm: Some(arm), ..Prepared::new(question, choices, base, *strategy, Purpose::Search) }
    }

    /// All requests of the sweep, of `choices` answers each at most.
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

    /// Answers of the sweep.
    pub(super) fn sweep_answers(&self) -> u64 {
        self.sweep.iter().map(|(_, question)| u64::from(question.answers)).sum()
    }

    /// The first number whose strategy depends on answers to those before it.
    pub(super) fn end(&self, number: u64) -> u64 {
        if self.schedule.is_adaptive() { self.schedule.end().max(number + 1) } else { u64::MAX }
    }

    /// Whether answers are to be noted.
    pub(super) fn is_adaptive(&self) -> bool {
        self.schedule.is_adaptive()
    }

    /// Notes an answer.
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

    /// The characters of its questions, on average.
    pub(super) fn length(&self) -> f64 {
        let all: usize = self.messages().map(|message| message.content.len() + 16).sum();
        all as f64 / self.questions().count().max(1) as f64
    }
}
