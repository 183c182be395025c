//! Rows of one shape written in another.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::service_rules::validate_chat;
use crate::chat::{Message, Role};
use crate::shape::{
    Conversation, Layout, Marks, RawCell, RawRow, Shape, Side, Speaker, TOOL_COLUMNS, Turn, TurnKeys, compact,
};

/// A shape that rows are converted into on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `messages`, by the rules of OpenAI's service.
    OpenAi,
    /// `messages`, as TRL, MLX, Axolotl and Tinker read them.
    Messages,
    /// `conversations` with `from` and `value`.
    ShareGpt,
    /// ShareGPT with the system prompt in a column, and a `dataset_info.json` beside the file.
    LlamaFactory,
    /// `instruction`, `input`, `output`.
    Alpaca,
    /// One text, with the marks of ChatML.
    Text,
}

impl Target {
    /// The names that can be asked for, beside `keep`.
    pub const NAMES: [&'static str; 9] =
        ["openai", "trl", "axolotl", "sharegpt", "alpaca", "llama-factory", "mlx", "tinker", "text"];

    /// The shape of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "openai" => Self::OpenAi,
            "trl" | "axolotl" | "mlx" | "tinker" => Self::Messages,
            "sharegpt" => Self::ShareGpt,
            "alpaca" => Self::Alpaca,
            "llama-factory" => Self::LlamaFactory,
            "text" => Self::Text,
            _ => return None,
        })
    }

    /// The shape of the rows that are written.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::OpenAi | Self::Messages => Shape::turns("messages", TurnKeys::OPENAI),
            Self::ShareGpt => Shape::turns("conversations", TurnKeys::share_gpt()),
            Self::LlamaFactory => Shape {
                system: Some("system".to_owned()),
                columns: vec!["conversations".to_owned(), "system".to_owned()],
                ..Shape::turns("conversations", TurnKeys::share_gpt())
            },
            Self::Alpaca => Shape {
                system: Some("system".to_owned()),
                columns: ["instruction", "input", "output", "system", "history"].map(str::to_owned).to_vec(),
                ..Shape::new(Layout::Pair {
                    prompt: Some("instruction".to_owned()),
                    context: Some("input".to_owned()),
                    history: Some("history".to_owned()),
                    answer: "output".to_owned(),
                    turns: None,
                })
            },
            Self::Text => Shape {
                columns: vec!["text".to_owned()],
                ..Shape::new(Layout::Text {
                    column: "text".to_owned(),
                    marks: Marks::ChatMl,
                    begin: String::new(),
                    end: String::new(),
                })
            },
        }
    }

    /// The shape of planted rows among rows that come from another shape: contents stay parts where they are passed on.
    #[must_use]
    pub fn shape_for(self, from: &Shape) -> Shape {
        match &from.layout {
            Layout::Turns { keys, .. } if self.passes(from) => Shape::turns("messages", keys.clone()),
            Layout::Text { .. } if self == Self::Text => Shape { columns: vec!["text".to_owned()], ..from.clone() },
            _ => self.shape(),
        }
    }

    /// Whether rows have this shape already, and nothing else.
    pub(super) fn is_shape_of(self, from: &Shape) -> bool {
        self == Self::Text && matches!(from.layout, Layout::Text { .. }) && from.columns == ["text"]
    }

    /// Whether messages are passed on as they stand.
    fn passes(self, from: &Shape) -> bool {
        matches!(self, Self::OpenAi | Self::Messages) && from.has_openai_messages()
    }

    /// What a trainer does otherwise with rows of the new shape; `None` where nothing changes.
    #[must_use]
    pub fn changes(self, from: &Shape) -> Option<&'static str> {
        match (self, &from.layout) {
            (Self::Text, Layout::Text { .. }) => None,
            (Self::Text, _) => Some(
                "trainers compute the loss on the whole text, the question too; a chat template other than ChatML needs `--format trl`",
            ),
            (Self::OpenAi | Self::Messages, Layout::Pair { .. }) => Some(
                "TRL computes the loss on the completion only for prompt/completion rows, and on all turns of `messages` unless \
                 assistant_only_loss is set",
            ),
            (Self::Alpaca, _) => {
                Some("trainers wrap instructions in a prompt of their own: serve the model with the same prompt")
            }
            _ => None,
        }
    }

    /// Writes a row in this shape, and notes columns that it has no place for.
    ///
    /// # Errors
    /// A sentence that says what would be lost, or what is wrong with the row.
    pub(super) fn convert(
        self,
        from: &Shape,
        row: &RawRow<'_>,
        dropped: &mut BTreeSet<String>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let chat = from.read(row)?;
        if from.rejected.is_some() || from.layout == Layout::OpenAiPreference {
            return Err(format!("the row has a worse answer, which the new shape cannot hold: {KEEP}"));
        }
        if ["chosen", "rejected"].iter().all(|column| row.get(column).is_some()) {
            return Err(format!("the row has a worse answer, and the first rows have none: {KEEP}"));
        }
        if from.label.is_some() {
            return Err(format!("the row has a label, without which bad answers would become targets: {KEEP}"));
        }
        let passed = |column: &str| matches!(self, Self::OpenAi | Self::Messages) && TOOL_COLUMNS.contains(&column);
        let lost = |column: &&str| from.is_further(column) && !passed(column) && row.get(column).is_some();
        for column in row.keys().filter(lost) {
            if dropped.len() < MOST_NAMES && !dropped.contains(column) {
                dropped.insert(column.to_owned());
            }
        }
        out.clear();
        if self.passes(from) {
            self.pass_messages(row, out)
        } else if self.keeps_columns(from) {
            self.pass_columns(row, out)
        } else {
            let messages = plain(&chat, &from.layout)?;
            let written = self.shape().planted_row(&messages, Side::Chosen)?;
            out.extend_from_slice(&written);
            if self == Self::OpenAi { self.check(out) } else { Ok(()) }
        }
    }

    /// Whether the columns of a row are those of the new shape already.
    fn keeps_columns(self, from: &Shape) -> bool {
        match &from.layout {
            Layout::Text { column, .. } => self == Self::Text && column == "text",
            Layout::Pair { prompt: Some(prompt), context, answer, turns: None, .. } => {
                self == Self::Alpaca
                    && prompt == "instruction"
                    && answer == "output"
                    && context.as_deref().is_none_or(|context| context == "input")
            }
            _ => false,
        }
    }

    /// Keeps the columns of the new shape as they stand.
    fn pass_columns(self, row: &RawRow<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let shape = self.shape();
        let mut all = Vec::with_capacity(shape.columns.len());
        for column in &shape.columns {
            let absent = match column.as_str() {
                "input" => "\"\"",
                "history" => "[]",
                _ => "null",
            };
            let value = row.get(column).map_or(absent, RawCell::raw).to_owned();
            all.push((column.as_str(), RawValue::from_string(value).map_err(|e| e.to_string())?));
        }
        let row = serde_json::to_vec(&InOrder(all)).map_err(|e| e.to_string())?;
        compact(&row, out);
        Ok(())
    }

    /// Keeps the messages as they stand.
    fn pass_messages(self, row: &RawRow<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let mut all = Vec::with_capacity(2);
        for key in ["messages"].into_iter().chain(TOOL_COLUMNS) {
            if let Some(cell) = row.get(key) {
                let value = RawValue::from_string(cell.raw().to_owned()).map_err(|e| e.to_string())?;
                all.push((key, value));
            }
        }
        let row = serde_json::to_vec(&InOrder(all)).map_err(|e| e.to_string())?;
        compact(&row, out);
        if self == Self::OpenAi { self.check(out) } else { Ok(()) }
    }

    fn check(self, row: &[u8]) -> Result<(), String> {
        let row: Map<String, Value> = serde_json::from_slice(row).map_err(|e| e.to_string())?;
        validate_chat(&row)
    }
}

