"""Canaries as pytest items: ``pytest --blabbermouth blabbermouth.toml``.

Each canary of the manifest is an item, and so is each check of the whole run. The program is called once for the
selected items, when the first of them runs, even under pytest-xdist. Everything but a clean verdict fails.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LISTED = re.compile(r"^(?:\[[^\]]*\] )?(\S+): test$")
# Exit codes of a run with a verdict: clean, provider failed, leak, inconclusive, invalid.
VERDICTS = {0, 4, 10, 11, 12}
# First word of a failure, by its element in the JUnit report.
WORDS = {"failure": "leaked", "error": "errored", "skipped": "inconclusive"}

CONFIG = pytest.StashKey()
FOLDER = pytest.StashKey()
COLLECTED = pytest.StashKey()


class NotClean(Exception):
    """A verdict that is not clean, or a run without a verdict."""


def pytest_addoption(parser):
    group = parser.getgroup("blabbermouth")
    group.addoption("--blabbermouth", metavar="CONFIG", help="test the canaries of this configuration")


def pytest_configure(config):
    path = config.getoption("blabbermouth")
    if not path:
        return
    path = Path(path).resolve()
    if not path.is_file():
        raise pytest.UsageError(f"--blabbermouth: there is no {path}; `blabbermouth init` writes one")
    config.stash[CONFIG] = path
    # A file that is named twice would be collected twice.
    named = [Path(str(argument).split("::")[0]).resolve() for argument in config.args]
    if not any(place == path or place in path.parents for place in named):
        config.args.append(str(path))
    # All processes of a session share the outcome of one run through this folder, which only the user can read. The
    # main process creates it, so that its name is new: an outcome of an earlier session is never taken for this one's.
    # A worker on another machine does not have the folder, and asks for itself.
    shared = getattr(config, "workerinput", {}).get("blabbermouth")
    if shared is None or not os.path.isdir(shared):
        shared = tempfile.mkdtemp(prefix="pytest-blabbermouth-")
        config.add_cleanup(lambda: shutil.rmtree(shared, ignore_errors=True))
    config.stash[FOLDER] = Path(shared)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Tells a worker of pytest-xdist the folder of the session."""
    if FOLDER in node.config.stash:
        node.workerinput["blabbermouth"] = str(node.config.stash[FOLDER])


def pytest_collect_file(file_path, parent):
    if file_path == parent.config.stash.get(CONFIG, None):
        parent.config.stash[COLLECTED] = True
        return Canaries.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(config):
    # Without this check, a session that skips the canaries would pass.
    if CONFIG in config.stash and not config.stash.get(COLLECTED, False):
        path = config.stash[CONFIG]
        text = (
            f"--blabbermouth: pytest does not collect {path}: name the file as the first argument, or move it out of "
            "a folder that pytest ignores (norecursedirs)"
        )
        # Not an exception: pytest-xdist would show an internal error in its place.
        report = pytest.CollectReport(nodeid=path.name, outcome="failed", longrepr=text, result=[])
        config.hook.pytest_collectreport(report=report)


def program():
    """The program of this wheel, or the one on the path; None if there is neither."""
    return shutil.which("blabbermouth", path=sysconfig.get_path("scripts")) or shutil.which("blabbermouth")


@contextlib.contextmanager
def lock(path):
    """Holds a lock, which the system releases when its holders end, even if they are killed."""
    with open(path, "ab") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                    break
                except OSError:
                    time.sleep(0.1)
        try:
            yield file.fileno()
        finally:
            if fcntl:
                # Not by closing the file only: a process that the program left behind may still have it.
                fcntl.flock(file, fcntl.LOCK_UN)


