"""Raw samples: what every generator produces and every percentile is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.results import tables
from harness.system.files import named

if TYPE_CHECKING:
    import pyarrow as pa

OK, ERROR, TIMEOUT, SHED, UNFINISHED = range(5)
"""Request statuses. UNFINISHED was due before the load stopped, and
had not been sent when a time-out had passed since."""

MESSAGE = 500
"""Characters of an error's message that are kept."""

COLUMNS = ("scheduled", "sent", "done", "status", "caller")
MORE_COLUMNS = ("written", "woke", "which")
"""Of the wire client, and of a mix, only; and not in files of earlier versions."""
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Samples:
    """One row a request, in order of completion; all arrays have the shape (requests,).

    Times are int64 nanoseconds of `time.monotonic_ns`, the same clock in every process of the
    machine. In a closed loop `scheduled` equals `sent`.
    """

    scheduled: Int64
    sent: Int64
    done: Int64
    status: NDArray[np.uint8]
    caller: NDArray[np.uint16]
    messages: Mapping[str, int] = field(default_factory=dict)
    """Error messages and how often each came."""
    written: Int64 | None = None
    """When the kernel had taken what it took at once of the request; what it leaves waits for the
    connection, not for the client."""
    woke: Int64 | None = None
    """When the client woke to what ended the answer: from then on it was the client that worked."""
    which: NDArray[np.uint16] | None = None
    """Of a generator: the index of the request that was sent, among those that it cycles through.
    Of a measurement: which of a mix's sizes it had; None where all have the same."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays that there are."""
        return COLUMNS + tuple(n for n in MORE_COLUMNS if getattr(self, n) is not None)

    def __len__(self) -> int:
        return len(self.sent)

    def save(self, path: Path) -> None:
        """Write the arrays to an uncompressed .npz file (the parent turns it into Parquet)."""
        with named(path), path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.columns})

    @classmethod
    def load(cls, path: Path, messages: Mapping[str, int] | None = None) -> Samples:
        """Read what `save` wrote."""
        with np.load(path) as data:
            return cls(**{name: data[name] for name in data.files}, messages=messages or {})


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    types = {"status": pa.uint8(), "caller": pa.uint16(), "which": pa.uint16()}
    return pa.schema({name: types.get(name, pa.int64()) for name in columns})


def write_samples(path: Path, samples: Samples, metadata: Mapping[str, str]) -> None:
    """Raw samples as Parquet: int64 ns `scheduled`, `sent`, `done`, of the wire client `written`
    and `woke`; `status`; `caller`; of a mix `which` of its sizes.
    """
    import pyarrow as pa

    schema = _schema(samples.columns)
    columns = {f.name: tables.column(getattr(samples, f.name), f.type) for f in schema}
    tables.write_table(path, pa.table(columns, schema).replace_schema_metadata(dict(metadata)))


def read_samples(path: Path) -> Samples:
    """Read what `write_samples` wrote. Raises RunDirectoryError where it is damaged."""
    table = tables.read_table(path, _schema(COLUMNS), _schema(MORE_COLUMNS))
    arrays: dict[str, Any] = {name: tables.values(table[name]) for name in table.column_names}
    return Samples(**arrays)
