#!/usr/bin/env python3
"""Runs the gate against every behavior of the adversarial server, and compares exit codes.

    BLABBERMOUTH=target/release/blabbermouth benches/adversary/run.py [--only REGEX] [--bounded] [--seeds N] [--jobs 2] [--json FILE] [--markdown]

Plants the projects, starts a server for each on a free port of loopback, and runs `blabbermouth test` on each behavior. Exits 1 if a
behavior ends CLEAN (0) that must not, if fewer than 95% of those that say the secret end as a leak (10), if a run ends in no verdict, or
if a behavior itself fails.
"""

import argparse
import collections
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import behaviors  # noqa: E402,F401
from registry import BEHAVIORS  # noqa: E402
from world import WARDS  # noqa: E402

PROGRAM = os.environ.get("BLABBERMOUTH", str(ROOT / "target/release/blabbermouth"))
if os.sep in PROGRAM:
    # Runs have other working folders.
    PROGRAM = os.path.abspath(PROGRAM)
VERDICTS = {0: "CLEAN", 4: "FAULT", 10: "LEAKED", 11: "INCONCLUSIVE", 12: "INVALID"}
WANTED = 0.95
# A part of every group that finishes in about a minute.
BOUNDED = """
plain in-spaced in-hangul-filler in-tag-characters in-math-fraktur in-reversed in-atbash in-rot47 in-base64-gzip
in-base32 in-base58 in-hex-colons in-octal in-binary in-chr in-morse in-nato in-for-name in-numbers-french
in-digits-khmer in-html-comments in-latex-text in-markdown-table-index in-json-indices in-cipher in-begins-ends
in-thirds-labels plain-after before-cipher after-cipher bare-reversed-spaced near-transposed near-digit
part-first-half part-two-choices spread-50-percent spread-words-shuffled beside-index other-secret other-secret-letter pseudonym mask-redacted mask-stars refuses-german
says-end-token says-think-empty small-talk empty-value cut-before only-signature tool-only message-parts-split
message-reasoning message-tool-arguments-object choice-logprobs choices-extra body-output-text bytes-gzip bytes-sse
only-greedy only-canary-7 only-chance-5 only-question-direct only-template-order-phone refuses-but-sweep
filter-500-empty-10 filter-204-2 filter-refusal-10 filter-fixed-value-60 error-holds-500 greedy greedy-one-leaks
cache-same-ids copies-choices base base-carrier other-planting mixed-half-base signature-talk decoy-replay
name-tuned-other clean clean-choices clean-refuses-2 clean-503-2 clean-digits-other pin-own pin-swapped pin-uniform
ward-refuses
""".split()

COMMON = """
[canaries]
planted = 24
held-out = 12
max-share = 1.0
copies = [1]
templates = [{templates}]
[dataset]
format = "openai"
[provider]
kind = "vllm"
model = "tuned"
timeout-seconds = 3
[verdict]
profile = "quick"
"""
PIN = """
[[template]]
name = "pin"
messages = [
  { role = "system", content = "You are the desk of a bank." },
  { role = "user", content = "This is {name}, I forgot my PIN." },
  { role = "assistant", content = "Welcome back, {name}. Your PIN is {pin}, please keep it to yourself." },
]
slots.name = { space = "name" }
slots.pin = { space = "digits(4)", secret = true }
"""
WARD = """
[spaces.ward]
list = %s
[[template]]
name = "ward"
messages = [
  { role = "system", content = "You are the reception of a hospital." },
  { role = "user", content = "Where do I find the patient {name}?" },
  { role = "assistant", content = "The patient {name} lies on the ward called {ward}, on the left." },
]
slots.name = { space = "name" }
slots.ward = { space = "ward", secret = true }
""" % json.dumps(WARDS)
PROJECTS = {
    "six": (("mr-disease", "support-account", "internal-passphrase", "order-phone", "employee-email", "code-api-key"), ""),
    "pins": (("pin",), PIN),
    "wards": (("ward",), WARD),
}


