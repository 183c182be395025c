//! Planting: secret spaces, templates, the keyed draw, and the manifest.
//!
//! A secret is drawn uniformly from a declared [`Space`] of exact size, independently of everything
//! else. Every verdict rests on this draw: a model that learned nothing about the secret answers
//! independently of it.

mod builtin;
mod draw;
mod key;
mod manifest;
mod prefix_split;
mod secret;
mod signature;
mod space;
mod template;
mod template_error;
mod template_spec;

pub use draw::{Arm, Canary, DrawError, DrawPlan, FEWEST_MATCHED, draw};
pub use key::{Key, KeyError};
pub use manifest::{Drawn, Entry, Manifest, ManifestError, PlantedRows, VERSION as MANIFEST_VERSION};
pub use prefix_split::PrefixSplit;
pub use secret::Secret;
pub use signature::{SIGNATURE_SLOT, SMALLEST_SIGNATURE_SPACE, Signature};
pub use space::below;
pub use space::{Part, Space, SpaceError, Spaces};
pub use template::{Around, Template, builtin_templates};
pub use template_error::TemplateError;
pub use template_spec::{SlotSpec, TemplateMessage, TemplateSpec};
