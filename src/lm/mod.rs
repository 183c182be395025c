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
//! | `noise` | uniform and normal numbers |

mod layers;
mod network;
mod noise;
mod shape;
mod tokens;
mod weights;

pub use network::Text;
pub use shape::{Shape, Size};
pub use tokens::{END, Tokenizer, TokenizerError};
pub use weights::{Precision, Weights, WeightsError};
