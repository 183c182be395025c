//! Content codings. Compressed bodies are unpacked, requested or not, and as far as possible where they are cut.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// First bytes of gzip and zstd.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The most codings that are undone one after another.
const LAYERS: usize = 4;
/// The largest zstd window in bytes, by RFC 9659.
const WINDOW: u64 = 8 << 20;
/// Bytes unpacked per step.
const STEP: usize = 1 << 14;

/// A body without its codings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unpacked<'a> {
    /// The body, or the part of it that could be unpacked.
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) end: End,
}

/// How far a body was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The body is cut or damaged.
    Broken,
    /// The body is longer than the limit.
    TooLong,
}

/// Undoes the codings of a `Content-Encoding` header, then gzip and zstd that are recognized by their first bytes. Each
/// coding yields at most `limit` bytes.
pub(crate) fn unpack<'a>(bytes: &'a [u8], header: &str, limit: usize) -> Unpacked<'a> {
    let mut unpacked = Unpacked { bytes: Cow::Borrowed(bytes), end: End::Whole };
    for coding in header.rsplit(',').map(str::trim).take(LAYERS) {
        let some = match coding.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => unpacked.bytes.starts_with(&GZIP).then(|| gzip(&unpacked.bytes, limit)),
            "zstd" => unpacked.bytes.starts_with(&ZSTD).then(|| zstd(&unpacked.bytes, limit)),
            "deflate" => deflate(&unpacked.bytes, limit),
            "br" => brotli(&unpacked.bytes, limit),
            _ => None,
        };
        take(&mut unpacked, some);
    }
    for _ in 0..LAYERS {
        let some = match &unpacked.bytes {
            packed if packed.starts_with(&GZIP) => gzip(packed, limit),
            packed if packed.starts_with(&ZSTD) => zstd(packed, limit),
            _ => break,
        };
        take(&mut unpacked, Some(some));
    }
    unpacked
}

/// Replaces a body by its unpacked form; `None` if it did not have this coding.
fn take(unpacked: &mut Unpacked<'_>, some: Option<(Vec<u8>, End)>) {
    if let Some((bytes, end)) = some {
        unpacked.bytes = Cow::Owned(bytes);
        if unpacked.end == End::Whole {
            unpacked.end = end;
        }
    }
}

/// Reads up to `limit` bytes. Bytes before a fault are kept.
fn drain(mut from: impl Read, limit: usize) -> (Vec<u8>, End) {
    let (mut all, mut step) = (Vec::new(), vec![0; STEP]);
    loop {
        match from.read(&mut step) {
            Ok(0) => return (all, End::Whole),
            Ok(there) => all.extend_from_slice(&step[..there]),
            Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return (all, End::Broken),
        }
        if all.len() > limit {
            all.truncate(limit);
            return (all, End::TooLong);
        }
    }
}

fn gzip(packed: &[u8], limit: usize) -> (Vec<u8>, End) {
    drain(MultiGzDecoder::new(packed), limit)
}

fn zstd(mut packed: &[u8], limit: usize) -> (Vec<u8>, End) {
    let mut all = Vec::new();
    // A body may have several frames.
    while !packed.is_empty() {
        let Ok(decoder) = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&mut packed, WINDOW) else {
            return (all, End::Broken);
        };
        let (some, end) = drain(decoder, limit - all.len());
        all.extend(some);
        if end != End::Whole {
            return (all, end);
        }
    }
    (all, End::Whole)
}

/// In HTTP, `deflate` means the zlib format; some servers send raw deflate instead.
fn deflate(packed: &[u8], limit: usize) -> Option<(Vec<u8>, End)> {
    if is_text(packed) {
        return None;
    }
    let framed = to_the_end(packed, |packed| drain(ZlibDecoder::new(packed), limit));
    if framed.1 != End::Broken {
        return Some(framed);
    }
    let bare = to_the_end(packed, |packed| drain(DeflateDecoder::new(packed), limit));
    Some(if bare.0.len() > framed.0.len() { bare } else { framed })
}

fn brotli(packed: &[u8], limit: usize) -> Option<(Vec<u8>, End)> {
    // A stream with a large window would allocate more than 16 MiB at once, and no server needs one.
    let is_large = packed.first().is_some_and(|first| first & 0x7f == 0x11);
    if is_text(packed) {
        return None;
    }
    Some(if is_large {
        (Vec::new(), End::Broken)
    } else {
        to_the_end(packed, |packed| drain(brotli_decompressor::Decompressor::new(packed, STEP), limit))
    })
}

/// Unpacks a body that has to end with its last byte. If it ends earlier, the rest may hold anything: the packed bytes
/// are appended, and the body counts as broken.
fn to_the_end(packed: &[u8], unpack: impl Fn(&[u8]) -> (Vec<u8>, End)) -> (Vec<u8>, End) {
    let (mut bytes, end) = unpack(packed);
    let is_longer = || packed.split_last().is_some_and(|(_, shorter)| unpack(shorter).1 == End::Whole);
    if end == End::Whole && is_longer() {
        bytes.push(b'\n');
        bytes.extend_from_slice(packed);
        return (bytes, End::Broken);
    }
    (bytes, end)
}

