#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment, and runs its pytest plugin under the real pytest.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/target/python
root=$PWD
mkdir -p "$here"
if ! { python3 -m venv "$here/build" && "$here/build/bin/pip" install --quiet 'maturin>=1.9,<2'; } >"$here/pip.log" 2>&1; then
  echo "skipped: maturin cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
rm -rf "$here/wheel" "$here/venv"
# The profile of the tests: what they built is used again.
(cd python && "$here/build/bin/maturin" build --quiet --locked --profile dev --out "$here/wheel")
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet pytest==8.4.2 "$here"/wheel/*.whl
"$here/venv/bin/blabbermouth" --version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$root/mocks/dolly-excerpt.jsonl" train.jsonl
expect() {
  local name=$1 wanted=$2 code=0
  shift 2
  PATH="$here/venv/bin:$PATH" pytest -p no:cacheprovider "$@" >out.txt 2>&1 || code=$?
  if ! tail -n 3 out.txt | grep -q "$wanted"; then
    echo "$name: expected $wanted, got (exit code $code):" >&2
    cat out.txt >&2
    exit 1
  fi
  echo "pytest, $name: $(tail -n 1 out.txt)"
}
# In CI a configuration does not choose the mock; who runs the gate does.
export BLABBERMOUTH_PROVIDER_KIND=mock
for scenario in leaky clean refuses; do
  printf '[canaries]\nplanted = 12\nheld-out = 2\n[provider]\nscenario = "%s"\n' "$scenario" >"$scenario.toml"
done
"$here/venv/bin/blabbermouth" plant --config clean.toml >/dev/null 2>&1
printf 'def test_of_ones_own():\n    pass\n' >test_own.py
expect leaky '13 failed, 5 passed' --blabbermouth leaky.toml test_own.py --deselect test_own.py
grep -q 'leaked: its secret was given away' out.txt
# Which canaries are planted is drawn.
one=$(grep -oE '^FAILED .*c[0-9]{4}' out.txt | grep -oE 'c[0-9]{4}$' | head -n 1)
expect clean '19 passed' --blabbermouth clean.toml .
expect refuses '18 failed' --blabbermouth refuses.toml refuses.toml
expect 'one canary' '1 failed' --blabbermouth leaky.toml leaky.toml -k "$one"
expect 'without the option' '1 passed'
expect 'no configuration' 'there is no' --blabbermouth nowhere.toml
