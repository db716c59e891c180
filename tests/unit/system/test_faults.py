"""What a user is told of exceptions that are not the harness's own."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_disk import mounted

from harness.errors import BackendError, OutOfMemoryError, SetupError, UnexpectedError
from harness.system.faults import known, lacking


def test_our_own_is_itself_and_others_have_their_class_and_words() -> None:
    ours = BackendError("it raised")
    assert known(ours) is ours
    found = known(ZeroDivisionError("by zero"))
    assert (type(found), found.message) == (UnexpectedError, "ZeroDivisionError: by zero")
    assert known(KeyError()).message == "KeyError"
    assert known(OSError(errno.EIO, "I/O"), BackendError).reason == "raised"


def test_a_full_disk_is_said_with_its_path_and_what_is_free(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "yet"
    found = known(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)))
    assert isinstance(found, SetupError)
    assert found.message.startswith(f"No space left on device: {path} can't be written (")
    assert found.message.endswith(" MB are free there)")
    read_only = known(OSError(errno.EROFS, os.strerror(errno.EROFS), str(path)))
    assert read_only.message == f"Read-only file system: {path} can't be written"
    assert "XDG_CACHE_HOME" in (read_only.fix or "") and "room" not in (read_only.fix or "")
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as caught:
        full.write(b"x")
    assert known(caught.value).message.startswith(
        "No space left on device: a file can't be written ("
    )


def test_of_an_unknown_file_the_fullest_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "disk") as disk:
        disk.fill()
        monkeypatch.setenv("XDG_CACHE_HOME", str(disk.path))
        found = known(OSError(errno.ENOSPC, "full"))
    assert found.message == (
        f"No space left on device: a file can't be written (0.0 MB are free in {disk.path})"
    )


@pytest.mark.parametrize(("error", "begin"), [
    (RuntimeError("write failed: No space left on device"), "No space left on device: a file"),
    (OSError("[ORT] Too many open files: libx.so"), "Too many open files: this process may have"),
    (RuntimeError("can't start new thread"), "Resource temporarily unavailable: this process may"),
    (OSError(errno.EAGAIN, "fork"), "Resource temporarily unavailable: this process may have"),
])  # fmt: skip
def test_native_code_has_only_words_for_what_lacks(error: Exception, begin: str) -> None:
    found = known(error)
    assert isinstance(found, SetupError) and found.fix
    assert found.message.startswith(begin)


def test_a_lack_of_descriptors_says_the_limit() -> None:
    script = (
        "import resource, os; from harness.system.faults import known, lacking\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n"
        "try:\n    [os.open('/', 0) for _ in range(40)]\n"
        "except OSError as error:\n    found = known(error)\n"
        "print(found.reason, found.message, found.fix)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "Too many open files: this process may have 30 open allow more: ulimit" in done.stdout
    assert done.stdout.startswith("setup ")


def test_memory_and_packages() -> None:
    assert isinstance(known(MemoryError("no 9 GiB")), OutOfMemoryError)
    assert isinstance(known(OSError(errno.ENOMEM, "Cannot allocate")), OutOfMemoryError)
    assert known(ModuleNotFoundError("x", name="x_of_the_future")).reason == "missing_package"


def test_a_limit_that_is_none_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one was met: a container's."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    found = lacking(RuntimeError("can't start new thread"))
    assert found is not None
    assert "-1" not in found.message and "pids.max" in found.fix
