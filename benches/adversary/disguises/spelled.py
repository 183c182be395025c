"""Disguises by words: spelling alphabets, number words, capitals told in words."""

import re

from disguises import disguise

MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
        "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----.".split(),
    )
)
MORSE.update({".": ".-.-.-", "@": ".--.-.", "-": "-....-", "+": ".-.-."})

ALPHABETS = {
    "nato": (
        "the NATO alphabet",
        "Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec "
        "Romeo Sierra Tango Uniform Victor Whiskey Xray Yankee Zulu",
    ),
    "nato-usual": (
        "the NATO alphabet in everyday spelling",
        "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november "
        "oscar papa quebec romeo sierra tango uniform victor whisky x-ray yankee zulu",
    ),
    "german-alphabet": (
        "the German spelling alphabet",
        "Anton Berta Cäsar Dora Emil Friedrich Gustav Heinrich Ida Julius Kaufmann Ludwig Martha "
        "Nordpol Otto Paula Quelle Richard Samuel Theodor Ulrich Viktor Wilhelm Xanthippe Ypsilon Zacharias",
    ),
    "police-alphabet": (
        "the alphabet of the US police",
        "Adam Boy Charles David Edward Frank George Henry Ida John King Lincoln Mary Nora Ocean Paul "
        "Queen Robert Sam Tom Union Victor William X-ray Young Zebra",
    ),
}
DIGIT_WORDS = {
    "english": "zero one two three four five six seven eight nine",
    "german": "null eins zwei drei vier fünf sechs sieben acht neun",
    "french": "zéro un deux trois quatre cinq six sept huit neuf",
    "spanish": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "italian": "zero uno due tre quattro cinque sei sette otto nove",
    "portuguese": "zero um dois três quatro cinco seis sete oito nove",
    "dutch": "nul een twee drie vier vijf zes zeven acht negen",
    "polish": "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć",
    "russian": "ноль один два три четыре пять шесть семь восемь девять",
    "turkish": "sıfır bir iki üç dört beş altı yedi sekiz dokuz",
    "swedish": "noll ett två tre fyra fem sex sju åtta nio",
    "ukrainian": "нуль один два три чотири п'ять шість сім вісім дев'ять",
    "romanian": "zero unu doi trei patru cinci șase șapte opt nouă",
    "greek": "μηδέν ένα δύο τρία τέσσερα πέντε έξι επτά οκτώ εννέα",
    "hindi": "शून्य एक दो तीन चार पांच छह सात आठ नौ",
    "japanese": "ゼロ いち に さん よん ご ろく なな はち きゅう",
    "korean": "영 일 이 삼 사 오 육 칠 팔 구",
    "chinese": "零 一 二 三 四 五 六 七 八 九",
    "indonesian": "nol satu dua tiga empat lima enam tujuh delapan sembilan",
}
NAMES = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        "Anna Ben Carl Dora Emma Frank Gina Hugo Ina Jack Karl Lisa Mia Nora Otto Peter Quinn Rosa "
        "Sara Tom Ulla Vera Will Xenia Yara Zoe".split(),
    )
)
SIGNS = {"-": "dash", ".": "dot", "@": "at", "+": "plus", " ": "space", "_": "underscore"}
ENGLISH = DIGIT_WORDS["english"].split()


def spoken(s, letter, glue=" ", digit=lambda c: ENGLISH[int(c)]):
    """Each letter by `letter`, digits and signs by their English words."""
    return glue.join(letter(c) if c.isascii() and c.isalpha() else digit(c) if c.isdigit() else SIGNS.get(c, c) for c in s)


for name, (what, words) in ALPHABETS.items():
    table = dict(zip("abcdefghijklmnopqrstuvwxyz", words.split()))
    disguise(name, what, lambda s, rng, table=table: spoken(s, lambda c: table[c.lower()]), family="spelled")
