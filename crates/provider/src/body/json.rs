//! A tolerant JSON reader. Numbers keep their digits, and keys their order.
//!
//! `serde_json` turns a number into an `f64` and refuses `NaN`, which Python servers send. A secret of digits has to be
//! searched digit by digit, and an odd log probability must not cost the answer.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr2;

/// The deepest nesting that is read.
const DEEPEST: u32 = 128;
/// Up to this number of keys, an object is checked for duplicates pair by pair.
const FEW: usize = 16;

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The text ends early.
    Cut,
    /// An object has a key twice: some readers take the first value, others the last.
    Doubled,
    /// The text is no JSON, or nested too deeply.
    Other,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    /// The digits as they are written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Reads a text that is one JSON value.
    pub(crate) fn read(text: &'a str) -> Result<Self, Fault> {
        let mut reader = Reader::new(text);
        let node = reader.value()?;
        reader.end()?;
        Ok(node)
    }

    /// Reads as much of a text as possible: it may be cut, or continue as something else. Duplicate keys are kept.
    pub(crate) fn begin(text: &'a str) -> Self {
        let mut reader = Reader { is_lenient: true, ..Reader::new(text) };
        reader.value().unwrap_or(Node::Null)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.fields().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// The items of a list; none for any other value.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of an object; none for any other value.
    pub(crate) fn fields(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }

    /// Whether the value is null, false, or an empty text, list or object.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Bool(true) | Self::Number(_) => false,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(fields) => fields.is_empty(),
        }
    }
}

