"""What a rule of perf_analyzer's table looks at: all options, and the draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.migrate.arguments import SOURCE, Given
from harness.migrate.draft import Draft
from harness.migrate.table import Said

Rule = Callable[["Command", Given], Said | None]


@dataclass
class Command:
    """All that a rule may look at: the other options, and where the keys go."""

    draft: Draft
    given: dict[str, list[Given]] = field(default_factory=dict)
    protocol: str = "http"
    remote: bool = True
    """Whether the server runs already; else the harness starts it."""
    mode: str = "time_windows"
    """How windows end where it is not said; Model Analyzer's is count_windows."""

    def value(self, name: str, default: str = "") -> str:
        """An option's last value."""
        return self.given[name][-1].value if self.given.get(name) else default

    def put(self, path: str, value: object, given: Given) -> None:
        """Set a key with the option as its comment: its name only, since values may be secrets."""
        place = "" if given.mark.file == SOURCE else f", line {given.mark.line}"
        self.draft.put(path, value, f"{given.spelled}{place}")
