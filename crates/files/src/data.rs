//! Data files as people have them: packed or not, in several encodings.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};
use std::path::Path;

use encoding_rs_io::DecodeReaderBytesBuilder;

use crate::StoreError;

/// What a data file holds, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// Text: JSONL, JSON or a table. Packed or not.
    Text,
    /// Parquet.
    Parquet,
    /// Arrow, a file or a stream.
    Arrow,
}

/// The character encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, or UTF-16 where the file begins with its mark.
    #[default]
    Auto,
    /// An encoding that the user named.
    Named(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding of that name, as in `windows-1252`, `iso-8859-1` or `shift_jis`; `None` for an unknown name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let name = match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "auto" => return Some(Self::Auto),
            "utf8" | "utf-8-sig" => "utf-8".to_owned(),
            "latin-1" | "latin1" => "iso-8859-1".to_owned(),
            "cp1252" => "windows-1252".to_owned(),
            "utf-16" => "utf-16le".to_owned(),
            _ => name.to_owned(),
        };
        encoding_rs::Encoding::for_label(name.as_bytes()).map(Self::Named)
    }
}

/// Bytes of a file that are looked at.
const HEAD: usize = 512;

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Tells what a data file holds.
///
/// # Errors
/// When it cannot be read, or is a file that people save in place of their data: a web page, a pointer of Git LFS, an archive.
pub fn data_kind(path: &Path) -> Result<DataKind, StoreError> {
    let at = StoreError::at(path);
    let head = head(path).map_err(&at)?;
    let refuse = |what: &str| Err(at(Error::new(ErrorKind::InvalidData, what)));
    let mut unpacked = Vec::new();
    // Damage is told where the rows are read.
    let _ = open_data(path)?.take(HEAD as u64).read_to_end(&mut unpacked);
    let text =
        String::from_utf8_lossy(&unpacked).trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_lowercase();
    if head.starts_with(b"PAR1") {
        return Ok(DataKind::Parquet);
    }
    if head.starts_with(b"ARROW1") || head.starts_with(b"\xff\xff\xff\xff") {
        return Ok(DataKind::Arrow);
    }
    if head.starts_with(b"PK\x03\x04") {
        let is_workbook = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("xlsx"));
        return refuse(if is_workbook {
            "is an Excel workbook: save it as CSV"
        } else {
            "is a zip archive: unpack it, and name a file in it"
        });
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0") {
        return refuse("is an old Excel workbook: save it as CSV");
    }
    if head.starts_with(b"\x80\x04\x95") || head.starts_with(b"\x80\x05\x95") {
        return refuse("is a pickle of Python: save the rows as JSONL or Parquet");
    }
    if head.starts_with(b"7z\xbc\xaf\x27\x1c") || head.starts_with(b"Rar!") || head.starts_with(b"\xfd7zXZ\0") {
        return refuse("is packed in a way that is not read: unpack it, or pack it as gzip, zstd or bzip2");
    }
    if text.starts_with("version https://git-lfs") {
        return refuse("is a pointer of Git LFS and not the data: run `git lfs pull`");
    }
    if ["<!doctype", "<html", "<?xml", "<!--"].iter().any(|begin| text.starts_with(begin)) {
        return refuse("is a web page and not data: the download may have asked for a login");
    }
    Ok(DataKind::Text)
}

/// Opens a data file. gzip, zstd and bzip2 are undone on the fly, told by the first bytes.
///
/// # Errors
/// When it cannot be opened. A damaged file is an error while it is read.
pub fn open_data(path: &Path) -> Result<BufReader<Box<dyn Read>>, StoreError> {
    let at = StoreError::at(path);
    let head = head(path).map_err(&at)?;
    let file = std::fs::File::open(path).map_err(&at)?;
    let reader: Box<dyn Read> = if head.starts_with(b"\x1f\x8b") {
        Box::new(Unpacked { inner: flate2::read::MultiGzDecoder::new(BufReader::new(file)), form: "gzip" })
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(Unpacked { inner: Frames::new(BufReader::new(file)), form: "zstd" })
    } else if head.starts_with(b"BZh") {
        Box::new(Unpacked { inner: bzip2::read::MultiBzDecoder::new(file), form: "bzip2" })
    } else {
        Box::new(file)
    };
    Ok(BufReader::with_capacity(1 << 16, reader))
}

