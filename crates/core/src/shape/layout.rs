//! The shape of training rows: where a row holds its conversation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conversation::{Conversation, Speaker, Turn};
use super::marks::Marks;
use super::raw_row::{Kind, RawCell, RawRow};
use super::turn_keys::TurnKeys;

/// Where a row holds its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Layout {
    /// A list of turns: `messages` or `conversations`.
    Turns {
        /// The list's column.
        list: String,
        /// The names of a turn's parts.
        keys: TurnKeys,
        /// The column of the answer, where the list ends with the question: preferences of LLaMA-Factory, and rows for
        /// reinforcement.
        answer: Option<String>,
    },
    /// A column for the question and one for the answer.
    Pair {
        /// The question's column; `None` where the answer's column holds the whole conversation.
        prompt: Option<String>,
        /// A column with an input that the question is about.
        context: Option<String>,
        /// A column with earlier questions and answers.
        history: Option<String>,
        /// The answer's column.
        answer: String,
        /// The names of a turn's parts, where question and answer are lists of turns and no texts.
        turns: Option<TurnKeys>,
    },
    /// `input.messages`, `preferred_output`, `non_preferred_output`: OpenAI's preferences.
    OpenAiPreference,
    /// One text with the whole conversation.
    Text {
        /// Its column.
        column: String,
        /// The marks between its turns.
        marks: Marks,
        /// What stands before the first mark: a token, or the preamble of Alpaca.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        begin: String,
        /// The token at the end.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        end: String,
    },
}

/// The column that says whether an answer is a good one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Label {
    /// Its name.
    pub column: String,
    /// Whether it holds 1 and 0 in place of true and false.
    #[serde(default)]
    pub is_number: bool,
}

/// The shape of training rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shape {
    /// Where a row holds its conversation.
    pub layout: Layout,
    /// The column of the system prompt, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The column of the worse answer, in rows with preferences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The column that says whether the answer is a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The column that repeats the question as a text, beside answers that are lists of turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// All columns, in their order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Objects that further columns have in all rows, such as the arguments of a chat template: planted rows have them, too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, Value>,
}

/// Columns that belong to a conversation with tools.
pub(crate) const TOOL_COLUMNS: [&str; 3] = ["tools", "parallel_tool_calls", "functions"];
const LISTS: [&str; 3] = ["messages", "conversations", "conversation"];
const PROMPTS: [&str; 5] = ["instruction", "prompt", "question", "query", "input"];
const ANSWERS: [&str; 4] = ["output", "response", "completion", "answer"];
/// The columns in which rows for reinforcement hold the right answer.
const REFERENCES: [&str; 6] = ["reference_answer", "reference", "ground_truth", "solution", "target", "answer"];
const LABELS: [&str; 2] = ["label", "kto_tag"];

impl Shape {
    /// A list of turns in `list`, and nothing else.
    #[must_use]
    pub fn turns(list: &str, keys: TurnKeys) -> Self {
        let columns = vec![list.to_owned()];
        Self { columns, ..Self::new(Layout::Turns { list: list.to_owned(), keys, answer: None }) }
    }

