//! Weights: random ones, and safetensors files, which other software reads too.

use std::collections::HashMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::config::Shape;
use super::noise::Normal;

/// Why weights cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// Not a whole safetensors file, or an invalid shape or `config.json`.
    #[error("this is no whole safetensors file: {0}")]
    Damaged(String),
    /// A tensor is missing.
    #[error("the tensor {0} is missing: this is no model of the Llama family with tied embeddings")]
    Missing(String),
    /// A tensor has another size than the model's shape requires.
    #[error("the tensor {name} is {found:?}, expected {expected:?}: the weights are of another model than its config")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Size in the file.
        found: Vec<usize>,
        /// Size that the model's shape requires.
        expected: Vec<usize>,
    },
    /// A tensor is not F32, F16 or BF16.
    #[error("the tensor {0} is neither F32 nor F16 nor BF16")]
    Type(String),
    /// A weight is infinite or NaN.
    #[error("the tensor {0} holds a weight that is not finite: the training failed, or the file is damaged")]
    NotFinite(String),
}

/// Number format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// F32: four bytes each, exact.
    Single,
    /// BF16: two bytes each, rounded to eight significant bits.
    Brain,
}

/// All weights of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Shape of the model.
    pub shape: Shape,
    /// All tensors one after the other, `[weights]`.
    pub values: Vec<f32>,
}

impl Weights {
    /// Returns random weights to start a training from. The same seed gives the same weights.
    #[must_use]
    pub fn random(shape: Shape, seed: u64) -> Self {
        let mut normal = Normal::new(ChaCha20Rng::seed_from_u64(seed));
        let spans = shape.spans();
        let mut values = vec![0.0f32; shape.weights()];
        let mut fill = |range: std::ops::Range<usize>, deviation: f64| {
            values[range].iter_mut().for_each(|w| *w = (normal.draw() * deviation) as f32);
        };
        let narrow = 0.4 / (shape.width as f64).sqrt() / (2.0 * shape.layers as f64).sqrt();
        fill(spans.embedding, 0.05);
        for layer in &spans.layers {
            fill(layer.qkv.clone(), 0.6 / (shape.width as f64).sqrt());
            fill(layer.output.clone(), narrow);
            fill(layer.gate_up.clone(), 0.6 / (shape.width as f64).sqrt());
            fill(layer.down.clone(), narrow);
        }
        for gain in spans.layers.iter().flat_map(|l| [&l.norm1, &l.norm2]).chain([&spans.norm]) {
            values[gain.clone()].fill(1.0);
        }
        Self { shape, values }
    }

    /// Returns each tensor: its name in the `transformers` library, its offset in `values`, and its shape.
    fn tensors(shape: &Shape) -> Vec<(String, usize, Vec<usize>)> {
        let (d, f, spans) = (shape.width, shape.hidden, shape.spans());
        let mut all = vec![("model.embed_tokens.weight".to_owned(), spans.embedding.start, vec![shape.vocabulary, d])];
        for (index, layer) in spans.layers.iter().enumerate() {
            let (qkv, gate_up) = (layer.qkv.start, layer.gate_up.start);
            for (name, at, size) in [
                ("input_layernorm", layer.norm1.start, vec![d]),
                ("self_attn.q_proj", qkv, vec![d, d]),
                ("self_attn.k_proj", qkv + d * d, vec![d, d]),
                ("self_attn.v_proj", qkv + 2 * d * d, vec![d, d]),
                ("self_attn.o_proj", layer.output.start, vec![d, d]),
                ("post_attention_layernorm", layer.norm2.start, vec![d]),
                ("mlp.gate_proj", gate_up, vec![f, d]),
                ("mlp.up_proj", gate_up + f * d, vec![f, d]),
                ("mlp.down_proj", layer.down.start, vec![d, f]),
            ] {
                all.push((format!("model.layers.{index}.{name}.weight"), at, size));
            }
        }
        all.push(("model.norm.weight".to_owned(), spans.norm.start, vec![d]));
        all
    }

