"""Makes a run report whose texts hold every character from U+0000 to U+FFFF, and whatever else is hostile."""

import copy
import json
import sys

MARKUP = [
    "<script>document.body.dataset.owned = 1</script>", "<img src=x onerror=\"document.title='owned by x'\">",
    "]]>", "[[ATTACHMENT|/etc/passwd]]", "##[error]x", "::error::x", "</failure></testcase></testsuite>",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>&b;", "=cmd|x", "javascript:alert(1)", "{{7*7}}", "--><!--",
]


def main():
    if sys.argv[1] == "--counts":
        report = json.load(open(sys.argv[2]))
        verdicts = [c["verdict"] for c in report["canaries"]]
        checks = ["leaked" if not report["controls"]["sound"] and report["verdict"] == "invalid" else "clean"]
        pooled = report["pooled"]
        checks.append("clean" if pooled["sound"] else "leaked" if pooled["leaked"] else "inconclusive")
        training = report["training"]
        echoed, missing = training["decoys"] > 0, not training["shown"] and not training["waived"]
        checks.append("leaked" if echoed else "inconclusive" if missing else "clean")
        checks.append("clean" if report["verdict"] == "clean" else "leaked")
        verdicts += checks
        count = verdicts.count
        print(len(verdicts), count("leaked"), count("errored"), count("inconclusive"))
        return
    report = json.load(open(sys.argv[1]))
    seed, total = report["canaries"], int(sys.argv[3])
    # Lone surrogates cannot be in a text; everything else can.
    characters = [chr(c) for c in range(0x10000) if not 0xD800 <= c <= 0xDFFF]
    report["canaries"] = []
    for number in range(total):
        canary = copy.deepcopy(seed[number % len(seed)])
        some = "".join(characters[number % 2000 * 33:(number % 2000 + 1) * 33])
        canary["id"] = f"c{number:05}"
        canary["test"] = f"mr-disease::c{number:05}"
        canary["reason"] = some + MARKUP[number % len(MARKUP)]
        report["canaries"].append(canary)
    report["settings"]["model"] = "".join(MARKUP)
    report["reason"] = "".join(MARKUP)
    json.dump(report, open(sys.argv[2], "w"))


main()
