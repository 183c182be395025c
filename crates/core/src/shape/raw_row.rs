//! A row of JSON whose values are left as they stand until somebody asks for one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object of JSON: its keys in their order, its values as text.
#[derive(Debug, Default)]
pub(crate) struct RawRow<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for RawRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = RawRow<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    all.push((key, map.next_value()?));
                }
                Ok(RawRow(all))
            }
        }
        deserializer.deserialize_map(Rows)
    }
}

impl<'a> RawRow<'a> {
    /// Parses one row.
    ///
    /// # Errors
    /// A sentence with the column where the row is no JSON, or no object.
    pub(crate) fn parse(row: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(row).map_err(|e| {
            format!(
                "not UTF-8 at byte {} of the row: name the file's encoding, as in --encoding windows-1252",
                e.valid_up_to() + 1
            )
        })?;
        serde_json::from_str(text).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => "the row is not a JSON object".to_owned(),
            serde_json::error::Category::Eof => "the row ends within a value of JSON: the file may be cut".to_owned(),
            _ if is_number_of_python(text, e.line(), e.column()) => {
                format!("not JSON at column {}: NaN and Infinity are no values of JSON; write null", e.column())
            }
            _ if text.trim_start().starts_with("{'") => {
                format!("not JSON at column {}: names and texts are in double quotes in JSON", e.column())
            }
            _ => format!("not JSON at column {}", e.column()),
        })
    }

    /// The keys, in their order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    /// The values as they stand, in the order of the keys.
    pub(crate) fn raw_values(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|(_, value)| value.get())
    }

    /// The value of a key; `None` where it is missing or null.
    pub(crate) fn get(&self, key: &str) -> Option<RawCell<'a>> {
        let found = self.0.iter().rev().find(|(name, _)| name == key)?;
        let cell = RawCell(found.1.get());
        (cell.kind() != Kind::Null).then_some(cell)
    }
}

/// Follows the bytes of JSON, one after the other, and tells texts from what stands between them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TextScan {
    is_open: bool,
    is_escaped: bool,
}

impl TextScan {
    /// Whether the next byte belongs to a text, its quotes included.
    pub(crate) const fn is_in_text(&mut self, byte: u8) -> bool {
        if !self.is_open {
            self.is_open = byte == b'"';
            return self.is_open;
        }
        let is_escaped = self.is_escaped;
        self.is_escaped = !is_escaped && byte == b'\\';
        self.is_open = is_escaped || byte != b'"';
        true
    }
}

/// The row with null in place of `NaN` and `Infinity`, which Python writes and JSON does not have; `None` where it has none of them.
pub(crate) fn without_nan(row: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut scan, mut is_changed) = (Vec::with_capacity(row.len()), TextScan::default(), false);
    let mut rest = row;
    while let Some((&byte, after)) = rest.split_first() {
        let is_text = scan.is_in_text(byte);
        let word = || [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| rest.starts_with(word));
        if let Some(word) = (!is_text).then(word).flatten() {
            out.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            is_changed = true;
            continue;
        }
        out.push(byte);
        rest = after;
    }
    is_changed.then_some(out)
}

/// Whether the parser stopped at a number that Python writes and JSON does not have.
fn is_number_of_python(text: &str, line: usize, column: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().as_bytes();
    let from = column.saturating_sub(2).min(line.len());
    let rest = &line[from..line.len().min(from + 10)];
    [&b"NaN"[..], b"Infinity", b"-Infinity"].iter().any(|word| rest.windows(word.len()).any(|w| w == *word))
        || rest.windows(2).any(|w| w == b"-I")
}

/// Bytes of a value that planted rows share with all others.
const LONGEST_SHARED: usize = 16 << 10;

/// The kinds of values of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    List,
    Object,
    Number,
    Bool,
    Null,
}

impl Kind {
    /// The kind in words, for messages.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Null => "null",
        }
    }
}

/// A JSON value, unparsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawCell<'a>(&'a str);

