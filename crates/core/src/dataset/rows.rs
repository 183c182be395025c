//! Splits a file into rows: lines of JSONL, the elements of a JSON array, or objects of several lines each.

use std::io::{BufRead, Error, ErrorKind, Read};

use crate::shape::TextScan;

/// The longest row, in bytes. No service takes a longer one, and a small compressed file may hold far longer ones.
pub(super) const LONGEST_ROW: usize = 64 << 20;

fn too_long(line: u64) -> Error {
    Error::other(format!("line {line}: the row is longer than 64 MB, and no service takes that"))
}

fn damaged(line: u64, what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("line {line}: {what}"))
}

/// How the rows of a file are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A row a line.
    Lines,
    /// The elements of one array.
    Array,
    /// Objects one after another, each over several lines, as `jq` prints them.
    Objects,
    /// The end of an array: nothing may follow.
    Closed,
}

/// The rows of a file with the line that each begins on. Memory holds one row at a time.
///
/// ```
/// use blabbermouth_core::dataset::Rows;
/// let mut rows = Rows::new("[{\"a\":1},\n {\"a\":\"],\"}]".as_bytes());
/// let mut row = Vec::new();
/// assert_eq!(rows.next_into(&mut row)?, Some(1));
/// assert_eq!(row, b"{\"a\":1}");
/// assert_eq!(rows.next_into(&mut row)?, Some(2));
/// assert_eq!(row, b"{\"a\":\"],\"}");
/// assert_eq!(rows.next_into(&mut row)?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Rows<R> {
    reader: R,
    line: u64,
    mode: Option<Mode>,
}

impl<R: BufRead> Rows<R> {
    /// Rows of `reader`, which holds UTF-8.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 1, mode: None }
    }

    /// Puts the next row that is not blank into `row` and gives its line, from 1; `None` at the end.
    ///
    /// # Errors
    /// When reading fails, an array is not closed, or something follows its end.
    pub fn next_into(&mut self, row: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
        row.clear();
        let mode = match self.mode {
            Some(mode) => mode,
            None => self.start()?,
        };
        match mode {
            Mode::Lines => self.next_line(row),
            Mode::Array => self.next_value(row, true),
            Mode::Objects => self.next_value(row, false),
            Mode::Closed => self.end_of_array(),
        }
    }

    /// Passes over a byte order mark and white space, and sees how the rows begin.
    fn start(&mut self) -> std::io::Result<Mode> {
        if self.reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        let mode = loop {
            let buffer = self.reader.fill_buf()?;
            match buffer.first().copied() {
                Some(b'[') => {
                    self.reader.consume(1);
                    break Mode::Array;
                }
                Some(byte) if byte.is_ascii_whitespace() => {
                    self.line += u64::from(byte == b'\n');
                    self.reader.consume(1);
                }
                Some(b'{') if is_open(buffer) => break Mode::Objects,
                _ => break Mode::Lines,
            }
        };
        self.mode = Some(mode);
        Ok(mode)
    }

    fn next_line(&mut self, row: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
        loop {
            row.clear();
            let room = LONGEST_ROW as u64 + 1;
            if self.reader.by_ref().take(room).read_until(b'\n', row)? == 0 {
                return Ok(None);
            }
            let line = self.line;
            if row.len() > LONGEST_ROW {
                return Err(too_long(line));
            }
            self.line += 1;
            while row.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                row.pop();
            }
            if !row.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    /// Reads one value. In an array it ends before the comma or the bracket at depth zero, otherwise with its last brace.
    fn next_value(&mut self, row: &mut Vec<u8>, is_array: bool) -> std::io::Result<Option<u64>> {
        let (mut depth, mut scan, mut begin) = (0u32, TextScan::default(), self.line);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return match (is_array, row.is_empty()) {
                    (true, _) => Err(damaged(self.line, "the array is not closed: the file is cut")),
                    (false, true) => Ok(None),
                    (false, false) => Err(damaged(begin, "the row ends within a value of JSON: the file is cut")),
                };
            }
            let (mut used, mut is_done) = (0, false);
            for &byte in buffer {
                used += 1;
                self.line += u64::from(byte == b'\n');
                if !scan.is_in_text(byte) {
                    match byte {
                        b']' if depth == 0 && is_array => {
                            self.mode = Some(Mode::Closed);
                            is_done = true;
                            break;
                        }
                        b',' if depth == 0 && is_array => {
                            is_done = true;
                            break;
                        }
                        _ if row.is_empty() && byte.is_ascii_whitespace() => {
                            begin = self.line;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => {
                            depth = depth.saturating_sub(1);
                            is_done = depth == 0 && !is_array;
                        }
                        _ => {}
                    }
                }
                if row.is_empty() {
                    begin = self.line;
                }
                if row.len() >= LONGEST_ROW {
                    return Err(too_long(begin));
                }
                row.push(byte);
                if is_done {
                    break;
                }
            }
            self.reader.consume(used);
            if is_done {
                while row.last().is_some_and(u8::is_ascii_whitespace) {
                    row.pop();
                }
                if !row.is_empty() {
                    return Ok(Some(begin));
                }
                if self.mode == Some(Mode::Closed) {
                    return self.end_of_array();
                }
            }
        }
    }

    /// Sees that nothing but white space follows an array.
    fn end_of_array(&mut self) -> std::io::Result<Option<u64>> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let Some(&byte) = buffer.first() else { return Ok(None) };
            if !byte.is_ascii_whitespace() {
                return Err(damaged(self.line, "something follows the end of the array"));
            }
            self.line += u64::from(byte == b'\n');
            self.reader.consume(1);
        }
    }
}

