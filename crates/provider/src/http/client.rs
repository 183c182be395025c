//! The HTTP client, and addresses.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::ProviderError;

/// Creates a client with these default headers and the settings that all clients share.
pub(super) fn client(
    headers: HeaderMap,
    timeout: Duration,
    loopback: bool,
    certificates: Option<&Path>,
) -> Result<reqwest::Client, ProviderError> {
    let setup = |what: String| ProviderError::Setup(what);
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .timeout(timeout)
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // `Http::with_retries` decides alone about retries.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .user_agent(concat!("blabbermouth/", env!("CARGO_PKG_VERSION")));
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = certificates {
        let fault = |e: String| setup(format!("`provider.certificates`: {}: {e}", path.display()));
        let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
        let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| fault(e.to_string()))?;
        if all.is_empty() {
            return Err(fault("there is no certificate in it; expected PEM".into()));
        }
        builder = builder.tls_certs_merge(all);
    }
    builder.build().map_err(|e| setup(format!("the HTTP client cannot be made: {e}")))
}

/// Scheme, host and port of a base URL, without user name and password; empty if the URL is invalid.
pub fn address_of(base_url: &str) -> String {
    Url::parse(base_url).map(|url| address(&url)).unwrap_or_default()
}

pub(super) fn address(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url))
}

/// The host, with the port if it is not the default one.
pub(super) fn authority(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Whether the value of a header with this name is a credential, by the name.
pub(super) fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie"].iter().any(|word| name.contains(word))
}