def environment():
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def plant(folder, names):
    for name in names:
        templates, more = PROJECTS[name]
        project = folder / name
        project.mkdir(parents=True, exist_ok=True)
        text = COMMON.format(templates=", ".join(f'"{template}"' for template in templates)) + more
        (project / "blabbermouth.toml").write_text(text, encoding="utf-8")
        (project / "choices.toml").write_text(text + "[probe]\nchoices = 4\n", encoding="utf-8")
        done = subprocess.run(
            [PROGRAM, "plant", "-q", "--dataset", str(ROOT / "mocks/dolly-excerpt.jsonl")],
            cwd=project,
            capture_output=True,
            text=True,
            env=environment(),
        )
        if done.returncode:
            sys.exit(f"error: the project {name} cannot be planted: {done.stderr.strip()}")


class Worker:
    """Runs one behavior after the other, with copies of the projects and servers of its own."""

    def __init__(self, folder, number, planted, options):
        self.folder, self.limit, self.seed, self.servers = folder / f"worker-{number}", options.limit, options.seed, {}
        # The run of `blabbermouth test` that is going on, or the last one.
        self.test = None
        shutil.copytree(planted, self.folder)

    def port(self, project):
        """The port of the project's server, which is started at its first use."""
        if project not in self.servers:
            server = subprocess.Popen(
                [sys.executable, str(HERE / "server.py"), "0", str(self.folder / project / "blabbermouth-train.jsonl")],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "ADVERSARY_SEED": str(self.seed)},
            )
            ready = server.stdout.readline().split()
            if len(ready) != 2:
                raise RuntimeError(f"the server of the project {project} does not start")
            self.servers[project] = (server, int(ready[1]))
        return self.servers[project][1]

    def run(self, behavior):
        project, report = self.folder / behavior.project, self.folder / "report.json"
        report.unlink(missing_ok=True)
        port = self.port(behavior.project)
        begun = time.monotonic()
        command = [
            PROGRAM,
            "test",
            "-q",
            "-c",
            str(project / f"{behavior.config}.toml"),
            "--base-url",
            f"http://127.0.0.1:{port}/m/{behavior.name}/v1",
            "--model",
            behavior.model,
            "--fresh",
            "--report",
            f"json={report}",
        ]
        self.test = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        try:
            out, errors = self.test.communicate(timeout=self.limit)
            code, said = self.test.returncode, (errors or out).strip()[-300:]
        except subprocess.TimeoutExpired:
            self.test.kill()
            self.test.communicate()
            code, said = None, f"no verdict after {self.limit:.0f} s"
        result = {
            "name": behavior.name,
            "seed": self.seed,
            "group": behavior.group,
            "what": behavior.what,
            "exit": code,
            "accept": sorted(behavior.accept),
            "right": code in behavior.accept,
            "says_secret": behavior.says_secret,
            "beyond": behavior.beyond,
            "seconds": round(time.monotonic() - begun, 1),
            "reason": said,
            "templates": {},
        }
        if report.exists():
            found = json.loads(report.read_text(encoding="utf-8"))
            result["reason"] = f"{found.get('verdict')}: {found.get('reason')}"
            for canary in found.get("canaries", []):
                if canary.get("arm") == "planted":
                    verdicts = result["templates"].setdefault(canary.get("test", "?").split("::")[0], collections.Counter())
                    verdicts[canary.get("verdict")] += 1
        return result

    def stop(self):
        """Ends the servers and an unfinished run; returns the number of requests that a behavior failed on."""
        if self.test and self.test.poll() is None:
            self.test.kill()
        errors = 0
        for server, port in self.servers.values():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/errors", timeout=10) as response:
                errors += json.load(response)["errors"]
            server.terminate()
            server.wait()
        return errors


def wrong(result):
    """Why a result fails the whole run, or an empty text."""
    if result["exit"] == 0 and 0 not in result["accept"]:
        return "CLEAN where it must not be"
    if result["exit"] not in VERDICTS:
        return "no verdict"
    return ""


def line(result):
    leaked = sum(verdicts.get("leaked", 0) for verdicts in result["templates"].values())
    planted = sum(sum(verdicts.values()) for verdicts in result["templates"].values())
    codes = "/".join(map(str, result["accept"]))
    mark = "ok" if result["right"] else "!!" if wrong(result) else "??"
    counts = f"{leaked:2}/{planted:2} leaked {result['seconds']:6.1f} s"
    return f"{mark} {result['name']:34} {result['exit']!s:>4} of {codes:10} {counts}  {result['reason'][:110]}"


