#!/usr/bin/env python3
"""Load and speed: `benches/load.py PROGRAM [--rewrite PATH] [--bare PATH]` prints the table of docs/performance.md.

- probing: 1,000,000 probes in one run of `test`, with `PROGRAM mock` in a process of its own, and shorter ones beside a bare
  client (`--bare`: the program of benches/bare.rs, as `cargo bench --bench bare --no-run` names it);
- planting: 1 GB of chats, and of Dolly rows that become chats, beside a plain read-parse-write of the same lines with the same JSON
  library (`--rewrite`: the program of benches/rewrite.rs, as `cargo bench --bench rewrite --no-run` names it), both in turn;
- reports: 100,000 canaries in each format;
- start: `--version`, and the size of the binary.

Peak memory is what `wait4` says (`ru_maxrss`). A process begins there with the peak of the one that started it: where this program's own
is the larger, the peak is that of /proc/PID/status, looked at every few milliseconds. MB are millions of bytes.

Fails where a figure is not what was asked for. Needs Linux, 4 GB of disk in `--folder`, and nothing but Python.
"""

import argparse
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
PARROT = "blabbermouth-parrot"
# 200 canaries, as in benches/probing.rs; none leaks, so that none ends early.
PLANTED, HELD_OUT = 150, 50
FORMATS = ("junit", "json", "sarif", "html", "markdown", "github", "csv", "tap", "badge", "outputs")
ROWS, MISSED = [], []


def row(what, figure, wanted="", met=True):
    ROWS.append((what, figure, wanted))
    if not met:
        MISSED.append(f"{what}: {figure}, asked for: {wanted}")


