//! Messages for servers that cannot be reached or break off: they tell the faults apart and say what to do.

use std::error::Error;
use std::io::{self, ErrorKind};

use reqwest::Url;
use rustls::pki_types::InvalidDnsNameError;
use rustls::{CertificateError, Error as TlsError};

use super::ProviderError;
use super::http::{Failed, RetryHint};

/// Errors of a connection that the peer closes.
const GONE: [ErrorKind; 4] =
    [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe];

/// The error for a request without a whole response; `base` is its address if the error has none. Messages name only
/// host and port: the rest of an address may contain a key.
pub(super) fn unreached(error: &reqwest::Error, base: &Url) -> Failed {
    let url = error.url().unwrap_or(base);
    let host = url.host_str().unwrap_or_default().to_owned();
    if error.is_connect() {
        if let Some(TlsError::InvalidCertificate(fault)) = tls_fault(error) {
            return (ProviderError::Setup(certificate(&host, fault)), RetryHint::No);
        }
        if causes(error).any(|cause| cause.is::<InvalidDnsNameError>()) {
            let how = format!("{host} cannot be the name of a host; check `provider.base-url`");
            return (ProviderError::Setup(how), RetryHint::No);
        }
    }
    let what = what(error, url.scheme() == "https", url.port_or_known_default().unwrap_or_default());
    (ProviderError::Connection { host, what }, RetryHint::After(None))
}

fn what(error: &reqwest::Error, is_https: bool, port: u16) -> String {
    let of = |kinds: &[ErrorKind]| {
        causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|fault| kinds.contains(&fault.kind()))
    };
    match (error.is_connect(), error.is_timeout()) {
        (false, true) => return "it took too long".to_owned(),
        (false, false) => return "the connection broke".to_owned(),
        (true, true) => {
            return "it took too long to connect; check `provider.base-url`, the network, and a firewall".to_owned();
        }
        (true, false) => {}
    }
    if error.is_dns() {
        return "its name does not resolve; check `provider.base-url`, the network and its name server".to_owned();
    }
    if of(&[ErrorKind::ConnectionRefused]) {
        return format!(
            "the connection was refused; check that a server listens at port {port}, as in `provider.base-url`, and a \
             proxy if one is set"
        );
    }
    if of(&[ErrorKind::NetworkUnreachable, ErrorKind::HostUnreachable]) {
        return "there is no way to it; check the network, and `provider.base-url`".to_owned();
    }
    match tls_fault(error) {
        Some(TlsError::InvalidMessage(_)) => format!(
            "it speaks no TLS at port {port}; check the port in `provider.base-url`, and whether that begins with http:"
        ),
        Some(TlsError::AlertReceived(alert)) => {
            format!("it ended the TLS handshake ({alert:?}); check the host and the port in `provider.base-url`")
        }
        Some(_) => "the TLS handshake failed; check that it speaks TLS 1.2 or 1.3, and `provider.base-url`".to_owned(),
        None if is_https && of(&GONE) => {
            "the connection broke in the TLS handshake; check the port in `provider.base-url`, and a proxy or firewall \
             in between"
                .to_owned()
        }
        None => "the connection could not be made; check `provider.base-url`, the network, and a proxy if one is set"
            .to_owned(),
    }
}

/// The message for a bad certificate. The contents of the certificate are hostile input, and are not quoted.
fn certificate(host: &str, fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the certificate of {host} has expired, by this machine's clock; renew it, or set the clock if it is wrong"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet, by this machine's clock; set the clock if it is wrong")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of {host} is for another name; check the host in `provider.base-url`")
        }
        _ => format!("the certificate of {host} is not trusted; name it in `provider.certificates` if it is its own"),
    }
}

fn tls_fault(error: &reqwest::Error) -> Option<&TlsError> {
    causes(error).find_map(|cause| cause.downcast_ref::<TlsError>())
}

/// An error and its causes. The inner error of an `io::Error` is not its `source`, and is visited too.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_inside_two_errors_is_found() {
        let fault = TlsError::InvalidCertificate(CertificateError::Expired);
        let outer = io::Error::other(io::Error::new(ErrorKind::InvalidData, fault.clone()));
        let found = causes(&outer).find_map(|cause| cause.downcast_ref::<TlsError>());
        assert_eq!(found, Some(&fault));
        let kinds: Vec<_> = causes(&outer).filter_map(|c| c.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
        assert_eq!(kinds, [ErrorKind::Other, ErrorKind::InvalidData]);
    }

    #[test]
    fn every_fault_of_a_certificate_names_the_host_and_what_to_do() {
        for (fault, word) in [
            (CertificateError::Expired, "set the clock"),
            (CertificateError::NotValidYet, "set the clock"),
            (CertificateError::NotValidForName, "another name; check the host"),
            (CertificateError::UnknownIssuer, "`provider.certificates`"),
            (CertificateError::BadSignature, "`provider.certificates`"),
        ] {
            let said = certificate("model.test", &fault);
            assert!(said.contains("model.test") && said.contains(word), "{said}");
        }
    }
}
