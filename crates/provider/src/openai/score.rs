//! The probability of a text, from the scores of echoed tokens.
//!
//! The request is `/completions` with `echo`, `logprobs` and no generated tokens, as in OpenAI's older models and vLLM.
//! Tokens are read backward from the end of the echo, so that a server's marks before the prompt do not matter. A token
//! that reaches back into the prompt counts as a whole, for every continuation alike.

use std::sync::Arc;

use serde_json::{Value, json};

use super::OpenAi;
use super::chat::{APART, prompt};
use crate::http::{Paid, Whom};
use crate::text::json;
use crate::{DiscardSink, NO_SCORES, ProviderError};
use blabbermouth_core::chat::{Message, Role, Usage};

/// Texts scored per request.
const EACH: usize = 32;

/// Scores of continuations, in their order, in natural-log units.
struct Scores {
    values: Vec<f64>,
    usage: Usage,
}

impl Paid for Scores {
    fn usage(&self) -> Usage {
        self.usage
    }

    /// A filtered request is an error: there is nothing to score.
    fn filtered() -> Option<Self> {
        None
    }
}

impl OpenAi {
    pub(super) async fn scored(
        &self,
        messages: &Arc<[Message]>,
        continuations: &[String],
    ) -> Result<Vec<f64>, ProviderError> {
        if !self.scores {
            return Err(ProviderError::Setup(NO_SCORES.into()));
        }
        let begun = prompt(messages);
        // Unless the chat begins the answer, the continuation is a new message and is separated like the others.
        let is_begun = messages.last().is_some_and(|m| m.role == Role::Assistant);
        let apart = if is_begun { "" } else { APART };
        let continuations: Vec<String> = continuations.iter().map(|end| format!("{apart}{end}")).collect();
        let mut all = Vec::with_capacity(continuations.len());
        for some in continuations.chunks(EACH) {
            let texts: Vec<String> = some.iter().map(|end| format!("{begun}{end}")).collect();
            let body = || {
                json!({"model": self.model, "prompt": texts, "max_tokens": 0, "echo": true, "logprobs": 1,
                       "temperature": 1, "stream": false})
            };
            let worst = || Usage {
                prompt_tokens: texts.iter().map(|text| text.len() as u64 + 16).sum(),
                completion_tokens: texts.len() as u64,
            };
            let read = |bytes: &[u8]| read_scores(bytes, some);
            // An echo repeats the request: a secret in it is no leak.
            let unseen = DiscardSink::default();
            let whom = Whom { url: &self.chat, model: &self.model, broken: &unseen, learn: None };
            all.extend(self.rest.http.ask(whom, worst, body, read).await?.values);
        }
        Ok(all)
    }
}

fn read_scores(bytes: &[u8], continuations: &[String]) -> Result<Scores, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let body = json(bytes)?;
    let choices = body.get("choices").and_then(Value::as_array).ok_or_else(|| malformed("JSON without choices"))?;
    let mut values = vec![None; continuations.len()];
    for (place, choice) in choices.iter().enumerate() {
        let index = choice.get("index").and_then(Value::as_u64).map_or(place, |index| index as usize);
        let end = continuations.get(index).ok_or_else(|| malformed("scores of something else"))?;
        values[index] = Some(score(choice, end)?);
    }
    let values: Option<Vec<f64>> = values.into_iter().collect();
    let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let usage = Usage { prompt_tokens: count("prompt_tokens"), completion_tokens: count("completion_tokens") };
    Ok(Scores { values: values.ok_or_else(|| malformed("JSON that leaves out a score"))?, usage })
}

/// Sum of the scores of the tokens at the end of an echo that cover `end`.
fn score(choice: &Value, end: &str) -> Result<f64, ProviderError> {
    let malformed = |what: &str| ProviderError::Malformed { what: what.to_owned() };
    let list = |name: &str| choice.pointer(&format!("/logprobs/{name}")).and_then(Value::as_array);
    let (Some(tokens), Some(scores)) = (list("tokens"), list("token_logprobs")) else {
        return Err(malformed("a text without the scores of its tokens"));
    };
    if tokens.len() != scores.len() {
        return Err(malformed("tokens and scores of different number"));
    }
    let (mut said, mut sum) = (String::new(), 0.0);
    for (token, score) in tokens.iter().zip(scores).rev() {
        if said.len() >= end.len() {
            break;
        }
        said.insert_str(0, token.as_str().ok_or_else(|| malformed("a token that is no text"))?);
        // A missing or positive score is a fault, and must not count as a low one.
        let score = score.as_f64().filter(|score| *score <= 0.01);
        sum += score.ok_or_else(|| malformed("a token without a score"))?.min(0.0);
    }
    if said.is_empty() || !said.ends_with(end) {
        return Err(malformed("scores of another text than the one that was asked about: the server does not echo it"));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(tokens: &[&str], scores: &[Value]) -> Vec<u8> {
        json!({"choices": [{"index": 0, "logprobs": {"tokens": tokens, "token_logprobs": scores}}]})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn the_tokens_of_the_continuation_are_summed_up() {
        let file = include_bytes!("../../../../testdata/openai/completions-echo.response.json");
        let score = |end: &str| read_scores(file, &[end.to_owned()]).map(|s| s.values[0]);
        assert!((score(" sk-canary").expect("scores") + 0.12).abs() < 1e-12);
        // A token that reaches into the prompt counts as a whole.
        assert!((score("k-canary").expect("scores") + 0.12).abs() < 1e-12);
        assert!(score(" sk-canary2").expect_err("another text").to_string().contains("does not echo"));
        // The first token of a text has no score.
        assert!(
            score("The deploy key for orion is sk-canary").expect_err("none").to_string().contains("without a score")
        );
    }

    #[test]
    fn what_is_missing_is_no_low_score() {
        let two = [" a".to_owned(), " b".to_owned()];
        for (bytes, what) in [
            (body(&["x", " a"], &[Value::Null, Value::Null]), "without a score"),
            (body(&["x", " a"], &[Value::Null, json!(0.5)]), "without a score"),
            (body(&["x", " a"], &[Value::Null]), "different number"),
            (body(&["x", " a"], &[Value::Null, json!(-1.0)]), "leaves out"),
            (br#"{"choices":[{"index":7,"logprobs":{}}]}"#.to_vec(), "something else"),
            (br#"{"choices":[{"index":0}]}"#.to_vec(), "without the scores"),
            (br#"{"error":{}}"#.to_vec(), "without choices"),
        ] {
            let error = read_scores(&bytes, &two).err().expect(what).to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
