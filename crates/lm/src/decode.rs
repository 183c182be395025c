//! Token-by-token decoding with a cache of keys and values, and scoring of texts.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::checkpoint::Weights;
use super::config::Spans;
use super::layers::{Rotary, dot, gated, linear, linear_add, norm, softmax};
use super::model::{Network, Text};
use super::noise::uniform;
use super::tokens::END;

/// Number of texts that are scored together.
const TOGETHER: usize = 64;

/// Decoding settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingParams {
    /// Softmax temperature; 0 for greedy decoding.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability; 1 for all.
    pub top_p: f64,
    /// Only the `top_k` likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only tokens with at least this share of the likeliest token's probability; 0 for all.
    pub min_p: f64,
    /// Maximum length of an answer, in tokens.
    pub max_tokens: usize,
    /// Seed of the draw.
    pub seed: u64,
}

/// An answer in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Token ids, without [`END`].
    pub tokens: Vec<u32>,
    /// Whether the model ended the answer with [`END`]; otherwise the answer was cut.
    pub ended: bool,
    /// Natural logarithm of the probability of each token at temperature 1, and of [`END`] if `ended`. Within a
    /// prefill, the probabilities are those among the tokens that fit it.
    pub ln_probabilities: Vec<f32>,
}

/// A model that draws and scores texts.
#[derive(Debug)]
pub struct Decoder {
    weights: Weights,
    spans: Spans,
    rotary: Rotary,
}

/// Keys and values of a text in one layer, each `[seq_len, width]`.
#[derive(Debug, Clone, Default)]
struct Memory {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Decoder {
    /// Makes a model with these weights.
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        let shape = weights.shape;
        Self { spans: shape.spans(), rotary: Rotary::new(shape.head(), shape.context), weights }
    }

    /// Returns the weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Returns the natural logarithm of the probability of every training target of a text, in order, `[m]`.
    ///
    /// # Errors
    /// When the text is longer than the context, a token is not in the vocabulary, or the loss mask has another length.
    pub fn score(&self, text: &Text) -> Result<Vec<f32>, TooLong> {
        let shape = self.weights.shape;
        let known = text.tokens.iter().all(|token| (*token as usize) < shape.vocabulary);
        if text.tokens.len() > shape.context || !known || text.counts.len() != text.tokens.len() {
            return Err(TooLong { tokens: text.tokens.len(), context: shape.context });
        }
        Ok(Network::new(shape).forward(&self.weights.values, &[text]))
    }

    /// Draws `count` independent answers to a prompt of token ids, `[seq_len]`.
    ///
    /// # Errors
    /// When the prompt is empty or leaves no room in the context, or a token is not in the vocabulary.
    pub fn answer(&self, prompt: &[u32], count: usize, drawing: &SamplingParams) -> Result<Vec<Drawn>, TooLong> {
        self.answer_after(prompt, &Prefill { bytes: &[], spell: &|_| &[] }, count, drawing)
    }

    /// As [`Decoder::answer`], but every answer begins with the bytes of the prefill, in any split into tokens.
    ///
    /// # Errors
    /// As [`Decoder::answer`].
    pub fn answer_after(
        &self,
        prompt: &[u32],
        begun: &Prefill<'_>,
        count: usize,
        drawing: &SamplingParams,
    ) -> Result<Vec<Drawn>, TooLong> {
        let shape = self.weights.shape;
        let known = prompt.iter().all(|token| (*token as usize) < shape.vocabulary);
        if prompt.is_empty() || prompt.len() >= shape.context || !known {
            return Err(TooLong { tokens: prompt.len(), context: shape.context });
        }
        let (asked, first) = self.read(prompt);
        let mut stream = ChaCha20Rng::seed_from_u64(drawing.seed);
        let mut answers = vec![Drawn { tokens: Vec::new(), ended: false, ln_probabilities: Vec::new() }; count];
        // Answers that are not ended or cut, each with its keys and values after the prompt.
        let mut alive: Vec<usize> = (0..count).collect();
        let mut memories = vec![vec![Memory::default(); shape.layers]; count];
        // `[alive, vocab]`.
        let mut logits = first.repeat(count);
        // Number of bytes of each answer so far.
        let mut said = vec![0; count];
        for length in 0.. {
            let mut rows = logits.chunks_exact_mut(shape.vocabulary);
            let mut kept = Vec::with_capacity(alive.len());
            for (slot, index) in alive.iter().enumerate() {
                let row = rows.next().expect("a row for each answer that goes on");
                begun.keep(row, said[*index]);
                let (token, ln_probability) = draw(row, drawing, &mut stream);
                said[*index] += (begun.spell)(token).len();
                let answer = &mut answers[*index];
                answer.ln_probabilities.push(ln_probability);
                if token == END {
                    answer.ended = true;
                } else if length < drawing.max_tokens {
                    answer.tokens.push(token);
                    kept.push(slot);
                } else {
                    answer.ln_probabilities.pop();
                }
            }
            let position = prompt.len() + length;
            if kept.is_empty() || position >= shape.context {
                break;
            }
            memories = kept.iter().map(|slot| std::mem::take(&mut memories[*slot])).collect();
            alive = kept.iter().map(|slot| alive[*slot]).collect();
            let tokens: Vec<u32> =
                alive.iter().map(|i| *answers[*i].tokens.last().expect("a token was drawn")).collect();
            logits = self.step(&asked, &mut memories, &tokens, position, true);
        }
        Ok(answers)
    }

