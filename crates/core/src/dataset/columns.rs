//! JSON in columns becomes rows.

use crate::shape::{Kind, RawRow};

/// The rows of one object whose values are columns: lists of one length, or objects with one set of keys, as pandas writes them.
/// `None` for any other text.
///
/// ```
/// use blabbermouth_core::dataset::columns_to_jsonl;
/// let rows = columns_to_jsonl(br#"{"prompt": ["a", "b"], "completion": ["c", "d"]}"#).expect("columns");
/// assert_eq!(rows, b"{\"prompt\":\"a\",\"completion\":\"c\"}\n{\"prompt\":\"b\",\"completion\":\"d\"}\n");
/// assert!(columns_to_jsonl(br#"{"messages": [{"role": "user"}]}"#).is_none());
/// ```
#[must_use]
pub fn columns_to_jsonl(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let all = RawRow::parse(text).ok()?;
    let mut columns: Vec<(String, Vec<String>)> = Vec::new();
    let mut names: Option<Vec<String>> = None;
    for name in all.keys() {
        let cell = all.get(name)?;
        let values: Vec<String> = match cell.kind() {
            Kind::List => cell.items()?.into_iter().map(|item| item.raw().to_owned()).collect(),
            Kind::Object => {
                let inner = cell.object()?;
                // Rows are matched by their place: all columns have the same keys in the same order.
                let keys: Vec<&str> = inner.keys().collect();
                match &names {
                    None => names = Some(keys.iter().map(|key| (*key).to_owned()).collect()),
                    Some(names) if names.iter().map(String::as_str).eq(keys) => {}
                    Some(_) => return None,
                }
                inner.raw_values().map(str::to_owned).collect()
            }
            _ => return None,
        };
        columns.push((serde_json::to_string(name).ok()?, values));
    }
    let rows = columns.first()?.1.len();
    // One column of turns is one conversation and no table.
    let is_numbered = |name: &str| {
        let inner = all.get(name).filter(|cell| cell.kind() == Kind::Object).and_then(|cell| cell.object());
        inner.is_some_and(|inner| inner.keys().all(|key| key.bytes().all(|byte| byte.is_ascii_digit())))
    };
    let are_lists = columns.iter().all(|(_, values)| values.iter().all(|value| value.starts_with('[')));
    if columns.len() < 2 && !are_lists && !all.keys().all(is_numbered)
        || rows == 0
        || columns.iter().any(|(_, values)| values.len() != rows)
    {
        return None;
    }
    // Preferences hold lists of turns, which may be of one length: a table's first values are texts or numbers.
    if columns.iter().all(|(_, values)| values.iter().all(|value| value.starts_with('{'))) {
        return None;
    }
    let mut out = Vec::new();
    for row in 0..rows {
        for (index, (name, values)) in columns.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            crate::shape::compact(values[row].as_bytes(), &mut out);
        }
        out.extend_from_slice(b"}\n");
    }
    Some(out)
}
