//! The built-in base models. `benches/base.rs` makes them again.
//!
//! Trained on GSM8K (MIT, © 2021 OpenAI) and on generated small talk; see `base/README.md`.

use super::checkpoint::Weights;
use super::config::Size;
use super::tokens::Tokenizer;

const TINY: (&[u8], &str) = (include_bytes!("base/tiny.safetensors"), include_str!("base/tiny.tokens.json"));
const SMALL: (&[u8], &str) = (include_bytes!("base/small.safetensors"), include_str!("base/small.tokens.json"));

/// Returns the tokenizer and the weights of the base model of a size.
///
/// ```
/// use blabbermouth_lm::{Size, base};
/// let (tokenizer, weights) = base(Size::Tiny);
/// assert_eq!(tokenizer.vocabulary(), weights.shape.vocabulary);
/// ```
///
/// # Panics
/// Never: a test reads the files.
#[must_use]
pub fn base(size: Size) -> (Tokenizer, Weights) {
    let (weights, tokens) = match size {
        Size::Tiny => TINY,
        Size::Small => SMALL,
    };
    let tokens = serde_json::from_str(tokens).expect("the file is JSON");
    let tokenizer = Tokenizer::from_json(&tokens).expect("the tokens of the base model are sound");
    (tokenizer, Weights::from_safetensors(size.shape(), weights).expect("the weights of the base model are sound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_models_are_sound() {
        for size in [Size::Tiny, Size::Small] {
            let (tokenizer, weights) = base(size);
            assert_eq!((tokenizer.vocabulary(), weights.shape), (768, size.shape()));
        }
        assert!(TINY.0.len() < 1 << 20 && SMALL.0.len() < 1 << 20);
    }
}
