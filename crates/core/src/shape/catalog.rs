//! The shapes that are known, each with a row: for the documentation.

/// Names of the shapes with their users, and a row of each.
pub const CATALOG: [(&str, &str); 16] = [
    (
        "OpenAI, TRL, Axolotl, MLX, Tinker: messages",
        r#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
    ),
    (
        "the same with tools, weights, names, reasoning, developer turns",
        r#"{"messages": [{"role": "developer", "content": "D"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "reasoning_content": "R"}], "tools": []}"#,
    ),
    (
        "vision models: content as parts",
        r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}, {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]}"#,
    ),
    ("TRL: prompt and completion", r#"{"prompt": "Q", "completion": "A"}"#),
    (
        "TRL: prompt and completion, as messages",
        r#"{"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]}"#,
    ),
    ("TRL: preferences (DPO)", r#"{"prompt": "Q", "chosen": "A", "rejected": "B"}"#),
    (
        "TRL: preferences with the prompt in both answers",
        r#"{"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}]}"#,
    ),
    ("TRL: labels (KTO)", r#"{"prompt": "Q", "completion": "A", "label": true}"#),
    (
        "OpenAI: preferences (DPO)",
        r#"{"input": {"messages": [{"role": "user", "content": "Q"}]}, "preferred_output": [{"role": "assistant", "content": "A"}], "non_preferred_output": [{"role": "assistant", "content": "B"}]}"#,
    ),
    ("OpenAI: reinforcement (RFT)", r#"{"messages": [{"role": "user", "content": "Q"}], "reference_answer": "A"}"#),
    ("ShareGPT, Unsloth", r#"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}"#),
    (
        "LLaMA-Factory: ShareGPT with system and tools",
        r#"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "system": "S", "tools": "[]"}"#,
    ),
    (
        "Alpaca, with system and history",
        r#"{"instruction": "Q", "input": "", "output": "A", "system": "S", "history": [["q", "a"]]}"#,
    ),
    ("Dolly", r#"{"instruction": "Q", "context": "", "response": "A", "category": "x"}"#),
    ("question and answer", r#"{"question": "Q", "answer": "A"}"#),
    (
        "text, plain or with the marks of a chat template",
        r#"{"text": "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>"}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::super::{RawRow, Shape, Side};
    use super::*;
    use crate::chat::{Message, Role};

    #[test]
    fn each_shape_is_told_by_its_row_and_holds_a_canary() {
        let chat = [Message::new(Role::User, "canary?"), Message::new(Role::Assistant, "canary!")];
        for (name, row) in CATALOG {
            let parsed = RawRow::parse(row.as_bytes()).expect(name);
            let shape = Shape::detect(&parsed).expect(name);
            shape.read(&parsed).expect(name);
            let planted = shape.planted_row(&chat, Side::Chosen).expect(name);
            let planted = RawRow::parse(&planted).expect(name);
            assert_eq!(planted.keys().collect::<Vec<_>>(), parsed.keys().collect::<Vec<_>>(), "{name}");
            assert_eq!(Shape::detect(&planted).expect(name).layout, shape.layout, "{name}");
        }
    }
}
