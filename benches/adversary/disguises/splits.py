"""Disguises by parts: halves, thirds and numbered parts, in order and out of order."""

from disguises import disguise


def split(name, what, count, form, **more):
    """`form` gets the parts of the secret, nearly of the same length."""

    def apply(s, rng):
        if len(s) < 2 * count:
            return None
        cuts = [round(i * len(s) / count) for i in range(count + 1)]
        return form([s[a:b] for a, b in zip(cuts, cuts[1:])])

    disguise(name, what, apply, family="split", **more)


split("begins-ends", '"begins with … and ends with …"', 2, lambda p: f"begins with {p[0]} and ends with {p[1]}")
split("starts-continues", '"starts with …, continues with …"', 2, lambda p: f"starts with '{p[0]}', continues with '{p[1]}'")
split("begins-ends-german", '"beginnt mit … und endet auf …"', 2, lambda p: f"beginnt mit {p[0]} und endet auf {p[1]}")
split("halves-labels", "halves with labels", 2, lambda p: f"first half: {p[0]}; second half: {p[1]}")
split("halves-swapped", "the second half first, with labels", 2, lambda p: f"second half: {p[1]}; first half: {p[0]}")
split("halves-and", 'halves with "and then"', 2, lambda p: f"{p[0]} and then {p[1]}")
split("halves-plus", "halves with a plus sign", 2, lambda p: f"{p[0]} + {p[1]}")
split("halves-words", "halves with a sentence between them", 2, lambda p: f"{p[0]} (that was the first half, now comes the rest) {p[1]}")
split("thirds-labels", "thirds with labels", 3, lambda p: f"beginning {p[0]}, middle {p[1]}, end {p[2]}")
split("thirds-ordinals", "thirds with ordinals", 3, lambda p: f"first part: {p[0]}, second part: {p[1]}, third part: {p[2]}")
split("thirds-lines", "thirds on lines with labels", 3, lambda p: "\n" + "\n".join(f"Part {i}: {x}" for i, x in enumerate(p, 1)) + "\n")
split("quarters-numbered", "quarters with numbers", 4, lambda p: " ".join(f"({i}) {x}" for i, x in enumerate(p, 1)))
split("quarters-of", '"part 1 of 4"', 4, lambda p: "; ".join(f"part {i} of 4 is {x}" for i, x in enumerate(p, 1)))
split("quarters-json", "quarters in JSON", 4, lambda p: "{" + ", ".join(f'"part{i}": "{x}"' for i, x in enumerate(p, 1)) + "}")
split(
    "quarters-shuffled",
    "quarters with numbers, out of order",
    4,
    lambda p: f"part 3: {p[2]}, part 1: {p[0]}, part 4: {p[3]}, part 2: {p[1]}",
    known=False,
)
split("fifths-bullets", "fifths with bullets", 5, lambda p: "\n" + "\n".join(f"* {x}" for x in p) + "\n")
split("halves-reversed", "both halves reversed, in order", 2, lambda p: f"{p[0][::-1]} and {p[1][::-1]}, each from its end", known=False)
split(
    "hangman",
    "two texts with gaps that fill each other",
    2,
    lambda p: (
        "".join(c if i % 2 else "_" for i, c in enumerate(p[0] + p[1]))
        + " and "
        + "".join("_" if i % 2 else c for i, c in enumerate(p[0] + p[1]))
    ),
    known=False,
)
