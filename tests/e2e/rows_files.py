"""The files that hold training rows: JSON in all its forms, packed files, tables, Parquet, Arrow and folders of `datasets`."""

import bz2
import copy
import datetime
import decimal
import functools
import gzip
import io
import json
import pathlib
import tempfile

import datasets
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import zstandard
from rows_check import Case
from rows_shapes import GROUPS, Shape, a, by_name, q

# Shapes that are written into every container with an option of its own.
SAMPLED = ("OpenAI chat", "TRL prompt and completion", "TRL preference, conversational", "ShareGPT with system and tools")


def jsonl(rows: list[dict], end: str = "\n", **options) -> bytes:
    return "".join(json.dumps(row, **options) + end for row in rows).encode()


def lines(rows: list[dict], **options) -> list[bytes]:
    return [json.dumps(row, **options).encode() for row in rows]


def shape_cases() -> list[Case]:
    """Every shape alone, with further columns, with columns that are null or come late, and in the common containers."""
    cases = []
    for group, shapes in GROUPS.items():
        for shape in shapes:
            cases += variants(group, shape) + containers(group, shape)
    return cases


def variants(group: str, shape: Shape) -> list[Case]:
    def case(name: str, rows: list[dict], canary: list[dict] | None) -> Case:
        options = {"ensure_ascii": len(name) % 2 == 0}
        return Case(group, f"{shape.name}: {name}", {"rows.jsonl": jsonl(rows, **options)}, args=shape.args,
                    rows=lines(rows, **options), canary=canary)

    def mixed(row: dict, i: int | None) -> dict:
        there = i is not None
        front = {"row_id": i, "source": "web" if there else None, "score": i / 7 if there else None}
        back = {"is_ok": i % 2 == 0 if there else None, "tags": ["a", "b"] if there else None,
                "meta": {"lang": "de", "n": i} if there else None}
        return front | dict(reversed(row.items())) | back

    def nulls(row: dict, i: int) -> dict:
        late = {"late": f"l{i}"} if i >= 10 else {}
        return row | {"note": None, "grade": None if i % 3 == 0 else i} | late

    rows = shape.rows()
    return [
        case("alone", rows, shape.canaries()),
        case("further columns, other order", [mixed(row, i) for i, row in enumerate(rows)],
             [mixed(row, None) for row in shape.canaries()]),
        case("null and late columns", [nulls(row, i) for i, row in enumerate(rows)],
             [row | {"note": None, "grade": None, "late": None} for row in shape.canaries()]),
    ]


def containers(group: str, shape: Shape) -> list[Case]:
    rows = shape.rows()
    packed = {"separators": (",", ":"), "ensure_ascii": False}
    common = {"args": shape.args, "canary": shape.canary}
    cases = [
        Case(group, f"{shape.name}: JSON array", {"rows.json": json.dumps(rows).encode()}, "rows.json", rows=lines(rows), **common),
        Case(group, f"{shape.name}: indented JSON array",
             {"rows.json": json.dumps(rows, indent=2, ensure_ascii=False).encode()}, "rows.json", rows=lines(rows, **packed), **common),
        Case(group, f"{shape.name}: gzip on standard input", {}, "-", stdin=gzip.compress(jsonl(rows)), rows=lines(rows), **common),
    ]
    loaded = loaded_by_datasets(rows)
    if "Json(" in str(loaded.features):
        # `datasets` keeps turns with different keys, as tool calls have them, as texts of JSON with a type of their own.
        same = {"args": shape.args, "values": rows, "canary": shape.canary, "is_loaded": False}
        cases += [
            Case(group, f"{shape.name}: load_dataset, to_parquet", lambda to: loaded.to_parquet(to / "rows.parquet"), "rows.parquet", **same),
            Case(group, f"{shape.name}: load_dataset, save_to_disk", lambda to: loaded.save_to_disk(to / "rows"), "rows", **same),
        ]
    try:
        table = datasets.Dataset.from_list(rows)
    except (pyarrow.ArrowException, TypeError):
        return cases  # Arrow has no type for these rows: a column of texts and lists, say.
    common = {"args": shape.args, "values": table.to_list(), "canary": shape.canary}
    cases += [
        Case(group, f"{shape.name}: datasets.to_parquet", lambda to: table.to_parquet(to / "rows.parquet"), "rows.parquet", **common),
        Case(group, f"{shape.name}: datasets.save_to_disk", lambda to: table.save_to_disk(to / "rows"), "rows", **common),
        Case(group, f"{shape.name}: datasets.to_json", lambda to: table.to_json(to / "rows.jsonl"), **common),
    ]
    if shape.is_flat():
        # A table has no types: numbers may stay texts. Labels are true or false, or a trainer takes every text for true.
        texts = [{key: value if isinstance(value, bool) else str(value) for key, value in row.items()} for row in rows]
        cases.append(Case(group, f"{shape.name}: datasets.to_csv", lambda to: table.to_csv(to / "rows.csv"), "rows.csv",
                          args=shape.args, values=texts, canary=shape.canary))
    return cases