/// Opens a text file, packed or not, as UTF-8.
///
/// # Errors
/// As [`open_data`].
pub fn open_text(path: &Path, encoding: Encoding) -> Result<BufReader<Box<dyn Read>>, StoreError> {
    let mut reader = open_data(path)?;
    let start = reader.fill_buf().map_err(StoreError::at(path))?;
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    let mut decoder = DecodeReaderBytesBuilder::new();
    match encoding {
        // Bytes that are no UTF-8 stay as they are, so that a later reader names their row.
        Encoding::Auto if !is_utf16 => return Ok(reader),
        Encoding::Named(named) if named == encoding_rs::UTF_8 => return Ok(reader),
        Encoding::Auto => {}
        Encoding::Named(named) => {
            decoder.encoding(Some(named));
        }
    }
    let decoded: Box<dyn Read> = Box::new(decoder.build(reader));
    Ok(BufReader::with_capacity(1 << 16, decoded))
}

/// A reader whose faults say that the packed data is cut or damaged.
struct Unpacked<R> {
    inner: R,
    form: &'static str,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(into).map_err(|e| match e.kind() {
            ErrorKind::Interrupted => e,
            ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::InvalidData, format!("the {} data ends too early: the file is cut", self.form))
            }
            _ => Error::new(ErrorKind::InvalidData, format!("the {} data is damaged: {e}", self.form)),
        })
    }
}

/// The frames of a zstd file, one after another.
struct Frames<R: BufRead> {
    state: FrameState<R>,
}

enum FrameState<R: BufRead> {
    Between(R),
    Within(Box<ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Done,
}

impl<R: BufRead> Frames<R> {
    fn new(inner: R) -> Self {
        Self { state: FrameState::Between(inner) }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, FrameState::Done) {
                FrameState::Between(mut inner) => {
                    if inner.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = ruzstd::decoding::StreamingDecoder::new(inner).map_err(Error::other)?;
                    self.state = FrameState::Within(Box::new(decoder));
                }
                FrameState::Within(mut decoder) => {
                    let count = decoder.read(into)?;
                    if count > 0 || into.is_empty() {
                        self.state = FrameState::Within(decoder);
                        return Ok(count);
                    }
                    self.state = FrameState::Between(decoder.into_inner());
                }
                FrameState::Done => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    fn text(bytes: &[u8], encoding: Encoding) -> std::io::Result<String> {
        let mut text = String::new();
        open_text(written(bytes).path(), encoding).expect("opened").read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn packed_texts_are_read_and_cut_ones_told() {
        use std::io::Write;
        let gzip = |text: &[u8]| {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            packed.write_all(text).expect("packed");
            packed.finish().expect("packed")
        };
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(text(&two, Encoding::Auto).expect("read"), "one two");
        let fault = text(&two[..two.len() - 9], Encoding::Auto).expect_err("cut").to_string();
        assert!(fault.contains("gzip") && fault.contains("cut"), "{fault}");
        let zstd = |text: &[u8]| ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest);
        let two = [zstd(b"one "), zstd(b"two")].concat();
        assert_eq!(text(&two, Encoding::Auto).expect("read"), "one two");
        assert!(text(&two[..two.len() - 3], Encoding::Auto).is_err());
        let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        packed.write_all(b"one").expect("packed");
        assert_eq!(text(&packed.finish().expect("packed"), Encoding::Auto).expect("read"), "one");
    }

    #[test]
    fn encodings_become_utf8() {
        let utf16: Vec<u8> = "\u{feff}caf\u{e9}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&utf16, Encoding::Auto).expect("read").trim_start_matches('\u{feff}'), "café");
        let latin = Encoding::by_name("windows-1252").expect("known");
        assert_eq!(text(b"caf\xe9", latin).expect("read"), "café");
        assert!(text(b"caf\xe9", Encoding::Auto).is_err() && Encoding::by_name("klingon").is_none());
    }

    #[test]
    fn what_is_no_data_is_named() {
        for (bytes, word) in [
            (&b"PK\x03\x04rest"[..], "zip"),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ] {
            let fault = data_kind(written(bytes).path()).expect_err("no data").to_string();
            assert!(fault.contains(word), "{fault}");
        }
        assert_eq!(data_kind(written(b"PAR1").path()).expect("known"), DataKind::Parquet);
        assert_eq!(data_kind(written(b"{}").path()).expect("known"), DataKind::Text);
    }
}
