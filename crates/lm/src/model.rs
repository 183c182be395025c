//! Forward and backward pass over several texts at once. No text attends to another.

use std::ops::Range;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use super::config::{LayerSpans, Shape, Spans};
use super::layers::{
    Rotary, dot, gated, gated_back, linear, linear_add, linear_back, linear_back_input, linear_back_weights, norm,
    norm_back, softmax,
};

/// A text to learn from or to score.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// Token ids, `[seq_len]`.
    pub tokens: Vec<u32>,
    /// Loss mask, `[seq_len]`: `false` where the token is not a training target. The first token never is one.
    pub counts: Vec<bool>,
}

impl Text {
    /// Returns the number of training targets.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.counts.iter().skip(1).filter(|counts| **counts).count()
    }
}

/// Whether the embedding, which is also the output layer, is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Embedding {
    Learns,
    Stays,
}

/// Activations of one layer that the backward pass needs.
#[derive(Debug, Default)]
struct Kept {
    /// Residual stream before the layer, `[n, width]`.
    input: Vec<f32>,
    /// Inverse root mean squares of the first norm, `[n]`.
    inverse1: Vec<f32>,
    /// Output of the first norm, `[n, width]`.
    normed1: Vec<f32>,
    /// Query, key and value after the rotation, `[n, 3 * width]`.
    qkv: Vec<f32>,
    /// Attention weights, one `[seq_len, seq_len]` matrix for each head of each text.
    attention: Vec<f32>,
    /// Values mixed by attention, `[n, width]`.
    mixed: Vec<f32>,
    /// Residual stream between the two blocks, `[n, width]`.
    middle: Vec<f32>,
    /// Inverse root mean squares of the second norm, `[n]`.
    inverse2: Vec<f32>,
    /// Output of the second norm, `[n, width]`.
    normed2: Vec<f32>,
    /// Gate and up, `[n, 2 * hidden]`.
    gate_up: Vec<f32>,
    /// `silu(gate) * up`, `[n, hidden]`.
    gated: Vec<f32>,
}

/// A network of one shape, with reusable buffers for its passes. Each pass takes the weights as an argument.
#[derive(Debug)]
pub(super) struct Network {
    shape: Shape,
    spans: Spans,
    rotary: Rotary,
    kept: Vec<Kept>,
    /// Residual stream, `[n, width]`.
    stream: Vec<f32>,
    /// Inverse root mean squares of the last norm, `[m]`.
    inverse: Vec<f32>,
    /// Output of the last norm, `[m, width]`.
    normed: Vec<f32>,
    /// Rows of `stream` at the tokens before the targets, `[m, width]`.
    chosen: Vec<f32>,
    /// Logits of the targets, `[m, vocab]`; after the forward pass, probabilities.
    logits: Vec<f32>,
    /// Index of each of these rows in `stream`, with the target token, `[m]`.
    targets: Vec<(usize, u32)>,
    scratch: [Vec<f32>; 4],
}

/// Returns the first `length` numbers of a buffer, which grows if it is too short. The caller overwrites its contents.
fn sized(vector: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if vector.len() < length {
        vector.resize(length, 0.0);
    }
    &mut vector[..length]
}

