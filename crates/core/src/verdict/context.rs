//! The context in which a model is to be released.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The user's own description of the release, for the evidence: who may ask the model, the rows it was tuned on, and
/// the safeguards. Nothing in it changes the verdict. An empty text means "not stated".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReleaseContext {
    /// The purpose of the model.
    pub purpose: String,
    /// The people who may ask the model, as in `public`, `customers` or `employees`.
    pub audience: String,
    /// How the model is asked, as in `chat, 60 requests an hour`.
    pub access: String,
    /// The rows that the model was tuned on.
    pub data: String,
    /// The persons whom the rows are about.
    pub persons: String,
    /// Measures against a leak, in training and in operation.
    pub safeguards: String,
    /// The person or team that answers questions about the release.
    pub contact: String,
}

impl ReleaseContext {
    /// Iterates over all stated texts, each with a heading.
    ///
    /// ```
    /// use blabbermouth_core::verdict::ReleaseContext;
    /// let context: ReleaseContext = toml::from_str("audience = \"customers\"")?;
    /// assert_eq!(context.stated().next(), Some(("Who may ask the model", "customers")));
    /// # Ok::<(), toml::de::Error>(())
    /// ```
    pub fn stated(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.all().into_iter().filter(|(_, text)| !text.trim().is_empty())
    }

    /// Returns every heading with its text.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &str); 7] {
        [
            ("Purpose", &self.purpose),
            ("Who may ask the model", &self.audience),
            ("How the model is asked", &self.access),
            ("Rows that the model was tuned on", &self.data),
            ("Persons whom the rows are about", &self.persons),
            ("Safeguards", &self.safeguards),
            ("Contact", &self.contact),
        ]
    }
}
