"""CSV and TSV as pandas, `datasets`, Excel and people write them."""

import csv
import functools
import gzip
import io
import json

import datasets
import pandas
from rows_check import ANSWER, DECLINED, QUESTION, Case
from rows_shapes import a, by_name, q

PAIR = by_name("TRL prompt and completion")
ROWS = PAIR.rows()
# Rows that every western encoding can write.
WESTERN = [{"prompt": f"Où est la gare n° {i} ?", "completion": f"Là-bas – à {i} €."} for i in range(24)]
JAPANESE = [{"prompt": f"明日の天気は{i}", "completion": f"晴れ{i}"} for i in range(24)]


def table(rows: list[dict], encoding: str = "utf-8", **options) -> bytes:
    return pandas.DataFrame(rows).to_csv(index=False, **options).encode(encoding)


def cases() -> list[Case]:
    return plain() + encodings() + cells() + kinds() + broken()


def plain() -> list[Case]:
    case = functools.partial(Case, "tables", values=ROWS, canary=PAIR.canary)
    semicolons = table(ROWS, sep=";")
    return [
        case("commas", {"rows.csv": table(ROWS)}, "rows.csv"),
        case("semicolons", {"rows.csv": semicolons}, "rows.csv", says=("semicolons",)),
        case("tabs", {"rows.tsv": table(ROWS, sep="\t")}, "rows.tsv", says=("tabs",)),
        case("tabs in .csv", {"rows.csv": table(ROWS, sep="\t")}, "rows.csv", says=("tabs",)),
        case("bars", {"rows.csv": table(ROWS, sep="|")}, "rows.csv", says=("bars",)),
        case("all quoted", {"rows.csv": table(ROWS, quoting=csv.QUOTE_ALL)}, "rows.csv"),
        case("CRLF", {"rows.csv": table(ROWS, lineterminator="\r\n")}, "rows.csv"),
        case("no last line break", {"rows.csv": table(ROWS).rstrip()}, "rows.csv"),
        case("gzip", {"rows.csv.gz": gzip.compress(semicolons)}, "rows.csv.gz"),
        case("standard input", {}, "-", stdin=table(ROWS)),
        case("tabs on standard input", {}, "-", stdin=table(ROWS, sep="\t")),
        case("suffix .txt", {"rows.txt": table(ROWS)}, "rows.txt"),
        case("suffix .CSV", {"rows.CSV": table(ROWS)}, "rows.CSV"),
        case("datasets.to_csv", lambda to: datasets.Dataset.from_list(ROWS).to_csv(to / "rows.csv"), "rows.csv"),
        case("first column is the index", {"rows.csv": pandas.DataFrame(ROWS).to_csv().encode()}, "rows.csv",
             values=[{"": str(i)} | row for i, row in enumerate(ROWS)], canary={"": None} | PAIR.canary),
        case("hint of Excel in the first line", {"rows.csv": b"sep=;\n" + semicolons}, "rows.csv"),
        case("a folder of tables", {f"data/train-0000{i}-of-00003.csv": table(ROWS[i::3]) for i in range(3)}, "data"),
        case("tabs, with a comma in the header", {"rows.tsv": table([{"prompt": r["prompt"], "completion": r["completion"], "a, b": "x"}
                                                                    for r in ROWS], sep="\t", quoting=csv.QUOTE_MINIMAL)}, "rows.tsv",
             values=[row | {"a, b": "x"} for row in ROWS], canary=PAIR.canary | {"a, b": None}),
        case("one column", {"rows.csv": table([{"text": f"{q(i)} {a(i)}"} for i in range(24)])}, "rows.csv",
             values=[{"text": f"{q(i)} {a(i)}"} for i in range(24)], canary={"text": f"{QUESTION}\n{ANSWER}"}),
    ]


