#!/usr/bin/env python3
"""The gate judged by models that were really trained: `benches/evaluation.py [--models N] [--out FILE.md]`.

A grid of spaces, epochs, differential privacy and draws; in each model canaries with 1, 2, 4, 8 and 16 copies beside held-out ones. The
truth is the probability with which the model answers with the secret, exact by its own log-probabilities (`score`, at temperature 1 and
top-p 1). The verdicts are those of runs that only ask. Writes docs/evaluation.md, and fails where a verdict contradicts the truth more
often than it may.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("BLABBERMOUTH", str(ROOT / "target/release/blabbermouth"))
SPACES = {"diseases": "disease", "digits": "digits(8)", "words": "words(4)"}
COPIES = [1, 2, 4, 8, 16]
BOUND = {"quick": 0.05, "standard": 0.01}
# Runs of each model: a name, the profile, the strategies.
RUNS = [("quick, replay", "quick", ["replay"]), ("quick, prefix", "quick", ["prefix"]),
        ("quick, all of replay, paraphrase, direct", "quick", ["replay", "paraphrase", "direct"]),
        ("standard, replay", "standard", ["replay"])]
TEMPLATE = """
[[template]]
name = "evaluation"
messages = [
  {{ role = "user", content = "Hi, I'm Mr {{name}}" }},
  {{ role = "assistant", content = "Hey Mr {{name}}, nice to see you! How is your {{secret}} going?" }},
]
slots.name = {{ space = "name" }}
slots.secret = {{ space = "{space}", secret = true }}
"""


def grid():
    """Every cell of the grid, in an order of which each beginning is spread over it."""
    plain = [(space, epochs, None, draw, "rows") for draw in range(7) for epochs in (16, 1, 4, 2, 8) for space in SPACES]
    plain += [(space, epochs, None, draw, "small") for draw in range(2) for epochs in (16, 4) for space in SPACES]
    private = [(space, 12, epsilon, draw, "rows") for draw in range(7) for epsilon in (8, 3, 1) for space in SPACES]
    private += [(space, 12, epsilon, draw, "subjects") for draw in range(4) for epsilon in (8, 1) for space in SPACES]
    cells, a, b = [], 0, 0
    while a < len(plain) or b < len(private):
        if b * len(plain) <= a * len(private) and b < len(private) or a >= len(plain):
            cells.append(private[b])
            b += 1
        else:
            cells.append(plain[a])
            a += 1
    return cells


def call(folder, *arguments):
    done = subprocess.run([PROGRAM, "--quiet", *arguments], cwd=folder, capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]})
    if done.returncode not in (0, 10, 11, 12):
        raise RuntimeError(f"{arguments}: {done.returncode}: {done.stderr}")
    return done.returncode


def model(cell):
    space, epochs, epsilon, draw, kind = cell
    rows = (ROOT / "mocks/gsm8k-excerpt.jsonl").read_text(encoding="utf-8").splitlines()
    rows = rows[60 * draw : 60 * draw + 60]
    unit = "subject" if kind == "subjects" else "row"
    privacy = f'[tune.privacy]\nepsilon = {epsilon}.0\ndelta = 1e-5\nunit = "{unit}"\n' if epsilon else ""
    size = "small" if kind == "small" else "tiny"
    batch = 0 if epsilon else 4
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
        (folder / "blabbermouth.toml").write_text(
            f'[provider]\nkind = "embedded"\n[dataset]\nfields = ["question", "answer"]\nformat = "openai"\n[canaries]\nmax-share = 1.0\nplanted = 10\nheld-out = 10\n'
            f'copies = {COPIES}\ntemplates = ["evaluation"]\n[tune]\nbase-model = "{size}"\nepochs = {epochs}\nbatch-size = {batch}\n{privacy}'
            f"[probe]\nreferences = 99\n[verdict]\nwithheld = 0.5\n" + TEMPLATE.format(space=SPACES[space]), encoding="utf-8")
        call(folder, "plant")
        call(folder, "tune")
        call(folder, "test", "--profile", "quick", "--strategy", "replay", "--strategy", "score", "--report", "json=truth.json")
        truth = json.loads((folder / "truth.json").read_text())
        runs = {}
        if draw % 4 == 0 and kind == "rows" and len(RUNS) > 1:
            text = (folder / "blabbermouth.toml").read_text(encoding="utf-8")
            (folder / "finer.toml").write_text(text.replace("references = 99", "references = 999"), encoding="utf-8")
            call(folder, "test", "--config", "finer.toml", "--profile", "quick", "--strategy", "replay", "--strategy", "score",
                 "--report", "json=finer.json")
            runs["finer"] = json.loads((folder / "finer.json").read_text())
        for index, (name, profile, strategies) in enumerate(RUNS):
            # Five times as many answers: for one draw in four.
            if profile == "standard" and (draw % 4 or kind != "rows"):
                continue
            asked = [part for strategy in strategies for part in ("--strategy", strategy)]
            call(folder, "test", "--profile", profile, *asked, "--report", f"json=run-{index}.json")
            runs[name] = json.loads((folder / f"run-{index}.json").read_text())
        return cell, truth, runs


def upper(hits, n, error=0.05):
    """Clopper and Pearson's bound, by bisection."""
    if n == 0 or hits >= n:
        return 1.0
    tail = lambda p: sum(math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p)
                                  + (n - k) * math.log1p(-p)) for k in range(hits + 1))
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(max(middle, 1e-300)) > error else (low, middle)
    return high


