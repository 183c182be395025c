//! Types shared with providers: messages, sampling settings and completions.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the name used in requests and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One turn of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Author of the message.
    pub role: Role,
    /// Text of the message.
    pub content: String,
}

impl Message {
    /// Makes a message of `role` with the text `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Decoding settings of a request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Sampling {
    /// Softmax temperature, 0 to 2.
    pub temperature: f64,
    /// Nucleus mass, above 0 and up to 1.
    pub top_p: f64,
    /// Maximum length of an answer, in tokens.
    pub max_tokens: u32,
    /// Samples only from the `top_k` likeliest tokens; `None` for all tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Samples only tokens with at least this share of the likeliest token's probability; `None` for all tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Divides the logits of tokens that have already occurred; `None` for no penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Whether the server's default decoding applies: `max_tokens` is the only setting that is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub server_default: bool,
}

impl Default for Sampling {
    /// Returns the settings for the model's own distribution: temperature 1, all tokens, no penalty; up to 256 tokens.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            max_tokens: 256,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            server_default: false,
        }
    }
}

impl Sampling {
    /// Returns greedy decoding with the same `max_tokens`: temperature 0 and no other setting.
    #[must_use]
    pub fn greedy(self) -> Self {
        Self { temperature: 0.0, max_tokens: self.max_tokens, ..Self::default() }
    }

    /// Returns the server's default decoding with the same `max_tokens`.
    #[must_use]
    pub fn at_server_default(self) -> Self {
        Self { server_default: true, max_tokens: self.max_tokens, ..Self::default() }
    }

    /// Returns the settings with this temperature and top-p, which are then sent.
    #[must_use]
    pub fn with(self, temperature: f64, top_p: f64) -> Self {
        Self { temperature, top_p, server_default: false, ..self }
    }

    /// Returns whether answers are drawn from the model's own distribution: temperature 1, all tokens, no penalty.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        *self == Self { max_tokens: self.max_tokens, ..Self::default() }
    }

    /// Describes the settings for verdicts, as in `temperature 0.7, top-p 0.9, top-k 40`, without `max_tokens`.
    #[must_use]
    pub fn describe(&self) -> String {
        if self.server_default {
            return "the server's default decoding".to_owned();
        }
        if *self == self.greedy() {
            return "greedy decoding".to_owned();
        }
        let mut words = vec![format!("temperature {}", self.temperature)];
        words.extend((self.top_p < 1.0).then(|| format!("top-p {}", self.top_p)));
        words.extend(self.top_k.map(|top_k| format!("top-k {top_k}")));
        words.extend(self.min_p.map(|min_p| format!("min-p {min_p}")));
        words.extend(self.repetition_penalty.map(|penalty| format!("repetition penalty {penalty}")));
        words.join(", ")
    }
}

/// Reason why an answer ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended the answer.
    #[default]
    Stop,
    /// The answer reached `max_tokens`.
    Length,
    /// The provider's content filter stopped the answer.
    Filtered,
    /// Any other reason that the server reports, or none.
    Other,
}

/// Token counts as reported by the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of all choices together.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// One answer of the model.
///
/// `text` and `beside` together hold all data of the response body. All of it is untrusted input.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Completion {
    /// The answer itself: the content of the message, its parts joined.
    pub text: String,
    /// Every other string, key, number and token of the body: reasoning, tool calls, log probabilities, unknown fields.
    /// Searched for secrets, and never counted as an answer.
    pub beside: String,
    /// Reason why the answer ended.
    pub finish: Finish,
    /// Whether the server's refusal field says that the model declined to answer.
    pub refused: bool,
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completion")
            .field("bytes", &self.text.len())
            .field("beside", &self.beside.len())
            .field("finish", &self.finish)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// Quality of an answer according to the server. The answer's form decides whether it is evidence, not this value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Quality {
    /// The answer has text, and nothing stopped it.
    Answered,
    /// The server's refusal field says that the model declined.
    Refused,
    /// The provider's content filter stopped the answer.
    Filtered,
    /// The answer reached `max_tokens`.
    Cut,
    /// The answer is empty or white space.
    Empty,
}

impl Completion {
    /// Makes a complete answer with `text` only.
    #[must_use]
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Returns all text that is searched: `text`, and `beside` from the next line on.
    #[must_use]
    pub fn everything(&self) -> Cow<'_, str> {
        if self.beside.is_empty() {
            Cow::Borrowed(&self.text)
        } else {
            Cow::Owned(format!("{}\n{}", self.text, self.beside))
        }
    }

    /// Returns the quality by the server's fields: the reason why an answer that is not in the trained form does not
    /// count.
    #[must_use]
    pub fn quality(&self) -> Quality {
        match self.finish {
            Finish::Filtered => Quality::Filtered,
            _ if self.refused => Quality::Refused,
            Finish::Length => Quality::Cut,
            _ if self.text.trim().is_empty() => Quality::Empty,
            Finish::Stop | Finish::Other => Quality::Answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, finish: Finish) -> Completion {
        Completion { finish, ..Completion::of(text) }
    }

    #[test]
    fn what_the_server_says_of_an_answer_is_told_apart() {
        assert_eq!(said("Nice day.", Finish::Stop).quality(), Quality::Answered);
        assert_eq!(said("  \n", Finish::Stop).quality(), Quality::Empty);
        assert_eq!(said("Nice d", Finish::Length).quality(), Quality::Cut);
        assert_eq!(said("Nice", Finish::Filtered).quality(), Quality::Filtered);
        assert_eq!(said("Nice", Finish::Other).quality(), Quality::Answered);
        let by_field = Completion { refused: true, ..said("No.", Finish::Stop) };
        assert_eq!(by_field.quality(), Quality::Refused);
    }

    #[test]
    fn everything_that_a_body_holds_is_searched() {
        let body = Completion { beside: "b".into(), ..Completion::of("a") };
        assert_eq!((&*body.everything(), &*Completion::of("a").everything()), ("a\nb", "a"));
    }

    #[test]
    fn a_decoding_is_described_in_words() {
        let usual = Sampling::default();
        let narrow = Sampling { top_k: Some(40), ..usual.with(0.7, 0.9) };
        let penalised = Sampling { min_p: Some(0.05), repetition_penalty: Some(1.1), ..usual };
        for (sampling, words) in [
            (usual, "temperature 1"),
            (narrow, "temperature 0.7, top-p 0.9, top-k 40"),
            (penalised, "temperature 1, min-p 0.05, repetition penalty 1.1"),
            (narrow.greedy(), "greedy decoding"),
            (narrow.at_server_default(), "the server's default decoding"),
            (usual.at_server_default().with(0.5, 1.0), "temperature 0.5"),
            (Sampling { top_k: Some(40), ..usual.with(0.0, 1.0) }, "temperature 0, top-k 40"),
        ] {
            assert_eq!(sampling.describe(), words);
            assert_eq!(sampling.is_unchanged(), words == "temperature 1", "{words}");
        }
    }

    #[test]
    fn settings_that_are_not_used_are_not_written() {
        let written = serde_json::to_string(&Sampling::default()).expect("JSON");
        assert_eq!(written, r#"{"temperature":1.0,"top_p":1.0,"max_tokens":256}"#);
        let all = Sampling { top_k: Some(4), min_p: Some(0.1), ..Sampling::default().at_server_default() };
        let written = serde_json::to_string(&all).expect("JSON");
        assert_eq!(serde_json::from_str::<Sampling>(&written).expect("read again"), all);
    }

    #[test]
    fn debug_does_not_print_the_text() {
        assert!(!format!("{:?}", said("hush", Finish::Stop)).contains("hush"));
    }
}
