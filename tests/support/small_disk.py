"""A file system that fills up, mounted for real: needs a user who may mount."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, kib: int) -> None:
        """Give it another size."""
        subprocess.run(["mount", "-o", f"remount,size={kib}k", self.path], check=True)

    def read_only(self) -> None:
        """Let nothing be written any more."""
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)

    def fill(self) -> None:
        """Leave no byte."""
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(1024))

    def clear(self) -> None:
        """Make room again."""
        (self.path / "filler").unlink()


@contextlib.contextmanager
def mounted(path: Path, kib: int = 256) -> Iterator[SmallDisk]:
    """Mount one of so many KiB; the test is skipped where that is not allowed."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def with_small_shm(kib: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command with a /dev/shm of its own of so many KiB; skip where that is not allowed."""
    small = f'mount -t tmpfs -o size={kib}k tmpfs /dev/shm && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", small, "sh"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    return subprocess.run([*inside, *command], capture_output=True, text=True, check=False)
