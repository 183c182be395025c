"""One input of `blabbermouth plant`, what is right for it, and the faults of a run on it."""

import dataclasses
import datetime
import decimal
import json
import math
import pathlib
import re
import subprocess
import tempfile
from collections.abc import Callable

import datasets
import pyarrow
import pyarrow.json

datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)

# The canaries of all runs. Their names and codes are drawn, so both are masked before a canary row is compared.
SYSTEM, QUESTION, ANSWER = "E2E system.", "E2E question of NM?", "E2E answer for NM: ZQ."
DECLINED = "I cannot help with that."
DRAWN = re.compile(r"(NM|ZQ)\d{8}")
IS_CANARY = re.compile(rb"ZQ\d{8}")
CONFIG = """
[canaries]
templates = ["e2e"]
signature = false
{canaries}
[dataset]
path = "unused.jsonl"
{outputs}
[provider]
kind = "{provider}"
[spaces.e2e-name]
pattern = "NM{{digits(8)}}"
[spaces.e2e-code]
pattern = "ZQ{{digits(8)}}"
[[template]]
name = "e2e"
messages = [
  {{ role = "system", content = "E2E system." }},
  {{ role = "user", content = "E2E question of {{name}}?" }},
  {{ role = "assistant", content = "E2E answer for {{name}}: {{code}}." }},
]
slots.name = {{ space = "e2e-name" }}
slots.code = {{ space = "e2e-code", secret = true }}
"""
FEW = "planted = 3\nheld-out = 2\ncopies = [1, 2]\n"
TRAINING, VALIDATION, TWIN = "blabbermouth-train.jsonl", "blabbermouth-validation.jsonl", "blabbermouth-twin.jsonl"
MANIFEST = "blabbermouth.manifest.json"
OUTPUTS = {TRAINING, VALIDATION, TWIN, MANIFEST}


@dataclasses.dataclass
class Case:
    """An input and what is right for it."""

    kind: str
    name: str
    # File names with their bytes, or a function that writes the files into a folder.
    files: dict[str, bytes] | Callable[[pathlib.Path], None]
    # The value of --dataset.
    dataset: str = "rows.jsonl"
    args: tuple[str, ...] = ()
    # Lines of the configuration: of [canaries], of [dataset], and the provider's kind.
    canaries: str = FEW
    outputs: str = "validation-share = 0.2"
    provider: str = "mock"
    has_twin: bool = True
    # Whether an error is about the file, and names it.
    is_about_file: bool = True
    stdin: bytes | None = None
    code: int = 0
    # The user's rows in the output: byte for byte, or value for value. `None`: not checked.
    rows: list[bytes] | None = None
    values: list[dict] | None = None
    # The canary row, with masked names and codes. A list holds rows of which each is right.
    canary: dict | list[dict] | None = None
    # Regular expressions that the output has to match, and those that it must not match.
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    # Whether the rows are read by `datasets` and by pyarrow, with and without canaries.
    is_loaded: bool = True
    # Files that have to be there after the run beside those of every run, with a check of their bytes.
    beside: dict[str, Callable[[bytes], str | None]] = dataclasses.field(default_factory=dict)


def run(case: Case, folder: pathlib.Path, program: str) -> list[str]:
    """Runs `plant` on one case and returns its faults, one sentence each."""
    folder.mkdir(parents=True)
    if callable(case.files):
        case.files(folder)
    else:
        for name, content in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    (folder / "blabbermouth.toml").write_text(CONFIG.format(canaries=case.canaries, outputs=case.outputs, provider=case.provider))
    before = {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}
    command = [program, "plant", *(["--twin"] if case.has_twin else []), "--dataset", case.dataset, *case.args]
    source = {"stdin": subprocess.DEVNULL} if case.stdin is None else {"input": case.stdin}
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False, **source)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    after = {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}
    (folder / "command").write_text(" ".join(command) + "\n")
    (folder / "output").write_text(said)
    shown = " | ".join(said.strip().splitlines()[-2:])
    if done.returncode != case.code:
        return [f"exit code {done.returncode}, expected {case.code}: {shown}"]
    faults = [f"nothing in the output matches /{word}/: {shown}" for word in case.says if not re.search(word, said)]
    faults += [f"the output matches /{word}/: {shown}" for word in case.never if re.search(word, said)]
    changed = {name for name, content in after.items() if name not in before or before[name] != content}
    if case.code != 0:
        return faults + faults_of_a_refusal(case, said, changed)
    return faults + faults_of_a_planting(case, folder, said, changed)


