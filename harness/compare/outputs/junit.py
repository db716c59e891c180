"""The comparison as JUnit XML: a suite a comparison, a case a point and metric.

The elements and attributes are those of the schema that Jenkins and GitLab read
(https://github.com/windyroad/JUnit-Schema has its superset).
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from harness.compare.outputs import words
from harness.compare.result import Comparison, PointResult, Row, Verdict
from harness.compare.verdicts import Verdict as MetricVerdict
from harness.system.text import harmless


def junit(comparisons: Sequence[Comparison]) -> str:
    """The XML document."""
    root = Xml.Element("testsuites", name="harness compare")
    for found in comparisons:
        suite = Xml.SubElement(root, "testsuite", name=harmless(words.names(found)))
        for point in found.points:
            _cases(suite, point)
        for row in found.pooled:
            _case(suite, words.POOLED, row)
        if found.drift:
            case = Xml.SubElement(suite, "testcase", classname="outputs", name="drift")
            Xml.SubElement(case, "failure", message=harmless(found.drift), type="drift")
        for outcome, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"),
                             ("skipped", "skipped")):  # fmt: skip
            suite.set(outcome, str(len(suite.findall(f".//{tag}"))))
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _cases(suite: Xml.Element, point: PointResult) -> None:
    if not point.rows:
        case = Xml.SubElement(suite, "testcase", classname=harmless(point.place), name="measured")
        kind = "failure" if point.verdict is Verdict.REGRESSION else "error"
        Xml.SubElement(case, kind, message=harmless(point.reason), type=str(point.verdict))
    for row in point.rows:
        _case(suite, point.place, row)


def _case(suite: Xml.Element, place: str, row: Row) -> None:
    """An undecided one is skipped: it neither passed nor failed."""
    case = Xml.SubElement(suite, "testcase", classname=harmless(place), name=row.metric.key)
    said = f"{row.metric.title} {words.change(row)} {words.interval(row)}".strip()
    verdict = row.judged.verdict
    if verdict is MetricVerdict.REGRESSION:
        Xml.SubElement(case, "failure", message=said, type="regression")
    elif verdict is MetricVerdict.INCONCLUSIVE:
        Xml.SubElement(case, "skipped", message=f"inconclusive: {said}")
    Xml.SubElement(case, "system-out").text = said
