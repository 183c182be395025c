#!/usr/bin/env bash
# Runs the command, writes outputs, summary and annotations, and only then fails. Everything comes through the environment.
set -euo pipefail

# Other runners of actions set only some of the variables of GitHub's. Outputs and the summary go nowhere then.
output() {
  if [ "$1" = result ]; then told=yes; fi
  if [ -n "${GITHUB_OUTPUT:-}" ]; then printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; fi
}
# Escapes a text for a workflow command.
escaped() {
  local text=$1
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '%s' "$text"
}
# The old form of a command, `##[`, counts anywhere in a line.
old='##[' broken='# #['
fail() {
  printf '::error title=blabbermouth::%s\n' "$(escaped "${1//"$old"/$broken}")"
  output result error
  exit 1
}
# Whatever ends this script, the step has a result.
told=
trap 'if [ -z "$told" ]; then output result error; fi' EXIT

# Removes blanks and line breaks at both ends, which a YAML block or a pasted value brings along.
trimmed() {
  local text=$1
  text=${text#"${text%%[![:space:]]*}"}
  printf '%s' "${text%"${text##*[![:space:]]}"}"
}
for name in COMMAND CONFIG MODEL BASE_URL KEY_VARIABLE POLICY ON_MISSING_KEY PRIVILEGED_EVENTS FAIL_ON REPORT_DIR JOB_SUMMARY ANNOTATIONS; do
  name=INPUT_$name
  printf -v "$name" '%s' "$(trimmed "${!name:-}")"
done
INPUT_API_KEY=${INPUT_API_KEY:-} INPUT_MANIFEST_KEY=${INPUT_MANIFEST_KEY:-} INPUT_GITHUB_TOKEN=${INPUT_GITHUB_TOKEN:-}

case $INPUT_COMMAND in test | merge | plant | tune) ;; *) fail "the input command is none of test, merge, plant, tune" ;; esac
case $INPUT_FAIL_ON in inconclusive | leak | never) ;; *) fail "the input fail-on is none of inconclusive, leak, never" ;; esac
case $INPUT_ON_MISSING_KEY in fail | skip) ;; *) fail "the input on-missing-key is neither fail nor skip" ;; esac
case $INPUT_PRIVILEGED_EVENTS in false | true) ;; *) fail "the input privileged-events is neither false nor true" ;; esac
case $INPUT_JOB_SUMMARY in false | true) ;; *) fail "the input job-summary is neither false nor true" ;; esac
case $INPUT_ANNOTATIONS in false | true) ;; *) fail "the input annotations is neither false nor true" ;; esac
[ -n "${BINARY:-}" ] || fail "there is no program: the step that installs it gave no output"
event=${GITHUB_EVENT_NAME:-}
case $event-$INPUT_PRIVILEGED_EVENTS in
  pull_request_target-false | workflow_run-false)
    fail "in $event a stranger's files meet your secrets: use pull_request, or set privileged-events if nothing of theirs is checked out"
    ;;
esac
if [ -n "$INPUT_KEY_VARIABLE" ] && ! [[ $INPUT_KEY_VARIABLE =~ ^[A-Z_][A-Z0-9_]*$ ]]; then
  fail "the input key-variable is no name of a variable"
fi

