//! The key of a draw, and everything that is derived from it.
//!
//! A user keeps one key. Each manifest has its own key, derived from the user's key and the manifest's nonce:
//! - from 32 random bytes, by HMAC-SHA-256
//! - from a passphrase, by Argon2id (RFC 9106), so that guessing passphrases is slow
//!
//! HMAC-SHA-256 with a label for each use derives from the manifest's key:
//! - the ChaCha20 streams of the draw
//! - the fingerprints, the check value and the seals of the manifest
//! - the seal of reports and the seed of a spread
//! - the keys of journals and cassettes

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;
use zeroize::Zeroizing;

/// Minimum length of a passphrase, in bytes.
const SHORTEST: usize = 16;
/// Length of a random key, in bytes.
const RANDOM: usize = 32;
/// Argon2id parameters: memory in KiB, passes and lanes, as OWASP recommends for passwords.
const STRETCH: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Text in lower case that marks a key as an example of the documentation.
const EXAMPLE: &str = "example key";

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The key is too short.
    #[error("the key has {found} bytes, at least {SHORTEST} are needed; `blabbermouth key` makes a good one")]
    Short {
        /// Length of the key, in bytes.
        found: usize,
    },
    /// A passphrase could not be stretched.
    #[error("the passphrase cannot be stretched: {0}")]
    Stretch(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(String),
}

/// The key of a draw. `Debug` prints `Key(…)`, and the bytes are wiped from memory when it is dropped.
///
/// ```
/// use blabbermouth_core::canary::Key;
/// let key = Key::from_text("an example key, not for real use")?;
/// assert_eq!(key.fingerprint("c0001", "482913").len(), 16);
/// assert_ne!(key.fingerprint("c0001", "482913"), key.fingerprint("c0002", "482913"));
/// # Ok::<(), blabbermouth_core::canary::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<Vec<u8>>,
    /// Whether `bytes` is the text of a passphrase, not a random key.
    is_passphrase: bool,
    is_example: bool,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Parses the key that a user keeps, for example in `BLABBERMOUTH_KEY`: 32 random bytes in hexadecimal or Base64,
    /// or a passphrase.
    ///
    /// # Errors
    /// When a passphrase is shorter than 16 bytes.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let is_example = text.to_ascii_lowercase().contains(EXAMPLE);
        let encodings = [HEXLOWER_PERMISSIVE, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
        let decoded = encodings.iter().find_map(|e| e.decode(text.as_bytes()).ok().filter(|b| b.len() == RANDOM));
        if let Some(bytes) = decoded {
            return Ok(Self { bytes: Zeroizing::new(bytes), is_passphrase: false, is_example });
        }
        if text.len() < SHORTEST {
            return Err(KeyError::Short { found: text.len() });
        }
        Ok(Self { bytes: Zeroizing::new(text.as_bytes().to_vec()), is_passphrase: true, is_example })
    }

    /// Returns whether this is an example key, which is public: its text holds `example key`, in any case.
    #[must_use]
    pub const fn is_example(&self) -> bool {
        self.is_example
    }

    /// Makes a random key of 32 bytes.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        Self::from_text(&random_hex(RANDOM)?)
    }

    /// Returns the key as text that [`Key::from_text`] parses.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let text = if self.is_passphrase {
            String::from_utf8_lossy(&self.bytes).into_owned()
        } else {
            HEXLOWER.encode(&self.bytes)
        };
        Zeroizing::new(text)
    }

    /// Derives the key of the manifest with this nonce. The result is of no use for any other manifest.
    ///
    /// # Errors
    /// When there is too little memory to stretch a passphrase.
    pub fn of_manifest(&self, nonce: &str) -> Result<Self, KeyError> {
        let salt = Self::salt(nonce);
        let bytes = if self.is_passphrase {
            let (memory, passes, lanes) = STRETCH;
            let fault = |e: argon2::Error| KeyError::Stretch(e.to_string());
            let params = Params::new(memory, passes, lanes, Some(RANDOM)).map_err(fault)?;
            let mut stretched = Zeroizing::new(vec![0; RANDOM]);
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon.hash_password_into(&self.bytes, &salt, &mut stretched).map_err(fault)?;
            stretched
        } else {
            Zeroizing::new(self.mac("manifest", &[nonce.as_bytes()]).to_vec())
        };
        Ok(Self { bytes, is_passphrase: false, is_example: self.is_example })
    }

    /// Returns the Argon2id salt: 16 bytes that depend on the nonce.
    fn salt(nonce: &str) -> [u8; 16] {
        let digest = Sha256::new().chain_update(b"blabbermouth passphrase ").chain_update(nonce).finalize();
        digest[..16].try_into().expect("a digest has 32 bytes")
    }

    fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.bytes).expect("HMAC takes keys of any length");
        for part in std::iter::once(&label.as_bytes()).chain(parts) {
            // The length before each part keeps ("ab", "c") and ("a", "bc") apart.
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Returns a separate ChaCha20 stream for each `label` and `nonce`.
    #[must_use]
    pub fn stream(&self, label: &str, nonce: &str) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.mac("stream", &[label.as_bytes(), nonce.as_bytes()]))
    }

    /// Returns a 32-byte key for sealing the data that `label` names.
    #[must_use]
    pub fn sealing_key(&self, label: &str) -> [u8; 32] {
        self.mac("seal", &[label.as_bytes()])
    }

    /// Returns the keyed fingerprint of the secret of canary `id`: the first 8 bytes of an HMAC, in hexadecimal. The
    /// fingerprint does not reveal the secret.
    #[must_use]
    pub fn fingerprint(&self, id: &str, secret: &str) -> String {
        HEXLOWER.encode(&self.mac("fingerprint", &[id.as_bytes(), secret.as_bytes()])[..8])
    }

    /// Returns the seal of plain data: the first 16 bytes of an HMAC, in hexadecimal.
    #[must_use]
    pub fn seal(&self, label: &str, parts: &[&[u8]]) -> String {
        let label = format!("sealed {label}");
        HEXLOWER.encode(&self.mac(&label, parts)[..16])
    }

    /// Returns the value by which a manifest recognizes its key: the first 8 bytes of an HMAC of the nonce, in
    /// hexadecimal.
    #[must_use]
    pub fn check_value(&self, nonce: &str) -> String {
        HEXLOWER.encode(&self.mac("check", &[nonce.as_bytes()])[..8])
    }

    /// Returns a map from bytes to numbers in `0..1` that depends on this key and `label`.
    #[must_use]
    pub fn spread(&self, label: &str) -> Spread {
        let mac = self.mac("spread", &[label.as_bytes()]);
        Spread(u64::from_le_bytes(mac[..8].try_into().expect("eight bytes")))
    }
}