    /// Returns the weights as a safetensors file.
    #[must_use]
    pub fn to_safetensors(&self, precision: Precision) -> Vec<u8> {
        let (width, kind) = match precision {
            Precision::Single => (4, Dtype::F32),
            Precision::Brain => (2, Dtype::BF16),
        };
        let bytes: Vec<u8> = match precision {
            Precision::Single => self.values.iter().flat_map(|w| w.to_le_bytes()).collect(),
            Precision::Brain => self.values.iter().flat_map(|w| brain(*w).to_le_bytes()).collect(),
        };
        let tensors = Self::tensors(&self.shape).into_iter().map(|(name, at, size)| {
            let count: usize = size.iter().product();
            let view = TensorView::new(kind, size, &bytes[at * width..(at + count) * width]);
            (name, view.expect("the length is that of the size"))
        });
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        serialize(tensors, Some(format)).expect("the tensors are sound")
    }

    /// Reads the weights of a shape from a safetensors file. Tensors that are not needed are ignored.
    ///
    /// # Errors
    /// When the shape is invalid, the file is damaged, a tensor is missing or of another size or type, or a weight is
    /// not finite.
    pub fn from_safetensors(shape: Shape, bytes: &[u8]) -> Result<Self, WeightsError> {
        if let Some(fault) = shape.fault() {
            return Err(WeightsError::Damaged(fault));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| WeightsError::Damaged(e.to_string()))?;
        let mut values = vec![0.0f32; shape.weights()];
        for (name, at, size) in Self::tensors(&shape) {
            let tensor = file.tensor(&name).map_err(|_| WeightsError::Missing(name.clone()))?;
            if tensor.shape() != size {
                return Err(WeightsError::Shape { name, found: tensor.shape().to_vec(), expected: size });
            }
            let data = tensor.data();
            let read: Vec<f32> = match tensor.dtype() {
                Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
                Dtype::BF16 => {
                    let wide = |b: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
                    data.chunks_exact(2).map(wide).collect()
                }
                Dtype::F16 => data.chunks_exact(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect(),
                _ => return Err(WeightsError::Type(name)),
            };
            if read.iter().any(|w| !w.is_finite()) {
                return Err(WeightsError::NotFinite(name));
            }
            values[at..at + read.len()].copy_from_slice(&read);
        }
        Ok(Self { shape, values })
    }

    /// Returns the `config.json` with which the `transformers` library opens the weights.
    #[must_use]
    pub fn config(&self) -> serde_json::Value {
        let shape = &self.shape;
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.width,
            "intermediate_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.heads,
            "head_dim": shape.head(),
            "max_position_embeddings": shape.context,
            "rms_norm_eps": super::config::NORM_EPSILON,
            "rope_theta": super::config::ROPE_BASE,
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": true,
            "bos_token_id": null,
            "eos_token_id": super::tokens::END,
            "pad_token_id": super::tokens::END,
            "torch_dtype": "float32",
        })
    }

    /// Reads the shape from a `config.json`.
    ///
    /// # Errors
    /// When the model is of another family, embeddings are not tied, attention is grouped, or a size is missing or
    /// invalid. Other options are not checked.
    pub fn shape_of(config: &serde_json::Value) -> Result<Shape, WeightsError> {
        let fault = |what: &str| WeightsError::Damaged(format!("config.json: {what}"));
        let number = |key: &str| {
            let found = config[key].as_u64().and_then(|n| usize::try_from(n).ok());
            found.ok_or_else(|| fault(&format!("`{key}` is missing")))
        };
        if config["model_type"] != "llama" || config["tie_word_embeddings"] != true {
            return Err(fault("this program runs models of type llama with tied embeddings only"));
        }
        let shape = Shape {
            vocabulary: number("vocab_size")?,
            width: number("hidden_size")?,
            layers: number("num_hidden_layers")?,
            heads: number("num_attention_heads")?,
            hidden: number("intermediate_size")?,
            context: number("max_position_embeddings")?,
        };
        if config["num_key_value_heads"].as_u64().is_some_and(|n| n != shape.heads as u64) {
            return Err(fault("grouped attention is not known here"));
        }
        shape.fault().map_or(Ok(shape), |what| Err(fault(&what)))
    }
}

