"""What is told of a run: every line of its journal, and what observers hear while it goes on.

The journal's rows are in `harness.results.rows`; here are the lines and live events beside them,
and how a line becomes the dataclass that it is (`read_event`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, get_args

from harness.results import rows
from harness.results.line import Line

# ------------------------------------------------------------------------------- journal lines


@dataclass(frozen=True, slots=True)
class RunStarted(Line):
    """The first line of a journal."""

    EVENT = "run_started"
    time: str = ""
    """UTC, ISO 8601; of the next two as well."""


@dataclass(frozen=True, slots=True)
class RunResumed(Line):
    """An interrupted run goes on."""

    EVENT = "run_resumed"
    time: str = ""


@dataclass(frozen=True, slots=True)
class RunEnded(Line):
    """The run, or this part of it, is over."""

    EVENT = "run_ended"
    status: str
    """`complete` or `interrupted`."""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Note(Line):
    """What was done differently than the scenario asks, in words."""

    EVENT = "note"
    text: str


@dataclass(frozen=True, slots=True)
class MeasuredAgain(rows.PointLine):
    """What steers a search, and whose measurement was doubtful: a rate, or a config's point."""

    EVENT = "measured_again"
    flags: tuple[str, ...] = ()
    """Of the measurement that was dropped."""


@dataclass(frozen=True, slots=True)
class Discarded(rows.PointLine):
    """The measurement that a session opens with: it is cold, and counts nowhere."""

    EVENT = "discarded"
    requests: int
    throughput: float
    """Inferences a second."""
    latency_ms: Mapping[str, float | None]
    window_begin_ns: int
    window_end_ns: int


@dataclass(frozen=True, slots=True)
class Spent(Line):
    """How much of its budget a run has used so far, also by its parts before an interruption."""

    EVENT = "spent"
    seconds: float


@dataclass(frozen=True, slots=True)
class SearchEnded(Line):
    """Why a search stopped before its end."""

    EVENT = "search_ended"
    why: str
    not_measured: tuple[str, ...]
    """The configs it left out, as `BACKEND/CONFIG`."""


@dataclass(frozen=True, slots=True)
class Reached(Line):
    """How narrow a point's intervals became, and why no round was added."""

    EVENT = "reached"
    point: str
    rounds: int
    why: str
    half_widths: Mapping[str, float | None]
    """By target, as shares of the value; None where there is none yet."""


@dataclass(frozen=True, slots=True)
class Undecided(Line):
    """What a search could not tell apart at its end; the last line counts."""

    EVENT = "undecided"
    text: str
    """Empty where nothing is open."""


@dataclass(frozen=True, slots=True)
class Best(Line):
    """The config that was written to `best/`, why, and what it is tied with."""

    EVENT = "best"
    backend: str = ""
    config: str | None = None
    """None when no config was written; `why` then says why, and the rest is empty."""
    point: str = ""
    directory: str = ""
    """The model directory, relative to the run directory."""
    difference: str = ""
    """Its difference from the default config, likewise."""
    tied: tuple[str, ...] = ()
    """Other configs that can't be told apart from it, as `BACKEND/CONFIG`."""
    why: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the server's environment must hold."""

    def to_event(self) -> dict[str, object]:
        """The line; where no config was written it has none of what describes one."""
        if self.config is None:
            return {"event": self.EVENT, "config": None, "why": self.why}
        return Line.to_event(self)


# --------------------------------------------------------------------------------- live events


@dataclass(frozen=True, slots=True)
class Plan(Line):
    """What the run is going to measure."""

    EVENT = "plan"
    points: tuple[str, ...]
    rounds: int
    measured: int = 0
    """Of the points, over all rounds, by earlier parts of the run."""
    at_most: bool = False
    """Whether a search may end sooner."""


@dataclass(frozen=True, slots=True)
class ToCome(Line):
    """What is still to be measured as far as can be said, told before each config."""

    EVENT = "to_come"
    round: int
    points: tuple[str, ...]
    """Of this round, by name."""
    fewest: tuple[float, ...]
    """What comes besides, over all rounds, at least: how many points, in how many sessions."""
    most: tuple[float, ...]
    """The same, at most."""
    seconds: float
    """Of a warm-up and a window, as planned."""
    budget: float | None = None
    """Seconds that are left of it."""


@dataclass(frozen=True, slots=True)
class RoundAdded(Line):
    """A round that not every point gets."""

    EVENT = "more"
    round: int
    points: int
    why: str


@dataclass(frozen=True, slots=True)
class Status(Line):
    """What the run does now that is no measurement, in words."""

    EVENT = "status"
    text: str


@dataclass(frozen=True, slots=True)
class Lanes(Line):
    """What each device of a run over several does now."""

    EVENT = "lanes"
    now: Mapping[str, str]
    """Device → in words."""


@dataclass(frozen=True, slots=True)
class SessionStarted(Line):
    """A backend's config is being loaded."""

    EVENT = "session"
    backend: str
    config: str
    round: int


@dataclass(frozen=True, slots=True)
class PointStarted(rows.PointLine):
    """A point is being measured."""

    EVENT = "point"


@dataclass(frozen=True, slots=True)
class Progress(Line):
    """How a measurement goes on; from the worker."""

    EVENT = "progress"
    phase: str
    """`warmup` or `window`."""
    requests: int
    """Finished so far."""
    seconds: float
    """In which they finished."""
    p99_ms: float | None = None
    """Of the latest requests; None while they are too few for it."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


# ------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A line of a newer version, which this one passes over."""

    event: str
    content: Mapping[str, object]


JournalLine: TypeAlias = (
    RunStarted | RunResumed | RunEnded | Note | MeasuredAgain | Discarded | Spent | SearchEnded
    | Reached | Undecided | Best | rows.ArtifactRow | rows.LoadedRow | rows.ServerOnlyRow
    | rows.ParityRow | rows.MeasurementRow | rows.CeilingRow | rows.FailureRow | rows.CapacityRow
)  # fmt: skip
"""What `journal.jsonl` holds."""
Event: TypeAlias = (
    JournalLine | Plan | ToCome | RoundAdded | Status | Lanes | SessionStarted | PointStarted
    | Progress
)  # fmt: skip
"""What an observer is told."""
JOURNAL_LINES: Mapping[str, type[JournalLine]] = {c.EVENT: c for c in get_args(JournalLine)}


Observer: TypeAlias = Callable[[Event], object]
"""Told of every journal line and of what is going on; must be quick and must not raise."""


def read_event(event: Mapping[str, object]) -> JournalLine | UnknownEvent:
    """A journal line as what it is. Raises TypeError when something it must have is missing."""
    name = event.get("event")
    if not isinstance(name, str):
        raise TypeError("it has no `event`")
    cls = JOURNAL_LINES.get(name)
    return UnknownEvent(name, event) if cls is None else cls.from_event(event)
