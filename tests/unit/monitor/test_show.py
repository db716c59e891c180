"""What a monitor says: JSON with a schema, tables that cut no number at 80 columns, no colour."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from support.intervals import SOME, ZERO, counted, reading

from harness.errors import ServerError
from harness.monitor.rates import Interval, between
from harness.monitor.reading import Reading
from harness.monitor.show import JsonLines, Tables, number


def page(interval: Interval, note: str = "") -> str:
    console = Console(file=io.StringIO(), width=80)
    Tables("grpc://b:8001", console).interval(interval, note)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_json_has_all_that_is_known() -> None:
    out = io.StringIO()
    display = JsonLines("http://b:8000", Console(file=out))
    display.interval(between(reading(0, a=ZERO, b=SOME), reading(2, a=SOME, b=ZERO)))
    display.away(ServerError("nobody there"), 5.0)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first["schema"] == "harness-monitor/1"
    assert first["seconds"] == 2
    assert first["models"]["a"]["requests_per_s"] == 5
    assert first["models"]["a"]["queue_ms"] == 2
    assert first["models"]["b"] is None
    assert second["away"] == "nobody there"


def test_a_table_fits_80_columns_and_cuts_no_number() -> None:
    busy = {key: value * 98765 for key, value in SOME.items()}
    text = page(between(reading(0, a=ZERO), reading(2, a=busy)), "t: 3 requests")
    row = next(line for line in text.splitlines() if line.startswith("a "))
    assert row.split() == ["a", "494k", "198k", "1.98M", "8", "5", "2", "3", "3", "98,765"]
    assert "…" not in text
    assert "t: 3 requests" in text
    assert "over 2.00 s" in text


def test_models_without_a_request_are_one_line_and_columns_without_news_are_left_out() -> None:
    interval = between(
        reading(0, a=ZERO, b=ZERO), reading(1, a={**SOME, "cache_hits": 0.0}, b=ZERO)
    )
    text = page(interval)
    assert "without a request: b" in text
    assert "cache/s" not in text


def test_what_is_not_known_is_a_dash() -> None:
    text = page(between(reading(0, a=SOME), reading(1, a=ZERO)))
    assert [line.split() for line in text.splitlines() if line.startswith("a ")] == [
        ["a", *"–––––––"]
    ]


def test_gpus_have_a_line_each() -> None:
    gpus = {"GPU-1": {"utilization_percent": 53.0, "memory_used_mib": 2048.0,
                      "memory_total_mib": 81559.0, "power_w": 310.2}, "GPU-2": {}}  # fmt: skip
    end = Reading(10**9, 1e9, {}, gpus=gpus, metrics_problem="HTTP 500")
    text = page(Interval(reading(0), end))
    assert "GPU-1: 53 % busy, 2,048 of 81,559 MiB used, 310 W" in text
    assert "GPU-2: no reading" in text
    assert "HTTP 500" in text


def test_names_from_a_server_move_no_cursor() -> None:
    text = page(between(reading(0), reading(1, **{"\x1b[2J": SOME})))
    assert "\x1b" not in text
    assert "\\x1b[2J" in text


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        console = Console(file=io.StringIO(), width=80, force_terminal=True,
                          color_system="standard")  # fmt: skip
        Tables("s", console).interval(counted(0, 1, 3, 2))
        assert isinstance(console.file, io.StringIO)
        shown[value] = console.file.getvalue()
    assert "\x1b[31m" in shown[""]
    assert "\x1b[31m" not in shown["1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (999.7, "1,000"),
     (99_999.0, "99,999"),
     (123_456.0, "123k"), (999_600.0, "1M"), (1_234_567.0, "1.23M")],
)  # fmt: skip
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_reader_that_left_ends_it() -> None:
    class Gone(io.StringIO):
        failure = OSError("broken pipe")

    for display in (JsonLines("s", Console(file=Gone())), Tables("s", Console(file=Gone()))):
        with pytest.raises(KeyboardInterrupt):
            display.interval(counted(0, 1, 3))
