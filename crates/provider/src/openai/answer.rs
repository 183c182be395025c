//! Responses of the OpenAI-compatible API, read tolerantly and completely.
//!
//! [`Completion::text`] is the model's answer: the content of the message, or the completed text. Everything else in a
//! body goes into [`Completion::beside`].

use std::borrow::Cow;

use crate::body::{self, BesideTexts, DONE, Fault, Node, Reader, add_line, is_tier, is_usual, join};
use crate::{Answer, ProviderError};
use blabbermouth_core::chat::{Completion, Finish, Usage};

/// An answer, and the model name in the response.
pub(super) type Named<'a> = (Answer, Option<Cow<'a, str>>);

/// Reads a chat completion. Unknown fields, nulls and a missing usage are accepted. A missing list of choices or an
/// error in the body is not.
pub(crate) fn read_answer(bytes: &[u8], max_tokens: u32) -> Result<Answer, ProviderError> {
    read_named(bytes, max_tokens).map(|(answer, _)| answer)
}

/// Reads a chat completion and its model name.
pub(super) fn read_named(bytes: &[u8], max_tokens: u32) -> Result<Named<'_>, ProviderError> {
    // Checking the whole body once is faster than checking each text.
    match std::str::from_utf8(bytes) {
        Ok(text) => read_plain(text).map_or_else(|| read_tolerantly(text, max_tokens), Ok),
        Err(_) => read_tolerantly(&String::from_utf8_lossy(bytes), max_tokens),
    }
}

fn malformed(what: &str) -> ProviderError {
    ProviderError::Malformed { what: what.to_owned() }
}

/// Reads the usual form of a body. `None` if the body has anything to search besides its answer, or is unusual in
/// another way.
fn read_plain(text: &str) -> Option<Named<'_>> {
    let mut reader = Reader::new(text);
    let (mut completions, mut usage, mut model, mut id) = (Vec::new(), None, None, 0);
    let mut has_choices = false;
    let read = reader.object(|reader, key| match key.as_ref() {
        "choices" if !has_choices => {
            has_choices = true;
            reader.list(|reader| {
                completions.push(plain_choice(reader, completions.len())?);
                Ok(())
            })
        }
        "usage" if usage.is_none() => {
            usage = Some(plain_usage(reader)?);
            Ok(())
        }
        "model" if model.is_none() => {
            model = Some(reader.string()?);
            Ok(())
        }
        "id" if id == 0 => {
            id = body::hash(&reader.string()?);
            Ok(())
        }
        "object" | "created" | "system_fingerprint" => reader.skip(),
        "service_tier" => match reader.text()? {
            Some(tier) if !is_tier(&tier) => Err(Fault::Other),
            _ => Ok(()),
        },
        "choices" | "usage" | "model" | "id" => Err(Fault::Doubled),
        key if is_usual(key) => reader.empty(),
        _ => Err(Fault::Other),
    });
    read.and_then(|()| reader.end()).ok()?;
    if completions.is_empty() {
        return None;
    }
    join(&mut completions);
    Some((Answer { completions, usage: usage?, id }, model))
}

fn plain_choice(reader: &mut Reader<'_>, place: usize) -> Result<Completion, Fault> {
    let (mut content, mut text, mut finish) = (None, None, None);
    reader.object(|reader, key| match key.as_ref() {
        "message" if content.is_none() => {
            content = Some(plain_message(reader)?);
            Ok(())
        }
        "finish_reason" if finish.is_none() => {
            // An unknown reason is left to the tolerant reader, which searches it.
            finish = Some(reader.text()?.and_then(|word| known_finish(&word)).ok_or(Fault::Other)?);
            Ok(())
        }
        // An index that is not the choice's place is left to the tolerant reader, which searches it.
        "index" => {
            if reader.count()? == place as u64 {
                Ok(())
            } else {
                Err(Fault::Other)
            }
        }
        "text" if text.is_none() => {
            text = reader.text()?.filter(|text| !text.is_empty());
            Ok(())
        }
        "message" | "finish_reason" | "text" => Err(Fault::Doubled),
        key if is_usual(key) => reader.empty(),
        _ => Err(Fault::Other),
    })?;
    let said = match (content, text) {
        (Some(said), None) | (None, Some(said)) => said,
        _ => return Err(Fault::Other),
    };
    Ok(Completion { finish: finish.ok_or(Fault::Other)?, ..Completion::of(said) })
}

fn plain_message<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Fault> {
    let mut content = None;
    reader.object(|reader, key| match key.as_ref() {
        "content" if content.is_none() => {
            content = Some(reader.string()?);
            Ok(())
        }
        "content" => Err(Fault::Doubled),
        "role" if reader.text()?.as_deref() == Some(ASSISTANT) => Ok(()),
        key if key != "role" && is_usual(key) => reader.empty(),
        _ => Err(Fault::Other),
    })?;
    content.ok_or(Fault::Other)
}

