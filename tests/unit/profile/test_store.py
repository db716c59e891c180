from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import RunDirectoryError
from harness.profile import store


def test_what_was_written_is_read_back(profiled: Path, tmp_path: Path) -> None:
    profile = store.read_profile(profiled)
    store.save(tmp_path, profile)
    assert store.is_profile(tmp_path)
    assert store.text_of(store.read_profile(tmp_path)) == store.text_of(profile)


def test_the_scenario_is_as_it_was_though_its_file_is_gone(
    profiled: Path, tmp_path: Path
) -> None:  # fmt: skip
    here = tmp_path / "copy"
    shutil.copytree(profiled, here)
    loaded = store.loaded_of(here)
    assert [b.kind for b in loaded.scenario.backends] == ["torch", "triton"]
    manifest = here / "manifest.json"
    manifest.write_text(manifest.read_text().replace("scenario_folder", "other_folder"))
    with pytest.raises(RunDirectoryError, match="lacks 'scenario_folder'"):
        store.loaded_of(here)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is no directory of `harness profile`"), ("{", "can't be read: Invalid JSON"),
        ('{"schema": 1}', "can't be read: scenario: Field required"),
        ('{"schema": 9, "scenario": "s", "model": "m", "backends": []}', "by a newer harness"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / store.FILE).write_text(text)
    with pytest.raises(RunDirectoryError, match=said):
        store.read_profile(tmp_path)
