"""Parquet files of a run directory: written with checksums, and read only where they still hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import RunDirectoryError
from harness.system.files import atomic_write, require_regular

if TYPE_CHECKING:
    import pyarrow as pa


def column(values: NDArray[np.generic], type_: pa.DataType) -> pa.Array:
    """An array as a column, not copied where it has the type already.

    `pyarrow.array` does the same, and imports pandas for it: a third of a run's start.
    """
    import pyarrow as pa

    held = np.ascontiguousarray(values, type_.to_pandas_dtype())
    return pa.Array.from_buffers(type_, len(held), [None, pa.py_buffer(held)])


def values(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers without nulls as an array of its type, that can't be written to.

    `to_numpy` does the same, and imports pandas for it.
    """
    return np.from_dlpack(column.combine_chunks())


def words(index: NDArray[np.int32], texts: Sequence[str]) -> pa.Array:
    """A dictionary-encoded column: the text of `texts` that each of `index` stands for."""
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = (pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
    dictionary = pa.StringArray.from_buffers(len(encoded), *buffers)
    return pa.DictionaryArray.from_arrays(column(index, pa.int32()), dictionary)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table atomically, each of its pages with a checksum."""
    import pyarrow.parquet as pq

    with atomic_write(path) as temporary:
        to = temporary.absolute()  # a relative name with a colon is taken for a URI
        pq.write_table(table, to, compression="zstd", write_page_checksum=True)


def read_table(path: Path, schema: pa.Schema, more: pa.Schema | None = None) -> pa.Table:
    """The columns of `schema`, and those of `more` that it has, with its types and no nulls.

    Raises RunDirectoryError, which names the file, where it is damaged. Files of earlier versions
    have no checksums: in them only what breaks the format is found.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        require_regular(path)
        # not `pq.read_table`, which looks for a data set first: four fifths of a small file's time
        with pq.ParquetFile(path.absolute(), page_checksum_verification=True) as file:
            found = file.read(use_threads=False)
        for field in more or ():
            schema = schema.append(field) if field.name in found.column_names else schema
        found = found.select(schema.names)
        if not found.schema.equals(schema):  # `cast` imports pyarrow.compute: a tenth of a second
            found = found.cast(schema)
        found.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        words = " ".join(str(error).split()).rstrip(".")
        raise RunDirectoryError(f"{path} is damaged: {words}") from error
    if any(column.null_count for column in found.columns):
        raise RunDirectoryError(f"{path} is damaged: values are missing")
    return found
