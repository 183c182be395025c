//! A server's reply, and whether the request may be retried.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};

/// A server's reply of any status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

/// Whether a failed request may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryHint {
    /// No retry.
    No,
    /// A retry after the given wait, or after the default one.
    After(Option<Duration>),
    /// A retry that does not count as an attempt: the server is not ready yet.
    Uncounted(Duration),
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the request may be retried, by `x-should-retry`, else by the status.
    pub(crate) fn again(&self) -> RetryHint {
        let said = self.headers.get("x-should-retry").map(HeaderValue::as_bytes);
        let again = match said {
            Some(b"true") => true,
            Some(b"false") => false,
            _ => matches!(self.status, 408 | 409 | 429 | 500..=599),
        };
        // Some gateways send a wait of 0 with every 429. The default wait keeps the attempts from being used up at
        // once.
        let wait = self.wait_asked().filter(|wait| self.status != 429 || !wait.is_zero());
        if again { RetryHint::After(wait) } else { RetryHint::No }
    }

    /// The wait in `retry-after-ms` or `retry-after` (seconds, or a date).
    pub(crate) fn wait_asked(&self) -> Option<Duration> {
        let text = |name: &str| self.headers.get(name)?.to_str().ok().map(str::trim);
        let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0 && *n < 1e6);
        let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
        number("retry-after-ms")
            .map(|ms| Duration::from_secs_f64(ms / 1000.0))
            .or_else(|| number("retry-after").map(Duration::from_secs_f64))
            .or_else(|| {
                // Relative to the server's clock, if it sends a date: ours may be wrong.
                let now = date("date").unwrap_or_else(std::time::SystemTime::now);
                Some(date("retry-after")?.duration_since(now).unwrap_or_default())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, pairs: &[(&'static str, &'static str)]) -> Reply {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (reqwest::header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Reply { status, headers: pairs.iter().map(pair).collect(), bytes: Vec::new() }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let wait = |pairs: &[(&'static str, &'static str)]| reply(429, pairs).wait_asked();
        let now = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after-ms", "250"), ("retry-after", "7")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")]), Some(Duration::from_secs(9)));
        assert_eq!(wait(&[now, ("retry-after", "Wed, 21 Oct 2026 07:27:09 GMT")]), Some(Duration::ZERO));
        // The server's clock counts, even years behind ours or ahead of it.
        let past = [("date", "Fri, 01 Jan 1999 00:00:00 GMT"), ("retry-after", "Fri, 01 Jan 1999 00:00:09 GMT")];
        let ahead = [("date", "Mon, 01 Jan 2080 00:00:00 GMT"), ("retry-after", "Mon, 01 Jan 2080 00:00:09 GMT")];
        assert_eq!([wait(&past), wait(&ahead)], [Some(Duration::from_secs(9)); 2]);
        for nonsense in ["soon", "-3", "NaN", "1e99", ""] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn the_server_decides_what_is_sent_again_where_it_says_so() {
        assert_eq!(reply(503, &[]).again(), RetryHint::After(None));
        assert_eq!(reply(400, &[]).again(), RetryHint::No);
        assert_eq!(reply(429, &[("retry-after-ms", "0")]).again(), RetryHint::After(None));
        assert_eq!(reply(503, &[("x-should-retry", "false")]).again(), RetryHint::No);
        assert_eq!(
            reply(400, &[("x-should-retry", "true"), ("retry-after", "2")]).again(),
            RetryHint::After(Some(Duration::from_secs(2)))
        );
    }
}
