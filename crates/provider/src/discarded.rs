//! Discarded responses: bodies that break off or cannot be used, and errors of the server.
//!
//! The request is then retried. A gateway that fails exactly where a secret comes would hide every leak. So each failed
//! attempt is reported with the bytes that were received.

use std::borrow::Cow;
use std::sync::Arc;

use super::body::{End, LARGEST_BODY, everything, unpack};

type See = dyn Fn(Discarded<'_>) + Send + Sync;

/// A failed attempt, before a retry or the final error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded<'a> {
    /// The received part of the body; may be empty.
    pub bytes: &'a [u8],
    /// Whether the attempt may have withheld an answer. False if the server was not reached, was busy (a 429, or a 503
    /// or 529 without content), or does not have the model yet, and if the outcome counts as an answer.
    pub withheld: bool,
}

/// Callback for discarded responses. Each failed attempt is reported once, before the retry.
#[derive(Clone, Default)]
pub struct DiscardSink(Option<Arc<See>>);

impl DiscardSink {
    /// Calls `see` for each failed attempt.
    pub fn new(see: impl Fn(Discarded<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(see)))
    }

    /// Calls the callback.
    pub fn report(&self, discarded: Discarded<'_>) {
        if let Some(see) = &self.0 {
            see(discarded);
        }
    }
}

impl std::fmt::Debug for DiscardSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiscardSink").finish()
    }
}

/// One attempt to get an answer, with the bytes received so far.
///
/// An attempt without an answer is reported exactly once, at its end. If it is canceled, it is reported only if bytes
/// were received.
pub(super) struct Attempt<'a> {
    /// The body, or the part received so far.
    pub(super) bytes: Vec<u8>,
    /// The `Content-Encoding` header, until the body is unpacked.
    pub(super) coding: String,
    /// Limit of the unpacked body in bytes.
    pub(super) limit: usize,
    /// The HTTP status, once there is one.
    pub(super) status: Option<u16>,
    /// Whether the server was not reached.
    pub(super) is_unreached: bool,
    /// Whether no answer was withheld: the server does not have the model yet, or the outcome counts as an answer.
    pub(super) withholds_nothing: bool,
    broken: Option<&'a DiscardSink>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(broken: &'a DiscardSink) -> Self {
        Self {
            bytes: Vec::new(),
            coding: String::new(),
            limit: LARGEST_BODY,
            status: None,
            is_unreached: false,
            withholds_nothing: false,
            broken: Some(broken),
        }
    }

    /// Undoes the content codings of the body.
    pub(super) fn unpack(&mut self) -> End {
        let unpacked = unpack(&self.bytes, &std::mem::take(&mut self.coding), self.limit);
        let end = unpacked.end;
        if let Cow::Owned(bytes) = unpacked.bytes {
            self.bytes = bytes;
        }
        end
    }

    /// Records that the body was read as an answer: nothing is reported.
    pub(super) fn answered(&mut self) {
        self.broken = None;
    }

    /// Ends the attempt, and reports it unless it was answered.
    pub(super) fn end(mut self) {
        self.report();
    }

    /// Returns the body, and reports nothing.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.broken = None;
        std::mem::take(&mut self.bytes)
    }

    fn report(&mut self) {
        if let Some(broken) = self.broken.take() {
            self.unpack();
            broken.report(Discarded { bytes: &self.bytes, withheld: self.may_withhold() });
        }
    }

    /// Whether an answer may have been withheld: see [`Discarded::withheld`].
    fn may_withhold(&self) -> bool {
        match self.status {
            None => !self.is_unreached,
            Some(429) => false,
            Some(503 | 529) => !self.withholds_nothing && !self.bytes.trim_ascii().is_empty(),
            Some(_) => !self.withholds_nothing,
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.report();
        }
    }
}

/// Fields that the service fills, with values random enough to look like a secret.
const OWN: [&str; 8] =
    ["id", "custom_id", "request_id", "responseId", "system_fingerprint", "model", "modelVersion", "created"];
/// The longest value of such a field, in bytes.
const LONGEST_OWN: usize = 128;

