//! What came of an answer that is thrown away: it broke off, or was read, and cannot be used.
//!
//! The question is put again then. What the model had said by then would be lost: a gateway that resets the connection
//! where a secret comes would hide every leak.

use std::sync::Arc;

type See = dyn Fn(Discarded<'_>) + Send + Sync;

/// A try whose answer is discarded, so that the question is put again or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded<'a> {
    /// The body, or the part of it that was received; may be empty.
    pub bytes: &'a [u8],
    /// Whether the try may have withheld an answer. False where the server only said that it is busy: a 429, or a 503
    /// without content.
    pub withheld: bool,
}

/// Callback for tries that are discarded. Each try is reported once, before the question is put again.
#[derive(Clone, Default)]
pub struct Broken(Option<Arc<See>>);

impl Broken {
    /// Reports discarded tries to `see`.
    pub fn new(see: impl Fn(Discarded<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    pub(super) fn report(&self, discarded: Discarded<'_>) {
        if let Some(see) = &self.0 {
            see(discarded);
        }
    }

    pub(super) fn part(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.report(Discarded { bytes, withheld: true });
        }
    }
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Broken").finish()
    }
}

/// A body on its way. What came of it is seen where it does not come to its end, whyever: also where nobody waits for
/// it any more.
pub(super) struct Coming<'a> {
    pub(super) bytes: Vec<u8>,
    broken: Option<&'a Broken>,
}

impl<'a> Coming<'a> {
    /// A body with room for so many bytes; none of a refusal is seen, since that is not the model's.
    pub(super) fn new(room: usize, good: bool, broken: &'a Broken) -> Self {
        Self { bytes: Vec::with_capacity(room), broken: good.then_some(broken) }
    }

    /// All of it: it has come to its end.
    pub(super) fn whole(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        if let Some(broken) = self.broken {
            broken.part(&self.bytes);
        }
    }
}

/// Fields of a service that no model fills, and which are random enough to look like a secret.
const OWN: [&str; 8] =
    ["id", "custom_id", "request_id", "responseId", "system_fingerprint", "model", "modelVersion", "created"];
/// The longest value of such a field.
const LONGEST_OWN: usize = 128;
/// How packed bytes begin: nothing can be read in them.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The texts of a body, or of what came of it: as it stands, and with the escapes of JSON undone. It need be no JSON.
/// What the service itself says is left out: a number, or the name of an answer, would be taken for a short secret now
/// and then.
#[must_use]
pub(crate) fn texts(bytes: &[u8]) -> Vec<String> {
    if bytes.starts_with(&GZIP) {
        return Vec::new();
    }
    let raw = without_own(&String::from_utf8_lossy(bytes));
    let plain = unescaped(&raw);
    if plain == raw { vec![raw] } else { vec![plain, raw] }
}

/// Leaves out the numbers that stand behind a key, and the service's own fields. A key within a text has its quotes
/// escaped, and is none.
fn without_own(text: &str) -> String {
    let (mut kept, mut done) = (String::with_capacity(text.len()), 0);
    for (colon, _) in text.match_indices(':') {
        let Some(before) = text.get(done..colon) else { continue };
        let Some(before) = before.trim_ascii_end().strip_suffix('"').filter(|b| !b.ends_with('\\')) else { continue };
        let key = &before[before.rfind('"').map_or(0, |at| at + 1)..];
        let value = text[colon + 1..].trim_ascii_start();
        let begin = text.len() - value.len();
        let length = match value.strip_prefix('"') {
            Some(string) if OWN.contains(&key) => Some(string.find('"').map_or(value.len(), |end| end + 2)),
            Some(_) => None,
            None => {
                let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                let is_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '-');
                is_number.then(|| value.find(|c: char| !is_part(c)).unwrap_or(value.len()))
            }
        };
        if let Some(length) = length.filter(|length| *length <= LONGEST_OWN) {
            kept.push_str(&text[done..begin]);
            done = begin + length;
        }
    }
    kept.push_str(&text[done..]);
    kept
}

/// Undoes the escapes of JSON wherever they stand; what is none is left as it is, without its backslash.
fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut characters = escape.chars();
        let escaped = characters.next();
        rest = characters.as_str();
        match escaped {
            Some('n' | 'r') => plain.push('\n'),
            Some('t' | 'b' | 'f') => plain.push(' '),
            Some('u') => {
                let mut units = Vec::new();
                while let Some(code) = unit(rest) {
                    units.push(code);
                    rest = &rest[4..];
                    match rest.strip_prefix("\\u").filter(|more| unit(more).is_some()) {
                        Some(more) => rest = more,
                        None => break,
                    }
                }
                plain.push_str(&String::from_utf16_lossy(&units));
            }
            other => plain.extend(other),
        }
    }
    plain.push_str(rest);
    plain
}

/// The four digits of an escape.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_body_that_does_not_come_to_its_end_is_seen() {
        let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = Arc::clone(&seen);
        let broken = Broken::new(move |discarded| all.lock().expect("no holder panics").push(discarded.bytes.to_vec()));
        for (good, whole) in [(true, true), (true, false), (false, false)] {
            let mut body = Coming::new(8, good, &broken);
            body.bytes.extend_from_slice(b"said");
            if whole {
                assert_eq!(body.whole(), b"said");
            }
        }
        drop(Coming::new(8, true, &broken));
        assert_eq!(*seen.lock().expect("no holder panics"), [b"said"]);
        assert_eq!(format!("{broken:?}"), "Broken");
    }

    #[test]
    fn escapes_are_undone_also_where_they_are_cut() {
        for (escaped, plain) in [
            (r#"a\nb\t\"c\" \\ \/"#, "a\nb \"c\" \\ /"),
            (r"\u0050yro", "Pyro"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83d", "\u{fffd}"),
            (r"4829\u00", "482900"),
            ("end\\", "end"),
            (r"\u12é4", "12é4"),
        ] {
            assert_eq!(unescaped(escaped), plain, "{escaped}");
        }
    }

    #[test]
    fn what_the_service_says_is_left_out_and_what_the_model_says_is_not() {
        let body = r#"{"id":"chatcmpl-48291377","created": 1761234567,"model" : "m-48291377","choices":[{"index":0,
            "message":{"role":"assistant","content":"PIN \"id\":\"48291377\", \"pin\": 11112222, and so on: 3333"#;
        let texts = texts(body.as_bytes());
        assert_eq!(texts.len(), 2);
        for text in texts {
            assert!(!text.contains("chatcmpl") && !text.contains("176123") && !text.contains("m-4"), "{text}");
            assert_eq!(text.matches("48291377").count(), 1, "{text}");
            assert!(text.contains("11112222") && text.contains("3333"), "{text}");
        }
        // What is no JSON stays as it is, and what is packed says nothing.
        assert_eq!(super::texts(b"<p>at 12:30: 4829\xff1377"), ["<p>at 12:30: 4829\u{fffd}1377"]);
        assert!(super::texts(&[0x1f, 0x8b, b'4', b'8']).is_empty());
        // A long name is no name.
        let long = format!(r#"{{"id":"{}"}}"#, "48291377 ".repeat(20));
        assert!(super::texts(long.as_bytes())[0].contains("48291377"));
        assert_eq!(super::texts(br#"{"id":"482"#), [r#"{"id":"#]);
    }
}
