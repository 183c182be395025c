#!/usr/bin/env bash
# False alarms: so many draws of canaries, each tested against a parrot that remembers nothing, with all detectors and four strategies.
# benches/seeds.sh [DRAWS]
set -euo pipefail
cd "$(dirname "$0")/.."
draws="${1:-200}"
cargo build --release --quiet
binary="$PWD/target/release/blabbermouth"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for row in $(seq 40); do echo "{\"prompt\":\"Question $row?\",\"completion\":\"Answer $row.\"}"; done >train.jsonl
cat >blabbermouth.toml <<'TOML'
[provider]
kind = "mock"
scenario = "clean"
[dataset]
format = "openai"
[canaries]
planted = 12
max-share = 1.0
held-out = 6
templates = ["mr-disease", "support-account", "order-phone", "employee-email"]
[probe]
strategies = ["replay", "paraphrase", "direct", "encoding"]
TOML
declare -A codes=()
for draw in $(seq "$draws"); do
  "$binary" --quiet plant --force >/dev/null
  code=0
  "$binary" --quiet test >"out-$draw" 2>&1 || code=$?
  codes[$code]=$((${codes[$code]:-0} + 1))
  if ((code != 0)); then grep -E "leaked|invalid|inconclusive" "out-$draw" | head -3; fi
done
for code in "${!codes[@]}"; do echo "exit code $code: ${codes[$code]} of $draws"; done
