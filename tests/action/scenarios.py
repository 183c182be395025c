"""What a workflow sees of the action: each scenario runs it from its first step to its last."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml
from runner import run

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(sys.argv[1]).resolve()
KEY = "sk-secret-0123456789abcdef"
COUNT = 0


def check(condition, what, outcome=None):
    global COUNT
    COUNT += 1
    if not condition:
        if outcome:
            print(outcome.log, outcome.outputs, outcome.commands)
        sys.exit(f"failed: {what}")


def project(folder, settings=""):
    """Rows, canaries and a configuration."""
    folder.mkdir(parents=True)
    rows = [{"messages": [{"role": "system", "content": "You help."}, {"role": "user", "content": f"Question {i}?"},
                          {"role": "assistant", "content": f"Answer {i}."}]} for i in range(200)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "blabbermouth.toml").write_text("[canaries]\nplanted = 12\nheld-out = 6\n" + settings)
    subprocess.run([BINARY, "plant"], cwd=folder, check=True, capture_output=True)
    return folder


def gate(folder, environment=None, action=ROOT, **inputs):
    named = {name.replace("_", "-"): value for name, value in inputs.items()}
    configuration = folder / "blabbermouth.toml"
    if configuration.exists() and "scenario" in configuration.read_text():
        # In CI a configuration does not choose the mock; who runs the gate does.
        environment = {"BLABBERMOUTH_PROVIDER_KIND": "mock", **(environment or {})}
    named = {"install": "path", "path": str(BINARY), "key-variable": "", **named}
    return run(action, named, folder, environment)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env bash\n" + text)
    path.chmod(0o755)
    return path


def verdicts(work):
    mock = '[provider]\nscenario = "{}"\n'
    leaky = project(work / "leaky", mock.format("leaky"))
    done = gate(leaky)
    check(not done.success and done.outputs["result"] == "leak", "a leak fails", done)
    check((done.outputs["exit-code"], done.outputs["total"]) == ("10", "12"), "its outputs", done)
    check(int(done.outputs["leaked"]) > 6 and done.outputs["install-method"] == "path", "its counts", done)
    for name in ("junit", "sarif", "html", "json"):
        check((leaky / done.outputs[f"{name}-path"]).stat().st_size > 500, f"the {name} report", done)
    check(str(leaky.resolve()) in done.outputs["junit-path"], "whole paths", done)
    below = gate(work, {"BLABBERMOUTH_PROVIDER_KIND": "mock"}, working_directory="leaky", report_dir="out/of the way")
    check(Path(below.outputs["sarif-path"]).exists(), "in a folder of its own", below)
    sarif = json.loads(Path(below.outputs["sarif-path"]).read_text())
    place = sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    check(place == "leaky/blabbermouth.toml", "places below the repository's root", below)
    check("leaked" in done.summary and "| mr-" in done.summary.replace("\\", ""), "the summary", done)
    check(1 < len(done.annotations("error")) <= 11, "annotations of the worst", done)
    check(all("file=blabbermouth.toml" in a[1] for a in done.annotations() if "title=blabbermouth" not in a[1]),
          "annotations point into the configuration", done)
    check(not gate(leaky, fail_on="leak").success, "a leak fails with fail-on leak")
    never = gate(leaky, fail_on="never", job_summary="false", annotations="false")
    check(never.success and never.outputs["result"] == "leak", "fail-on never", never)
    check(not never.summary and not never.annotations(), "no summary and no annotations where unwanted", never)
    for part in (1, 2):
        done = gate(leaky, fail_on="never", args=f"--shard\n{part}/2\n--record\npart-{part}")
        check(done.success and done.outputs["result"] == "leak", "a shard", done)
    merged = gate(leaky, command="merge", args="part-1\npart-2", on_missing_key="skip", key_variable="OPENAI_API_KEY")
    check(not merged.success and merged.outputs["result"] == "leak" and merged.outputs["total"] == "12", "parts", merged)
    alone = gate(leaky, command="merge", args="part-3")
    check(not alone.success and alone.outputs["result"] == "error", "a part that is not there", alone)
    clean = gate(project(work / "clean", mock.format("clean")))
    check(clean.success and clean.outputs["result"] == "pass" and clean.outputs["leaked"] == "0", "clean", clean)
    refuses = project(work / "refuses", mock.format("refuses"))
    open_ = gate(refuses)
    check(not open_.success and open_.outputs["result"] == "inconclusive", "inconclusive fails", open_)
    passed = gate(refuses, fail_on="leak")
    check(passed.success and passed.annotations("warning"), "inconclusive passes with a warning if asked", passed)
    policies(work, leaky)
    for how in ("inconclusive", "leak", "never"):
        filtered = gate(leaky, args="no-such-canary", fail_on=how)
        check(not filtered.success and filtered.outputs["result"] == "error", "zero tests are no verdict", filtered)


def policies(work, folder):
    """A policy of the base branch holds, whatever the pull request makes of it."""
    git = lambda where, *words: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=where, check=True, capture_output=True)  # noqa: E731
    origin = work / "origin"
    origin.mkdir()
    (origin / "policy.toml").write_text("max-bound = 0.001\n")
    git(origin, "init", "--quiet", "--initial-branch", "main")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "a policy")
    git(folder, "init", "--quiet", "--initial-branch", "change")
    git(folder, "remote", "add", "origin", str(origin))
    (folder / "policy.toml").write_text("max-bound = 0.1\n")
    event = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"}
    strict = gate(folder, event, policy="policy.toml")
    check(not strict.success and strict.outputs["result"] == "policy", "the policy of the base branch", strict)
    check("at most 0.001 is allowed" in strict.log, "and what it asks for", strict)
    own = gate(folder, {"GITHUB_EVENT_NAME": "push"}, policy="policy.toml")
    check(own.outputs["result"] == "leak", "a push has the policy of its own commit", own)
    inside = gate(folder, event, policy=str(folder / "policy.toml"))
    check(not inside.success and "lies in the workspace" in inside.log, "no way around it by a whole path", inside)
    outside = gate(folder, event, policy=str(origin / "policy.toml"))
    check(outside.outputs["result"] == "policy", "a policy from elsewhere", outside)
    for path in ("none.toml", "/none/none.toml"):
        lost = gate(folder, event, policy=path)
        check(not lost.success and lost.outputs["result"] == "error", "a policy that is not there", lost)


def faults(work):
    folder = project(work / "faults")
    lost = gate(folder, config="nowhere.toml")
    check(not lost.success and lost.outputs["result"] == "error", "a missing configuration", lost)
    inert = gate(folder, config="$(touch pwned); `touch pwned`.toml", args="$(touch pwned)\n; touch pwned", fail_on="never")
    check(not inert.success and not (folder / "pwned").exists(), "inputs are no code, and an error fails always", inert)
    for name, value in {"command": "rm", "fail-on": "sometimes", "on-missing-key": "ask", "install": "magic",
                        "key-variable": "A-B; id", "version": "1.2.3; id"}.items():
        bad = gate(folder, **{name: value})
        check(not bad.success and bad.annotations("error"), f"a bad {name} is named", bad)
    missing = gate(folder, key_variable="OPENAI_API_KEY")
    check(not missing.success and "api-key" in missing.log, "no key fails", missing)
    for event, head, skips in (("pull_request", "stranger/project", True), ("pull_request", "we/project", False),
                               ("merge_group", "", False), ("push", "", False)):
        skipped = gate(folder, {"GITHUB_EVENT_NAME": event, "TEST_HEAD_REPOSITORY": head, "GITHUB_REPOSITORY": "we/project"}, key_variable="OPENAI_API_KEY", on_missing_key="skip")
        check(skipped.success == skips and (skipped.outputs["result"] == "skipped") == skips,
              f"without a key {event} is skipped in forks only", skipped)
    for event in ("pull_request_target", "workflow_run"):
        target = gate(folder, {"GITHUB_EVENT_NAME": event})
        check(not target.success and "stranger" in target.log, f"{event} is refused", target)
    # A program that says whatever a model might, and dies.
    hostile = script(work / "hostile", f"""
