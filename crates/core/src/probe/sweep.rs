//! The sweep: a few further questions to each canary, beside the training prompt.
//!
//! Their answers are searched for leaks and give no bound. They ask what a deployment would: greedily, with the server's
//! own decoding, and in other words.

use super::{Decoding, Question, Scene, by_name};

/// The strategies that a sweep asks beside the training prompt.
const STRATEGIES: [&str; 6] = ["no-system", "other-system", "paraphrase", "direct", "third-person", "few-shot"];
/// Answers to each of them, and to the training prompt with the server's own decoding.
const EACH: u32 = 3;

/// One request of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepQuestion {
    /// The name in reports.
    pub name: &'static str,
    /// The question.
    pub question: Question,
    /// How many answers are asked for.
    pub answers: u32,
}

/// The names of what a sweep asks, in its order, without strategies that are asked anyway.
pub fn sweep_names<'a>(asked: &'a [String]) -> impl Iterator<Item = &'static str> + 'a {
    let others = STRATEGIES.into_iter().filter(|name| asked.iter().all(|known| known != name));
    ["greedy", "server-default"].into_iter().chain(others)
}

/// The questions of a sweep about one canary; strategies in `asked` are asked anyway.
#[must_use]
pub fn sweep(scene: &Scene<'_>, asked: &[String]) -> Vec<SweepQuestion> {
    let replay = |name, decoding, answers| {
        let question = Question { decoding, ..scene.replay().into() };
        SweepQuestion { name, question, answers }
    };
    let mut all = vec![replay("greedy", Decoding::Greedy, 1), replay("server-default", Decoding::ServerDefault, EACH)];
    for name in sweep_names(asked).skip(2) {
        let questions = by_name(name).map(|strategy| strategy.questions(scene)).unwrap_or_default();
        if questions.is_empty() {
            continue;
        }
        // Each answer to another wording, as far as there are some.
        let kinds = questions.len().min(EACH as usize) as u32;
        for (place, question) in questions.into_iter().take(kinds as usize).enumerate() {
            let answers = EACH / kinds + u32::from((place as u32) < EACH % kinds);
            all.push(SweepQuestion { name, question, answers });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_twenty_two_answers_and_skips_what_is_asked_anyway() {
        let (template, subject) = super::super::scene_of("mr-disease");
        let examples = [template.render(&subject, "an example")];
        let scene = Scene { template: &template, subject: &subject, examples: &examples };
        let count = |asked: &[String]| sweep(&scene, asked).iter().map(|q| q.answers).sum::<u32>();
        assert_eq!(count(&["replay".into()]), 22);
        assert_eq!(count(&["replay".into(), "direct".into()]), 19);
        let all = sweep(&scene, &[]);
        assert_eq!(all.iter().filter(|q| q.question.decoding == Decoding::Greedy).count(), 1);
        for name in sweep_names(&[]) {
            assert!(all.iter().any(|q| q.name == name), "{name}");
        }
    }
}