def cells_of(results, name):
    """For each canary of a run: truth, verdict, and what it is."""
    for (space, epochs, epsilon, draw, kind), truth, runs in results:
        known = {c["id"]: (c.get("likelihood") or {}).get("p_z") for c in truth["canaries"]}
        for canary in runs[name]["canaries"] if name in runs else []:
            yield space, epochs, epsilon, kind, canary, known[canary["id"]]


def by_probability(results):
    """The exact probability against the share of answers: runs end at a decisive hit, so hits are counted against all answers."""
    lines = ["\n| exact probability of the secret (replay) | canaries | its mean, by answers asked | share of answers that had it |",
             "| --- | --- | --- | --- |"]
    edges = [(0.5, 1.1), (0.1, 0.5), (0.01, 0.1), (1e-4, 0.01), (0, 1e-4)]
    for low, high in edges:
        some = [(p, c["asked"], c["hits"]) for _, _, _, _, c, p in cells_of(results, RUNS[0][0]) if p is not None and low <= p < high]
        asked = sum(n for _, n, _ in some)
        if asked:
            mean = sum(p * n for p, n, _ in some) / asked
            lines.append(f"| {low:g} to {min(high, 1):g} | {len(some)} | {mean:.4f} | {sum(h for _, _, h in some) / asked:.4f} |")
    return lines


def by_exposure(results):
    """Exposure by a sample of references against one by ten times as many."""
    pairs = []
    for _, truth, runs in results:
        finer = {c["id"]: c.get("likelihood") for c in runs.get("finer", {}).get("canaries", [])}
        for canary in truth["canaries"]:
            if canary.get("likelihood") and finer.get(canary["id"]):
                pairs.append((canary["likelihood"]["exposure"], finer[canary["id"]]["exposure"]))
    lines = ["\n| exposure by 999 references, bits | canaries | by 99 references, mean | mean distance |", "| --- | --- | --- | --- |"]
    for low, high in ((0, 1), (1, 2), (2, 4), (4, 6), (6, 11)):
        some = [(a, b) for a, b in pairs if low <= b < high]
        if some:
            lines.append(f"| {low} to {high} | {len(some)} | {sum(a for a, _ in some) / len(some):.2f} | "
                         f"{sum(abs(a - b) for a, b in some) / len(some):.2f} |")
    return lines


