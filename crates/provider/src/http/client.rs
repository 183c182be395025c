//! The HTTP client, and addresses.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::ProviderError;

/// How a server is reached below HTTP.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) is_loopback: bool,
    pub(super) certificates: Option<PathBuf>,
    pub(super) identity: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
}

/// Creates a client with these default headers and the settings that all clients share.
pub(super) fn client(headers: HeaderMap, timeout: Duration, wire: &Wire) -> Result<reqwest::Client, ProviderError> {
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
    if wire.is_loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = &wire.certificates {
        let fault = |e: String| setup(format!("`provider.certificates`: {}: {e}", path.display()));
        let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
        let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| fault(e.to_string()))?;
        if all.is_empty() {
            return Err(fault("there is no certificate in it; expected PEM".into()));
        }
        builder = builder.tls_certs_merge(all);
    }
    if let Some(path) = &wire.identity {
        let fault = |e: String| setup(format!("`provider.client-certificate`: {}: {e}", path.display()));
        let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
        let what = "expected a certificate and its private key, as PEM, in one file".to_owned();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(|_| fault(what))?);
    }
    if let Some(path) = &wire.socket {
        #[cfg(unix)]
        {
            builder = builder.unix_socket(path.clone());
        }
        #[cfg(not(unix))]
        return Err(setup(format!("{}: this system has no Unix sockets", path.display())));
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
