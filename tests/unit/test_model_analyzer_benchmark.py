"""benchmarks/model_analyzer*.py: what is read from Model Analyzer, and what its page says."""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.paths import ROOT

from harness.analysis.intervals import Interval

FOLDER = str(ROOT / "benchmarks")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if FOLDER in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def page(load: Any) -> Any:
    return load("model_analyzer_page")


# ------------------------------------------------------------------------------- Model Analyzer's

TABLE = """\
Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,Satisfies Constraints,\
Throughput (infer/sec),p99 Latency (ms)
identity,1,4,identity_config_0,1:CPU,2,Yes,2164.3,6.9
identity,1,1,identity_config_0,1:CPU,2,Yes,1335.5,2.7
identity,1,4,identity_config_default,1:CPU,8,Yes,1142.3,6.2
identity,1,1,identity_config_default,1:CPU,8,Yes,1318.2,2.6
"""
LOG = """\
05:25:18 [Model Analyzer] perf_analyzer's request count is too small, increased to 150.
05:25:48 [Model Analyzer] Generating detailed reports for the best configurations \
identity_config_default,identity_config_0:
"""


def test_a_run_of_model_analyzer_is_read_from_its_own_files(load: Any) -> None:
    module = load("model_analyzer")
    run = module.read_theirs(TABLE, module.Timed(90.0, 0.1, LOG), repeat=2)
    assert (run.tool, run.repeat, run.seconds, run.foreign) == ("model_analyzer", 2, 90.0, 0.1)
    assert (run.configs, run.points, run.retries) == (2, 4, 1)
    assert run.best == ["default", "i1-mb2"]  # its own order, not ours of its values
    assert run.concurrency == 1  # where its choice was fastest


def test_a_log_without_a_choice_is_an_error(load: Any) -> None:
    module = load("model_analyzer")
    with pytest.raises(SystemExit, match="does not name"):
        module.read_theirs(TABLE, module.Timed(90.0, 0.1, "nothing"), repeat=0)


def test_our_configs_have_the_same_names_as_theirs(load: Any, tmp_path: Path) -> None:
    module = load("model_analyzer")
    names = set(module.our_names(module.IDENTITY, tmp_path).values())
    grid = {f"i{i}-mb{b}" for i in (1, 2) for b in (1, 2, 4)}
    assert names == {"default", *grid}


@pytest.mark.parametrize("quick", [False, True])
def test_no_space_has_the_default_in_it_twice(load: Any, tmp_path: Path, quick: bool) -> None:
    """Model Analyzer would measure such a config once, as its default."""
    module = load("model_analyzer")
    for model in module.MODELS.values():
        found = module.quick(model) if quick else model
        assert len(found.instances) > 1  # a list of one is not searched, so it would
        assert len(found.max_batch_sizes) > 1  # change the default
    assert 8 not in module.IDENTITY.max_batch_sizes
    module.identity_repository(tmp_path / "made")
    config = (tmp_path / "made" / "identity" / "config.pbtxt").read_text()
    assert config.startswith('name: "identity"')
    assert "max_batch_size: 8" in config
    assert "dims: [ 16 ]" in config  # Model Analyzer gives perf_analyzer no --shape


def test_a_variant_for_the_judge_differs_in_what_its_name_says(load: Any, tmp_path: Path) -> None:
    module = load("model_analyzer")
    module.identity_repository(tmp_path / "repository")
    served = module.variant_repository(
        tmp_path / "repository", module.IDENTITY, "i2-mb4", tmp_path / "judge"
    )
    message = module.proto().from_text(
        (served / "identity" / "config.pbtxt").read_text(), module.proto().ModelConfig()
    )
    assert (message.instance_group[0].count, message.max_batch_size) == (2, 4)
    assert (served / "identity" / "1" / "model.py").is_file()


def test_a_step_that_is_done_is_not_done_again(load: Any, tmp_path: Path) -> None:
    module, calls = load("model_analyzer"), []

    def work(folder: Path) -> list[int]:
        calls.append(folder)
        assert not list(folder.iterdir())  # what a stopped step left is gone
        (folder / "half").touch()
        if len(calls) == 1:
            raise KeyboardInterrupt
        return [1]

    with pytest.raises(KeyboardInterrupt):
        module.kept(tmp_path / "step", work)
    assert module.kept(tmp_path / "step", work) == [1]
    assert module.kept(tmp_path / "step", work) == [1]
    assert len(calls) == 2


# ------------------------------------------------------------------------------------------ page


