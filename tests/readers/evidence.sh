#!/usr/bin/env bash
# Evidence of a leaking and of a clean run, read by the libraries of those that take it, and verified by OpenSSL.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$PWD/target/debug/blabbermouth
[ -x "$binary" ] || cargo build --locked
readers=$PWD/tests/readers
here=$PWD/target/evidence
rm -rf "$here/project"
mkdir -p "$here/project"
packages=('cyclonedx-python-lib[json-validation]==11.12.0' in-toto-attestation==0.9.3 huggingface_hub==2.4.0
  securesystemslib==1.6.0 cryptography==50.0.2)
if ! { python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet "${packages[@]}"; } >"$here/pip.log" 2>&1; then
  echo "skipped: the libraries cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
cd "$here/project"
export BLABBERMOUTH_PROVIDER_KIND=mock BLABBERMOUTH_KEY=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
cat >blabbermouth.toml <<'TOML'
[canaries]
planted = 8
max-share = 1.0
held-out = 4
[context]
audience = "customers: \"all\" <b>of</b> them | and\nmore"
purpose = "---\nsupport"
TOML
for row in 1 2 3 4 5 6 7 8 9 10 11 12; do
  echo '{"instruction":"What is '"$row"'?","context":"","response":"A number.","category":"open_qa"}'
done >train.jsonl
"$binary" --quiet plant
openssl genpkey -algorithm ed25519 -out private.pem
openssl pkey -in private.pem -pubout -out public.pem
mkdir adapter
echo weights >adapter/adapter_model.safetensors

# Runs the test in a scenario; the code of `verify`, and the result that a gate reads, have to be these.
check() {
  local scenario=$1 tested=$2 verified=$3 result=$4 code=0
  BLABBERMOUTH_PROVIDER_SCENARIO=$scenario "$binary" --quiet test --fresh --report "evidence=$scenario" --subject adapter \
    --sign-with private.pem >/dev/null || code=$?
  [ "$code" = "$tested" ] || { echo "$scenario: test ended with $code, expected $tested" >&2; exit 1; }
  code=0
  "$binary" --quiet verify "$scenario" --key public.pem --subject adapter >/dev/null || code=$?
  [ "$code" = "$verified" ] || { echo "$scenario: verify ended with $code, expected $verified" >&2; exit 1; }
  found=$("$here/venv/bin/python" "$readers/evidence.py" "$scenario" public.pem)
  [ "$found" = "$result" ] || { echo "$scenario: $found, expected $result" >&2; exit 1; }
  echo "evidence of a $scenario run: CycloneDX, in-toto, DSSE and model card are valid; the result is $found"
}
check leaky 10 10 FAILED
# Clean, but of the mock: no pass.
check clean 0 11 FAILED
