//! A provider for any other service: a program that reads a request on standard input and answers on standard output.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::body::{self, BesideTexts, LARGEST_BODY, Node};
use super::budget::{Budget, worst_case};
use super::discarded::Attempt;
use super::profile::{Connection, Profile};
use super::{Answer, Completing, Provider, ProviderError, Request};
use blabbermouth_core::chat::{Completion, Usage};

/// A program that is started once per request.
#[derive(Debug)]
pub(super) struct Program {
    command: Vec<String>,
    model: String,
    timeout: Duration,
    budget: Option<Arc<Budget>>,
    /// Names of the fields for further sampling settings.
    decoding: BTreeMap<String, String>,
    /// Environment variables that the program sees, with their values.
    environment: Vec<(String, OsString)>,
}

/// Environment variables that every program sees: paths, user, language and libraries.
const PASSED: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "TMP",
    "TEMP",
    "PWD",
    "SystemRoot",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
];

/// Whether every program sees this variable.
fn is_passed(name: &str) -> bool {
    PASSED.contains(&name) || name.starts_with("LC_")
}

impl Program {
    pub(super) fn new(connection: &Connection, profile: &Profile, model: &str) -> Result<Self, ProviderError> {
        if connection.command.is_empty() {
            let how = "`provider.command` is needed: the program and its arguments, as in [\"python3\", \"ask.py\"]";
            return Err(ProviderError::Setup(how.into()));
        }
        Ok(Self {
            command: connection.command.clone(),
            model: model.to_owned(),
            timeout: connection.timeout,
            budget: connection.budget.clone(),
            decoding: profile.decoding.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| {
                    is_passed(name) || *name == connection.key_variable || connection.passed.contains(name)
                })
                .filter(|(name, _)| name != "BLABBERMOUTH_KEY")
                .collect(),
        })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, ProviderError> {
        if let Some(budget) = &self.budget {
            budget.reserve(worst_case(request))?;
        }
        let mut attempt = Attempt::new(&request.broken);
        let answer = self.attempt(request, &mut attempt).await;
        if answer.is_ok() {
            attempt.answered();
        }
        attempt.end();
        answer
    }

    /// The request as JSON. With `server_default`, the sampling settings are left to the program.
    fn question(&self, request: &Request) -> Value {
        let sampling = &request.sampling;
        let mut question = json!({"model": self.model, "messages": &*request.messages, "max_tokens": sampling.max_tokens,
                                  "n": request.choices, "seed": request.seed});
        if sampling.server_default {
            return question;
        }
        question["temperature"] = json!(sampling.temperature);
        question["top_p"] = json!(sampling.top_p);
        for (name, value) in super::openai::decoding(sampling, &self.decoding) {
            question[name] = value;
        }
        question
    }

    /// Starts the program and reads its answer.
    async fn attempt(&self, request: &Request, attempt: &mut Attempt<'_>) -> Result<Answer, ProviderError> {
        let program = &self.command[0];
        let broke = |what: String| ProviderError::Connection { host: program.clone(), what };
        let mut command = Command::new(program);
        command.args(&self.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // The program must not see the key of the canaries, nor keys of services other than the one named for it.
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.kill_on_drop(true).spawn().map_err(|e| {
            attempt.is_unreached = true;
            ProviderError::Setup(format!("`provider.command`: {program}: {e}"))
        })?;
        let question = self.question(request);
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let talk = async {
            if let Some(mut input) = input.take() {
                // A program may answer without reading its input.
                let _ = input.write_all(question.to_string().as_bytes()).await;
            }
            if let Some(output) = output {
                let mut output = output.take(LARGEST_BODY as u64 + 1);
                output.read_to_end(&mut attempt.bytes).await.map_err(|e| broke(e.to_string()))?;
            }
            child.wait().await.map_err(|e| broke(e.to_string()))
        };
        let late = |_| Err(broke("it took too long".into()));
        let status = tokio::time::timeout(self.timeout, talk).await.unwrap_or_else(late)?;
        if !status.success() {
            return Err(broke(format!("it ended with {status}")));
        }
        if attempt.bytes.len() > LARGEST_BODY {
            return Err(ProviderError::Malformed { what: "longer than 4 MiB".into() });
        }
        read(&attempt.bytes, request.sampling.max_tokens)
    }
}

/// Reads `{"text": "..."}`, `{"texts": ["...", ...]}`, or a chat completion of the OpenAI-compatible API.
fn read(said: &[u8], max_tokens: u32) -> Result<Answer, ProviderError> {
    let text = String::from_utf8_lossy(said);
    let node = match Node::read(text.trim_start_matches('\u{feff}').trim_ascii_start()) {
        Ok(node) if node.get("choices").is_none() => node,
        _ => return super::openai::read_answer(said, max_tokens),
    };
    let (own, texts): (&str, Vec<&str>) = match (node.get("text"), node.get("texts")) {
        (Some(Node::Text(text)), _) => ("text", vec![text]),
        (_, Some(Node::List(texts))) => ("texts", texts.iter().filter_map(Node::as_str).collect()),
        _ => return super::openai::read_answer(said, max_tokens),
    };
    if texts.is_empty() {
        return Err(ProviderError::Malformed { what: "JSON without a text".into() });
    }
    let mut completions: Vec<Completion> = texts.into_iter().map(Completion::of).collect();
    let mut beside = BesideTexts::default();
    for (key, value) in node.fields() {
        match value {
            Node::List(items) if key == own => {
                let others = items.iter().filter(|item| item.as_str().is_none());
                others.for_each(|item| beside.value(key, item));
            }
            value if key != own && !body::is_own(key, value) => beside.field(key, value),
            _ => {}
        }
    }
    completions[0].beside = beside.finish();
    body::join(&mut completions);
    Ok(Answer { completions, usage: Usage::default(), id: body::id_hash(node.get("id")) })
}

impl Provider for Program {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(self.ask(request))
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> String {
        self.command[0].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_program_says_is_read() {
        let read = |said: &str| read(said.as_bytes(), 9).map(|answer| answer.completions);
        let said = read(r#"{"text": "a", "thoughts": ["b", 48], "id": "i"}"#).expect("an answer");
        assert_eq!((said[0].text.as_str(), said[0].beside.as_str()), ("a", "b\n48\nb48\nthoughts"));
        let said = read(r#"{"texts": ["48", {"x": 1}, "29"]}"#).expect("an answer");
        assert_eq!((said.len(), said[0].beside.as_str()), (2, "1\nx\n4829\n2948"));
        let said = read(r#"{"choices": [{"text": "c"}], "text": "d"}"#).expect("an answer");
        assert_eq!((said[0].text.as_str(), said[0].beside.as_str()), ("c", "d"));
        for no_answer in ["", "{}", "[]", r#"{"texts": []}"#, r#"{"text": 1}"#] {
            assert!(read(no_answer).is_err(), "{no_answer}");
        }
    }
}
