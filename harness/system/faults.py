"""Any exception as one of the harness's own: what a user can do something about says so."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

from harness.errors import HarnessError, OutOfMemoryError, SetupError, UnexpectedError
from harness.system.packages import missing_package


def known(error: BaseException, otherwise: type[HarnessError] = UnexpectedError) -> HarnessError:
    """`error` itself if it is one of ours; else with its class and message, as `otherwise`."""
    if isinstance(error, HarnessError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_package(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return OutOfMemoryError(f"out of host memory: {error}".rstrip(": "))
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            return cant_write(error, error.filename)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return _no_descriptor(error)
    return otherwise(f"{type(error).__name__}: {error}".rstrip(": "))


def cant_write(error: OSError, path: object) -> SetupError:
    """What could not be written, where that is known, and what is free there."""
    free = ""
    if isinstance(path, str | os.PathLike):
        folder = next((p for p in Path(path).absolute().parents if p.is_dir()), Path("/"))
        free = f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB are free there)"
    return SetupError(
        f"{error.strerror}: {path or 'a file'} can't be written{free}",
        fix="make room there; harness run --resume finishes what was begun",
    )


def _no_descriptor(error: OSError) -> HarnessError:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return SetupError(
        f"{error.strerror}: this process may have {limit} open", fix="allow more: ulimit -n 65536"
    )
