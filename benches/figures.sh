#!/usr/bin/env bash
# The figures of the README's table, made again: planting at 1 and 100 times the size, listing, start.
# `benches/probing.rs` (cargo bench --bench probing) makes those of probing. Usage: benches/figures.sh
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
cargo build --quiet --release --locked --manifest-path "$repository/Cargo.toml"
tool="${CARGO_TARGET_DIR:-$repository/target}/release/blabbermouth"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# measure NAME COMMAND...: the fastest of five, and the peak memory of the last.
measure() {
  python3 - "$@" <<'PYTHON'
import resource, subprocess, sys, time
best = min(
    (lambda begin: (subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL), time.perf_counter() - begin)[1])(time.perf_counter())
    for _ in range(5)
)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{sys.argv[1]}: {best:.3f} s, peak {peak:.1f} MiB")
PYTHON
}

printf '[canaries]\nplanted = 80\nheld-out = 20\n' > blabbermouth.toml
for times in 100 10000; do
  python3 - "$repository/mocks/dolly-excerpt.jsonl" "$times" <<'PYTHON'
import sys
rows = open(sys.argv[1], "rb").read()
with open("train.jsonl", "wb") as out:
    for _ in range(int(sys.argv[2])):
        out.write(rows)
PYTHON
  measure "plant, $(wc -l < train.jsonl) rows, $(($(wc -c < train.jsonl) / 1000000)) MB, 100 canaries" "$tool" --quiet plant --force
done
rm train.jsonl blabbermouth-train.jsonl
head -100 "$repository/mocks/dolly-excerpt.jsonl" > train.jsonl
printf '[canaries]\nplanted = 9000\nheld-out = 1000\nmax-share = 1.0\n' > blabbermouth.toml
"$tool" --quiet plant --force
measure "test --list, 10,000 canaries" "$tool" test --list
measure "--help" "$tool" --help
ls -l "$tool" | awk '{printf "binary: %.1f MB\n", $5 / 1e6}'