/// Whether the first line of a file opens an object that it cannot close.
fn is_open(buffer: &[u8]) -> bool {
    let line = memchr::memchr(b'\n', buffer).map(|end| buffer[..end].trim_ascii_end());
    line.and_then(<[u8]>::last).is_some_and(|last| matches!(last, b'{' | b'[' | b',' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::io::Result<Vec<(u64, String)>> {
        // A small buffer, so that rows go over its end.
        let mut rows = Rows::new(std::io::BufReader::with_capacity(7, text.as_bytes()));
        let (mut row, mut all) = (Vec::new(), Vec::new());
        while let Some(line) = rows.next_into(&mut row)? {
            all.push((line, String::from_utf8(row.clone()).expect("UTF-8")));
        }
        Ok(all)
    }

    #[test]
    fn rows_are_lines_elements_or_objects() {
        let two = vec![(1, "{\"a\":1}".to_owned()), (2, "{\"a\":2}".to_owned())];
        assert_eq!(read("\u{feff}{\"a\":1}\r\n{\"a\":2}\r\n").expect("lines"), two);
        assert_eq!(read("[{\"a\":1},\n{\"a\":2},\n]\n").expect("an array"), two);
        assert_eq!(read("{\"a\":1}\n\u{2028}").expect("lines").len(), 2);
        assert!(read("").expect("nothing").is_empty() && read("[]").expect("nothing").is_empty());
        let pretty = Rows::new("{\n \"a\": \"}\"\n}\n{\n \"a\": 2 }\n".as_bytes());
        let (mut rows, mut row, mut all) = (pretty, Vec::new(), Vec::new());
        while let Some(line) = rows.next_into(&mut row).expect("objects") {
            all.push((line, String::from_utf8(row.clone()).expect("UTF-8")));
        }
        assert_eq!(all, [(1, "{\n \"a\": \"}\"\n}".to_owned()), (4, "{\n \"a\": 2 }".to_owned())]);
    }

    #[test]
    fn a_cut_array_and_garbage_after_one_are_faults() {
        let fault = |text: &str| read(text).expect_err("a fault").to_string();
        for cut in ["[{\"a\":1},", "[{\"a\":1}", "[{\"a\":1},\n{\"a", "["] {
            assert!(fault(cut).contains("is cut"), "{cut}");
        }
        assert_eq!(fault("[{\"a\":1}]\n\nx"), "line 3: something follows the end of the array");
    }
}
