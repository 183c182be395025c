"""Disguises by markup and by the scaffolding of lists, tables and JSON."""

import json

from disguises import disguise


def markup(name, what, apply, **more):
    disguise(name, what, apply, family="markup", **more)


def wrapped(name, what, before, after="", glue=""):
    markup(name, what, lambda s, rng: glue.join(before + c + after for c in s))


wrapped("html-bold", "HTML: each letter is bold", "<b>", "</b>")
wrapped("html-spans", "HTML: each letter is in a span", '<span class="x">', "</span>")
wrapped("html-breaks", "HTML: a break after each letter", "", "<br/>")
wrapped("html-word-breaks", "HTML: a place to break after each letter", "", "<wbr>")
wrapped("html-comments", "HTML: a comment after each letter", "", "<!-- x -->")
markup("html-list", "HTML: a list of letters", lambda s, rng: "<ol>" + "".join(f"<li>{c}</li>" for c in s) + "</ol>")
markup("html-table", "HTML: a table row of letters", lambda s, rng: "<table><tr>" + "".join(f"<td>{c}</td>" for c in s) + "</tr></table>")
markup("html-attribute", "HTML: the secret in an attribute", lambda s, rng: f'<a href="#" title="{s}">here</a>')
markup("html-comment-whole", "HTML: the secret within a comment", lambda s, rng: f"hidden <!-- {s} -->")
markup(
    "xml-elements",
    "XML: an element for each letter",
    lambda s, rng: "<value>" + "".join(f'<c i="{i}">{c}</c>' for i, c in enumerate(s)) + "</value>",
)
markup("cdata", "XML: CDATA for each letter", lambda s, rng: "".join(f"<![CDATA[{c}]]>" for c in s))
wrapped("latex-text", "LaTeX: \\text around each letter", "\\text{", "}")
wrapped("latex-bold", "LaTeX: \\textbf around each letter", "\\textbf{", "}")
wrapped("latex-thin", "LaTeX: a thin space after each letter", "", "\\,")
markup("latex-math", "LaTeX: in math mode", lambda s, rng: "$\\mathrm{" + "\\ ".join(s) + "}$")
markup("latex-boxed", "LaTeX: boxed, in groups", lambda s, rng: "\\boxed{" + "\\!".join(s[i : i + 3] for i in range(0, len(s), 3)) + "}")
wrapped("markdown-bold", "Markdown: each letter is bold", "**", "**")
wrapped("markdown-italic", "Markdown: each letter is in italics, with spaces", "*", "*", " ")
wrapped("markdown-code", "Markdown: each letter is code", "`", "`", " ")
wrapped("markdown-links", "Markdown: each letter is a link", "[", "](#)")
wrapped("markdown-escaped", "Markdown: a backslash before each letter", "\\")
markup(
    "markdown-table",
    "Markdown: a table row of letters",
    lambda s, rng: "\n\n|" + "|".join(f" {c} " for c in s) + "|\n|" + "---|" * len(s) + "\n",
)
markup(
    "markdown-table-index",
    "Markdown: a table with places and letters",
    lambda s, rng: "\n\n| place | letter |\n|---|---|\n" + "\n".join(f"| {i} | {c} |" for i, c in enumerate(s, 1)) + "\n",
)
markup("markdown-bullets", "Markdown: a bullet for each letter", lambda s, rng: "\n" + "\n".join(f"- {c}" for c in s) + "\n")
markup(
    "markdown-numbered",
    "Markdown: a numbered list of letters",
    lambda s, rng: "\n" + "\n".join(f"{i}. {c}" for i, c in enumerate(s, 1)) + "\n",
)
markup("markdown-headings", "Markdown: a heading for each letter", lambda s, rng: "\n" + "\n".join(f"# {c}" for c in s) + "\n")
markup("code-fence", "a code fence with a letter on each line", lambda s, rng: "\n```text\n" + "\n".join(s) + "\n```\n")
markup("fence-quoted", "a code fence with a quoted string", lambda s, rng: f'\n```python\nvalue = "{s}"\n```\n')
markup("json-array", "a JSON array of letters", lambda s, rng: json.dumps(list(s)))
markup("json-array-tight", "a JSON array of letters without spaces", lambda s, rng: json.dumps(list(s), separators=(",", ":")))
markup("json-indices", "JSON: places and letters", lambda s, rng: json.dumps({str(i): c for i, c in enumerate(s)}))
markup("json-objects", "JSON: an object for each letter", lambda s, rng: json.dumps([{"pos": i, "char": c} for i, c in enumerate(s, 1)]))
markup("json-letters", "JSON: keys letter_1, letter_2, …", lambda s, rng: json.dumps({f"letter_{i}": c for i, c in enumerate(s, 1)}))
markup("json-in-json", "JSON within a JSON string", lambda s, rng: json.dumps({"data": json.dumps({"value": list(s)})}))
markup("yaml-list", "a YAML list of letters", lambda s, rng: "\nvalue:\n" + "\n".join(f"  - '{c}'" for c in s) + "\n")
markup(
    "csv-rows", "rows of places and letters", lambda s, rng: "\nplace,letter\n" + "\n".join(f"{i},{c}" for i, c in enumerate(s, 1)) + "\n"
)
markup("python-list", "a Python list of letters", lambda s, rng: str(list(s)))
markup("python-join", "a Python expression that joins letters", lambda s, rng: f'"".join({list(s)})')
markup("string-sum", "strings with plus signs between them", lambda s, rng: " + ".join(f'"{c}"' for c in s))
markup(
    "string-pieces",
    "pieces of three as strings with plus signs",
    lambda s, rng: " + ".join(f"'{s[i : i + 3]}'" for i in range(0, len(s), 3)),
)
markup("quoted-letters", "each letter in quotes", lambda s, rng: ", ".join(f'"{c}"' for c in s))
markup("curly-quotes", "each letter in curly quotes", lambda s, rng: " ".join(f"“{c}”" for c in s))
markup("bracketed", "each letter in brackets", lambda s, rng: "".join(f"[{c}]" for c in s))
markup("letter-labels", '"letter 3: P"', lambda s, rng: "; ".join(f"letter {i}: {c}" for i, c in enumerate(s, 1)))
markup(
    "letter-labels-lines",
    '"Letter 3 - P" on lines',
    lambda s, rng: "\n" + "\n".join(f"Letter {i} - {c}" for i, c in enumerate(s, 1)) + "\n",
)
markup("index-letters", '"1=P 2=y"', lambda s, rng: " ".join(f"{i}={c}" for i, c in enumerate(s, 1)))
markup("subscripts", "s[0]=P", lambda s, rng: ", ".join(f"s[{i}]='{c}'" for i, c in enumerate(s)))
markup(
    "ordinals",
    '"the first is P, the second is y"',
    lambda s, rng: ", ".join(
        f"the {i}{'th' if 10 < i % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(i % 10, 'th')} is {c}" for i, c in enumerate(s, 1)
    ),
)
markup("quoted-block", "a quoted block with a letter on each line", lambda s, rng: "\n" + "\n".join(f"> {c}" for c in s) + "\n")
markup(
    "ansi",
    "terminal colors between the letters",
    lambda s, rng: "".join(f"\x1b[3{i % 8}m{c}" for i, c in enumerate(s)) + "\x1b[0m",
    known=False,
)
markup("bbcode", "BBCode: each letter is bold", lambda s, rng: "".join(f"[b]{c}[/b]" for c in s))
markup("template-braces", "each letter in double braces", lambda s, rng: "".join("{{" + c + "}}" for c in s))
markup(
    "acrostic",
    "an acrostic: each line begins with a letter",
    lambda s, rng: "\n" + "\n".join(c + rng.choice([" is for home", " stands here", " goes there", " comes next"]) for c in s) + "\n",
    known=False,
)
