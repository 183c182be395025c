#!/usr/bin/env bash
# The hook of .pre-commit-hooks.yaml under the real pre-commit: pre_commit.sh PROGRAM VENV. The program is not built for
# the hook: it is on PATH.
set -euo pipefail
program=$(realpath "$1")
venv=$(cd "$2" && pwd)
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/hook" "$work/project"
ln -s "$program" "$work/bin/blabbermouth"
export PATH=$work/bin:$venv/bin:$PATH PRE_COMMIT_HOME=$work/home
# Settings of the user or of an outer git command are not part of the test.
unset "${!GIT_@}" BLABBERMOUTH_KEY BLABBERMOUTH_CONFIG
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c

cd "$work/hook"
sed 's/language: rust/language: system/' "$root/.pre-commit-hooks.yaml" >.pre-commit-hooks.yaml
git init -q
git add .
git commit -qm hook
commit=$(git rev-parse HEAD)

# NAME, whether the hook passes, a text that it prints.
expect() {
  local said code=0
  git add .
  said=$(pre-commit run --all-files --verbose 2>&1) || code=$?
  if { [ "$code" = 0 ] && [ "$2" = yes ]; } || { [ "$code" != 0 ] && [ "$2" = no ]; } && [[ $said == *"$3"* ]]; then
    echo "pre-commit, $1: as expected"
  else
    printf 'pre-commit, %s: exit code %s\n%s\n' "$1" "$code" "$said" >&2
    exit 1
  fi
}
cd "$work/project"
git init -q
printf 'repos:\n- repo: %s\n  rev: %s\n  hooks: [{id: blabbermouth}]\n' "$work/hook" "$commit" >.pre-commit-config.yaml
expect 'a project without blabbermouth' yes 'no files to check'
blabbermouth init --quiet
for i in $(seq 200); do printf '{"prompt":"Question %d?","completion":"Answer %d."}\n' "$i" "$i"; done >train.jsonl
expect 'a fresh clone, whose manifest was never committed' yes Passed
echo 'unknown = 1' >>blabbermouth.toml
expect 'a broken configuration without a manifest' no 'unknown'
sed -i.bak '$d' blabbermouth.toml
blabbermouth plant --quiet 2>/dev/null
expect 'with a manifest' yes Passed
# The key is not on the developer's machine.
BLABBERMOUTH_KEY=$(blabbermouth key) blabbermouth plant --force --quiet 2>/dev/null
git add -f blabbermouth.manifest.json
expect 'a manifest whose key is elsewhere' yes Passed
echo '}' >>blabbermouth.manifest.json
expect 'a broken manifest' no 'blabbermouth.manifest.json'
rm blabbermouth.manifest.json
git rm -q --cached blabbermouth.manifest.json
mkdir gate
git mv blabbermouth.toml gate
printf 'repos:\n- repo: %s\n  rev: %s\n  hooks:\n  - id: blabbermouth\n    files: ^gate/\n    args: [--config, gate/blabbermouth.toml]\n' \
  "$work/hook" "$commit" >.pre-commit-config.yaml
expect 'a configuration in a folder' yes Passed
echo 'unknown = 1' >>gate/blabbermouth.toml
expect 'a broken configuration in a folder' no 'unknown'
