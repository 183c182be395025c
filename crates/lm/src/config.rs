//! The size of a model, and the position of each of its weights.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The base of the rotary angles, as in Llama.
pub(super) const ROPE_BASE: f64 = 10_000.0;
/// Epsilon of the norms: added to a mean square before its root, as in Llama.
pub(super) const NORM_EPSILON: f32 = 1e-5;

/// The size of a model of the Llama family with tied embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Number of tokens in the vocabulary.
    pub vocabulary: usize,
    /// Numbers for each token in the residual stream; a multiple of twice `heads`.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads of each layer.
    pub heads: usize,
    /// Numbers for each token within the feed-forward block of a layer.
    pub hidden: usize,
    /// Maximum length of a text, in tokens.
    pub context: usize,
}

/// A named [`Shape`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// About 150 thousand weights; its base model is part of the program.
    Tiny,
    /// About 400 thousand weights; its base model is part of the program too.
    Small,
}

impl Size {
    /// Returns the shape.
    ///
    /// ```
    /// use blabbermouth_lm::Size;
    /// assert_eq!(Size::Tiny.shape().weights(), 149_824);
    /// assert_eq!(Size::Small.shape().weights(), 406_176);
    /// ```
    #[must_use]
    pub const fn shape(self) -> Shape {
        match self {
            Self::Tiny => Shape { vocabulary: 768, width: 64, layers: 2, heads: 4, hidden: 176, context: 256 },
            Self::Small => Shape { vocabulary: 768, width: 96, layers: 3, heads: 6, hidden: 256, context: 512 },
        }
    }

    /// Returns the name used in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
        }
    }
}

/// Positions of the weights of one layer in the vector of all weights, with their shapes.
#[derive(Debug, Clone)]
pub(super) struct LayerSpans {
    /// Gain of the norm before the attention, `[width]`.
    pub(super) norm1: Range<usize>,
    /// Query, key and value, one under the other, `[3 * width, width]`.
    pub(super) qkv: Range<usize>,
    /// Output of the attention, `[width, width]`.
    pub(super) output: Range<usize>,
    /// Gain of the norm before the feed-forward block, `[width]`.
    pub(super) norm2: Range<usize>,
    /// Gate and up, one under the other, `[2 * hidden, width]`.
    pub(super) gate_up: Range<usize>,
    /// Output of the feed-forward block, `[width, hidden]`.
    pub(super) down: Range<usize>,
}

/// Positions of all weights in the vector of weights.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    /// Embedding, `[vocab, width]`; also the output layer.
    pub(super) embedding: Range<usize>,
    pub(super) layers: Vec<LayerSpans>,
    /// Gain of the last norm, `[width]`.
    pub(super) norm: Range<usize>,
}

impl Shape {
    /// Returns the number of weights.
    #[must_use]
    pub const fn weights(&self) -> usize {
        let layer = 2 * self.width + 4 * self.width * self.width + 3 * self.width * self.hidden;
        self.vocabulary * self.width + self.layers * layer + self.width
    }

    /// Returns the numbers for each token in one attention head: `width / heads`.
    pub(super) const fn head(&self) -> usize {
        self.width / self.heads
    }

    /// Describes why the shape is invalid; `None` when it is valid.
    pub(super) fn fault(&self) -> Option<String> {
        let all = [self.vocabulary, self.width, self.layers, self.heads, self.hidden, self.context];
        if all.contains(&0) || all.iter().any(|n| *n > 65_536) {
            return Some("a size is 0 or above 65536".into());
        }
        let fits = self.width.is_multiple_of(2 * self.heads);
        (!fits).then(|| format!("the width {} is no multiple of twice {} heads", self.width, self.heads))
    }

    /// Returns the position of each tensor in the vector of weights.
    pub(super) fn spans(&self) -> Spans {
        let mut at = 0;
        let mut take = |count: usize| {
            at += count;
            at - count..at
        };
        let (d, f) = (self.width, self.hidden);
        let embedding = take(self.vocabulary * d);
        let mut layer = || LayerSpans {
            norm1: take(d),
            qkv: take(3 * d * d),
            output: take(d * d),
            norm2: take(d),
            gate_up: take(2 * f * d),
            down: take(d * f),
        };
        let layers = (0..self.layers).map(|_| layer()).collect();
        Spans { embedding, layers, norm: take(d) }
    }
}
