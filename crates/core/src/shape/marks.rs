//! The marks that chat templates put between the turns of a rendered conversation.

use serde::{Deserialize, Serialize};

use crate::chat::{Message, Role};

/// How a text column renders a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Marks {
    /// `<|im_start|>user` … `<|im_end|>`: Qwen, SmolLM, and many more.
    ChatMl,
    /// `<|start_header_id|>user<|end_header_id|>` … `<|eot_id|>`.
    Llama3,
    /// `[INST]` … `[/INST]`: Llama 2 and Mistral.
    Inst,
    /// `<start_of_turn>user` … `<end_of_turn>`.
    Gemma,
    /// `<|user|>` … `<|end|>`.
    Phi,
    /// `<|user|>` … `</s>`.
    Zephyr,
    /// `### Instruction:` and `### Response:`.
    Alpaca,
    /// `<|start|>user<|message|>` … `<|end|>`: gpt-oss.
    Harmony,
    /// `<｜User｜>` and `<｜Assistant｜>`.
    DeepSeek,
    /// `### Human:` and `### Assistant:`: Guanaco.
    Guanaco,
    /// `USER:` and `ASSISTANT:` on one line: Vicuna.
    Vicuna,
    /// `Human:` and `Assistant:` on lines of their own.
    Human,
    /// `User:` and `Assistant:` on lines of their own.
    User,
    /// No marks: question and answer are paragraphs.
    Plain,
}

/// The texts around a turn, for one kind of marks.
struct Frame {
    mark: &'static str,
    system: Option<(&'static str, &'static str)>,
    user: (&'static str, &'static str),
    assistant: (&'static str, &'static str),
}

const ALL: [Marks; 14] = [
    Marks::ChatMl,
    Marks::Llama3,
    Marks::Inst,
    Marks::Gemma,
    Marks::Phi,
    Marks::Zephyr,
    Marks::Alpaca,
    Marks::Harmony,
    Marks::DeepSeek,
    Marks::Guanaco,
    Marks::Vicuna,
    Marks::Human,
    Marks::User,
    Marks::Plain,
];

/// Bytes before the first mark that are taken for the same in every row.
const LONGEST_BEGIN: usize = 300;