def point(config: str, concurrency: int, *throughput: float, valid: bool = True) -> dict[str, Any]:
    return {
        "config": config, "concurrency": concurrency, "throughput": list(throughput),
        "valid": valid, "flags": [] if valid else ["no_steady_state"],
    }  # fmt: skip


POINTS = [
    point("a", 4, 100, 101, 99),
    point("a", 8, 90, 91, 89),
    point("b", 8, 100.5, 99, 100),
    point("c", 4, 80, 81, 82),
    point("d", 8, 500, 500, 500, valid=False),
]


def test_the_judge_takes_each_configuration_at_its_best(page: Any) -> None:
    found = page.judge(POINTS)
    assert [(j.config, j.concurrency) for j in found.values()] == [("a", 4), ("b", 8), ("c", 4)]
    assert [j.is_best for j in found.values()] == [True, True, False]
    assert found["c"].ratio.value == pytest.approx(0.81, abs=0.001)


def run(page: Any, tool: str, repeat: int, seconds: float, *best: str, **more: Any) -> Any:
    return page.Run(tool, repeat, seconds, 3, 6, list(best), **more)


def test_shares_are_taken_within_a_repeat(page: Any) -> None:
    runs = [
        run(page, page.THEIRS, 0, 100, "a"), run(page, page.THEIRS, 1, 200, "a"),
        run(page, page.ONE, 1, 20, "a"), run(page, page.ONE, 0, 30, "a"),
    ]  # fmt: skip
    assert page.shares(runs, page.ONE) == [0.3, 0.1]


def test_agreement_counts_first_choices(page: Any) -> None:
    runs = [run(page, page.THEIRS, i, 1, best, "z") for i, best in enumerate("aba")]
    assert page.agreement(runs, page.THEIRS) == ("a", 2, 3)


def data(page: Any) -> dict[str, Any]:
    runs = [
        *(run(page, page.THEIRS, i, 100, "c", "a", concurrency=4, retries=i) for i in range(2)),
        *(run(page, page.ONE, i, 30, "d", "a", concurrency=8) for i in range(2)),
        *(run(page, page.ENOUGH, i, 90, "b", "a", tied=["a", "b"], concurrency=8)
          for i in range(2)),
    ]  # fmt: skip
    about = {
        "model_analyzer": "1.58.0", "cpus": 2, "cpu": "x", "repeats": 2, "rounds": 3,
        "judge_rounds": 3, "judge_window": "8s", "command": "python this.py",
    }  # fmt: skip
    model = {
        "title": "Some model", "space": "All of it.",
        "runs": [asdict(r) for r in runs], "judge": POINTS,
    }  # fmt: skip
    return {"about": about, "models": {"some": model}}


def share(one: dict[str, Any], best: dict[str, Any]) -> str:
    """By Welch's t, of SciPy's."""
    logs = [np.log(point["throughput"]) for point in (one, best)]
    between = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    ends = np.exp([logs[0].mean() - logs[1].mean(), *between])
    return "{:.1%} ({:.1%}–{:.1%})".format(*ends)


def test_a_ratio_without_an_interval(load: Any) -> None:
    ratio_interval = load("welch").ratio_interval
    assert ratio_interval([4.0, 4.0], [2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 2)
    assert ratio_interval([4.0], [2.0, 2.1]).low is None
    for sides in (([], [1.0]), ([1.0, math.inf], [1.0, 1.0]), ([1.0, 1.0], [0.0, 1.0])):
        with pytest.raises(ValueError, match=r"no values|not all"):
            ratio_interval(*sides)


def test_the_page_says_who_chose_well(page: Any) -> None:
    text = page.page(data(page))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    c, b = (share(POINTS[i], POINTS[0]) for i in (3, 2))
    assert f"| Model Analyzer | 1 | `c` c4 | `a` | – | no | {c} |" in rows
    assert f"| harness, 3 rounds | 1 | `b` c8 | `a` | `a` | yes | {b} |" in rows
    assert "| harness, one round | 2 | `d` c8 | `a` | – | – | not judged |" in rows
    assert "invalid: `d` at concurrency 8 (no_steady_state)." in text
    assert "`python this.py`" in text


def test_the_page_judges_the_targets(page: Any) -> None:
    text = page.page(data(page))
    (one,) = [line for line in text.splitlines() if line.startswith("| harness, one round | 30 s")]
    (enough,) = [line for line in text.splitlines() if line.startswith("| harness, 3 rounds | 90")]
    assert one.endswith("| 0.30 (0.30–0.30) | ≤ 0.25: missed |")
    assert enough.endswith("| 0.90 (0.90–0.90) | ≤ 1: met |")
