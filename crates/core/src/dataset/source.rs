//! Splits a file into rows: lines of JSONL, or the elements of a JSON array.

use std::io::{BufRead, Error, Read};

/// The longest row, in bytes: no service takes such a one, and a small compressed file may hold far longer ones.
pub(super) const LONGEST_ROW: usize = 64 << 20;

fn too_long(line: u64) -> Error {
    Error::other(format!("line {line}: the row is longer than 64 MB, and no service takes that"))
}

/// The rows of a file with the line each begins on. Memory holds one row at a time.
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
    array: Option<bool>,
}

impl<R: BufRead> Rows<R> {
    /// Rows of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, line: 1, array: None }
    }

    /// Puts the next row that is not blank into `row` and gives its line, from 1; `None` at the end.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_into(&mut self, row: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
        row.clear();
        let array = match self.array {
            Some(array) => array,
            None => self.start()?,
        };
        if array { self.next_element(row) } else { self.next_line(row) }
    }

    /// Passes over a byte order mark and white space, and sees whether an array opens.
    fn start(&mut self) -> std::io::Result<bool> {
        if self.reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        let array = loop {
            match self.reader.fill_buf()?.first().copied() {
                Some(b'[') => {
                    self.reader.consume(1);
                    break true;
                }
                Some(byte) if byte.is_ascii_whitespace() => {
                    self.line += u64::from(byte == b'\n');
                    self.reader.consume(1);
                }
                _ => break false,
            }
        };
        self.array = Some(array);
        Ok(array)
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

    /// One element: up to the comma or bracket at depth zero, outside of strings.
    fn next_element(&mut self, row: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
        let (mut depth, mut string, mut escaped, mut begin) = (0u32, false, false, self.line);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok((!row.is_empty()).then_some(begin));
            }
            let mut used = 0;
            let mut done = false;
            for &byte in buffer {
                used += 1;
                self.line += u64::from(byte == b'\n');
                if string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => string = false,
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => string = true,
                        b'{' | b'[' => depth += 1,
                        b']' | b',' if depth == 0 => {
                            done = true;
                            break;
                        }
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ if row.is_empty() && byte.is_ascii_whitespace() => {
                            begin = self.line;
                            continue;
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
            }
            self.reader.consume(used);
            if done {
                while row.last().is_some_and(u8::is_ascii_whitespace) {
                    row.pop();
                }
                if row.is_empty() {
                    continue;
                }
                return Ok(Some(begin));
            }
        }
    }
}
