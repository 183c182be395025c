#!/usr/bin/env bash
# Plants canaries in training rows of every shape and container, made by the libraries that make such files: datasets, pyarrow, pandas.
# The user's rows have to stay as they are, and the canaries have to be readable together with them.
# BLABBERMOUTH names the program. Words as arguments select inputs by kind or name. Ends with 1 where an input has a fault.
# Skipped, with the reason, where the packages cannot be installed.
set -euo pipefail
tests=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$tests/../.." && pwd)
program=${BLABBERMOUTH:-$root/target/debug/blabbermouth}
[ -x "$program" ] || (cd "$root" && cargo build --locked)
here=$root/target/rows-e2e
mkdir -p "$here"
packages=(datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6 zstandard==0.25.0)
if ! { python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet "${packages[@]}"; } >"$here/pip.log" 2>&1; then
  echo "skipped: the packages cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
# Nothing is fetched, and nothing of the caller's settings is read.
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$here/home PYTHONDONTWRITEBYTECODE=1
unset "${!BLABBERMOUTH_@}" CI GITHUB_ACTIONS
exec "$here/venv/bin/python" "$tests/rows.py" "$program" "$here/work" "$@"
