#!/usr/bin/env bash
# Runs every fuzz target for some seconds, and prints how many inputs were tried and how many of them crashed:
#   tests/fuzz/run.sh [SECONDS [TARGET...]]
# What is found on the way is kept below tests/fuzz/target, what crashes below tests/fuzz/artifacts; the seeds stay as they are.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
seconds=${1:-60}
shift || true
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "cargo-fuzz is missing: rustup toolchain install nightly && cargo +nightly install --locked cargo-fuzz" >&2
  exit 2
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
fuzz() {
  local command=$1
  shift
  (cd "$here/../.." && cargo +nightly fuzz "$command" --fuzz-dir tests/fuzz "$@")
}
count() {
  find "$here/artifacts/$1" -type f \( -name 'crash-*' -o -name 'oom-*' -o -name 'timeout-*' -o -name 'leak-*' \) 2>/dev/null | wc -l
}
for target in "${targets[@]}"; do fuzz build "$target"; done
failed=0
rows=()
for target in "${targets[@]}"; do
  found=$here/target/found/$target
  log=$here/target/found/$target.log
  mkdir -p "$found" "$here/artifacts/$target"
  before=$(count "$target")
  code=0
  fuzz run "$target" "$found" "$here/corpus/$target" -- -max_total_time="$seconds" -print_final_stats=1 -timeout=20 \
    -rss_limit_mb=2048 >"$log" 2>&1 || code=$?
  tried=$(sed -nE 's/^stat::number_of_executed_units: *([0-9]+).*/\1/p' "$log" | tail -n 1)
  crashes=$(($(count "$target") - before))
  if [ "$code" -ne 0 ] || [ -z "$tried" ]; then
    failed=1
    # The same input crashes again under the same name.
    [ "$crashes" -gt 0 ] || crashes=1
    grep -aE -m 3 'panicked at|ERROR: |SUMMARY: ' -A 1 "$log" >&2 || tail -n 5 "$log" >&2
  fi
  rows+=("$(printf '%-14s | %12s | %7s' "$target" "${tried:-none}" "$crashes")")
done
printf '%-14s | %12s | %7s\n' target 'inputs tried' crashes
printf '%s\n' "${rows[@]}"
exit "$failed"
