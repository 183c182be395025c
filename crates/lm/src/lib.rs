//! The embedded language model: a small transformer of the Llama family, trained by gradient descent.
//!
//! The crate does no input or output: bytes and chats come in, weights and answers go out. The forward and backward
//! passes are written here, because no library is as fast at this size. Matrix products are those of `matrixmultiply`,
//! through `ndarray`.
//!
//! Tensors are slices of `f32`, row by row; comments give their shapes. There, `n` is the number of tokens of all texts
//! of a call, `m` the number of training targets among them, and `weights` is [`Shape::weights`]. The sizes `width`,
//! `hidden`, `vocab` and `heads` are those of [`Shape`]; `head` is `width / heads`.
//!
//! | file | what |
//! | --- | --- |
//! | `config` | sizes, and the position of each weight |
//! | `tokens` | byte-pair encoding and the chat template |
//! | `layers`, `model` | forward and backward pass |
//! | `checkpoint` | safetensors and `config.json` |
//! | `gradient`, `train` | sums of gradients on threads; steps of AdamW and DP-SGD |
//! | `fine_tune` | a fine-tuning, step by step, with resume |
//! | `decode` | answers and log-probabilities |
//! | `base` | the built-in base models |
//! | `noise` | uniform and normal random numbers |

mod base;
mod checkpoint;
mod config;
mod decode;
mod fine_tune;
mod gradient;
mod layers;
mod model;
mod noise;
mod tokens;
mod train;

pub use base::base;
pub use checkpoint::{Precision, Weights, WeightsError};
pub use config::{Shape, Size};
pub use decode::{Decoder, Drawn, Prefill, SamplingParams, TooLong};
pub use fine_tune::{FineTune, Privacy, Step, TrainConfig};
pub use model::Text;
pub use tokens::{CHAT_TEMPLATE, END, Tokenizer, TokenizerError};
pub use train::{Diverged, Noise, PrivateNoise, Trainer, poisson_sample};
