#!/usr/bin/env bash
# Runs the composite action for real, step by step as the runner does, and looks over the workflows.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x target/debug/blabbermouth ] || cargo build --locked
here=$PWD/target/action
mkdir -p "$here"
if ! { python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet pyyaml==6.0.3; } >"$here/pip.log" 2>&1; then
  echo "skipped: PyYAML cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
"$here/venv/bin/python" tests/action/scenarios.py target/debug/blabbermouth

if "$here/venv/bin/pip" install --quiet check-jsonschema==0.39.0 zizmor==1.32.0 >"$here/lint.log" 2>&1; then
  "$here/venv/bin/check-jsonschema" --quiet --builtin-schema vendor.github-actions action.yml
  "$here/venv/bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml .github/workflows/examples/*.yml
  "$here/venv/bin/check-jsonschema" --quiet --builtin-schema vendor.gitlab-ci .github/workflows/examples/gitlab-ci.yaml
  # What `init --workflow` writes is held to the same.
  program=$PWD/target/debug/blabbermouth
  rm -rf "$here/init" && mkdir -p "$here/init" && (cd "$here/init" && "$program" --quiet init --workflow)
  "$here/venv/bin/check-jsonschema" --quiet --builtin-schema vendor.github-workflows "$here/init/.github/workflows/blabbermouth.yml"
  "$here/venv/bin/zizmor" --offline --quiet --persona=pedantic --min-severity=low action.yml .github/workflows/*.yml \
    .github/workflows/examples/*.yml "$here/init/.github/workflows/blabbermouth.yml"
else
  echo "skipped: the linters of workflows cannot be installed: $(tail -n 1 "$here/lint.log")"
fi
if "$here/venv/bin/pip" install --quiet pre-commit==4.7.0 >"$here/pre-commit.log" 2>&1; then
  tests/action/pre_commit.sh target/debug/blabbermouth "$here/venv"
else
  echo "skipped: pre-commit cannot be installed: $(tail -n 1 "$here/pre-commit.log")"
fi
if command -v shellcheck >/dev/null; then
  shellcheck .github/action/*.sh .ci/run tests/*.sh tests/*/*.sh
else
  echo "skipped: there is no shellcheck"
fi
