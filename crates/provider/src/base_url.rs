//! Base URLs as people write them.

use std::path::PathBuf;

use reqwest::Url;

/// Paths of single calls, which people copy together with the base URL.
const CALLS: [&str; 6] =
    ["/chat/completions", "/completions", "/responses", "/embeddings", "/models", "/fine_tuning/jobs"];

/// Beginning of an address that is a Unix socket.
pub(crate) const UNIX: &str = "unix:";

/// A base URL and the query of every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// The address up to and with the version, without a slash at its end.
    pub(crate) base: String,
    /// The query string; empty for none.
    pub(crate) query: String,
    /// The Unix socket of `unix:/run/x.sock`.
    pub(crate) socket: Option<PathBuf>,
}

impl BaseUrl {
    /// Reads an address. `usual` is the service's own, of whose version an address without a path gets the path.
    ///
    /// - No scheme: `http` for this machine, `https` for others.
    /// - The path of a call at the end, a fragment and slashes at the end are left out.
    /// - A query goes with every request.
    ///
    /// # Errors
    /// One line with the right form, when it is no address.
    pub(crate) fn parse(given: &str, usual: &str) -> Result<Self, String> {
        let wrong = |what: String| {
            Err(format!(
                "`provider.base-url` is not an address ({what}); expected one such as https://api.openai.com/v1"
            ))
        };
        let trimmed = given.trim().trim_matches(['"', '\'', '<', '>']);
        if let Some(path) = trimmed.strip_prefix(UNIX) {
            let path = path.strip_prefix("//").unwrap_or(path);
            let version = if usual.ends_with("/v1") { "/v1" } else { "" };
            return if path.starts_with('/') {
                let base = format!("http://localhost{version}");
                Ok(Self { base, query: String::new(), socket: Some(PathBuf::from(path)) })
            } else {
                wrong("a Unix socket needs its full path, as in unix:/run/model.sock".into())
            };
        }
        if trimmed.chars().any(char::is_whitespace) {
            return wrong("it holds a blank".into());
        }
        let parsed = match Url::parse(trimmed) {
            Ok(url) if url.has_host() || trimmed.contains("://") => Ok(url),
            // `localhost:8000/v1` parses as an address with the scheme `localhost`.
            _ if !trimmed.contains("://") && !trimmed.is_empty() => {
                let scheme = if is_this_machine(trimmed) { "http" } else { "https" };
                Url::parse(&format!("{scheme}://{trimmed}"))
            }
            other => other,
        };
        let mut url = match parsed {
            Ok(url) => url,
            Err(e) => return wrong(e.to_string()),
        };
        let query = url.query().unwrap_or_default().to_owned();
        url.set_query(None);
        url.set_fragment(None);
        let mut base = url.as_str().trim_end_matches('/').to_owned();
        if let Some(call) = CALLS.iter().find(|call| base.ends_with(**call)) {
            base.truncate(base.len() - call.len());
            base.truncate(base.trim_end_matches('/').len());
        }
        if url.path().trim_matches('/').is_empty() && usual.ends_with("/v1") {
            base.push_str("/v1");
        }
        Ok(Self { base, query, socket: None })
    }
}

/// Whether an address without a scheme is of this machine.
fn is_this_machine(address: &str) -> bool {
    let host = address.split('/').next().unwrap_or_default();
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(h, _)| h);
    ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"].contains(&host) || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_as_people_write_them() {
        for (given, base, query) in [
            ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", ""),
            ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1", ""),
            (" http://127.0.0.1:8000/v1\n", "http://127.0.0.1:8000/v1", ""),
            ("http://127.0.0.1:8000/v1/chat/completions", "http://127.0.0.1:8000/v1", ""),
            ("http://127.0.0.1:8000/v1/completions/", "http://127.0.0.1:8000/v1", ""),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1", ""),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1", ""),
            ("127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1", ""),
            ("localhost:8000", "http://localhost:8000/v1", ""),
            ("[::1]:8000/v1", "http://[::1]:8000/v1", ""),
            ("http://[::1]:8000/v1", "http://[::1]:8000/v1", ""),
            ("api.example.org/v1", "https://api.example.org/v1", ""),
            ("api.example.org:8443/v1", "https://api.example.org:8443/v1", ""),
            (
                "https://x.example.org/openai/v1?api-version=preview",
                "https://x.example.org/openai/v1",
                "api-version=preview",
            ),
            ("https://x.example.org/v1#models", "https://x.example.org/v1", ""),
            ("https://x.example.org/gateway", "https://x.example.org/gateway", ""),
        ] {
            let read = BaseUrl::parse(given, "https://api.openai.com/v1").expect(given);
            assert_eq!((read.base.as_str(), read.query.as_str()), (base, query), "{given}");
        }
        let socket = BaseUrl::parse("unix:/run/x.sock", "http://127.0.0.1:8000/v1").expect("fine");
        assert_eq!((socket.base.as_str(), socket.socket), ("http://localhost/v1", Some("/run/x.sock".into())));
        let azure =
            BaseUrl::parse("https://r.openai.azure.com", "https://RESOURCE.openai.azure.com/openai").expect("fine");
        assert_eq!(azure.base, "https://r.openai.azure.com");
    }

    #[test]
    fn what_is_no_address_is_refused_in_one_line() {
        for given in ["", "http://", "http://a b/v1", "http://127.0.0.1:99999/v1", "://x", "unix:x.sock"] {
            let fault = BaseUrl::parse(given, "").expect_err(given);
            assert!(fault.contains("provider.base-url") && !fault.contains('\n'), "{fault}");
        }
    }
}
