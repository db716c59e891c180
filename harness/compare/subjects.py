"""The two backends of a run opened again, outside of it, to be looked at from close."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.backends.registry import message_of
from harness.compare.side import backends_of
from harness.errors import DeadlineError, HarnessError, UsageError
from harness.inspect.process import InspectedProcess, Message
from harness.inspect.profilers import KINDS
from harness.inspect.worker import MODULE
from harness.results.store import RunData
from harness.run.environments import Interpreters, make_environments
from harness.run.execute import reread
from harness.run.session.preparing import prepare, prepared_model
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import Parity
from harness.scenario.spec.scenario import Scenario
from harness.system.environment import worker_env
from harness.system.paths import cache_directory

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One side: which Python opens which backend with which model."""

    name: str
    kind: str
    precision: str
    python: str
    env: Mapping[str, str]
    task: Mapping[str, object]
    """What `harness.inspect.worker` is told of it."""
    batches: tuple[int, ...]
    limits: Measurement
    """Whose `load_timeout` and `build_timeout` hold here too."""

    def ask(self, want: str, log: Path, folder: Path, **more: object) -> Message:
        """`layers` or `outputs`, of a process of its own.

        Raises WorkerDiedError, DeadlineError, what the backend raises.
        """
        title = f"the process that inspects {self.name}"
        task = {**self.task, "want": want, "folder": str(folder.resolve()), **more}
        with InspectedProcess(title, MODULE, task, log, self.python, self.env) as child:
            for message in child.messages(self.limits):
                if message["event"] == want:
                    return message
        raise DeadlineError(f"{title} ended without {want}")


@dataclass(frozen=True, slots=True)
class Subjects:
    """Both, and what they have in common."""

    base: Subject
    candidate: Subject
    parity: Parity

    def pair(self) -> list[Subject]:
        """Both, the base first."""
        return [self.base, self.candidate]


def subjects(data: RunData, base: str, candidate: str, tell: Tell) -> Subjects:
    """The two backends of a run, with its model prepared and their environments made.

    Raises UsageError where they can't be opened alone, RunDirectoryError where the run's scenario,
    machine or packages are not those that are here now.
    """
    for spec in backends_of(data):
        if spec.get("name") in (base, candidate) and spec.get("kind") not in KINDS:
            raise UsageError(
                f"{spec.get('name')} can't be looked at from close: `{spec.get('kind')}` does not "
                "run in a process of its own",
                fix=f"only {', '.join(KINDS)} do",
            )
    scenario, folder = reread(data.path)
    specs = {b.name: b for b in scenario.backends}
    logs, cache = data.path / "logs", cache_directory()
    prepared = prepared_model(prepare(scenario, base=folder, logs=logs, cache=cache), "")
    made = make_environments(scenario, folder, cache, logs / "environments.log", tell)
    common = {
        "model": prepared.model.to_json(), "cache": str(cache),
        "batches": list(scenario.load.batch_sizes),
    }  # fmt: skip
    one, other = (
        _subject(specs[name], common, made, worker_env(folder), scenario)
        for name in (base, candidate)
    )
    return Subjects(one, other, scenario.model.parity)


def _subject(
    spec: AnyBackend, common: Mapping[str, object], made: Interpreters, env: Mapping[str, str],
    scenario: Scenario,
) -> Subject:  # fmt: skip
    interpreter = made.get(spec.environment or "")
    if isinstance(interpreter, HarnessError):
        raise interpreter
    return Subject(
        spec.name, spec.kind, str(getattr(spec, "precision", "fp32")),
        interpreter.python if interpreter else sys.executable,
        {**env, **(interpreter.env if interpreter else {})},
        {**common, "backend": message_of(spec)}, scenario.load.batch_sizes,
        scenario.measurement,
    )  # fmt: skip
