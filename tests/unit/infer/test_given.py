"""What is given on the command line, as arrays by the name of their input."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from harness.infer.given import ONLY, Images, read_given


def test_arrays_images_and_values(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.ones(1))
    (tmp_path / "c.png").write_bytes(b"not looked at yet")
    found = read_given([tmp_path / "x.npy"], [f"p={tmp_path / 'c.png'}", "v=[[1, 2.5]]"])
    assert np.array_equal(np.asarray(found[ONLY]), [0, 1, 2])
    assert found["p"] == Images((tmp_path / "c.png",))
    assert np.asarray(found["v"]).tolist() == [[1, 2.5]]
    assert sorted(read_given([tmp_path / "two.npz"], [])) == ["a", "b"]
    assert np.asarray(read_given([], [f"b={tmp_path / 'two.npz'}"])["b"]).tolist() == [1]
    several = read_given([tmp_path / "c.png", tmp_path / "c.png"], [])[ONLY]
    assert several == Images((tmp_path / "c.png",) * 2)


def test_text_is_values_too() -> None:
    assert np.asarray(read_given([], ['words=["a", "bc"]'])["words"]).tolist() == ["a", "bc"]


@pytest.mark.parametrize(
    ("named", "said"),
    [("x", "not NAME=FILE"), ("=1", "not NAME=FILE"), ("x=[1", "neither an image"),
     ("x=[[1], [2, 3]]", "neither an image"), ('x={"a": 1}', "neither numbers"),
     ("x=null", "neither numbers"), ("x=/nowhere/a.npy", "can't be read"),
     ("x=/dev/zero.npy", "can't be read")],
)  # fmt: skip
def test_what_is_no_input_is_refused(named: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_given([], [named])


def test_the_way_to_say_it_is_quoted_as_the_shell_reads_it() -> None:
    with pytest.raises(UsageError) as caught:
        read_given([], ["it's=[1"])
    assert shlex.split(str(caught.value.fix)) == ["--input", "it's=[[1, 2, 3]]"]


def test_files_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_text("no")
    np.savez(tmp_path / "none.npz")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, said in (("x.npy", "is no image"), ("none.npz", "holds no array"),
                       ("o.npy", "is no image"), (".", "is a folder")):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            read_given([tmp_path / name], [])
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.ones(1))
    with pytest.raises(UsageError, match="has no array 'c'; it has a, b"):
        read_given([], [f"c={tmp_path / 'two.npz'}"])


def test_an_input_is_given_once(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(3))
    with pytest.raises(UsageError, match="the input is given twice"):
        read_given([tmp_path / "x.npy"] * 2, [])
    with pytest.raises(UsageError, match="input 'a' is given twice"):
        read_given([], ["a=1", "a=2"])