/// Maps bytes to numbers in `0..1`, deterministically for a key and label: XXH3 with a seed from the key. The map
/// spreads rows evenly, at the speed at which they are read. The numbers are not secret.
#[derive(Debug, Clone, Copy)]
pub struct Spread(u64);

impl Spread {
    /// Returns the number of `bytes`, in `0..1`.
    #[must_use]
    pub fn unit_interval(self, bytes: &[u8]) -> f64 {
        let word = XxHash3_64::oneshot_with_seed(self.0, bytes);
        (word >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns `bytes` random bytes of the operating system, in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String, KeyError> {
    let mut buffer = Zeroizing::new(vec![0u8; bytes]);
    #[cfg(debug_assertions)]
    let filled = fill_for_test(&mut buffer);
    #[cfg(not(debug_assertions))]
    let filled = false;
    if !filled {
        getrandom::fill(&mut buffer).map_err(|e| KeyError::Random(e.to_string()))?;
    }
    Ok(HEXLOWER.encode(&buffer))
}

/// Fills `buffer` from `BLABBERMOUTH_TEST_SEED`, so that a test draws the same canaries each time. Returns `false` if
/// the variable is not set. Release builds ignore it.
#[cfg(debug_assertions)]
fn fill_for_test(buffer: &mut [u8]) -> bool {
    use rand_chacha::rand_core::Rng;
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let Ok(seed) = std::env::var("BLABBERMOUTH_TEST_SEED") else { return false };
    let mut stream = ChaCha20Rng::from_seed(Sha256::digest(seed).into());
    stream.set_stream(CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    stream.fill_bytes(buffer);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_values_differ_by_label_and_key() {
        let a = Key::from_text("0123456789abcdef").expect("long enough");
        let b = Key::from_text("0123456789abcdeg").expect("long enough");
        assert_ne!(a.check_value("n"), b.check_value("n"));
        assert_ne!(a.check_value("n"), a.check_value("m"));
        assert_ne!(a.sealing_key("x"), a.sealing_key("y"));
        assert_eq!(Key::from_text("short").expect_err("too short"), KeyError::Short { found: 5 });
        assert_eq!(format!("{a:?}"), "Key(…)");
        assert!(!a.is_example());
        assert!(Key::from_text("An Example Key of 2027").expect("long enough").is_example());
    }

    #[test]
    fn random_bytes_are_taken_in_each_spelling_and_passphrases_are_stretched() {
        let hex = "00ff".repeat(16);
        let bytes = HEXLOWER.decode(hex.as_bytes()).expect("digits");
        let spelled = [hex.to_uppercase(), BASE64.encode(&bytes), BASE64URL_NOPAD.encode(&bytes), format!(" {hex}\n")];
        let of =
            |text: &str| Key::from_text(text).and_then(|key| key.of_manifest("n")).expect("a key").check_value("n");
        assert!(spelled.iter().all(|text| of(text) == of(&hex)));
        let phrase = Key::from_text("a passphrase of some words").expect("long enough");
        assert_eq!(*phrase.expose(), "a passphrase of some words");
        let derived = phrase.of_manifest("n").expect("memory");
        assert_ne!(derived.check_value("n"), phrase.of_manifest("m").expect("memory").check_value("n"));
        assert_ne!(derived.check_value("n"), phrase.check_value("n"));
        assert_eq!(Key::from_text(&Key::random().expect("random").expose()).expect("a key").expose().len(), 64);
    }

    #[test]
    fn a_spread_is_even() {
        let key = Key::from_text("0123456789abcdef").expect("long enough");
        let spread = key.spread("t");
        let other = Key::from_text("0123456789abcdeg").expect("long enough").spread("t");
        for differs in [other, key.spread("u")] {
            assert_ne!(spread.unit_interval(b"a row"), differs.unit_interval(b"a row"));
        }
        let below = (0..4000u32).filter(|i| spread.unit_interval(&i.to_le_bytes()) < 0.1).count();
        // Binomial(4000, 0.1): mean 400, standard deviation 19; the limits are five standard deviations away.
        assert!((305..=495).contains(&below), "{below}");
    }
}