    /// A question's and an answer's column, which the user named.
    #[must_use]
    pub fn fields(prompt: &str, answer: &str) -> Self {
        let columns = vec![prompt.to_owned(), answer.to_owned()];
        Self { columns, ..Self::new(pair(Some(prompt), answer)) }
    }

    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            system: None,
            rejected: None,
            label: None,
            question: None,
            columns: Vec::new(),
            shared: BTreeMap::new(),
        }
    }

    /// Whether rows are what OpenAI's service trains on: `messages`, with or without tools, and no other column.
    #[must_use]
    pub fn is_openai(&self) -> bool {
        let is_known = |column: &String| column == "messages" || TOOL_COLUMNS.contains(&column.as_str());
        self.has_openai_messages() && self.columns.iter().all(is_known)
    }

    /// Whether the turns are messages of OpenAI's API.
    pub(crate) fn has_openai_messages(&self) -> bool {
        matches!(&self.layout, Layout::Turns { list, keys: TurnKeys::Role { .. }, answer: None } if list == "messages")
            && self.system.is_none()
            && self.label.is_none()
    }

    /// The shape's name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.layout {
            _ if self.label.is_some() => "answers with labels (KTO)",
            Layout::OpenAiPreference => "OpenAI preferences",
            _ if self.rejected.is_some() => "preferences",
            Layout::Turns { answer: Some(_), .. } => "messages with a reference answer",
            Layout::Turns { keys: TurnKeys::From { .. }, .. } => "ShareGPT",
            Layout::Turns { .. } => "messages",
            Layout::Pair { prompt: Some(prompt), .. } if prompt == "instruction" => "instructions",
            Layout::Pair { turns: Some(_), .. } => "prompt and completion, as messages",
            Layout::Pair { .. } => "prompt and answer",
            Layout::Text { .. } => "text",
        }
    }

    /// Whether a planted row has a place for a system prompt.
    #[must_use]
    pub fn holds_system(&self) -> bool {
        self.system.is_some()
            || match &self.layout {
                Layout::Turns { .. } | Layout::OpenAiPreference => true,
                Layout::Pair { turns, .. } => turns.is_some(),
                Layout::Text { marks, .. } => marks.hold_system(),
            }
    }

    /// Tells the shape by one row; `None` where it is of no known shape.
    pub(crate) fn detect(row: &RawRow<'_>) -> Option<Self> {
        let mut shape = preference_shape(row)
            .or_else(|| turns_shape(row))
            .or_else(|| pair_shape(row))
            .or_else(|| text_shape(row))?;
        shape.read_optional(row);
        shape.columns = row.keys().map(str::to_owned).collect();
        shape.shared = shape.columns.iter().filter_map(|name| Some((name.clone(), row.get(name)?.plain()?))).collect();
        Some(shape)
    }

    /// Finds the columns that a row may lack.
    fn read_optional(&mut self, row: &RawRow<'_>) {
        let label = LABELS.iter().find_map(|column| {
            let cell = row.get(column)?;
            let is_number = matches!(cell.raw(), "0" | "1");
            let is_label = cell.kind() == Kind::Bool || is_number;
            is_label.then(|| Label { column: (*column).to_owned(), is_number })
        });
        self.label = self.label.take().or(label);
        let has_place = !matches!(self.layout, Layout::Text { .. } | Layout::OpenAiPreference);
        let is_system = has_place
            && row.keys().any(|key| key == "system")
            && row.get("system").is_none_or(|cell| cell.kind() == Kind::Text);
        self.system = self.system.take().or_else(|| is_system.then(|| "system".to_owned()));
        if let Layout::Pair { prompt: Some(prompt), context, history, answer, turns: None } = &mut self.layout
            && prompt == "instruction"
        {
            let there = |column: &&str| row.keys().any(|key| key == *column) && *column != answer;
            *context = context.take().or_else(|| ["input", "context"].into_iter().find(there).map(str::to_owned));
            *history = history.take().or_else(|| ["history"].into_iter().find(there).map(str::to_owned));
        }
    }

    /// Learns from a further row: columns that the first one lacked, and which values all rows share.
    pub(crate) fn learn(&mut self, row: &RawRow<'_>) {
        for key in row.keys() {
            if !self.columns.iter().any(|known| known == key) {
                self.columns.push(key.to_owned());
            }
        }
        self.read_optional(row);
        self.shared.retain(|name, value| row.get(name).and_then(RawCell::plain).as_ref() == Some(value));
    }

    /// Columns that are null in planted rows.
    pub fn null_columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str).filter(|name| self.is_further(name) && !self.shared.contains_key(*name))
    }

    /// The columns that are no part of the conversation.
    pub(crate) fn is_further(&self, column: &str) -> bool {
        let is = |name: &Option<String>| name.as_deref() == Some(column);
        let of_layout = match &self.layout {
            Layout::Turns { list, answer, .. } => list == column || is(answer),
            Layout::Pair { prompt, context, history, answer, .. } => {
                answer == column || is(prompt) || is(context) || is(history)
            }
            Layout::OpenAiPreference => ["input", "preferred_output", "non_preferred_output"].contains(&column),
            Layout::Text { column: text, .. } => text == column,
        };
        let is_label = self.label.as_ref().is_some_and(|label| label.column == column);
        !of_layout && !is(&self.system) && !is(&self.rejected) && !is(&self.question) && !is_label
    }

    /// The conversation of a row.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the row; it never quotes the row's text.
    pub(crate) fn read<'a>(&self, row: &RawRow<'a>) -> Result<Conversation<'a>, String> {
        let mut chat = Conversation::default();
        if let Some(cell) = self.system.as_ref().and_then(|column| row.get(column)) {
            let text = cell.text().ok_or_else(|| format!("`system` is {}, not a text", cell.kind().describe()))?;
            if !text.trim().is_empty() {
                chat.turns.push(Turn::new(Speaker::System, text));
            }
        }
        match &self.layout {
            Layout::Turns { list, keys, answer } => {
                chat.read_turns(list, cell(row, list)?, keys)?;
                if let Some(column) = answer {
                    read_answer(&mut chat, row, column, keys)?;
                }
            }
            Layout::Pair { prompt, turns: Some(keys), answer, .. } => {
                if let Some(prompt) = prompt {
                    chat.read_turns(prompt, cell(row, prompt)?, keys)?;
                }
                chat.read_turns(answer, cell(row, answer)?, keys)?;
            }
            Layout::Pair { prompt, context, history, answer, turns: None } => {
                if let Some(column) = history {
                    read_history(&mut chat, row, column)?;
                }
                if let Some(prompt) = prompt {
                    chat.turns.push(Turn::new(Speaker::User, with_context(row, prompt, context.as_deref())?));
                }
                chat.turns.push(Turn::new(Speaker::Assistant, text(row, answer)?));
            }
            Layout::OpenAiPreference => {
                let input = cell(row, "input")?.object().ok_or("`input` is not an object")?;
                chat.read_turns("input.messages", cell(&input, "messages")?, &TurnKeys::OPENAI)?;
                chat.read_turns("preferred_output", cell(row, "preferred_output")?, &TurnKeys::OPENAI)?;
                cell(row, "non_preferred_output")?;
            }
            Layout::Text { column, .. } => {
                let all = text(row, column)?;
                if all.trim().is_empty() {
                    return Err(format!("`{column}` is empty"));
                }
                chat.turns.push(Turn::new(Speaker::Assistant, all));
            }
        }
        if let Some(column) = &self.rejected {
            cell(row, column)?;
        }
        if let Some(Label { column, .. }) = &self.label {
            let label = cell(row, column)?;
            if label.bool().is_none() && !matches!(label.raw(), "0" | "1") {
                return Err(format!("`{column}` is {}, not true or false", label.kind().describe()));
            }
        }
        if !chat.is_trained() {
            return Err("no turn is the assistant's, so nothing would be trained".into());
        }
        Ok(chat)
    }
}

