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
        /// The template.
        name: String,
    },
    /// More than one slot is the secret.
    #[error("template `{name}` has {count} secrets ({slots}); a canary has exactly one: make two templates of it")]
    TwoSecrets {
        /// The template.
        name: String,
        /// How many.
        count: usize,
        /// Which.
        slots: String,
    },
    /// The secret is where training does not look.
    #[error(
        "template `{name}`: the secret `{{{slot}}}` stands on the {role} side, where training is masked, so that the model \
         would never learn it and the test would always be green; move it into an assistant message, or insist with \
         `allow-masked-secret = true`"
    )]
    MaskedSecret {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
        /// Where it stands first.
        role: &'static str,
    },
    /// A slot that no message uses.
    #[error("template `{name}`: the slot `{slot}` is declared but no message has `{{{slot}}}`")]
    Unused {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
    },
    /// A slot that is not declared.
    #[error(
        "template `{name}`: `{{{slot}}}` is used but not declared; add `slots.{slot} = {{ space = \"…\" }}` (or write `{{{{` for a brace)"
    )]
    Undeclared {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
    },
    /// A brace without its partner.
    #[error("template `{name}`: message {message} has a brace without its partner; write `{{{{` and `}}}}` for braces")]
    Braces {
        /// The template.
        name: String,
        /// Which message, from 1.
        message: usize,
    },
    /// The canary could not be told from others.
    #[error("template `{name}` has no public slot: nothing in the prompt would tell one canary from another")]
    NoSubject {
        /// The template.
        name: String,
    },
    /// Nothing would be asked.
    #[error("template `{name}`: {what}")]
    Shape {
        /// The template.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The signature is where it proves nothing.
    #[error(
        "template `{name}`: `{{signature}}` {what}; it must stand once, in the answer that holds the secret, beside it \
         and not in its place"
    )]
    Signature {
        /// The template.
        name: String,
        /// Where it stands.
        what: &'static str,
    },
    /// Nobody can tell where a signature may be added.
    #[error(
        "template `{name}`: its answer {what}, so that no closing sentence can be added to it: write `{{signature}}` where the \
         answer may hold an invented name (in code: in a comment), or set `canaries.signature = false`, and then no run \
         is clean without `--unproven`"
    )]
    Unsignable {
        /// The template.
        name: String,
        /// Why not.
        what: &'static str,
    },
    /// A signature that the settings switch off.
    #[error("template `{name}` has `{{signature}}`, and `canaries.signature` is false: take out one of the two")]
    Unwanted {
        /// The template.
        name: String,
    },
    /// A slot has an unusable space.
    #[error("template `{name}`, slot `{slot}`")]
    Space {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
        /// What is wrong with it.
        #[source]
        source: SpaceError,
    },
}
