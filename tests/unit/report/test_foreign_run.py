"""A run directory of somebody else: its texts reach no terminal, file or reader as controls."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from pypdf import PdfReader
from rich.console import Console
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.explain.notebook import run_html
from harness.explain.terminal import about, points_of
from harness.report.build import build_report
from harness.report.model.context import build_context
from harness.report.outputs.terminal import terminal_summary
from harness.report.sections.memory import timelines
from harness.results.events import Note
from harness.results.rows import LoadedRow
from harness.results.store import RunStore, read_run

CONTROLS = "\0\x1b]0;owned\x07\x1b[2J\x9b\u202e\u2066\r"
SHOWN = r"\x00\x1b]0;owned\x07\x1b[2J\x9b\u202e\u2066\r"
HARMFUL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run with controls in names, descriptions and messages."""
    path = write_run(
        tmp_path_factory.mktemp("foreign") / "run", backends=CPU_BACKENDS[:3], rounds=2,
        batch_sizes=(1,), concurrency=(1, 2),
    )  # fmt: skip
    evil = json.dumps(CONTROLS)[1:-1]
    for name in ("manifest.json", "journal.jsonl"):
        text = (path / name).read_text(encoding="utf-8")
        for word in ("torch-cpu", "ResNet-50", "no answer", "AMD"):
            text = text.replace(word, f"{word}{evil}")
        (path / name).write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def built(run: Path) -> Path:
    build_report(run)
    return run


def test_csv_files(built: Path) -> None:
    texts = [path.read_bytes().decode() for path in built.glob("*.csv")]
    assert any(f"torch-cpu{SHOWN}" in text for text in texts)
    assert not any(map(HARMFUL.search, texts))


def test_html(built: Path) -> None:
    text = (built / "report.html").read_text(encoding="utf-8")
    assert f"ResNet-50{SHOWN}" in text
    assert not HARMFUL.search(text)


def test_pdf(built: Path) -> None:
    text = "".join(page.extract_text() for page in PdfReader(built / "report.pdf").pages)
    assert r"\x1b]0;owned" in text
    assert "\0" not in text and "\x1b" not in text and "\u202e" not in text


def test_terminal(run: Path) -> None:
    data, out = read_run(run), StringIO()
    console = Console(file=out, width=300, color_system=None)
    console.print(terminal_summary(data))
    for point in points_of(data):
        console.print(point)
    console.print(about(data, next(p.point for p in data.measurements if "torch" in p.point)))
    assert f"torch-cpu{SHOWN}" in out.getvalue()
    assert not HARMFUL.search(out.getvalue().replace("\n", ""))


def test_notebook(run: Path) -> None:
    assert not HARMFUL.search(run_html(build_context(read_run(run))))


def test_what_observers_hear_and_the_journal_holds(tmp_path: Path) -> None:
    assert Note(CONTROLS).outward() == Note(SHOWN)
    with RunStore.create(tmp_path / "run", {}) as store:
        store.append(Note(CONTROLS))
    (line,) = (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == SHOWN


def test_a_resumed_run_has_its_scenario_as_it_was(run: Path) -> None:
    store, data = RunStore.resume(run)
    store.close()
    assert CONTROLS in str(data.manifest["scenario"]["description"])


@pytest.mark.parametrize("name", ["../mine.parquet", "ABSOLUTE", "link.parquet"])
def test_telemetry_outside_is_not_read(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.parquet"
    mine.write_text("not Parquet: reading it raises")
    with RunStore.create(tmp_path / "run", {}) as store:
        file = name.replace("ABSOLUTE", str(mine))
        store.append(LoadedRow("a", 0, 1.0, 1.0, None, None, None, {"telemetry": file}))
    (tmp_path / "run" / "link.parquet").symlink_to(mine)
    assert timelines(read_run(tmp_path / "run")) == []