impl Network {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            spans: shape.spans(),
            rotary: Rotary::new(shape.head(), shape.context),
            kept: (0..shape.layers).map(|_| Kept::default()).collect(),
            stream: Vec::new(),
            inverse: Vec::new(),
            normed: Vec::new(),
            chosen: Vec::new(),
            logits: Vec::new(),
            targets: Vec::new(),
            scratch: Default::default(),
        }
    }

    /// Runs over texts. Returns the natural logarithm of the probability of every training target, in order, `[m]`.
    /// `weights` holds all weights, `[weights]`.
    pub(super) fn forward(&mut self, weights: &[f32], texts: &[&Text]) -> Vec<f32> {
        let (d, n) = (self.shape.width, texts.iter().map(|t| t.tokens.len()).sum::<usize>());
        let embedding = &weights[self.spans.embedding.clone()];
        let stream = sized(&mut self.stream, n * d);
        self.targets.clear();
        let mut row = 0;
        let mut texts_at = Vec::with_capacity(texts.len());
        for text in texts {
            debug_assert!(text.tokens.len() <= self.shape.context && text.tokens.len() == text.counts.len());
            texts_at.push(row..row + text.tokens.len());
            for (index, token) in text.tokens.iter().enumerate() {
                stream[row * d..][..d].copy_from_slice(&embedding[*token as usize * d..][..d]);
                if index > 0 && text.counts[index] {
                    self.targets.push((row - 1, *token));
                }
                row += 1;
            }
        }
        for (layer, kept) in self.spans.layers.iter().zip(&mut self.kept) {
            forward_layer(&self.shape, layer, weights, &self.rotary, &texts_at, stream, kept);
        }
        self.foretell(weights, n)
    }

    /// Returns the logarithms of the probabilities of the targets, `[m]`, from the residual stream, `[n, width]`.
    fn foretell(&mut self, weights: &[f32], n: usize) -> Vec<f32> {
        let (d, v, m) = (self.shape.width, self.shape.vocabulary, self.targets.len());
        let chosen = sized(&mut self.chosen, m * d);
        for ((row, _), into) in self.targets.iter().zip(chosen.chunks_exact_mut(d)) {
            into.copy_from_slice(&self.stream[row * d..][..d]);
        }
        debug_assert!(self.targets.iter().all(|(row, _)| *row < n));
        let normed = sized(&mut self.normed, m * d);
        norm(chosen, &weights[self.spans.norm.clone()], normed, sized(&mut self.inverse, m));
        let logits = sized(&mut self.logits, m * v);
        linear(normed, &weights[self.spans.embedding.clone()], logits, m, d, v);
        let rows = logits.chunks_exact_mut(v).zip(&self.targets);
        rows.map(|(row, (_, token))| {
            let logit = row[*token as usize];
            logit - softmax(row)
        })
        .collect()
    }

    /// Adds to `gradient`, `[weights]`, the gradient of the summed negative logarithms that
    /// [`Network::forward`] returned for the same texts, times `scale`. The embedding's gradient is
    /// added only for [`Embedding::Learns`].
    pub(super) fn backward(
        &mut self,
        weights: &[f32],
        texts: &[&Text],
        scale: f32,
        learns: Embedding,
        gradient: &mut [f32],
    ) {
        let (d, v, m) = (self.shape.width, self.shape.vocabulary, self.targets.len());
        let n = texts.iter().map(|t| t.tokens.len()).sum::<usize>();
        // The forward pass left probabilities. The gradient by the logits is these minus 1 at the target.
        for (row, (_, token)) in self.logits.chunks_exact_mut(v).zip(&self.targets) {
            row[*token as usize] -= 1.0;
            row.iter_mut().for_each(|x| *x *= scale);
        }
        let [d_stream, d_normed, d_chosen, _] = &mut self.scratch;
        let (d_stream, d_normed, d_chosen) = (sized(d_stream, n * d), sized(d_normed, m * d), sized(d_chosen, m * d));
        let (embedding, norm_at) = (self.spans.embedding.clone(), self.spans.norm.clone());
        linear_back_input(&self.logits, &weights[embedding.clone()], d_normed, m, d, v);
        if learns == Embedding::Learns {
            linear_back_weights(&self.logits, &self.normed, &mut gradient[embedding.clone()], m, d, v);
        }
        d_chosen.fill(0.0);
        let gain = &weights[norm_at.clone()];
        norm_back(d_normed, &self.chosen[..m * d], gain, &self.inverse, d_chosen, &mut gradient[norm_at]);
        d_stream.fill(0.0);
        for ((row, _), from) in self.targets.iter().zip(d_chosen.chunks_exact(d)) {
            d_stream[row * d..][..d].copy_from_slice(from);
        }
        let mut texts_at = Vec::with_capacity(texts.len());
        let mut start = 0;
        for text in texts {
            texts_at.push(start..start + text.tokens.len());
            start += text.tokens.len();
        }
        let [d_stream, a, b, c] = &mut self.scratch;
        for (layer, kept) in self.spans.layers.iter().zip(&mut self.kept).rev() {
            let room = [&mut *a, &mut *b, &mut *c];
            backward_layer(&self.shape, layer, weights, &self.rotary, &texts_at, d_stream, kept, room, gradient);
        }
        if learns == Embedding::Stays {
            return;
        }
        let tokens = texts.iter().flat_map(|text| &text.tokens);
        for (token, from) in tokens.zip(d_stream.chunks_exact(d)) {
            let into = &mut gradient[embedding.start + *token as usize * d..][..d];
            into.iter_mut().zip(from).for_each(|(into, from)| *into += from);
        }
    }
}

