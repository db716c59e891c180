"""Names outside of the harness: base units, and the page that lists them."""

from __future__ import annotations

import re

from support.paths import ROOT

from harness.export.names import BASE, table
from harness.monitor.prometheus import RunMetrics
from harness.scenario.metrics import METRICS

PAGE = (ROOT / "docs" / "export.md").read_text("utf-8")
NOT_BASE = r"_(ms|us|ns|mib|mb|gib|percent|milliseconds|microseconds|kilobytes|megabytes|minutes)\b"


def test_every_metric_has_a_name_of_its_own_in_base_units() -> None:
    names = [unit.name for unit in BASE.values()]
    assert list(BASE) == list(METRICS)
    assert len(set(names)) == len(names)
    assert [name for name in names if re.search(NOT_BASE, name)] == []
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_the_unit_ends_the_name_and_the_factor_is_its() -> None:
    assert BASE["latency_p99_ms"] == ("latency_p99_seconds", 1e-3)
    assert BASE["gpu_memory_mib"] == ("gpu_memory_bytes", 2**20)
    assert BASE["gpu_utilization_percent"] == ("gpu_utilization_ratio", 0.01)
    assert BASE["gpu_power_w"] == ("gpu_power_watts", 1)
    assert BASE["joules_per_inference"] == ("inference_energy_joules", 1)


def test_the_page_has_the_table() -> None:
    shown = PAGE.partition("<!-- names -->\n")[2].partition("<!-- end -->")[0].strip()
    assert shown == table(), "put harness.export.names.table() between the marks of docs/export.md"


def test_the_live_run_is_served_in_base_units_and_the_page_names_all_of_it() -> None:
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    text = generate_latest(RunMetrics().registry).decode()
    families = {f.name: f.type for f in text_string_to_metric_families(text)}
    assert [name for name in families if re.search(NOT_BASE, name)] == []
    served = {f"{n}_total" if t == "counter" else n for n, t in families.items()}
    assert served == set(re.findall(r"`(harness_\w+)`", PAGE))
