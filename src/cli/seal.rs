//! Seals of reports and evidence, checked with the manifest's key.

use std::path::Path;

use blabbermouth_core::canary::Key;
use blabbermouth_core::verdict::RunReport;

use super::{Failure, config_failure};
use crate::config::is_ci;
use crate::exit::ExitCode;
use crate::harness::manifest_key;
use crate::store;

/// Fails in CI without BLABBERMOUTH_KEY: whoever can change the repository can choose the key in the manifest.
pub(super) fn needs_own_key() -> Result<(), Failure> {
    let is_set = super::environment("BLABBERMOUTH_KEY").is_some_and(|key| !key.trim().is_empty());
    if is_set || !is_ci(super::environment) {
        return Ok(());
    }
    let text = "in CI a key that is in the manifest proves nothing, since a pull request may have brought it: set BLABBERMOUTH_KEY";
    Err(Failure::new(ExitCode::Config, text))
}

/// Checks the seal of a report with the key of the configured manifest, and returns the key.
pub(super) fn sealed(report: &RunReport, path: &Path, config: &Path) -> Result<Key, Failure> {
    // The seal does not cover unknown fields, so a file with any of them is refused.
    let whole: Result<serde_json::Value, _> = serde_json::from_reader(store::open_data(path).map_err(config_failure)?);
    if !whole.is_ok_and(|whole| serde_json::to_value(report).is_ok_and(|own| own == whole)) {
        return Err(Failure::new(ExitCode::Config, format!("{}: it holds more than a run writes", path.display())));
    }
    let key = manifest_key(config, super::environment)?;
    if report.is_sealed_by(&key) {
        return Ok(key);
    }
    let name = path.display();
    let what = match &report.seal {
        None => format!("{name}: the report has no seal, so that nobody can tell who wrote it: run the test again"),
        Some(_) => format!(
            "{name}: the seal does not fit: the report was edited, or is of another manifest than that of {}",
            config.display()
        ),
    };
    Err(Failure::new(ExitCode::Config, what))
}