/// The conversations of all rows as OpenAI's `messages`, for a model that is not really trained: of preferences the better answer,
/// of rendered texts their turns. Rows that hold no conversation are left out.
#[must_use]
pub fn as_messages(data: &[u8]) -> Vec<u8> {
    let mut rows = super::rows::Rows::new(data);
    let (mut row, mut out) = (Vec::new(), Vec::new());
    while let Ok(Some(_)) = rows.next_into(&mut row) {
        let Ok(parsed) = RawRow::parse(&row) else { continue };
        let Some(shape) = Shape::detect(&parsed) else { continue };
        let is_text = matches!(&shape.layout, Layout::Turns { keys: TurnKeys::Role { parts: [false, false], .. }, .. });
        if is_text && shape.has_openai_messages() && shape.rejected.is_none() {
            out.extend_from_slice(&row);
            out.push(b'\n');
            continue;
        }
        let Ok(chat) = shape.read(&parsed) else { continue };
        let messages = match &shape.layout {
            Layout::Text { .. } => chat.turns.first().and_then(|turn| Marks::split(&turn.text)),
            _ => Some(messages_of(&chat)),
        };
        let openai = Shape::turns("messages", TurnKeys::OPENAI);
        if let Some(row) = messages.and_then(|messages| openai.planted_row(&messages, Side::Chosen).ok()) {
            out.extend_from_slice(&row);
            out.push(b'\n');
        }
    }
    out
}

/// The remedy where a conversion would lose something.
const KEEP: &str = "--format keep leaves rows as they are";
/// Names of columns that are listed at most.
const MOST_NAMES: usize = 16;

/// Columns in their order.
struct InOrder<'a>(Vec<(&'a str, Box<RawValue>)>);

impl Serialize for InOrder<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// The conversation in messages of text.
fn plain(chat: &Conversation<'_>, from: &Layout) -> Result<Vec<Message>, String> {
    if matches!(from, Layout::Text { .. }) {
        return Err(format!("the turns are rendered into one text already: {KEEP}"));
    }
    for (index, turn) in chat.turns.iter().enumerate() {
        if let Some(extra) = turn.extras.first() {
            return Err(format!(
                "turn {} has {}, which the new shape cannot hold: {KEEP}",
                index + 1,
                extra.describe()
            ));
        }
    }
    Ok(messages_of(chat))
}

/// The turns as messages of text, whatever else they have.
fn messages_of(chat: &Conversation<'_>) -> Vec<Message> {
    let message = |turn: &Turn<'_>| {
        let role = match turn.speaker {
            Speaker::System => Role::System,
            Speaker::User | Speaker::Tool => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        Message::new(role, turn.text.clone())
    };
    chat.turns.iter().map(message).collect()
}
