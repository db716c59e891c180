"""The table has every key of Model Analyzer; mistakes have their place; examples are loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.analyzed import START, drafts
from support.paths import ROOT

from harness.errors import ScenarioError
from harness.migrate import perf_analyzer
from harness.migrate.model_analyzer import OF_MODEL, TABLE
from harness.scenario.reading.loader import load_text

LISTED = (ROOT / "tests" / "data" / "model_analyzer_options.txt").read_text()
VALUES = {
    "triton_launch_mode": "c_api", "client_protocol": "http", "model_repository": "models",
    "triton_server_path": "./tritonserver", "triton_http_endpoint": "h:1",
    "triton_grpc_endpoint": "h:2", "triton_docker_shm_size": "1g", "triton_docker_labels": "{a: b}",
    "triton_docker_args": "{user: me}", "triton_server_flags": "{log_verbose: 1}",
    "triton_server_environment": "{A: b}", "gpus": "all", "profile_models": "net",
    "reload_model_disable": "true", "model_type": "LLM", "objectives": "[perf_throughput]",
    "constraints": "{perf_throughput: {min: 1}}", "perf_analyzer_flags": "{percentile: 90}",
    "run_config_search_mode": "quick", "run_config_search_disable": "true",
    "run_config_profile_models_concurrently_enable": "true", "request_rate_search_enable": "true",
    "cpu_only": "true", "parameters": "{concurrency: 2}",
    "model_config_parameters": "{max_batch_size: 4}",
}  # fmt: skip


def listed(section: str) -> set[str]:
    return set(re.split(r"\n\[", LISTED.partition(f"[{section}]\n")[2])[0].split())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_key_is_in_the_table() -> None:
    sections = ("global", "profile", "report", "profile_models")
    assert set(TABLE) == {key for section in sections for key in listed(section)}
    assert listed("profile_models") == OF_MODEL
    assert listed("perf_analyzer_flags") - {"extra-verbose"} <= set(perf_analyzer.TABLE)


@pytest.mark.parametrize("key", sorted(TABLE))
def test_every_key_has_an_outcome_and_makes_a_scenario(here: Path, key: str) -> None:
    value = VALUES.get(key, "4")
    if key in ("cpu_only", "parameters", "model_config_parameters"):
        text = f"{START}profile_models: {{net: {{{key}: {value}}}}}"
    elif key in ("model_repository", "profile_models"):
        text = f"{START}profile_models: net"
    else:
        text = f"{START}profile_models: net\n{key}: {value}"
    (draft,) = drafts(here, text)
    assert draft.problems == []
    (outcome,) = [o for o in draft.outcomes if o.option.endswith(key)]
    assert outcome.here or outcome.note
    load_text(draft.text(), "made.yaml", here)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("concurency: 4", "3:1: concurency: Model Analyzer has no such key here; "
                          "did you mean 'concurrency'?"),
        ("concurrency: [1, x]", "3:14: concurrency: expected a number, found 'x'"),
        ("batch_sizes: {start: 4}", "3:14: batch_sizes: a range needs start and stop"),
        ("triton_launch_mode: cloud", "3:21: triton_launch_mode: expected one of local"),
        ("objectives: [speed]", "3:13: objectives: Model Analyzer has no metric 'speed'"),
        ("constraints: {perf_latency_p99: {min: 1}}", "takes max, not min"),
        ("perf_analyzer_flags: {max_trials: 1}", "did you mean 'max-trials'?"),
        ("perf_analyzer_flags: {max-trials: x}", "3:35: perf_analyzer_flags.max-trials: expected"),
        ("run_config_search_mode: fast", "expected one of brute"),
        ("triton_http_endpoint: host", "expected host:port"),
        ("cpu_only: true", "no such key here"),
        ("request_rate_search_enable: maybe", "true or false"),
        ("run_config_search_max_instance_count: 99999999", "at most 65536"),
        ("triton_server_flags: 4", "expected a mapping"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place(here: Path, text: str, says: str) -> None:
    (draft,) = drafts(here, f"model_repository: models\nprofile_models: net\n{text}\n")
    (problem,) = {p.line: p for p in draft.problems}.values()
    assert says in str(problem)
    assert str(problem).startswith("config.yaml:3:")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "config.yaml:1:"), ("", "expected a mapping"), ("- a", "expected a mapping"),
        ("model_repository: m", "name at least one model"),
        ("profile_models: {net: 4}", "expected a mapping"),
        ("profile_models: []", "name at least one model"),
    ],
)  # fmt: skip
def test_a_file_without_models_is_refused(here: Path, text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(says)):
        drafts(here, text)


def test_the_repository_must_be_named(here: Path) -> None:
    (draft,) = drafts(here, "profile_models: net")
    assert "is missing" in draft.problems[0].message


def test_comments_say_where_keys_come_from_and_what_is_left(here: Path) -> None:
    (draft,) = drafts(here, START + "plots: {}\nconcurrency: 4\nprofile_models: net")
    text = draft.text()
    assert "concurrency: [4] # concurrency, line 3" in text
    assert "#   config.yaml:2:8 plots: the report's plots are its own" in text
