"""What is searched: automatic and manual, brute, quick and optuna, alone and together."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.analyzed import drafts, scenario, scenarios

from harness.triton.client.settings import TritonSettings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_brute_without_parameters_is_the_automatic_space(here: Path) -> None:
    found, backend = scenario(here, "profile_models: net")
    assert backend.instances == (1, 2, 3, 4, 5)
    assert backend.max_batch_size == (1, 2, 4, 8, 16, 32, 64, 128)
    assert backend.dynamic_batching is True
    assert found.load.concurrency == tuple(2**k for k in range(11))
    assert (found.search.method, found.objective) == ("grid", "throughput")


def test_ends_bound_the_automatic_space(here: Path) -> None:
    found, backend = scenario(here, """
        run_config_search_max_instance_count: 2
        run_config_search_min_model_batch_size: 16
        run_config_search_max_model_batch_size: 32
        run_config_search_min_concurrency: 8
        run_config_search_max_concurrency: 20
        profile_models: [net]
        """)  # fmt: skip
    assert (backend.instances, backend.max_batch_size) == ((1, 2), (16, 32))
    assert found.load.concurrency == (8, 16)


def test_parameters_are_all_that_is_tried(here: Path) -> None:
    found, backend = scenario(here, """
        profile_models:
          net:
            parameters:
              concurrency: {start: 2, stop: 6, step: 2}
              batch_sizes: 1, 2,3
        """)  # fmt: skip
    assert (found.load.concurrency, found.load.batch_sizes) == ((2, 4, 6), (1, 2, 3))
    assert (backend.instances, backend.max_batch_size, backend.config) == (None, None, {})


def test_a_manual_sweep_has_its_lists_and_searches_concurrency(here: Path) -> None:
    found, backend = scenario(here, """
        run_config_search_max_concurrency: 4
        run_config_search_max_instance_count: 3
        profile_models:
          net:
            model_config_parameters:
              max_batch_size: [8, 16]
              dynamic_batching: {max_queue_delay_microseconds: [200, 300]}
              instance_group: [{kind: KIND_GPU, count: [1, 2]}]
        """)  # fmt: skip
    assert (backend.instances, backend.max_batch_size) == ((1, 2), (8, 16))
    assert isinstance(backend.dynamic_batching, tuple)
    assert found.load.concurrency == (1, 2, 4)


def test_disabled_search_is_one_configuration(here: Path) -> None:
    found, backend = scenario(here, """
        run_config_search_disable: true
        run_config_search_mode: quick
        num_configs_per_model: 2
        profile_models: {net: {model_config_parameters: {max_batch_size: 4}}}
        """)  # fmt: skip
    assert (backend.max_batch_size, backend.instances, found.load.concurrency) == (4, None, (1,))


def test_what_steers_no_search_is_said(here: Path) -> None:
    (draft,) = drafts(here, """
        model_repository: models
        run_config_search_disable: true
        run_config_search_mode: quick
        run_config_search_max_concurrency: 9
        num_configs_per_model: 2
        optuna_max_trials: 9
        profile_models: net
        """)  # fmt: skip
    said = {o.option: o.status for o in draft.outcomes}
    idle = ("run_config_search_mode", "run_config_search_max_concurrency", "num_configs_per_model",
            "optuna_max_trials")  # fmt: skip
    assert [said[name] for name in idle] == ["not needed"] * 4


def test_quick_and_optuna(here: Path) -> None:
    found, _ = scenario(here, """
        run_config_search_mode: quick
        num_configs_per_model: 5
        profile_models: net
        """)  # fmt: skip
    assert (found.search.method, found.search.top) == ("quick", 5)
    found, backend = scenario(here, """
        run_config_search_mode: optuna
        optuna_max_trials: 30
        use_concurrency_formula: true
        profile_models: {net: {model_config_parameters: {max_batch_size: [1, 4]}}}
        """)  # fmt: skip
    assert (found.search.method, found.search.trials) == ("bayesian", 30)
    assert (backend.max_batch_size, backend.instances) == ((1, 4), (1, 2, 3, 4, 5))


def test_request_rates(here: Path) -> None:
    found, _ = scenario(here, "request_rate: 10,20\nprofile_models: net")
    assert (found.load.request_rate, found.load.arrivals) == ((10, 20), "constant")
    searched = "request_rate_search_enable: true\nrun_config_search_max_request_rate: 64\n"
    found, _ = scenario(here, searched + "profile_models: net")
    assert found.load.request_rate == (16, 32, 64)
    found, _ = scenario(here, searched + "latency_budget: 20\nprofile_models: net")
    assert found.load.find_capacity is not None
    assert found.load.find_capacity.target == ("p99", 20)


def test_cpu_only(here: Path) -> None:
    _, backend = scenario(here, """
        run_config_search_max_instance_count: 2
        profile_models: {net: {cpu_only: true}}
        """)  # fmt: skip
    assert backend.config == tuple(
        {"instance_group": [{"kind": "KIND_CPU", "count": count}]} for count in (1, 2)
    )


def test_each_model_has_a_scenario_with_its_own_settings(here: Path) -> None:
    first, second = scenarios(here, """
        model_repository: models
        concurrency: [2, 4]
        batch_sizes: {start: 4, stop: 6}
        objectives: [perf_throughput]
        profile_models:
          - one:
              parameters: {batch_sizes: 1}
              constraints: {perf_latency_p99: {max: 50}}
              objectives: {perf_latency_p99: 2, perf_throughput: 3}
          - two
        """)  # fmt: skip
    assert (first.load.batch_sizes, second.load.batch_sizes) == ((1,), (4, 5, 6))
    assert (first.load.concurrency, second.load.concurrency) == ((2, 4), (2, 4))
    assert [name for name, _ in first.constraints.items()] == ["latency_p99_ms"]
    assert second.constraints.items() == []
    assert second.objective == "throughput"


@pytest.mark.parametrize("switch", ["true", "1"])
def test_models_at_the_same_time_are_colocated(here: Path, switch: str) -> None:
    found, backend = scenario(here, """
        run_config_profile_models_concurrently_enable: VALUE
        run_config_search_max_instance_count: 2
        concurrency: 1,4
        profile_models:
          one: {weighting: 2}
          two:
            weighting: 1
            parameters: {concurrency: [2, 8], batch_sizes: 4}
            constraints: {perf_latency_p99: {max: 50}, gpu_used_memory: {max: 100}}
        """.replace("VALUE", switch))  # fmt: skip
    (other,) = backend.colocated
    assert (other.name, other.weight, other.load.concurrency) == ("two", 0.5, 8)
    assert (other.load.batch_size, other.instances) == (4, (1, 2))
    assert [name for name, _ in other.constraints.items()] == ["latency_p99_ms"]
    assert [name for name, _ in found.constraints.items()] == ["gpu_memory_mib"]
    assert found.search.method == "quick"


def test_behind_a_url_nothing_is_searched(here: Path) -> None:
    (found,) = scenarios(here, "triton_launch_mode: remote\nprofile_models: net")
    (backend,) = found.backends
    assert isinstance(backend, TritonSettings)
    assert backend.server.url == "localhost:8001"
    assert backend.instances is None
