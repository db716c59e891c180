"""The Python API: measure a scenario, resume a run, read one. `import harness` gives all of it.

What the command line does, from a script or a notebook; nothing is printed. See docs/python.md.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.analysis.verdict import verdict
from harness.backends import registry
from harness.errors import UsageError
from harness.explain import frames, notebook, terminal
from harness.fleet import front
from harness.report.build import FORMATS
from harness.report.model.context import Context, build_context
from harness.report.sections.answer import answer
from harness.results.events import Event
from harness.results.rows import FailureRow
from harness.results.store import read_run
from harness.run import execute
from harness.scenario.reading.loader import LoadedScenario, load, load_text
from harness.scenario.spec.scenario import Scenario
from harness.scenario.wording import counted
from harness.system.files import jsonable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from harness.analysis.summary import SummaryRow
    from harness.backends.base import Backend

__all__ = ["PointText", "Run", "load_scenario", "open_run", "resume", "run"]

AnyScenario: TypeAlias = "str | os.PathLike[str] | Scenario | Mapping[str, object]"
"""A file, YAML text (what has a line break), a `Scenario`, or its content as a dict."""
Progress: TypeAlias = Callable[[Event], object]
"""Called with everything that happens, as it happens: a dataclass of `harness.results.events`."""
Backends: TypeAlias = "Mapping[str, type[Backend[Any, Any]]]"
"""Kind → a class that follows the protocol (docs/own-backend.md), whatever its requests are."""
IN_MEMORY = Path("<python>")
"""Stands for the file of a scenario that has none, in messages and in the manifest."""


class PointText:
    """Everything about one point: `str()` for a terminal, HTML in a notebook."""

    def __init__(self, page: RenderableType) -> None:
        self._page = page

    def __str__(self) -> str:
        return notebook.as_text(self._page)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return notebook.as_html(self._page)


class Run:
    """A run directory, as it was when it was opened. In a notebook it shows what was found."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        """The run directory."""
        self._data = read_run(self.path)

    @cached_property
    def _context(self) -> Context:
        return build_context(self._data)

    @property
    def complete(self) -> bool:
        """Whether the run reached its end; if not, `harness.resume(path)` goes on."""
        return self._data.complete

    @property
    def exit_code(self) -> int:
        """As of `harness run`: 0 fine; 1 a point failed, 2 for its scenario, 3 for a lack of this
        machine; 4 a point is invalid, or the constraints undecided; 5 none holds them.
        """
        return verdict(self._data).code

    @property
    def failures(self) -> list[FailureRow]:
        """What could not be measured: point, round, reason, message, fix, log."""
        return self._data.failures

    @property
    def best(self) -> SummaryRow | None:
        """The recommended point; None where there is none, and `answer` says why."""
        choice = self._context.choice
        return choice.recommended or choice.best

    @property
    def answer(self) -> str:
        """What was found, as the report's first sentences say it."""
        return " ".join(map(str, answer(self._context)))

    def summary(self) -> pd.DataFrame:
        """A row a point, with intervals: the columns and numbers of summary.csv."""
        return frames.summary_frame(self._context)

    def measurements(self) -> pd.DataFrame:
        """A row a point and round: the columns and numbers of measurements.csv."""
        return frames.measurements_frame(self._context)

    def explain(self, point: str) -> PointText:
        """Everything about a point, such as `torch/b4/c2`. Raises UsageError when it is none."""
        return PointText(terminal.about(self._data, point))

    def report(
        self, formats: Collection[str] = FORMATS, output: str | os.PathLike[str] | None = None
    ) -> list[Path]:
        """Write the reports into `output`, by default the run directory; their paths, HTML first.

        Raises UsageError on a format that is none of html, pdf and csv.
        """
        target = None if output is None else Path(output)
        return execute.rebuild(self.path, target, formats).report.all()

    def __repr__(self) -> str:
        state = "complete" if self.complete else "not complete"
        return f"<Run {self.path}: {state}, {counted(len(self._context.rows), 'point')}>"

    def _repr_html_(self) -> str:
        return notebook.run_html(self._context)


def run(
    scenario: AnyScenario, *, output: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (), backends: Backends | None = None,
    progress: Progress | None = None, devices: str | None = None, shard: str | None = None,
) -> Run:  # fmt: skip
    """Measure a scenario; by default into reports/SCENARIO-TIME.

    `devices` and `shard` are as of the command line (docs/many-gpus.md): `devices="all"` has a lane
    on each GPU, each of which reads the scenario from its file.

    `overrides` are as the command line's `--set`: `["load.concurrency=[1,2]"]`; `backends` are
    those of your own that the scenario names, by kind. Points that fail do not raise, see
    `Run.failures`. Raises ScenarioError, UsageError for a backend that workers could not import,
    RunDirectoryError when `output` holds something, and KeyboardInterrupt once the run directory
    can be resumed.
    """
    _register(backends)
    directory = None if output is None else Path(output)
    loaded = _load(scenario, overrides)
    return _opened(front.begin(loaded, directory, _watch(progress), shard, devices))


def resume(
    path: str | os.PathLike[str], *, backends: Backends | None = None,
    progress: Progress | None = None,
) -> Run:  # fmt: skip
    """Measure what an interrupted run lacks. Raises RunDirectoryError when it would mix conditions:

    another scenario, machine or versions of packages than those of the run.
    """
    _register(backends)
    return _opened(front.go_on(Path(path), _watch(progress)))


def open_run(path: str | os.PathLike[str]) -> Run:
    """Read a run directory. Raises RunDirectoryError when it is none."""
    return Run(path)


def load_scenario(
    scenario: AnyScenario, *, overrides: Sequence[str] = (), backends: Backends | None = None
) -> Scenario:
    """Read and check a scenario. Raises ScenarioError with every mistake that is in it."""
    _register(backends)
    return _load(scenario, overrides).scenario


def _register(backends: Backends | None) -> None:
    for kind, backend in (backends or {}).items():
        registered = registry.kind_of(backend)
        if registered != kind:
            raise UsageError(f"{backend.__qualname__} is of kind '{registered}', not '{kind}'")


def _watch(progress: Progress | None) -> execute.Watch:
    return nullcontext(progress or (lambda _: None))


def _opened(ended: execute.Ended) -> Run:
    if ended.interrupted:
        raise KeyboardInterrupt(f"finish it with: harness.resume({str(ended.path)!r})")
    return Run(ended.path)


def _load(scenario: AnyScenario, overrides: Sequence[str]) -> LoadedScenario:
    if isinstance(scenario, str | os.PathLike) and "\n" not in str(scenario):
        return load(Path(scenario), overrides)
    text = scenario if isinstance(scenario, str) else _yaml(scenario)
    loaded = load_text(text, str(IN_MEMORY), Path.cwd(), overrides)
    return LoadedScenario(loaded, text, IN_MEMORY, tuple(overrides))


def _yaml(scenario: AnyScenario) -> str:
    from ruamel.yaml import YAML

    if isinstance(scenario, Scenario):
        scenario = scenario.model_dump(mode="json", exclude_unset=True)
    yaml, text = YAML(), io.StringIO()
    yaml.dump(jsonable(scenario), text)
    return text.getvalue()
