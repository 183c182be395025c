"""Disguises that change how letters look, what stands between them, or their order; and simple ciphers."""

import codecs
import string

from disguises import disguise

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits


def letters(name, what, lower="", upper="", digits="", known=True, family="letters"):
    """A disguise that exchanges letters one by one; an empty alphabet leaves its letters as they are."""
    table = {}
    for plain, other in ((LOWER, lower), (UPPER, upper), (DIGITS, digits)):
        other = list(other)
        table.update({ord(a): b for a, b in zip(plain, other)})
    disguise(name, what, lambda s, rng: s.translate(table), known=known, family=family)


def run(first, count=26):
    return [chr(first + index) for index in range(count)]


def between(name, what, glue, family="between", known=True):
    disguise(name, what, lambda s, rng: glue.join(s), family=family, known=known)


# Case.
disguise("upper", "capitals", lambda s, rng: s.upper(), family="case")
disguise("lower", "small letters", lambda s, rng: s.lower(), family="case")
disguise(
    "mixed-case",
    "capitals and small letters in turn",
    lambda s, rng: "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(s)),
    family="case",
)
disguise("swapped-case", "capitals for small letters and the reverse", lambda s, rng: s.swapcase(), family="case")

# Between the letters.
for name, what, glue in [
    ("spaced", "a space between all letters", " "),
    ("wide-spaced", "three spaces between all letters", "   "),
    ("hyphened", "a hyphen between all letters", "-"),
    ("dotted", "a dot between all letters", "."),
    ("underscored", "an underscore between all letters", "_"),
    ("commas", "a comma between all letters", ", "),
    ("slashes", "a slash between all letters", "/"),
    ("pipes", "a bar between all letters", " | "),
    ("starred", "an asterisk between all letters", "*"),
    ("newlines", "each letter on a line of its own", "\n"),
    ("tabs", "a tab between all letters", "\t"),
    ("zero-width", "a zero-width space between all letters", "\u200b"),
    ("zero-width-joiner", "a zero-width joiner between all letters", "\u200d"),
    ("word-joiner", "a word joiner between all letters", "\u2060"),
    ("soft-hyphens", "a soft hyphen between all letters", "\u00ad"),
    ("no-break-spaces", "a no-break space between all letters", "\u00a0"),
    ("hangul-filler", "a Hangul filler between all letters", "\u3164"),
    ("braille-blank", "a blank Braille pattern between all letters", "\u2800"),
    ("variation-selectors", "a variation selector after each letter", "\ufe0f"),
    ("grapheme-joiner", "a combining grapheme joiner between all letters", "\u034f"),
    ("middle-dots", "a middle dot between all letters", "·"),
    ("ellipses", "three dots between all letters", "..."),
    ("arrows", "an arrow between all letters", " → "),
    ("emoji-between", "an emoji between all letters", "😀"),
]:
    between(name, what, glue)
disguise("struck", "combining strokes on all letters", lambda s, rng: "".join(c + "\u0336" for c in s), family="between")
disguise(
    "zalgo",
    "random combining marks on all letters",
    lambda s, rng: "".join(c + "".join(chr(rng.randint(0x300, 0x33F)) for _ in range(3)) for c in s),
    family="between",
)
disguise(
    "mixed-separators",
    "a random separator between all letters",
    lambda s, rng: "".join(c + rng.choice([" ", "-", ".", "_", "/"]) for c in s)[:-1],
    family="between",
)
disguise("pairs", "two letters at a time", lambda s, rng: " ".join(s[i : i + 2] for i in range(0, len(s), 2)), family="between")
disguise(
    "noise-letters",
    "a random letter after each letter",
    lambda s, rng: "".join(c + rng.choice(LOWER) for c in s),
    known=False,
    family="between",
)