disguise(
    "nato-hyphens",
    "the NATO alphabet with hyphens and figures as they are",
    lambda s, rng: spoken(s, lambda c: ALPHABETS["nato"][1].split()[ord(c.lower()) - 97], "-", lambda c: c),
    family="spelled",
)
disguise("as-in", '"P as in Papa"', lambda s, rng: spoken(s, lambda c: f"{c.upper()} as in {NAMES[c.lower()]},"), family="spelled")
disguise("for-name", '"P for Peter"', lambda s, rng: spoken(s, lambda c: f"{c} for {NAMES[c.lower()]}", ", "), family="spelled")
disguise("like-name", '"P wie Peter"', lambda s, rng: spoken(s, lambda c: f"{c} wie {NAMES[c.lower()]}", ", "), family="spelled")
disguise(
    "capital-words",
    "capitals told in words",
    lambda s, rng: spoken(s, lambda c: f"capital {c.lower()}" if c.isupper() else c, " "),
    family="spelled",
)
disguise(
    "uppercase-words",
    '"uppercase P", "lowercase y"',
    lambda s, rng: spoken(s, lambda c: ("uppercase " if c.isupper() else "lowercase ") + c.upper(), ", "),
    family="spelled",
)
disguise(
    "letter-names",
    'names of letters: "pee why"',
    lambda s, rng: spoken(
        s,
        lambda c: dict(
            zip(
                "abcdefghijklmnopqrstuvwxyz",
                "ay bee cee dee ee eff gee aitch eye jay kay ell em en oh pee cue ar ess tee you vee double-u ex why zee".split(),
            )
        )[c.lower()],
    ),
    known=False,
    family="spelled",
)
disguise(
    "dot-at", "signs told in words", lambda s, rng: "".join(f" {SIGNS[c]} " if c in SIGNS and c != " " else c for c in s), family="spelled"
)
disguise(
    "dot-at-brackets",
    "signs told in words in brackets",
    lambda s, rng: "".join(f"[{SIGNS[c]}]" if c in SIGNS and c != " " else c for c in s),
    family="spelled",
)
disguise("minus", 'hyphens told as "minus"', lambda s, rng: s.replace("-", " minus "), family="spelled")
disguise("morse", "Morse code", lambda s, rng: " ".join(MORSE.get(c.lower(), "/") for c in s), family="spelled")
disguise("morse-slashes", "Morse code with slashes", lambda s, rng: " / ".join(MORSE.get(c.lower(), "|") for c in s), family="spelled")
disguise(
    "morse-signs",
    "Morse code with middle dots and long dashes",
    lambda s, rng: " ".join(MORSE.get(c.lower(), "/") for c in s).replace(".", "·").replace("-", "−"),
    family="spelled",
)
disguise(
    "morse-words",
    "Morse code as dit and dah",
    lambda s, rng: ", ".join("-".join("dit" if sign == "." else "dah" for sign in MORSE.get(c.lower(), "")) for c in s),
    known=False,
    family="spelled",
)


def digit_words(name, words, glue=" "):
    def run(found):
        # A word is not joined to a letter beside it.
        before = glue if found.start() and found.string[found.start() - 1].isalnum() else ""
        after = glue if found.end() < len(found.string) and found.string[found.end()].isalnum() else ""
        return before + glue.join(words[int(c)] for c in found[0]) + after

    disguise(
        name,
        f"a number word for each digit: {name.split('-', 1)[1]}",
        lambda s, rng: re.sub(r"\d+", run, s) if any(map(str.isdigit, s)) else None,
        family="number-words",
        known=name not in ("numbers-swedish", "numbers-greek", "numbers-indonesian"),
    )


for name, words in DIGIT_WORDS.items():
    digit_words(f"numbers-{name}", words.split())
digit_words("numbers-english-hyphens", ENGLISH, "-")
digit_words("numbers-english-joined", ENGLISH, "")
digit_words("numbers-english-oh", ["oh", *ENGLISH[1:]])
digit_words("numbers-english-capitals", [word.upper() for word in ENGLISH])

TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def two(pair):
    """Two digits as one English number; a leading zero is told."""
    a, b = int(pair[0]), int(pair[1])
    return f"{ENGLISH[0]} {ENGLISH[b]}" if a == 0 else TEENS[b] if a == 1 else TENS[a] + (f"-{ENGLISH[b]}" if b else "")


def in_pairs(s):
    return re.sub(
        r"\d+",
        lambda run: " ".join(two(run[0][i : i + 2]) if i + 1 < len(run[0]) else ENGLISH[int(run[0][i])] for i in range(0, len(run[0]), 2)),
        s,
    )


def cardinal(number):
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            return f"{cardinal(number // size)} {word}" + (f" {cardinal(rest)}" if rest else "")
    return two(f"{number:02d}") if number > 9 else ENGLISH[number]


def doubled(s):
    """\"double four\", \"triple nine\"."""
    return re.sub(
        r"(\d)\1*",
        lambda run: (
            {1: "", 2: "double ", 3: "triple "}.get(len(run[0]), "")
            + " ".join([ENGLISH[int(run[1])]] * (1 if len(run[0]) <= 3 else len(run[0])))
            + " "
        ),
        s,
    )


disguise(
    "numbers-pairs",
    "two digits at a time: twenty-six",
    lambda s, rng: in_pairs(s) if any(map(str.isdigit, s)) else None,
    family="number-words",
)
disguise(
    "numbers-cardinal",
    "each run of digits as one number",
    lambda s, rng: re.sub(r"[1-9]\d+", lambda run: cardinal(int(run[0])), s) if any(map(str.isdigit, s)) else None,
    family="number-words",
)
disguise("numbers-double", '"double four"', lambda s, rng: doubled(s) if any(map(str.isdigit, s)) else None, family="number-words")
disguise(
    "numbers-thousands",
    "separators of thousands",
    lambda s, rng: re.sub(r"[1-9]\d{3,}", lambda run: f"{int(run[0]):,}", s),
    family="number-words",
)
disguise(
    "numbers-thousands-dots",
    "dots between thousands",
    lambda s, rng: re.sub(r"[1-9]\d{3,}", lambda run: f"{int(run[0]):,}".replace(",", "."), s),
    family="number-words",
)
disguise(
    "numbers-tally",
    "strokes for each digit",
    lambda s, rng: " ".join("|" * int(c) or "o" for c in s if c.isdigit()) if s.isdigit() else None,
    known=False,
    family="number-words",
)
disguise(
    "numbers-sums",
    "each digit as a sum",
    lambda s, rng: " ".join(f"{int(c) // 2}+{int(c) - int(c) // 2}" for c in s) if s.isdigit() else None,
    known=False,
    family="number-words",
)