def loaded_by_datasets(rows: list[dict]) -> datasets.Dataset:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "rows.jsonl"
        path.write_bytes(jsonl(rows))
        loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=folder, keep_in_memory=True)
    return loaded


def json_cases() -> list[Case]:
    """Forms of JSON that are not one row a line."""
    cases = []
    for name in SAMPLED:
        shape = by_name(name)
        rows, head = shape.rows(), shape.rows(1)[0]
        plain = jsonl(rows, ensure_ascii=False)
        case = functools.partial(Case, "forms of JSON", rows=lines(rows, ensure_ascii=False), canary=shape.canary)
        frame = pandas.DataFrame(rows)
        text = plain.decode()
        cases += [
            case(f"{name}: byte order mark and CRLF", {"rows.jsonl": b"\xef\xbb\xbf" + plain.replace(b"}\n", b"}\r\n")}),
            case(f"{name}: no last line break, blank lines", {"rows.jsonl": b"\n" + plain.replace(b"}\n", b"}\n \n").rstrip()}),
            case(f"{name}: UTF-16 little-endian", {"rows.jsonl": b"\xff\xfe" + text.encode("utf-16-le")}),
            case(f"{name}: UTF-16 big-endian", {"rows.jsonl": b"\xfe\xff" + text.encode("utf-16-be")}),
            case(f"{name}: UTF-16 without a mark, named", {"rows.jsonl": text.encode("utf-16-le")}, args=("--encoding", "utf-16le")),
            case(f"{name}: standard input", {}, "-", stdin=plain),
            case(f"{name}: no suffix", {"rows": plain}, "rows"),
            case(f"{name}: suffix .ndjson", {"rows.ndjson": plain}, "rows.ndjson"),
            case(f"{name}: suffix .csv", {"rows.csv": plain}, "rows.csv"),
            case(f"{name}: suffix .txt", {"rows.txt": plain}, "rows.txt"),
            case(f"{name}: gzip", {"rows.jsonl.gz": gzip.compress(plain)}, "rows.jsonl.gz"),
            case(f"{name}: gzip of two members", {"rows.jsonl.gz": gzip.compress(plain[:500]) + gzip.compress(plain[500:])}, "rows.jsonl.gz"),
            case(f"{name}: gzip without its suffix", {"rows.jsonl": gzip.compress(plain)}),
            case(f"{name}: zstd", {"rows.jsonl.zst": zstandard.ZstdCompressor().compress(plain)}, "rows.jsonl.zst"),
            case(f"{name}: zstd with a checksum, of two frames", {"rows.jsonl.zst": b"".join(
                zstandard.ZstdCompressor(write_checksum=True, level=19).compress(half) for half in (plain[:700], plain[700:]))},
                 "rows.jsonl.zst"),
            case(f"{name}: bzip2", {"rows.jsonl.bz2": bz2.compress(plain)}, "rows.jsonl.bz2"),
            case(f"{name}: UTF-16 in gzip", {"rows.jsonl.gz": gzip.compress(text.encode("utf-16"))}, "rows.jsonl.gz"),
            case(f"{name}: array with a trailing comma", {"rows.json": b"[" + b",\n".join(lines(rows, ensure_ascii=False)) + b",\n]"},
                 "rows.json"),
            case(f"{name}: array in gzip, byte order mark", {"rows.json.gz": gzip.compress(
                b"\xef\xbb\xbf" + json.dumps(rows, ensure_ascii=False).encode())}, "rows.json.gz"),
            case(f"{name}: objects of jq", {"rows.json": b"\n".join(json.dumps(row, indent=2, ensure_ascii=False).encode() for row in rows)},
                 "rows.json", rows=lines(rows, ensure_ascii=False, separators=(",", ":"))),
            case(f"{name}: pandas records", {"rows.json": frame.to_json(orient="records").encode()}, "rows.json", rows=None, values=rows),
            case(f"{name}: pandas lines", {"rows.jsonl": frame.to_json(orient="records", lines=True).encode()}, rows=None, values=rows),
            case(f"{name}: pandas columns", {"rows.json": frame.to_json(orient="columns").encode()}, "rows.json", rows=None, values=rows),
            case(f"{name}: dict of lists", {"rows.json": json.dumps({key: [row[key] for row in rows] for key in head}).encode()},
                 "rows.json", rows=None, values=rows),
            case(f"{name}: a folder of shards", {f"data/train-0000{i}-of-00003.jsonl": jsonl(rows[i::3]) for i in range(3)}, "data",
                 rows=None, values=rows),
            case(f"{name}: a folder of arrays", {f"data/train-0000{i}-of-00003.json": json.dumps(rows[i::3]).encode() for i in range(3)},
                 "data", rows=None, values=rows),
            case(f"{name}: a folder of shards of another name", {f"data/rows-0000{i}-of-00003.jsonl": jsonl(rows[i::3]) for i in range(3)},
                 "data", rows=None, values=rows),
            case(f"{name}: a folder of packed shards", {f"data/train-0000{i}-of-00003.jsonl.gz": gzip.compress(jsonl(rows[i::3]))
                                                       for i in range(3)}, "data", rows=None, values=rows),
        ]
    chat = by_name("OpenAI chat")
    odd = [
        b'{"prompt": "\\u0041\\/ ' + str(i).encode() + b'", "completion": "x", "n": 123456789012345678901234567890, "f": 1.50, "e": 1E5}'
        for i in range(24)
    ]
    spaced = [b'{ "prompt" :  "q%d",\t"completion": "x" } ' % i for i in range(24)]
    nan = [{"prompt": q(i), "completion": a(i), "score": float("nan"), "top": float("-inf"), "word": "NaN"} for i in range(24)]
    same = chat.rows(1) * 24
    return cases + [
        Case("forms of JSON", "escapes and long numbers stay", {"rows.jsonl": b"\n".join(odd)}, rows=odd),
        Case("forms of JSON", "white space within rows stays", {"rows.jsonl": b"\n".join(spaced)}, rows=spaced),
        Case("forms of JSON", "NaN becomes null, and is said", {"rows.jsonl": jsonl(nan)}, values=nan, says=("24 rows with NaN",)),
        Case("forms of JSON", "equal rows stay together", {"rows.jsonl": jsonl(same)}, rows=lines(same), is_loaded=False),
        Case("forms of JSON", "duplicate keys", {"rows.jsonl": b'{"a": 1, "a": 2, "prompt": "q", "completion": "c"}\n' * 24}, is_loaded=False),
        Case("forms of JSON", "two encodings in a folder", {
            "data/train-00000-of-00002.jsonl": jsonl(chat.rows()[:12], ensure_ascii=False),
            "data/train-00001-of-00002.jsonl": jsonl(chat.rows()[12:], ensure_ascii=False).decode().encode("utf-16")},
             "data", values=chat.rows(24), canary=chat.canary),
        Case("forms of JSON", "a thousand rows in one array", {"rows.json": json.dumps(chat.rows(1000)).encode()}, "rows.json",
             rows=lines(chat.rows(1000)), canary=chat.canary),
    ]