/// Runs one layer over the residual stream, `[n, width]`, in place. `texts` are the rows of each text.
fn forward_layer(
    shape: &Shape,
    layer: &LayerSpans,
    weights: &[f32],
    rotary: &Rotary,
    texts: &[Range<usize>],
    stream: &mut [f32],
    kept: &mut Kept,
) {
    let (d, f, n) = (shape.width, shape.hidden, stream.len() / shape.width);
    sized(&mut kept.input, n * d).copy_from_slice(stream);
    let normed = sized(&mut kept.normed1, n * d);
    norm(stream, &weights[layer.norm1.clone()], normed, sized(&mut kept.inverse1, n));
    let qkv = sized(&mut kept.qkv, n * 3 * d);
    linear(normed, &weights[layer.qkv.clone()], qkv, n, d, 3 * d);
    for text in texts {
        for (position, row) in text.clone().enumerate() {
            rotary.turn(&mut qkv[row * 3 * d..][..2 * d], position, false);
        }
    }
    let (head, scale) = (shape.head(), 1.0 / (shape.head() as f32).sqrt());
    sized(&mut kept.attention, texts.iter().map(|t| shape.heads * t.len() * t.len()).sum());
    let mixed = sized(&mut kept.mixed, n * d);
    let mut at = 0;
    for text in texts {
        let t = text.len();
        for index in 0..shape.heads {
            let attention = &mut kept.attention[at..at + t * t];
            at += t * t;
            let first = text.start * 3 * d + index * head;
            let [q, k, v] = [0, d, 2 * d].map(|part| strided(&qkv[first + part..], t, head, 3 * d));
            let mut scores = ArrayViewMut2::from_shape((t, t), attention).expect("a square");
            general_mat_mul(scale, &q, &k.t(), 0.0, &mut scores);
            for (row, scores) in attention.chunks_exact_mut(t).enumerate() {
                // A token attends to itself and to those before it.
                softmax(&mut scores[..=row]);
                scores[row + 1..].fill(0.0);
            }
            let attention = ArrayView2::from_shape((t, t), &kept.attention[at - t * t..at]).expect("a square");
            let mut into = strided_mut(&mut mixed[text.start * d + index * head..], t, head, d);
            general_mat_mul(1.0, &attention, &v, 0.0, &mut into);
        }
    }
    linear_add(mixed, &weights[layer.output.clone()], stream, n, d, d);
    sized(&mut kept.middle, n * d).copy_from_slice(stream);
    let normed = sized(&mut kept.normed2, n * d);
    norm(stream, &weights[layer.norm2.clone()], normed, sized(&mut kept.inverse2, n));
    let gate_up = sized(&mut kept.gate_up, n * 2 * f);
    linear(normed, &weights[layer.gate_up.clone()], gate_up, n, d, 2 * f);
    let product = sized(&mut kept.gated, n * f);
    gated(gate_up, product, f);
    linear_add(product, &weights[layer.down.clone()], stream, n, f, d);
}

