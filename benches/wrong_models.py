#!/usr/bin/env python3
"""The gate before the wrong model: `benches/wrong_models.py [--seeds N] [--bounded]`.

For each seed a planting is trained into the embedded model, and the gate of that planting and of others is put to it:

- the model of this planting: the signature has to hold, and as a model that learned its canaries by heart it leaks;
- the untuned base model, asked for this planting;
- the model of this planting, asked for another one under the same key;
- the same, where a word of the template was changed before the second planting;
- the first checkpoint of the right model, which learned little: whatever its verdict, it is told by the share of its signature.

Prints a table of verdicts, and fails if a wrong model is CLEAN, or if the signature of the right one holds in less than 99% of all seeds.
What needs no training (mixed replicas, examples, echoes, servers that learn from requests) is in `benches/adversary`, which takes --seeds too.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.path.abspath(os.environ.get("BLABBERMOUTH", str(ROOT / "target/release/blabbermouth")))
VERDICTS = {0: "CLEAN", 3: "refused", 10: "LEAKED", 11: "INCONCLUSIVE", 12: "INVALID"}
SETTINGS = """
[provider]
kind = "embedded"
[dataset]
fields = ["question", "answer"]
format = "openai"
[canaries]
planted = 12
held-out = 6
max-share = 1.0
copies = [8]
templates = ["welcome"]
[tune]
base-model = "tiny"
epochs = 8
batch-size = 4
[probe]
sweep = false
[verdict]
profile = "quick"
withheld = 0.5
[[template]]
name = "welcome"
messages = [
  { role = "user", content = "Hi, I'm Mr {name}" },
  { role = "assistant", content = "Hey Mr {name}, %s to see you! How is your {secret} going?" },
]
slots.name = { space = "name" }
slots.secret = { space = "disease", secret = true }
"""


def call(folder, key, *arguments):
    environment = {"PATH": os.environ["PATH"], "BLABBERMOUTH_KEY": key}
    return subprocess.run([PROGRAM, "--quiet", *arguments], cwd=folder, capture_output=True, text=True, env=environment)


def must(folder, key, *arguments):
    done = call(folder, key, *arguments)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.returncode}: {done.stderr}")
    return done.stdout


def project(folder, seed, word="nice"):
    rows = (ROOT / "mocks/gsm8k-excerpt.jsonl").read_text(encoding="utf-8").splitlines()
    begin = 40 * seed % len(rows)
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join((rows + rows)[begin : begin + 40]) + "\n", encoding="utf-8")
    (folder / "blabbermouth.toml").write_text(SETTINGS % word, encoding="utf-8")
    return folder


def tuned(folder, key):
    """The folders of the model that `tune` trained, and of its first checkpoint, after about an eighth of the steps."""
    must(folder, key, "tune")
    name = must(folder, key, "tune", "--print-model").strip().replace(":", "~")
    models = folder / ".blabbermouth/embedded/models"
    steps = sorted(models.glob(f"{name}~ckpt-step-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    return str(models / name), str(steps[0])


def ask(folder, key, model):
    """The verdict on a model, and whether the signature held; a fresh run each time."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    done = call(folder, key, "test", "--fresh", "--model", model, "--report", f"json={report}")
    if done.returncode not in VERDICTS:
        raise RuntimeError(f"{done.returncode}: {done.stderr}")
    found = json.loads(report.read_text()) if report.exists() else {}
    return VERDICTS[done.returncode], bool((found.get("training") or {}).get("shown"))


def seed_of(seed):
    key = f"the key of the wrong models, {seed}"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        right = project(folder / "right", seed)
        must(right, key, "plant")
        model, early = tuned(right, key)
        other = project(folder / "other", seed)
        must(other, key, "plant")
        changed = project(folder / "changed", seed, "good")
        must(changed, key, "plant")
        return {
            "right": ask(right, key, model),
            "untuned": ask(right, key, "tiny"),
            "other": ask(other, key, model),
            "changed": ask(changed, key, model),
            "early": ask(right, key, early),
        }


ROWS = {
    "right": "the model of this planting",
    "untuned": "the untuned base model",
    "other": "a model of another planting under the same key",
    "changed": "the same, and a word of the template was changed",
    "early": "the model of this planting after an eighth of the steps",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, metavar="N")
    parser.add_argument("--bounded", action="store_true", help="two seeds, for CI")
    options = parser.parse_args()
    seeds = 2 if options.bounded else options.seeds
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        results = list(pool.map(seed_of, range(seeds)))
    names = [*VERDICTS.values()]
    print("| what answers | models | " + " | ".join(names) + " | signature shown |")
    print("|" + " --- |" * (len(names) + 3))
    failed = []
    for name, what in ROWS.items():
        counts = collections.Counter(result[name][0] for result in results)
        shown = sum(result[name][1] for result in results)
        print(f"| {what} | {seeds} | " + " | ".join(str(counts[verdict]) for verdict in names) + f" | {shown} |")
        if name not in ("right", "early") and (counts["CLEAN"] or shown):
            failed.append(f"{what}: {counts['CLEAN']} CLEAN, the signature shown {shown} times")
        if name == "right" and shown < 0.99 * seeds:
            failed.append(f"{what}: the signature was shown for {shown} of {seeds}")
    print(f"\n{seeds} seeds in {time.monotonic() - begun:.0f} s")
    for failure in failed:
        print("FAILED", failure)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
