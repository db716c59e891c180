"""Any exception as one of the harness's own: what a user can do something about says so."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
from pathlib import Path

from harness.errors import HarnessError, OutOfMemoryError, SetupError, UnexpectedError
from harness.system.packages import missing_package
from harness.system.paths import cache_directory

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def known(error: BaseException, otherwise: type[HarnessError] = UnexpectedError) -> HarnessError:
    """`error` itself if it is one of ours; else with its class and message, as `otherwise`."""
    if isinstance(error, HarnessError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        return missing_package(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return OutOfMemoryError(f"out of host memory: {error}".rstrip(": "))
    if lack := lacking(error):
        return lack
    return otherwise(f"{type(error).__name__}: {error}".rstrip(": "))


def lacking(error: BaseException) -> SetupError | None:
    """The error where the machine had no room, descriptor or process left; None for another.

    What native code raises has no errno, only the words.
    """
    number, words = getattr(error, "errno", None), str(error)
    if number in _NO_ROOM or os.strerror(errno.ENOSPC) in words:
        number = number if number in _NO_ROOM else errno.ENOSPC
        return _no_room(number, getattr(error, "filename", None))
    if number in (errno.EMFILE, errno.ENFILE) or os.strerror(errno.EMFILE) in words:
        return _limited(errno.EMFILE, resource.RLIMIT_NOFILE, "open", "ulimit -n 65536")
    if number == errno.EAGAIN or "can't start new thread" in words:
        return _limited(errno.EAGAIN, resource.RLIMIT_NPROC, "processes and threads", "ulimit -u")
    return None


def cant_write(error: OSError, path: object) -> SetupError:
    """What could not be written, and what is free there."""
    return _no_room(error.errno or errno.EIO, path)


def _no_room(number: int, path: object) -> SetupError:
    """The same for the error `number`.

    Of a file that is not known, the fullest of the places where it may lie.
    """
    place = Path(path).absolute() if isinstance(path, str | os.PathLike) else None
    places = [Path.cwd(), Path(tempfile.gettempdir()), cache_directory()]
    free, folder = min(map(_free, [place.parent] if place else places))
    where = "there" if place else f"in {folder}"
    room, todo = f" ({free / 1e6:.1f} MB are free {where})", "make room there and repeat it"
    if number == errno.EROFS:
        room, todo = "", "let it be written, or name another folder (XDG_CACHE_HOME, --output)"
    return SetupError(
        f"{os.strerror(number)}: {path or 'a file'} can't be written{room}",
        fix=f"{todo}; a run that had begun goes on with harness run --resume",
    )


def _free(folder: Path) -> tuple[int, Path]:
    """The bytes that are free at a folder, or where it would be made, and which that is."""
    there = next((p for p in (folder, *folder.parents) if p.is_dir()), Path("/"))
    return shutil.disk_usage(there).free, there


def _limited(number: int, limit: int, of_what: str, command: str) -> SetupError:
    most = resource.getrlimit(limit)[0]
    if most == resource.RLIM_INFINITY:  # so another limit was met: a container's, the machine's
        return SetupError(
            f"{os.strerror(number)}: no more {of_what} are allowed here",
            fix="allow more: the container's or the service's limit (pids.max)",
        )
    return SetupError(
        f"{os.strerror(number)}: this process may have {most} {of_what}",
        fix=f"allow more: {command}",
    )
