"""Cases, failures, errors and skipped ones of a JUnit file, as a parser finds them."""

import sys


def count(cases):
    """`cases` are lists of the names of their elements."""
    return [len(cases), *(sum(name in case for case in cases) for name in ("failure", "error", "skipped"))]


def main(parser, path):
    if parser == "junitparser":
        from junitparser import Error, Failure, JUnitXml, Skipped

        names = {Failure: "failure", Error: "error", Skipped: "skipped"}
        xml = JUnitXml.fromfile(path)
        cases = [[names[type(result)] for result in case.result] for suite in xml for case in suite]
        assert [xml.tests, xml.failures, xml.errors, xml.skipped] == count(cases), "the totals are those of the cases"
        return cases
    if parser == "lxml":
        from lxml import etree
    else:
        from xml.etree import ElementTree as etree
    cases = etree.parse(path).getroot().findall(".//testcase")
    for case in cases:
        assert case.get("file") and int(case.get("line")) >= 1 and case.get("time") is not None
        for child in case:
            # GitLab reads the text, dorny and mikepenz the message.
            assert child.get("message") and child.text.strip(), etree.tostring(case)
    return [[child.tag for child in case] for case in cases]


print(*count(main(sys.argv[1], sys.argv[2])))
