#!/usr/bin/env python3
"""Mutated files of every kind: `benches/mutations.py [--inputs N] [--seed S] [--bounded]`.

A project with a model that leaks is set up once; then one of its files is changed by a random edit (bytes flipped, cut, doubled,
inserted, lines moved, numbers and words replaced), and the command that reads the file is run. Of no input may come

- a panic, a signal or a hang (20 seconds);
- a green: exit code 0 of `test` on the leaky model, or of a check of a file that differs from what was written.

Prints a table of exit codes by kind of file, and fails if any of that happens. 20,000 inputs take about an hour on two cores.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.path.abspath(os.environ.get("BLABBERMOUTH", str(ROOT / "target/release/blabbermouth")))
KEY = "00ff" * 16
SETTINGS = """
[canaries]
planted = 6
held-out = 3
copies = [1]
max-share = 1.0
[probe]
samples = 20
sweep = false
[verdict]
bound = 0.15
withheld = 0.5
[provider]
kind = "mock"
"""
POLICY = 'max-bound = 0.15\nmin-canaries = 6\nkinds = ["mock"]\nmodels = ["*"]\nbaseline-days = 30\nmin-samples = 20\n'
# Each kind: the file, the command, and whether exit code 0 is never right, or only for a file that says the same.
KINDS = {
    "configuration": ("blabbermouth.toml", ["test", "--fresh"], "never"),
    "manifest": ("blabbermouth.manifest.json", ["test", "--fresh"], "never"),
    "training file": ("blabbermouth-train.jsonl", ["test", "--fresh"], "any"),
    "policy": ("policy.toml", ["test", "--fresh", "--policy", "policy.toml"], "never"),
    "baseline": ("baseline.json", ["test", "--fresh", "--baseline", "baseline.json"], "same"),
    "cassette": ("run.cassette", ["test", "--replay", "run.cassette"], "never"),
    "part": ("run.cassette", ["report", "merge", "run.cassette"], "never"),
    "journal": (".blabbermouth/journal.sqlite", ["test"], "never"),
    "report": ("report.json", ["report", "verify", "report.json"], "same"),
    "report, accepted": ("report.json", ["report", "accept", "report.json", "--reason", "x", "--expires", "DAY", "--to", "new"], "same"),
    "report, rendered": ("report.json", ["report", "report.json", "--report", "html=page.html"], "any"),
    "report, evidence": ("report.json", ["report", "report.json", "--report", "evidence=again"], "same"),
    "evidence": ("evidence/*", ["verify", "evidence"], "never"),
    "state": ("blabbermouth.tune.json", ["test", "--fresh"], "never"),
    "profile": ("own.toml", ["test", "--fresh"], "never"),
    "rows": ("train.jsonl", ["plant", "--force"], "any"),
}
WORDS = [b"0", b"-1", b"1e999", b"null", b"true", b"[]", b"{}", b'""', b"9" * 40, b"\x00", b"\xff\xfe", b"\\u0000", b"../../x", b"clean",
         b"leaked", b"nan", b"[[", b"0.5"]


def environment():
    return {"PATH": os.environ["PATH"], "BLABBERMOUTH_KEY": KEY, "BLABBERMOUTH_PROVIDER_SCENARIO": "leaky", "HOME": "/nonexistent",
            # A profile may name an address where nobody answers: that is waited for, and is no hang.
            "BLABBERMOUTH_PROBE_DEADLINE_MINUTES": "0.1"}


def call(folder, *arguments):
    return subprocess.run([PROGRAM, "--quiet", *arguments], cwd=folder, capture_output=True, env=environment(), timeout=20)


def day():
    import datetime

    return (datetime.date.today() + datetime.timedelta(days=20)).isoformat()


def project(folder):
    rows = (ROOT / "mocks/gsm8k-excerpt.jsonl").read_text(encoding="utf-8").splitlines()[:30]
    (folder / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "blabbermouth.toml").write_text(SETTINGS + '[dataset]\nfields = ["question", "answer"]\n', encoding="utf-8")
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    (folder / "own.toml").write_text('dialect = "openai"\nbase-url = "http://127.0.0.1:9/v1"\n', encoding="utf-8")
    for arguments, code in [
        (["plant"], 0),
        (["test", "--record", "run.cassette", "--report", "json", "--report", "evidence"], 10),
        (["report", "accept", "report.json", "--reason", "known", "--expires", day(), "--to", "baseline.json"], 0),
        (["test", "--fresh", "--baseline", "baseline.json"], 0),
        (["report", "verify", "report.json"], 0),
        (["verify", "evidence"], 10),
    ]:
        done = call(folder, *arguments)
        assert done.returncode == code, (arguments, done.returncode, done.stderr)
    # A run that was killed, whose answers are taken up again.
    for _ in range(50):
        running = subprocess.Popen([PROGRAM, "--quiet", "test", "--fresh", "--samples", "4000"], cwd=folder, env=environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            running.wait(0.4)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            break
    state = {"version": 2, "plan": "x", "attempt": 1, "manifest": "", "address": "http://127.0.0.1:9", "base_model": "m",
             "stage": "ready", "training_file": None, "validation_file": None, "job": "ftjob-1", "model": "m2", "trained_tokens": 1,
             "finished": 1, "reason": None}
    state["manifest"] = json.loads((folder / "blabbermouth.manifest.json").read_text())["nonce"]
    (folder / "blabbermouth.tune.json").write_text(json.dumps(state, indent=1))


def mutate(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        if not data:
            return bytes(chance.randbytes(8))
        at = chance.randrange(len(data))
        kind = chance.randrange(8)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + chance.randrange(1, 40)]
        elif kind == 3:
            data[at:at] = data[at : at + chance.randrange(1, 400)]
        elif kind == 4:
            data[at:at] = chance.choice(WORDS)
        elif kind == 5:
            lines = bytes(data).split(b"\n")
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            data = bytearray(b"\n".join(lines))
        elif kind == 6:
            found = list(re.finditer(rb"\d+(\.\d+)?|true|false|null", bytes(data)))
            if found:
                hit = chance.choice(found)
                data[hit.start() : hit.end()] = chance.choice(WORDS)
        else:
            lines = bytes(data).split(b"\n")
            del lines[chance.randrange(len(lines))]
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def says_the_same(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def judge(kind, before, after, done):
    name, _, zero = KINDS[kind]
    said = done.stdout + done.stderr
    if done.returncode < 0 or done.returncode == 101 or b"panicked at" in said or b"RUST_BACKTRACE" in said:
        return "panic"
    if done.returncode == 0:
        if zero == "never" or (zero == "same" and not says_the_same(before, after)):
            return "green"
    return None


def work(index, seed, inputs, template):
    """One worker with a copy of the project."""
    chance = random.Random(f"{seed} {index}")
    counts, faults = collections.Counter(), []
    with tempfile.TemporaryDirectory() as base:
        for _ in range(inputs):
            kind = chance.choice(sorted(KINDS))
            name, command, _ = KINDS[kind]
            folder = pathlib.Path(base) / "project"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(template, folder)
            if kind not in ("state",):
                (folder / "blabbermouth.tune.json").unlink()
            if kind == "profile":
                text = (folder / "blabbermouth.toml").read_text().replace('kind = "mock"', 'kind = "own.toml"\nmodel = "m"')
                (folder / "blabbermouth.toml").write_text(text)
            if kind == "state":
                text = (folder / "blabbermouth.toml").read_text().replace('kind = "mock"', 'kind = "openai"\nbase-url = "http://127.0.0.1:9/v1"\nkey-variable = "PATH_API_KEY"')
                (folder / "blabbermouth.toml").write_text(text)
            path = chance.choice(sorted(folder.glob(name)))
            before = path.read_bytes()
            after = mutate(before, chance)
            if after == before:
                continue
            path.write_bytes(after)
            try:
                done = call(folder, *[day() if word == "DAY" else word for word in command])
                fault = judge(kind, before, after, done)
                code = done.returncode
            except subprocess.TimeoutExpired:
                fault, code = "hang", "hang"
            counts[kind, code] += 1
            if fault:
                kept = pathlib.Path(tempfile.mkdtemp(prefix=f"mutation-{fault}-"))
                shutil.copytree(folder, kept / "project", dirs_exist_ok=True)
                faults.append(f"{fault}: {kind}: {kept}")
    return counts, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bounded", action="store_true", help="600 inputs")
    args = parser.parse_args()
    inputs = 600 if args.bounded else args.inputs
    workers = os.cpu_count() or 2
    with tempfile.TemporaryDirectory() as base:
        template = pathlib.Path(base)
        project(template)
        counts, faults = collections.Counter(), []
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            share = -(-inputs // workers)
            for found, wrong in pool.map(lambda index: work(index, args.seed, share, template), range(workers)):
                counts += found
                faults += wrong
    codes = sorted({code for _, code in counts}, key=str)
    print(f"{'kind':<18}" + "".join(f"{code!s:>8}" for code in codes))
    for kind in sorted(KINDS):
        print(f"{kind:<18}" + "".join(f"{counts[kind, code] or '':>8}" for code in codes))
    print(f"{sum(counts.values())} inputs, {len(faults)} faults")
    for fault in faults[:20]:
        print(fault)
    sys.exit(bool(faults))


main()