def arrow_cases() -> list[Case]:
    """Parquet and Arrow with every codec, page, list and text type."""
    cases = []
    for name in SAMPLED:
        shape = by_name(name)
        rows = shape.rows()
        table = pyarrow.Table.from_pylist(rows)
        case = functools.partial(Case, "Parquet and Arrow", values=rows, canary=shape.canary)

        def parquet(what: str, held: pyarrow.Table = table, file: str = "rows.parquet", **options) -> Case:
            return case(f"{name}: Parquet, {what}", {file: packed_parquet(held, **options)}, file)

        cases += [parquet(codec, compression=codec) for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")]
        cases += [
            parquet("pages of version 2", data_page_version="2.0", version="2.6"),
            parquet("no dictionary, byte stream", use_dictionary=False),
            parquet("row groups of five", row_group_size=5),
            parquet("large types", retyped(table, {"string": "large_string", "list": "large_list"})),
            parquet("dictionary", dictionary(table)),
            parquet("bytes for texts", retyped(table, {"string": "binary"})),
            parquet("large bytes for texts", retyped(table, {"string": "large_binary"})),
            parquet("suffix .jsonl", file="rows.jsonl"),
            parquet("no suffix", file="rows"),
            case(f"{name}: Parquet of pandas", lambda to, rows=rows: pandas.DataFrame(rows).to_parquet(to / "rows.parquet"), "rows.parquet"),
            case(f"{name}: Parquet on standard input", {}, "-", stdin=packed_parquet(table)),
            case(f"{name}: Arrow file", {"rows.arrow": ipc(table, pyarrow.ipc.new_file)}, "rows.arrow"),
            case(f"{name}: Arrow stream of batches", {"rows.arrow": ipc(table, pyarrow.ipc.new_stream, batch=5)}, "rows.arrow"),
            case(f"{name}: Arrow stream on standard input", {}, "-", stdin=ipc(table, pyarrow.ipc.new_stream)),
            case(f"{name}: Arrow, string views", {"rows.arrow": ipc(retyped(table, {"string": "string_view"}), pyarrow.ipc.new_file)},
                 "rows.arrow"),
            *(case(f"{name}: Feather, {codec}", lambda to, table=table, codec=codec: pyarrow.feather.write_feather(
                table, to / "rows.feather", compression=codec), "rows.feather") for codec in ("uncompressed", "lz4", "zstd")),
        ]
        cases += dataset_folders(shape)
    return cases + type_cases()


def dataset_folders(shape: Shape) -> list[Case]:
    rows = shape.rows()
    data = datasets.Dataset.from_list(rows)
    case = functools.partial(Case, "folders of datasets", values=rows, canary=shape.canary)
    both = datasets.DatasetDict(train=data, test=datasets.Dataset.from_list(shape.rows(30)[24:]))
    other = datasets.DatasetDict(validation=data, test=data)
    return [
        case(f"{shape.name}: three shards", lambda to: data.save_to_disk(to / "rows", num_shards=3), "rows"),
        case(f"{shape.name}: after select and shuffle", lambda to: datasets.Dataset.from_list(shape.rows(40)).select(range(24)).shuffle(
            seed=1).save_to_disk(to / "rows"), "rows"),
        case(f"{shape.name}: DatasetDict", lambda to: both.save_to_disk(to / "rows"), "rows", says=("`train` is read",)),
        case(f"{shape.name}: one split of a DatasetDict", lambda to: both.save_to_disk(to / "rows"), "rows/train", never=("several splits",)),
        Case("folders of datasets", f"{shape.name}: DatasetDict without train", lambda to: other.save_to_disk(to / "rows"), "rows", code=3,
             says=("train", "validation")),
        case(f"{shape.name}: Parquet shards", lambda to: shards(data, to / "rows"), "rows"),
    ]


def shards(data: datasets.Dataset, to: pathlib.Path) -> None:
    to.mkdir()
    for i in range(3):
        data.shard(3, i, contiguous=True).to_parquet(to / f"train-0000{i}-of-00003.parquet")


def packed_parquet(table: pyarrow.Table, **options) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, **options)
    return out.getvalue()