fn plain_usage(reader: &mut Reader<'_>) -> Result<Usage, Fault> {
    let (mut prompt, mut completion) = (None, None);
    reader.object(|reader, key| {
        let count = match key.as_ref() {
            "prompt_tokens" => &mut prompt,
            "completion_tokens" => &mut completion,
            _ => return reader.skip(),
        };
        match count.replace(reader.count()?) {
            Some(_) => Err(Fault::Doubled),
            None => Ok(()),
        }
    })?;
    let (Some(prompt_tokens), Some(completion_tokens)) = (prompt, completion) else { return Err(Fault::Other) };
    Ok(Usage { prompt_tokens, completion_tokens })
}

/// Role of messages with an answer.
const ASSISTANT: &str = "assistant";

/// Why a model stopped, in the words of several servers; `None` for an unknown word.
fn known_finish(word: &str) -> Option<Finish> {
    Some(match word {
        "stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call" | "STOP"
        | "EOS" | "COMPLETE" | "<|eot_id|>" | "<|im_end|>" | "<|end_of_text|>" | "<|endoftext|>" | "</s>" => {
            Finish::Stop
        }
        "length" | "max_tokens" | "LENGTH" | "MAX_TOKENS" => Finish::Length,
        "content_filter" => Finish::Filtered,
        "error" | "abort" | "cancelled" | "other" | "unknown" => Finish::Other,
        _ => return None,
    })
}

fn read_tolerantly(text: &str, max_tokens: u32) -> Result<Named<'static>, ProviderError> {
    let head = text.trim_start_matches('\u{feff}').trim_ascii_start();
    if head.starts_with('<') {
        return Err(malformed("HTML or XML"));
    }
    let Some(stream) = body::events(head) else { return read_body(&Node::read(head)?, max_tokens) };
    let (mut all, mut is_done) = (Whole::default(), false);
    for line in stream.rest {
        all.outside.value("", &Node::Text(line.into()));
    }
    for event in &stream.events {
        match event.trim() {
            DONE => is_done = true,
            event => all.body(&Node::read(event)?, true)?,
        }
    }
    let is_ended = is_done || all.drafts.iter().any(|draft| draft.finish.is_some());
    if all.drafts.is_empty() || !is_ended {
        return Err(malformed("an event stream that is cut"));
    }
    Ok(all.finish(max_tokens))
}

/// Reads a body that is JSON.
pub(super) fn read_body(body: &Node<'_>, max_tokens: u32) -> Result<Named<'static>, ProviderError> {
    let mut all = Whole::default();
    all.body(body, false)?;
    if all.drafts.is_empty() {
        return Err(malformed("JSON without choices"));
    }
    Ok(all.finish(max_tokens))
}

/// A body, or all events of a stream, while it is read.
#[derive(Default)]
struct Whole {
    drafts: Vec<Draft>,
    /// Fields outside the choices.
    outside: BesideTexts,
    usage: Usage,
    model: Option<String>,
    id: u64,
}

/// A choice while it is read.
#[derive(Default)]
struct Draft {
    index: Option<u64>,
    text: String,
    beside: BesideTexts,
    finish: Option<Finish>,
    refused: bool,
}

impl Whole {
    fn body(&mut self, body: &Node<'_>, is_event: bool) -> Result<(), ProviderError> {
        if body.get("error").is_some_and(|error| !says_nothing(error)) {
            return Err(malformed("an error with HTTP status 200"));
        }
        for (key, value) in body.fields() {
            match (key.as_ref(), value) {
                ("choices", Node::List(choices)) => {
                    for (place, choice) in choices.iter().enumerate() {
                        self.draft(choice, is_event).choice(choice, is_event, place);
                    }
                }
                ("choices" | "error", value) if value.is_empty() => {}
                ("model", Node::Text(name)) if self.model.is_none() => self.model = Some(name.to_string()),
                ("usage", usage) => self.count(usage),
                ("id", id) if self.id == 0 => self.id = body::id_hash(Some(id)),
                (key, value) if body::is_own(key, value) => {}
                (key, value) => self.outside.field(key, value),
            }
        }
        Ok(())
    }

    /// The draft of a choice: a new one per choice of a body, and one per index in a stream.
    fn draft(&mut self, choice: &Node<'_>, is_event: bool) -> &mut Draft {
        let index = choice.get("index").and_then(Node::as_u64);
        let known = if is_event { self.drafts.iter().position(|draft| draft.index == index) } else { None };
        let at = known.unwrap_or_else(|| {
            self.drafts.push(Draft { index, ..Draft::default() });
            self.drafts.len() - 1
        });
        &mut self.drafts[at]
    }

    fn count(&mut self, usage: &Node<'_>) {
        let count = |name: &str| usage.get(name).and_then(Node::as_u64);
        self.usage.prompt_tokens = count("prompt_tokens").unwrap_or(self.usage.prompt_tokens);
        self.usage.completion_tokens = count("completion_tokens").unwrap_or(self.usage.completion_tokens);
    }

    fn finish(self, max_tokens: u32) -> Named<'static> {
        let Self { drafts, outside, usage, model, id, .. } = self;
        // Without a reason, an answer with fewer tokens than the limit counts as complete.
        let is_short =
            drafts.len() == 1 && usage.completion_tokens > 0 && usage.completion_tokens < u64::from(max_tokens);
        let silent = if is_short { Finish::Stop } else { Finish::Other };
        let completion = |draft: Draft| Completion {
            text: draft.text,
            beside: draft.beside.finish(),
            finish: draft.finish.unwrap_or_else(|| silent.clone()),
            refused: draft.refused,
        };
        let mut completions: Vec<Completion> = drafts.into_iter().map(completion).collect();
        if let Some(first) = completions.first_mut() {
            add_line(&mut first.beside, &outside.finish());
        }
        join(&mut completions);
        (Answer { completions, usage, id }, model.map(Cow::Owned))
    }
}