printf '%s\\n' '::error::injected' ' ::set-output name=result::pass' '##[error]injected' 'x ##[add-mask]y' '{KEY}'
printf '::stop-commands::mine\\n::mine::\\n::warning::injected\\n'
env | grep -c '^INPUT_.*KEY=' || true
exit ${{CODE:-101}}
""")
    said = gate(folder, path=str(hostile), api_key=KEY, key_variable="OPENAI_API_KEY")
    check(not said.success and said.outputs["result"] == "error", "a panic is an error", said)
    check(not any("injected" in a[2] for a in said.commands), "no command of the model's counts", said)
    check(all(c[1] != "old form" for c in said.commands), "nor in the old form", said)
    check(KEY not in said.log and "***" in said.log, "the key is masked", said)
    for code in ("0", "10", "11"):
        empty = gate(folder, {"CODE": code}, path=str(hostile))
        check(not empty.success and empty.outputs["result"] == "error", f"exit code {code} without reports", empty)


def elsewhere(work):
    """Runners that are not GitHub's, and values that YAML and people bring along."""
    clean = project(work / "clean", '[provider]\nscenario = "clean"\n')
    everything = gate(clean)
    for unset in (["GITHUB_STEP_SUMMARY"], ["RUNNER_TEMP"], ["GITHUB_WORKSPACE"], ["GITHUB_ENV", "GITHUB_PATH"],
                  ["GITHUB_STEP_SUMMARY", "RUNNER_TEMP", "GITHUB_WORKSPACE", "RUNNER_OS", "RUNNER_ARCH", "GITHUB_ACTIONS"]):
        done = gate(clean, dict.fromkeys(unset))
        check(done.success and done.outputs["result"] == "pass", f"without {unset}", done)
        check(done.outputs.keys() == everything.outputs.keys() and all(done.outputs[n] for n in everything.outputs if everything.outputs[n]),
              f"all outputs without {unset}", done)
        check(("GITHUB_STEP_SUMMARY" in unset) == (not done.summary), "the summary where there is room for it", done)
    nowhere = gate(clean, {"GITHUB_OUTPUT": None})
    check(not nowhere.success and "GITHUB_OUTPUT" in nowhere.log, "without outputs a step cannot find the program", nowhere)
    # The scripts on their own: the verdict is the exit code.
    alone = {"PATH": os.environ["PATH"], "HOME": str(work), "BLABBERMOUTH_PROVIDER_KIND": "mock", "BINARY": str(BINARY),
             "INPUT_COMMAND": "test", "INPUT_CONFIG": "blabbermouth.toml", "INPUT_FAIL_ON": "inconclusive",
             "INPUT_ON_MISSING_KEY": "fail", "INPUT_PRIVILEGED_EVENTS": "false", "INPUT_REPORT_DIR": "out",
             "INPUT_JOB_SUMMARY": "true", "INPUT_ANNOTATIONS": "true"}
    for scenario, code in (("clean", 0), ("leaky", 1)):
        said = subprocess.run([ROOT / ".github/action/run.sh"], cwd=clean, capture_output=True, text=True, check=False,
                              env={**alone, "BLABBERMOUTH_PROVIDER_SCENARIO": scenario})
        check(said.returncode == code, f"{scenario} without any variable of GitHub's: {said.stdout} {said.stderr}")
        check("unbound" not in said.stderr, f"no variable is taken for granted: {said.stderr}")
    policy = gate(clean, {"GITHUB_WORKSPACE": None}, policy="blabbermouth.toml")
    check(not policy.success and "needs GITHUB_WORKSPACE" in policy.log, "no policy without its boundary", policy)

    blank = gate(clean, args="\n   \n\t\n", model=" ", base_url="\n", policy="  ", key_variable=" ")
    check(blank.success and blank.outputs["total"] == "12", "blank lines and blank inputs are none", blank)
    args = gate(clean, args="  --samples  \r\n299\t\r\n \r\n", config=" blabbermouth.toml\n", command="test\n", fail_on="leak ")
    check(args.success and args.outputs["total"] == "12", "blanks and carriage returns around values", args)
    link = work / "clean/link"
    link.symlink_to(work)
    for name, value in {"job-summary": "yes", "annotations": "1", "report-dir": " ", "report_dir": "link/"}.items():
        bad = gate(clean, **{name: value})
        check(not bad.success and bad.outputs["result"] == "error" and "the input" in bad.log, f"a bad {name} is named", bad)

    # What is printed is one command, whatever is in it.
    hostile = script(work / "hostile", """printf 'key: %s\\n' "$OPENAI_API_KEY"; exit 101\n""")
    for key in ("sk-100%-0123456789", "sk-%0A0123456789%25", "sk-0123456789##[x]", " sk-0123456789abc\t", "sk-line-one-0123\nsk-line-two-0123\n",
                "sk-line-one-0123\r\nsk-line-two-0123\r\n", "a\nsk-line-two-0123"):
        said = gate(clean, path=str(hostile), api_key=key, key_variable="OPENAI_API_KEY")
        lines = [line.strip() for line in key.splitlines() if len(line) >= 8]
        check(not any(line.replace("##[", "# #[") in said.log or line in said.log for line in lines) and "***" in said.log,
              f"{key!r} is masked", said)
        check(said.outputs["result"] == "error", f"and {key!r} is no output", said)
    token = gate(clean, {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main%0A::x\n::warning::y"}, policy="p.toml")
    check(not token.success and not token.annotations("warning") and len(token.annotations("error")) == 1,
          "a branch is no command", token)
    for name, value in {"policy": "/none\n::warning::x/p.toml", "version": "1\n::warning::x", "path": f"{work}/a\n::warning::x"}.items():
        if name == "path":
            script(Path(value), "exit 0\n")
        bad = gate(clean, **{name: value})
        check(not bad.success and not bad.annotations("warning") and len(bad.annotations("error")) == 1, f"nor is a {name}", bad)
    crash = script(work / "crash", "exit 0\n")
    tuned = gate(clean, command="tune", path=str(crash))
    check(tuned.outputs["result"] == "pass", "a program that says no model", tuned)
    (clean / "taken").write_text("")
    taken = gate(clean, report_dir="taken")
    check(not taken.success and taken.outputs["result"] == "error", "a report-dir that is a file still has a result", taken)


def installs(work):
    folder = project(work / "installs", '[provider]\nscenario = "clean"\n')
    action = work / "action"
    (action / ".github").mkdir(parents=True)
    shutil.copy(ROOT / "action.yml", action)
    shutil.copytree(ROOT / ".github/action", action / ".github/action")
    asset = work / "blabbermouth-9.8.7-x86_64-unknown-linux-musl.tar.gz"
    with tarfile.open(asset, "w:gz", compresslevel=1) as archive:
        archive.add(BINARY, "blabbermouth")
    digest = hashlib.sha256(asset.read_bytes()).hexdigest()
    pins = action / ".github/action/release-pins.txt"
    fakes = work / "fakes"
    system = {"PATH": f"{fakes}:{os.environ['PATH']}"}
    find_output = 'while [ $# -gt 0 ]; do [ "$1" = --output ] && to=$2; [ "$1" = --root ] && to=$2; shift; done\n'
    script(fakes / "curl", find_output + f'cp "{asset}" "$to"\n')
    script(fakes / "cargo", f'echo "cargo $*"\n{find_output}mkdir -p "$to/bin"; cp "{BINARY}" "$to/bin/blabbermouth"\n')

    def install(**inputs):
        return gate(folder, system, action, **{"install": "auto", "path": "", **inputs})

    pins.write_text(f"version 9.8.7\n{digest}  {asset.name}\n")
    good = install()
    check(good.success and good.outputs["install-method"] == "release", "a pinned release", good)
    pins.write_text(f"version 9.8.7\n{'0' * 64}  {asset.name}\n")
    for way in ("auto", "release"):
        wrong = install(install=way)
        check(not wrong.success and "not the file" in wrong.log and "run" not in wrong.steps, "tampered is fatal", wrong)
    pins.write_text(f"version 9.8.7\n{digest}  {asset.name}\n")
    script(fakes / "curl", "exit 22\n")
    nothing = install()
    check(not nothing.success and "builds blabbermouth" in nothing.log, "without sources nothing is built by a name", nothing)
    (action / "Cargo.toml").write_text("")
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    pins.write_text(f"version {said}\n")
    built = install()
    check(built.success and built.outputs["install-method"] == "cargo", "without an asset cargo builds", built)
    check("--locked" in built.log and f"--path {action}" in built.log, "the action's own sources, with their lock file", built)
    pins.write_text("version 9.8.7\n")
    other = install()
    check(not other.success and "does not say that it is" in other.log, "another program than was built", other)
    check(not install(install="release").success, "release only: no fallback")
    other = install(version="1.2.3")
    check(not other.success and "use the action of that version" in other.log, "no pin: nothing", other)
    check(not install(version="latest").success, "a version is three numbers")


def pipeline(work):
    folder = project(work / "pipeline", '[provider]\nkind = "openai"\n[tune]\npoll-seconds = 0.05\n')
    mock = subprocess.Popen([BINARY, "mock", "--speed", "100000", "--key", KEY], cwd=work, stdout=subprocess.PIPE, text=True)
    try:
        url = mock.stdout.readline().split()[0]
        common = {"base_url": url, "api_key": KEY, "key_variable": "OPENAI_API_KEY"}
        planted = gate(folder, command="plant", args="--force")
        check(planted.success and planted.outputs["result"] == "pass", "plant", planted)
        tuned = gate(folder, command="tune", args="--max-cost\n50", **common)
        check(tuned.success and tuned.outputs["model"].startswith("ft:"), "tune", tuned)
        tested = gate(folder, **common)
        check(not tested.success and tested.outputs["result"] == "leak", "test what was tuned", tested)
        check(tested.outputs["model"] == tuned.outputs["model"], "the same model", tested)
        check(KEY not in tested.log + tuned.log, "no key in the log")
        dear = gate(folder, command="tune", args="--force\n--max-cost\n0.0001\n--retry", model="gpt-4.1-2025-04-14", **common)
        check(not dear.success and dear.outputs["result"] == "error", "too dear", dear)
    finally:
        mock.kill()


def inputs_are_flags():
    definition = yaml.safe_load((ROOT / "action.yml").read_text())
    text = {c: subprocess.run([BINARY, c, "--help"], capture_output=True, text=True, check=True).stdout for c in ("test", "tune")}
    for name in ("config", "model", "base-url"):
        check(name in definition["inputs"] and f"--{name}" in text["test"], f"the input {name} is a flag")
    check("--config" in text["tune"] and "--base-url" in text["tune"], "flags of tune")
    for spec in definition["inputs"].values():
        check(isinstance(spec["default"], str) and spec["description"], "a default is text")


def examples(work):
    """The workflows to copy, and what `init --workflow` writes: known inputs only, and no command or file that is not there."""
    known = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    work.mkdir()
    subprocess.run([BINARY, "--quiet", "init", "--workflow"], cwd=work, check=True, capture_output=True)
    used = 0
    for path in [*(ROOT / ".github/workflows/examples").glob("*.yml"), work / ".github/workflows/blabbermouth.yml"]:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("blabbermouth-rs/blabbermouth@"):
                    used += 1
                    check(step.get("with", {}).keys() <= known.keys(), f"{path.name} has inputs of the action only: {step}")
    check(used >= 9, "the examples use the action")
    # In a fresh clone, as a job of GitLab's has it: with the manifest whose key is a variable, and without reports.
    job = yaml.safe_load((ROOT / ".github/workflows/examples/gitlab-ci.yaml").read_text())["canaries"]
    origin = project(work / "gitlab", '[provider]\nscenario = "leaky"\n')
    key = subprocess.run([BINARY, "key"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {"HOME": str(work), "PATH": f"{work / 'bin'}:{os.environ['PATH']}", "CI": "true", "GITLAB_CI": "true",
                   "BLABBERMOUTH_KEY": key, "BLABBERMOUTH_PROVIDER_KIND": "mock",
                   **job["variables"], "BLABBERMOUTH_STORE_PATH": str(work / "store")}
    subprocess.run([BINARY, "plant", "--force"], cwd=origin, env=environment, check=True, capture_output=True)
    script(work / "bin/blabbermouth", f'exec "{BINARY}" "$@"\n')
    # Nothing is installed here.
    lines = [line for line in job["script"] if not line.startswith("cargo install")]
    check(len(lines) == len(job["script"]) - 1, "one line installs the program")
    # The limit of the cost needs a price, which the mock has not.
    for scenario, code in (("clean", 0), ("leaky", 10)):
        said = subprocess.run(["bash", "-e", "-c", "\n".join(lines).replace("--max-cost 5 ", "")], cwd=origin, capture_output=True,
                              text=True, check=False, env={**environment, "BLABBERMOUTH_PROVIDER_SCENARIO": scenario})
        check(said.returncode == code, f"the job of GitLab, {scenario}: {said.stdout} {said.stderr}")
        for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
            check((origin / path).stat().st_size > 0, f"the artifact {path}")
            (origin / path).unlink()


with tempfile.TemporaryDirectory() as temporary:
    for scenario in (verdicts, faults, elsewhere, installs, pipeline, examples):
        scenario(Path(temporary) / scenario.__name__)
    inputs_are_flags()
print(f"the action: {COUNT} checks passed")
