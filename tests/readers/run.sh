#!/usr/bin/env bash
# The reports of a hostile run, read by the parsers that CI systems use, and opened in a browser where there is one.
# Skipped, with the reason, where the packages cannot be fetched.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$PWD/target/debug/blabbermouth
[ -x "$binary" ] || cargo build --locked
here=$PWD/target/readers
tests=$PWD/tests
mkdir -p "$here"
if ! { python3 -m venv "$here/venv" && "$here/venv/bin/pip" install --quiet junitparser==5.0.1 lxml; } >"$here/pip.log" 2>&1; then
  echo "skipped: junitparser cannot be installed: $(tail -n 1 "$here/pip.log")"
  exit 0
fi
cd "$here"
python=$here/venv/bin/python
"$python" "$tests/readers/make.py" "$tests/../testdata/report-v1.json" hostile.json 2000
"$python" "$tests/readers/make.py" "$tests/../testdata/report-v1.json" many.json 10000
expected=$("$python" "$tests/readers/make.py" --counts hostile.json)
for format in junit=hostile.xml html=hostile.html sarif=hostile.sarif; do
  "$binary" report hostile.json --report "$format"
done
"$binary" report many.json --report html=many.html

same() {
  if [ "$2" != "$expected" ]; then
    echo "$1 reads $2, expected $expected" >&2
    exit 1
  fi
  echo "$1: $2"
}
same junitparser "$("$python" "$tests/readers/read.py" junitparser hostile.xml)"
same lxml "$("$python" "$tests/readers/read.py" lxml hostile.xml)"
same expat "$("$python" "$tests/readers/read.py" expat hostile.xml)"
if npm install --no-audit --no-fund --prefix . xml-js@1.6.11 xml2js@0.6.2 >npm.log 2>&1; then
  cp "$tests/readers/read.mjs" .
  same xml-js "$(node read.mjs xml-js hostile.xml)"
  same xml2js "$(node read.mjs xml2js hostile.xml)"
else
  echo "skipped: the parsers for Node cannot be installed: $(tail -n 1 npm.log)"
fi
# The schema of Jenkins, which pytest's source package carries, with what newer readers take beside it: the place of a case,
# and the total of skipped ones.
schema=pytest-8.4.2/testing/example_scripts/junit-10.xsd
if [ -f "$schema" ] || { "$here/venv/bin/pip" download --quiet --no-deps --no-binary pytest pytest==8.4.2 >xsd.log 2>&1 &&
  tar -xzf pytest-8.4.2.tar.gz "$schema"; }; then
  sed -e 's|<xs:attribute name="classname" type="xs:string"/>|&<xs:attribute name="file" type="xs:string"/><xs:attribute name="line" type="xs:positiveInteger"/>|' \
    -e '/<xs:element name="testsuites">/,$ s|<xs:attribute name="tests" type="xs:string" />|&<xs:attribute name="skipped" type="xs:string"/>|' \
    "$schema" >extended.xsd
  "$python" -c '
import sys
from lxml import etree
etree.XMLSchema(etree.parse(sys.argv[1])).assertValid(etree.parse(sys.argv[2]))
print("schema: valid")' extended.xsd hostile.xml
  if command -v xmllint >/dev/null; then xmllint --noout --schema extended.xsd hostile.xml; fi
else
  echo "skipped: the schema cannot be fetched: $(tail -n 1 xsd.log)"
fi
if ruby -e 'require "active_support/core_ext/hash/conversions"' 2>/dev/null; then
  same ruby "$(ruby "$tests/readers/read.rb" hostile.xml)"
else
  echo "skipped: there is no Ruby with ActiveSupport"
fi

browser=$(command -v chromium || command -v google-chrome || true)
if [ -z "$browser" ]; then
  echo "skipped: there is no Chromium"
  exit 0
fi
for page in hostile=2000 many=10000; do
  name=${page%%=*}
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$here/profile" --enable-logging=stderr \
    --dump-dom "file://$here/$name.html" >"$name.dom" 2>"$name.log"
  # The script of the page ran, and nobody else's.
  grep -q "${page#*=} of ${page#*=} shown" "$name.dom" || { echo "$name.html was not drawn" >&2; exit 1; }
  if grep -q '<body data-owned\|<title>owned' "$name.dom" || grep -qi 'refused to\|violates' "$name.log"; then
    echo "$name.html ran what it should not" >&2
    exit 1
  fi
done
echo "chromium: drawn, and no script but the page's own"