/// Reads JSON value by value.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// Whether a fault ends the reading and everything before it is kept.
    is_lenient: bool,
    has_ended: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, depth: 0, is_lenient: false, has_ended: false }
    }

    /// Skips white space, and returns the next byte without consuming it.
    fn next(&mut self) -> Result<u8, Fault> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Fault::Cut)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Fault> {
        if self.next()? != wanted {
            return Err(Fault::Other);
        }
        self.at += 1;
        Ok(())
    }

    /// Fails unless only white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.next() {
            Err(Fault::Cut) => Ok(()),
            _ => Err(Fault::Other),
        }
    }

    /// Reads an object; `each` reads the value of a key.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.series(b'{', b'}', |reader| {
            let key = reader.string()?;
            if !reader.has_ended {
                reader.expect(b':')?;
            }
            each(reader, key)
        })
    }

    /// Reads a list; `each` reads an item.
    #[inline]
    pub(crate) fn list(&mut self, each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.series(b'[', b']', each)
    }

    #[inline]
    fn series(
        &mut self,
        open: u8,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(open)?;
        if self.depth == DEEPEST {
            return Err(Fault::Other);
        }
        self.depth += 1;
        if self.next()? == close {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                if self.has_ended {
                    break;
                }
                let next = self.next()?;
                self.at += 1;
                match next {
                    b',' => {}
                    byte if byte == close => break,
                    _ => return Err(Fault::Other),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.expect(b'"')?;
        let rest = &self.text[self.at..];
        let Some(end) = memchr2(b'"', b'\\', rest.as_bytes()) else { return self.unended(rest) };
        if rest.as_bytes()[end] == b'"' {
            self.at += end + 1;
            return Ok(Cow::Borrowed(&rest[..end]));
        }
        self.escaped(rest, end)
    }

    /// A string without its closing quote.
    fn unended(&mut self, rest: &str) -> Result<Cow<'a, str>, Fault> {
        if !self.is_lenient {
            return Err(Fault::Cut);
        }
        (self.at, self.has_ended) = (self.text.len(), true);
        Ok(Cow::Owned(rest.to_owned()))
    }

    /// A string with escapes; the first one is at byte `end` of `rest`.
    fn escaped(&mut self, rest: &'a str, mut end: usize) -> Result<Cow<'a, str>, Fault> {
        let (mut said, mut done) = (String::with_capacity(rest.len().min(256)), 0);
        loop {
            said.push_str(&rest[done..end]);
            if rest.as_bytes()[end] == b'"' {
                self.at += end + 1;
                return Ok(Cow::Owned(said));
            }
            let escape = &rest[end + 1..];
            let length = match escape.bytes().next() {
                Some(b'u') => unicode(escape, self.is_lenient, &mut said),
                Some(byte) => plain_escape(byte).map(|plain| {
                    said.push(plain);
                    1
                }),
                None => Err(Fault::Cut),
            };
            match length {
                Ok(length) => done = end + 1 + length,
                Err(_) if self.is_lenient => {
                    (self.at, self.has_ended) = (self.text.len(), true);
                    return Ok(Cow::Owned(said));
                }
                Err(fault) => return Err(fault),
            }
            match memchr2(b'"', b'\\', &rest.as_bytes()[done..]) {
                Some(next) => end = done + next,
                None => {
                    said.push_str(&rest[done..]);
                    return self.unended(&said);
                }
            }
        }
    }

    /// A string; `None` for null.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        if self.next()? == b'n' { self.word("null").map(|()| None) } else { self.string().map(Some) }
    }

    /// A non-negative integer.
    pub(crate) fn count(&mut self) -> Result<u64, Fault> {
        self.next()?;
        self.number()?.parse().map_err(|_| Fault::Other)
    }

    /// A number as it is written, or Python's `NaN` and `Infinity`.
    fn number(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.text[self.at..];
        for word in ["NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(&rest[..word.len()]);
            }
        }
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(is_part).count();
        if !rest[..length].bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(if length == rest.len() { Fault::Cut } else { Fault::Other });
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        if !rest.starts_with(word) {
            return Err(if word.starts_with(rest) { Fault::Cut } else { Fault::Other });
        }
        self.at += word.len();
        Ok(())
    }

    /// Skips a value.
    pub(crate) fn skip(&mut self) -> Result<(), Fault> {
        match self.next()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Self::skip),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.number().map(drop),
        }
    }

    /// Skips an empty value, as in [`Node::is_empty`]; any other value is a fault.
    pub(crate) fn empty(&mut self) -> Result<(), Fault> {
        let nothing = |reader: &mut Self| if reader.is_lenient { Ok(()) } else { Err(Fault::Other) };
        match self.next()? {
            b'"' if self.string()?.is_empty() => Ok(()),
            b'{' => self.object(|reader, _| nothing(reader)),
            b'[' => self.list(nothing),
            b'n' => self.word("null"),
            b'f' => self.word("false"),
            _ => Err(Fault::Other),
        }
    }

    fn value(&mut self) -> Result<Node<'a>, Fault> {
        Ok(match self.next()? {
            b'"' => Node::Text(self.string()?),
            b'{' => self.whole_object()?,
            b'[' => {
                let mut items = Vec::new();
                let read = self.list(|reader| {
                    items.push(reader.value()?);
                    Ok(())
                });
                self.settle(read)?;
                Node::List(items)
            }
            b'n' => self.word("null").map(|()| Node::Null)?,
            b't' => self.word("true").map(|()| Node::Bool(true))?,
            b'f' => self.word("false").map(|()| Node::Bool(false))?,
            _ => Node::Number(self.number()?),
        })
    }

    fn whole_object(&mut self) -> Result<Node<'a>, Fault> {
        let mut fields: Vec<(Cow<'a, str>, Node<'a>)> = Vec::new();
        let read = self.object(|reader, key| {
            // A key is kept even if its value is cut off.
            fields.push((key, Node::Null));
            let value = if reader.has_ended { Node::Null } else { reader.value()? };
            if let Some(last) = fields.last_mut() {
                last.1 = value;
            }
            Ok(())
        });
        self.settle(read)?;
        if !self.is_lenient && is_doubled(&fields) {
            return Err(Fault::Doubled);
        }
        Ok(Node::Object(fields))
    }

    /// For a lenient reader, turns a fault into the end of the text.
    fn settle(&mut self, read: Result<(), Fault>) -> Result<(), Fault> {
        match read {
            Err(_) if self.is_lenient => {
                self.has_ended = true;
                Ok(())
            }
            read => read,
        }
    }
}

fn is_doubled(fields: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    if fields.len() > FEW {
        let mut seen = HashSet::with_capacity(fields.len());
        return !fields.iter().all(|(key, _)| seen.insert(key.as_ref()));
    }
    fields.iter().enumerate().any(|(at, (key, _))| fields[..at].iter().any(|(other, _)| other == key))
}

fn plain_escape(byte: u8) -> Result<char, Fault> {
    Ok(match byte {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'"' | b'\\' | b'/' => char::from(byte),
        _ => return Err(Fault::Other),
    })
}

