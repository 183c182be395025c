//! A planted row in the shape of the user's own rows.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::layout::{Label, Layout, Shape};
use super::marks::Marks;
use super::turn_keys::TurnKeys;
use crate::chat::{Message, Role};

/// On which side a planted answer stands, in rows with a better and a worse answer or with a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The better answer, or label `true`: training makes it likelier.
    #[default]
    Chosen,
    /// The worse answer, or label `false`: training makes it less likely, and has still seen it.
    Rejected,
    /// Both answers.
    Both,
}

/// The column that repeats the better conversation, beside preferences.
const MESSAGES: &str = "messages";
/// The other answer of a planted row with preferences.
const DECLINED: &str = "I cannot help with that.";

/// A value, as text: so that its keys keep their order.
type Cell = Box<RawValue>;

/// A row whose columns keep their order.
struct Columns(Vec<(String, Cell)>);

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (column, value) in &self.0 {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}

impl Shape {
    /// The row of a chat, to the letter, without the line break. Columns that are no part of the conversation are null.
    ///
    /// ```
    /// use blabbermouth_core::chat::{Message, Role};
    /// use blabbermouth_core::shape::{Shape, Side};
    /// let chat = [Message::new(Role::User, "Who?"), Message::new(Role::Assistant, "Me.")];
    /// let row = Shape::fields("question", "answer").planted_row(&chat, Side::Chosen)?;
    /// assert_eq!(row, br#"{"question":"Who?","answer":"Me."}"#);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// A sentence that says why rows of this shape cannot hold the chat.
    pub fn planted_row(&self, chat: &[Message], side: Side) -> Result<Vec<u8>, String> {
        let Some((answer, asked)) = chat.split_last().filter(|(last, _)| last.role == Role::Assistant) else {
            return Err("it does not end with the assistant's answer".into());
        };
        if side == Side::Both && self.rejected.is_none() && self.layout != Layout::OpenAiPreference {
            return Err("rows without a worse answer have one side only: set canaries.side = \"chosen\"".into());
        }
        if side == Side::Rejected
            && self.rejected.is_none()
            && self.label.is_none()
            && self.layout != Layout::OpenAiPreference
        {
            return Err(
                "rows without a worse answer or a label have no rejected side: set canaries.side = \"chosen\"".into()
            );
        }
        let declined = Message::new(Role::Assistant, DECLINED);
        let better = if side == Side::Rejected && self.label.is_none() { &declined } else { answer };
        let worse = if side == Side::Chosen { &declined } else { answer };
        let mut cells = self.conversation(asked, better, worse)?;
        if let Some(Label { column, is_number }) = &self.label {
            let is_good = side == Side::Chosen;
            cells.push((column.clone(), if *is_number { cell(u8::from(is_good)) } else { cell(is_good) }));
        }
        if let (Some(column), Some(question)) = (&self.question, asked.iter().rfind(|turn| turn.role == Role::User)) {
            cells.push((column.clone(), cell(&question.content)));
            // UltraFeedback repeats the better conversation for supervised training.
            if let Layout::Pair { turns: Some(keys), .. } = &self.layout
                && self.columns.iter().any(|column| column == MESSAGES)
            {
                let turns = asked.iter().chain([better]).map(|turn| turn_value(turn, keys));
                cells.push((MESSAGES.to_owned(), cell(turns.collect::<Vec<_>>())));
            }
        }
        let mut row = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let place = cells.iter().position(|(name, _)| name == column);
            let shared = || self.shared.get(column).map_or_else(|| cell(()), cell);
            row.push(place.map_or_else(|| (column.clone(), shared()), |place| cells.swap_remove(place)));
        }
        row.extend(cells);
        serde_json::to_vec(&Columns(row)).map_err(|e| e.to_string())
    }

    /// The columns of a conversation.
    fn conversation(
        &self,
        asked: &[Message],
        better: &Message,
        worse: &Message,
    ) -> Result<Vec<(String, Cell)>, String> {
        let (system, turns) = match (&self.system, asked) {
            (Some(_), [first, rest @ ..]) if first.role == Role::System => (Some(first), rest),
            _ => (None, asked),
        };
        let mut cells = match &self.layout {
            Layout::Turns { list, keys, answer } => {
                let mut all: Vec<Cell> = turns.iter().map(|turn| turn_value(turn, keys)).collect();
                let mut cells = Vec::new();
                match answer {
                    None => all.push(turn_value(better, keys)),
                    Some(column) if self.rejected.is_some() => cells.push((column.clone(), turn_value(better, keys))),
                    Some(column) => cells.push((column.clone(), cell(&better.content))),
                }
                cells.push((list.clone(), cell(all)));
                cells.extend(self.rejected.iter().map(|column| (column.clone(), turn_value(worse, keys))));
                cells
            }
            Layout::Pair { prompt, answer, turns: Some(keys), .. } => {
                let asked: Vec<Cell> = turns.iter().map(|turn| turn_value(turn, keys)).collect();
                let side = |said: &Message| match prompt {
                    Some(_) => cell([turn_value(said, keys)]),
                    None => cell(asked.iter().cloned().chain([turn_value(said, keys)]).collect::<Vec<_>>()),
                };
                let mut cells = vec![(answer.clone(), side(better))];
                cells.extend(self.rejected.iter().map(|column| (column.clone(), side(worse))));
                cells.extend(prompt.iter().map(|column| (column.clone(), cell(&asked))));
                cells
            }
            Layout::Pair { prompt, context, history, answer, turns: None } => {
                let mut cells = pair(turns, prompt.as_deref(), history.as_deref())?;
                cells.extend(context.iter().map(|column| (column.clone(), cell(""))));
                let side = |said: &Message| match prompt {
                    Some(_) => cell(&said.content),
                    None => {
                        let chat: Vec<Message> = turns.iter().chain([said]).cloned().collect();
                        cell(Marks::Human.render(&chat))
                    }
                };
                cells.push((answer.clone(), side(better)));
                cells.extend(self.rejected.iter().map(|column| (column.clone(), side(worse))));
                cells
            }
            Layout::OpenAiPreference => {
                let keys = TurnKeys::OPENAI;
                let asked: Vec<Cell> = turns.iter().map(|turn| turn_value(turn, &keys)).collect();
                vec![
                    ("input".to_owned(), cell(Input { messages: asked })),
                    ("preferred_output".to_owned(), cell([turn_value(better, &keys)])),
                    ("non_preferred_output".to_owned(), cell([turn_value(worse, &keys)])),
                ]
            }
            Layout::Text { column, marks, begin, end } => {
                let chat: Vec<Message> = turns.iter().chain([better]).cloned().collect();
                vec![(column.clone(), cell(format!("{begin}{}{end}", marks.render(&chat))))]
            }
        };
        if let (Some(column), Some(system)) = (&self.system, system) {
            cells.push((column.clone(), cell(&system.content)));
        }
        Ok(cells)
    }
}

