"""The comment on a pull request."""

from __future__ import annotations

import re

from harness.compare.outputs.markdown import escape, markdown
from harness.compare.result import Comparison


def test_it_begins_with_a_marker_that_is_always_the_same(
    slower: Comparison, same: Comparison
) -> None:
    assert markdown([slower]).splitlines()[0] == markdown([same]).splitlines()[0]
    first = markdown([slower], "resnet --> <x>").splitlines()[0]
    assert first == "<!-- inference-harness compare: resnet - x -->"


def test_what_is_significant_is_open_and_the_rest_is_folded(
    slower: Comparison, same: Comparison
) -> None:
    open_part, _, rest = markdown([slower]).partition("<details>")
    assert "### 🔴 REGRESSION: slow against a" in open_part
    assert open_part.count("| regression |") == 9  # two points and the pooled one, three metrics
    assert "host" not in open_part
    assert "engine or model file" in rest
    open_part, _, rest = markdown([same]).partition("<details>")
    assert "|" not in open_part
    assert rest.count("| equivalent |") == 9
    assert "Confidence 95 %; tolerances: throughput 2 %, p50 2 %, p99 5 %" in open_part


def test_details_are_closed_and_tables_have_a_head(slower: Comparison) -> None:
    text = markdown([slower, slower])
    assert text.count("<details>") == text.count("</details>")
    assert "## REGRESSION in 2 comparisons" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") in (4, 9) for line in rows)


def test_no_text_breaks_out(evil: Comparison) -> None:
    text = markdown([evil])
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\|`", text)
    assert escape("a|b\n<c>") == r"a\|b &lt;c&gt;"


def test_layers_are_folded(layered: Comparison) -> None:
    text = markdown([layered])
    assert "<details><summary>Layers, profiled in 4 blocks" in text
    assert r"| con\|v | Conv |" in text