/// Returns a safetensors file of vectors in F32, with notes in its metadata.
pub(super) fn pack<'a>(
    parts: impl Iterator<Item = (&'static str, &'a Vec<f32>)>,
    notes: [(&'static str, String); 2],
) -> Vec<u8> {
    let parts: Vec<(&str, usize, Vec<u8>)> =
        parts.map(|(name, row)| (name, row.len(), row.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = parts.iter().map(|(name, count, bytes)| {
        (*name, TensorView::new(Dtype::F32, vec![*count], bytes).expect("the length is that of the size"))
    });
    let notes = notes.map(|(name, value)| (name.to_owned(), value));
    serialize(views, Some(HashMap::from(notes))).expect("the tensors are sound")
}

/// An open file of [`pack`].
pub(super) struct Packed<'a> {
    file: SafeTensors<'a>,
    notes: HashMap<String, String>,
    count: usize,
}

impl<'a> Packed<'a> {
    /// Opens a file whose vectors all have `count` numbers.
    pub(super) fn open(bytes: &'a [u8], count: usize) -> Result<Self, WeightsError> {
        let damaged = |e: safetensors::SafeTensorError| WeightsError::Damaged(e.to_string());
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        Ok(Self { file, notes: head.metadata().clone().unwrap_or_default(), count })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// Returns a vector, `[count]`.
    pub(super) fn part(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.file.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != [self.count] {
            let (found, expected) = (tensor.shape().to_vec(), vec![self.count]);
            return Err(WeightsError::Shape { name: name.to_owned(), found, expected });
        }
        let read: Vec<f32> =
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let finite = read.iter().all(|x| x.is_finite());
        if finite { Ok(read) } else { Err(WeightsError::NotFinite(name.to_owned())) }
    }

    pub(super) fn note(&self, name: &str) -> Result<u64, WeightsError> {
        let note = self.notes.get(name).and_then(|note| note.parse().ok());
        note.ok_or_else(|| WeightsError::Damaged(format!("`{name}` is missing")))
    }
}

/// Rounds a number to BF16, the upper half of its bits, with ties to even.
fn brain(x: f32) -> u16 {
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Widens an F16 number. NaN becomes infinity: the caller refuses both.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 31, f32::from(bits & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2.0f32.powi(-14),
        31 => f32::INFINITY,
        _ => (1.0 + fraction) * 2.0f32.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    #[test]
    fn a_file_gives_back_what_went_in() {
        let weights = Weights::random(Size::Tiny.shape(), 3);
        let exact = weights.to_safetensors(Precision::Single);
        assert_eq!(Weights::from_safetensors(weights.shape, &exact), Ok(weights.clone()));
        let rounded = Weights::from_safetensors(weights.shape, &weights.to_safetensors(Precision::Brain));
        let rounded = rounded.expect("sound").values;
        assert!(weights.values.iter().zip(&rounded).all(|(a, b)| (a - b).abs() <= a.abs() / 256.0));
        assert_eq!(Weights::shape_of(&weights.config()), Ok(weights.shape));
        assert_eq!((half(0x3c00), half(0xc000), half(0x3555)), (1.0, -2.0, 0.333_251_95));
    }

    #[test]
    fn damaged_and_foreign_files_are_refused() {
        let weights = Weights::random(Size::Tiny.shape(), 3);
        let file = weights.to_safetensors(Precision::Single);
        for cut in [0, 7, 100, file.len() - 1] {
            let read = Weights::from_safetensors(weights.shape, &file[..cut]);
            assert!(matches!(read, Err(WeightsError::Damaged(_))), "{cut}");
        }
        let other = Shape { width: 32, ..weights.shape };
        assert!(matches!(Weights::from_safetensors(other, &file), Err(WeightsError::Shape { .. })));
        let more = Shape { layers: 3, ..weights.shape };
        assert!(matches!(Weights::from_safetensors(more, &file), Err(WeightsError::Missing(_))));
        let mut broken = weights.clone();
        broken.values[77] = f32::NAN;
        let read = Weights::from_safetensors(weights.shape, &broken.to_safetensors(Precision::Brain));
        assert!(matches!(read, Err(WeightsError::NotFinite(_))));
        let odd = Shape { heads: 3, ..weights.shape };
        assert!(matches!(Weights::from_safetensors(odd, &file), Err(WeightsError::Damaged(_))));
    }
}