/// The texts of a discarded body, which may be cut and need not be JSON: the raw body, the body with JSON escapes
/// undone, and the joined values of its fields. A compressed body is unpacked as far as possible.
///
/// The first two leave out numbers after a key and the service's own fields, which would sometimes be taken for a short
/// secret.
#[must_use]
pub fn texts(bytes: &[u8]) -> Vec<String> {
    let unpacked = unpack(bytes, "", LARGEST_BODY);
    let whole = String::from_utf8_lossy(&unpacked.bytes);
    let raw = without_own(&whole);
    let plain = unescaped(&raw);
    let mut texts = if plain == raw { vec![raw] } else { vec![plain, raw] };
    texts.push(everything(&whole));
    texts.retain(|text| !text.is_empty());
    texts
}

/// Removes the numbers after a key, and the service's own fields. A key in quoted text has escaped quotes, and does not
/// count.
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

/// Undoes JSON escapes anywhere in a text. Of an invalid escape, only the backslash is removed.
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

/// The code unit of four hexadecimal digits.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Seen = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

    fn watched() -> (DiscardSink, Seen) {
        let seen = Seen::default();
        let all = Arc::clone(&seen);
        let see = move |d: Discarded<'_>| all.lock().expect("no holder panics").push((d.bytes.to_vec(), d.withheld));
        (DiscardSink::new(see), seen)
    }

    fn received<'a>(status: Option<u16>, bytes: &[u8], broken: &'a DiscardSink) -> Attempt<'a> {
        let mut attempt = Attempt::new(broken);
        (attempt.status, attempt.bytes) = (status, bytes.to_vec());
        attempt
    }

    #[test]
    fn a_try_is_reported_once_unless_it_gave_an_answer() {
        let (broken, seen) = watched();
        let attempt = |bytes: &[u8]| received(Some(200), bytes, &broken);
        let reports = || std::mem::take(&mut *seen.lock().expect("no holder panics"));
        attempt(b"said").end();
        attempt(b"").end();
        assert_eq!(reports(), [(b"said".to_vec(), true), (Vec::new(), true)]);
        // Canceled.
        drop(attempt(b"said"));
        drop(attempt(b""));
        assert_eq!(reports(), [(b"said".to_vec(), true)]);
        let mut good = attempt(b"said");
        good.answered();
        assert_eq!(good.bytes, b"said");
        good.end();
        assert_eq!(attempt(b"said").into_bytes(), b"said");
        assert!(reports().is_empty());
        assert_eq!(format!("{broken:?}"), "DiscardSink");
    }

    #[test]
    fn only_a_server_that_is_busy_or_was_not_reached_withholds_nothing() {
        let broken = DiscardSink::default();
        let withholds = |status: Option<u16>, bytes: &[u8]| received(status, bytes, &broken).may_withhold();
        for status in [200, 204, 400, 401, 403, 404, 408, 500, 502, 504] {
            assert!(withholds(Some(status), b"") && withholds(Some(status), b"x"), "{status}");
        }
        assert!(!withholds(Some(429), b"") && !withholds(Some(429), b"x"));
        assert!(!withholds(Some(503), b" \n") && withholds(Some(503), b"x"));
        assert!(!withholds(Some(529), b"") && withholds(Some(529), b"x"));
        assert!(withholds(None, b""));
        let mut attempt = Attempt::new(&broken);
        attempt.is_unreached = true;
        assert!(!attempt.may_withhold());
        attempt = received(Some(404), b"x", &broken);
        attempt.withholds_nothing = true;
        assert!(!attempt.may_withhold());
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
        assert_eq!(texts.len(), 3);
        for text in texts {
            assert!(!text.contains("chatcmpl") && !text.contains("176123") && !text.contains("m-4"), "{text}");
            assert_eq!(text.matches("48291377").count(), 1, "{text}");
            assert!(text.contains("11112222") && text.contains("3333"), "{text}");
        }
        // Other text is kept as it is, and a compressed body is unpacked as far as possible.
        assert_eq!(super::texts(b"<p>at 12:30: 4829\xff1377"), ["<p>at 12:30: 4829\u{fffd}1377"]);
        assert!(super::texts(&[0x1f, 0x8b, b'4', b'8']).is_empty());
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, body.as_bytes()).expect("packed");
        let packed = packed.finish().expect("packed");
        assert!(super::texts(&packed[..packed.len() - 12])[0].contains("48291377"));
        // A long value is not left out.
        let long = format!(r#"{{"id":"{}"}}"#, "48291377 ".repeat(20));
        assert!(super::texts(long.as_bytes())[0].contains("48291377"));
        assert_eq!(super::texts(br#"{"id":"482"#), [r#"{"id":"#]);
    }
}