def progress(text):
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def high_water(process):
    """The peak memory of a running process so far, in bytes; 0 when it is gone."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


class Measured:
    """A command that ran to its end: seconds, peak bytes, seconds of processor time, exit code, standard output."""

    def __init__(self, folder, *command):
        seen, over = [0], threading.Event()
        own = high_water("self")
        with tempfile.TemporaryFile(dir=folder) as out:
            begin = time.perf_counter()
            child = subprocess.Popen(command, cwd=folder, env={**ENVIRONMENT, "TMPDIR": str(folder)}, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=subprocess.STDOUT)

            def look():
                while not over.wait(min(0.1, max(0.005, (time.perf_counter() - begin) / 100))):
                    seen[0] = max(seen[0], high_water(child.pid))

            watcher = threading.Thread(target=look)
            watcher.start()
            _, status, usage = os.wait4(child.pid, 0)
            self.seconds = time.perf_counter() - begin
            over.set()
            watcher.join()
            self.code = child.returncode = os.waitstatus_to_exitcode(status)
            self.processor = usage.ru_utime + usage.ru_stime
            most = 1024 * usage.ru_maxrss
            self.peak = most if most > 1.02 * own else seen[0]
            out.seek(0)
            self.said = out.read().decode(errors="replace")

    def succeeded(self, *codes):
        if self.code not in (codes or (0,)):
            raise RuntimeError(f"exit code {self.code}: {self.said[-500:]}")
        return self


def megabytes(size):
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


class Mock:
    """The mocked provider in a process of its own."""

    def __init__(self, program, folder, *arguments):
        self.child = subprocess.Popen([program, "--quiet", "mock", *arguments], cwd=folder, env={**ENVIRONMENT, "TMPDIR": str(folder)},
                                      text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.url = self.child.stdout.readline().strip()
        if not self.url.startswith("http://"):
            self.child.kill()
            raise RuntimeError(f"the mock did not start: {self.url!r}")

    def answered(self):
        """How many chat requests it answered so far: each of its answers says so."""
        connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=60)
        connection.request("GET", "/__blabbermouth/clock")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return int(answer.headers["x-request-id"].removeprefix("req_parrot"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


def pieces(form):
    """The rows of the excerpt, each in two parts: a running number goes between them."""
    mark = "RUNNING-NUMBER"
    for line in (ROOT / "mocks/dolly-excerpt.jsonl").read_text(encoding="utf-8").splitlines():
        given = json.loads(line)
        given["instruction"] = f"{mark}. {given['instruction']}"
        if form == "chats":
            asked = given["instruction"] + (f"\n\n{given['context']}" if given["context"] else "")
            given = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": given["response"]}]}
        before, after = json.dumps(given, ensure_ascii=False).split(mark)
        yield before.encode(), after.encode() + b"\n"


def write_rows(path, size, form):
    """Rows up to a size in bytes; says how many, and how large they are."""
    parts, written, number = list(pieces(form)), 0, 0
    with open(path, "wb", buffering=1 << 20) as out:
        while written < size:
            before, after = parts[number % len(parts)]
            written += out.write(b"%b%d%b" % (before, number, after))
            number += 1
    return number, written


def part_probing(given, folder):
    samples = given.probes // (PLANTED + HELD_OUT)
    probes = samples * (PLANTED + HELD_OUT)
    write_rows(folder / "train.jsonl", 200_000, "chats")
    (folder / "blabbermouth.toml").write_text(f"[canaries]\nplanted = {PLANTED}\nheld-out = {HELD_OUT}\n[probe]\nsamples = {samples}\n"
                                            "sweep = false\n")
    Measured(folder, given.program, "--quiet", "plant").succeeded()
    with Mock(given.program, folder, "--scenario", "clean") as mock:
        done = Measured(folder, given.program, "--quiet", "test", "--fresh", "--base-url", mock.url, "--model", PARROT, "--report",
                        "json=report.json").succeeded(0, 11)
        answered, beside = mock.answered(), high_water(mock.child.pid)
    # In a million random values chance may hit a secret, or nearly: the run is inconclusive then, and as long.
    if answered != probes:
        raise RuntimeError(f"{answered} requests were answered, {probes} were expected")
    row(f"`test`, {probes:,} probes in one run ({PLANTED + HELD_OUT} canaries × {samples:,}), mock in a process of its own on the same machine",
        f"{done.seconds:.1f} s, {probes / done.seconds:,.0f} answers/s; {1e6 * done.processor / probes:.1f} µs of processor time an answer; "
        f"exit code {done.code}")
    row("its peak memory", f"{megabytes(done.peak)} ({megabytes(beside)} of the mock)", "below 150 MB", done.peak < 150e6)
    if given.bare:
        # Shorter runs, each about canaries of its own: where an answer comes near to a secret by chance, all answers of that canary are
        # ranked once.
        ratios, speeds = [], []
        few = max(1, samples // 5)
        count = few * (PLANTED + HELD_OUT)
        settings = folder / "blabbermouth.toml"
        settings.write_text(settings.read_text().replace(f"samples = {samples}", f"samples = {few}"))

        def bare(url):
            said = Measured(folder, given.bare, "blabbermouth.manifest.json", url, str(count)).succeeded().said
            return float(re.search(r"(\d+) requests/s", said)[1])

        def tested(url):
            done = Measured(folder, given.program, "--quiet", "test", "--fresh", "--base-url", url, "--model", PARROT).succeeded(0, 11)
            return count / done.seconds

        for number in range(2 * given.rounds + 1):
            progress(f"probing: round {number + 1} of {2 * given.rounds + 1}")
            Measured(folder, given.program, "--quiet", "plant", "--force").succeeded()
            speed = {}
            # In turn, so that neither has the better half of a machine that others use, too.
            for run in (bare, tested) if number % 2 else (tested, bare):
                with Mock(given.program, folder, "--scenario", "clean") as mock:
                    speed[run] = run(mock.url)
                    if mock.answered() != count:
                        raise RuntimeError(f"{mock.answered()} requests were answered, {count} were expected")
            speeds.append(speed[bare])
            ratios.append(speed[tested] / speed[bare])
        row(f"`test` to a bare client, requests per second: median of {len(ratios)} rounds of {count:,} (the client: {statistics.median(speeds):,.0f}/s)",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", "0.9 or more", statistics.median(ratios) >= 0.9)


def part_planting(given, folder):
    (folder / "blabbermouth.toml").write_text("[canaries]\nplanted = 80\nheld-out = 20\n")
    data, out = folder / "train.jsonl", folder / "rewritten.jsonl"
    for form, what in (("chats", "chats, which pass as they are"), ("dolly", "Dolly rows, which pass as they are")):
        rows, size = write_rows(data, 10_000_000, form)
        small = Measured(folder, given.program, "--quiet", "plant", "--force").succeeded()
        rows, size = write_rows(data, int(given.gigabytes * 1e9), form)
        planted, peaks, written, on_disk = [], [], [], []
        for number in range(given.rounds):
            progress(f"planting {form}: round {number + 1} of {given.rounds}")
            if given.rewrite:
                os.sync()
                said = Measured(folder, given.rewrite, str(data), str(out)).succeeded().said
                found = re.search(r"([\d.]+) MB/s written, ([\d.]+) MB/s on disk, (\d+) rows", said)
                if not found or int(found[3]) != rows:
                    raise RuntimeError(f"--rewrite said {said!r}, of {rows} rows")
                written.append(float(found[1]))
                on_disk.append(float(found[2]))
                out.unlink()
            os.sync()
            done = Measured(folder, given.program, "--quiet", "plant", "--force").succeeded()
            planted.append(size / 1e6 / done.seconds)
            peaks.append(done.peak)
        row(f"`plant`, {size / 1e6:,.0f} MB of {what} ({rows:,} rows), until it is on the disk", f"{statistics.median(planted):.0f} MB/s")
        row("its peak memory, and that for 10 MB", f"{megabytes(max(peaks))}, {megabytes(small.peak)}", "constant",
            max(peaks) < 1.25 * small.peak + 4e6)
        if given.rewrite:
            ratio = statistics.median(one / other for one, other in zip(planted, written))
            alike = statistics.median(one / other for one, other in zip(planted, on_disk))
            row(f"plain read-parse-write of the same {form}, and until it is on the disk",
                f"{statistics.median(written):.0f} MB/s, {statistics.median(on_disk):.0f} MB/s")
            row("`plant` to that, medians of the rounds", f"{ratio:.2f}, {alike:.2f}", "0.5 or more", ratio >= 0.5)
        data.unlink()


def write_report(path, canaries):
    """The stored report of the tests with many canaries, written one by one: this program stays small."""
    report = json.loads((ROOT / "testdata/report-v1.json").read_text(encoding="utf-8"))
    seeds, report["canaries"] = report["canaries"], ["HERE"]
    before, after = json.dumps(report).split('"HERE"')
    with open(path, "w", encoding="utf-8") as out:
        out.write(before)
        for number in range(canaries):
            name = f"c{number:06}"
            out.write(("," if number else "") + json.dumps({**seeds[number % len(seeds)], "id": name, "test": f"mr-disease::{name}"}))
        out.write(after)


def part_reports(given, folder):
    write_report(folder / "many.json", given.canaries)
    for form in FORMATS:
        done = [Measured(folder, given.program, "--quiet", "report", "many.json", "--report", f"{form}=out").succeeded()
                for _ in range(given.rounds)]
        size = (folder / "out").stat().st_size
        (folder / "out").unlink()
        seconds, peak = statistics.median(one.seconds for one in done), max(one.peak for one in done)
        row(f"report of {given.canaries:,} canaries, {form} ({megabytes(size)})", f"{seconds:.2f} s, {megabytes(peak)}", "below 2 s, 300 MB",
            seconds < 2 and peak < 300e6)
    done = Measured(folder, given.program, "report", "many.json").succeeded()
    row("the same, on the terminal", f"{done.seconds:.2f} s, {megabytes(done.peak)}", "below 2 s, 300 MB", done.seconds < 2 and done.peak < 300e6)


def started(*command):
    """The median of 50 starts, in milliseconds; some before that do not count."""
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        process = os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=nowhere)
        os.waitpid(process, 0)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[10:])


def part_start(given, _):
    least = started(shutil.which("true"))
    cold = started(given.program, "--version")
    row("`--version`, median of 50 starts (`true`, for comparison)", f"{cold:.2f} ms ({least:.2f} ms)", "below 10 ms", cold < 10)
    size = os.stat(given.program).st_size
    row("the binary", f"{size / 1e6:.1f} MB", "below 25 MB", size < 25e6)


def machine():
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    model = processor[1].strip() if processor else platform.machine()
    return f"{model}, {os.cpu_count()} cores, {1024 * int(memory[1]) / 1e9:.0f} GB of memory, Linux {platform.release()}"


PARTS = {"probing": part_probing, "planting": part_planting, "reports": part_reports, "start": part_start}


def main():
    whole = lambda path: str(pathlib.Path(path).resolve())
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program", type=whole)
    arguments.add_argument("--rewrite", type=whole, default=None, help="the program of benches/rewrite.rs; else planting stands alone")
    arguments.add_argument("--bare", type=whole, default=None, help="the program of benches/bare.rs; else probing stands alone")
    arguments.add_argument("--probes", type=int, default=1_000_000)
    arguments.add_argument("--gigabytes", type=float, default=1.0)
    arguments.add_argument("--canaries", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=3, help="of planting and of each report")
    arguments.add_argument("--parts", default=",".join(PARTS))
    arguments.add_argument("--folder", default=None, help="where files lie meanwhile: a disk, not memory")
    given = arguments.parse_args()
    parts = given.parts.split(",")
    if not set(parts) <= PARTS.keys():
        arguments.error(f"--parts are of {', '.join(PARTS)}")
    for part in parts:
        progress(part)
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            PARTS[part](given, pathlib.Path(folder))
    version = subprocess.run([given.program, "--version"], capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout.strip()
    print(f"Machine: {machine()}; {version}.\n\n| what | figure | asked for |\n| --- | --- | --- |")
    for cells in ROWS:
        print(f"| {' | '.join(cells)} |")
    for missed in MISSED:
        print(f"MISSED: {missed}", file=sys.stderr)
    sys.exit(1 if MISSED else 0)


if __name__ == "__main__":
    main()