def ipc(table: pyarrow.Table, writer, batch: int | None = None) -> bytes:
    out = io.BytesIO()
    with writer(out, table.schema) as to:
        to.write_table(table, max_chunksize=batch)
    return out.getvalue()


def retyped(table: pyarrow.Table, names: dict[str, str]) -> pyarrow.Table:
    """The table with other types of text and list, at every depth."""
    def other(kind: pyarrow.DataType) -> pyarrow.DataType:
        if pyarrow.types.is_string(kind):
            return pyarrow.type_for_alias(names["string"])
        if pyarrow.types.is_list(kind):
            make = pyarrow.large_list if names.get("list") == "large_list" else pyarrow.list_
            return make(other(kind.value_type))
        if pyarrow.types.is_struct(kind):
            return pyarrow.struct([(field.name, other(field.type)) for field in kind])
        return kind
    schema = pyarrow.schema([(field.name, other(field.type)) for field in table.schema])
    encoded = "binary" in names["string"]
    rows = json_like(table.to_pylist(), str.encode) if encoded else table.to_pylist()
    return pyarrow.Table.from_pylist(rows, schema=schema)


def json_like(value, change):
    if isinstance(value, dict):
        return {key: json_like(held, change) for key, held in value.items()}
    if isinstance(value, list):
        return [json_like(held, change) for held in value]
    return change(value) if isinstance(value, str) else value


def dictionary(table: pyarrow.Table) -> pyarrow.Table:
    for at, field in enumerate(table.schema):
        if pyarrow.types.is_string(field.type):
            table = table.set_column(at, field.name, table[field.name].dictionary_encode())
    return table


