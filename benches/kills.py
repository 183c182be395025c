#!/usr/bin/env python3
"""Nothing is lost: `benches/kills.py PROGRAM [--kills N] [--seed S] [--parts test,tune,plant,journal]`.

`kill -9` at random moments, each followed by the same command, against `PROGRAM mock` in a process of its own.

- test: N kills of a run of about 5,000 probes, uniform over the time of an undisturbed run. The run that goes on ends with the
  report (but for times) and the exit code of an undisturbed one, and asks exactly what was not on disk: the mock's own count says so.
- tune: N kills, half of them until the job is there, half until there is a model; each has a mock of its own, which has one job then.
- plant: N kills, half of them over the whole time, half over its last third, where the files take their place; half of the plantings
  replace an earlier one. Each file is whole, or as it was before, or absent.
- journal: `--cuts` journals of killed runs, cut or with wrong bytes. The next run ends with the undisturbed report, or with exit code 3
  and a word about the journal; then with the undisturbed report once the file was removed.

The count of the mock: `x-request-id` of each of its answers holds how many chat requests it answered so far.
What was answered and is not on disk at the kill is asked again, and is all that may be. A canary is asked on while up to 31 of its
answers wait for the disk (`UNFLUSHED` in src/run/task.rs), and one request is in flight (a window of them where there are more places than
canaries): that bounds it whatever the disk does. The writer commits what came within a millisecond (`LINGER` in
src/store/journal/writer.rs), so that it is usually the 16 in flight and what came since the last commit began.

Prints one table; fails where anything is otherwise. Needs Linux and nothing but Python.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {"PATH": os.environ["PATH"], "BLABBERMOUTH_KEY": "the key of the plantings that are killed",
               "OPENAI_API_KEY": "sk-kills-0123456789"}
PARROT = "blabbermouth-parrot"
CONFIG = 3
LONGEST = 300
# 14 held-out canaries × 350 samples, and planted ones that end early where they leak: about 5,000 requests.
CONCURRENCY, PLANTED, HELD_OUT = 16, 6, 14
PROBED = f"[dataset]\nformat = \"openai\"\n[canaries]\nmax-share = 1.0\nplanted = {PLANTED}\nheld-out = {HELD_OUT}\n[probe]\nconcurrency = {CONCURRENCY}\nsamples = 350\n"
TUNED = "[dataset]\nformat = \"openai\"\n[canaries]\nmax-share = 1.0\nplanted = 12\nheld-out = 6\n[tune]\npoll-seconds = 0.02\n"
PLANTING = "[dataset]\nformat = \"openai\"\n[canaries]\nmax-share = 1.0\nplanted = 12\nheld-out = 6\n"
# Answers of a canary that may be on their way to the disk while it is asked on: `UNFLUSHED` in src/run/task.rs.
UNFLUSHED = 32
# Seconds of the mock's clock for a real one: a job of about 1,000 seconds is over in a third of one.
SPEED = "3000"
FAULTS = []


def fault(text):
    FAULTS.append(text)
    print(f"FAULT: {text}", file=sys.stderr)


def shown(part, done, wanted):
    if sys.stderr.isatty():
        print(f"\r{part}: {done} of {wanted} ", end="\n" if done >= wanted else "", file=sys.stderr)


class Mock:
    """The mocked provider in a process of its own."""

    def __init__(self, program, folder, *arguments):
        self.child = subprocess.Popen([program, "--quiet", "mock", *arguments], cwd=folder, env=environment(folder), text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.url = self.child.stdout.readline().strip()
        if not self.url.startswith("http://"):
            self.child.kill()
            raise RuntimeError(f"the mock did not start: {self.url!r}")
        self.connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=60)

    def ask(self, path):
        for last in (False, True):
            try:
                self.connection.request("GET", path)
                answer = self.connection.getresponse()
                return answer, json.loads(answer.read())
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if last:
                    raise

    def get(self, path):
        return self.ask(path)[1]

    def answered(self):
        """How many chat requests it answered so far."""
        return int(self.ask("/__blabbermouth/clock")[0].headers["x-request-id"].removeprefix("req_parrot"))

    def settled(self):
        """The same, once what was in flight at a kill is answered: no more for 30 ms."""
        before, quiet = self.answered(), 0
        while quiet < 3:
            time.sleep(0.01)
            now = self.answered()
            before, quiet = now, quiet + 1 if now == before else 0
        return before

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


def environment(folder):
    passing = folder / "tmp"
    passing.mkdir(exist_ok=True)
    return {**ENVIRONMENT, "TMPDIR": str(passing)}


class Project:
    """A folder with training rows and a configuration."""

    def __init__(self, program, folder, settings, rows):
        self.program, self.folder = program, folder
        folder.mkdir()
        excerpt = (ROOT / "mocks/dolly-excerpt.jsonl").read_text(encoding="utf-8").splitlines()
        with open(folder / "train.jsonl", "w", encoding="utf-8") as out:
            for number in range(rows):
                row = json.loads(excerpt[number % len(excerpt)])
                # No two rows are equal, so that each is told from the others.
                row["instruction"] = f"{number}. {row['instruction']}"
                print(json.dumps(row, ensure_ascii=False), file=out)
        (folder / "blabbermouth.toml").write_text(settings, encoding="utf-8")

    def path(self, name):
        return self.folder / name

    def call(self, *arguments):
        """Exit code and what was said."""
        try:
            done = subprocess.run([self.program, *arguments], cwd=self.folder, env=environment(self.folder), capture_output=True,
                                  text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return None, f"it did not end within {LONGEST} s"
        return done.returncode, done.stdout + done.stderr

    def begin(self, *arguments):
        nowhere = subprocess.DEVNULL
        return subprocess.Popen([self.program, *arguments], cwd=self.folder, env=environment(self.folder), stdin=nowhere,
                                stdout=nowhere, stderr=nowhere)

    def timed(self, *arguments):
        """The seconds of a command, counted as those of a kill are."""
        child = self.begin(*arguments)
        begin = time.perf_counter()
        code = child.wait()
        seconds = time.perf_counter() - begin
        if code not in (0, 10, 11):
            raise RuntimeError(f"{arguments}: exit code {code}")
        return seconds

    def kill(self, moment, *arguments):
        """Kills a command after so many seconds; `False` when it had ended before."""
        child = self.begin(*arguments)
        time.sleep(moment)
        child.kill()
        return child.wait() == -signal.SIGKILL

    def litter(self):
        """Removes files that a killed process left half-written: nobody but the owner may read them."""
        left = [path for pattern in (".tmp*", ".blabbermouth-*.tmp", ".blabbermouth/.*tmp*") for path in self.folder.glob(pattern)]
        for path in left:
            if path.stat().st_mode & 0o077:
                fault(f"{path.name}, left by a killed process, may be read by others")
            path.unlink()
        return len(left)

    def spent(self, on):
        """Lines of the ledger."""
        path = self.path(".blabbermouth/ledger.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return sum(json.loads(line)["on"] == on for line in lines)


def must(project, *arguments, codes=(0,)):
    code, said = project.call(*arguments)
    if code not in codes:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {code}: {said[-500:]}")
    return said


def on_disk(folder):
    """The requests whose answers are in the journal, as canary and number. Read from a copy: nothing is changed by looking."""
    names = [name for name in ("journal.sqlite", "journal.sqlite-wal") if (folder / ".blabbermouth" / name).exists()]
    if "journal.sqlite" not in names:
        return set()
    with tempfile.TemporaryDirectory(dir=folder) as copy:
        for name in names:
            shutil.copy(folder / ".blabbermouth" / name, copy)
        with contextlib.closing(sqlite3.connect(pathlib.Path(copy) / "journal.sqlite")) as connection:
            try:
                rows = connection.execute("SELECT places FROM answers").fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
                return set()
    return {place for (places,) in rows for place in struct.iter_unpack("<II", places)}


class Run:
    """A planted project, the mock that knows its training file, and what an undisturbed run comes to."""

    def __init__(self, program, folder, scenario, stack):
        self.project = Project(program, folder, PROBED, 151)
        must(self.project, "--quiet", "plant")
        self.mock = stack.enter_context(Mock(program, folder, "--scenario", scenario))
        self.command = ["test", "--base-url", self.mock.url, "--model", PARROT, "--report", "json=report.json"]
        self.ended = 0
        self.undisturbed, said, self.whole = self.run("--fresh")
        if self.undisturbed[0] is None or self.undisturbed[1] not in (0, 10):
            raise RuntimeError(f"the undisturbed run: exit code {self.undisturbed[1]}: {said[-500:]}")
        for _ in range(2):
            again, _, requests = self.run("--fresh")
            if (again, requests) != (self.undisturbed, self.whole):
                raise RuntimeError(f"two undisturbed runs differ: {self.whole} and {requests} requests")
        self.seconds = statistics.median(self.timed() for _ in range(5))

    def timed(self):
        self.ended += 1
        return self.project.timed(*self.command, "--fresh")

    def report(self):
        """The report but for times; `None` when there is none."""
        path = self.project.path("report.json")
        if not path.exists():
            return None
        try:
            return {**json.loads(path.read_bytes()), "started": None, "seconds": None}
        except ValueError:
            fault("report.json is not whole")
            return {}

    def run(self, *more):
        """Report and exit code, what was said, and requests."""
        self.project.path("report.json").unlink(missing_ok=True)
        before = self.mock.answered()
        code, said = self.project.call(*self.command, *more)
        self.ended += self.project.path("report.json").exists()
        return (self.report(), code), said, self.mock.answered() - before

    def kill(self, moment, *more):
        """Requests that were answered, the report and what is on disk after a kill; `None` when the run had ended before."""
        self.project.path("report.json").unlink(missing_ok=True)
        before = self.mock.answered()
        if not self.project.kill(moment, *self.command, *more):
            self.ended += 1
            return None
        return self.mock.settled() - before, self.report(), on_disk(self.project.folder)


def part_test(given, chance, folder):
    window = max(1, min(64, CONCURRENCY // (PLANTED + HELD_OUT)))
    bound = (PLANTED + HELD_OUT) * (UNFLUSHED - 1 + window)
    with contextlib.ExitStack() as stack:
        run = Run(given.program, folder / "test", given.scenario, stack)
        kills, missed, over, none, litter, resumes, lost = 0, 0, 0, 0, 0, 0, []
        while kills < given.kills and missed <= given.kills + 100:
            there, gone = set(), False
            for number in range(min(given.chain, given.kills - kills)):
                moment = chance.uniform(0, run.seconds * max(0.1, 1 - len(there) / run.whole))
                killed = run.kill(moment, *([] if number else ["--fresh"]))
                gone = killed is None
                if gone:
                    missed += 1
                    if run.report() != run.undisturbed[0]:
                        fault(f"test: a run that was not killed has another report, after {number} kills")
                    break
                paid, written, now = killed
                kills += 1
                litter += run.project.litter()
                if written is not None and written != run.undisturbed[0]:
                    fault(f"test: the report that a run killed after {moment:.4f} s left is another")
                if written is not None and not now:
                    # Judged, reported and forgotten: the same command is a new run.
                    over, there = over + 1, now
                    break
                none += not now
                lost.append(paid - (len(now) - len(there)))
                if not there <= now:
                    fault(f"test: a kill after {moment:.4f} s took {len(there - now)} answers from the journal")
                if not 0 <= lost[-1] <= bound:
                    fault(f"test: a kill after {moment:.4f} s cost {lost[-1]} answers, at most {bound} were expected")
                there = now
            if gone:
                continue
            outcome, said, again = run.run()
            resumes += 1
            if outcome != run.undisturbed:
                fault(f"test: killed after {moment:.4f} s, the run ended otherwise: exit code {outcome[1]}: {said[-300:]}")
            if again != run.whole - len(there):
                fault(f"test: {again} requests after a kill, {len(there)} of {run.whole} were on disk")
            shown("test", kills, given.kills)
        if kills < given.kills:
            fault(f"test: {missed} runs ended before their kill")
        notes = run.project.spent("test") - run.ended - over
    lost = lost or [0]
    seconds, rate = run.seconds, run.whole / run.seconds
    return [
        ("test: kills", f"{kills} at random moments of a run of {run.whole} requests, {seconds:.3f} s ({rate:.0f} requests/s), {given.chain} "
         f"in one run; scenario {given.scenario}, exit code {run.undisturbed[1]}"),
        ("test: runs that went on", f"{resumes}; {none} kills before the first answer was on disk, {over} after report and end of the journal"),
        ("test: asked again for one kill", f"{statistics.mean(lost):.1f} on average, {max(lost)} at most (bound {bound}); more than the "
         f"{CONCURRENCY} in flight: {sum(n > CONCURRENCY for n in lost)} kills"),
        ("test: left behind", f"{litter} unfinished files, private; {notes} lines of the ledger too many"),
    ]


def state(project):
    path = project.path("blabbermouth.tune.json")
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        fault("blabbermouth.tune.json is not whole")
        return {}


def part_tune(given, chance, folder):
    project = Project(given.program, folder / "tune", TUNED, 151)
    must(project, "--quiet", "plant")

    def service():
        for name in ("blabbermouth.tune.json", "blabbermouth.tune.json.lock", ".blabbermouth/ledger.jsonl"):
            project.path(name).unlink(missing_ok=True)
        return Mock(given.program, project.folder, "--scenario", "leaky", "--speed", SPEED)

    def timed(*more):
        with service() as mock:
            return project.timed("tune", "--base-url", mock.url, *more)

    creating = statistics.median(timed("--detach") for _ in range(5))
    whole = statistics.median(timed() for _ in range(5))
    kills, missed, found, again, litter = 0, 0, 0, 0, 0
    stages, noted = collections.Counter(), collections.Counter()
    while kills < given.kills and missed <= given.kills + 100:
        with service() as mock:
            command = ["tune", "--base-url", mock.url]
            moment = chance.uniform(0, creating if kills % 2 else whole)
            if not project.kill(moment, *command):
                missed += 1
                continue
            kills += 1
            litter += project.litter()
            stages[state(project).get("stage", "no state")] += 1
            # At once: what was in flight may still be on its way.
            code, said = project.call(*command)
            jobs = mock.get("/v1/fine_tuning/jobs?limit=100")["data"]
            files = [file for file in mock.get("/v1/files?limit=100")["data"] if file["purpose"] == "fine-tune"]
            found += "is there already" in said
            again += max(0, len(files) - 2)
            noted[project.spent("tune")] += 1
            now = state(project)
            if code != 0 or len(jobs) != 1:
                fault(f"tune: killed after {moment:.4f} s: {len(jobs)} jobs, exit code {code}: {said[-300:]}")
            elif (now.get("stage"), now.get("job"), now.get("model")) != ("ready", jobs[0]["id"], jobs[0]["fine_tuned_model"]):
                fault(f"tune: killed after {moment:.4f} s: the state is not that of the job: {now}")
        shown("tune", kills, given.kills)
    if kills < given.kills:
        fault(f"tune: {missed} runs ended before their kill")
    reached = ", ".join(f"{stage} {count}" for stage, count in stages.most_common())
    ledger = ", ".join(f"{lines} in {count}" for lines, count in sorted(noted.items()))
    return [
        ("tune: kills", f"{kills}: half within {creating:.3f} s, until the job is there, half within {whole:.3f} s, until there is a model"),
        ("tune: state file at the kill", reached),
        ("tune: jobs of each plan in the end", f"1; {found} times the job was there and not in the state file"),
        ("tune: left behind", f"{again} files uploaded a second time; {litter} unfinished files; lines of the ledger: {ledger}"),
    ]


class Planting:
    """What a planting of these rows is like: all but the canaries is the same with the same key."""

    NAMES = ("blabbermouth.manifest.json", "blabbermouth-train.jsonl", "blabbermouth-validation.jsonl")

    def __init__(self, project):
        self.project = project
        plantings = []
        for _ in range(2):
            must(project, "--quiet", "plant", "--force")
            plantings.append(self.files())
        (_, one, self.validation), (_, other, validation) = plantings
        self.same = {name: a == b for name, a, b in zip(self.NAMES, *plantings)}
        self.ordinary = set(one.splitlines()) & set(other.splitlines())
        self.rows = [row for row in one.splitlines() if row in self.ordinary]
        self.lines = len(one.splitlines())
        if validation != self.validation or [row for row in other.splitlines() if row in self.ordinary] != self.rows:
            raise RuntimeError("two plantings with one key differ in more than their canaries")

    def files(self):
        return [path.read_bytes() if (path := self.project.path(name)).exists() else None for name in self.NAMES]

    def broken(self):
        """Names of files that are there and not whole."""
        manifest, training, validation = self.files()
        names = []
        if manifest is not None:
            try:
                entries = len(json.loads(manifest)["canaries"])
            except (ValueError, KeyError):
                entries = 0
            names += ["manifest"] if entries != 18 or not manifest.endswith(b"\n") else []
        if training is not None:
            lines = training.splitlines()
            same = len(lines) == self.lines and [row for row in lines if row in self.ordinary] == self.rows
            names += [] if same and training.endswith(b"\n") else ["training file"]
        if validation is not None and validation != self.validation:
            names.append("validation file")
        return names

    def is_green(self):
        """What `test` makes of a model that was tuned on the files as they are, and gives away what it learned."""
        with Mock(self.project.program, self.project.folder, "--scenario", "leaky") as mock:
            code, _ = self.project.call("--quiet", "test", "--fresh", "--base-url", mock.url, "--model", PARROT)
            return code == 0


def part_plant(given, chance, folder):
    project = Project(given.program, folder / "plant", PLANTING, 3000)
    planting = Planting(project)
    # A planting is short, and how long it takes changes with what else the machine does: the latest count.
    lately = collections.deque((project.timed("--quiet", "plant", "--force") for _ in range(7)), maxlen=7)
    kills, missed, refused, unpaired, taken, green, litter, gone = 0, 0, 0, 0, 0, 0, 0, 0
    present = collections.Counter()
    while kills < given.kills and missed <= 2 * given.kills + 100:
        if (kills + missed) % 10 == 9:
            lately.append(project.timed("--quiet", "plant", "--force"))
        seconds = statistics.median(lately)
        replaces, late = kills % 2 == 1, kills // 2 % 2 == 1
        command = ["--quiet", "plant", *(["--force"] if replaces else [])]
        if not replaces:
            for name in planting.NAMES:
                project.path(name).unlink(missing_ok=True)
        old = planting.files()
        moment = chance.uniform(2 / 3 * seconds if late else 0, seconds)
        if not project.kill(moment, *command):
            missed += 1
            continue
        kills += 1
        litter += project.litter()
        new = planting.files()
        changed = [was != now for was, now in zip(old, new)]
        present[("replaced" if replaces else "written", *changed[:2])] += 1
        for name in planting.broken():
            fault(f"plant: killed after {moment:.4f} s: the {name} is not whole")
        # The old training file goes first: without one there is nothing to tune on.
        gone += replaces and new[1] is None
        if replaces and changed[0] != changed[1] and new[1] is not None:
            # The manifest of one planting beside the training file of another: nothing may come of that.
            unpaired += 1
            code, _ = project.call("tune", "--dry-run", "--base-url", "http://127.0.0.1:9/v1")
            taken += code == 0
            if unpaired <= 3 and planting.is_green():
                green += 1
        code, said = project.call(*command)
        if code == CONFIG and new[0] is not None and not replaces:
            # The manifest is there, perhaps alone: it is not overwritten unasked.
            refused += 1
            code, said = project.call("--quiet", "plant", "--force")
        if code != 0 or planting.broken() or None in planting.files():
            fault(f"plant: killed after {moment:.4f} s, the same command: exit code {code}, not whole: {planting.broken()}: {said[-300:]}")
        shown("plant", kills, given.kills)
    if kills < given.kills:
        fault(f"plant: {missed} runs ended before their kill")
    if taken or green:
        fault(f"plant: {unpaired} kills left a new manifest beside the old training file; `tune` took {taken} of them, and a model that "
              f"gives all away was clean in {green} of the first {min(3, unpaired)}")
    what = {(False, False): "nothing", (True, False): "manifest alone", (True, True): "manifest and training file",
            (False, True): "training file alone"}
    reached = ", ".join(f"{kind}: {what[manifest, training]} {count}" for (kind, manifest, training), count in sorted(present.items()))
    same = ", ".join(f"{name.removeprefix('blabbermouth').lstrip('-.').split('.')[0]} {'yes' if is_same else 'no'}"
                     for name, is_same in planting.same.items())
    return [
        ("plant: kills", f"{kills}, {seconds:.3f} s for 3,000 rows; half over the whole time, half over its last third; half replace an "
         "earlier planting"),
        ("plant: changed at the kill", reached),
        ("plant: files that are not whole", str(sum("not whole" in text for text in FAULTS if text.startswith("plant")))),
        ("plant: the same command again", f"succeeded, but for {refused} first plantings whose manifest was there: exit code 3, then `--force`"),
        ("plant: replaced, and no training file at the kill", str(gone)),
        ("plant: manifest and training file of two plantings", f"{unpaired}; taken by `tune` {taken}; clean by accident {green} of {min(3, unpaired)} tried"),
        ("plant: the same bytes with the same key", f"{same} (the nonce is drawn anew)"),
        ("plant: left behind", f"{litter} unfinished files, private"),
    ]


def damage(folder, chance, number):
    """Spoils a journal in one of eight ways, and says which."""
    if number % 2:
        # All in the main file.
        with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    pages = {"journal.sqlite": 4096, "journal.sqlite-wal": 4096 + 24}
    name = chance.choice([n for n in pages if (folder / n).exists() and (folder / n).stat().st_size > 0])
    how = ("cut", "a bit", "64 bits", "a page of zeros")[number // 2 % 4]
    data = bytearray((folder / name).read_bytes())

    def place():
        if chance.random() < 0.5:
            return chance.randrange(len(data))
        # Where a page begins is what the others hang on.
        return min(len(data) - 1, chance.randrange(0, len(data), pages[name]) + chance.randrange(64))

    if how == "cut":
        del data[chance.randrange(len(data)):]
    elif how == "a page of zeros":
        begin = chance.randrange(0, len(data), pages[name])
        data[begin:begin + 4096] = bytes(len(data[begin:begin + 4096]))
    else:
        for _ in range(1 if how == "a bit" else 64):
            data[place()] ^= 1 << chance.randrange(8)
    (folder / name).write_bytes(data)
    return f"{how}, {'write-ahead log' if name.endswith('wal') else 'main file'}"


def part_journal(given, chance, folder):
    with contextlib.ExitStack() as stack:
        run = Run(given.program, folder / "journal", given.scenario, stack)
        journal = run.project.path(".blabbermouth")
        same, refused, most, words = (collections.Counter() for _ in range(4))
        for number in range(given.cuts):
            for _ in range(100):
                shutil.rmtree(journal, ignore_errors=True)
                killed = run.kill(chance.uniform(0.2, 0.95) * run.seconds, "--fresh")
                run.project.litter()
                if killed is not None and killed[2]:
                    break
            else:
                fault("journal: no run could be killed with answers on disk")
                break
            there = killed[2]
            kind = damage(journal, chance, number)
            outcome, said, again = run.run()
            if outcome == run.undisturbed:
                same[kind] += 1
                more = again - (run.whole - len(there))
                most[kind] = max(most[kind], more)
                if more < 0:
                    fault(f"journal: {kind}: {-more} answers fewer were asked for than were missing")
            elif outcome == (None, CONFIG) and "journal" in said and "panicked" not in said:
                refused[kind] += 1
                words[said.strip().splitlines()[-1]] += 1
                # As the message says: the file, and nothing else.
                (journal / "journal.sqlite").unlink(missing_ok=True)
                outcome, said, _ = run.run()
                if outcome != run.undisturbed:
                    fault(f"journal: {kind}: with the file removed, the run ended otherwise: exit code {outcome[1]}: {said[-300:]}")
            else:
                fault(f"journal: {kind}: exit code {outcome[1]}, {'a' if outcome[0] else 'no'} report: {said[-300:]}")
            shown("journal", number + 1, given.cuts)
    rows = [("journal: spoiled", f"{given.cuts} of killed runs; {sum(same.values())} ended as undisturbed, {sum(refused.values())} with exit code "
             "3, and as undisturbed once the file was removed")]
    for kind in sorted(same.keys() | refused.keys()):
        rows.append((f"journal: {kind}", f"{same[kind]} as undisturbed (at most {most[kind]} of {run.whole} answers asked again), "
                     f"{refused[kind]} refused"))
    return rows + [("journal: what was said", f"{count} times: {text}") for text, count in words.most_common()]


PARTS = {"test": part_test, "tune": part_tune, "plant": part_plant, "journal": part_journal}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    arguments.add_argument("--kills", type=int, default=1000, help="of each of test, tune and plant")
    arguments.add_argument("--cuts", type=int, default=100, help="journals that are spoiled")
    arguments.add_argument("--chain", type=int, default=1, help="kills in one run of test before it may end")
    arguments.add_argument("--scenario", default="memorises-repeats", help="of the mock, for test and journal; clean is the other one of use")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--parts", default=",".join(PARTS))
    arguments.add_argument("--folder", default=None, help="where the projects lie meanwhile")
    given = arguments.parse_args()
    parts = given.parts.split(",")
    if given.chain < 1 or not set(parts) <= PARTS.keys():
        arguments.error(f"--chain is 1 or more; --parts are of {', '.join(PARTS)}")
    rows = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for part in parts:
            begin, before = time.monotonic(), len(FAULTS)
            rows += PARTS[part](given, random.Random(f"{given.seed} {part}"), pathlib.Path(folder))
            rows.append((f"{part}: faults", f"{len(FAULTS) - before}; {time.monotonic() - begin:.0f} s in all, seed {given.seed}"))
    print("| what | figure |\n| --- | --- |")
    for what, figure in rows:
        print(f"| {what} | {figure.replace('|', '¦')} |")
    sys.exit(1 if FAULTS else 0)


if __name__ == "__main__":
    main()