impl<'a> RawCell<'a> {
    pub(crate) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'[') => Kind::List,
            Some(b'{') => Kind::Object,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The unparsed text of the value.
    pub(crate) fn raw(self) -> &'a str {
        self.0
    }

    /// The text, without a copy where nothing in it is escaped.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::Text {
            return None;
        }
        match memchr::memchr(b'\\', self.0.as_bytes()) {
            None => Some(Cow::Borrowed(&self.0[1..self.0.len() - 1])),
            Some(_) => serde_json::from_str::<String>(self.0).ok().map(Cow::Owned),
        }
    }

    pub(crate) fn bool(self) -> Option<bool> {
        serde_json::from_str(self.0).ok()
    }

    pub(crate) fn number(self) -> Option<f64> {
        serde_json::from_str(self.0).ok()
    }

    pub(crate) fn object(self) -> Option<RawRow<'a>> {
        serde_json::from_str(self.0).ok()
    }

    /// An object that is not long, such as the arguments of a chat template: trainers unpack it, and would stop at a null.
    pub(crate) fn plain(self) -> Option<Value> {
        let is_plain = self.kind() == Kind::Object && self.0.len() <= LONGEST_SHARED;
        is_plain.then(|| serde_json::from_str(self.0).ok()).flatten()
    }

    /// The items of a list.
    pub(crate) fn items(self) -> Option<Vec<RawCell<'a>>> {
        let items: Vec<&RawValue> = serde_json::from_str(self.0).ok()?;
        Some(items.into_iter().map(|item| RawCell(item.get())).collect())
    }
}

/// The row with JSON in place of the texts of some columns that hold it, and of the texts in their lists.
///
/// # Errors
/// When the row is not a JSON object.
pub(crate) fn with_nested(row: &[u8], columns: &[&str]) -> Result<Vec<u8>, String> {
    let parsed = RawRow::parse(row)?;
    let nested = |cell: RawCell<'_>| -> String {
        let text = cell.text().filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
        text.map_or_else(|| cell.raw().to_owned(), std::borrow::Cow::into_owned)
    };
    let mut out = b"{".to_vec();
    for (index, (name, value)) in parsed.0.iter().enumerate() {
        let cell = RawCell(value.get());
        let value = match cell.items().filter(|_| cell.kind() == Kind::List) {
            _ if !columns.contains(&name.as_ref()) => cell.raw().to_owned(),
            Some(items) => format!("[{}]", items.into_iter().map(nested).collect::<Vec<_>>().join(",")),
            None => nested(cell),
        };
        out.extend_from_slice(if index == 0 { b"" } else { b"," });
        serde_json::to_writer(&mut out, name).map_err(|e| e.to_string())?;
        out.push(b':');
        compact(value.as_bytes(), &mut out);
    }
    out.push(b'}');
    Ok(out)
}

/// Writes a row on one line: white space between the values is left out, texts and numbers stay to the letter.
pub(crate) fn compact(row: &[u8], out: &mut Vec<u8>) {
    let mut scan = TextScan::default();
    for &byte in row {
        if scan.is_in_text(byte) || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_to_the_letter() {
        let row = RawRow::parse(br#"{"b": 1e999, "a": "x\u0041", "n": null, "l": [1, {"k": "v"}]}"#).expect("a row");
        assert_eq!(row.keys().collect::<Vec<_>>(), ["b", "a", "n", "l"]);
        assert_eq!(row.get("a").and_then(RawCell::text).as_deref(), Some("xA"));
        assert!(row.get("n").is_none() && row.get("z").is_none());
        assert_eq!(row.get("b").expect("there").raw(), "1e999");
        let items = row.get("l").and_then(RawCell::items).expect("a list");
        assert_eq!(items[1].object().expect("an object").get("k").and_then(RawCell::text).as_deref(), Some("v"));
        let mut out = Vec::new();
        compact(b"{\n \"a b\" : [ 1,\t\"x \\\" y\" ]\n}", &mut out);
        assert_eq!(out, br#"{"a b":[1,"x \" y"]}"#);
        let nan = without_nan(br#"{"a": NaN, "b": [-Infinity, "NaN"]}"#).expect("has some");
        assert_eq!(nan, br#"{"a": null, "b": [null, "NaN"]}"#);
        assert!(without_nan(br#"{"a": "NaN"}"#).is_none());
    }

    #[test]
    fn what_is_no_row_is_told_apart() {
        let fault = |row: &[u8]| RawRow::parse(row).expect_err("no row");
        assert!(fault(b"[1]").contains("not a JSON object"));
        assert!(fault(b"{\"a\": NaN}").contains("write null"));
        assert!(fault(b"{\"a\": -Infinity}").contains("write null"));
        assert!(fault(b"{\"a\": \"b").contains("may be cut"));
        assert!(fault(b"{\"a\" 1}").contains("not JSON at column 6"));
        assert!(fault(b"{\"a\": \"caf\xe9\"}").contains("--encoding"));
    }
}