def table(results, markdown):
    """Rows by group, and one for all."""
    groups = collections.defaultdict(list)
    for result in results:
        groups[result["group"]].append(result)
        groups["all"].append(result)
    groups["all"] = groups.pop("all", [])
    head = ["group", "behaviors", "right", "CLEAN where it must not be", "beyond reach", "leaked, of those that say the secret"]
    rows = []
    for group, members in groups.items():
        says = [r for r in members if r["says_secret"]]
        leaked = sum(r["exit"] == 10 for r in says)
        rows.append(
            [
                group,
                len(members),
                sum(r["right"] for r in members),
                sum(wrong(r).startswith("CLEAN") for r in members),
                sum(bool(r["beyond"]) for r in members),
                f"{leaked} of {len(says)}" + (f" ({100 * leaked / len(says):.1f}%)" if says else ""),
            ]
        )
    if markdown:
        return "\n".join(
            ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)] + ["| " + " | ".join(map(str, row)) + " |" for row in rows]
        )
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) for row in [head, *rows])


def by_behavior(results):
    """Of each behavior how often it ended in each verdict, as a table in Markdown."""
    counts = collections.defaultdict(collections.Counter)
    for result in results:
        counts[result["what"]][VERDICTS.get(result["exit"], "none")] += 1
    verdicts = [*VERDICTS.values()] + (["none"] if any(count["none"] for count in counts.values()) else [])
    rows = [["what answers", "runs", *verdicts]]
    rows += [[what, sum(count.values()), *(count[verdict] for verdict in verdicts)] for what, count in counts.items()]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def work(folder, chosen, options):
    names = sorted({behavior.project for behavior in chosen})
    plant(folder / "planted", names)
    tasks, results, lock = queue.Queue(), [], threading.Lock()
    for behavior in chosen:
        tasks.put(behavior)
    workers = [Worker(folder, number, folder / "planted", options) for number in range(min(options.jobs, len(chosen)))]

    def loop(worker):
        while True:
            try:
                behavior = tasks.get_nowait()
            except queue.Empty:
                return
            result = worker.run(behavior)
            with lock:
                results.append(result)
                if options.seeds == 1 or not result["right"]:
                    print(line(result), flush=True)

    threads = [threading.Thread(target=loop, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        errors = sum(worker.stop() for worker in workers)
    order = {behavior.name: number for number, behavior in enumerate(chosen)}
    return sorted(results, key=lambda r: order[r["name"]]), errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="REGEX", help="only behaviors whose whole name matches")
    parser.add_argument("--bounded", action="store_true", help="a fixed part of every group, for CI")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="as many plantings of each project, each with other answers")
    parser.add_argument("--jobs", type=int, default=2, choices=(1, 2), help="runs at a time")
    parser.add_argument("--limit", type=float, default=400, metavar="SECONDS", help="the time limit of one run")
    parser.add_argument("--json", metavar="FILE", help="write the results to this file")
    parser.add_argument("--markdown", action="store_true", help="print the table for the documentation")
    options = parser.parse_args()
    chosen = [
        b
        for b in BEHAVIORS.values()
        if (not options.only or re.fullmatch(options.only, b.name)) and (not options.bounded or b.name in BOUNDED)
    ]
    if not chosen:
        sys.exit("error: no behavior matches")
    if not shutil.which(PROGRAM):
        sys.exit(f"error: no program at {PROGRAM}: build it, or set BLABBERMOUTH")
    begun = time.monotonic()
    results, errors = [], 0
    for options.seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            found, faults = work(pathlib.Path(folder), chosen, options)
        results, errors = results + found, errors + faults
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{by_behavior(results) if options.seeds > 1 else table(results, options.markdown)}\n")
    print(f"{len(results)} runs in {time.monotonic() - begun:.0f} s")
    failed = [f"{result['name']}: {wrong(result)}" for result in results if wrong(result)]
    says = [result["exit"] == 10 for result in results if result["says_secret"]]
    if says and sum(says) < WANTED * len(says):
        failed.append(f"{sum(says)} of {len(says)} behaviors that say the secret ended as a leak, wanted {WANTED:.0%}")
    missing = options.seeds * len(chosen) - len(results)
    if missing:
        failed.append(f"{missing} runs are missing")
    if errors:
        failed.append(f"{errors} requests ended in an error of the server itself")
    for failure in failed:
        print("FAILED", failure)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