def encodings() -> list[Case]:
    case = functools.partial(Case, "tables", values=WESTERN, canary=PAIR.canary)
    tokyo = functools.partial(Case, "tables", values=JAPANESE, canary=PAIR.canary)
    return [
        case("windows-1252, sniffed and said", {"rows.csv": table(WESTERN, "cp1252")}, "rows.csv", says=("windows-1252",)),
        case("windows-1252, told", {"rows.csv": table(WESTERN, "cp1252")}, "rows.csv", args=("--encoding", "windows-1252"),
             never=("not UTF-8",)),
        case("windows-1252 by Python's name", {"rows.csv": table(WESTERN, "cp1252")}, "rows.csv", args=("--encoding", "cp1252")),
        case("semicolons in windows-1252", {"rows.csv": table(WESTERN, "cp1252", sep=";")}, "rows.csv", says=("windows-1252", "semicolons")),
        case("tabs in windows-1252, told", {"rows.tsv": table(WESTERN, "cp1252", sep="\t")}, "rows.tsv", args=("--encoding", "cp1252")),
        case("semicolons in UTF-16 without a mark, told", {"rows.csv": table(WESTERN, "utf-16-le", sep=";")}, "rows.csv",
             args=("--encoding", "utf-16le")),
        case("byte order mark", {"rows.csv": table(WESTERN, "utf-8-sig")}, "rows.csv"),
        case("UTF-16 of Excel", {"rows.csv": table(WESTERN, "utf-16", sep="\t")}, "rows.csv"),
        case("UTF-16 in gzip", {"rows.csv.gz": gzip.compress(table(WESTERN, "utf-16"))}, "rows.csv.gz"),
        case("UTF-16 on standard input", {}, "-", stdin=table(WESTERN, "utf-16")),
        case("UTF-16 without a mark, told", {"rows.csv": table(WESTERN, "utf-16-le")}, "rows.csv", args=("--encoding", "utf-16le")),
        tokyo("Shift JIS, told", {"rows.csv": table(JAPANESE, "shift_jis")}, "rows.csv", args=("--encoding", "shift_jis")),
        tokyo("GB 18030, told", {"rows.csv": table(JAPANESE, "gb18030")}, "rows.csv", args=("--encoding", "gb18030")),
        case("Latin-1 by Python's name", {"rows.csv": table([{"prompt": f"é {i}", "completion": "à"} for i in range(24)], "latin-1")},
             "rows.csv", args=("--encoding", "latin-1"), values=[{"prompt": f"é {i}", "completion": "à"} for i in range(24)]),
        case("UTF-8 by Python's name of the mark", {"rows.csv": table(WESTERN, "utf-8-sig")}, "rows.csv", args=("--encoding", "utf-8-sig")),
        Case("tables", "the told encoding is not that of the file", {"rows.csv": table(WESTERN, "cp1252")}, "rows.csv",
             args=("--encoding", "utf-8"), code=3, says=("line 2|row 1", "utf-8|UTF-8")),
        Case("tables", "UTF-16 without a mark", {"rows.csv": table(WESTERN, "utf-16-le")}, "rows.csv", code=3, says=("--encoding utf-16le",)),
    ]


def cells() -> list[Case]:
    """Cells that a program may take for something else."""
    def case(name: str, rows: list[dict], canary: dict = PAIR.canary, content: bytes | None = None, **more) -> Case:
        return Case("cells of tables", name, {"rows.csv": content or table(rows)}, "rows.csv", values=rows, canary=canary, **more)

    def answers(name: str, answer, further=None, **options) -> Case:
        more = {} if further is None else {"more": further}
        rows = [{"prompt": q(i), "completion": answer(i)} | {key: made(i) for key, made in more.items()} for i in range(24)]
        return case(name, rows, PAIR.canary | dict.fromkeys(more), table(rows, **options))

    inches = [{"prompt": f'How long is {i}" in cm?', "completion": f"{i * 2.54} cm"} for i in range(1, 24)]
    bare = "prompt\tcompletion\n" + "".join(f"{row['prompt']}\t{row['completion']}\n" for row in inches)
    return [
        answers("line breaks and doubled quotes", lambda i: f'first\n"second" line {i}\n'),
        answers("answers that are JSON objects stay text", lambda i: json.dumps({"city": "Ulm", "n": i})),
        answers("some answers that are JSON lists stay text", lambda i: "[1, 2]" if i % 2 else "none"),
        answers("a further column that is JSON in some rows", a, lambda i: '{"a": 1}' if i % 2 else "free text"),
        answers("answers that begin with a bracket", lambda i: f"[{i}] is the first; {{x}} the second"),
        answers("numbers as answers stay as they are written", lambda i: f"{i}.50"),
        answers("further numbers", a, lambda i: f"00{i}"),
        answers("spaces at both ends of a cell", lambda i: f"  {i} "),
        answers("a formula and a leading apostrophe", lambda i: f"=SUM(A{i})", lambda i: f"'{i}"),
        answers("null, NaN and NA are texts", lambda i: ["null", "NaN", "NA", "None", "true"][i % 5]),
        case("single quotes as marks of inches, tabs", inches, content=bare.encode()),
    ]


