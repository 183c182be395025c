#!/usr/bin/env bash
# Finds the program: a pinned release asset, a build by cargo, or a path. Everything comes through the environment.
set -euo pipefail

# Escapes a text for a workflow command.
escaped() {
  local text=$1
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '%s' "$text"
}
fail() {
  local old='##[' broken='# #['
  # The old form of a command counts anywhere in a line.
  printf '::error title=blabbermouth::%s\n' "$(escaped "${1//"$old"/$broken}")"
  exit 1
}
output() {
  # A second line would be another output, or a command to the runner.
  case $1 in *$'\n'* | *$'\r'*) fail "the path of the program has a line break" ;; esac
  [ -n "${GITHUB_OUTPUT:-}" ] || fail "this runner does not set GITHUB_OUTPUT, which hands the program to the next step"
  printf 'binary=%s\ninstall-method=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"
  echo "blabbermouth from $2"
}

pins=$ACTION_PATH/.github/action/release-pins.txt
pinned=$(sed -n 's/^version //p' "$pins" | head -n 1)
version=${INPUT_VERSION:-$pinned}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
  fail "the input version is not of the form 1.2.3"
fi
case $INPUT_INSTALL in
  path)
    [ -x "$INPUT_PATH" ] || fail "the input path names no program that can be run"
    output "$(cd "$(dirname "$INPUT_PATH")" && pwd)/$(basename "$INPUT_PATH")" path
    exit 0
    ;;
  auto | release | cargo) ;;
  *) fail "the input install is none of auto, release, cargo, path" ;;
esac

# Without a temporary folder of the runner: a new one, since others may write below /tmp.
temporary=${RUNNER_TEMP:-}
[ -n "$temporary" ] || temporary=$(mktemp -d)
place=$temporary/blabbermouth-$version
mkdir -p "$place"

# Gives 1 where there is no asset; a wrong asset ends everything.
from_release() {
  local target archive pin found
  case ${RUNNER_OS:-}-${RUNNER_ARCH:-} in
    Linux-X64) target=x86_64-unknown-linux-musl ;;
    Linux-ARM64) target=aarch64-unknown-linux-musl ;;
    macOS-X64) target=x86_64-apple-darwin ;;
    macOS-ARM64) target=aarch64-apple-darwin ;;
    Windows-X64) target=x86_64-pc-windows-msvc ;;
    *)
      echo "there is no release for ${RUNNER_OS:-this system} on ${RUNNER_ARCH:-this processor}"
      return 1
      ;;
  esac
  archive=blabbermouth-$version-$target.tar.gz
  pin=$(awk -v name="$archive" '$2 == name { print $1 }' "$pins")
  if ! [[ $pin =~ ^[0-9a-f]{64}$ ]]; then
    echo "this version of the action pins no $archive"
    return 1
  fi
  if ! curl --proto '=https' --tlsv1.2 --fail --location --silent --show-error --retry 3 --max-time 300 \
    --output "$place/$archive" "https://github.com/blabbermouth-rs/blabbermouth/releases/download/v$version/$archive"; then
    echo "$archive could not be fetched"
    return 1
  fi
  if command -v sha256sum >/dev/null; then
    found=$(sha256sum "$place/$archive")
  else
    found=$(shasum -a 256 "$place/$archive")
  fi
  if [ "${found%% *}" != "$pin" ]; then
    rm -f "$place/$archive"
    fail "$archive is not the file that this action pins: its SHA-256 is ${found%% *}. Nothing was run."
  fi
  tar -xzf "$place/$archive" -C "$place"
  binary=$place/blabbermouth
  [ -x "$binary" ] || binary=$place/blabbermouth.exe
  [ -x "$binary" ] || fail "$archive has no program in it"
}

from_cargo() {
  command -v cargo >/dev/null || fail "there is no release for this runner, and no cargo to build one"
  # The action's own commit names the sources: nothing is installed by a name that somebody else may have taken.
  if [ "$version" != "$pinned" ] || ! [ -f "$ACTION_PATH/Cargo.toml" ]; then
    fail "this action builds blabbermouth $pinned only, not $version: use the action of that version"
  fi
  # In a folder of its own: a toolchain file or a cargo configuration of the repository would run what it names.
  (cd "$place" && cargo install --locked --quiet --path "$ACTION_PATH" --root "$place") ||
    fail "cargo could not build blabbermouth $version"
  binary=$place/bin/blabbermouth
  [ "$("$binary" --version)" = "blabbermouth $version" ] || fail "what cargo built does not say that it is blabbermouth $version"
}

if [ "$INPUT_INSTALL" != cargo ] && from_release; then
  output "$binary" release
elif [ "$INPUT_INSTALL" = release ]; then
  fail "there is no pinned release of blabbermouth $version for this runner; install auto would build it"
else
  from_cargo
  output "$binary" cargo
fi
