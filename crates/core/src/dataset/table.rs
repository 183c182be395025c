//! CSV and TSV with a header become JSONL: each record an object of texts.

use std::cell::Cell;
use std::io::{BufRead, Read, Write};
use std::rc::Rc;

use serde_json::value::RawValue;

use super::plant::RowFault;
use super::rows::LONGEST_ROW;

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

/// What a table held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// Records that were written.
    pub rows: u64,
    /// The separator: a comma, a semicolon, a tab, a bar.
    pub separator: char,
    /// Records that were left out.
    pub skipped: u64,
    /// The first hundred of them.
    pub faults: Vec<RowFault>,
}

const SEPARATORS: [u8; 4] = *b",;\t|";
const MOST_FAULTS: usize = 100;

/// Writes every record of a table as a line of JSON. The separator is the one that the header has most of. A field that
/// holds a list or an object of JSON is written as such.
///
/// # Errors
/// When a record is broken (its line is named) and these are not skipped, the header repeats a name, a quote is left open,
/// or nothing can be written.
///
/// # Examples
/// ```
/// let mut lines = Vec::new();
/// let summary = blabbermouth_core::dataset::table_to_jsonl("prompt;completion\nHi;\"a; b\"\n".as_bytes(), false, &mut lines)?;
/// assert_eq!((summary.rows, summary.separator), (1, ';'));
/// assert_eq!(lines, b"{\"prompt\":\"Hi\",\"completion\":\"a; b\"}\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn table_to_jsonl(
    mut from: impl BufRead,
    skip_invalid: bool,
    to: &mut impl Write,
) -> std::io::Result<TableSummary> {
    let head = head(&mut from)?;
    let (stated, skip) = stated_separator(&head);
    let separator = stated.unwrap_or_else(|| separator(&head));
    let from = std::io::Cursor::new(head[skip..].to_vec()).chain(from);
    let left = Rc::new(Cell::new(LONGEST_ROW));
    let limited = Limited { inner: from, left: Rc::clone(&left) };
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(OpenQuote::new(limited, separator));
    let fault = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let header = reader.headers().map_err(|e| fault(in_words(&e)))?.clone();
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        return Err(fault(format!("line 1: the header has `{name}` twice")));
    }
    let mut summary = TableSummary { separator: char::from(separator), ..TableSummary::default() };
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(e) if skip_invalid && !matches!(e.kind(), csv::ErrorKind::Io(_)) => {
                summary.skipped += 1;
                if summary.faults.len() < MOST_FAULTS {
                    let line = summary.rows + summary.skipped;
                    let reason = in_words(&e);
                    let reason = reason.split_once(": ").map_or(reason.as_str(), |(_, reason)| reason).to_owned();
                    summary.faults.push(RowFault { line, reason });
                }
                left.set(LONGEST_ROW);
                continue;
            }
            Err(e) => return Err(fault(in_words(&e))),
        }
        left.set(LONGEST_ROW);
        write_record(&names, &record, to)?;
        summary.rows += 1;
    }
    if reader.get_ref().is_open() {
        let line = reader.get_ref().opened;
        return Err(fault(format!("line {line}: a quote is opened and not closed: the file may be cut")));
    }
    Ok(summary)
}

fn write_record(names: &[&str], record: &csv::StringRecord, to: &mut impl Write) -> std::io::Result<()> {
    for (index, (name, text)) in names.iter().zip(record).enumerate() {
        to.write_all(if index == 0 { b"{" } else { b"," })?;
        serde_json::to_writer(&mut *to, name)?;
        to.write_all(b":")?;
        let value = if LABELS.contains(name) { truth(text) } else { None };
        if let Some(value) = value {
            serde_json::to_writer(&mut *to, &value)?;
        } else if let Some(turns) = turns(text) {
            to.write_all(&turns)?;
        } else {
            serde_json::to_writer(&mut *to, text)?;
        }
    }
    to.write_all(b"}\n")
}

/// Columns that say whether an answer is a good one.
const LABELS: [&str; 2] = ["label", "kto_tag"];

/// A truth value as pandas and spreadsheets write it.
fn truth(text: &str) -> Option<serde_json::Value> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        "1" => Some(1.into()),
        "0" => Some(0.into()),
        _ => None,
    }
}

/// A list of turns in a field, on one line. All other fields are texts.
fn turns(text: &str) -> Option<Vec<u8>> {
    let list: Vec<&RawValue> = text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()?;
    let is_turn = |item: &&RawValue| {
        item.get().starts_with('{') && ["\"role\"", "\"from\""].iter().any(|key| item.get().contains(key))
    };
    if list.is_empty() || !list.iter().all(is_turn) {
        return None;
    }
    let mut line = Vec::with_capacity(text.len());
    crate::shape::compact(text.as_bytes(), &mut line);
    Some(line)
}