    /// Returns the natural logarithm of the probability of each of several texts after a prompt, `[texts.len()]`. The
    /// prompt and each text are token ids, `[seq_len]`.
    ///
    /// # Errors
    /// When the prompt or a text is empty, they do not fit into the context, or a token is not in the vocabulary.
    pub fn score_after(&self, prompt: &[u32], texts: &[&[u32]]) -> Result<Vec<f64>, TooLong> {
        let shape = self.weights.shape;
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let known = |text: &[u32]| text.iter().all(|token| (*token as usize) < shape.vocabulary);
        let sound = !prompt.is_empty() && known(prompt) && texts.iter().all(|text| !text.is_empty() && known(text));
        if prompt.len() + longest > shape.context || !sound {
            return Err(TooLong { tokens: prompt.len() + longest, context: shape.context });
        }
        let (asked, mut first) = self.read(prompt);
        let normal = softmax(&mut first.clone());
        first.iter_mut().for_each(|logit| *logit -= normal);
        let mut scores: Vec<f64> = texts.iter().map(|text| f64::from(first[text[0] as usize])).collect();
        for chunk in (0..texts.len()).collect::<Vec<_>>().chunks(TOGETHER) {
            let mut alive = chunk.to_vec();
            let mut memories = vec![vec![Memory::default(); shape.layers]; alive.len()];
            for at in 0.. {
                let kept: Vec<usize> = (0..alive.len()).filter(|slot| texts[alive[*slot]].len() > at + 1).collect();
                if kept.is_empty() {
                    break;
                }
                memories = kept.iter().map(|slot| std::mem::take(&mut memories[*slot])).collect();
                alive = kept.iter().map(|slot| alive[*slot]).collect();
                let tokens: Vec<u32> = alive.iter().map(|index| texts[*index][at]).collect();
                let mut logits = self.step(&asked, &mut memories, &tokens, prompt.len() + at, true);
                for (row, index) in logits.chunks_exact_mut(shape.vocabulary).zip(&alive) {
                    let logit = row[texts[*index][at + 1] as usize];
                    scores[*index] += f64::from(logit - softmax(row));
                }
            }
        }
        Ok(scores)
    }

    /// Runs over a prompt, `[seq_len]`. Returns its keys and values by layer, and the logits of the next token,
    /// `[vocab]`.
    fn read(&self, prompt: &[u32]) -> (Vec<Memory>, Vec<f32>) {
        let mut asked = [vec![Memory::default(); self.weights.shape.layers]];
        let mut first = Vec::new();
        for (position, token) in prompt.iter().enumerate() {
            first = self.step(&[], &mut asked, &[*token], position, position + 1 == prompt.len());
        }
        let [asked] = asked;
        (asked, first)
    }

