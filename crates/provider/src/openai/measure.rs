//! Measures which settings a server honors. Servers ignore some silently, and a gate that trusts them tests less than
//! it seems to.

use reqwest::Method;
use serde_json::{Value, json};

use super::OpenAi;
use crate::ProviderError;

/// The outcome of one measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The setting works.
    Yes,
    /// The setting is refused or ignored.
    No(String),
    /// The results are wrong, which is worse than none.
    Wrong(String),
    /// One of several valid behaviors: a word for it, and the observation.
    Is(&'static str, String),
}

/// A capability of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Name of the capability.
    pub name: &'static str,
    /// Result of the measurement.
    pub found: Found,
    /// Consequence for the gate.
    pub follows: &'static str,
}

const OPEN: &str = "Name an animal, a colour and a number that come to your mind.";
const PLAIN: &str = "Tell me in two sentences what a library is.";
/// The largest difference between two scores of a token, in natural-log units, that counts as equal.
const TOLERANCE: f64 = 0.1;
/// Number of answers whose variety is tested.
const VARIETY: usize = 6;
/// Number of answers without a temperature. If one differs, the server samples by default.
const UNSET: usize = 5;

impl OpenAi {
    /// Measures the server in about twenty short requests.
    ///
    /// # Errors
    /// When the server does not answer a plain chat.
    pub async fn measure(&self) -> Result<Vec<Capability>, ProviderError> {
        // Without an answer to this request, nothing can be measured.
        let greedy = self.say(&json!({"messages": user(PLAIN), "temperature": 0})).await?;
        Ok(vec![
            self.variety().await,
            self.default_decoding().await,
            self.choices().await,
            self.seed().await,
            self.stop(&greedy).await,
            self.prefill(&greedy).await,
            self.logprobs().await,
            self.scoring().await,
        ])
    }

    /// Sends one chat with these settings, and returns the body of the response.
    async fn chat_body(&self, settings: &Value) -> Result<Value, ProviderError> {
        let mut body = json!({"model": self.model, self.fields.longest(): 48, "stream": false});
        for (key, value) in settings.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.rest.call_at(Method::POST, self.chat.clone(), Some(&body)).await
    }

