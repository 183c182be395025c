//! The sweep: a few further questions about each canary, beside the configured strategies.
//!
//! The answers are searched for leaks and give no bound. The questions are those that a deployment would send: the
//! training prompt with greedy decoding and with the server's default decoding, and other prompts.

use super::{Decoding, Question, Scene, by_name};

/// Strategies of a sweep, beside the training prompt.
const STRATEGIES: [&str; 6] = ["no-system", "other-system", "paraphrase", "direct", "third-person", "few-shot"];
/// Answers for each of these strategies, and for the training prompt with the server's default decoding.
const EACH: u32 = 3;

/// One question of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepQuestion {
    /// The name in reports.
    pub name: &'static str,
    /// The question.
    pub question: Question,
    /// Number of answers to request.
    pub answers: u32,
}

/// Returns the names of a sweep's questions in their order, without the strategies in `asked`, which the run asks
/// anyway.
pub fn sweep_names<'a>(asked: &'a [String]) -> impl Iterator<Item = &'static str> + 'a {
    let others = STRATEGIES.into_iter().filter(|name| asked.iter().all(|known| known != name));
    ["greedy", "server-default"].into_iter().chain(others)
}

/// Returns the questions of a sweep about one canary, without the strategies in `asked`, which the run asks anyway.
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
        // Spreads the answers over as many wordings as possible.
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