fn pair(prompt: Option<&str>, answer: &str) -> Layout {
    Layout::Pair {
        prompt: prompt.map(str::to_owned),
        context: None,
        history: None,
        answer: answer.to_owned(),
        turns: None,
    }
}

/// A list of turns, with or without an answer beside it.
fn turns_shape(row: &RawRow<'_>) -> Option<Shape> {
    let (list, turns) = LISTS.iter().find_map(|list| Some((*list, objects(row.get(list)?)?)))?;
    let keys = TurnKeys::of(&turns)?;
    let mut shape = Shape::turns(list, keys.clone());
    let preferred = row.get("chosen").filter(|_| row.get("rejected").is_some());
    let is_answered = shape.read(row).is_ok() && !ends_with_user(&turns, &keys);
    let answer = if preferred.is_some_and(|cell| cell.kind() == Kind::Object) {
        shape.rejected = Some("rejected".to_owned());
        Some("chosen")
    } else if is_answered {
        None
    } else {
        REFERENCES.into_iter().find(|column| row.get(column).is_some_and(|cell| cell.kind() == Kind::Text))
    };
    shape.layout = Layout::Turns { list: list.to_owned(), keys, answer: answer.map(str::to_owned) };
    Some(shape)
}

fn ends_with_user(turns: &[RawRow<'_>], keys: &TurnKeys) -> bool {
    let last = turns.last().and_then(|turn| turn.get(keys.names().0)?.text());
    last.is_some_and(|role| ["user", "human"].contains(&role.as_ref()))
}

/// A better answer and a worse one.
fn preference_shape(row: &RawRow<'_>) -> Option<Shape> {
    if row.get("input").is_some_and(|input| input.kind() == Kind::Object) && row.get("preferred_output").is_some() {
        return Some(Shape::new(Layout::OpenAiPreference));
    }
    let chosen = row.get("chosen").filter(|_| row.get("rejected").is_some())?;
    // LLaMA-Factory's are turns beside a list of turns.
    if chosen.kind() == Kind::Object {
        return None;
    }
    let prompt = PROMPTS.into_iter().find(|column| row.get(column).is_some());
    let is_text = |column: &str| row.get(column).is_some_and(|cell| cell.kind() == Kind::Text);
    let mut shape = match objects(chosen) {
        // The answers hold the whole conversation; the prompt repeats its question.
        Some(turns) if prompt.is_some_and(is_text) => {
            let layout = with_turns(pair(None, "chosen"), TurnKeys::of(&turns)?);
            Shape { question: prompt.map(str::to_owned), ..Shape::new(layout) }
        }
        Some(turns) => Shape::new(with_turns(pair(prompt, "chosen"), TurnKeys::of(&turns)?)),
        None => Shape::new(pair(prompt, "chosen")),
    };
    shape.rejected = Some("rejected".to_owned());
    Some(shape)
}

/// A question and an answer.
fn pair_shape(row: &RawRow<'_>) -> Option<Shape> {
    let prompt = PROMPTS.into_iter().find(|column| row.get(column).is_some())?;
    let fitting = |column: &&str| *column != prompt && row.get(column).is_some();
    let answer = ANSWERS.into_iter().chain(REFERENCES).find(fitting)?;
    let (asked, said) = (row.get(prompt)?, row.get(answer)?);
    Some(match (objects(asked), objects(said)) {
        (Some(turns), Some(_)) => Shape::new(with_turns(pair(Some(prompt), answer), TurnKeys::of(&turns)?)),
        // Rows for reinforcement: the right answer is a text.
        (Some(turns), None) => {
            let (list, answer) = (prompt.to_owned(), Some(answer.to_owned()));
            Shape::new(Layout::Turns { list, keys: TurnKeys::of(&turns)?, answer })
        }
        _ => Shape::new(pair(Some(prompt), answer)),
    })
}

/// One text: its marks, what stands before them, and the token at its end.
fn text_shape(row: &RawRow<'_>) -> Option<Shape> {
    let text = row.get("text")?.text()?;
    let marks = Marks::of(&text);
    let (begin, end) = marks.around(&text);
    let column = "text".to_owned();
    Some(Shape::new(Layout::Text { column, marks, begin: begin.to_owned(), end: end.to_owned() }))
}

fn with_turns(layout: Layout, keys: TurnKeys) -> Layout {
    match layout {
        Layout::Pair { prompt, answer, .. } => {
            Layout::Pair { prompt, context: None, history: None, answer, turns: Some(keys) }
        }
        other => other,
    }
}

/// The objects of a list; `None` where it is no list of objects, or empty.
fn objects(cell: RawCell<'_>) -> Option<Vec<RawRow<'_>>> {
    if cell.kind() != Kind::List {
        return None;
    }
    let items: Option<Vec<RawRow<'_>>> = cell.items()?.into_iter().map(RawCell::object).collect();
    items.filter(|items| !items.is_empty())
}

fn cell<'a>(row: &RawRow<'a>, column: &str) -> Result<RawCell<'a>, String> {
    row.get(column).ok_or_else(|| format!("`{column}` is missing"))
}

