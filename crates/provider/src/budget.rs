//! The budget of a run: limits, and what was spent.

use super::{Price, ProviderError, Request};
use blabbermouth_core::chat::Usage;

/// Requests, tokens and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Cost in millionths of a USD.
    pub micros: u64,
}

/// Counts the spending of a run over all its processes. An amount is on disk before it is spent.
pub trait SpendCounter: std::fmt::Debug + Send + Sync {
    /// Reserves an amount if all reservations together stay within `limit`. Returns whether it did.
    ///
    /// # Errors
    /// When the counter cannot be written; the text says why.
    fn reserve(&self, amount: Amount, limit: Amount) -> Result<bool, String>;

    /// Releases the part of a reservation that was not spent.
    ///
    /// # Errors
    /// As [`SpendCounter::reserve`].
    fn release(&self, amount: Amount) -> Result<(), String>;
}

/// Limits of a run; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Requests.
    pub requests: Option<u64>,
    /// Tokens of prompts and answers.
    pub tokens: Option<u64>,
    /// Cost in USD.
    pub cost: Option<f64>,
}

impl Limits {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn amount(&self) -> Amount {
        let most = u64::MAX >> 1;
        let micros = self.cost.map_or(most, |usd| (usd.max(0.0) * 1e6).min(most as f64) as u64);
        Amount { requests: self.requests.unwrap_or(most), tokens: self.tokens.unwrap_or(most), micros }
    }
}

/// Upper bound of the tokens of a request: each byte of the prompt counts as a token, and each answer has the longest
/// length.
#[must_use]
pub fn worst_case(request: &Request) -> Usage {
    let prompt: usize = request.messages.iter().map(|m| m.content.len() + 8).sum();
    let answers = u64::from(request.sampling.max_tokens) * u64::from(request.choices);
    Usage { prompt_tokens: prompt as u64 + 8, completion_tokens: answers }
}

/// Cost of tokens in millionths of a USD, rounded up. Without a price: 0.
#[must_use]
pub fn micros(usage: Usage, price: Option<&Price>) -> u64 {
    let Some(price) = price else { return 0 };
    (usage.prompt_tokens as f64 * price.input + usage.completion_tokens as f64 * price.output).ceil() as u64
}

/// The budget of a run. The worst case of every attempt is reserved before it is sent; what it does not spend is
/// released.
#[derive(Debug)]
pub struct Budget {
    counter: Box<dyn SpendCounter>,
    limits: Amount,
    price: Option<Price>,
}

impl Budget {
    /// A budget of a run. Without a price, tokens cost nothing.
    #[must_use]
    pub fn new(counter: Box<dyn SpendCounter>, limits: Limits, price: Option<Price>) -> Self {
        Self { counter, limits: limits.amount(), price }
    }

    /// Reserves an amount if it is within `limits`. Returns whether it did.
    ///
    /// # Errors
    /// When the counter cannot be written; the text says why.
    pub fn fits(counter: &dyn SpendCounter, amount: Amount, limits: Limits) -> Result<bool, String> {
        counter.reserve(amount, limits.amount())
    }

    fn amount(&self, usage: Usage) -> Amount {
        let tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        Amount { requests: 1, tokens, micros: micros(usage, self.price.as_ref()) }
    }

    /// Reserves the worst case of an attempt.
    ///
    /// # Errors
    /// When that would exceed the limits.
    pub(crate) fn reserve(&self, worst: Usage) -> Result<(), ProviderError> {
        match self.counter.reserve(self.amount(worst), self.limits).map_err(ProviderError::Setup)? {
            true => Ok(()),
            false => Err(ProviderError::Budget),
        }
    }

    /// Releases what an attempt did not use. An attempt that broke off may have been billed, and is not settled.
    pub(crate) fn settle(&self, worst: Usage, used: Usage) -> Result<(), ProviderError> {
        let (taken, spent) = (self.amount(worst), self.amount(used));
        let back = Amount {
            requests: 0,
            tokens: taken.tokens.saturating_sub(spent.tokens),
            micros: taken.micros.saturating_sub(spent.micros),
        };
        self.counter.release(back).map_err(ProviderError::Setup)
    }
}
