#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, and runs its pytest plugin under the real pytest.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/target/python
mkdir -p "$here"
if ! { python3 -m venv "$here/build" && "$here/build/bin/pip" install --quiet 'maturin>=1.9,<2'; } >"$here/pip.log" 2>&1; then
  echo "skipped: maturin cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
rm -rf "$here/wheel"
# The profile of the tests: what they built is used again.
(cd python && "$here/build/bin/maturin" build --quiet --locked --profile dev --out "$here/wheel")
# Node ids are text in pytest 8, and have parts in pytest 9.2.
for version in 8.4.2 9.2.0; do
  rm -rf "$here/venv"
  python3 -m venv "$here/venv"
  "$here/venv/bin/pip" install --quiet "pytest==$version" pytest-xdist==3.8.0 "$here"/wheel/*.whl
  "$here/venv/bin/blabbermouth" --version
  tests/python/plugin.sh "$here/venv"
done