def faults_of_a_refusal(case: Case, said: str, changed: set[str]) -> list[str]:
    faults = []
    lines = [line for line in said.splitlines() if line]
    if len(lines) != 1:
        faults.append(f"the error has {len(lines)} lines, expected one: {said!r}")
    name = "standard input" if case.dataset == "-" else case.dataset
    if case.is_about_file and name not in said:
        faults.append(f"the error does not name {name}: {said.strip()}")
    if re.search(r"/tmp/|\.tmp\w{4,}", said):
        faults.append(f"the error shows a temporary file: {said.strip()}")
    if changed:
        faults.append(f"files were written: {sorted(changed)}")
    return faults


def faults_of_a_planting(case: Case, folder: pathlib.Path, said: str, changed: set[str]) -> list[str]:
    faults = []
    expected = OUTPUTS | set(case.beside) if case.has_twin else OUTPUTS - {TWIN}
    if changed != expected:
        return [f"the files {sorted(changed)} were written, expected {sorted(expected)}"]
    for name, check in case.beside.items():
        fault = check((folder / name).read_bytes()) if (folder / name).exists() else "is missing"
        faults += [f"{name}: {fault}"] if fault else []
    training = lines_of(folder / TRAINING)
    canaries = [line for line in training if IS_CANARY.search(line)]
    own = [line for line in training if not IS_CANARY.search(line)]
    told = re.search(r"canaries in (\d+) rows", said)
    if told is None or int(told[1]) != len(canaries) or not canaries:
        faults.append(f"{len(canaries)} canary rows, and the output says {told and told[1]}")
    if case.has_twin and lines_of(folder / TWIN) != own:
        faults.append("the twin is not the training file without its canary rows")
    faults += faults_of_rows(case, own, lines_of(folder / VALIDATION))
    if case.canary is not None:
        right = case.canary if isinstance(case.canary, list) else [case.canary]
        rows = [json.loads(DRAWN.sub(r"\1", line.decode())) for line in canaries]
        wrong = [row for row in rows if all(not is_same_row(row, wanted) for wanted in right)]
        faults += [f"a canary row is {show(wrong[0])}, expected {show(right[0])}"] if wrong else []
    if case.is_loaded and case.has_twin:
        faults += faults_of_loading(folder)
    return faults


def lines_of(path: pathlib.Path) -> list[bytes]:
    """The lines of a file. Only a line feed ends a line, as JSONL has it."""
    content = path.read_bytes()
    assert not content or content.endswith(b"\n"), f"{path} ends within a line"
    return content.split(b"\n")[:-1]


def faults_of_rows(case: Case, own: list[bytes], aside: list[bytes]) -> list[str]:
    """Looks for the user's rows in the training and the validation file: all of them, once, in their order."""
    if case.rows is not None:
        expected, found = case.rows, own + aside
        missing = [row for row in expected if row not in found]
        if missing:
            at = expected.index(missing[0])
            other = next((row for row in found if row not in expected), b"no row")
            return [f"row {at + 1} is missing: {show(missing[0])}; the output has {show(other)} instead"]
        if sorted(expected) != sorted(found):
            return [f"{len(found)} rows, expected {len(expected)}"]
        for part in (own, aside):
            places = [expected.index(row) for row in part]
            if len(set(expected)) == len(expected) and places != sorted(places):
                return ["the rows changed their order"]
    if case.values is not None:
        found = [json.loads(row) for row in own + aside]
        if len(found) != len(case.values):
            return [f"{len(found)} rows, expected {len(case.values)}"]
        for wanted in case.values:
            match = next((at for at, row in enumerate(found) if is_same(wanted, row)), None)
            if match is None:
                near = min(found, key=lambda row: sum(not is_same(wanted.get(key), row.get(key)) for key in wanted))
                wrong = [key for key in wanted | near if not is_same(wanted.get(key), near.get(key))]
                pair = ({key: row.get(key) for key in wrong} for row in (wanted, near))
                wanted_cells, found_cells = map(show, pair)
                return [f"a row has {found_cells}, expected {wanted_cells}"]
            found.pop(match)
    return []