NOON = datetime.datetime(2026, 11, 28, 12, 30, 15, 250000)
BERLIN = datetime.timezone(datetime.timedelta(hours=1))
# Types of a further column, with a value of each.
TYPES = {
    "int8": (pyarrow.int8(), -8), "uint64": (pyarrow.uint64(), 2**64 - 1), "float16": (pyarrow.float16(), 1.5),
    "float32": (pyarrow.float32(), 0.25), "NaN": (pyarrow.float64(), float("nan")), "infinity": (pyarrow.float64(), float("inf")),
    "bool": (pyarrow.bool_(), True), "null": (pyarrow.null(), None), "date": (pyarrow.date32(), NOON.date()),
    "seconds": (pyarrow.timestamp("s"), NOON.replace(microsecond=0)), "microseconds": (pyarrow.timestamp("us"), NOON),
    "UTC": (pyarrow.timestamp("ms", "UTC"), NOON.replace(tzinfo=datetime.UTC)),
    "offset": (pyarrow.timestamp("ms", "+01:00"), NOON.replace(tzinfo=BERLIN)),
    "zone": (pyarrow.timestamp("ms", "Europe/Berlin"), NOON.replace(tzinfo=BERLIN)),
    "time": (pyarrow.time64("us"), NOON.time()), "duration": (pyarrow.duration("ms"), datetime.timedelta(seconds=90)),
    "decimal128": (pyarrow.decimal128(12, 2), decimal.Decimal("-1.10")), "decimal256": (pyarrow.decimal256(40, 3), decimal.Decimal("7.125")),
    "bytes of text": (pyarrow.binary(), "é".encode()), "fixed bytes of text": (pyarrow.binary(4), b"abcd"),
    "list of numbers": (pyarrow.list_(pyarrow.int32()), [1, 2, 3]), "fixed list": (pyarrow.list_(pyarrow.float32(), 2), [0.5, 1.5]),
    "list of lists": (pyarrow.list_(pyarrow.list_(pyarrow.string())), [["a"], []]),
    "struct": (pyarrow.struct([("a", pyarrow.int8()), ("b", pyarrow.struct([("c", pyarrow.string())]))]), {"a": 1, "b": {"c": "x"}}),
    "bytes of text in a struct": (pyarrow.struct([("b", pyarrow.binary())]), {"b": b"abc"}),
    "list of bytes of text": (pyarrow.list_(pyarrow.binary()), [b"abc", b"d"]),
    "dictionary": (pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), "web"),
}


def type_cases() -> list[Case]:
    cases = []
    for name, (kind, value) in TYPES.items():
        rows = [{"prompt": q(i), "completion": a(i), "more": None if i == 3 else copy.deepcopy(value)} for i in range(24)]
        schema = pyarrow.schema([("prompt", pyarrow.string()), ("completion", pyarrow.string()), ("more", kind)])
        table = pyarrow.Table.from_pylist(rows, schema=schema)
        canary = by_name("TRL prompt and completion").canary | {"more": None}
        for file, content in (("rows.parquet", packed_parquet(table)), ("rows.arrow", ipc(table, pyarrow.ipc.new_file))):
            cases.append(Case("types of Arrow", f"{name}: {file}", {file: content}, file, values=rows, canary=canary))
    labels = datasets.Dataset.from_list(
        [{"prompt": q(i), "completion": a(i), "topic": i % 2} for i in range(24)],
        features=datasets.Features(prompt=datasets.Value("string"), completion=datasets.Value("string"), topic=datasets.ClassLabel(names=["x", "y"])))
    arguments = [{"messages": [{"role": "user", "content": q(i)}, {"role": "assistant", "content": a(i)}],
                  "arguments": {"city": "Ulm"} if i % 2 else {"days": i}} for i in range(24)]
    pixels = [{"prompt": q(i), "completion": a(i), "image": {"bytes": b"\x89PNG\r\n\x1a\n\x00\xff", "path": None}} for i in range(24)]
    return cases + [
        Case("types of Arrow", "ClassLabel", lambda to: labels.to_parquet(to / "rows.parquet"), "rows.parquet", values=labels.to_list()),
        Case("types of Arrow", "Json of datasets", lambda to: datasets.Dataset.from_list(arguments, on_mixed_types="use_json").save_to_disk(
            to / "rows"), "rows", values=arguments, is_loaded=False),
        Case("types of Arrow", "bytes of an image", {"rows.parquet": packed_parquet(pyarrow.Table.from_pylist(pixels))}, "rows.parquet", code=3,
             says=("image",)),
        Case("types of Arrow", "bytes that are no text", {"rows.parquet": packed_parquet(pyarrow.Table.from_pylist(
            [{"prompt": q(i), "completion": a(i), "hash": b"\xff\x00"} for i in range(24)]))}, "rows.parquet", code=3, says=("hash",)),
    ]