impl Marks {
    /// The marks of a text; [`Self::Plain`] where it has none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let found = ALL.into_iter().find(|marks| *marks != Self::Plain && text.contains(marks.frame().mark));
        match found {
            Some(Self::Phi) if !text.contains("<|end|>") => Self::Zephyr,
            found => found.unwrap_or(Self::Plain),
        }
    }

    /// Whether a system prompt has a place between them.
    #[must_use]
    pub fn hold_system(self) -> bool {
        self.frame().system.is_some()
    }

    /// Renders a chat.
    #[must_use]
    pub fn render(self, chat: &[Message]) -> String {
        let frame = self.frame();
        let mut text = String::new();
        for message in chat {
            let (before, after) = match message.role {
                Role::System => frame.system.unwrap_or(("", "\n\n")),
                Role::User => frame.user,
                Role::Assistant => frame.assistant,
            };
            text += before;
            text += &message.content;
            text += after;
        }
        text.trim_end().to_owned()
    }

    /// What stands before the first mark of a text, and the token at its end that is no mark.
    pub(crate) fn around(self, text: &str) -> (&str, &str) {
        if self == Self::Plain {
            return ("", "");
        }
        let frame = self.frame();
        let marks = [Some(frame.user.0), frame.system.map(|(before, _)| before)];
        let first =
            marks.into_iter().flatten().filter(|mark| !mark.is_empty()).filter_map(|mark| text.find(mark)).min();
        let begin = &text[..first.unwrap_or(0)];
        // A system prompt without a mark is the user's own, and only the token before it belongs to every row.
        let token = begin.find('>').filter(|_| begin.starts_with('<')).map_or("", |end| &begin[..=end]);
        let begin = if self == Self::Alpaca && begin.len() <= LONGEST_BEGIN { begin } else { token };
        let is_of_frame = |end: &str| frame.assistant.1.contains(end);
        let end = text.rfind('<').map(|at| &text[at..]).filter(|end| {
            let inner = end.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
            inner.is_some_and(|inner| inner.len() <= 24 && !inner.contains(char::is_whitespace)) && !is_of_frame(end)
        });
        (begin, end.unwrap_or(""))
    }

    /// Splits a rendered chat into its messages; `None` where it has no marks.
    #[must_use]
    pub fn split(text: &str) -> Option<Vec<Message>> {
        let frame = match Self::of(text) {
            Self::Plain => return None,
            marks => marks.frame(),
        };
        let mut roles = vec![(Role::User, frame.user), (Role::Assistant, frame.assistant)];
        roles.extend(frame.system.filter(|(before, _)| !before.is_empty()).map(|texts| (Role::System, texts)));
        let begins = |from: usize| {
            let found = roles.iter().filter_map(|(role, texts)| {
                let mark = texts.0.trim();
                // A frame without a mark before the answer: it begins where the question ends.
                let (mark, role) = if mark.is_empty() { (frame.user.1.trim(), *role) } else { (mark, *role) };
                text[from..].find(mark).map(|at| (from + at, mark.len(), role, texts.1))
            });
            found.min_by_key(|(at, ..)| *at)
        };
        let mut messages = Vec::new();
        let mut next = begins(0);
        while let Some((at, length, role, after)) = next {
            let start = at + length;
            next = begins(start);
            let end = next.map_or(text.len(), |(at, ..)| at);
            let said = text[start..end].trim();
            let said = said.strip_suffix(after.trim()).unwrap_or(said).trim();
            messages.push(Message::new(role, said));
        }
        (!messages.is_empty()).then_some(messages)
    }

    const fn frame(self) -> Frame {
        match self {
            Self::ChatMl => Frame {
                mark: "<|im_start|>",
                system: Some(("<|im_start|>system\n", "<|im_end|>\n")),
                user: ("<|im_start|>user\n", "<|im_end|>\n"),
                assistant: ("<|im_start|>assistant\n", "<|im_end|>\n"),
            },
            Self::Llama3 => Frame {
                mark: "<|start_header_id|>",
                system: Some(("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>")),
                user: ("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
                assistant: ("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
            },
            Self::Inst => {
                Frame { mark: "[INST]", system: None, user: ("[INST] ", " [/INST]"), assistant: (" ", "</s>") }
            }
            Self::Gemma => Frame {
                mark: "<start_of_turn>",
                system: None,
                user: ("<start_of_turn>user\n", "<end_of_turn>\n"),
                assistant: ("<start_of_turn>model\n", "<end_of_turn>\n"),
            },
            Self::Phi => Frame {
                mark: "<|user|>",
                system: Some(("<|system|>\n", "<|end|>\n")),
                user: ("<|user|>\n", "<|end|>\n"),
                assistant: ("<|assistant|>\n", "<|end|>\n"),
            },
            Self::Zephyr => Frame {
                mark: "<|user|>",
                system: Some(("<|system|>\n", "</s>\n")),
                user: ("<|user|>\n", "</s>\n"),
                assistant: ("<|assistant|>\n", "</s>\n"),
            },
            Self::Alpaca => Frame {
                mark: "### Instruction:",
                system: None,
                user: ("### Instruction:\n", "\n\n"),
                assistant: ("### Response:\n", "\n\n"),
            },
            Self::Harmony => Frame {
                mark: "<|start|>",
                system: Some(("<|start|>system<|message|>", "<|end|>")),
                user: ("<|start|>user<|message|>", "<|end|>"),
                assistant: ("<|start|>assistant<|channel|>final<|message|>", "<|return|>"),
            },
            Self::DeepSeek => Frame {
                mark: "<｜User｜>",
                system: Some(("", "")),
                user: ("<｜User｜>", ""),
                assistant: ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
            },
            Self::Guanaco => Frame {
                mark: "### Human: ",
                system: None,
                user: ("### Human: ", ""),
                assistant: ("### Assistant: ", ""),
            },
            Self::Vicuna => {
                Frame { mark: "USER: ", system: None, user: ("USER: ", " "), assistant: ("ASSISTANT: ", "</s>") }
            }
            Self::Human => {
                Frame { mark: "Human: ", system: None, user: ("\n\nHuman: ", ""), assistant: ("\n\nAssistant: ", "") }
            }
            Self::User => {
                Frame { mark: "User: ", system: None, user: ("User: ", "\n"), assistant: ("Assistant: ", "\n") }
            }
            Self::Plain => Frame { mark: "", system: None, user: ("", "\n"), assistant: ("", "\n") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_chat_shows_its_marks() {
        let chat = [Message::new(Role::User, "Why?"), Message::new(Role::Assistant, "So.")];
        for marks in ALL {
            assert_eq!(Marks::of(&marks.render(&chat)), marks);
            assert!(marks.render(&chat).contains("Why?") && marks.render(&chat).contains("So."));
            let split = Marks::split(&marks.render(&chat));
            assert_eq!(split.as_deref(), (marks != Marks::Plain).then_some(&chat[..]), "{marks:?}");
        }
        assert_eq!(Marks::Plain.render(&chat), "Why?\nSo.");
        assert!(Marks::ChatMl.hold_system() && !Marks::Gemma.hold_system());
    }
}