/// Backward pass of [`forward_layer`]: turns `d_stream`, `[n, width]`, from the gradient of the layer's output into
/// that of its input, and adds the gradient of its weights to `gradient`, `[weights]`. `a`, `b` and `c` are buffers.
#[expect(clippy::too_many_arguments, reason = "what the forward pass kept, the room, and where the result goes")]
fn backward_layer(
    shape: &Shape,
    layer: &LayerSpans,
    weights: &[f32],
    rotary: &Rotary,
    texts: &[Range<usize>],
    d_stream: &mut [f32],
    kept: &mut Kept,
    [a, b, c]: [&mut Vec<f32>; 3],
    gradient: &mut [f32],
) {
    let (d, f) = (shape.width, shape.hidden);
    let n = texts.last().map_or(0, |t| t.end);
    let d_stream = &mut d_stream[..n * d];
    // The feed-forward block.
    let (d_gated, d_gate_up, d_normed) = (sized(a, n * f), sized(b, n * 2 * f), sized(c, n * d));
    let down = layer.down.clone();
    linear_back(d_stream, &kept.gated, &weights[down.clone()], d_gated, &mut gradient[down], n, f, d);
    gated_back(d_gated, &kept.gate_up[..n * 2 * f], d_gate_up, f);
    let at = layer.gate_up.clone();
    linear_back(d_gate_up, &kept.normed2, &weights[at.clone()], d_normed, &mut gradient[at], n, d, 2 * f);
    let (gain, d_gain) = (&weights[layer.norm2.clone()], &mut gradient[layer.norm2.clone()]);
    norm_back(d_normed, &kept.middle[..n * d], gain, &kept.inverse2, d_stream, d_gain);
    // The attention block.
    let (d_mixed, d_qkv) = (sized(a, n * d), sized(b, n * 3 * d));
    let at = layer.output.clone();
    linear_back(d_stream, &kept.mixed, &weights[at.clone()], d_mixed, &mut gradient[at], n, d, d);
    let (head, scale) = (shape.head(), 1.0 / (shape.head() as f32).sqrt());
    let longest = texts.iter().map(Range::len).max().unwrap_or(0);
    let d_scores = sized(c, (longest * longest).max(n * d));
    let mut square = 0;
    for text in texts {
        let t = text.len();
        for index in 0..shape.heads {
            let attention = &kept.attention[square..square + t * t];
            square += t * t;
            let first = text.start * 3 * d + index * head;
            let [q, k, v] = [0, d, 2 * d].map(|part| strided(&kept.qkv[first + part..], t, head, 3 * d));
            let d_out = strided(&d_mixed[text.start * d + index * head..], t, head, d);
            let weights_of = ArrayView2::from_shape((t, t), attention).expect("a square");
            let mut into = |part: usize, x: &ArrayView2<'_, f32>, y: &ArrayView2<'_, f32>, scale: f32| {
                let mut into = strided_mut(&mut d_qkv[first + part..], t, head, 3 * d);
                general_mat_mul(scale, x, y, 0.0, &mut into);
            };
            into(2 * d, &weights_of.t(), &d_out, 1.0);
            let mut scores = ArrayViewMut2::from_shape((t, t), &mut d_scores[..t * t]).expect("a square");
            general_mat_mul(1.0, &d_out, &v.t(), 0.0, &mut scores);
            for ((row, scores), attention) in
                d_scores[..t * t].chunks_exact_mut(t).enumerate().zip(attention.chunks_exact(t))
            {
                // The backward pass of softmax; masked positions have attention 0, and so gradient 0.
                let along = dot(&scores[..=row], &attention[..=row]);
                for (score, attention) in scores.iter_mut().zip(attention) {
                    *score = attention * (*score - along);
                }
            }
            let scores = ArrayView2::from_shape((t, t), &d_scores[..t * t]).expect("a square");
            into(0, &scores, &k, scale);
            into(d, &scores.t(), &q, scale);
        }
        for (position, row) in text.clone().enumerate() {
            rotary.turn(&mut d_qkv[row * 3 * d..][..2 * d], position, true);
        }
    }
    let d_normed = sized(c, n * d);
    let at = layer.qkv.clone();
    linear_back(d_qkv, &kept.normed1, &weights[at.clone()], d_normed, &mut gradient[at], n, d, 3 * d);
    let (gain, d_gain) = (&weights[layer.norm1.clone()], &mut gradient[layer.norm1.clone()]);
    norm_back(d_normed, &kept.input[..n * d], gain, &kept.inverse1, d_stream, d_gain);
}

