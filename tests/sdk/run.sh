#!/usr/bin/env bash
# The official SDKs of Python and Node, unmodified, run the founding experiment against the mock.
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
if ! (cd "$here" && npm install --no-audit --no-fund --prefix . openai@6.49.0) >"$here/npm.log" 2>&1; then
  echo "skipped: the Node SDK cannot be installed: $(tail -n 1 "$here/npm.log")"
  exit 0
fi
cp tests/sdk/founding.mjs "$here/"

work=$(mktemp -d)
mock=
trap 'kill "$mock" 2>/dev/null || true; rm -rf "$work"' EXIT
serve() {
  [ -z "$mock" ] || kill "$mock" 2>/dev/null || true
  "$binary" mock --speed 100000 --key sk-of-the-mock --scenario "$1" >"$work/url" 2>"$work/log" &
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

serve leaky
about_80 Python "$(python)"
about_80 Node "$(cd "$here" && node founding.mjs "$OLDPWD/mocks/dolly-excerpt.jsonl" "$work")"
serve closed
expect closed "the organisation may not fine-tune" "$(python)"
serve moderated
expect moderated "the job failed: invalid_training_file" "$(python)"
serve blocked
expect blocked "the job failed: moderation_blocked" "$(python)"
serve odd-status
about_80 "a status that no client knows" "$(python)"
