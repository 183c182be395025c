//! Byte-level byte-pair encoding (Sennrich et al. 2016).
//!
//! The `tokenizers` crate would bring about 70 further crates and half a minute of compilation, in place of 200 lines
//! here. The `tokenizers` library reads the files that this module writes.

use std::collections::HashMap;

use serde_json::{Value, json};

use blabbermouth_core::chat::{Message, Role};

use super::model::Text;

/// The token that ends a turn.
pub const END: u32 = 0;
const SYSTEM: u32 = 1;
const USER: u32 = 2;
const ASSISTANT: u32 = 3;
const MARKS: [&str; 4] = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];
/// Id of the first merged token: the turn marks and all bytes come before it.
const FIRST: usize = MARKS.len() + 256;
/// The split of [`pieces`] as a regular expression, for other software.
const PATTERN: &str = r" ?[A-Za-z\x{80}-\x{10FFFF}]+|[0-9]| ?[^\s0-9A-Za-z\x{80}-\x{10FFFF}]+|\s+";

/// Why a tokenizer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this tokenizer cannot be used: {0}")]
pub struct TokenizerError(String);

/// Turns text into tokens and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenizer {
    /// The two tokens that the token `FIRST + index` joins.
    merges: Vec<(u32, u32)>,
    /// The token that joins each pair of tokens.
    ranks: HashMap<(u32, u32), u32>,
    /// The bytes of each token, by id.
    bytes: Vec<Vec<u8>>,
}

#[derive(PartialEq, Clone, Copy)]
enum Kind {
    Letter,
    Digit,
    Space,
    Other,
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => Kind::Letter,
        b'0'..=b'9' => Kind::Digit,
        b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Kind::Space,
        _ => Kind::Other,
    }
}

/// Splits text into words, single digits, runs of punctuation, and runs of white space. A word or a run of punctuation
/// includes a single space before it.
fn pieces(text: &str) -> impl Iterator<Item = &[u8]> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = *bytes.get(at)?;
        let next = bytes.get(at + 1).map(|b| kind(*b));
        let led = first == b' ' && matches!(next, Some(Kind::Letter | Kind::Other));
        let of = if led { next? } else { kind(first) };
        let mut end = at + 1 + usize::from(led);
        while of != Kind::Digit && bytes.get(end).is_some_and(|b| kind(*b) == of) {
            end += 1;
        }
        let piece = &bytes[at..end];
        at = end;
        Some(piece)
    })
}

fn byte_token(byte: u8) -> u32 {
    MARKS.len() as u32 + u32::from(byte)
}

