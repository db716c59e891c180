"""The table has every option that perf_analyzer documents, and each can be imported."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import ROOT

from harness.migrate.perf_analyzer import SPELLINGS, TABLE, translate
from harness.scenario.reading.loader import load_text

LISTED = (ROOT / "tests" / "data" / "perf_analyzer_options.txt").read_text().splitlines()
VALUES = {
    "-i": "grpc", "--service-kind": "triton", "-u": "host:1", "--concurrency-range": "1:2",
    "--request-distribution": "poisson", "--request-rate-range": "5:9:2", "--shape": "x:2",
    "--measurement-mode": "count_windows", "--input-data": "zero", "--shared-memory": "system",
    "--input-tensor-format": "json", "--output-tensor-format": "binary", "-H": "A:b",
    "--grpc-compression-algorithm": "gzip", "--ssl-https-client-certificate-type": "DER",
    "--ssl-https-private-key-type": "PEM", "--metrics-url": "host:2", "-f": "a.csv",
    "--trace-level": "TIMESTAMPS",
}  # fmt: skip


def test_every_documented_option_is_in_the_table() -> None:
    assert sorted(SPELLINGS) == sorted(line for line in LISTED if line.startswith("-"))


@pytest.mark.parametrize("option", [o for o in SPELLINGS if o != "-m"])
def test_every_option_has_an_outcome_and_makes_a_scenario(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "4").write_text("10\n")
    value = [VALUES.get(option, "4")] if SPELLINGS[option].takes_value else []
    more = ["--ssl-grpc-private-key-file=4"] if "chain" in option else []
    more += ["--ssl-grpc-certificate-chain-file=4"] if "grpc-private" in option else []
    more += ["--ssl-https-private-key-file=4"] if "client-certificate-file" in option else []
    more += ["--ssl-https-client-certificate-file=4"] if "https-private-key-file" in option else []
    more += ["-i", "grpc"] if "ssl-grpc" in option else []
    draft = translate(["-m", "net", option, *value, *more], tmp_path)
    assert draft.problems == []
    (outcome,) = [o for o in draft.outcomes if o.option == option]
    assert outcome.here or outcome.note
    assert bool(outcome.here) == (outcome.status == "translated")
    for name, text in draft.files.items():
        (tmp_path / name).write_text(text)
    load_text(draft.text(), "made.yaml", tmp_path)
    if outcome.status != "translated":
        assert f" {option}: " in draft.text()


def test_outcomes_stand_in_the_order_of_the_command_line(tmp_path: Path) -> None:
    draft = translate(["--sync", "-b", "2", "-m", "net"], tmp_path)
    assert [o.option for o in draft.outcomes] == ["--sync", "-b", "-m"]


def test_the_model_must_be_named(tmp_path: Path) -> None:
    assert "the model's name is missing" in str(translate([], tmp_path).problems[0])


def test_few_options_are_only_refused() -> None:
    assert {row.status for row in TABLE.values()} == {"translated", "not needed", "refused"}
