//! Replaces the mock in a build without the feature `mock`: every call is an error.

use std::convert::Infallible;
use std::path::Path;

use blabbermouth_core::canary::Template;

use super::session_error::SessionError;

pub(super) type Mock = Infallible;

pub(super) fn model(_: &str) -> Result<String, SessionError> {
    Err(SessionError::NoMock)
}

pub(super) fn start(_: &Path, _: Vec<Template>, _: &str) -> Result<(Mock, String), SessionError> {
    Err(SessionError::NoMock)
}
