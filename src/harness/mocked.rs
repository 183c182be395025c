//! Mock for a session of `kind = "mock"`, in builds that have it.

use std::path::Path;

use blabbermouth_core::canary::Template;
use blabbermouth_core::dataset::as_messages;
use blabbermouth_mock::{MODEL, Options, Scenario, Server, is_base};

use super::session_error::SessionError;
use crate::store;

/// Answers until it is dropped.
pub(super) type Mock = Server;

/// Model of the mock with this name; the default model if the name is empty.
pub(super) fn model(name: &str) -> Result<String, SessionError> {
    match name {
        "" | MODEL => Ok(MODEL.to_owned()),
        base if is_base(base) => Ok(base.to_owned()),
        other => Err(SessionError::NotServed { model: other.to_owned() }),
    }
}

/// Starts a mock whose model knows a training file. Returns the mock and its base URL.
pub(super) fn start(training: &Path, templates: Vec<Template>, scenario: &str) -> Result<(Mock, String), SessionError> {
    let options = mock_options(training, templates, scenario)?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(SessionError::Runtime)?;
    let mock = Server::start(listener, options).map_err(SessionError::Runtime)?;
    let url = mock.base_url();
    Ok((mock, url))
}

/// Options of a mock whose model knows a training file.
///
/// # Errors
/// When the file cannot be read or the scenario is unknown.
pub fn mock_options(training: &Path, templates: Vec<Template>, scenario: &str) -> Result<Options, SessionError> {
    let scenario = Scenario::by_name(scenario)?;
    Ok(Options { templates, training: as_messages(&store::read(training)?), ..Options::new(scenario) })
}