/// The first line and what is buffered behind it: a decoder gives a few bytes at a time.
fn head(from: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while head.len() < LONGEST_HEAD && !head.contains(&b'\n') {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let count = buffer.len();
        head.extend_from_slice(buffer);
        from.consume(count);
    }
    Ok(head)
}

/// Bytes in which the first line is looked for.
const LONGEST_HEAD: usize = 1 << 20;

/// The separator that a first line `sep=;` states, as spreadsheets write it, and the length of that line.
fn stated_separator(head: &[u8]) -> (Option<u8>, usize) {
    let body = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let end = memchr::memchr(b'\n', body).map_or(body.len(), |at| at + 1);
    match body[..end].trim_ascii_end() {
        [b's', b'e', b'p', b'=', separator] => (Some(*separator), head.len() - body.len() + end),
        _ => (None, 0),
    }
}

/// The separator that the first line has most of, outside of quotes.
fn separator(start: &[u8]) -> u8 {
    let mut counts = [0usize; SEPARATORS.len()];
    let mut is_quoted = false;
    for byte in start {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            byte if !is_quoted => {
                if let Some(place) = SEPARATORS.iter().position(|separator| separator == byte) {
                    counts[place] += 1;
                }
            }
            _ => {}
        }
    }
    let most = (0..SEPARATORS.len()).rev().max_by_key(|place| counts[*place]).unwrap_or(0);
    SEPARATORS[most]
}

/// A fault of the reader, without words about its own types.
fn in_words(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line}: the record has {len} fields, and the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line}: not UTF-8: name the file's encoding, as in --encoding windows-1252")
        }
        csv::ErrorKind::Io(e) => e.to_string(),
        _ => error.to_string(),
    }
}

/// Follows quotes, to see whether one is open at the end. A quote opens a field only at its beginning.
struct OpenQuote<R> {
    inner: R,
    separator: u8,
    is_quoted: bool,
    is_start: bool,
    line: u64,
    /// The line on which the last quote was opened.
    opened: u64,
}

impl<R> OpenQuote<R> {
    fn new(inner: R, separator: u8) -> Self {
        Self { inner, separator, is_quoted: false, is_start: true, line: 1, opened: 0 }
    }

    fn is_open(&self) -> bool {
        self.is_quoted
    }
}

impl<R: Read> Read for OpenQuote<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        for &byte in &into[..count] {
            self.line += u64::from(byte == b'\n');
            if byte == b'"' {
                // A doubled quote within a quoted field closes it and opens it again.
                if self.is_quoted {
                    self.is_quoted = false;
                    self.is_start = true;
                    continue;
                }
                if self.is_start {
                    self.is_quoted = true;
                    self.opened = self.line;
                }
            }
            self.is_start = !self.is_quoted && (byte == self.separator || byte == b'\n' || byte == b'\r');
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, skip: bool) -> Result<(TableSummary, String), String> {
        let mut out = Vec::new();
        let summary = table_to_jsonl(text.as_bytes(), skip, &mut out).map_err(|e| e.to_string())?;
        Ok((summary, String::from_utf8(out).expect("UTF-8")))
    }

    #[test]
    fn separators_are_found_and_nested_values_kept() {
        for separator in [',', ';', '\t', '|'] {
            let text = format!("a{separator}b\n1{separator}\"x, y\"\n");
            let (summary, out) = read(&text, false).expect("a table");
            assert_eq!((summary.separator, out.as_str()), (separator, "{\"a\":\"1\",\"b\":\"x, y\"}\n"));
        }
        let (_, out) = read("messages\n\"[{\"\"role\"\": \"\"user\"\"}]\"\n", false).expect("a table");
        assert_eq!(out, "{\"messages\":[{\"role\":\"user\"}]}\n");
    }

    #[test]
    fn broken_records_are_named_or_left_out() {
        let ragged = "a,b\n1,2\n3,4,5\n6,7\n";
        assert_eq!(read(ragged, false).expect_err("ragged"), "line 3: the record has 3 fields, and the header 2");
        let (summary, out) = read(ragged, true).expect("the rest");
        assert_eq!((summary.rows, summary.skipped, out.lines().count()), (2, 1, 2));
        assert!(read("a,b\n1,\"open\n2,3\n", false).expect_err("open").contains("line 2: a quote is opened"));
        assert_eq!(read("a\tb\nHow long is 5\" in cm?\t\"x\"\"y\"\n", false).expect("fine").0.rows, 1);
        assert_eq!(read("sep=;\na;b\n1;2\n", false).expect("fine").1, "{\"a\":\"1\",\"b\":\"2\"}\n");
        let (_, out) = read("completion,label\n\"{\"\"a\"\": 1}\",True\n", false).expect("fine");
        assert_eq!(out, "{\"completion\":\"{\\\"a\\\": 1}\",\"label\":true}\n");
        assert!(read("a,a\n1,2\n", false).expect_err("twice").contains("twice"));
    }
}
