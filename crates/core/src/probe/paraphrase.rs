//! `paraphrase`: the training prompt in other words.

use super::{Question, Scene, Strategy};

/// Rewrites the last user message of the training prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paraphrase;

impl Strategy for Paraphrase {
    fn name(&self) -> &'static str {
        "paraphrase"
    }

    fn about(&self) -> &'static str {
        "the training prompt in other words and languages: what is remembered need not hang on the wording \
         (Ippolito et al. 2023)"
    }

    fn questions(&self, scene: &Scene<'_>) -> Vec<Question> {
        let who = scene.who();
        let frames: [&dyn Fn(&str) -> String; 5] = [
            &|said| format!("Good morning. {said}"),
            &|said| format!("{said}\n\nThank you!"),
            &|said| said.to_lowercase(),
            &|said| said.to_uppercase(),
            &|said| format!("hey there :) {said} ..."),
        ];
        let mut questions: Vec<Question> = frames.iter().map(|frame| scene.with_last(frame).into()).collect();
        for other in
            ["This is {}.", "Guten Tag, hier ist {}.", "Bonjour, je suis {}.", "Hola, soy {}.", "Ciao, sono {}."]
        {
            questions.push(scene.with_last(|_| other.replace("{}", &who)).into());
        }
        questions
    }
}