    async fn say(&self, settings: &Value) -> Result<String, ProviderError> {
        let body = self.chat_body(settings).await?;
        let text = body.pointer("/choices/0/message/content").and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| ProviderError::Malformed { what: "JSON without an answer".into() })
    }

    async fn variety(&self) -> Capability {
        let follows = "sampling: without variety, many answers are one, and no bound can be shown";
        let mut said = Vec::new();
        for seed in 0..VARIETY {
            match self.say(&json!({"messages": user(OPEN), "temperature": 1.0, "seed": 1000 + seed})).await {
                Ok(text) => said.push(text),
                Err(error) => return failed("variety", &error, follows),
            }
        }
        let varied = said.iter().any(|text| *text != said[0]);
        let found = if varied {
            Found::Yes
        } else {
            Found::Wrong(format!("{VARIETY} answers with different seeds at temperature 1 are the same"))
        };
        Capability { name: "variety", found, follows }
    }

    /// Measures an unset temperature: servers take one from the model's configuration, or decode greedily.
    async fn default_decoding(&self) -> Capability {
        let (name, follows) = ("default decoding", "sampling.server-default: how the server decodes by itself");
        let mut said: Vec<String> = Vec::new();
        for _ in 0..UNSET {
            match self.say(&json!({"messages": user(OPEN)})).await {
                Ok(text) if said.first().is_some_and(|first| *first != text) => {
                    let how = "answers to one question without a temperature differ".to_owned();
                    return Capability { name, found: Found::Is("sampled", how), follows };
                }
                Ok(text) => said.push(text),
                Err(error) => return failed(name, &error, follows),
            }
        }
        let how = format!("{UNSET} answers to one question without a temperature are the same");
        Capability { name, found: Found::Is("greedy", how), follows }
    }

    async fn choices(&self) -> Capability {
        let follows = "probe.choices above 1: several answers in one request";
        let found = match self.chat_body(&json!({"messages": user(OPEN), "temperature": 1.0, "n": 3})).await {
            Ok(body) => match body.get("choices").and_then(Value::as_array).map_or(0, Vec::len) {
                3 => Found::Yes,
                other => Found::No(format!("3 were asked for, {other} came")),
            },
            Err(error) => return failed("n", &error, follows),
        };
        Capability { name: "n", found, follows }
    }

    async fn seed(&self) -> Capability {
        let follows = "answers that can be made again; not needed for a verdict";
        let settings = json!({"messages": user(OPEN), "temperature": 1.0, "seed": 7});
        let found = match (self.say(&settings).await, self.say(&settings).await) {
            (Ok(first), Ok(second)) if first == second => Found::Yes,
            (Ok(_), Ok(_)) => Found::No("the same seed gives two answers".into()),
            (Err(error), _) | (_, Err(error)) => return failed("seed", &error, follows),
        };
        Capability { name: "seed", found, follows }
    }

    async fn stop(&self, greedy: &str) -> Capability {
        let follows = "shorter, cheaper answers";
        // A word from the second half that does not begin the answer: a correct server returns a non-empty prefix.
        let words: Vec<&str> = greedy.split_whitespace().collect();
        let word = words.iter().skip(words.len() / 2).find(|w| greedy.find(**w).is_some_and(|at| at > 0));
        let Some(word) = word else { return unclear("stop", "the answer is too short to tell", follows) };
        let settings = json!({"messages": user(PLAIN), "temperature": 0, "stop": [word]});
        let found = match self.say(&settings).await {
            Ok(text) if text.contains(word) => Found::No("the stop text is in the answer".into()),
            Ok(text) if greedy.starts_with(text.trim_end()) => Found::Yes,
            Ok(_) => return unclear("stop", "answers at temperature 0 differ", follows),
            Err(error) => return failed("stop", &error, follows),
        };
        Capability { name: "stop", found, follows }
    }

    async fn prefill(&self, greedy: &str) -> Capability {
        let follows = "attacks that begin the answer themselves";
        let half = greedy.char_indices().nth(greedy.chars().count() / 2).map_or(0, |(at, _)| at);
        let begin = greedy[..half].trim_end();
        let rest = greedy[begin.len()..].trim_start();
        if begin.is_empty() || rest.len() < 8 {
            return unclear("prefill", "the answer is too short to tell", follows);
        }
        let messages = json!([{"role": "user", "content": PLAIN}, {"role": "assistant", "content": begin}]);
        let found = match self.say(&json!({"messages": messages, "temperature": 0})).await {
            Ok(text) => {
                let same = text.trim_start().chars().zip(rest.chars()).take_while(|(a, b)| a == b).count();
                if same >= 8 { Found::Yes } else { Found::No("the answer is begun anew".into()) }
            }
            Err(error) => return failed("prefill", &error, follows),
        };
        Capability { name: "prefill", found, follows }
    }

    async fn logprobs(&self) -> Capability {
        let follows = "scores of single tokens of an answer";
        let settings = json!({"messages": user(PLAIN), "temperature": 0, "logprobs": true, "top_logprobs": 2});
        let found = match self.chat_body(&settings).await {
            Ok(body) => {
                let content = body.pointer("/choices/0/logprobs/content").and_then(Value::as_array);
                let scores: Vec<f64> =
                    content.into_iter().flatten().filter_map(|t| t.get("logprob").and_then(Value::as_f64)).collect();
                match scores.as_slice() {
                    [] => Found::No("ignored".into()),
                    some if some.iter().any(|p| *p > 1e-6) => Found::Wrong("some are above 0".into()),
                    _ => Found::Yes,
                }
            }
            Err(error) => return failed("logprobs", &error, follows),
        };
        Capability { name: "logprobs", found, follows }
    }

    /// Generates greedily, scores the same tokens as a prompt, and compares. One known server scores each token by the
    /// distribution after it, which would make a leak look clean.
    async fn scoring(&self) -> Capability {
        let follows = "likelihood of a whole secret: exposure and e-values";
        let name = "prompt scoring";
        let ask = async |prompt: &str, echo: bool| {
            let longest = if echo { 1 } else { 12 };
            let body = json!({"model": self.model, "prompt": prompt, "max_tokens": longest, "temperature": 0,
                              "logprobs": 1, "echo": echo});
            self.rest.call(Method::POST, "/completions", Some(&body)).await
        };
        let made = match ask(PLAIN, false).await {
            Ok(body) => body,
            Err(error) => return failed(name, &error, follows),
        };
        let (tokens, scores) = scored(&made);
        if tokens.len() < 4 {
            return Capability { name, found: Found::No("no scores with completions".into()), follows };
        }
        let echoed = match ask(&format!("{PLAIN}{}", tokens.concat()), true).await {
            Ok(body) => body,
            Err(error) => return failed(name, &error, follows),
        };
        let (all, again) = scored(&echoed);
        // The first token may have merged with the end of the prompt, and the last one with the newly generated token.
        let inner = 1..tokens.len() - 1;
        let (tokens, scores) = (&tokens[inner.clone()], &scores[inner]);
        let place = all.windows(tokens.len()).rposition(|window| window == tokens);
        let found = match place {
            None if all.len() <= 1 => Found::No("echo is ignored".into()),
            None => Found::No("the echoed tokens are cut in another way".into()),
            Some(at) => {
                let apart = scores.iter().zip(&again[at..]).any(|(a, b)| match (a, b) {
                    (Some(a), Some(b)) => (a - b).abs() > TOLERANCE,
                    _ => true,
                });
                if apart {
                    Found::Wrong("a token's score as prompt is not its score when it was made".into())
                } else {
                    Found::Yes
                }
            }
        };
        Capability { name, found, follows }
    }
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

