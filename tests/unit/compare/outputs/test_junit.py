"""JUnit XML: read back as a CI system reads it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as Xml

from harness.compare.outputs.junit import junit
from harness.compare.result import Comparison


def suite(found: Comparison) -> Xml.Element:
    root = Xml.fromstring(junit([found]))
    assert root.tag == "testsuites"
    (only,) = root.findall("testsuite")
    return only


def test_a_case_a_point_and_metric(slower: Comparison) -> None:
    found = suite(slower)
    names = [(c.get("classname"), c.get("name")) for c in found]
    assert ("b1/c2", "p99") in names
    assert ("all points", "throughput") in names
    assert len(names) == len(set(names)) == 9
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == ("9", "9", "0")
    failure = found.find(".//failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("throughput −9.")


def test_what_is_equal_passes_and_what_is_open_is_skipped(
    same: Comparison, open_: Comparison
) -> None:
    assert suite(same).get("failures") == suite(same).get("skipped") == "0"
    assert suite(open_).get("skipped") == "3"


def test_what_cant_run_fails(broken: Comparison) -> None:
    found = suite(broken)
    assert found.get("failures") == "2"
    assert {c.get("name") for c in found} == {"measured"}


def test_what_was_forced_is_in_the_suites_name(slower: Comparison) -> None:
    forced = suite(replace(slower, forced=("the machine differs: cpu",)))
    assert str(forced.get("name")) == f"{suite(slower).get('name')} (FORCED: not comparable)"


def test_no_text_breaks_out(evil: Comparison) -> None:
    found = suite(evil)
    assert "<script>" in str(found.get("name"))
    assert found.find("testcase[@name='drift']") is not None