    /// Runs over one more token of each of several texts, `[n]`, all at the same position. The texts begin with the
    /// tokens of `shared`; the keys and values of the new tokens are added to `own`. Returns the logits of the next
    /// tokens, `[n, vocab]`; empty unless `wanted`.
    fn step(
        &self,
        shared: &[Memory],
        own: &mut [Vec<Memory>],
        tokens: &[u32],
        position: usize,
        wanted: bool,
    ) -> Vec<f32> {
        let (shape, weights, n) = (self.weights.shape, &self.weights.values, tokens.len());
        let (d, f, v, head) = (shape.width, shape.hidden, shape.vocabulary, shape.head());
        let mut stream: Vec<f32> = Vec::with_capacity(n * d);
        for token in tokens {
            stream.extend_from_slice(&weights[self.spans.embedding.start + *token as usize * d..][..d]);
        }
        let (mut normed, mut inverse) = (vec![0.0; n * d], vec![0.0; n]);
        let (mut qkv, mut mixed) = (vec![0.0; n * 3 * d], vec![0.0; n * d]);
        let (mut gate_up, mut product) = (vec![0.0; n * 2 * f], vec![0.0; n * f]);
        let mut scores = Vec::with_capacity(position + 1);
        let scale = 1.0 / (head as f32).sqrt();
        for (index, layer) in self.spans.layers.iter().enumerate() {
            norm(&stream, &weights[layer.norm1.clone()], &mut normed, &mut inverse);
            linear(&normed, &weights[layer.qkv.clone()], &mut qkv, n, d, 3 * d);
            mixed.fill(0.0);
            for ((row, mixed), own) in qkv.chunks_exact_mut(3 * d).zip(mixed.chunks_exact_mut(d)).zip(own.iter_mut()) {
                self.rotary.turn(&mut row[..2 * d], position, false);
                let own = &mut own[index];
                own.keys.extend_from_slice(&row[d..2 * d]);
                own.values.extend_from_slice(&row[2 * d..]);
                let parts = shared.get(index).into_iter().chain([&*own]);
                for at in (0..d).step_by(head) {
                    let query = &row[at..at + head];
                    scores.clear();
                    let keys = parts.clone().flat_map(|memory| memory.keys.chunks_exact(d));
                    scores.extend(keys.map(|key| scale * dot(query, &key[at..at + head])));
                    softmax(&mut scores);
                    let values = parts.clone().flat_map(|memory| memory.values.chunks_exact(d));
                    for (share, value) in scores.iter().zip(values) {
                        let into = mixed[at..at + head].iter_mut();
                        into.zip(&value[at..at + head]).for_each(|(into, value)| *into += share * value);
                    }
                }
            }
            linear_add(&mixed, &weights[layer.output.clone()], &mut stream, n, d, d);
            norm(&stream, &weights[layer.norm2.clone()], &mut normed, &mut inverse);
            linear(&normed, &weights[layer.gate_up.clone()], &mut gate_up, n, d, 2 * f);
            gated(&gate_up, &mut product, f);
            linear_add(&product, &weights[layer.down.clone()], &mut stream, n, f, d);
        }
        if !wanted {
            return Vec::new();
        }
        norm(&stream, &weights[self.spans.norm.clone()], &mut normed, &mut inverse);
        let mut logits = vec![0.0; n * v];
        linear(&normed, &weights[self.spans.embedding.clone()], &mut logits, n, d, v);
        logits
    }
}

/// Bytes that an answer must begin with.
pub struct Prefill<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Returns the bytes of a token.
    pub spell: &'a dyn Fn(u32) -> &'a [u8],
}

