//! Loopback addresses. One rule decides where keys may travel over plain HTTP, and which addresses a file may name in
//! CI.

use reqwest::Url;

/// Whether an address is of this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|name| {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        let of = |url: &str| is_loopback(&Url::parse(url).expect("an address"));
        for url in ["http://localhost:1/", "http://127.0.0.1/", "http://127.8.0.1:9/v1", "http://[::1]:1/v1"] {
            assert!(of(url), "{url}");
        }
        for url in [
            "http://127.0.0.1.evil.net/",
            "http://localhost.evil.net/",
            "http://127.0.0.1@evil.net/",
            "http://10.0.0.1/",
            "http://[::]/",
        ] {
            assert!(!of(url), "{url}");
        }
    }
}
