//! A program that is asked on its standard input and answers on its standard output, for anything else.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::broken::Coming;
use super::budget::{Budget, worst_case};
use super::profile::Connection;
use super::{Answer, Completing, Provider, ProviderError, Request};
use crate::chat::{Completion, Usage};

/// The longest answer that is read.
const LARGEST: u64 = 4 << 20;

/// A program, started once for each request.
#[derive(Debug)]
pub(super) struct Program {
    command: Vec<String>,
    model: String,
    timeout: Duration,
    budget: Option<Arc<Budget>>,
    /// Variables that the program does not see.
    hidden: Vec<String>,
}

impl Program {
    pub(super) fn new(connection: &Connection, model: &str) -> Result<Self, ProviderError> {
        if connection.command.is_empty() {
            let how = "`provider.command` is needed: the program and its arguments, as in [\"python3\", \"ask.py\"]";
            return Err(ProviderError::Setup(how.into()));
        }
        Ok(Self {
            command: connection.command.clone(),
            model: model.to_owned(),
            timeout: connection.timeout,
            budget: connection.budget.clone(),
            hidden: super::profile::key_variables()
                .chain(["BLABBERMOUTH_KEY".to_owned()])
                .filter(|name| *name != connection.key_variable)
                .collect(),
        })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, ProviderError> {
        if let Some(budget) = &self.budget {
            budget.take(worst_case(request))?;
        }
        let program = &self.command[0];
        let broke = |what: String| ProviderError::Connection { host: program.clone(), what };
        let mut command = Command::new(program);
        command.args(&self.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // The key of the canaries is none of its business, nor are those of services, but the one that was named for it.
        for variable in &self.hidden {
            command.env_remove(variable);
        }
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| ProviderError::Setup(format!("`provider.command`: {program}: {e}")))?;
        let question = json!({
            "model": self.model, "messages": &*request.messages, "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p, "max_tokens": request.sampling.max_tokens, "n": request.choices,
            "seed": request.seed});
        let (mut input, output) = (child.stdin.take(), child.stdout.take());
        let mut said = Coming::new(0, true, &request.broken);
        let talk = async {
            if let Some(mut input) = input.take() {
                // A program that does not read its input may answer all the same.
                let _ = input.write_all(question.to_string().as_bytes()).await;
            }
            if let Some(output) = output {
                output.take(LARGEST + 1).read_to_end(&mut said.bytes).await.map_err(|e| broke(e.to_string()))?;
            }
            child.wait().await.map_err(|e| broke(e.to_string()))
        };
        let late = |_| Err(broke("it took too long".into()));
        let ended = tokio::time::timeout(self.timeout, talk).await.unwrap_or_else(late);
        let answer = ended.and_then(|status| {
            if !status.success() {
                return Err(broke(format!("it ended with {status}")));
            }
            if said.bytes.len() as u64 > LARGEST {
                return Err(ProviderError::Malformed { what: "longer than 4 MiB".into() });
            }
            read(&said.bytes, request.sampling.max_tokens)
        });
        if answer.is_ok() {
            said.whole();
        }
        answer
    }
}

/// `{"text": "..."}`, `{"texts": ["...", ...]}`, or a chat completion of the OpenAI dialect.
fn read(said: &[u8], max_tokens: u32) -> Result<Answer, ProviderError> {
    let value = super::text::json(said)?;
    let texts: Vec<&str> = match (&value["text"], &value["texts"]) {
        (Value::String(text), _) => vec![text],
        (_, Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return super::openai::read_answer(said, max_tokens),
    };
    if texts.is_empty() {
        return Err(ProviderError::Malformed { what: "JSON without a text".into() });
    }
    let whole = |text: &str| Completion::of(text.to_owned());
    Ok(Answer::new(texts.into_iter().map(whole).collect(), Usage::default()))
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
