//! Headers of every request.

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::Endpoint;
use super::client::authority;
use crate::ProviderError;

/// Headers of every request: the host, the user's and the key.
pub(super) fn headers_of(endpoint: &Endpoint, url: &Url) -> Result<HeaderMap, ProviderError> {
    let setup = |what: String| ProviderError::Setup(what);
    // All requests go to one host. As a default header, it is not built anew for each request.
    let host = HeaderValue::from_str(&authority(url)).map_err(|e| setup(e.to_string()))?;
    let mut headers = HeaderMap::from_iter([(HOST, host)]);
    let header = |name: &str| {
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| setup(format!("`{name}` is no name of a header")))
    };
    if endpoint.headers.keys().chain(endpoint.secret_headers.keys()).any(|name| name.eq_ignore_ascii_case("host")) {
        return Err(setup("`headers`: `host` is that of the service's address, and cannot be set".into()));
    }
    for (name, value) in &endpoint.headers {
        let value =
            HeaderValue::from_str(value).map_err(|_| setup(format!("the header `{name}` has no sound value")))?;
        headers.insert(header(name)?, value);
    }
    for (name, value) in &endpoint.secret_headers {
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| setup(format!("the header `{name}` has no sound value")))?;
        value.set_sensitive(true);
        headers.insert(header(name)?, value);
    }
    if let Some(key) = &endpoint.key {
        let key = key.expose_secret().trim();
        let (name, text) = match endpoint.auth.as_str() {
            "" => (AUTHORIZATION, format!("Bearer {key}")),
            name => (header(name)?, key.to_owned()),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| setup(format!("{} holds characters that no API key has", endpoint.key_variable)))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}