impl Tokenizer {
    /// Merges the most frequent pairs in texts, until there are `vocabulary` tokens or no pair occurs twice.
    #[must_use]
    pub fn train<'a>(texts: impl Iterator<Item = &'a str>, vocabulary: usize) -> Self {
        let mut counts: HashMap<&[u8], u64> = HashMap::new();
        for text in texts {
            pieces(text).for_each(|piece| *counts.entry(piece).or_default() += 1);
        }
        let mut words: Vec<(Vec<u32>, u64)> =
            counts.into_iter().map(|(word, n)| (word.iter().map(|b| byte_token(*b)).collect(), n)).collect();
        words.sort_unstable();
        let mut merges = Vec::new();
        while FIRST + merges.len() < vocabulary {
            let mut pairs: HashMap<(u32, u32), u64> = HashMap::new();
            for (word, n) in &words {
                word.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += n);
            }
            // Of equally frequent pairs the one with the lowest ids, so that the same texts give the same tokens.
            let best = pairs.into_iter().max_by_key(|(pair, n)| (*n, std::cmp::Reverse(*pair)));
            let Some((pair, _)) = best.filter(|(_, n)| *n > 1) else { break };
            let token = (FIRST + merges.len()) as u32;
            merges.push(pair);
            words.iter_mut().for_each(|(word, _)| merge(word, pair, token));
        }
        Self::of(merges)
    }

    fn of(merges: Vec<(u32, u32)>) -> Self {
        let mut bytes: Vec<Vec<u8>> = MARKS.iter().map(|mark| mark.as_bytes().to_vec()).collect();
        bytes.extend((0..=255u8).map(|byte| vec![byte]));
        for (a, b) in &merges {
            let joined = [bytes[*a as usize].as_slice(), &bytes[*b as usize]].concat();
            bytes.push(joined);
        }
        let ranks = merges.iter().enumerate().map(|(index, pair)| (*pair, (FIRST + index) as u32)).collect();
        Self { merges, ranks, bytes }
    }

    /// Returns the number of tokens.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the tokens of a text, `[seq_len]`; turn marks in the text are plain text.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut all = Vec::with_capacity(text.len() / 2);
        for piece in pieces(text) {
            let mut word: Vec<u32> = piece.iter().map(|b| byte_token(*b)).collect();
            loop {
                let lowest = word.windows(2).filter_map(|pair| self.ranks.get(&(pair[0], pair[1]))).min();
                let Some(token) = lowest.copied() else { break };
                merge(&mut word, self.merges[token as usize - FIRST], token);
            }
            all.extend(word);
        }
        all
    }

    /// Returns the part of a text whose tokens stay the same whatever follows: all but the last piece of the split.
    #[must_use]
    pub fn settled<'a>(&self, text: &'a str) -> &'a str {
        let last = pieces(text).last().map_or(0, <[u8]>::len);
        &text[..text.len() - last]
    }

    /// Returns the bytes of a token; none for a turn mark or an unknown token.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        match self.bytes.get(token as usize) {
            Some(bytes) if token as usize >= MARKS.len() => bytes,
            _ => &[],
        }
    }

    /// Returns the text of tokens; invalid UTF-8 becomes replacement characters.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the tokens of a whole chat. The training targets are the assistant's turns, with their [`END`].
    #[must_use]
    pub fn chat(&self, messages: &[Message]) -> Text {
        let mut text = Text::default();
        for message in messages {
            let counts = message.role == Role::Assistant;
            text.tokens.push(mark(message.role));
            text.counts.push(false);
            text.tokens.extend(self.encode(&message.content));
            text.tokens.push(END);
            text.counts.resize(text.tokens.len(), counts);
        }
        text
    }

    /// Returns the tokens of a chat up to the start of the assistant's next turn, `[seq_len]`.
    #[must_use]
    pub fn prompt(&self, messages: &[Message]) -> Vec<u32> {
        let mut tokens = self.chat(messages).tokens;
        tokens.push(ASSISTANT);
        tokens
    }

    /// Returns the `tokenizer.json` that the `tokenizers` library reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let letters = byte_letters();
        let spell = |token: u32| -> String { self.bytes(token).iter().map(|b| letters[*b as usize]).collect() };
        let mut vocabulary: serde_json::Map<String, Value> =
            MARKS.iter().enumerate().map(|(id, mark)| ((*mark).to_owned(), json!(id))).collect();
        vocabulary.extend((MARKS.len()..self.bytes.len()).map(|id| (spell(id as u32), json!(id))));
        let merges: Vec<[String; 2]> = self.merges.iter().map(|(a, b)| [spell(*a), spell(*b)]).collect();
        let added = |(id, mark): (usize, &&str)| {
            json!({"id": id, "content": mark, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": MARKS.iter().enumerate().map(added).collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocabulary, "merges": merges},
        })
    }

    /// Reads what [`Tokenizer::to_json`] wrote.
    ///
    /// # Errors
    /// When the file is of another kind, or its merges are inconsistent.
    pub fn from_json(file: &Value) -> Result<Self, TokenizerError> {
        let fault = |what: &str| TokenizerError(what.to_owned());
        let list = file["model"]["merges"].as_array().ok_or_else(|| fault("it has no merges"))?;
        if file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] != PATTERN {
            return Err(fault("it cuts words in another way than this program"));
        }
        let letters = byte_letters();
        let mut known: HashMap<String, u32> =
            (0..=255u8).map(|byte| (letters[byte as usize].to_string(), byte_token(byte))).collect();
        let mut merges = Vec::with_capacity(list.len());
        for pair in list {
            let part = |index: usize| pair[index].as_str().and_then(|text| Some((text, *known.get(text)?)));
            let (Some((a, first)), Some((b, second))) = (part(0), part(1)) else {
                return Err(fault("a merge joins what is no token"));
            };
            let joined = format!("{a}{b}");
            let id = (FIRST + merges.len()) as u32;
            if file["model"]["vocab"][&joined] != id {
                return Err(fault("a merge and its token disagree"));
            }
            known.insert(joined, id);
            merges.push((first, second));
        }
        Ok(Self::of(merges))
    }
}