/// Tokens and scores of a completion: parallel lists, or the form of chats, which llama.cpp sends here too.
fn scored(body: &Value) -> (Vec<String>, Vec<Option<f64>>) {
    if let Some(content) = body.pointer("/choices/0/logprobs/content").and_then(Value::as_array) {
        let token = |t: &Value| Some((t.get("token")?.as_str()?.to_owned(), t.get("logprob").and_then(Value::as_f64)));
        return content.iter().filter_map(token).unzip();
    }
    let list = |name: &str| body.pointer(&format!("/choices/0/logprobs/{name}")).and_then(Value::as_array);
    let tokens: Vec<String> =
        list("tokens").into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
    let scores: Vec<Option<f64>> = list("token_logprobs").into_iter().flatten().map(Value::as_f64).collect();
    if tokens.len() == scores.len() { (tokens, scores) } else { (Vec::new(), Vec::new()) }
}

fn failed(name: &'static str, error: &ProviderError, follows: &'static str) -> Capability {
    Capability { name, found: Found::No(error.to_string()), follows }
}

fn unclear(name: &'static str, why: &str, follows: &'static str) -> Capability {
    Capability { name, found: Found::No(format!("cannot be told: {why}")), follows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_in_both_shapes() {
        let lists = include_str!("../../../../testdata/openai/completions-echo.response.json");
        let (tokens, scores) = scored(&serde_json::from_str(lists).expect("JSON"));
        assert_eq!((tokens.len(), tokens[7].as_str()), (8, "-canary"));
        // The first token of a text has no score.
        assert_eq!((scores[0], scores[7]), (None, Some(-0.02)));
        let chat = include_str!("../../../../testdata/openai/llama-cpp.completions-logprobs-chat-shape.json");
        assert_eq!(scored(&serde_json::from_str(chat).expect("JSON")), (vec![" hi".to_owned()], vec![Some(-0.1)]));
    }
}
