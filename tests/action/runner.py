"""Runs a composite action of `run` steps as GitHub's runner does, as far as such an action can tell."""

import os
import re
import secrets
import subprocess
import tempfile
from pathlib import Path

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
COMMAND = re.compile(r"^\s*::([\w-]+)((?: [^:]*)?)::(.*)$")


class Outcome:
    """What a run came to."""

    def __init__(self):
        self.success = True
        self.outputs = {}
        self.steps = {}
        self.summary = ""
        self.commands = []
        self.log = ""

    def annotations(self, level=None):
        found = [c for c in self.commands if c[0] in ("error", "warning", "notice")]
        return [c for c in found if level is None or c[0] == level]


def read_pairs(path):
    """The file of a step's outputs: `key=value`, or a block between delimiters."""
    pairs, lines = {}, Path(path).read_text().splitlines()
    while lines:
        line = lines.pop(0)
        block = re.match(r"^([\w-]+)<<(.+)$", line)
        if block:
            value = []
            while lines and lines[0] != block[2]:
                value.append(lines.pop(0))
            lines.pop(0)
            pairs[block[1]] = "\n".join(value)
        elif "=" in line:
            key, _, value = line.partition("=")
            pairs[key] = value
        elif line.strip():
            raise AssertionError(f"the runner refuses the output {line!r}")
    return pairs


def unescaped(data):
    """The data of a command, as the runner reads it."""
    return data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def scan(text, outcome, masks):
    """Commands in what a step printed; `stop-commands` ends them until its token comes."""
    stopped = None
    for line in text.split("\n"):
        line = line.rstrip("\r")
        found = COMMAND.match(line)
        if stopped:
            if line.strip() == f"::{stopped}::":
                stopped = None
        elif found and found[1] == "stop-commands":
            stopped = found[3]
        elif found and found[1] == "add-mask":
            # The runner masks the lines of a value, too.
            masks.extend({unescaped(found[3]), *unescaped(found[3]).splitlines()})
            line = ""
        elif found:
            outcome.commands.append((found[1], found[2].strip(), unescaped(found[3])))
        # The old form counts anywhere in a line, whatever was stopped.
        for old in re.findall(r"##\[(\w+)\]", line):
            outcome.commands.append((old, "old form", line))
        for mask in masks:
            line = line.replace(mask, "***") if mask else line
        outcome.log += line + "\n"


def run(action, inputs, workspace, environment=None):
    """Runs the action in `action` with `inputs`; nothing of this process' environment but what is named here.

    A variable whose value in `environment` is None is unset, as on runners that are not GitHub's.
    """
    action, workspace = Path(action).resolve(), Path(workspace).resolve()
    definition = yaml.safe_load((action / "action.yml").read_text())
    known = definition["inputs"]
    unknown = set(inputs) - set(known)
    assert not unknown, unknown
    values = {f"inputs.{name}": str(inputs.get(name, spec.get("default", ""))).replace("${{ github.token }}", "ghs_test0123456789") for name, spec in known.items()}
    outcome, masks = Outcome(), []

    def resolve(text):
        def value(match):
            name = match[1]
            if name == "github.action_path":
                return str(action)
            if name == "github.event.pull_request.head.repo.full_name":
                return (environment or {}).get("TEST_HEAD_REPOSITORY", "")
            if name == "github.token":
                return "ghs_test"
            if name in values:
                return values[name]
            step = re.match(r"^steps\.([\w-]+)\.outputs\.([\w-]+)$", name)
            assert step, f"an expression that this runner does not know: {name}"
            return outcome.steps.get(step[1], {}).get(step[2], "")

        return EXPRESSION.sub(value, str(text))

    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        for step in definition["runs"]["steps"]:
            assert set(step) <= {"name", "id", "shell", "run", "env", "working-directory"}, step
            assert "${{" not in step["run"], "an input in a script"
            if not outcome.success:
                continue
            files = {}
            for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"):
                files[name] = temporary / secrets.token_hex(8)
                files[name].touch()
            script = temporary / f"{secrets.token_hex(8)}.sh"
            script.write_text(resolve(step["run"]))
            env = {
                "PATH": os.environ["PATH"],
                "HOME": str(temporary),
                "LANG": "C.UTF-8",
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_WORKSPACE": str(workspace),
                "RUNNER_TEMP": str(temporary),
                "RUNNER_OS": "Linux",
                "RUNNER_ARCH": "X64",
                **{name: str(path) for name, path in files.items()},
                **(environment or {}),
                **{name: resolve(value) for name, value in step.get("env", {}).items()},
            }
            env = {name: value for name, value in env.items() if value is not None}
            folder = workspace / resolve(step.get("working-directory", "."))
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
                cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
            )
            scan(done.stdout.decode("utf-8", "replace"), outcome, masks)
            outcome.steps[step["id"]] = read_pairs(files["GITHUB_OUTPUT"])
            outcome.summary += files["GITHUB_STEP_SUMMARY"].read_text()
            assert not files["GITHUB_ENV"].read_text() and not files["GITHUB_PATH"].read_text(), "it stays in its step"
            outcome.success = done.returncode == 0
        for name, spec in definition["outputs"].items():
            outcome.outputs[name] = resolve(spec["value"])
        for name, value in outcome.outputs.items():
            assert not any(mask and mask in value for mask in masks), f"a secret in the output {name}"
    return outcome
