//! The embedded language model: a small transformer of the Llama family that is really trained.
//!
//! Pure: bytes and chats in, weights and answers out. Own forward and backward passes, because no
//! library is as quick at this size; matrix products are `matrixmultiply`'s, through `ndarray`.
//!
//! | file | what |
//! | --- | --- |
//! | `shape` | sizes, and where each weight lies |
//! | `tokens` | byte-pair encoding and the chat template |
//! | `layers`, `network` | forward and backward pass |
//! | `weights` | safetensors and `config.json` |
//! | `gradient`, `train` | sums of gradients on threads; steps of AdamW and DP-SGD |
//! | `course` | a fine-tuning as a course of steps, which goes on after a kill |
//! | `decode` | answers and log-probabilities |
//! | `base` | the models that a fine-tuning begins from |
//! | `noise` | uniform and normal numbers |

mod base;
mod course;
mod decode;
mod gradient;
mod layers;
mod network;
mod noise;
mod shape;
mod tokens;
mod train;
mod weights;

pub use base::base;
pub use course::{Course, Privacy, Step, Training};
pub use decode::{Begun, Decoder, Drawing, Drawn, TooLong};
pub use network::Text;
pub use shape::{Shape, Size};
pub use tokens::{CHAT_TEMPLATE, END, Tokenizer, TokenizerError};
pub use train::{Diverged, Noise, PrivateNoise, Trainer, poisson_sample};
pub use weights::{Precision, Weights, WeightsError};
