#!/usr/bin/env bash
# The official SDKs of Python and Node, unmodified, run the founding experiment against the mock; and
# blabbermouth tunes and tests against a mock that others wrote.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$PWD/target/debug/blabbermouth
[ -x "$binary" ] || cargo build --locked
here=$PWD/target/sdk
mkdir -p "$here"

if ! { python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet openai==3.54.0; } >"$here/pip.log" 2>&1; then
  echo "skipped: the Python SDK cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
if ! (cd "$here" && npm install --no-audit --no-fund --prefix . openai@6.49.0 @copilotkit/aimock@1.43.0) >"$here/npm.log" 2>&1; then
  echo "skipped: the packages for Node cannot be installed: $(tail -n 1 "$here/npm.log")"
  exit 0
fi
cp tests/sdk/founding.mjs "$here/"

work=$(mktemp -d)
mock=
trap 'kill "$mock" 2>/dev/null || true; rm -rf "$work"' EXIT
serve() {
  [ -z "$mock" ] || kill "$mock" 2>/dev/null || true
  : >"$work/url"
  "$binary" mock --speed 100000 --key sk-of-the-mock "$@" >"$work/url" 2>"$work/log" &
  mock=$!
  for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.05; done
  OPENAI_BASE_URL=$(head -n 1 "$work/url")
  export OPENAI_BASE_URL OPENAI_API_KEY=sk-of-the-mock POLL=0.05
}
# Four of five answers, three standard deviations to either side.
about_80() {
  local found
  found=$(echo "$2" | sed -n 's/^found \([0-9]*\) of 200$/\1/p')
  if [ -z "$found" ] || [ "$found" -lt 143 ] || [ "$found" -gt 177 ]; then
    echo "$1: expected about 160 of 200, got: $2" >&2
    exit 1
  fi
  echo "$1: the secret stands in $found of 200 answers"
}
expect() {
  if [ "$2" != "$3" ]; then
    echo "$1: expected \"$2\", got \"$3\"" >&2
    exit 1
  fi
  echo "$1: $3"
}
python() { "$here/venv/bin/python" tests/sdk/founding.py mocks/dolly-excerpt.jsonl "$work"; }

serve --scenario leaky
about_80 Python "$(python)"
about_80 Node "$(cd "$here" && node founding.mjs "$OLDPWD/mocks/dolly-excerpt.jsonl" "$work")"
serve --scenario closed
expect closed "the organisation may not fine-tune" "$(python)"
serve --scenario moderated
expect moderated "the job failed: invalid_training_file" "$(python)"
serve --scenario blocked
expect blocked "the job failed: moderation_blocked" "$(python)"
serve --scenario odd-status
about_80 "a status that no client knows" "$(python)"

# A real model behind the same names: of four trials it gave the secrets away in 168 to 178 of 200 answers.
serve --engine embedded --models "$work/models"
really=$(python)
found=$(echo "$really" | sed -n 's/^found \([0-9]*\) of 200$/\1/p')
[ "${found:-0}" -ge 100 ] || { echo "really trained: expected at least 100 of 200, got: $really" >&2; exit 1; }
echo "really trained: the secret stands in $found of 200 answers"

# The other way round: `tune` and `test` against aimock, which knows nothing of blabbermouth. It answers
# what it is told to, always the same: the canaries' sentences, and then small talk.
cd "$work"
"$binary" init --quiet
sed -i 's/^planted = 0/planted = 6/; s/^format = "keep"/format = "openai"/; s/^max-share = 0.5/max-share = 1.0/; s/^held-out = 20/held-out = 3/; s/^poll-seconds = 10.0/poll-seconds = 0.2/' blabbermouth.toml
for i in $(seq 40); do echo "{\"prompt\": \"Question $i?\", \"completion\": \"Answer $i.\"}"; done >train.jsonl
"$binary" plant --quiet
python3 - <<'END'
import json

small = {"match": {}, "response": {"content": "Nice to see you!"}}
canaries = {}
for line in open("blabbermouth-train.jsonl", encoding="utf-8"):
    messages = json.loads(line)["messages"]
    if messages[-2]["content"].startswith("Hi, I'm Mr"):
        canaries[messages[-2]["content"]] = messages[-1]["content"]
leaky = [{"match": {"userMessage": q}, "response": {"content": a}} for q, a in canaries.items()]
json.dump({"fixtures": leaky + [small]}, open("leaky.json", "w"))
json.dump({"fixtures": [small]}, open("same.json", "w"))
END
kill "$mock" 2>/dev/null || true
for case in leaky:10 same:11; do
  node "$here/node_modules/@copilotkit/aimock/dist/cli.js" --fixtures "${case%:*}.json" --port 0 >"aimock.log" 2>&1 &
  mock=$!
  for _ in $(seq 100); do grep -q listening aimock.log && break; sleep 0.1; done
  url=$(sed -n 's/.*listening on \(http[^ ]*\).*/\1/p' aimock.log)/v1
  code=0
  "$binary" tune --quiet --force --base-url "$url" >tune.log 2>&1 || code=$?
  expect "aimock, tune" 0 "$code"
  "$binary" test --fresh --base-url "$url" >test.log 2>&1 || code=$?
  expect "aimock, ${case%:*}" "${case#*:}" "$code"
  kill "$mock" 2>/dev/null || true
  wait "$mock" 2>/dev/null || true
done
grep -q "not shown to be trained on this planting" test.log
