//! Prices of tokens: a dated table, which the user's own prices override.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const TABLE: &str = include_str!("prices.toml");

/// Prices of a model, in USD for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens of the training file, each epoch counted.
    #[serde(default)]
    pub training: f64,
    /// Tokens of questions.
    pub input: f64,
    /// Tokens of answers.
    pub output: f64,
}

/// A price and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Quoted {
    /// The price.
    pub price: Price,
    /// The date of the table, or the user's configuration.
    pub source: String,
}

#[derive(Deserialize)]
struct Table {
    date: String,
    model: BTreeMap<String, Price>,
}

/// Price of a model, tuned or not; `None` if it is in no table.
///
/// # Examples
/// ```
/// use blabbermouth_provider::price;
/// let quoted = price("ft:gpt-4o-mini-2024-07-18:acme::abc12345", &Default::default()).expect("in the table");
/// assert_eq!((quoted.price.training, quoted.price.output), (3.0, 1.2));
/// assert!(price("my-own-model", &Default::default()).is_none());
/// ```
#[must_use]
pub fn price(model: &str, own: &BTreeMap<String, Price>) -> Option<Quoted> {
    let base = model.strip_prefix("ft:").and_then(|rest| rest.split(':').next()).unwrap_or(model);
    let exact = |names: &BTreeMap<String, Price>| names.get(model).or_else(|| names.get(base)).copied();
    if let Some(price) = exact(own) {
        return Some(Quoted { price, source: "the configuration".into() });
    }
    let table: Table = toml::from_str(TABLE).expect("the table is checked by the documentation's example");
    // An undated name, such as `gpt-4o-mini`, takes the price of its dated snapshot.
    let dated = || table.model.iter().find(|(name, _)| name.strip_prefix(base).is_some_and(|r| r.starts_with("-20")));
    let price = exact(&table.model).or_else(|| dated().map(|(_, price)| *price))?;
    Some(Quoted { price, source: format!("the price list of {}", table.date) })
}
