import contextlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from support.small_disk import mounted

from harness.models.cache import RECORD, fetch, file_hash, parts, text_hash
from harness.system.faults import known


def write(text="content", **details):
    def build(folder: Path):
        (folder / "a.bin").write_text(text)
        return details

    return build


def never(folder):
    raise AssertionError("built again")


def test_an_entry_is_made_once_and_read_back(tmp_path):
    made = fetch(tmp_path / "e", write(parameters=3))
    read = fetch(tmp_path / "e", never)
    assert (made.cached, read.cached) == (False, True)
    assert read.details == {"parameters": 3}
    assert read.seconds == made.seconds
    assert read.bytes == len("content") == (read.path / "a.bin").stat().st_size


def test_a_filled_cache_that_is_read_only_is_read(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        fetch(disk.path / "model" / "e", write())
        disk.read_only()
        assert fetch(disk.path / "model" / "e", never).cached
        with pytest.raises(OSError, match="Read-only"):
            fetch(disk.path / "model" / "other", write())


def test_a_disk_that_is_full_is_said_to_be_so_whatever_the_writer_says(tmp_path):
    def write_all(folder):
        with contextlib.suppress(OSError), (folder / "weights").open("wb", 0) as file:
            while True:
                file.write(bytes(1024))
        raise RuntimeError("basic_ios::clear: iostream error")  # torch.save's words

    with mounted(tmp_path / "disk") as disk:
        with pytest.raises(OSError, match="No space left") as full:
            fetch(disk.path / "e", write_all)
        assert "can't be written" in known(full.value).message
        with pytest.raises(RuntimeError, match="other"):
            fetch(disk.path / "e", broken)


def broken(folder):
    raise RuntimeError("other")


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [
    lambda e: (e / "a.bin").write_text("CONTENT"),
    lambda e: (e / "a.bin").write_text("cont"),
    lambda e: (e / "a.bin").unlink(),
    lambda e: (e / RECORD).write_text("{"),
    lambda e: (e / RECORD).write_text("[]"),
    lambda e: (e / RECORD).write_text('{"files": {"a.bin": 1}}'),
    lambda e: (e / RECORD).unlink(),
    lambda e: _pipe(e / RECORD),
    lambda e: _pipe(e / "a.bin"),
])  # fmt: skip
def test_a_damaged_entry_is_made_again(tmp_path, damage):
    folder = fetch(tmp_path / "e", write()).path
    damage(folder)
    again = fetch(folder, write())
    assert not again.cached
    assert (folder / "a.bin").read_text() == "content"
    assert fetch(folder, never).cached


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def fails(folder):
        (folder / "half").write_text("x")
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fetch(tmp_path / "e", fails)
    assert [p.name for p in tmp_path.iterdir()] == [".e.lock"]


def test_what_a_killed_build_left_is_cleared(tmp_path):
    (tmp_path / ".e.tmp").mkdir()
    (tmp_path / ".e.tmp" / "junk").write_text("x")
    assert list(fetch(tmp_path / "e", write()).files) == ["a.bin"]


def _build_slowly(folder, log):
    def build(target):
        with Path(log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.05)
        (target / "a.bin").write_text("content")
        return {}

    fetch(Path(folder), build)


def test_processes_that_want_the_same_entry_build_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    args = (str(tmp_path / "e"), str(tmp_path / "log"))
    workers = [context.Process(target=_build_slowly, args=args) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 4
    assert len((tmp_path / "log").read_text().split()) == 1


def test_hashes_depend_on_content_only(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")
    assert text_hash({"a": 1, "b": 2}) == text_hash({"b": 2, "a": 1})
    assert text_hash("a", "b") != text_hash("ab")


def test_the_parts_of_a_model_are_all_files_of_its_entry(tmp_path):
    def build(folder):
        for name in ("model.onnx", "any-name.bin"):
            (folder / name).write_text(name)
        return {}

    folder = fetch(tmp_path / "e", build).path
    assert set(parts(folder / "model.onnx")) == {folder / "model.onnx", folder / "any-name.bin"}


def test_colocated_a_file_that_is_not_in_the_cache_only_its_data_belongs_to_it(tmp_path):
    for name in ("a.onnx", "b.onnx", "b.onnx.data"):
        (tmp_path / name).write_text(name)
    assert parts(tmp_path / "a.onnx") == [tmp_path / "a.onnx"]
    assert parts(tmp_path / "b.onnx") == [tmp_path / "b.onnx", tmp_path / "b.onnx.data"]
