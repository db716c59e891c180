"""Files that are whole or not there, and values that are JSON."""

import errno
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.small_disk import mounted

from harness.errors import UsageError
from harness.system.files import (
    atomic_write,
    copy_regular,
    inside,
    jsonable,
    named,
    read_bytes,
    remove_unfinished,
    require_regular,
    require_regular_below,
    reserve,
    write_text,
)


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "new" / "file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_until_it_is_whole_the_old_file_is_read(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with atomic_write(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize(("value", "plain"), [
    (np.float64(1.5), 1.5), (np.arange(3), [0, 1, 2]), ((1, "a"), [1, "a"]),
    ({1: None}, {"1": None}),
    (math.inf, "inf"), (-math.inf, "-inf"), (np.array([math.nan]), ["nan"]), (Path("a/b"), "a/b"),
    (True, True),
])  # fmt: skip
def test_values_become_json(value, plain):
    assert jsonable(value) == plain
    json.dumps(jsonable(value), allow_nan=False)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "link", "link/x", "", ".", "a\0b", "circle", "a/.."],
)
def test_a_name_that_leads_out_of_a_folder_is_no_path(tmp_path, name):
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    (folder / "circle").symlink_to("circle")
    assert inside(folder, name) is None


@pytest.mark.parametrize("name", ["a", "a/new", "a/../b", "within"])
def test_a_name_inside_a_folder_is_a_path(tmp_path, name):
    (tmp_path / "a").mkdir()
    (tmp_path / "within").symlink_to("a")
    assert inside(tmp_path, name) == tmp_path / name


MAPPED = """
import mmap, sys
from pathlib import Path
from harness.system.files import reserve
path, room = Path(sys.argv[1]), sys.argv[2]
if room == "reserved":
    try:
        reserve(path, 1 << 20)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
with path.open("w+b") as file:
    file.truncate(1 << 20)
    mmap.mmap(file.fileno(), 1 << 20)[:] = bytes(1 << 20)
"""


@pytest.mark.parametrize(("room", "status"), [("hole", -signal.SIGBUS), ("reserved", 1)])
def test_a_file_to_be_mapped_is_there_or_refused(tmp_path, room, status):
    """The first shows what it is for."""
    with mounted(tmp_path / "disk") as disk:
        command = [sys.executable, "-c", MAPPED, str(disk.path / "file"), room]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert room == "hole" or done.stderr == f"{disk.path}/file: No space left on device\n"


def test_a_reserved_file_keeps_what_is_in_it(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    reserve(tmp_path / "file", 10)
    assert (tmp_path / "file").read_bytes() == b"abc" + bytes(7)


@pytest.mark.parametrize("inner", [None, "file"])
def test_an_error_names_the_file_that_was_to_be_written(tmp_path, inner):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "file") as temporary:
        raise OSError(errno.ENOSPC, "full", *([str(temporary)] if inner else []))
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(OSError) as caught, named(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "full", "another")
    assert caught.value.filename == "another"


def test_only_what_a_dead_writer_left_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".x.{ended.pid}.7.tmp", f".x.{os.getpid()}.7.tmp", ".x.tmp", "x.1.2.tmp"):
        (tmp_path / "a" / name).touch()
    remove_unfinished(tmp_path)
    left = {path.name for path in (tmp_path / "a").iterdir()}
    assert left == {f".x.{os.getpid()}.7.tmp", ".x.tmp", "x.1.2.tmp"}


def make_irregular(path, kind):
    """A pipe that nobody writes to, a socket, or a link to a device that never ends."""
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["named pipe", "socket", "device"])
@pytest.mark.parametrize("opened", [read_bytes, require_regular])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, kind, opened):
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    make_irregular(path := tmp_path / "file", kind)
    with pytest.raises(UsageError) as caught:
        opened(path)
    assert caught.value.message == f"{path} is a {kind}, not a regular file"


def test_a_regular_file_is_read_through_links_and_a_directory_is_one(tmp_path):
    write_text(tmp_path / "file", "ä")
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link") == "ä".encode()
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")


def test_a_file_larger_than_it_can_be_is_not_read(tmp_path):
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match=r"hole has 1,099,511,627,776 bytes; more than 1,000 "):
        read_bytes(tmp_path / "hole", 1000)


@pytest.mark.parametrize("kind", ["named pipe", "socket", "device"])
def test_a_folder_with_something_irregular_below_it_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere" / "a").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    for name in "xy":  # in a circle, and twice: it ends, and soon
        (tmp_path / "elsewhere" / "a" / name).symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "nowhere").symlink_to(tmp_path / "none")
    require_regular_below(tmp_path / "folder")
    monkeypatch.chdir(tmp_path / "elsewhere" / "a")
    make_irregular(Path("odd"), kind)
    with pytest.raises(UsageError, match=f"odd is a {kind}, not a regular file"):
        require_regular_below(tmp_path / "folder")


def test_a_copy_is_of_a_regular_file_that_there_is_room_for(tmp_path):
    (tmp_path / "file").write_text("a")
    copy_regular(tmp_path / "file", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "a"
    with pytest.raises(UsageError, match="is a device"):
        copy_regular("/dev/zero", tmp_path / "zeros")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**42)
    with pytest.raises(OSError, match="No space left") as caught:
        copy_regular(tmp_path / "hole", tmp_path / "filled")
    assert caught.value.filename == str(tmp_path / "hole")
    assert not (tmp_path / "filled").exists()