# A secret of several lines is masked line by line, as the log shows it; a short line would mask half the log.
mask() {
  local line lines
  lines=${1//$'\r'/$'\n'}
  while IFS= read -r line; do
    line=$(trimmed "$line")
    [ "${#line}" -lt 8 ] || printf '::add-mask::%s\n' "$(escaped "$line")"
    # As the log of the program shows it, where the old form is broken.
    case $line in *"$old"*) printf '::add-mask::%s\n' "$(escaped "${line//"$old"/$broken}")" ;; esac
  done <<<"$lines"
}
for secret in "$INPUT_API_KEY" "$INPUT_MANIFEST_KEY" "$INPUT_GITHUB_TOKEN"; do
  [ -z "$secret" ] || mask "$secret"
done
if [ -n "$INPUT_MANIFEST_KEY" ]; then export BLABBERMOUTH_KEY=$INPUT_MANIFEST_KEY; fi
if [ -n "$INPUT_KEY_VARIABLE" ]; then
  if [ -n "$INPUT_API_KEY" ]; then export "$INPUT_KEY_VARIABLE=$INPUT_API_KEY"; fi
  if [ -z "${!INPUT_KEY_VARIABLE:-}" ] && [[ $INPUT_COMMAND != plant && $INPUT_COMMAND != merge ]]; then
    if [ "$INPUT_ON_MISSING_KEY-$event" = skip-pull_request ] && [ "${HEAD_REPOSITORY:-}" != "${GITHUB_REPOSITORY:-}" ]; then
      echo "::warning title=blabbermouth::there is no API key here, as in a pull request from a fork: nothing was tested"
      output result skipped
      exit 0
    fi
    fail "there is no API key: give the input api-key, or set key-variable to nothing for a server without one"
  fi
fi
# Without a temporary folder of the runner: a new one, since others may write below /tmp.
temporary=${RUNNER_TEMP:-}
[ -n "$temporary" ] || temporary=$(mktemp -d)
# The answers of a run: never those that a checkout holds.
export BLABBERMOUTH_STORE_PATH=${BLABBERMOUTH_STORE_PATH:-$temporary/blabbermouth-store}
# What was read is not handed on to the program under these names.
unset INPUT_API_KEY INPUT_MANIFEST_KEY

# A policy that a pull request cannot change: from the base branch, or from outside of the workspace.
set_policy() {
  local policy=$temporary/blabbermouth-policy.toml root folder basic
  # Without it, a file of the checkout could pass for one from outside.
  [ -n "${GITHUB_WORKSPACE:-}" ] || fail "the input policy needs GITHUB_WORKSPACE, the folder of the checkout, which this runner does not set"
  root=$(cd "$GITHUB_WORKSPACE" && pwd -P)
  if [[ $INPUT_POLICY == /* ]]; then
    folder=$(cd "$(dirname "$INPUT_POLICY")" 2>/dev/null && pwd -P) || fail "there is no policy $INPUT_POLICY"
    case $folder/ in "$root"/*) fail "the policy $INPUT_POLICY lies in the workspace: name it by its path below the repository" ;; esac
    cp "$folder/$(basename "$INPUT_POLICY")" "$policy" || fail "there is no policy $INPUT_POLICY"
  elif [ -n "${GITHUB_BASE_REF:-}" ]; then
    if [ -n "$INPUT_GITHUB_TOKEN" ]; then
      # Not as an argument, which other processes see.
      export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.${GITHUB_SERVER_URL:-https://github.com}/.extraheader"
      basic=$(printf 'x-access-token:%s' "$INPUT_GITHUB_TOKEN" | base64 | tr -d '\n')
      mask "$basic"
      export GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $basic"
    fi
    git -C "$root" fetch --quiet --depth=1 origin "refs/heads/$GITHUB_BASE_REF" ||
      fail "the base branch $GITHUB_BASE_REF could not be fetched for the policy"
    unset GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_VALUE_0
    git -C "$root" show "FETCH_HEAD:$INPUT_POLICY" >"$policy" || fail "the base branch has no policy $INPUT_POLICY"
  else
    case $event in
      '' | push | schedule | workflow_dispatch | repository_dispatch | release) ;;
      *) fail "in $event the checkout may hold what a stranger wrote: name a policy outside of the workspace" ;;
    esac
    cp "$root/$INPUT_POLICY" "$policy" || fail "there is no policy $INPUT_POLICY"
  fi
  export BLABBERMOUTH_POLICY=$policy
}

arguments=("$INPUT_COMMAND")
if [ "$INPUT_COMMAND" = merge ]; then arguments=(report merge); fi
arguments+=(--config "$INPUT_CONFIG")
if [ -n "$INPUT_BASE_URL" ]; then arguments+=(--base-url "$INPUT_BASE_URL"); fi
if [ -n "$INPUT_POLICY" ]; then
  set_policy
fi
# Whole paths: the steps that upload them may work elsewhere.
while [[ $INPUT_REPORT_DIR == ?*/ ]]; do INPUT_REPORT_DIR=${INPUT_REPORT_DIR%/}; done
case $INPUT_REPORT_DIR in
  '' | /) fail "the input report-dir names no folder" ;;
  *$'\n'* | *$'\r'*) fail "the input report-dir has a line break" ;;
  /* | [A-Za-z]:*) reports=$INPUT_REPORT_DIR ;;
  *) reports=$PWD/$INPUT_REPORT_DIR ;;
esac
case $INPUT_COMMAND in
  test | merge)
    [ ! -L "$reports" ] || fail "the input report-dir is a link"
    mkdir -p "$reports"
    rm -f "$reports"/{report.json,junit.xml,report.sarif,report.html,summary.md,annotations.txt,outputs.txt}
    if [ -n "$INPUT_MODEL" ]; then arguments+=(--model "$INPUT_MODEL"); fi
    arguments+=(--report "json=$reports/report.json" --report "junit=$reports/junit.xml" --report "sarif=$reports/report.sarif"
      --report "html=$reports/report.html" --report "markdown=$reports/summary.md"
      --report "github=$reports/annotations.txt" --report "outputs=$reports/outputs.txt")
    ;;
  tune) if [ -n "$INPUT_MODEL" ]; then arguments+=(--base-model "$INPUT_MODEL"); fi ;;
  plant) arguments=(plant --config "$INPUT_CONFIG") ;;
esac
while IFS= read -r line; do
  line=$(trimmed "$line")
  if [ -n "$line" ]; then arguments+=("$line"); fi
done <<<"${INPUT_ARGS:-}"

unset INPUT_GITHUB_TOKEN
# Nothing that the program or the model says is a command to the runner.
token=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
echo "::stop-commands::$token"
set +e
# By bytes: in a locale of UTF-8 some versions of sed end at a byte that is none.
"$BINARY" "${arguments[@]}" 2>&1 | LC_ALL=C sed 's/##\[/# #[/g'
code=${PIPESTATUS[0]}
set -e
echo
echo "::$token::"

output exit-code "$code"
case $code in
  0) result=pass ;;
  10) result=leak ;;
  11) result=inconclusive ;;
  12) result=invalid ;;
  13) result=policy ;;
  *) result=error ;;
esac
if [[ $INPUT_COMMAND = test || $INPUT_COMMAND = merge ]]; then
  # A verdict without its reports is none.
  case $result in error | policy) ;; *) [ -s "$reports/outputs.txt" ] || result=error ;; esac
  if [ -s "$reports/outputs.txt" ] && [ -n "${GITHUB_OUTPUT:-}" ]; then cat "$reports/outputs.txt" >>"$GITHUB_OUTPUT"; fi
  for pair in json=report.json junit=junit.xml sarif=report.sarif html=report.html; do
    if [ -s "$reports/${pair#*=}" ]; then output "${pair%%=*}-path" "$reports/${pair#*=}"; fi
  done
  if [ "$INPUT_JOB_SUMMARY" = true ] && [ -s "$reports/summary.md" ] && [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cat "$reports/summary.md" >>"$GITHUB_STEP_SUMMARY"
  fi
  if [ "$INPUT_ANNOTATIONS" = true ] && [ -s "$reports/annotations.txt" ]; then cat "$reports/annotations.txt"; fi
elif [ "$result" != pass ]; then
  result=error
elif [ "$INPUT_COMMAND" = tune ]; then
  model=$("$BINARY" tune --config "$INPUT_CONFIG" --print-model | head -n 1 | tr -cd '[:graph:]')
  output model "$model"
fi
output result "$result"

case $INPUT_FAIL_ON-$result in
  *-pass | never-leak | never-invalid | never-inconclusive) ;;
  leak-inconclusive) echo "::warning title=blabbermouth::inconclusive: it is not known whether the model leaks" ;;
  *)
    echo "::error title=blabbermouth::$result (exit code $code)"
    exit 1
    ;;
esac