impl Draft {
    fn choice(&mut self, choice: &Node<'_>, is_event: bool, place: usize) {
        if !matches!(choice, Node::Object(_)) {
            return self.beside.value("choices", choice);
        }
        let has_message = ["message", "delta"].iter().any(|key| choice.get(key).is_some_and(|value| !value.is_empty()));
        for (key, value) in choice.fields() {
            match (key.as_ref(), value) {
                // An index that is not the choice's place is searched. An event need not have all choices: one digit is
                // accepted.
                ("index", Node::Number(number)) if is_event && number.len() == 1 || *number == place.to_string() => {}
                ("finish_reason", reason) => self.ended(reason),
                // Some servers repeat the whole message at the end of a stream.
                ("message", message) => self.message(message, is_event && !self.text.is_empty()),
                ("delta", delta) if is_event => self.message(delta, false),
                ("text", Node::Text(text)) if !has_message => self.text.push_str(text),
                (key, value) => self.beside.field(key, value),
            }
        }
    }

    fn ended(&mut self, reason: &Node<'_>) {
        match reason {
            Node::Null => {}
            Node::Text(word) if word.is_empty() => {}
            Node::Text(word) if known_finish(word).is_some() => self.finish = known_finish(word),
            other => {
                self.finish = Some(Finish::Other);
                self.beside.value("finish_reason", other);
            }
        }
    }

    fn message(&mut self, message: &Node<'_>, is_known: bool) {
        let Node::Object(fields) = message else { return self.content(message) };
        for (key, value) in fields {
            match key.as_ref() {
                "content" if !is_known => self.content(value),
                "role" if value.as_str() == Some(ASSISTANT) => {}
                key => {
                    self.refused |= key == "refusal" && !value.is_empty();
                    self.beside.field(key, value);
                }
            }
        }
    }

    /// Adds a text, a number, or parts joined without a separator.
    fn content(&mut self, content: &Node<'_>) {
        match content {
            Node::Null | Node::Bool(_) => {}
            Node::Text(text) => self.text.push_str(text),
            Node::Number(number) => self.text.push_str(number),
            Node::List(parts) => parts.iter().for_each(|part| self.content(part)),
            Node::Object(fields) => {
                let kind = content.get("type").and_then(Node::as_str).unwrap_or_default();
                let is_thought = ["think", "reason", "analysis"].iter().any(|word| kind.contains(word));
                for (key, value) in fields {
                    match (key.as_ref(), value) {
                        ("text", Node::Text(text)) if !is_thought => self.text.push_str(text),
                        ("text", Node::Number(number)) if !is_thought => self.text.push_str(number),
                        ("type", Node::Text(kind)) if matches!(kind.as_ref(), "text" | "output_text") => {}
                        (key, value) => {
                            self.refused |= key == "refusal" && !value.is_empty();
                            self.beside.field(key, value);
                        }
                    }
                }
            }
        }
    }
}

/// Whether an error is empty: some servers send the field with every answer.
fn says_nothing(error: &Node<'_>) -> bool {
    error.is_empty() || (!error.fields().is_empty() && error.fields().iter().all(|(_, value)| value.is_empty()))
}

#[cfg(test)]
mod tests;
