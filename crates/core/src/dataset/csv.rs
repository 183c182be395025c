//! CSV with a header becomes JSONL: each record an object of texts.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::source::LONGEST_ROW;

/// A reader that ends in an error where one record takes far too much.
struct Limited<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        let left = self.left.get().checked_sub(count);
        self.left.set(
            left.ok_or_else(|| std::io::Error::other("a record is longer than 64 MB, and no service takes that"))?,
        );
        Ok(count)
    }
}

/// Writes every record of a CSV file as a line of JSON, and counts them.
///
/// # Errors
/// When a record is broken (its line is named), the header repeats a name, or nothing can be written.
///
/// # Examples
/// ```
/// let mut lines = Vec::new();
/// let count = blabbermouth_core::dataset::csv_to_jsonl("prompt,completion\nHi,\"a, b\"\n".as_bytes(), &mut lines)?;
/// assert_eq!((count, lines), (1, b"{\"completion\":\"a, b\",\"prompt\":\"Hi\"}\n".to_vec()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn csv_to_jsonl(from: impl Read, to: &mut impl Write) -> std::io::Result<u64> {
    let left = Rc::new(Cell::new(LONGEST_ROW));
    let mut reader = csv::Reader::from_reader(Limited { inner: from, left: Rc::clone(&left) });
    let fault = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let header = reader.headers().map_err(|e| fault(e.to_string()))?.clone();
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        return Err(fault(format!("line 1: the header has `{name}` twice")));
    }
    let (mut record, mut count) = (csv::StringRecord::new(), 0);
    while reader.read_record(&mut record).map_err(|e| fault(e.to_string()))? {
        left.set(LONGEST_ROW);
        let row: Map<String, Value> =
            names.iter().zip(&record).map(|(name, text)| ((*name).to_owned(), Value::from(text))).collect();
        serde_json::to_writer(&mut *to, &row)?;
        to.write_all(b"\n")?;
        count += 1;
    }
    Ok(count)
}