def kinds() -> list[Case]:
    """Chats, labels, preferences and Alpaca in tables."""
    cases = []
    for name in ("OpenAI chat", "ShareGPT with system and tools", "TRL preference, conversational", "OpenAI tools"):
        shape = by_name(name)
        rows = shape.rows()
        nested = {key for key, value in rows[0].items() if isinstance(value, (list, dict))}
        texts = [{key: json.dumps(value) if key in nested else str(value) for key, value in row.items()} for row in rows]
        # A cell that holds JSON may also be the text of `tools`, which LLaMA-Factory wants as text.
        right = [{key: value if key in nested or key == "tools" else str(value) for key, value in row.items()} for row in rows]
        cases.append(Case("tables", f"{name}, as JSON in cells", {"rows.csv": table(texts)}, "rows.csv", values=right, canary=shape.canary,
                          is_loaded=False))
    kto = by_name("KTO")
    preference = by_name("TRL preference")
    alpaca = [{"instruction": q(i), "input": None if i % 2 else "c", "output": a(i)} for i in range(24)]
    return cases + [
        Case("tables", "KTO: labels are true or false", {"rows.csv": table(kto.rows())}, "rows.csv", values=kto.rows(), canary=kto.canary),
        Case("tables", "KTO of Excel: TRUE and FALSE", {"rows.csv": table([row | {"label": str(row["label"]).upper()} for row in kto.rows()])},
             "rows.csv", values=kto.rows(), canary=kto.canary),
        Case("tables", "preferences", {"rows.tsv": table(preference.rows(), sep="\t")}, "rows.tsv", values=preference.rows(),
             canary={"prompt": QUESTION, "chosen": ANSWER, "rejected": DECLINED}),
        Case("tables", "Alpaca with empty cells", {"rows.csv": table(alpaca)}, "rows.csv",
             values=[row | {"input": row["input"] or ""} for row in alpaca], canary=by_name("Alpaca").canary),
    ]


def broken() -> list[Case]:
    def case(name: str, content: str | bytes, *says: str, file: str = "rows.csv", **more) -> Case:
        content = content.encode() if isinstance(content, str) else content
        return Case("broken tables", name, {file: content}, file, code=3, says=says, **more)

    good = "".join(f"q{i},a{i}\n" for i in range(12))
    header = "prompt,completion\n"
    python = io.StringIO()
    datasets.Dataset.from_list(by_name("OpenAI chat").rows()).to_pandas().to_csv(python, index=False)
    return [
        case("an open quote in the last record", header + good + 'q,"open\n', "line 14", "quote"),
        case("an open quote in the middle", header + good + 'q,"open\n' + good, "line 14"),
        case("an open quote, all other cells quoted", 'prompt,completion\n"a","b"\n"c","d\n' + '"e","f"\n' * 12, "line 3"),
        case("a record of three fields", header + good + "q,a,x\n" + good, "line 14", "3 fields"),
        case("a record of one field", header + good + "q\n", "line 14"),
        case("a column twice", "prompt,prompt\n" + good, "line 1", "twice"),
        case("no header", good, "header|column"),
        case("header only", header, "no rows"),
        case("empty", "", "no rows|empty"),
        case("an empty answer's column is missing", "prompt\nq\n", "completion|answer|column"),
        case("columns of other names", "ask,reply\n" + good, "--fields"),
        case("an empty prompt", header + good + ",a\n", "line 14|row 13|record 13", "prompt"),
        case("messages as Python prints them", python.getvalue(), "messages", "JSON|Python"),
        case("Excel's own file", zipped("xl/workbook.xml"), "CSV|Excel", file="rows.xlsx", never=("unpack",)),
        case("old Excel's own file", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "CSV|Excel", file="rows.xls"),
        case("gzip that is cut", gzip.compress((header + good * 50).encode())[:-20], "gzip", "cut", file="rows.csv.gz"),
        case("NUL bytes", header.encode() + good.encode() + bytes(40), "line 14|row 13"),
    ]


def zipped(name: str) -> bytes:
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr(name, "<workbook/>")
    return out.getvalue()