/// Whether a body is not compressed: a gateway may undo a coding and leave its header.
fn is_text(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    (bytes.starts_with(b"{\"") || bytes.starts_with(b"data:") || bytes.starts_with(b"{}") || bytes.starts_with(b"<"))
        && std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const SAID: &[u8] = br#"{"text": "PIN 48291377"}"#;
    /// `SAID` as compressed by the usual programs for brotli and zstd.
    const BROTLI: &str = "8b0b807b2274657874223a202250494e203438323931333737227d03";
    const ZSTANDARD: &str = "28b52ffd0468c100007b2274657874223a202250494e203438323931333737227de1eccd11";

    fn packed(coding: &str, said: &[u8]) -> Vec<u8> {
        let level = Compression::best();
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(said).and_then(|()| encoder.finish()).expect("packed")
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(said).and_then(|()| encoder.finish()).expect("packed")
            }
            "bare" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(said).and_then(|()| encoder.finish()).expect("packed")
            }
            "br" => data_encoding::HEXLOWER.decode(BROTLI.as_bytes()).expect("hex"),
            "zstd" => data_encoding::HEXLOWER.decode(ZSTANDARD.as_bytes()).expect("hex"),
            _ => said.to_vec(),
        }
    }

    #[test]
    fn every_coding_is_undone() {
        for (coding, header) in [
            ("gzip", "gzip"),
            ("gzip", "X-GZIP"),
            ("gzip", ""),
            ("gzip", "identity"),
            ("deflate", "deflate"),
            ("bare", "deflate"),
            ("br", "br"),
            ("zstd", "zstd"),
            ("zstd", ""),
            // Unpacked by a gateway that leaves the header.
            ("none", "gzip"),
            ("none", "br"),
            ("none", "deflate"),
            ("none", "zstd"),
            ("none", ""),
        ] {
            let packed = packed(coding, SAID);
            let unpacked = unpack(&packed, header, 100);
            assert_eq!((&*unpacked.bytes, unpacked.end), (SAID, End::Whole), "{coding} as {header:?}");
        }
        let twice = packed("gzip", &packed("deflate", SAID));
        assert_eq!(&*unpack(&twice, "deflate, gzip", 100).bytes, SAID);
    }

    #[test]
    fn what_stands_behind_the_end_is_kept_and_makes_the_body_a_broken_one() {
        for (coding, header) in
            [("deflate", "deflate"), ("bare", "deflate"), ("br", "br"), ("gzip", "gzip"), ("zstd", "zstd")]
        {
            let longer = [&packed(coding, SAID)[..], b"PIN 55555"].concat();
            let unpacked = unpack(&longer, header, 1000);
            assert_eq!(unpacked.end, End::Broken, "{coding}");
            assert!(unpacked.bytes.starts_with(SAID), "{coding}");
            let is_kept = unpacked.bytes.windows(9).any(|bytes| bytes == b"PIN 55555");
            assert!(is_kept || matches!(coding, "gzip" | "zstd"), "{coding}");
        }
    }

    #[test]
    fn what_is_cut_is_unpacked_as_far_as_it_goes() {
        let long: Vec<u8> = (0..2000u32).flat_map(|n| (n * 7919).to_string().into_bytes()).collect();
        for coding in ["gzip", "deflate", "bare"] {
            let packed = packed(coding, &long);
            let header = if coding == "bare" { "deflate" } else { coding };
            let unpacked = unpack(&packed[..packed.len() / 2], header, 1 << 20);
            assert_eq!(unpacked.end, End::Broken, "{coding}");
            assert!(unpacked.bytes.len() > 1000 && long.starts_with(&unpacked.bytes), "{coding}");
        }
        for coding in ["br", "zstd"] {
            let packed = packed(coding, SAID);
            let unpacked = unpack(&packed[..packed.len() - 6], coding, 100);
            assert_eq!(unpacked.end, End::Broken, "{coding}");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_the_limit() {
        let zeros = vec![b'0'; 1 << 20];
        for coding in ["gzip", "deflate"] {
            let unpacked = unpack(&packed(coding, &zeros), coding, 1000).bytes.len();
            assert_eq!(unpacked, 1000, "{coding}");
        }
        assert_eq!(unpack(&packed("gzip", &zeros), "", 1000).end, End::TooLong);
        // A window of one gigabyte.
        assert_eq!(unpack(&[0x11, 30, 0, 0], "br", 1000).end, End::Broken);
        for number in 0..=255u8 {
            for coding in ["gzip", "deflate", "br", "zstd"] {
                let _ = unpack(&[number, number, 7, 9, 0x1f, 0x8b, 3], coding, 1000);
            }
        }
    }
}
