"""A verdict as JUnit XML, the report that build servers read: one test case for each limit."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from luthier.records.evaluation import Verdict

UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


def junit(verdict: Verdict) -> str:
    """`verdict` as XML. A missed limit is a failure; a doubtful one is an error, so neither lets a build go green."""
    outcomes = [result.outcome for result in verdict.results]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("fail")),
        "errors": str(outcomes.count("inconclusive")),
    }
    root = Element("testsuites", counts, name="luthier")
    suite = SubElement(root, "testsuite", counts, name="gate")
    properties = SubElement(suite, "properties")
    for name, value in (("verdict", verdict.id), ("report", verdict.report), ("gate", verdict.gate)):
        SubElement(properties, "property", name=name, value=value)
    for result in verdict.results:
        case = SubElement(suite, "testcase", classname="gate", name=clean(result.measure))
        reason = clean(result.reason)
        if result.outcome == "fail":
            SubElement(case, "failure", type="missed", message=reason).text = reason
        elif result.outcome == "inconclusive":
            SubElement(case, "error", type="inconclusive", message=reason).text = reason
        else:
            SubElement(case, "system-out").text = reason
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def clean(text: str) -> str:
    """`text` without what XML cannot hold."""
    return UNPRINTABLE.sub("\ufffd", text)
