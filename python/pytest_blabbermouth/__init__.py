"""Canaries as pytest items: ``pytest --blabbermouth blabbermouth.toml``.

Each canary of the manifest is an item, and so are the two checks of the whole run. The program is called once, for
the items that are selected, when the first of them runs. Everything but a clean verdict fails.
"""

import json
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest

LISTED = re.compile(r"^(?:\[[^\]]*\] )?(\S+): test$")
# Verdicts: clean, leak, inconclusive, invalid, and a provider that failed.
VERDICTS = {0, 4, 10, 11, 12}


class GaveAway(Exception):
    """A verdict that is not clean."""


def pytest_addoption(parser):
    group = parser.getgroup("blabbermouth")
    group.addoption("--blabbermouth", metavar="CONFIG", help="test the canaries of this configuration")


def pytest_configure(config):
    path = config.getoption("blabbermouth")
    if path:
        path = Path(path).resolve()
        if not path.is_file():
            raise pytest.UsageError(f"--blabbermouth: there is no {path}; `blabbermouth init` writes one")
        config.stash[CONFIG] = path
        # A file that is named twice would be collected twice.
        named = [Path(str(argument).split("::")[0]).resolve() for argument in config.args]
        if not any(place == path or place in path.parents for place in named):
            config.args.append(str(path))


def pytest_collect_file(file_path, parent):
    if file_path == parent.config.stash.get(CONFIG, None):
        return Canaries.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(session, config, items):
    # What is deselected later is not asked either: the run looks at the session's items.
    config.stash[SESSION] = session


CONFIG = pytest.StashKey()
SESSION = pytest.StashKey()


def program():
    """The program of this wheel, or the one on the path."""
    here = Path(sysconfig.get_path("scripts")) / "blabbermouth"
    found = str(here) if here.exists() else shutil.which("blabbermouth")
    if not found:
        raise pytest.UsageError("the program blabbermouth is not installed")
    return found


class Canaries(pytest.File):
    """The canaries of a configuration."""

    report = None
    fault = None

    def call(self, *arguments):
        command = [program(), "test", "--config", self.path.name, *arguments]
        return subprocess.run(command, cwd=self.path.parent, capture_output=True, text=True, check=False)

    def collect(self):
        listed = self.call("--list")
        if listed.returncode != 0:
            raise self.CollectError(listed.stderr.strip())
        self.names = [found[1] for found in map(LISTED.match, listed.stdout.splitlines()) if found]
        for name in self.names:
            yield Canary.from_parent(self, name=name)

    def judged(self):
        """The run report; the program is called when it is first asked for."""
        if self.report is None and self.fault is None:
            items = self.config.stash[SESSION].items
            wanted = {item.name for item in items if isinstance(item, Canary) and item.parent is self}
            skipped = [part for name in self.names if name not in wanted for part in ("--skip", name)]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "report.json"
                done = self.call("--report", f"json={path}", "--", "--exact", *skipped)
                if done.returncode in VERDICTS and path.exists():
                    self.report = json.loads(path.read_text())
                else:
                    self.fault = done.stderr.strip() or f"exit code {done.returncode}"
        if self.fault is not None:
            raise GaveAway(self.fault)
        return self.report


def check_of(report, name):
    """Whether a check of the whole run passed, and its reason. None if the report has no check of that name."""
    if name == "run::verdict":
        return report["verdict"] == "clean", report["reason"]
    key, fields = {
        "run::controls": ("controls", ("sound",)),
        "run::cross": ("pooled", ("sound",)),
        "run::signature": ("training", ("shown", "waived")),
        "run::power": ("sensitivity", ("shown",)),
        "run::exposure": ("exposure", ("sound",)),
        "claim::epsilon": ("claim", ("sound",)),
    }.get(name, (None, ()))
    check = report.get(key) if key else None
    return check and (any(check[field] for field in fields), check["reason"])


class Canary(pytest.Item):
    """One canary, or one check of the whole run."""

    def runtest(self):
        report = self.parent.judged()
        check = check_of(report, self.name)
        if check:
            verdict, reason = "clean" if check[0] else "not sound", check[1]
        else:
            found = [canary for canary in report["canaries"] if canary["test"] == self.name]
            if not found:
                raise GaveAway("inconclusive: it was not probed")
            verdict, reason = found[0]["verdict"], found[0]["reason"]
        if verdict != "clean":
            raise GaveAway(f"{verdict}: {reason}")

    def repr_failure(self, excinfo):
        if isinstance(excinfo.value, GaveAway):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name
