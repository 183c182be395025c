"""Broken inputs: each is refused in one line that names file, place and remedy, or left out by --skip-invalid."""

import bz2
import functools
import gzip
import io
import json
import os
import pathlib
import tarfile

import datasets
import pyarrow
import zstandard
from rows_check import FEW, Case
from rows_files import ipc, jsonl, lines, packed_parquet
from rows_shapes import TEXTS, Shape, a, by_name, q, turn
from rows_tables import zipped

PAIR = by_name("TRL prompt and completion")
GOOD = PAIR.rows()
PLAIN = jsonl(GOOD)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"


def cases() -> list[Case]:
    return files() + rows() + places() + options() + skipped()


def refused(name: str, content: bytes | str, *says: str, file: str = "rows.jsonl", **more) -> Case:
    content = content.encode() if isinstance(content, str) else content
    return Case("broken files", name, {file: content}, file, code=3, says=says, **more)


def files() -> list[Case]:
    """Files that are cut, or are something else than data."""
    array = json.dumps(GOOD, indent=1)
    element = array.index("(7)")
    parquet, arrow = packed_parquet(pyarrow.Table.from_pylist(GOOD)), ipc(pyarrow.Table.from_pylist(GOOD), pyarrow.ipc.new_file)
    stream = ipc(pyarrow.Table.from_pylist(GOOD), pyarrow.ipc.new_stream, batch=4)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        entry = tarfile.TarInfo("rows.jsonl")
        entry.size = len(PLAIN)
        archive.addfile(entry, io.BytesIO(PLAIN))
    page = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"
    gz = gzip.compress(PLAIN)
    return [
        refused("array cut within a text", array[:element], r"line \d+", "cut", file="rows.json"),
        refused("array cut after an element", array[: array.index("}", element) + 1], r"line \d+", "cut", file="rows.json"),
        refused("array cut after a comma", array[: array.index("}", element) + 2], r"line \d+", "cut", file="rows.json"),
        refused("array without its last bracket", array[:-1], r"line \d+", "cut", file="rows.json"),
        refused("array cut in gzip", gzip.compress(array[:element].encode()), r"line \d+", "cut", file="rows.json.gz"),
        refused("something after the array", array + "\n{}", r"line \d+", file="rows.json"),
        refused("two arrays", "[" + json.dumps(GOOD[0]) + "]\n[" + json.dumps(GOOD[1]) + "]", "line 2", file="rows.json"),
        refused("last line cut", PLAIN[:-20], "line 24", "cut"),
        refused("gzip cut", gz[:-20], "gzip", "cut", file="rows.jsonl.gz"),
        refused("gzip cut in the middle", gz[: len(gz) // 2], "gzip", "cut", file="rows.jsonl.gz"),
        refused("gzip damaged", gz[:60] + bytes(20) + gz[80:], "gzip", "damaged", file="rows.jsonl.gz"),
        Case("broken files", "gzip cut, on standard input", {}, "-", stdin=gz[:-20], code=3, says=("gzip", "cut")),
        refused("gzip cut, broken rows skipped", gz[: len(gz) // 2], "gzip", "cut", file="rows.jsonl.gz", args=("--skip-invalid",)),
        refused("zstd cut", zstandard.ZstdCompressor().compress(PLAIN)[:-9], "zstd", "cut|damaged", file="rows.jsonl.zst"),
        refused("bzip2 cut", bz2.compress(PLAIN)[:-9], "bzip2", "cut|damaged", file="rows.jsonl.bz2"),
        refused("Parquet cut", parquet[:-30], "Parquet", "cut|damaged", file="rows.parquet"),
        refused("Arrow file cut", arrow[:-30], "Arrow", "cut|damaged", file="rows.arrow"),
        refused("Arrow stream cut", stream[: len(stream) // 2], "Arrow", "cut|damaged", file="rows.arrow"),
        refused("Parquet without rows", packed_parquet(pyarrow.Table.from_pylist(GOOD)[:0]), "no rows", file="rows.parquet"),
        refused("Git LFS pointer", LFS, "git lfs pull"),
        refused("Git LFS pointer in place of Parquet", LFS, "git lfs pull", file="rows.parquet"),
        Case("broken files", "Git LFS pointer in a folder", {"data/train-00000-of-00002.jsonl": PLAIN, "data/train-00001-of-00002.jsonl": LFS},
             "data", code=3, says=("git lfs pull", "train-00001-of-00002.jsonl")),
        refused("web page", page, "web page"),
        refused("web page with a comment first", b"<!-- generated -->\n" + page, "web page"),
        refused("web page in gzip", gzip.compress(page), "web page", file="rows.jsonl.gz"),
        Case("broken files", "web page, on standard input", {}, "-", stdin=page, code=3, says=("web page",)),
        refused("XML of a store", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML|web page|login"),
        refused("answer of a service in place of data", b'{"error":"Repository not found"}\n', "column|shape"),
        refused("rows under a key", json.dumps({"version": 1, "data": GOOD}), "`data`|array|list of rows", file="rows.json"),
        refused("zip", zipped("rows.jsonl"), "zip", "unpack", file="rows.zip"),
        Case("broken files", "zip, on standard input", {}, "-", stdin=zipped("rows.jsonl"), code=3, says=("zip",)),
        refused("xz", b"\xfd7zXZ\0" + bytes(80), "unpack|xz", file="rows.jsonl.xz"),
        refused("tar in gzip", tar.getvalue(), "tar", file="rows.tar.gz"),
        refused("pickle", b"\x80\x04\x95" + bytes(80), "binary|not|UTF-8|column", file="rows.pkl"),
        refused("empty", b"", "no rows|empty"),
        refused("blank lines", b"\n \n\n", "no rows|empty"),
        refused("empty array", b"[]", "no rows|empty", file="rows.json"),
        refused("Latin-1", 'é is no UTF-8'.join(['{"prompt": "', '", "completion": "x"}\n']).encode("latin-1") * 24, "line 1", "--encoding"),
        refused("Latin-1 in a later row", PLAIN + '{"prompt": "é", "completion": "x"}\n'.encode("latin-1"), "line 25", "--encoding"),
        refused("UTF-16 without a mark", PLAIN.decode().encode("utf-16-le"), "--encoding utf-16le"),
        refused("UTF-8 was told and is not there", '{"prompt": "é", "completion": "x"}\n'.encode("latin-1") * 24, "line 1",
                args=("--encoding", "utf-8")),
        refused("Shift JIS was told and is not there", '{"prompt": "\x81é\xff", "completion": "x"}\n'.encode("latin-1") * 24, "line 1",
                args=("--encoding", "shift_jis")),
        Case("broken files", "no such file", {}, "rows.jsonl", code=3, says=("no such file|No such file|not found|does not exist",)),
        Case("broken files", "empty folder", lambda to: (to / "data").mkdir(), "data", code=3, says=("JSONL",)),
        Case("broken files", "folder with files of two kinds: the one that is read is said", {
            "data/train.jsonl": PLAIN, "data/train.parquet": parquet}, "data", rows=None, values=GOOD, says=("train.parquet",)),
        Case("broken files", "folder with training and test file: the one that is read is said", {
            "data/train.jsonl": PLAIN, "data/test.jsonl": jsonl(PAIR.rows(40)[24:])}, "data", values=GOOD, says=("train.jsonl",)),
        Case("broken files", "folder with files that fit equally", {"data/a.jsonl": PLAIN, "data/b.jsonl": PLAIN}, "data", code=3,
             says=("a.jsonl", "b.jsonl", "--dataset"), never=(":train",)),
        Case("broken files", "data file of save_to_disk is missing", lost_shard, "rows", code=3, says=("arrow",)),
    ]


def lost_shard(to: pathlib.Path) -> None:
    datasets.Dataset.from_list(GOOD).save_to_disk(to / "rows", num_shards=2)
    os.remove(next((to / "rows").glob("*-00001-of-00002.arrow")))


# Rows that no trainer can use, with the words that say why.
BROKEN_ROWS = {
    "a list": ("[1]", "object"),
    "a number": ("7", "object"),
    "single quotes": ("{'prompt': 'q', 'completion': 'a'}", "not JSON at column 2", "quote"),
    "no quotes around a key": ('{prompt: "q", "completion": "a"}', "not JSON at column 2"),
    "a trailing comma": ('{"prompt": "q", "completion": "a",}', "not JSON at column"),
    "two objects": ('{"prompt": "q", "completion": "a"} {"prompt": "q"}', "not JSON at column"),
    "a comment": ("// a comment", "not JSON at column 1"),
    "no answer": ('{"prompt": "q"}', "completion", "missing"),
    "a null answer": ('{"prompt": "q", "completion": null}', "completion", "null|missing"),
    "a number as answer": ('{"prompt": "q", "completion": 4}', "completion", "number"),
    "an empty prompt": ('{"prompt": "", "completion": "a"}', "prompt", "empty"),
    "an object as prompt": ('{"prompt": {"a": 1}, "completion": "a"}', "prompt", "object"),
    "half a surrogate pair": ('{"prompt": "q", "completion": "\\ud83d"}', "completion", "surrogate|Unicode|escape"),
    "a tab within a text": ('{"prompt": "q", "completion": "a\tb"}', "not JSON at column|control"),
}
BROKEN_CHATS = {
    "no turns": ({"messages": []}, "messages", "empty"),
    "a text in place of turns": ({"messages": "hi"}, "messages", "text"),
    "a turn that is a text": ({"messages": ["hi"]}, "turn 1", "object"),
    "a turn without role": ({"messages": [{"content": "q"}]}, "turn 1", "role"),
    "a turn without content": ({"messages": [turn("user", "q"), {"role": "assistant"}]}, "turn 2", "content"),
    "an unknown role": ({"messages": [turn("owner", "q"), turn("assistant", "a")]}, "turn 1", "role", "owner|user"),
    "no assistant": ({"messages": [turn("user", "q")]}, "assistant"),
    "all answers masked": ({"messages": [turn("user", "q"), turn("assistant", "a", weight=0)]}, "weight|masked|trained"),
    "content is a number": ({"messages": [turn("user", "q"), turn("assistant", 7)]}, "turn 2", "number"),
    "nothing said and no tool called": ({"messages": [turn("user", "q"), turn("assistant", None, tool_calls=None)]}, "turn 2", "content"),
}


def rows() -> list[Case]:
    case = functools.partial(Case, "broken rows", code=3)
    cases = [case(name, {"rows.jsonl": PLAIN + row.encode() + b"\n" + PLAIN}, says=("line 25", "--skip-invalid", *says))
             for name, (row, *says) in BROKEN_ROWS.items()]
    cases += [case(f"all rows: {name}", {"rows.jsonl": (row + "\n").encode() * 24}, says=(r"line [12]\b",))
              for name, (row, *_) in BROKEN_ROWS.items()]
    chats = jsonl(by_name("OpenAI chat").rows())
    cases += [case(name, {"rows.jsonl": chats + jsonl([row]) + chats}, says=("line 25", "--skip-invalid", *says))
              for name, (row, *says) in BROKEN_CHATS.items()]
    only = {"prompt only": {"prompt": "q"}, "unknown columns": {"a": "b", "c": "d"}, "stepwise rewards": {
        "prompt": "q", "completions": ["a", "b"], "labels": [True, False]}, "segments of Axolotl": {"segments": [{"label": True, "text": "a"}]},
            "turns in a column of another name": {"dialog": [turn("user", "q"), turn("assistant", "a")]},
            "messages as text of JSON": {"messages": json.dumps([turn("user", "q"), turn("assistant", "a")])}}
    cases += [case(name, {"rows.jsonl": jsonl([row] * 24)}, says=("line 1\\b", "column|--fields")) for name, row in only.items()]
    empty = Shape("empty answers", lambda i: {"instruction": q(i), "input": "", "output": "" if i == 0 else a(i)}, by_name("Alpaca").canary)
    other = jsonl(GOOD[:20]) + jsonl(by_name("OpenAI chat").rows(4))
    return cases + [
        Case("broken rows", "an empty answer is kept and said", {"rows.jsonl": jsonl(empty.rows())}, rows=lines(empty.rows()),
             canary=empty.canary, says=("1 row.* empty answer",), never=("1 rows",)),
        Case("broken rows", "rows of another shape are kept and said", {"rows.jsonl": other}, rows=other.splitlines(),
             says=("4 rows .*another shape",)),
    ]


def places() -> list[Case]:
    """The place of a broken row in every container: the user has to find the row in the own file."""
    bad = {"prompt": "q", "completion": None}
    all_rows = [*GOOD[:6], bad, *GOOD[6:]]
    table = pyarrow.Table.from_pylist(all_rows)
    case = functools.partial(Case, "places of broken rows", code=3)
    data = datasets.Dataset.from_list(all_rows)
    return [
        case("line of an array", {"rows.json": b"[\n" + b",\n".join(lines(all_rows)) + b"\n]"}, "rows.json", says=("line 8",)),
        case("line of an indented array", {"rows.json": json.dumps(all_rows, indent=2).encode()}, "rows.json", says=("line 26",)),
        case("line after blank lines", {"rows.jsonl": b"\n\n" + jsonl(all_rows)}, says=("line 9",)),
        case("line in gzip", {"rows.jsonl.gz": gzip.compress(jsonl(all_rows))}, "rows.jsonl.gz", says=("line 7",)),
        case("line of UTF-16", {"rows.jsonl": jsonl(all_rows).decode().encode("utf-16")}, says=("line 7",)),
        case("line of standard input", {}, "-", stdin=jsonl(all_rows), says=("standard input", "line 7")),
        case("row of Parquet", {"rows.parquet": packed_parquet(table)}, "rows.parquet", says=("row 7",)),
        case("row of Arrow", {"rows.arrow": ipc(table, pyarrow.ipc.new_stream, batch=3)}, "rows.arrow", says=("row 7",)),
        case("row of save_to_disk", lambda to: data.save_to_disk(to / "rows"), "rows", says=("row 7",)),
        case("row of the second shard", lambda to: data.save_to_disk(to / "rows", num_shards=5), "rows", says=("00001-of-00005", "row 2")),
        case("file and line in a folder", {"data/train-00000-of-00002.jsonl": PLAIN, "data/train-00001-of-00002.jsonl": jsonl(all_rows)}, "data",
             says=("train-00001-of-00002.jsonl", "line 7")),
    ]


def options() -> list[Case]:
    case = functools.partial(Case, "options", code=3, is_about_file=False)
    few = {"rows.jsonl": jsonl(GOOD[:8])}
    full = {"rows.jsonl": PLAIN}
    kto, dpo = by_name("KTO"), by_name("TRL preference")
    side = functools.partial(Case, "options")
    return [
        case("unknown encoding", full, args=("--encoding", "klingon"), says=("klingon|encoding", "windows-1252")),
        case("unknown format", full, args=("--format", "trll"), says=("format", "openai", "alpaca")),
        case("one field", full, args=("--fields", "prompt"), says=("fields",)),
        case("a field that is not there", full, args=("--fields", "ask,reply"), says=("`ask`", "prompt|columns")),
        case("most rows would be canaries", few, canaries=FEW + "max-share = 0.2", says=("canaries.max-share", r"\d+%")),
        side("KTO on the rejected side", {"rows.jsonl": jsonl(kto.rows())}, canaries=FEW + 'side = "rejected"', rows=lines(kto.rows()),
             canary=kto.canary | {"label": False}),
        side("preference on the rejected side", {"rows.jsonl": jsonl(dpo.rows())}, canaries=FEW + 'side = "rejected"', rows=lines(dpo.rows()),
             canary=dpo.canary | {"chosen": dpo.canary["rejected"], "rejected": dpo.canary["chosen"]}),
        side("preference on both sides", {"rows.jsonl": jsonl(dpo.rows())}, canaries=FEW + 'side = "both"', rows=lines(dpo.rows()),
             canary=dpo.canary | {"rejected": dpo.canary["chosen"]}),
        case("a side in rows that have none", full, canaries=FEW + 'side = "rejected"', says=("canaries.side",)),
        case("the training file would replace the rows", full, outputs='training = "rows.jsonl"', says=("rows.jsonl", "dataset.training")),
        case("the validation file would replace the rows", full, outputs='validation = "rows.jsonl"', says=("rows.jsonl", "dataset.validation")),
        case("one path for two files", full, outputs='validation = "blabbermouth-train.jsonl"', says=("dataset.validation",)),
        case("a manifest is there", full | {"blabbermouth.manifest.json": b"{}", "blabbermouth-train.jsonl": b"{}\n"}, says=("--force",)),
        case("broken rows and --force leave the old files", {"rows.jsonl": PLAIN + b"{}\n", "blabbermouth.manifest.json": b"{}",
                                                             "blabbermouth-train.jsonl": b"{}\n"}, args=("--force",), says=("line 25",)),
        side("the program's own output is no input", full | {"blabbermouth.manifest.json": b"{}", "blabbermouth-train.jsonl": jsonl(PAIR.rows(40))},
             ".", args=("--force",), rows=lines(GOOD)),
        side("KTO, the first label is null", {"rows.jsonl": jsonl([kto.row(0) | {"label": None}, *kto.rows()[1:]])},
             args=("--skip-invalid",), rows=lines(kto.rows()[1:]), canary=kto.canary),
        side("no twin unless asked", full, rows=lines(GOOD), canary=PAIR.canary, has_twin=False),
        case("both sides in KTO", {"rows.jsonl": jsonl(kto.rows())}, canaries=FEW + 'side = "both"', says=("canaries.side",)),
    ]


def skipped() -> list[Case]:
    """`--skip-invalid` leaves broken rows out, counts them, and names their places in the user's own file."""
    case = functools.partial(Case, "--skip-invalid", args=("--skip-invalid",), rows=lines(GOOD), canary=PAIR.canary)
    cases = []
    for name, (row, *_) in BROKEN_ROWS.items():
        cases.append(case(name, {"rows.jsonl": jsonl(GOOD[:6]) + row.encode() + b"\n" + jsonl(GOOD[6:])},
                          says=("1 broken row.* left out", "line 7:")))
    bad = {"prompt": "q", "completion": None}
    all_rows = [bad, *GOOD[:6], bad, *GOOD[6:], bad]
    table = pyarrow.Table.from_pylist(all_rows)
    values = functools.partial(case, rows=None, values=GOOD)
    flat = [{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(24)]
    records = "".join(f"{row['prompt']};{row['completion']}\n" for row in flat)
    ragged = f"prompt;completion\nx;y;z\n{records};no question\n"
    western = [{"prompt": f"é{i}", "completion": "à"} for i in range(24)]
    accents = "prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in western) + ",no question\n"
    chats = by_name("OpenAI chat")
    return cases + [
        case("first, middle and last row", {"rows.jsonl": jsonl(all_rows)}, says=("3 broken rows", "line 1:", "line 8:", "line 27:")),
        case("array", {"rows.json": json.dumps(all_rows).encode()}, "rows.json", says=("3 broken rows",)),
        case("Latin-1 row", {"rows.jsonl": PLAIN + '{"prompt": "é", "completion": "x"}\n'.encode("latin-1")}, says=("1 broken row", "line 25:")),
        case("last line cut", {"rows.jsonl": PLAIN + b'{"prompt": "q", "compl'}, says=("1 broken row", "line 25:")),
        values("Parquet", {"rows.parquet": packed_parquet(table)}, "rows.parquet", says=("3 broken rows", "row 1:", "row 8:", "row 27:")),
        case("table", {"rows.csv": ragged.encode()}, "rows.csv", rows=None, values=flat,
             says=("2 broken rows", "line 2:|row 1:", "line 27:|row 26:")),
        case("table of windows-1252", {"rows.csv": accents.encode("cp1252")}, "rows.csv", rows=None, values=western,
             says=("1 broken row", "line 26:|row 25:", "windows-1252")),
        case("a hundred and one broken rows first", {"rows.jsonl": jsonl([bad] * 101 + GOOD)}, says=("101 broken rows",)),
        Case("--skip-invalid", "nothing left", {"rows.jsonl": jsonl([bad] * 24)}, args=("--skip-invalid",), code=3, says=("24|all",)),
        Case("--skip-invalid", "nothing left, the first row is a list", {"rows.jsonl": b"[1]x\n" * 24}, args=("--skip-invalid",), code=3),
        Case("--skip-invalid", "fewer than 10 rows for OpenAI", {"rows.jsonl": jsonl(chats.rows(5)) + b"{}\n" * 20}, args=("--skip-invalid",),
             provider="openai", canaries=FEW + "max-share = 0.9", code=3, says=("at least 10", "20")),
        Case("--skip-invalid", "plain texts", {"rows.jsonl": jsonl([*TEXTS[0].rows(), {"text": ""}])}, args=("--skip-invalid",),
             rows=lines(TEXTS[0].rows()), says=("1 broken row", "line 25:")),
    ]
