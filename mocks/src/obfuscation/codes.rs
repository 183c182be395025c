//! Byte encodings, and letters from other Unicode blocks.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// The codes of all bytes, joined by `between`.
pub(super) fn coded(text: &str, between: &str, make: impl Fn(u8) -> String) -> String {
    text.bytes().map(make).collect::<Vec<_>>().join(between)
}

/// Splits a code into pieces of `length` characters, joined by `between`.
pub(super) fn pieces(code: &str, length: usize, between: &str) -> String {
    let letters: Vec<char> = code.chars().collect();
    letters.chunks(length).map(|piece| piece.iter().collect::<String>()).collect::<Vec<_>>().join(between)
}

pub(super) fn base58(text: &str) -> String {
    const LETTERS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    // Digits of the number in base 58, lowest first.
    let mut digits: Vec<u32> = Vec::new();
    for byte in text.bytes() {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    digits.iter().rev().map(|digit| char::from(LETTERS[*digit as usize])).collect()
}

/// Base85: each four bytes become five characters, and a shorter last group of n bytes becomes n + 1.
pub(super) fn base85(text: &str, alphabet: &[u8; 85]) -> String {
    let mut code = String::new();
    for four in text.as_bytes().chunks(4) {
        let mut word = (0..4).fold(0u32, |word, at| word << 8 | u32::from(four.get(at).copied().unwrap_or(0)));
        let mut signs = [0; 5];
        for sign in signs.iter_mut().rev() {
            *sign = alphabet[(word % 85) as usize];
            word /= 85;
        }
        code.extend(signs.iter().take(four.len() + 1).map(|sign| char::from(*sign)));
    }
    code
}

pub(super) const ASCII85: &[u8; 85] =
    b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstu";
pub(super) const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The UTF-16 bytes of a text, little-endian if `low_first`.
pub(super) fn utf16(text: &str, low_first: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes());
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

pub(super) fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text.as_bytes());
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

pub(super) fn deflate(text: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text.as_bytes());
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

pub(super) fn rot47(c: char) -> String {
    match c {
        '!'..='~' => char::from(b'!' + (c as u8 - b'!' + 47) % 94).to_string(),
        c => c.to_string(),
    }
}

/// Moves a letter (of either case) and a digit to the Unicode block whose `a` is `letter` and whose zero is `digit`.
pub(super) fn in_block(c: char, letter: Option<u32>, digit: Option<u32>) -> String {
    let moved = match c.to_ascii_lowercase() {
        lower @ 'a'..='z' => letter.map(|first| first + u32::from(lower) - u32::from('a')),
        '0'..='9' => digit.map(|zero| zero + u32::from(c) - u32::from('0')),
        _ => None,
    };
    moved.and_then(char::from_u32).unwrap_or(c).to_string()
}

pub(super) fn small_capital(c: char) -> String {
    const CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ";
    let at = (c as usize).wrapping_sub('a' as usize);
    CAPITALS.chars().nth(at).filter(|_| at < 26).unwrap_or(c).to_string()
}

/// Unicode tag characters: an invisible copy of ASCII.
pub(super) fn tag(c: char) -> String {
    char::from_u32(0xe0000 + u32::from(c)).unwrap_or(c).to_string()
}

/// A byte as a Unicode variation selector.
pub(super) fn selector(byte: u8) -> String {
    let code = if byte < 16 { 0xfe00 + u32::from(byte) } else { 0xe0100 - 16 + u32::from(byte) };
    char::from_u32(code).map(String::from).unwrap_or_default()
}