/// Views `[rows, columns]` of a matrix whose rows begin `stride` numbers apart.
fn strided(data: &[f32], rows: usize, columns: usize, stride: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns).strides((stride, 1)), data).expect("within the matrix")
}

fn strided_mut(data: &mut [f32], rows: usize, columns: usize, stride: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns).strides((stride, 1)), data).expect("within the matrix")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weights;

    const SHAPE: Shape = Shape { vocabulary: 23, width: 16, layers: 2, heads: 2, hidden: 24, context: 12 };

    fn texts() -> [Text; 2] {
        let text = |tokens: &[u32], from: usize| Text {
            tokens: tokens.to_vec(),
            counts: (0..tokens.len()).map(|index| index >= from).collect(),
        };
        [text(&[3, 7, 1, 22, 7, 9, 0], 3), text(&[4, 4, 19, 2], 1)]
    }

    fn loss(weights: &[f32], texts: &[&Text]) -> f64 {
        -Network::new(SHAPE).forward(weights, texts).into_iter().map(f64::from).sum::<f64>()
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let mut weights = Weights::random(SHAPE, 5).values;
        // Larger than at the start of a training, so that every part matters.
        weights.iter_mut().for_each(|w| *w *= 2.0);
        weights[..SHAPE.vocabulary * SHAPE.width].iter_mut().for_each(|w| *w *= 3.0);
        let texts = texts();
        let texts: Vec<&Text> = texts.iter().collect();
        let mut network = Network::new(SHAPE);
        let mut gradient = vec![0.0; SHAPE.weights()];
        network.forward(&weights, &texts);
        network.backward(&weights, &texts, 1.0, Embedding::Learns, &mut gradient);
        let (mut apart, mut length) = (0.0f64, 0.0f64);
        for index in (0..weights.len()).step_by(7) {
            let before = weights[index];
            let mut slope = |step: f32| {
                weights[index] = before + step;
                let above = loss(&weights, &texts);
                weights[index] = before - step;
                let below = loss(&weights, &texts);
                weights[index] = before;
                (above - below) / (2.0 * f64::from(step))
            };
            // Richardson extrapolation of two steps removes the leading error of the differences.
            let expected = (4.0 * slope(2e-3) - slope(4e-3)) / 3.0;
            let found = f64::from(gradient[index]);
            apart += (found - expected).powi(2);
            length += expected.powi(2);
        }
        // The difference that is left is the rounding of the forward pass.
        assert!(apart.sqrt() < 2e-3 * length.sqrt() && length > 1.0, "{apart} of {length}");
    }

    #[test]
    fn texts_do_not_see_each_other() {
        let weights = Weights::random(SHAPE, 6).values;
        let [one, two] = texts();
        let mut network = Network::new(SHAPE);
        let together = network.forward(&weights, &[&one, &two]);
        let mut apart = network.forward(&weights, &[&one]);
        apart.extend(network.forward(&weights, &[&two]));
        assert_eq!(together, apart);
        assert_eq!(apart.len(), 4 + 3);
    }
}
