#!/usr/bin/env python3
"""Fails on files over 500 lines of production code and functions over 80 lines. Prints functions with more than five parameters, and files
of one folder that import each other in a circle, too: fewer of them are better."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ["src", "crates/core/src", "crates/files/src", "crates/lm/src", "crates/provider/src", "mocks/src"]
FUNCTION = re.compile(r"^(\s*)(?:pub(?:\([a-z: ]+\))? )?(?:const )?(?:async )?fn (\w+)")


def production(text):
    return re.split(r"#\[cfg\(test\)\]\n(?:pub(?:\([a-z: ]+\))? )?mod ", text)[0]


def functions(lines):
    """Names of functions with the number of their lines and of their parameters."""
    for begin, line in enumerate(lines):
        match = FUNCTION.match(line)
        if not match:
            continue
        indent, name = match.groups()
        end = next((at for at in range(begin, len(lines)) if lines[at] == indent + "}"), begin)
        head = " ".join(lines[begin : begin + 12]).split(" {")[0].split(" where ")[0]
        inside = head[head.index("(") + 1 :] if "(" in head else ""
        depth, parameters = 0, []
        current = ""
        for letter in inside:
            if letter in "(<[":
                depth += 1
            elif letter in ")>]":
                depth -= 1
                if depth < 0:
                    break
            if letter == "," and depth == 0:
                parameters.append(current)
                current = ""
            else:
                current += letter
        parameters.append(current)
        wanted = [p for p in parameters if ":" in p and not p.strip().startswith(("&self", "self", "mut self"))]
        yield name, end - begin + 1, len(wanted)


def imports(text, siblings):
    """The files of the same folder that a file imports."""
    found = set()
    for use in re.findall(r"super::(\{[^}]*\}|\w+)", text):
        found |= set(re.findall(r"\w+", use)) & siblings
    return found


def circles(folder):
    files = {path.stem: production(path.read_text()) for path in folder.glob("*.rs") if path.stem not in ("mod", "lib", "main")}
    graph = {name: imports(text, set(files) - {name}) for name, text in files.items()}
    seen = set()

    def reach(name, goal, path):
        for other in graph[name]:
            if other == goal:
                return [*path, name]
            if other not in path and other != name:
                found = reach(other, goal, [*path, name]) if len(path) < 4 else None
                if found:
                    return found
        return None

    for name in sorted(graph):
        circle = reach(name, name, [])
        if circle and frozenset(circle) not in seen:
            seen.add(frozenset(circle))
            yield circle


def main():
    offenders, others = [], []
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.rs")):
            name = path.relative_to(ROOT)
            lines = production(path.read_text()).splitlines()
            if path.name != "tests.rs" and "simulation" not in path.name and len(lines) > 500:
                offenders.append(f"{name}: {len(lines)} lines")
            for function, size, parameters in functions(lines) if path.name != "tests.rs" else []:
                if size > 80:
                    offenders.append(f"{name}: {function} has {size} lines")
                if parameters > 5:
                    others.append(f"{name}: {function} has {parameters} parameters")
        for folder in [ROOT / source, *sorted(path for path in (ROOT / source).rglob("*") if path.is_dir())]:
            others += [f"{folder.relative_to(ROOT)}: {' -> '.join([*c, c[0]])}" for c in circles(folder)]
    print("\n".join(others))
    print("\n".join(offenders) or "no file and no function is too large")
    sys.exit(bool(offenders))


main()
