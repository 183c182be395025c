//! DSSE envelopes (Dead Simple Signing Envelope, version 1): a signature over the type and the bytes of a statement.

use data_encoding::{BASE64, HEXLOWER};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::EvidenceError;
use blabbermouth_core::canary::Key;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Id of the manifest's key in an envelope.
const MANIFEST_KEY_ID: &str = "blabbermouth-manifest-key";
/// DER of a public Ed25519 key, up to its 32 bytes (RFC 8410, section 4).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Key that signs evidence.
pub enum Signer {
    /// HMAC by the manifest's key; only holders of that key can verify it.
    Manifest(Key),
    /// Ed25519 signature; anyone with the public key can verify it.
    Ed25519(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest(_) => "Signer::Manifest(…)",
            Self::Ed25519(_) => "Signer::Ed25519(…)",
        })
    }
}

impl Signer {
    /// Reads an Ed25519 private key: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, EvidenceError> {
        let fault = EvidenceError::Key { what: "private key" };
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| fault.clone())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| fault)?;
        Ok(Self::Ed25519(Box::new(pair)))
    }

    fn id(&self) -> String {
        match self {
            Self::Manifest(_) => MANIFEST_KEY_ID.to_owned(),
            Self::Ed25519(pair) => key_id(pair.public_key().as_ref()),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Manifest(key) => mac(key, message),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// Key that verifies a signature.
pub enum Verifier {
    /// The manifest's key.
    Manifest(Key),
    /// The 32 bytes of a public Ed25519 key.
    Ed25519([u8; 32]),
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest(_) => f.write_str("Verifier::Manifest(…)"),
            Self::Ed25519(public) => write!(f, "Verifier::Ed25519({})", key_id(public)),
        }
    }
}

impl Verifier {
    /// Reads a public Ed25519 key: SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, EvidenceError> {
        let fault = EvidenceError::Key { what: "public key" };
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| fault.clone())?;
        let public = der.strip_prefix(PUBLIC_PREFIX.as_slice()).and_then(|bytes| bytes.try_into().ok());
        public.map(Self::Ed25519).ok_or(fault)
    }

    fn id(&self) -> String {
        match self {
            Self::Manifest(_) => MANIFEST_KEY_ID.to_owned(),
            Self::Ed25519(public) => key_id(public),
        }
    }

    fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Manifest(key) => mac(key, message) == signature,
            Self::Ed25519(public) => UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok(),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Manifest(_) => "the manifest's key (evidence with a signature of its own needs --key)",
            Self::Ed25519(_) => "the private key of this public key",
        }
    }
}

fn mac(key: &Key, message: &[u8]) -> Vec<u8> {
    key.seal("evidence", &[message]).into_bytes()
}

/// Id of a public key: SHA-256 of its DER.
fn key_id(public: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::new().chain_update(PUBLIC_PREFIX).chain_update(public).finalize())
}

/// Bytes to sign: the pre-authentication encoding of the specification.
fn message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

impl Envelope {
    fn render(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// Signs a statement, and returns the envelope.
pub(super) fn seal(statement: &[u8], signer: &Signer) -> Vec<u8> {
    let sig = BASE64.encode(&signer.sign(&message(statement)));
    let signatures = vec![Signature { keyid: signer.id(), sig }];
    Envelope { payload: BASE64.encode(statement), payload_type: PAYLOAD_TYPE.to_owned(), signatures }.render()
}

/// Returns the statement of an envelope whose only signature is by the key of `verifier`.
pub(super) fn open(bytes: &[u8], verifier: &Verifier) -> Result<Vec<u8>, EvidenceError> {
    let changed = EvidenceError::Changed { name: super::ENVELOPE };
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|_| changed.clone())?;
    let payload = BASE64.decode(envelope.payload.as_bytes()).map_err(|_| changed.clone())?;
    // Other white space and a second signature are edits, too.
    if envelope.render() != bytes || envelope.payload_type != PAYLOAD_TYPE {
        return Err(changed);
    }
    let [signature] = envelope.signatures.as_slice() else { return Err(changed) };
    let sig = BASE64.decode(signature.sig.as_bytes()).map_err(|_| changed)?;
    if signature.keyid == verifier.id() && verifier.is_signature(&message(&payload), &sig) {
        Ok(payload)
    } else {
        Err(EvidenceError::Signature { signer: verifier.name() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The key of RFC 8410, section 10.3, as OpenSSL writes it.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    pub(in super::super) fn pair() -> (Signer, Verifier) {
        let signer = Signer::from_pem(PRIVATE.as_bytes()).expect("a private key");
        (signer, Verifier::from_pem(PUBLIC.as_bytes()).expect("a public key"))
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        assert_eq!(message(b"hello"), b"DSSEv1 28 application/vnd.in-toto+json 5 hello");
    }

    #[test]
    fn only_its_own_public_key_opens_an_envelope() {
        let (signer, verifier) = pair();
        let sealed = seal(b"{}", &signer);
        assert_eq!(open(&sealed, &verifier).expect("valid"), b"{}");
        let other = Verifier::Ed25519([7; 32]);
        assert!(matches!(open(&sealed, &other), Err(EvidenceError::Signature { .. })));
        let key = Key::from_text("a key for the tests of envelopes").expect("long");
        assert!(open(&sealed, &Verifier::Manifest(key)).is_err());
        assert!(!format!("{signer:?}{verifier:?}").contains("1HJy2"));
    }

    #[test]
    fn wrong_key_files_are_refused() {
        assert_eq!(Signer::from_pem(PUBLIC.as_bytes()).err(), Some(EvidenceError::Key { what: "private key" }));
        assert_eq!(Verifier::from_pem(PRIVATE.as_bytes()).err(), Some(EvidenceError::Key { what: "public key" }));
        assert!(Signer::from_pem(b"").is_err() && Verifier::from_pem(b"-----BEGIN").is_err());
    }
}