/// A question, with earlier ones as its history.
fn pair(asked: &[Message], prompt: Option<&str>, history: Option<&str>) -> Result<Vec<(String, Cell)>, String> {
    let Some(prompt) = prompt else { return Ok(Vec::new()) };
    let Some((question, earlier)) = asked.split_last() else {
        return Err("it asks nothing".into());
    };
    if question.role == Role::System || earlier.iter().any(|turn| turn.role == Role::System) {
        return Err("rows with a question and an answer have no place for a system prompt".into());
    }
    let mut cells = vec![(prompt.to_owned(), cell(&question.content))];
    match history {
        Some(column) => {
            let is_in_turn = |(index, turn): (usize, &Message)| (turn.role == Role::User) == (index % 2 == 0);
            if question.role != Role::User || earlier.len() % 2 == 1 || !earlier.iter().enumerate().all(is_in_turn) {
                return Err("its questions and answers do not take turns, as pairs have to".into());
            }
            let pairs = earlier.chunks(2).map(|pair| pair.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>());
            cells.push((column.to_owned(), cell(pairs.collect::<Vec<_>>())));
        }
        None if earlier.is_empty() => {}
        None => return Err("rows with one question and one answer have no place for several turns".into()),
    }
    Ok(cells)
}

/// Serializes plain data, which cannot fail.
fn cell(value: impl Serialize) -> Cell {
    to_raw_value(&value).expect("texts, lists and booleans are plain data")
}

#[derive(Serialize)]
struct Input {
    messages: Vec<Cell>,
}

#[derive(Serialize)]
struct Part<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// A turn with `role` and `content`, and with further keys that are null.
struct RoleTurn<'a, T> {
    role: Role,
    content: T,
    more: &'a [String],
}

impl<T: Serialize> Serialize for RoleTurn<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + self.more.len()))?;
        map.serialize_entry("role", &self.role)?;
        map.serialize_entry("content", &self.content)?;
        for key in self.more {
            map.serialize_entry(key, &())?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct FromTurn<'a> {
    from: &'a str,
    value: &'a str,
}

fn turn_value(message: &Message, keys: &TurnKeys) -> Cell {
    let (role, text) = (message.role, message.content.as_str());
    match keys {
        TurnKeys::Role { parts, more } => {
            if parts[usize::from(role == Role::Assistant)] {
                cell(RoleTurn { role, content: [Part { r#type: "text", text }], more })
            } else {
                cell(RoleTurn { role, content: text, more })
            }
        }
        TurnKeys::From { user, assistant } => {
            let from = match role {
                Role::System => "system",
                Role::User => user,
                Role::Assistant => assistant,
            };
            cell(FromTurn { from, value: text })
        }
    }
}