def is_same(wanted, found) -> bool:
    """Whether a value of JSON is that of Python, Arrow or a table."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(is_same(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, (list, tuple)) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(is_same, wanted, found))
    if isinstance(wanted, float) and not math.isfinite(wanted):
        return found is None
    if isinstance(wanted, float) and isinstance(found, (int, float)) and not isinstance(found, bool):
        return math.isclose(wanted, found, rel_tol=1e-6)
    if isinstance(wanted, datetime.datetime) and isinstance(found, str):
        told = datetime.datetime.fromisoformat(found)
        return told == wanted if wanted.tzinfo else told.replace(tzinfo=None) == wanted
    if isinstance(wanted, datetime.date) and isinstance(found, str):
        return datetime.date.fromisoformat(found) == wanted
    if isinstance(wanted, datetime.time) and isinstance(found, str):
        return datetime.time.fromisoformat(found) == wanted
    if isinstance(wanted, datetime.timedelta):
        return found is not None
    if isinstance(wanted, decimal.Decimal):
        return found is not None and math.isclose(float(found), float(wanted))
    if isinstance(wanted, bytes):
        return found == wanted.decode()
    return type(wanted) is type(found) and wanted == found


def without_nulls(value):
    """The value without keys of nested objects that are null: a turn may or may not have `"name": null`."""
    if isinstance(value, dict):
        return {key: without_nulls(held) for key, held in value.items() if held is not None}
    return [without_nulls(held) for held in value] if isinstance(value, list) else value


def is_same_row(row: dict, wanted: dict) -> bool:
    """Whether two rows have the same columns, in any order, with the same values."""
    return row.keys() == wanted.keys() and all(without_nulls(row[key]) == without_nulls(wanted[key]) for key in row)


def faults_of_loading(folder: pathlib.Path) -> list[str]:
    """Reads the training file with its canaries: the schema has to be that of the same rows without them."""
    faults = []
    for library, schema in (("pyarrow", schema_of_pyarrow), ("datasets", schema_of_datasets)):
        try:
            without = schema(folder / TWIN)
        except (pyarrow.ArrowException, datasets.exceptions.DatasetGenerationError, ValueError):
            continue  # The user's own rows cannot be read by that library, with or without canaries.
        try:
            found = schema(folder / TRAINING)
        except (pyarrow.ArrowException, datasets.exceptions.DatasetGenerationError, ValueError) as error:
            faults.append(f"{library} reads the rows, but not the rows with canaries: {str(error).splitlines()[0]}")
            continue
        changed = [column for column in found if not is_same_type(without.get(column), found[column])]
        changed += [column for column in without if column not in found]
        if changed:
            types = "; ".join(f"`{name}` from {without.get(name)} to {found.get(name)}" for name in changed)
            faults.append(f"canaries change the schema that {library} reads: {types}")
    return faults


def schema_of_pyarrow(path: pathlib.Path) -> dict[str, str]:
    options = pyarrow.json.ReadOptions(block_size=1 << 24)
    return {field.name: str(field.type) for field in pyarrow.json.read_json(path, read_options=options).schema}


def schema_of_datasets(path: pathlib.Path) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
        assert len(rows) == len(lines_of(path)), "a row was lost"
        return {name: str(kind) for name, kind in rows.features.items()}


def is_same_type(without: str | None, found: str | None) -> bool:
    """Whether two types agree. A column that is null in all of the user's rows may get a type."""
    if without is None or found is None:
        return False
    # The row that comes first gives the order of a struct's fields.
    if sorted(re.findall(r"\w+", without)) == sorted(re.findall(r"\w+", found)):
        return True
    null = re.escape(without).replace(re.escape("Value('null')"), ".*").replace("null", ".*")
    return null != re.escape(without) and re.fullmatch(null, found) is not None


def show(value) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 420 else text[:420] + "…"