class Canaries(pytest.File):
    """The canaries of a configuration."""

    found = None

    def call(self, *arguments, **options):
        command = [program(), "test", "--config", self.path.name, *arguments]
        if command[0] is None:
            raise self.CollectError("there is no program blabbermouth beside this Python or on PATH: install its wheel")
        return subprocess.run(
            command, cwd=self.path.parent, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            errors="replace", check=False, **options,
        )

    def collect(self):
        listed = self.call("--list")
        if listed.returncode != 0:
            raise self.CollectError(listed.stderr.strip() or f"blabbermouth: exit code {listed.returncode}")
        self.tests = [found[1] for found in map(LISTED.match, listed.stdout.splitlines()) if found]
        for test in self.tests:
            # pytest splits ids at `::`, and then does not find an item whose name has it. Names of templates have no
            # dot, so that two tests never get the same name.
            yield Canary.from_parent(self, name=test.replace("::", "."), test=test)

    def outcome(self):
        """Outcome of the run: the failures by test. The first process that needs it runs the program."""
        if self.found is None:
            wanted = sorted(item.test for item in self.session.items if isinstance(item, Canary))
            # Workers collect the same items. One with other items, such as another Python's, makes another run.
            name = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
            self.found = self.shared_outcome(self.config.stash[FOLDER] / name, wanted)
        if "fault" in self.found:
            raise NotClean(self.found["fault"])
        return self.found

    def shared_outcome(self, base, wanted):
        # A lock, and not BLABBERMOUTH_RUN_ID: with that, every worker would ask again what failed, and a run that was
        # interrupted could not be resumed by the next session, whose id differs.
        report, outcome = base.with_suffix(".xml"), base.with_suffix(".json")
        with lock(base.with_suffix(".lock")) as descriptor:
            if outcome.exists():
                return json.loads(outcome.read_text(encoding="utf-8"))
            found = None
            if not report.exists():
                skipped = [part for test in self.tests if test not in wanted for part in ("--skip", test)]
                # The program holds the lock too: if this worker is killed, the next one waits until the program ends,
                # and takes its report. Where that is impossible, the next worker asks again.
                options = {"pass_fds": (descriptor,)} if fcntl else {}
                done = self.call("--report", f"junit={report}", "--", "--exact", *skipped, **options)
                if done.returncode not in VERDICTS or not report.exists():
                    found = {"fault": done.stderr.strip() or f"blabbermouth: exit code {done.returncode}"}
            found = found or read(report, wanted)
            # Complete or absent: a worker may be killed while it writes.
            part = base.with_suffix(".part")
            part.write_text(json.dumps(found), encoding="utf-8")
            part.replace(outcome)
            return found


def read(report, wanted):
    """Outcome in a JUnit report: every test in it, the failures by test, and the fault that no wanted test shows.

    The report is that of the program, so that the plugin never judges otherwise than the program does.
    """
    suite = ElementTree.parse(report).getroot().find("testsuite")
    of_run = {item.get("name"): item.get("value") for item in suite.iter("property")}
    judged, failures = [], {}
    for case in suite.iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        judged.append(test)
        for element in case:
            if element.tag not in WORDS:
                continue
            word, reason = WORDS[element.tag], element.get("message", "")
            if test == "run::verdict":
                word = of_run["verdict"]
            elif element.get("type") == "canary.control":
                word = "invalid"
            failures[test] = reason if reason.startswith(f"{word}:") else f"{word}: {reason}"
    hidden = None
    if of_run["verdict"] != "clean" and not failures.keys() & set(wanted):
        # A part of the tests may be clean in a run that is not, for example because nothing shows that the model was
        # trained. `blabbermouth test` fails then, and so does every item.
        hidden = f"{of_run['verdict']}: {of_run['reason']} (the whole run; run.verdict is not selected)"
    return {"judged": judged, "failures": failures, "hidden": hidden}


class Canary(pytest.Item):
    """One canary, or one check of the whole run."""

    def __init__(self, *, test, **others):
        super().__init__(**others)
        # Name in reports, as in `mr-disease::c0001`; `-k` takes it too.
        self.test = test
        self.extra_keyword_matches.add(test)

    def runtest(self):
        outcome = self.parent.outcome()
        failure = outcome["failures"].get(self.test, outcome["hidden"])
        # Where no score can decide, the report has no such check, and the program passes it.
        if failure is None and self.test not in [*outcome["judged"], "run::exposure"]:
            failure = "inconclusive: not probed"
        if failure is not None:
            raise NotClean(failure)

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, NotClean):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name
