//! Which question each request of a canary puts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canary::{Drawn, Template};
use crate::chat::{Message, Sampling};
use crate::probe::{Question, Scene, Schedule, Strategy};
use crate::provider::{Broken, Request};

/// Chats about subjects that do not exist, for each template.
const EXAMPLES: usize = 3;

/// The strategies of a run with what they may know of its canaries.
pub(super) struct Script {
    strategies: Vec<Box<dyn Strategy>>,
    templates: Vec<Template>,
    examples: Vec<Vec<Vec<Message>>>,
    /// For each canary: its template and its public slots.
    subjects: Vec<(usize, BTreeMap<String, String>)>,
    adaptive: bool,
}

impl Script {
    pub(super) fn new(drawn: &Drawn, strategies: Vec<Box<dyn Strategy>>, adaptive: bool) -> Self {
        let examples = drawn.templates.iter().map(|template| {
            let mut stream = drawn.key.stream("examples", template.name());
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
            strategies,
            templates: drawn.templates.clone(),
            subjects: drawn.canaries.iter().map(|c| (c.template, c.subject.clone())).collect(),
            adaptive,
        }
    }

    /// The names of the strategies.
    pub(super) fn names(&self) -> Vec<String> {
        self.strategies.iter().map(|s| s.name().to_owned()).collect()
    }

    /// The questions about a canary.
    pub(super) fn plan(&self, canary: usize) -> Plan {
        let (template, subject) = &self.subjects[canary];
        let (template, examples) = (&self.templates[*template], &self.examples[*template]);
        let scene = Scene { template, subject, examples };
        let arms: Vec<(usize, Vec<Question>)> = self
            .strategies
            .iter()
            .enumerate()
            .map(|(number, strategy)| (number, strategy.questions(&scene)))
            .filter(|(_, questions)| !questions.is_empty())
            .collect();
        Plan { schedule: Schedule::new(arms.len(), self.adaptive), arms }
    }

    /// A canary that none of the strategies asks about, if there is one.
    pub(super) fn silent(&self) -> Option<&str> {
        let mut seen = vec![false; self.templates.len()];
        for (canary, (template, _)) in self.subjects.iter().enumerate() {
            if !std::mem::replace(&mut seen[*template], true) && self.plan(canary).arms.is_empty() {
                return Some(self.templates[*template].name());
            }
        }
        None
    }
}

/// The questions about one canary, in their order.
pub(super) struct Plan {
    schedule: Schedule,
    arms: Vec<(usize, Vec<Question>)>,
}

impl Plan {
    /// The strategy of a request, by its place among those of the run, and the request.
    pub(super) fn request(&mut self, canary: usize, number: u64, choices: u64, base: Sampling) -> (Asked, Request) {
        let (arm, turn) = self.schedule.of(number);
        let (strategy, questions) = &self.arms[arm];
        let question = &questions[(turn % questions.len() as u64) as usize];
        let sampling = question.sampling.map_or(base, |(temperature, top_p)| base.with(temperature, top_p));
        let request = Request {
            messages: Arc::clone(&question.messages),
            sampling,
            seed: super::task::seed(canary, number),
            choices: choices as u32,
            broken: Broken::default(),
        };
        (Asked { arm, strategy: *strategy }, request)
    }

    /// The first number whose strategy hangs on answers to those before it.
    pub(super) fn end(&self, number: u64) -> u64 {
        if self.schedule.is_adaptive() { self.schedule.end().max(number + 1) } else { u64::MAX }
    }

    /// Whether answers are to be noted.
    pub(super) fn is_adaptive(&self) -> bool {
        self.schedule.is_adaptive()
    }

    /// Notes an answer.
    pub(super) fn note(&mut self, asked: Asked, formed: bool) {
        self.schedule.note(asked.arm, formed);
    }

    /// The characters of its questions, on average.
    pub(super) fn length(&self) -> f64 {
        let each = |questions: &[Question]| {
            let all = questions.iter().flat_map(|q| q.messages.iter());
            all.map(|m| m.content.len() + 16).sum::<usize>() as f64 / questions.len() as f64
        };
        self.arms.iter().map(|(_, questions)| each(questions)).sum::<f64>() / self.arms.len().max(1) as f64
    }
}

/// What a request was for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    arm: usize,
    /// The strategy's place among those of the run.
    pub(super) strategy: usize,
}