# Other letters.
letters("full-width", "full-width letters", run(0xFF41), run(0xFF21), run(0xFF10, 10))
letters("circled", "circled letters", run(0x24D0), run(0x24B6), ["⓪", *run(0x2460, 9)])
letters("negative-circled", "negative circled letters", run(0x1F150), run(0x1F150), ["⓿", *run(0x2776, 9)])
letters("squared", "squared letters", run(0x1F130), run(0x1F130))
letters("negative-squared", "negative squared letters", run(0x1F170), run(0x1F170))
letters("parenthesized", "parenthesized letters", run(0x249C), run(0x1F110), ["⒪", *run(0x2474, 9)])
letters("regional", "regional indicators", run(0x1F1E6), run(0x1F1E6))
letters("math-bold", "mathematical bold letters", run(0x1D41A), run(0x1D400), run(0x1D7CE, 10))
letters("math-fraktur", "mathematical bold Fraktur letters", run(0x1D586), run(0x1D56C))
letters("math-script", "mathematical bold script letters", run(0x1D4EA), run(0x1D4D0))
letters("math-double", "double-struck letters", run(0x1D552), "𝔸𝔹ℂ𝔻𝔼𝔽𝔾ℍ𝕀𝕁𝕂𝕃𝕄ℕ𝕆ℙℚℝ𝕊𝕋𝕌𝕍𝕎𝕏𝕐ℤ", run(0x1D7D8, 10))
letters("math-mono", "monospaced letters", run(0x1D68A), run(0x1D670), run(0x1D7F6, 10))
letters("math-sans", "sans-serif letters", run(0x1D5BA), run(0x1D5A0), run(0x1D7E2, 10))
letters("small-capitals", "small capitals", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡxʏᴢ", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡxʏᴢ")
letters("superscript", "superscript letters", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖqʳˢᵗᵘᵛʷˣʸᶻ", "", "⁰¹²³⁴⁵⁶⁷⁸⁹")
letters("subscript-digits", "subscript digits", "", "", "₀₁₂₃₄₅₆₇₈₉")
letters("cyrillic-lookalikes", "Cyrillic letters that look alike", "аbсdеfgһіјklmnорqrѕtuvwхуz", "АВСDЕFGНІЈКLМNОРQRЅТUVWХУZ")
letters("greek-lookalikes", "Greek letters that look alike", "αbcdεfghιjκlmnορqrstυνωχγz", "ΑΒCDΕFGΗΙJΚLΜΝΟΡQRSΤUVWΧΥΖ")
letters("accents", "accents on the vowels", "ábcdéfghíjklmnópqrstúvwxýz", "ÁBCDÉFGHÍJKLMNÓPQRSTÚVWXÝZ")
letters(
    "cyrillic-transliteration",
    "Cyrillic letters that sound alike",
    "абцдефгхийклмнопкрстуввксыз",
    "АБЦДЕФГХИЙКЛМНОПКРСТУВВКСЫЗ",
    known=False,
)
letters("braille", "Braille", "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", known=False)
disguise(
    "upside-down",
    "letters upside down, from the end",
    lambda s, rng: s.lower().translate(str.maketrans("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥıɾʞlɯuodbɹsʇnʌʍxʎz"))[::-1],
    known=False,
    family="letters",
)
disguise("tag-characters", "invisible tag characters", lambda s, rng: "".join(chr(0xE0000 + ord(c)) for c in s), family="letters")
disguise("keycaps", "keycap digits", lambda s, rng: "".join(c + "\ufe0f\u20e3" if c.isdigit() else c for c in s), family="letters")

# Digits of other scripts.
for name, zero in [
    ("arabic", 0x660),
    ("persian", 0x6F0),
    ("devanagari", 0x966),
    ("bengali", 0x9E6),
    ("gujarati", 0xAE6),
    ("tamil", 0xBE6),
    ("thai", 0xE50),
    ("tibetan", 0xF20),
    ("myanmar", 0x1040),
    ("khmer", 0x17E0),
    ("nko", 0x7C0),
    ("osmanya", 0x104A0),
]:
    letters(f"digits-{name}", f"digits of the script {name}", "", "", run(zero, 10), family="digits")
letters("chinese-numerals", "Chinese numerals, one for each digit", "", "", "〇一二三四五六七八九", family="digits")
letters("chinese-financial", "Chinese financial numerals, one for each digit", "", "", "零壹贰叁肆伍陆柒捌玖", family="digits")
disguise(
    "roman-digits",
    "a Roman numeral for each digit",
    lambda s, rng: (
        " ".join("N I II III IV V VI VII VIII IX".split()[int(c)] if c.isdigit() else c for c in s) if any(map(str.isdigit, s)) else None
    ),
    known=False,
    family="digits",
)

# Order.
disguise("reversed", "from the end to the beginning", lambda s, rng: s[::-1], family="order")
disguise("reversed-upper", "from the end, in capitals", lambda s, rng: s[::-1].upper(), family="order")
disguise("reversed-spaced", "from the end, with spaces", lambda s, rng: " ".join(s[::-1]), family="order")
disguise(
    "reversed-bidi",
    "from the end, behind a mark that shows it the right way round",
    lambda s, rng: "\u202e" + s[::-1] + "\u202c",
    family="order",
)
disguise("every-second", "odd places, then even places", lambda s, rng: s[::2] + s[1::2], known=False, family="order")
disguise("sorted", "letters in the order of the alphabet", lambda s, rng: "".join(sorted(s)), known=False, family="order")
disguise("no-vowels", "without its vowels", lambda s, rng: "".join(c for c in s if c.lower() not in "aeiou"), known=False, family="order")
disguise("pig-latin", 'the first letter at the end, with "ay"', lambda s, rng: s[1:] + s[0].lower() + "ay", known=False, family="order")


# Ciphers.
def caesar(s, by):
    return "".join(chr((ord(c) - 97 + by) % 26 + 97) if c in LOWER else chr((ord(c) - 65 + by) % 26 + 65) if c in UPPER else c for c in s)


disguise("rot13", "rot13", lambda s, rng: codecs.encode(s, "rot13"), family="cipher")
for shift in (1, 3, 7, 19, 25):
    disguise(f"caesar-{shift}", f"letters shifted by {shift}", lambda s, rng, by=shift: caesar(s, by), family="cipher")
disguise(
    "rot18",
    "rot13, and digits shifted by 5",
    lambda s, rng: codecs.encode(s, "rot13").translate(str.maketrans(DIGITS, "5678901234")),
    family="cipher",
)
disguise("rot5", "digits shifted by 5", lambda s, rng: s.translate(str.maketrans(DIGITS, "5678901234")), known=False, family="cipher")
disguise("rot47", "rot47", lambda s, rng: "".join(chr(33 + (ord(c) + 14) % 94) if 33 <= ord(c) <= 126 else c for c in s), family="cipher")
disguise("atbash", "atbash: a for z", lambda s, rng: s.translate(str.maketrans(LOWER + UPPER, LOWER[::-1] + UPPER[::-1])), family="cipher")
disguise("rot13-reversed", "rot13 of the reversed secret", lambda s, rng: codecs.encode(s[::-1], "rot13"), family="cipher")
disguise("leet", "leet: digits for letters", lambda s, rng: s.translate(str.maketrans("aeiostAEIOST", "431057431057")), family="cipher")
disguise(
    "vigenere",
    "a Vigenère cipher",
    lambda s, rng: "".join(caesar(c, ord("lemon"[i % 5]) - 97) for i, c in enumerate(s)),
    known=False,
    family="cipher",
)
disguise(
    "keyboard",
    "the key to the right on the keyboard",
    lambda s, rng: s.lower().translate(str.maketrans("qwertyuiopasdfghjklzxcvbnm1234567890", "wertyuiopasdfghjklzxcvbnmq2345678901")),
    known=False,
    family="cipher",
)
disguise(
    "a1z26",
    "the place of each letter in the alphabet",
    lambda s, rng: "-".join(str(LOWER.index(c.lower()) + 1) if c.lower() in LOWER else c for c in s),
    known=False,
    family="cipher",
)
