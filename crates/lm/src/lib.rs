//! The embedded language model: a small transformer of the Llama family that is really trained.
//!
//! Pure: bytes and chats in, weights and answers out. Own forward and backward passes, because no
//! library is as quick at this size; matrix products are `matrixmultiply`'s, through `ndarray`.
//!
//! | file | what |
//! | --- | --- |
//! | `config` | sizes, and where each weight lies |
//! | `tokens` | byte-pair encoding and the chat template |
//! | `layers`, `model` | forward and backward pass |
//! | `checkpoint` | safetensors and `config.json` |
//! | `gradient`, `train` | sums of gradients on threads; steps of AdamW and DP-SGD |
//! | `fine_tune` | a fine-tuning, step by step, which goes on after a kill |
//! | `decode` | answers and log-probabilities |
//! | `base` | the models that a fine-tuning begins from |
//! | `noise` | uniform and normal numbers |

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
