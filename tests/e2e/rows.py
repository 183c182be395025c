"""Plants canaries in rows as people have them, and prints for each kind of input how many inputs there are and how many have a fault.

Usage: rows.py PROGRAM FOLDER [WORD...]   (inputs whose kind or name has one of the words; all, if there is none)
"""

import collections
import pathlib
import re
import shutil
import sys

import rows_broken
import rows_convert
import rows_files
import rows_tables
from rows_check import run
from rows_limits import LIMITS, limit


def main() -> int:
    program, folder, *words = sys.argv[1:]
    program, folder = str(pathlib.Path(program).resolve()), pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    cases = [
        *rows_files.shape_cases(), *rows_files.json_cases(), *rows_files.arrow_cases(), *rows_tables.cases(), *rows_broken.cases(),
        *rows_convert.cases(),
    ]
    names = [f"{case.kind}/{case.name}" for case in cases]
    assert len(set(names)) == len(names), [name for name, count in collections.Counter(names).items() if count > 1]
    inputs, wrong, short = collections.Counter(), collections.Counter(), collections.Counter()
    # The inputs of each fault: the same fault often shows in all containers of a shape.
    found: dict[str, list[str]] = {}
    # What is missing, of the inputs that showed it.
    used: set[str] = set()
    for case, name in zip(cases, names, strict=True):
        if words and not any(word in name for word in words):
            continue
        inputs[case.kind] += 1
        place = folder / re.sub(r"[^\w.]+", "-", name)
        faults = run(case, place, program)
        if not faults:
            shutil.rmtree(place)
            continue
        if missing := limit(name):
            short[case.kind] += 1
            used.add(missing)
            continue
        wrong[case.kind] += 1
        for fault in faults:
            found.setdefault(fault.replace(f"error: {case.dataset}", "error: INPUT"), []).append(f"{name} ({place.name})")
    for fault, where in found.items():
        print(f"{where[0]}, and {len(where) - 1} more" if len(where) > 1 else where[0])
        print(f"    {fault}")
    width = max(map(len, [*inputs, "kind"]))
    print(f"\n{'kind':{width}}  inputs  faults  limits")
    for kind, count in inputs.items():
        print(f"{kind:{width}}  {count:6}  {wrong[kind]:6}  {short[kind]:6}")
    print(f"{'all':{width}}  {inputs.total():6}  {wrong.total():6}  {short.total():6}")
    # A limit that no input shows is none.
    gone = [missing for missing in LIMITS.values() if missing not in used] if not words else []
    for missing in gone:
        print(f"no limit any more: {missing}")
    return 1 if wrong or gone else 0


if __name__ == "__main__":
    sys.exit(main())
