//! A model of the embedded service: its files, answers and scores.

use std::path::Path;

use serde_json::{Value, json};

use super::home::private_folder;
use crate::{Answer, ProviderError, Request};
use blabbermouth_core::chat::{Completion, Finish, Message, Role, Usage};
use blabbermouth_files as store;
use blabbermouth_lm::{CHAT_TEMPLATE, Decoder, Precision, Prefill, SamplingParams, Text, Tokenizer, TooLong, Weights};

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const TOKENS: &str = "tokenizer.json";
const TOKENS_CONFIG: &str = "tokenizer_config.json";

/// A model with its tokenizer.
#[derive(Debug)]
pub struct Model {
    /// Name in requests.
    pub name: String,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The network with its weights.
    pub decoder: Decoder,
}

/// One answer with its tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// Text of the answer.
    pub text: String,
    /// Whether the model ended the answer; `false` at the length limit.
    pub ended: bool,
    /// Tokens as text, each with the natural logarithm of its probability.
    pub tokens: Vec<(String, f32)>,
}

impl Model {
    pub(super) fn new(name: String, (tokenizer, weights): (Tokenizer, Weights)) -> Self {
        Self { name, tokenizer, decoder: Decoder::new(weights) }
    }

    /// Loads a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
    pub(super) fn open(name: &str, folder: &Path) -> Result<Self, ProviderError> {
        let at = |file: &str, what: String| {
            ProviderError::Setup(format!("the embedded model: {}: {what}", folder.join(file).display()))
        };
        let read = |file: &str| store::read(&folder.join(file)).map_err(|e| at(file, e.to_string()));
        let parse = |file: &str| serde_json::from_slice::<Value>(&read(file)?).map_err(|e| at(file, e.to_string()));
        let shape = Weights::shape_of(&parse(CONFIG)?).map_err(|e| at(CONFIG, e.to_string()))?;
        let weights = Weights::from_safetensors(shape, &read(WEIGHTS)?).map_err(|e| at(WEIGHTS, e.to_string()))?;
        let tokenizer = Tokenizer::from_json(&parse(TOKENS)?).map_err(|e| at(TOKENS, e.to_string()))?;
        if tokenizer.vocabulary() != shape.vocabulary {
            let what = format!("{} tokens, and the model has {}", tokenizer.vocabulary(), shape.vocabulary);
            return Err(at(TOKENS, what));
        }
        Ok(Self::new(name.to_owned(), (tokenizer, weights)))
    }

    /// Saves a folder that the `transformers` library can load.
    pub(super) fn save(folder: &Path, tokenizer: &Tokenizer, weights: &Weights) -> Result<(), ProviderError> {
        private_folder(folder)?;
        let write = |file: &str, bytes: &[u8]| {
            store::write(&folder.join(file), bytes, false).map_err(|e| ProviderError::Setup(e.to_string()))
        };
        let pretty = |value: &Value| serde_json::to_vec_pretty(value).expect("JSON");
        write(CONFIG, &pretty(&weights.config()))?;
        write(TOKENS, &pretty(&tokenizer.to_json()))?;
        let template = json!({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE,
            "eos_token": "<|end|>", "pad_token": "<|end|>", "clean_up_tokenization_spaces": false,
            "model_max_length": weights.shape.context});
        write(TOKENS_CONFIG, &pretty(&template))?;
        write(WEIGHTS, &weights.to_safetensors(Precision::Single))
    }

