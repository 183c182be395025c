#!/usr/bin/env bash
# The pytest plugin as a user meets it: plugin.sh VENV, with a virtual environment that has the wheel and pytest-xdist.
set -euo pipefail
venv=$(cd "$1" && pwd)
export PATH=$venv/bin:$PATH
# CI changes the verdict on a part of the canaries: only one case below wants that.
unset CI GITHUB_ACTIONS TF_BUILD JENKINS_URL TEAMCITY_VERSION
# A configuration cannot choose the mock in CI, but the environment can.
export BLABBERMOUTH_PROVIDER_KIND=mock

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
export TMPDIR=$work/tmp CALLS=$work/calls.txt
cd "$work"

# Counts the calls of the program: a line with the worker's process, its own, and the arguments.
program=$venv/bin/blabbermouth
[ -e "$program.real" ] || mv "$program" "$program.real"
cat >"$program" <<'EOF'
#!/usr/bin/env bash
echo "$PPID $$ $*" >>"$CALLS"
case " $* " in *" --list "*) ;; *) sleep "${SLOW:-0}" ;; esac
exec "$0.real" "$@"
EOF
chmod +x "$program"

for i in $(seq 200); do
  printf '{"messages":[{"role":"system","content":"You help."},{"role":"user","content":"Question %d?"},{"role":"assistant","content":"Answer %d."}]}\n' "$i" "$i"
done >train.jsonl
for scenario in leaky clean refuses; do
  printf '[canaries]\nplanted = 12\nheld-out = 2\n[provider]\nscenario = "%s"\n' "$scenario" >"$scenario.toml"
done
{ cat leaky.toml; printf '[sensitivity]\ncopies = 16\n'; } >controls.toml
"$program.real" plant --config clean.toml >/dev/null 2>&1
printf 'def test_of_ones_own():\n    pass\n' >test_own.py

fail() {
  echo "$1" >&2
  cat out.txt >&2
  exit 1
}
asked() { grep -vc -- ' --list' "$CALLS" || true; }
# NAME, the end of pytest's output, how often the program may ask, arguments of pytest.
expect() {
  local name=$1 wanted=$2 runs=$3 code=0
  shift 3
  : >"$CALLS"
  pytest "$@" >out.txt 2>&1 || code=$?
  tail -n 5 out.txt | grep -q -- "$wanted" || fail "$name: expected $wanted, got (exit code $code):"
  [ "$(asked)" = "$runs" ] || fail "$name: expected $runs runs of the program, got $(asked):"
  [ -z "$(find "$TMPDIR" -name 'pytest-blabbermouth-*')" ] || fail "$name: the shared folder is left behind:"
  echo "pytest, $name: $(grep . out.txt | tail -n 1)"
}
expect 'listing' '18 tests collected' 0 --blabbermouth leaky.toml leaky.toml --collect-only
expect leaky '13 failed, 5 passed' 1 --blabbermouth leaky.toml test_own.py --deselect test_own.py -rA
grep -q '^leaked: its secret was given away' out.txt || fail 'the reason of a failure is missing:'
# The program decides, and the plugin agrees with it on every item.
"$program.real" test --config leaky.toml --report tap=report.tap >/dev/null 2>&1 || true
sed -n 's/^not ok [0-9]* - //p' report.tap | sed 's/::/./' | sort >program.txt
sed -n 's/^FAILED leaky.toml::\([^ ]*\).*/\1/p' out.txt | sort >plugin.txt
diff program.txt plugin.txt || fail 'the program fails other tests than the plugin:'
expect 'positive controls' '9 failed, 9 passed' 1 --blabbermouth controls.toml controls.toml

# The ids that pytest prints select their items. Which canaries are planted is drawn.
one=$(grep -m 1 'c0' plugin.txt)
id=leaky.toml::$one
expect 'an id' '1 failed' 1 --blabbermouth leaky.toml "$id"
grep -q -- "--skip run::verdict" "$CALLS" || fail 'more was asked than was selected:'
expect '-k' '1 failed' 1 --blabbermouth leaky.toml leaky.toml -k "$one"
expect '-k with the name of reports' '1 failed' 1 --blabbermouth leaky.toml leaky.toml -k "${one/./::}"
expect '--deselect' '12 failed, 5 passed, 1 deselected' 1 --blabbermouth leaky.toml leaky.toml --deselect "$id"
expect 'before --lf' '13 failed, 5 passed' 1 --blabbermouth leaky.toml leaky.toml
expect '--lf' '13 failed' 1 --blabbermouth leaky.toml --lf
grep -q ' passed' <(tail -n 1 out.txt) && fail '--lf runs what did not fail:'
expect '--lf in workers' '13 failed' 1 --blabbermouth leaky.toml --lf -n 2
expect 'before --sw' '1 failed' 1 --blabbermouth leaky.toml test_own.py leaky.toml --sw
expect '--sw' '1 failed, [0-9]* deselected' 1 --blabbermouth leaky.toml test_own.py leaky.toml --sw

# Part of the tests may be clean in a run that is not.
expect 'a part' '1 passed' 1 --blabbermouth clean.toml clean.toml -k "$one"
CI=true expect 'a part in CI' '1 failed' 1 --blabbermouth clean.toml clean.toml -k "$one"
grep -q 'PARTIAL.*run.verdict is not selected' out.txt || fail 'the reason of the whole run is missing:'

expect 'two workers, leaky' '13 failed, 6 passed' 1 --blabbermouth leaky.toml -n 2
expect 'two workers, clean' '19 passed' 1 --blabbermouth clean.toml -n 2 .
expect 'every worker runs all items' '38 passed' 1 --blabbermouth clean.toml -n 2 --dist each .
expect 'two workers, refuses' '18 failed' 1 --blabbermouth refuses.toml -n 2 refuses.toml
BLABBERMOUTH_PROVIDER_KIND=vllm expect 'no model' '18 failed' 1 --blabbermouth clean.toml -n 2 clean.toml
# A worker that is killed fails the item that it runs, and no other. The program goes on, or another one asks again.
for victims in 'the worker' 'the worker and the program'; do
  (
    for _ in $(seq 300); do
      read -r worker asking _ < <(grep -v -- ' --list' "$CALLS") && break
      sleep 0.1
    done
    if [ "$victims" = 'the worker' ]; then kill -KILL "$worker"; else kill -KILL "$worker" "$asking"; fi
  ) 2>/dev/null &
  runs=1
  [ "$victims" = 'the worker' ] || runs=2
  SLOW=2 expect "killed: $victims" '1 failed, 17 passed' "$runs" --blabbermouth clean.toml clean.toml -n 2
  wait
done

expect clean '19 passed' 1 --blabbermouth clean.toml .
expect refuses '18 failed' 1 --blabbermouth refuses.toml refuses.toml
expect 'without the option' '1 passed' 0
expect 'no configuration' 'there is no' 0 --blabbermouth nowhere.toml
# pytest skips folders whose names begin with a dot: the canaries there would not be tested, and the session would pass.
mkdir .gate
cp clean.toml blabbermouth.manifest.json blabbermouth-train.jsonl .gate
expect 'an ignored folder' '1 error' 0 --blabbermouth .gate/clean.toml
grep -q 'pytest does not collect .*/.gate/clean.toml' out.txt || fail 'the reason is missing:'
expect 'an ignored folder, workers' '1 error' 0 --blabbermouth .gate/clean.toml -n 2
expect 'a file in an ignored folder' '18 passed' 1 --blabbermouth .gate/clean.toml .gate/clean.toml