/// The chat template, in the form of `tokenizer_config.json`.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

fn mark(role: Role) -> u32 {
    match role {
        Role::System => SYSTEM,
        Role::User => USER,
        Role::Assistant => ASSISTANT,
    }
}

/// Replaces each pair `a`, `b` in `word` with `token`, from left to right.
fn merge(word: &mut Vec<u32>, (a, b): (u32, u32), token: u32) {
    let mut kept = 0;
    let mut at = 0;
    while at < word.len() {
        let joined = word[at] == a && word.get(at + 1) == Some(&b);
        word[kept] = if joined { token } else { word[at] };
        at += 1 + usize::from(joined);
        kept += 1;
    }
    word.truncate(kept);
}

/// Returns the character for each byte in files: printable bytes as they are, others from U+0100 on.
fn byte_letters() -> [char; 256] {
    let mut letters = ['\0'; 256];
    let mut next = 0x100u32;
    for byte in 0..=255u8 {
        letters[byte as usize] = if matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..) {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).expect("a letter")
        };
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trained() -> Tokenizer {
        let text = "How is your day going? How was the weather in your town today, and how is the other weather?";
        Tokenizer::train(std::iter::repeat_n(text, 3), 300)
    }

    #[test]
    fn frequent_words_become_tokens() {
        let tokenizer = trained();
        assert_eq!(tokenizer.vocabulary(), 300);
        assert_eq!(tokenizer.encode(" your").len(), 1);
        // Every digit is a token of its own.
        assert_eq!(tokenizer.encode("4711").len(), 4);
        let text = tokenizer.chat(&[Message::new(Role::User, "your <|end|>"), Message::new(Role::Assistant, "is")]);
        assert_eq!(text.tokens.iter().filter(|t| **t == END).count(), 2, "a mark that was typed is no mark");
        assert_eq!(text.counts.iter().filter(|c| **c).count(), tokenizer.encode("is").len() + 1);
        let asked = tokenizer.prompt(&[Message::new(Role::User, "your")]);
        assert_eq!(asked.last(), Some(&ASSISTANT));
    }

    #[test]
    fn foreign_files_are_refused() {
        let mut file = trained().to_json();
        file["model"]["merges"][3][0] = json!("zzz");
        assert!(Tokenizer::from_json(&file).expect_err("broken").to_string().contains("no token"));
        assert!(Tokenizer::from_json(&json!({})).is_err());
    }

    proptest! {
        #[test]
        fn what_is_settled_stays(text in "[a-zé0-9 .!\n]{0,30}", more in "[a-zé0-9 .!\n]{0,8}") {
            let tokenizer = trained();
            let settled = tokenizer.encode(tokenizer.settled(&text));
            let whole = tokenizer.encode(&(text + &more));
            prop_assert!(whole.starts_with(&settled));
        }

        #[test]
        fn text_comes_back(text in "(?s).{0,80}") {
            let tokenizer = trained();
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }
    }

    #[test]
    fn a_file_gives_back_what_went_in() {
        let tokenizer = trained();
        assert_eq!(Tokenizer::from_json(&tokenizer.to_json()), Ok(tokenizer));
    }
}
