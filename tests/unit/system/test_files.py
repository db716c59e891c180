"""Files that are whole or not there, and values that are JSON."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from harness.system.files import atomic_write, inside, jsonable, write_text


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
