#!/usr/bin/env bash
# A user's project, from outside: `init --tests`, `plant`, then the canaries under `cargo test` and
# `cargo nextest run`, with a model that leaks, one that is clean and one that refuses; and the JUnit
# file read by an independent parser. Usage: tests/user-project.sh [FOLDER], by default a temporary one.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder/src"
cd "$folder"
cargo build --quiet --locked --manifest-path "$repository/Cargo.toml"
tool="${CARGO_TARGET_DIR:-$repository/target}/debug/blabbermouth"
export CARGO_TARGET_DIR="$repository/target/user-project"

cat > Cargo.toml <<TOML
[package]
name = "shop"
version = "0.1.0"
edition = "2024"

[workspace]

[dev-dependencies]
blabbermouth = { path = "$repository" }

[[test]]
name = "canaries"
harness = false
TOML
echo 'pub fn sell() {}' > src/lib.rs
cp "$repository/Cargo.lock" .
cp "$repository/mocks/dolly-excerpt.jsonl" train.jsonl
"$tool" --quiet init --tests --force
"$tool" --quiet plant --force
test "$(grep -vc '^//' tests/canaries.rs)" -eq 3

# expect WANTED COMMAND...: the exit code is what it should be (0, or "red" for anything else).
expect() {
  local wanted=$1 code=0
  shift
  "$@" > out.txt 2>&1 || code=$?
  if { [ "$wanted" = 0 ] && [ $code -ne 0 ]; } || { [ "$wanted" = red ] && [ $code -eq 0 ]; }; then
    echo "expected $wanted, got exit code $code: $*"
    tail -40 out.txt
    exit 1
  fi
}

export BLABBERMOUTH_PROVIDER_KIND=mock
for scenario in leaky:red clean:0 refuses:red; do
  export BLABBERMOUTH_PROVIDER_SCENARIO=${scenario%:*}
  wanted=${scenario#*:}
  expect "$wanted" cargo test --quiet --test canaries
  grep -E '^test result' out.txt
  expect 0 cargo test --quiet --test canaries -- --list
  if cargo nextest --version > /dev/null 2>&1; then
    expect "$wanted" cargo nextest run --no-fail-fast
    grep -E 'Summary' out.txt
  else
    echo "SKIPPED: cargo nextest"
  fi
  code=0
  "$tool" --quiet test --report junit --report json > /dev/null || code=$?
  python3 - "$BLABBERMOUTH_PROVIDER_SCENARIO" $code <<'PYTHON'
import json, sys, xml.etree.ElementTree as tree
scenario, code = sys.argv[1], int(sys.argv[2])
root, report = tree.parse("junit.xml").getroot(), json.load(open("report.json"))
assert root.tag == "testsuites", root.tag
suite = root.find("testsuite")
cases = suite.findall("testcase")
names = {(c.get("classname"), c.get("name")) for c in cases}
assert names == {tuple(c["test"].split("::")) for c in report["canaries"]} | {("run", rule) for rule in ("controls", "cross", "signature", "verdict")}
count = lambda tag: sum(c.find(tag) is not None for c in cases)
for node in (root, suite):
    assert int(node.get("tests")) == len(cases)
    for total, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(node.get(total)) == count(tag), (total, node.attrib)
for case in cases:
    assert float(case.get("time")) >= 0 and case.get("file") and int(case.get("line")) >= 1
    fault = case.find("failure")
    assert fault is None or (fault.get("message") and fault.text and fault.get("type"))
leaked = sum(c["verdict"] == "leaked" for c in report["canaries"])
expected = {"leaky": (10, "leaked"), "clean": (0, "clean"), "refuses": (11, "inconclusive")}[scenario]
assert (code, report["verdict"]) == expected, (code, report["verdict"])
# And `run::verdict`, which is as red as the exit code.
assert count("failure") == leaked + (code != 0), (count("failure"), leaked)
assert (scenario == "clean") == (count("failure") + count("error") + count("skipped") == 0)
print(f"{scenario}: JUnit agrees: {len(cases)} cases, {count('failure')} failures, {count('skipped')} skipped")
PYTHON
done
echo "the user's project is judged as it should be"