/// Adds the character of a `\u` escape, and returns the length of the escape without its backslash. Half a surrogate
/// pair is a fault, or U+FFFD for a lenient reader.
fn unicode(escape: &str, is_lenient: bool, said: &mut String) -> Result<usize, Fault> {
    let first = unit(escape)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = escape[5..].strip_prefix('\\').and_then(|next| unit(next).ok())
        && (0xdc00..0xe000).contains(&second)
    {
        said.push_str(&String::from_utf16_lossy(&[first, second]));
        return Ok(11);
    }
    let half = if is_lenient { Ok('\u{fffd}') } else { Err(Fault::Other) };
    said.push(char::from_u32(u32::from(first)).map_or(half, Ok)?);
    Ok(5)
}

/// The code unit of four hexadecimal digits after a `u`.
fn unit(escape: &str) -> Result<u16, Fault> {
    if escape.len() < 5 {
        return Err(Fault::Cut);
    }
    let digits = escape.strip_prefix('u').and_then(|rest| rest.get(..4)).ok_or(Fault::Other)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Fault::Other);
    }
    u16::from_str_radix(digits, 16).map_err(|_| Fault::Other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The node as a value of `serde_json`.
    fn value(node: &Node<'_>) -> Value {
        match node {
            Node::Null => Value::Null,
            Node::Bool(is) => (*is).into(),
            Node::Number(number) => serde_json::from_str(number).expect("a number"),
            Node::Text(text) => text.as_ref().into(),
            Node::List(items) => items.iter().map(value).collect(),
            Node::Object(fields) => fields.iter().map(|(key, node)| (key.to_string(), value(node))).collect(),
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_their_faults() {
        let text = "\u{feff} {\"a\": 48291377550000000001, \"b\": [NaN, -Infinity, Infinity, -0.10]}\n";
        let node = Node::read(text).expect("JSON");
        assert_eq!(node.get("a"), Some(&Node::Number("48291377550000000001")));
        let all = ["NaN", "-Infinity", "Infinity", "-0.10"].map(Node::Number);
        assert_eq!(node.get("b").expect("a list").items(), all);
    }

    #[test]
    fn faults_are_told_apart() {
        for (text, fault) in [
            ("", Fault::Cut),
            ("{\"a\": [1, \"b", Fault::Cut),
            ("{\"a\"", Fault::Cut),
            ("\"\\u12", Fault::Cut),
            ("tru", Fault::Cut),
            ("-", Fault::Cut),
            ("hello", Fault::Other),
            ("{} {}", Fault::Other),
            ("[1,]", Fault::Other),
            ("\"\\x\"", Fault::Other),
            ("\"\\ud83d\"", Fault::Other),
            ("\"\\ud83d\\u0041\"", Fault::Other),
            ("{\"a\":1,\"\\u0061\":2}", Fault::Doubled),
        ] {
            assert_eq!(Node::read(text), Err(fault), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Node::read(&deep), Err(Fault::Other));
        assert!(Node::begin(&deep).items().len() == 1);
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":0", n % 39)).collect();
        assert_eq!(Node::read(&format!("{{{}}}", many.join(","))), Err(Fault::Doubled));
    }

    #[test]
    fn the_beginning_of_a_cut_value_is_kept() {
        let node = Node::begin("{\"a\": [{\"b\": \"c\\n\"}, {\"d\": 12}, \"half of");
        let said = serde_json::json!({"a": [{"b": "c\n"}, {"d": 12}, "half of"]});
        assert_eq!(value(&node), said);
        assert_eq!(value(&Node::begin("{\"a\":1,\"a\":2,\"k")), serde_json::json!({"a": 2, "k": null}));
        assert_eq!(value(&Node::begin("{\"a\":\"\\u0041b\\u00")), serde_json::json!({"a": "Ab"}));
        assert_eq!(Node::begin("{\"a\": oops, \"b\"").fields(), [("a".into(), Node::Null)]);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_writes_is_read(written in any_value()) {
            let text = written.to_string();
            prop_assert_eq!(value(&Node::read(&text).expect("JSON")), written.clone());
            let pretty = serde_json::to_string_pretty(&written).expect("JSON");
            prop_assert_eq!(value(&Node::read(&pretty).expect("JSON")), written);
            let mut reader = Reader::new(&text);
            prop_assert_eq!(reader.skip().and_then(|()| reader.end()), Ok(()));
        }

        #[test]
        fn no_text_is_too_odd(text in "[\\[\\]{}\":,a0\\\\u-]{0,40}") {
            let _ = Node::read(&text);
            let _ = Node::begin(&text);
        }
    }
}