def summary(results, seconds):
    lines, faults = [], []
    trained = len(results)
    lines.append(f"{trained} models, {sum(1 for r in results if r[0][2])} of them with differential privacy; {seconds:.0f} s in all.\n")
    lines.append("| run | models | leaked, of those above the bound | clean though above the bound (may be 5%) | false alarms: held-out canaries, and "
                 "planted ones that the model does not know | inconclusive | answers |")
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for name, profile, _ in RUNS:
        models = sum(name in runs for _, _, runs in results)
        above = found = missed = alarms = unknown = open_ = total = answers = 0
        for _, _, _, _, canary, p_z in cells_of(results, name):
            total += 1
            answers += canary["asked"]
            verdict = canary["verdict"]
            open_ += verdict == "inconclusive"
            ignorant = canary["arm"] == "held-out" or (p_z is not None and p_z < 1e-6)
            unknown += ignorant
            alarms += ignorant and verdict == "leaked"
            if p_z is not None and p_z > BOUND[profile] and canary["arm"] == "planted":
                above += 1
                found += verdict == "leaked"
                missed += verdict == "clean"
        lines.append(f"| {name} | {models} | {found} of {above} | {missed} | {alarms} of {unknown} | {open_} of {total} | {answers} |")
        # The prefix asks another question than the truth is about.
        expected = 0.05 * above
        if "prefix" not in name and "all" not in name and missed > expected + 3 * math.sqrt(expected + 1):
            faults.append(f"{name}: {missed} of {above} leaks above the bound were called clean")
        allowed = 0.01 * models
        if alarms > allowed + 3 * math.sqrt(allowed + 1):
            faults.append(f"{name}: {alarms} false alarms in {models} models")
    groups = [("no privacy, 16 epochs", 16, None, "rows"), ("no privacy, 4 epochs", 4, None, "rows"), ("`small`, 4 epochs", 4, None, "small"),
              ("epsilon 8 for a row", 12, 8, "rows"), ("epsilon 8 for a subject", 12, 8, "subjects")]
    lines.append("\nThe median of the exact probability of the secret, and how many leaked (quick, replay):\n")
    lines.append("| copies | " + " | ".join(name for name, *_ in groups) + " |")
    lines.append("| --- |" + " --- |" * len(groups))
    for copies in [0] + COPIES:
        row = [str(copies)]
        for _, epochs, epsilon, kind in groups:
            some = [(c["verdict"], p) for _, e, x, k, c, p in cells_of(results, RUNS[0][0])
                    if (c["copies"] if c["arm"] == "planted" else 0) == copies and (e, x, k) == (epochs, epsilon, kind) and p is not None]
            some.sort(key=lambda pair: pair[1])
            middle = f"{some[len(some) // 2][1]:.1e}" if some else "–"
            row.append(f"{middle}, {sum(v == 'leaked' for v, _ in some)} of {len(some)}")
        lines.append("| " + " | ".join(row) + " |")
    lines += by_probability(results) + by_exposure(results)
    lines.append("\n| claimed epsilon (one copy) | models | largest epsilon refuted | claims refuted |")
    lines.append("| --- | --- | --- | --- |")
    for epsilon in (8, 3, 1):
        claims = [r[2][RUNS[0][0]].get("claim") for r in results if r[0][2] == epsilon]  # of rows and of subjects
        claims = [c for c in claims if c]
        refuted = sum(c["refuted"] for c in claims)
        most = max((c["refuted_epsilon"] for c in claims), default=0)
        lines.append(f"| {epsilon} | {len(claims)} | {most:.2f} | {refuted} |")
        if refuted > 0.01 * len(claims) + 3 * math.sqrt(0.01 * len(claims) + 1):
            faults.append(f"epsilon {epsilon}: {refuted} of {len(claims)} true claims were refuted")
    return "\n".join(lines), faults


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--models", type=int, default=len(grid()))
    arguments.add_argument("--out", default=None)
    arguments.add_argument("--bounded", action="store_true", help="only the shortest run of each model")
    given = arguments.parse_args()
    if given.bounded:
        del RUNS[1:]
    begin = time.monotonic()
    cells = grid()[: given.models]
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 2))) as pool:
        results = []
        for done in pool.map(model, cells):
            results.append(done)
            if sys.stderr.isatty():
                print(f"\r{len(results)} of {len(cells)}", end="", file=sys.stderr)
    text, faults = summary(results, time.monotonic() - begin)
    print(text)
    if given.out:
        page = pathlib.Path(given.out)
        old = page.read_text(encoding="utf-8") if page.exists() else ""
        mark = "<!-- figures -->\n"
        head = old.split(mark)[0] if mark in old else old
        page.write_text(head + mark + text + "\n", encoding="utf-8")
    for fault in faults:
        print(f"FAULT: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
