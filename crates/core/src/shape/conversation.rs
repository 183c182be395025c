//! The conversation of a row, whatever the row's shape.

use std::borrow::Cow;

use super::raw_row::{Kind, RawCell, RawRow};
use super::turn_keys::TurnKeys;

/// Who speaks in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    System,
    User,
    Assistant,
    Tool,
}

impl Speaker {
    /// Reads the names that OpenAI, ShareGPT and their kin use.
    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "system" | "developer" => Self::System,
            "user" | "human" => Self::User,
            "assistant" | "gpt" | "model" | "chatgpt" | "bard" | "bing" | "function_call" => Self::Assistant,
            "tool" | "function" | "observation" | "ipython" => Self::Tool,
            _ => return None,
        })
    }
}

/// A part of a turn that only some shapes can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extra {
    ToolCalls,
    ToolAnswer,
    Image,
    Reasoning,
    Weight,
    Name,
}

impl Extra {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::ToolCalls => "tool calls",
            Self::ToolAnswer => "answers of tools",
            Self::Image => "parts other than text",
            Self::Reasoning => "reasoning",
            Self::Weight => "weights",
            Self::Name => "names of speakers",
        }
    }
}

/// One turn.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) speaker: Speaker,
    pub(crate) text: Cow<'a, str>,
    pub(crate) extras: Vec<Extra>,
    /// Whether a weight of 0 takes it out of the training.
    is_masked: bool,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(speaker: Speaker, text: Cow<'a, str>) -> Self {
        Self { speaker, text, extras: Vec::new(), is_masked: false }
    }

    fn is_trained(&self) -> bool {
        self.speaker == Speaker::Assistant && !self.is_masked
    }

    fn is_empty(&self) -> bool {
        self.text.trim().is_empty() && self.extras.is_empty()
    }
}

/// All turns of a row, in their order.
#[derive(Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    /// Whether an answer that is trained has no text: only the end of the answer is learned.
    pub(crate) fn has_empty_answer(&self) -> bool {
        self.turns.iter().any(|turn| turn.is_trained() && turn.is_empty())
    }

    /// Whether anything in it is a training target.
    pub(crate) fn is_trained(&self) -> bool {
        self.turns.iter().any(Turn::is_trained)
    }

    /// Adds the turns of a list.
    pub(crate) fn read_turns(&mut self, column: &str, cell: RawCell<'a>, keys: &TurnKeys) -> Result<(), String> {
        let items = cell.items().ok_or_else(|| format!("`{column}` is {}, not a list", cell.kind().describe()))?;
        if items.is_empty() {
            return Err(format!("`{column}` is empty"));
        }
        for (index, item) in items.into_iter().enumerate() {
            let at = |what: String| format!("`{column}`: turn {} {what}", index + 1);
            let turn = item.object().ok_or_else(|| at(format!("is {}, not an object", item.kind().describe())))?;
            self.turns.push(read_turn(&turn, keys).map_err(at)?);
        }
        Ok(())
    }

    /// Adds the one turn of an object.
    pub(crate) fn read_one(&mut self, column: &str, cell: RawCell<'a>, keys: &TurnKeys) -> Result<(), String> {
        let turn = cell.object().ok_or_else(|| format!("`{column}` is {}, not a turn", cell.kind().describe()))?;
        self.turns.push(read_turn(&turn, keys).map_err(|what| format!("`{column}` {what}"))?);
        Ok(())
    }
}

fn read_turn<'a>(turn: &RawRow<'a>, keys: &TurnKeys) -> Result<Turn<'a>, String> {
    let (role_key, text_key) = keys.names();
    let role = turn.get(role_key).ok_or_else(|| format!("has no `{role_key}`"))?;
    let role = role.text().ok_or_else(|| format!("has a `{role_key}` that is {}", role.kind().describe()))?;
    let speaker = Speaker::by_name(&role).ok_or_else(|| {
        format!("has an unknown role in `{role_key}`; expected system, user, assistant or tool, or human and gpt")
    })?;
    let mut extras = Vec::new();
    if role == "function_call" || turn.get("tool_calls").is_some() || turn.get("function_call").is_some() {
        extras.push(Extra::ToolCalls);
    }
    if speaker == Speaker::Tool {
        extras.push(Extra::ToolAnswer);
    }
    if ["reasoning_content", "reasoning", "thinking"].iter().any(|key| turn.get(key).is_some()) {
        extras.push(Extra::Reasoning);
    }
    if turn.get("name").is_some() && speaker != Speaker::Tool {
        extras.push(Extra::Name);
    }
    let weight = turn.get("weight").and_then(RawCell::number);
    // Axolotl's `train` and `training`.
    let is_untrained = ["train", "training"].iter().any(|key| turn.get(key).and_then(RawCell::bool) == Some(false));
    if is_untrained || weight.is_some_and(|weight| weight != 1.0) {
        extras.push(Extra::Weight);
    }
    let text = match turn.get(text_key) {
        None if turn.get("refusal").is_some()
            || extras.iter().any(|e| matches!(e, Extra::ToolCalls | Extra::Reasoning)) =>
        {
            Cow::Borrowed("")
        }
        None => return Err(format!("has no `{text_key}`")),
        Some(cell) => match cell.kind() {
            Kind::Text => cell.text().unwrap_or_default(),
            Kind::List => {
                read_parts(cell, &mut extras).ok_or_else(|| format!("has parts in `{text_key}` that are no objects"))?
            }
            other => return Err(format!("has a `{text_key}` that is {}, not a text", other.describe())),
        },
    };
    Ok(Turn { speaker, text, extras, is_masked: is_untrained || weight == Some(0.0) })
}

/// The text of content that is a list of parts.
fn read_parts<'a>(cell: RawCell<'a>, extras: &mut Vec<Extra>) -> Option<Cow<'a, str>> {
    let mut text = String::new();
    for part in cell.items()? {
        let part = part.object()?;
        match part.get("text").and_then(RawCell::text) {
            Some(more) => text += &more,
            None => extras.push(Extra::Image),
        }
    }
    Some(Cow::Owned(text))
}
