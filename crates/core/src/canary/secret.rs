//! The type of a secret value.

use zeroize::Zeroizing;

/// A drawn secret, without `Display` and `Serialize`. `Debug` prints `Secret(…)`, and the value is
/// wiped from memory when the secret is dropped.
///
/// ```
/// let secret = blabbermouth_core::canary::Secret::new("482913".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "482913");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value, for planting and searching only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