    /// Draws `count` answers to a chat, and returns the number of prompt tokens and the answers. A last message of the
    /// assistant is continued.
    ///
    /// # Errors
    /// When the chat leaves no room in the context.
    pub fn speak(
        &self,
        messages: &[Message],
        count: usize,
        drawing: &SamplingParams,
    ) -> Result<(usize, Vec<Spoken>), TooLong> {
        let (prompt, open) = self.begin(messages);
        let begun = Prefill { bytes: open.as_bytes(), spell: &|token| self.tokenizer.bytes(token) };
        let drawn = self.decoder.answer_after(&prompt, &begun, count, drawing)?;
        let spoken = drawn.into_iter().map(|answer| {
            let piece = |token: &u32| String::from_utf8_lossy(self.tokenizer.bytes(*token)).into_owned();
            let bytes: Vec<u8> = answer.tokens.iter().flat_map(|t| self.tokenizer.bytes(*t)).copied().collect();
            let text = String::from_utf8_lossy(bytes.get(open.len()..).unwrap_or_default()).into_owned();
            let tokens = answer.tokens.iter().map(piece).zip(answer.ln_probabilities.iter().copied()).collect();
            Spoken { text, ended: answer.ended, tokens }
        });
        Ok((prompt.len(), spoken.collect()))
    }

    /// Tokens of a chat up to the place where the model continues, and the rest of an answer that the chat begins. That
    /// rest is kept as text, since it may share a token with the continuation.
    fn begin<'a>(&self, messages: &'a [Message]) -> (Vec<u32>, &'a str) {
        let (before, begun) = match messages.split_last() {
            Some((last, before)) if last.role == Role::Assistant => (before, last.content.as_str()),
            _ => (messages, ""),
        };
        let settled = self.tokenizer.settled(begun);
        let mut prompt = self.tokenizer.prompt(before);
        prompt.extend(self.tokenizer.encode(settled));
        (prompt, &begun[settled.len()..])
    }

    /// Answers a request.
    pub(super) fn answer(&self, request: &Request) -> Result<Answer, ProviderError> {
        // The server default of this model is its own distribution.
        let wanted = request.sampling;
        let sampling = if wanted.server_default { wanted.at_server_default() } else { wanted };
        let drawing = SamplingParams {
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k.unwrap_or(0) as usize,
            min_p: sampling.min_p.unwrap_or(0.0),
            max_tokens: sampling.max_tokens as usize,
            seed: u64::from(request.seed),
        };
        let spoken = self.speak(&request.messages, request.choices.max(1) as usize, &drawing);
        let (prompt, spoken) = spoken.map_err(too_long)?;
        let usage = Usage {
            prompt_tokens: prompt as u64,
            completion_tokens: spoken.iter().map(|s| s.tokens.len() as u64 + u64::from(s.ended)).sum(),
        };
        let finish = |ended: bool| if ended { Finish::Stop } else { Finish::Length };
        let whole = |s: Spoken| Completion { finish: finish(s.ended), ..Completion::of(s.text) };
        Ok(Answer::new(spoken.into_iter().map(whole).collect(), usage))
    }

    /// Natural logarithms of the probabilities, at temperature 1, of each continuation after a chat. A last message of
    /// the assistant is the beginning of the answer.
    ///
    /// # Errors
    /// When a text does not fit into the context.
    pub fn score(&self, messages: &[Message], continuations: &[String]) -> Result<Vec<f64>, ProviderError> {
        // All continuations start after the same prompt tokens, so that their scores are comparable.
        let (prompt, open) = self.begin(messages);
        let texts: Vec<Vec<u32>> =
            continuations.iter().map(|text| self.tokenizer.encode(&format!("{open}{text}"))).collect();
        let rests: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        self.decoder.score_after(&prompt, &rests).map_err(too_long)
    }

    /// Training tokens of a chat, and whether the context cut them off.
    pub(super) fn text(&self, messages: &[Message]) -> (Text, bool) {
        let mut text = self.tokenizer.chat(messages);
        let context = self.decoder.weights().shape.context;
        let cut = text.tokens.len() > context;
        text.tokens.truncate(context);
        text.counts.truncate(context);
        (text, cut)
    }
}

fn too_long(fault: TooLong) -> ProviderError {
    ProviderError::Setup(format!("the embedded model: {fault}"))
}