impl Prefill<'_> {
    /// Masks the logits, `[vocab]`, of all tokens that do not continue the prefill after `said` bytes of the answer.
    fn keep(&self, logits: &mut [f32], said: usize) {
        let Some(rest) = self.bytes.get(said..).filter(|rest| !rest.is_empty()) else { return };
        for (token, logit) in logits.iter_mut().enumerate() {
            let bytes = (self.spell)(token as u32);
            if bytes.is_empty() || !(bytes.starts_with(rest) || rest.starts_with(bytes)) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// A text that is too long, empty, or of another vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text of {tokens} tokens does not fit into a context of {context}, or is of another vocabulary")]
pub struct TooLong {
    /// Length of the text, in tokens.
    pub tokens: usize,
    /// Maximum length, in tokens.
    pub context: usize,
}

/// Draws a token by its logits, `[vocab]`, which are overwritten. Returns the token with the logarithm of its
/// probability at temperature 1.
fn draw(logits: &mut [f32], drawing: &SamplingParams, stream: &mut ChaCha20Rng) -> (u32, f32) {
    if drawing.temperature <= 0.0 {
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        let drawn = best.map_or(0, |(token, _)| token);
        let logit = logits[drawn];
        return (drawn as u32, logit - softmax(logits));
    }
    if drawing.temperature == 1.0 {
        let drawn = among(logits, drawing, stream, |logits| {
            softmax(logits);
        });
        return (drawn as u32, logits[drawn].ln());
    }
    let mut heated = logits.to_vec();
    let drawn = among(&mut heated, drawing, stream, |heated| {
        let cooler = (1.0 / drawing.temperature) as f32;
        heated.iter_mut().for_each(|x| *x *= cooler);
        softmax(heated);
    });
    let logit = logits[drawn];
    (drawn as u32, logit - softmax(logits))
}

/// Draws a token by top-p, top-k and min-p, after `normalise` has turned `row`, `[vocab]`, into probabilities.
fn among(
    row: &mut [f32],
    drawing: &SamplingParams,
    stream: &mut ChaCha20Rng,
    normalise: impl FnOnce(&mut [f32]),
) -> usize {
    normalise(row);
    let pick = |order: &mut dyn Iterator<Item = usize>, total: f64, stream: &mut ChaCha20Rng| {
        let mut left = uniform(stream) * total;
        // Rounding may leave a rest: then the last token with a probability above 0 is drawn.
        let mut last = 0;
        for token in order {
            let p = f64::from(row[token]);
            if p > 0.0 {
                last = token;
            }
            left -= p;
            if left < 0.0 {
                return token;
            }
        }
        last
    };
    if drawing.top_p >= 1.0 && drawing.top_k == 0 && drawing.min_p <= 0.0 {
        let total = row.iter().map(|p| f64::from(*p)).sum();
        return pick(&mut (0..row.len()), total, stream);
    }
    // All tokens below this probability together weigh less than what top-p leaves out, so they need not be sorted.
    let least = if drawing.top_k == 0 { (1.0 - drawing.top_p) / row.len() as f64 } else { 0.0 };
    let likeliest = row.iter().copied().fold(0.0, f32::max);
    let least = least.max(drawing.min_p * f64::from(likeliest));
    let mut order: Vec<usize> = (0..row.len()).filter(|token| f64::from(row[*token]) >= least).collect();
    order.sort_unstable_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
    let most = if drawing.top_k == 0 { order.len() } else { drawing.top_k };
    let mut mass = 0.0;
    let nucleus = order.iter().take_while(|token| {
        let inside = mass < drawing.top_p;
        mass += f64::from(row[**token]);
        inside
    });
    let count = nucleus.count().clamp(1, most.max(1));
    order.truncate(count);
    let total = order.iter().map(|token| f64::from(row[*token])).sum();
    pick(&mut order.into_iter(), total, stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    const DRAWING: SamplingParams =
        SamplingParams { temperature: 1.0, top_p: 1.0, top_k: 0, min_p: 0.0, max_tokens: 12, seed: 4 };

    fn decoder() -> Decoder {
        let mut weights = Weights::random(Size::Tiny.shape(), 9);
        weights.values.iter_mut().for_each(|w| *w *= 1.5);
        Decoder::new(weights)
    }

    #[test]
    fn token_by_token_is_what_the_whole_pass_says() {
        let (decoder, prompt) = (decoder(), [2, 70, 90, 300, 0, 3]);
        for answer in decoder.answer(&prompt, 3, &DRAWING).expect("room") {
            let mut tokens = [prompt.as_slice(), &answer.tokens].concat();
            tokens.extend(answer.ended.then_some(END));
            let counts = (0..tokens.len()).map(|index| index >= prompt.len()).collect();
            let scored = decoder.score(&Text { tokens, counts }).expect("short");
            assert_eq!(scored.len(), answer.ln_probabilities.len());
            let apart = scored.iter().zip(&answer.ln_probabilities).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 2e-4);
        }
    }

    #[test]
    fn an_answer_that_was_begun_goes_on_in_whichever_tokens() {
        let (tokenizer, weights) = crate::base(Size::Tiny);
        let decoder = Decoder::new(weights);
        let prompt = tokenizer.prompt(&[blabbermouth_core::chat::Message::new(
            blabbermouth_core::chat::Role::User,
            "Hello, I am Mr Smith.",
        )]);
        let begun = Prefill { bytes: b"How is yo", spell: &|token| tokenizer.bytes(token) };
        let answers = decoder.answer_after(&prompt, &begun, 8, &DRAWING).expect("room");
        let mut first = std::collections::HashSet::new();
        for answer in &answers {
            assert!(tokenizer.decode(&answer.tokens).starts_with("How is yo"), "{answer:?}");
            assert!(answer.ln_probabilities.iter().all(|ln| ln.is_finite()));
            first.insert(answer.tokens.clone());
        }
        assert!(first.len() > 1, "they differ");
    }

    #[test]
    fn texts_after_a_prompt_score_as_whole_ones_do() {
        let (decoder, prompt) = (decoder(), [2, 70, 90, 300, 0, 3]);
        let texts: [&[u32]; 4] = [&[9], &[12, 700, 44], &[12, 701], &[9, 9, 9, 9, 0]];
        let scores = decoder.score_after(&prompt, &texts).expect("room");
        for (text, score) in texts.iter().zip(&scores) {
            let tokens = [prompt.as_slice(), text].concat();
            let counts = (0..tokens.len()).map(|index| index >= prompt.len()).collect();
            let whole: f32 = decoder.score(&Text { tokens, counts }).expect("short").iter().sum();
            assert!((f64::from(whole) - score).abs() < 1e-3, "{whole} {score}");
        }
        assert!(decoder.score_after(&prompt, &[&[]]).is_err() && decoder.score_after(&prompt, &[&[768]]).is_err());
        assert!(decoder.score_after(&[5; 250], &[&[5; 7]]).is_err());
    }

    #[test]
    fn sampling_follows_the_probabilities() {
        let drawing = SamplingParams { top_p: 1.0, ..DRAWING };
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln() + 2.0).collect();
        let mut stream = ChaCha20Rng::seed_from_u64(1);
        let mut share = |drawing: &SamplingParams| {
            let mut counts = [0.0; 4];
            for _ in 0..20_000 {
                counts[draw(&mut logits.clone(), drawing, &mut stream).0 as usize] += 1.0 / 20_000.0;
            }
            counts
        };
        let close = |found: [f64; 4], expected: [f64; 4]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(close(share(&drawing), [0.5, 0.3, 0.15, 0.05]));
        assert!(close(share(&SamplingParams { top_p: 0.7, ..drawing }), [0.625, 0.375, 0.0, 0.0]));
        assert!(close(share(&SamplingParams { top_k: 1, ..drawing }), [1.0, 0.0, 0.0, 0.0]));
        assert!(close(share(&SamplingParams { temperature: 0.0, ..drawing }), [1.0, 0.0, 0.0, 0.0]));
        let hot = [0.5f64, 0.3, 0.15, 0.05].map(f64::sqrt);
        let total: f64 = hot.iter().sum();
        assert!(close(share(&SamplingParams { temperature: 2.0, ..drawing }), hot.map(|p| p / total)));
    }

    #[test]
    fn the_same_seed_draws_the_same_and_long_prompts_are_refused() {
        let decoder = decoder();
        let one = decoder.answer(&[2, 80, 3], 4, &DRAWING).expect("room");
        assert_eq!(decoder.answer(&[2, 80, 3], 4, &DRAWING), Ok(one.clone()));
        assert_ne!(decoder.answer(&[2, 80, 3], 4, &SamplingParams { seed: 5, ..DRAWING }), Ok(one.clone()));
        assert!(one.iter().all(|a| a.tokens.len() <= 12 && (a.ended || a.tokens.len() == 12)));
        assert!(decoder.answer(&[5; 256], 1, &DRAWING).is_err() && decoder.answer(&[9999], 1, &DRAWING).is_err());
        let full = decoder.answer(&[5; 250], 2, &SamplingParams { max_tokens: 50, ..DRAWING }).expect("room");
        assert!(full.iter().all(|answer| answer.ended || answer.tokens.len() <= 7));
    }
}
