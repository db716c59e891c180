"""`harness merge` from its arguments to the merged run directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.fleet.merge import merge
from harness.fleet.sources import read_sources
from harness.fleet.write import require_new, write
from harness.results.store import read_run
from harness.run.execute import Ended


def carry_out(directories: Sequence[Path], output: Path, *, allow_mixed: bool) -> Ended:
    """Merge; as interrupted where something is missing. Raises RunDirectoryError."""
    require_new(output)
    write(merge(read_sources(directories), allow_mixed=allow_mixed), output)
    return Ended(output, not read_run(output).complete)
