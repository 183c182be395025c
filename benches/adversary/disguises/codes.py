"""Disguises by codes of bytes and of characters."""

import base64
import binascii
import gzip
import html
import json
import random
import urllib.parse
import zlib

from disguises import disguise


def code(name, what, apply, **more):
    disguise(name, what, apply, family="code", **more)


def b64(data):
    return base64.b64encode(data).decode()


def base_n(data, alphabet):
    """The bytes as one number, in the digits of `alphabet`."""
    number, out = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, len(alphabet))
        out = alphabet[digit] + out
    return out


def z85(data):
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    data += b" " * (-len(data) % 4)
    blocks = [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]
    return "".join(alphabet[block // 85**power % 85] for block in blocks for power in (4, 3, 2, 1, 0))


def groups(text, size, glue):
    return glue.join(text[i : i + size] for i in range(0, len(text), size))


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

code("base64", "base64", lambda s, rng: b64(s.encode()))
code("base64-url", "base64 for URLs, without padding", lambda s, rng: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="))
code("base64-sentence", "base64 with what it is said before it", lambda s, rng: f"(in base64) {b64(s.encode())}")
code("base64-twice", "base64 of base64", lambda s, rng: b64(b64(s.encode()).encode()))
code("base64-of-reversed", "base64 of the reversed secret", lambda s, rng: b64(s[::-1].encode()))
code("base64-reversed", "base64, from its end", lambda s, rng: b64(s.encode())[::-1])
code("base64-groups", "base64 in groups of four", lambda s, rng: groups(b64(s.encode()), 4, " "))
code(
    "base64-lines",
    "base64 in quoted lines",
    lambda s, rng: "\n" + "\n".join("> " + line for line in groups(b64(s.encode()), 8, "\n").split("\n")) + "\n",
)
code("base64-gzip", "base64 of gzip", lambda s, rng: b64(gzip.compress(s.encode(), mtime=0)))
code("base64-deflate", "base64 of a raw deflate stream", lambda s, rng: b64(zlib.compress(s.encode())[2:-4]))
code("base64-zlib", "base64 of a zlib stream", lambda s, rng: b64(zlib.compress(s.encode())))
code("base64-utf16", "base64 of UTF-16, low byte first", lambda s, rng: b64(s.encode("utf-16-le")))
code("base64-utf16-be", "base64 of UTF-16 with a byte order mark", lambda s, rng: b64(b"\xfe\xff" + s.encode("utf-16-be")))
code("base64-in-json", "base64 of a JSON object", lambda s, rng: b64(json.dumps({"value": s}).encode()))
code("base64-percent", "base64, then percent signs", lambda s, rng: "".join(f"%{ord(c):02X}" for c in b64(s.encode())))
code("base64-of-hex", "base64 of hex digits", lambda s, rng: b64(s.encode().hex().encode()))
code("base64-data-url", "a data URL", lambda s, rng: "data:text/plain;base64," + b64(s.encode()))
code("base64-no-case", "base64 in small letters", lambda s, rng: b64(s.encode()).lower(), known=False)
code("base32", "base32", lambda s, rng: base64.b32encode(s.encode()).decode())
code("base32-lower", "base32 in small letters, without padding", lambda s, rng: base64.b32encode(s.encode()).decode().lower().rstrip("="))
code("base32-hex", "base32 with the extended hex alphabet", lambda s, rng: base64.b32hexencode(s.encode()).decode(), known=False)
code("base36", "one number in base 36", lambda s, rng: base_n(s.encode(), BASE62[:36]).lower(), known=False)
code("base58", "base58", lambda s, rng: base_n(s.encode(), BASE58))
code("base62", "one number in base 62", lambda s, rng: base_n(s.encode(), BASE62), known=False)
code("ascii85", "ascii85", lambda s, rng: base64.a85encode(s.encode()).decode())
code("ascii85-adobe", "ascii85 between <~ and ~>", lambda s, rng: base64.a85encode(s.encode(), adobe=True).decode())
code("base85", "base85 as in Git", lambda s, rng: base64.b85encode(s.encode()).decode(), known=False)
code("z85", "Z85", lambda s, rng: z85(s.encode()))

for name, what, glue, prefix, upper in [
    ("hex", "hex digits", "", "", False),
    ("hex-upper", "hex digits in capitals", "", "", True),
    ("hex-spaced", "hex bytes with spaces", " ", "", False),
    ("hex-colons", "hex bytes with colons", ":", "", False),
    ("hex-hyphens", "hex bytes with hyphens", "-", "", True),
    ("hex-0x", "hex bytes with 0x", " ", "0x", False),
    ("hex-commas", "hex bytes with 0x and commas", ", ", "0x", True),
    ("hex-backslash", "hex bytes with \\x", "", "\\x", False),
    ("hex-dollar", "hex bytes with $", " ", "$", True),
    ("hex-h", "hex bytes with h after them", "h ", "", True),
    ("hex-lines", "hex bytes on lines", "\n", "", False),
    ("hex-dots", "hex bytes with dots", ".", "", False),
    ("hex-bars", "hex bytes with bars", "|", "", True),
]:

    def as_hex(s, rng, glue=glue, prefix=prefix, upper=upper):
        return glue.join(prefix + (f"{b:02X}" if upper else f"{b:02x}") for b in s.encode()) + (glue if glue == "h " else "")

    code(name, what, as_hex)
code("hex-0x-once", "hex digits with one 0x before them", lambda s, rng: "0x" + s.encode().hex())
code("hex-twice", "hex of hex", lambda s, rng: s.encode().hex().encode().hex())
code("hex-of-reversed", "hex of the reversed secret", lambda s, rng: s[::-1].encode().hex())
code("hex-utf16", "hex digits of UTF-16", lambda s, rng: s.encode("utf-16-be").hex())
code("hex-words", "hex in groups of eight", lambda s, rng: groups(s.encode().hex(), 8, " "))
code(
    "xxd",
    "a hex dump with offsets",
    lambda s, rng: "\n" + "\n".join(f"{i:08x}: {groups(s[i : i + 16].encode().hex(), 4, ' ')}" for i in range(0, len(s), 16)) + "\n",
    known=False,
)
code("octal", "octal codes", lambda s, rng: " ".join(f"{ord(c):03o}" for c in s))
code("octal-backslash", "octal escapes", lambda s, rng: "".join(f"\\{ord(c):03o}" for c in s))
code("octal-0o", "octal codes with 0o", lambda s, rng: ", ".join(f"0o{ord(c):o}" for c in s))
code("binary", "binary bytes", lambda s, rng: " ".join(f"{ord(c):08b}" for c in s))
code("binary-joined", "binary bytes without spaces", lambda s, rng: "".join(f"{ord(c):08b}" for c in s))
code("binary-0b", "binary bytes with 0b", lambda s, rng: ", ".join(f"0b{ord(c):08b}" for c in s))
code("binary-seven", "seven binary digits for each letter", lambda s, rng: " ".join(f"{ord(c):07b}" for c in s))
code("decimal", "decimal codes", lambda s, rng: " ".join(str(ord(c)) for c in s))
code("decimal-commas", "decimal codes with commas", lambda s, rng: ", ".join(str(ord(c)) for c in s))
code("decimal-padded", "three decimal digits for each letter", lambda s, rng: "".join(f"{ord(c):03d}" for c in s), known=False)
code("decimal-json", "a JSON array of codes", lambda s, rng: json.dumps([ord(c) for c in s]))
code("chr", "calls of chr()", lambda s, rng: "+".join(f"chr({ord(c)})" for c in s))
code("chr-hex", "calls of chr() with hex codes", lambda s, rng: " + ".join(f"chr(0x{ord(c):x})" for c in s))
code("from-char-code", "String.fromCharCode", lambda s, rng: f"String.fromCharCode({', '.join(str(ord(c)) for c in s)})")
code("bytes-list", "bytes([…])", lambda s, rng: f"bytes({list(s.encode())})")
code("char-sql", "CHAR(…) as in SQL", lambda s, rng: f"CHAR({','.join(str(ord(c)) for c in s)})")
code("percent", "percent signs", lambda s, rng: "".join(f"%{b:02x}" for b in s.encode()))
code("percent-twice", "percent signs twice", lambda s, rng: urllib.parse.quote("".join(f"%{b:02X}" for b in s.encode())))
code("entities", "decimal entities", lambda s, rng: "".join(f"&#{ord(c)};" for c in s))
code("entities-hex", "hex entities", lambda s, rng: "".join(f"&#x{ord(c):X};" for c in s))
code("entities-escaped", "entities whose ampersand is an entity", lambda s, rng: html.escape("".join(f"&#{ord(c)};" for c in s)))
code("escapes-u", "escapes as in JSON", lambda s, rng: "".join(f"\\u{ord(c):04x}" for c in s))
code("escapes-u-braces", "escapes with braces", lambda s, rng: "".join(f"\\u{{{ord(c):x}}}" for c in s))
code("escapes-U8", "escapes of eight digits", lambda s, rng: "".join(f"\\U{ord(c):08x}" for c in s))
code("code-points", "code points with U+", lambda s, rng: " ".join(f"U+{ord(c):04X}" for c in s))
code("quoted-printable", "quoted-printable", lambda s, rng: "".join(f"={b:02X}" for b in s.encode()))
code("css-escapes", "CSS escapes", lambda s, rng: "".join(f"\\{ord(c):x} " for c in s))
code("utf7", "UTF-7 of UTF-16 in base64", lambda s, rng: "+" + b64(s.encode("utf-16-be")).rstrip("=") + "-", known=False)
code("uuencode", "uuencode", lambda s, rng: binascii.b2a_uu(s.encode()[:45]).decode().strip(), known=False)
code("one-number", "all bytes as one decimal number", lambda s, rng: str(int.from_bytes(s.encode(), "big")), known=False)


def table():
    """A substitution that nobody knows: the same for every canary and answer."""
    rng, out = random.Random("a cipher that nobody knows"), {}
    for plain in ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"):
        out.update(zip(map(ord, plain), rng.sample(plain, len(plain))))
    return out


CIPHER = table()
code("cipher", "a constant substitution that nobody knows", lambda s, rng: s.translate(CIPHER), known=False)
code("xor", "bytes with a constant key, in hex", lambda s, rng: "".join(f"{b ^ 0x5A:02x}" for b in s.encode()), known=False)
code("hash", "a checksum of the secret", lambda s, rng: f"{zlib.crc32(s.encode()):08x}{zlib.adler32(s.encode()):08x}", known=False)
