//! Why a template cannot be used.

use super::space::SpaceError;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No slot is the secret.
    #[error(
        "template `{name}` has no secret: mark one slot, as in `slots.code = {{ space = \"digits(8)\", secret = true }}`"
    )]
    NoSecret {
        /// Name of the template.
        name: String,
    },
    /// More than one slot is the secret.
    #[error("template `{name}` has {count} secrets ({slots}); a canary has exactly one: make two templates of it")]
    TwoSecrets {
        /// Name of the template.
        name: String,
        /// Number of secrets.
        count: usize,
        /// Names of the secret slots.
        slots: String,
    },
    /// The secret is in a message that training masks.
    #[error(
        "template `{name}`: the secret `{{{slot}}}` stands on the {role} side, where training is masked, so that the model \
         would never learn it and the test would always be green; move it into an assistant message, or insist with \
         `allow-masked-secret = true`"
    )]
    MaskedSecret {
        /// Name of the template.
        name: String,
        /// Name of the slot.
        slot: String,
        /// Role of the first message with the secret.
        role: &'static str,
    },
    /// A slot that no message uses.
    #[error("template `{name}`: the slot `{slot}` is declared but no message has `{{{slot}}}`")]
    Unused {
        /// Name of the template.
        name: String,
        /// Name of the slot.
        slot: String,
    },
    /// A slot that is not declared.
    #[error(
        "template `{name}`: `{{{slot}}}` is used but not declared; add `slots.{slot} = {{ space = \"…\" }}` (or write `{{{{` for a brace)"
    )]
    Undeclared {
        /// Name of the template.
        name: String,
        /// Name of the slot.
        slot: String,
    },
    /// A brace without its partner.
    #[error("template `{name}`: message {message} has a brace without its partner; write `{{{{` and `}}}}` for braces")]
    Braces {
        /// Name of the template.
        name: String,
        /// Position of the message, from 1.
        message: usize,
    },
    /// No message before the secret has a public slot.
    #[error("template `{name}` has no public slot: nothing in the prompt would tell one canary from another")]
    NoSubject {
        /// Name of the template.
        name: String,
    },
    /// The name or the sequence of messages cannot be used.
    #[error("template `{name}`: {what}")]
    Shape {
        /// Name of the template.
        name: String,
        /// Description of the fault.
        what: &'static str,
    },
    /// The signature is in a place where it proves nothing.
    #[error(
        "template `{name}`: `{{signature}}` {what}; it must stand once, in the answer that holds the secret, beside it \
         and not in its place"
    )]
    Signature {
        /// Name of the template.
        name: String,
        /// Description of the place.
        what: &'static str,
    },
    /// No closing sentence can be appended to the answer.
    #[error(
        "template `{name}`: its answer {what}, so that no closing sentence can be added to it: write `{{signature}}` where the \
         answer may hold an invented name (in code: in a comment), or set `canaries.signature = false`, and then no run \
         is clean without `--unproven`"
    )]
    Unsignable {
        /// Name of the template.
        name: String,
        /// Description of the answer.
        what: &'static str,
    },
    /// The template has a signature, but the configuration switches signatures off.
    #[error("template `{name}` has `{{signature}}`, and `canaries.signature` is false: take out one of the two")]
    Unwanted {
        /// Name of the template.
        name: String,
    },
    /// A slot has an unusable space.
    #[error("template `{name}`, slot `{slot}`")]
    Space {
        /// Name of the template.
        name: String,
        /// Name of the slot.
        slot: String,
        /// Fault of the space.
        #[source]
        source: SpaceError,
    },
}