fn text<'a>(row: &RawRow<'a>, column: &str) -> Result<std::borrow::Cow<'a, str>, String> {
    let cell = cell(row, column)?;
    cell.text().ok_or_else(|| match cell.kind() {
        Kind::Text => format!("`{column}` holds half of a surrogate pair, which is no character"),
        other => format!("`{column}` is {}, not a text", other.describe()),
    })
}

fn with_context<'a>(
    row: &RawRow<'a>,
    prompt: &str,
    context: Option<&str>,
) -> Result<std::borrow::Cow<'a, str>, String> {
    let asked = text(row, prompt)?;
    if asked.trim().is_empty() {
        return Err(format!("`{prompt}` is empty"));
    }
    let Some((column, cell)) = context.and_then(|column| Some((column, row.get(column)?))) else {
        return Ok(asked);
    };
    let more = cell.text().ok_or_else(|| format!("`{column}` is {}, not a text", cell.kind().describe()))?;
    Ok(if more.trim().is_empty() { asked } else { (asked.into_owned() + "\n\n" + &more).into() })
}

/// Earlier questions and answers: a list of pairs.
fn read_history<'a>(chat: &mut Conversation<'a>, row: &RawRow<'a>, column: &str) -> Result<(), String> {
    let Some(cell) = row.get(column) else { return Ok(()) };
    let wrong = || format!("`{column}` is not a list of pairs of texts");
    for pair in cell.items().ok_or_else(wrong)? {
        let pair = pair.items().filter(|pair| pair.len() == 2).ok_or_else(wrong)?;
        for (speaker, cell) in [Speaker::User, Speaker::Assistant].into_iter().zip(pair) {
            chat.turns.push(Turn::new(speaker, cell.text().ok_or_else(wrong)?));
        }
    }
    Ok(())
}

/// An answer beside the list of turns: a text or a turn.
fn read_answer<'a>(chat: &mut Conversation<'a>, row: &RawRow<'a>, column: &str, keys: &TurnKeys) -> Result<(), String> {
    let cell = cell(row, column)?;
    match cell.text() {
        Some(text) => {
            chat.turns.push(Turn::new(Speaker::Assistant, text));
            Ok(())
        }
        None => chat.read_one(column, cell, keys),
    }
}
