"""Run directories damaged at random, and everything that reads one: see results/test_damage.py."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from support.observers import Silent
from support.paths import ROOT
from support.rows import measurement
from support.synthetic_run import write_run

from harness.analysis.verdict import verdict
from harness.cli.main import command
from harness.errors import HarnessError
from harness.explain.terminal import about, points_of
from harness.report.model.context import build_context
from harness.report.outputs.csv import write_csvs
from harness.report.outputs.terminal import terminal_summary
from harness.report.view import build_view
from harness.results.events import RunStarted
from harness.results.manifest import make_manifest
from harness.results.store import JOURNAL, MANIFEST, RunStore, read_run
from harness.run.execute import reread
from harness.run.state import RunState
from harness.scenario.points import expand
from harness.scenario.reading.loader import load

DEEP: Any = json.loads("[" * 200 + "]" * 200)
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2.5, -0.5, 1e308, 10**30, -(10**30), 10**400, float("nan"),
    float("inf"), "", "x", "nan", "a/b1/c1", "\x00", "x" * 3000, "../../etc", [], {}, [None], ["x"],
    {"x": 1}, [[1, 2]], [1, 2, 3], {"": {}}, DEEP,
)  # fmt: skip


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """The bytes of a journal or a manifest with one to three things changed in them."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        raw = rng.choice((_flip, _cut, _lines, _values, _values, _values))(raw, rng)
    return raw


def _flip(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.randint(1, 8) if raw else 0):
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(raw: bytes, rng: random.Random) -> bytes:
    begin = rng.randrange(len(raw) + 1)
    return raw[:begin] + rng.choice((b"", raw[begin + rng.randint(1, 200) :]))


def _lines(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.splitlines(keepends=True) or [b""]
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    change = rng.choice(("drop", "double", "swap", "garbage"))
    if change == "drop":
        del lines[at]
    elif change == "double":
        lines.insert(other, lines[at])
    elif change == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines.insert(at, rng.choice((b"{\n", b"\n", b"\xff\xfe\n", b"[1]\n", b'{"event": 3}\n')))
    return b"".join(lines)


def _values(raw: bytes, rng: random.Random) -> bytes:
    """One value of one JSON text has another type, or is gone."""
    try:
        json.loads(raw)
        lines = [raw]
    except ValueError:
        lines = raw.splitlines(keepends=True)
    at = rng.randrange(len(lines) or 1)
    try:
        tree = json.loads(lines[at])
        places = list(_places(tree))
        holder, key = rng.choice(places)
    except (ValueError, IndexError, RecursionError):
        return raw
    if rng.random() < 0.15:
        del holder[key]
    elif rng.random() < 0.1 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = copy.copy(rng.choice(VALUES))
    lines[at] = json.dumps(tree).encode() + b"\n"
    return b"".join(lines)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    inner = tree.items() if isinstance(tree, dict) else ()
    for key, value in list(enumerate(tree) if isinstance(tree, list) else inner):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def small_runs(folder: Path) -> list[Path]:
    """One that can be resumed here, a larger one, and a part of a real one on a GPU."""
    loaded = load(ROOT / "scenarios/fake.yaml")
    manifest = make_manifest(loaded.scenario, loaded.text, loaded.path, [])
    fake = folder / "fake"
    with RunStore.create(fake, manifest) as store:
        store.append(RunStarted())
        for point in expand(loaded.scenario)[:3]:
            backend, size, callers = point.backend, point.batch_size, point.concurrency
            store.append(measurement(
                point=point.id, backend=backend, batch_size=size, concurrency=callers
            ))  # fmt: skip
    bound = {"latency_p99_ms": {"max": 50}}
    made_up = write_run(folder / "made-up", batch_sizes=(1,), concurrency=(1, 2), constraints=bound)
    sample = folder / "sample"
    sample.mkdir()
    shutil.copy(ROOT / "reports/sample" / MANIFEST, sample)
    lines = (ROOT / "reports/sample" / JOURNAL).read_text("utf-8").splitlines(keepends=True)
    (sample / JOURNAL).write_text("".join(_few(lines)), "utf-8")
    return [fake, made_up, sample]


def _few(lines: Iterable[str]) -> Iterator[str]:
    """One point a config in two rounds, and one line a backend of the others."""
    first: dict[tuple[object, ...], object] = {}
    for line in lines:
        row = json.loads(line)
        key = (row["event"], row.get("backend"), row.get("config"))
        what = row.get("point") or (row.get("round"), row.get("batch_size"), row.get("text"))
        if first.setdefault(key, what) == what and row.get("round", 0) < 2:
            yield line


def read_everything(path: Path, scratch: Path) -> tuple[str, ...]:
    """What report and explain read of a run directory, as they do; what they say is damaged."""
    data = read_run(path)
    context = build_context(data)
    build_view(context)
    write_csvs(context, scratch)
    with (scratch / "terminal").open("w") as file:
        console = Console(file=file, width=120)
        console.print(terminal_summary(data))
        for point in points_of(data)[:2]:
            console.print(about(data, point))
    verdict(data)
    return (*data.damage, *data.damaged_files())


def use_everything(path: Path, scratch: Path) -> None:
    """What the commands that are built on a run make of it; HarnessErrors are their answers."""
    names = ["a", "b"]
    with contextlib.suppress(HarnessError):
        names = [*{str(m.backend): None for m in read_run(path).measurements}, *names]
    file = scratch / "of-the-commands"
    sides = ["-b", names[0], "-c", names[1]]
    _answer(
        "plan",
        path,
        "--rate",
        300,
        "--slo-p99",
        "80ms",
        "--card-mib",
        24000,
        "-o",
        scratch / "files",
    )
    _answer("compare", path, *sides, "--json", file, "--markdown", file, "--junit", file)
    _answer("compare", path, path, "--force", "--bencher", file)
    _answer("compare", path, "--save-baseline", file)
    _answer("history", "add", path, "--database", scratch / "history.sqlite")
    _answer("explain", path, "--gap", *names[:2])
    _answer("merge", path, "-o", scratch / "merged", "--no-report")
    shutil.rmtree(scratch / "merged", ignore_errors=True)


def _answer(*words: object) -> None:
    said = io.StringIO()
    refused = contextlib.suppress(HarnessError, click.ClickException)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), refused:
        command.main(list(map(str, words)), standalone_mode=False)


def resume_everything(path: Path) -> None:
    """What --resume reads before it measures."""
    reread(path)
    store, done = RunStore.resume(path)
    with store:
        RunState(store, Silent(), done)
