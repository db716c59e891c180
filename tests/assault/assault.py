"""Random signals at random processes of real runs, each then resumed: what must hold is looked at.

    make assault ARGS="--kills 100 --seed 1 --minutes 10"

A chain is one run directory that is attacked until it is whole: start, wait, signal one process of
the tree (SIGKILL, SIGSTOP or SIGTERM; the harness itself, a guard, a worker, the sampler, a server,
a stub), see how that ends, resume, signal again. After every end and after the last, quiet resume:

- the journal begins with the bytes that it had before;
- no point is measured twice in a round;
- no process is left that the run started (they are known by an environment variable);
- nothing new is in /dev/shm, and nothing in the run's own TMPDIR;
- the run ended in time, with an exit code of the harness's own, and said neither `internal` nor a
  traceback.

A run whose harness was stopped is killed, as a user would. Prints a line a kill and, at the end, a
table; exit code 1 when something broke. Docs: docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.paths import DATA
from support.tiny_onnx import tiny_onnx

from harness.results.store import read_run

MARK = "HARNESS_ASSAULT"
PATIENCE_S = 240.0
"""How long a run may be without a line in its journal after a signal: a stopped worker has the
deadline of its point. A run that measures takes its time on a busy machine."""
EARLY, ITSELF = 0.1, 0.25
"""Shares of the kills that may come before there is a child, and that are for the harness."""
CODES = (0, 1, 3, 4, 130, -signal.SIGKILL)
QUICK = """
measurement: {profile: quick, rounds: 2, warmup: 20ms, warmup_requests: 2, window: 200ms,
              window_requests: 11, window_max: 2s, request_timeout: 2s, load_timeout: 60s}
"""
FAKE = "model: {name: nothing, source: {fake: {}}}\nbackends: [{kind: fake, service_time_ms: 2.0}]"
TINY = "model: {name: tiny, source: {onnx: tiny.onnx}}"
SERVED = "{kind: triton, protocol: grpc, name: t, serve: onnxruntime"
SCENARIOS = {
    "fake": FAKE + "\nload: {batch_sizes: [1, 2], concurrency: [1, 2]}",
    "onnxruntime": TINY + "\nbackends: [{kind: onnxruntime}]"
    "\nload: {batch_sizes: [1, 2], concurrency: [1, 2]}",
    "triton": f"{TINY}\nbackends: [{SERVED}}}]\nload: {{batch_sizes: [1, 2], concurrency: [1, 2]}}",
    "prepare": 'model:\n  name: m\n  source: {torch: "faulty_model:make"}\n'
    "  inputs: [{name: x, shape: [batch, 4]}]\nbackends: [{kind: torch}, {kind: onnxruntime}]"
    "\nload: {concurrency: 1}",
    "search": f"{TINY}\nbackends: [{SERVED}, instances: [1, 2]}}]"
    "\nload: {concurrency: [2]}\nsearch: {method: grid}",
    "capacity": FAKE + "\nload: {find_capacity: {latency_p90_ms: 100, precision: 0.5, "
    "max_rate: 90}}",
}  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)


@dataclass
class Tally:
    """What was done and what broke."""

    kills: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    longest: float = 0.0
    chains: int = 0


@dataclass
class Chain:
    """One run directory under attack."""

    kind: str
    folder: Path
    rng: random.Random
    tally: Tally
    journal: bytes = b""
    begun: bool = False

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def prepare(self) -> None:
        """The scenario's folder, and places of its own for what must not stay."""
        (self.folder / "tmp").mkdir()
        text = f"scenario: assault-{self.kind}\n{SCENARIOS[self.kind]}\n{QUICK}"
        (self.folder / "s.yaml").write_text(text)
        tiny_onnx(self.folder / "tiny.onnx")
        shutil.copy(DATA / "models" / "faulty_model.py", self.folder)
        self.shared = regions()

    def start(self) -> subprocess.Popen[str]:
        """The harness: a new run, or the one that is there."""
        manifest = (self.run / "manifest.json").exists()
        rest = ["--resume", "run"] if manifest else ["s.yaml", "--output", "run"]
        env = {
            **os.environ, MARK: str(self.folder), "TMPDIR": str(self.folder / "tmp"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "run", *rest, "--quiet", "--no-report"],
            cwd=self.folder, env=env, text=True, stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("w"), start_new_session=True,
        )  # fmt: skip

    def attack(self, longest_wait: float) -> str:
        """Start, signal one process, wait for the end, look. What was done, in words."""
        process = self.start()
        seconds, early = self.rng.uniform(0.2, longest_wait), self.rng.random() < EARLY
        while process.poll() is None and not (early or psutil.Process(process.pid).children()):
            time.sleep(0.02)
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is not None:
            self.ended(process, "nothing")
            return ""
        victim, number = self.victim(process.pid), self.rng.choice(SIGNALS)
        name = role(victim)
        done = f"{number.name} at {name}"
        try:
            victim.send_signal(number)
        except psutil.NoSuchProcess:
            done = ""
        if victim.pid == process.pid and number == signal.SIGSTOP:
            time.sleep(0.5)
            process.kill()
        began = time.monotonic()
        self.await_end(process, done)
        self.tally.longest = max(self.tally.longest, time.monotonic() - began)
        self.ended(process, done)
        return done

    def victim(self, pid: int) -> psutil.Process:
        root = psutil.Process(pid)
        below = root.children(recursive=True)
        return self.rng.choice(below) if below and self.rng.random() > ITSELF else root

    def await_end(self, process: subprocess.Popen[str], done: str) -> None:
        journal, size = self.run / "journal.jsonl", -1
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)
            now = journal.stat().st_size if journal.exists() else 0
            if process.poll() is None and now == size:
                self.broke(f"after {done}: nothing has come for {PATIENCE_S:g} s")
                process.kill()
                process.wait()
            size = now

    def ended(self, process: subprocess.Popen[str], done: str) -> None:
        """Look at everything that must hold now."""
        said = (self.folder / "stderr").read_text(errors="replace")
        path = self.run / "journal.jsonl"
        journal = path.read_bytes() if path.exists() else b""
        early = process.returncode == -signal.SIGTERM and journal == self.journal
        if process.returncode not in CODES and not early:  # before there was anything to end
            self.broke(f"after {done}: exit code {process.returncode}: {said[-500:]}")
        if "internal" in said or "Traceback" in said:
            self.broke(f"after {done}: it said {said[-2000:]}")
        left = self.left_over()
        if left:
            self.broke(f"after {done}: processes are left: {left}")
        temporary = [  # PyTorch keeps a cache there
            p.name for p in (self.folder / "tmp").iterdir()
            if not p.name.startswith("torchinductor_")
        ]  # fmt: skip
        if temporary:
            self.broke(f"after {done}: left in TMPDIR: {', '.join(temporary)}")
        if not journal.startswith(self.journal):
            self.broke(f"after {done}: the journal does not begin as it was")
        self.journal = journal[: journal.rfind(b"\n") + 1]
        if (self.run / "manifest.json").exists():
            rows = read_run(self.run).events
            seen = Counter((r.point, r.round) for r in rows if type(r).__name__ == "MeasurementRow")  # type: ignore[union-attr]
            if twice := [where for where, count in seen.items() if count > 1]:
                self.broke(f"after {done}: measured twice: {twice}")

    def left_over(self) -> list[str]:
        """Processes of the chain that live; they have a few seconds to end."""
        end = time.monotonic() + 15
        while found := list(marked(str(self.folder))):
            if time.monotonic() > end:
                for process in found:
                    process.kill()
                return [role(p) for p in found]
            time.sleep(0.1)
        return []

    def finish(self) -> None:
        """Resume in peace; then nothing may lack, and nothing be left anywhere."""
        process = self.start()
        self.await_end(process, "the last resume")
        self.ended(process, "the last resume")
        if not (self.run / "manifest.json").exists() or not read_run(self.run).complete:
            self.broke("the last resume did not complete the run")
        elif lacking := self.lacking():
            self.broke(f"after the last resume there lack: {lacking}")
        hidden = [
            str(p.relative_to(self.folder)) for p in self.folder.rglob(".*")
            if not p.name.endswith(".lock")
        ]  # fmt: skip
        shared = sorted(n for n in regions() - self.shared if "harness" in n)
        shared = [n for n in shared if not any(f"-{pid}-" in n for pid in psutil.pids())]
        for what, names in (("the folder", hidden), ("/dev/shm", shared)):
            if names:
                self.broke(f"left in {what}: {', '.join(names[:10])}")

    def lacking(self) -> list[str]:
        """Why points have no measurement of the last round that they failed in."""
        data = read_run(self.run)
        measured = {(row.point, row.round) for row in (*data.measurements, *data.capacities)}
        return [f.message for f in data.failures if (f.point, f.round) not in measured]

    def broke(self, what: str) -> None:
        print(f"BROKEN {self.kind} in {self.folder}: {what}", flush=True)
        self.tally.broken.append(f"{self.kind}: {what}")


def regions() -> set[str]:
    """Names of what is in shared memory."""
    return {path.name for path in Path("/dev/shm").iterdir()}


def marked(value: str) -> Iterator[psutil.Process]:
    """Processes with the mark in their environment."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == value and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue


def role(process: psutil.Process) -> str:
    """Which of our processes it is."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return "a process that has ended"
    line = " ".join(words)
    if "guard.py" in line:
        return "a guard"
    for part, name in (
        ("run.worker.worker", "a worker"), ("telemetry.sampler", "the sampler"),
        ("python_backend_stub", "a stub"), ("tritonserver", "the server"),
        ("wire.helper", "a generator"), ("null.server", "the null server"),
        ("-m harness", "the harness"),
    ):  # fmt: skip
        if part in line:
            return name
    return words[0] if words else "a thread"


def main() -> None:
    """Attack until there were enough kills, or the time is up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="no new chain after these")
    parser.add_argument("--most", type=int, default=5, help="kills of one chain")
    parser.add_argument("--wait", type=float, default=10.0, help="longest wait for a kill, seconds")
    parser.add_argument("--only", choices=SCENARIOS, help="one kind of run")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    rng, tally, until = (
        random.Random(options.seed),
        Tally(),
        time.monotonic() + 60 * options.minutes,
    )
    kinds = [options.only] if options.only else list(SCENARIOS)
    print(f"seed {options.seed}")
    while sum(tally.kills.values()) < options.kills and time.monotonic() < until:
        kind = kinds[tally.chains % len(kinds)]
        tally.chains += 1
        folder = Path(tempfile.mkdtemp(prefix=f"assault-{kind}-"))
        chain, broken = Chain(kind, folder, rng, tally), len(tally.broken)
        chain.prepare()
        for _ in range(options.most):
            if time.monotonic() > until or not (done := chain.attack(options.wait)):
                break
            tally.kills[f"{kind}: {done}"] += 1
            print(f"{sum(tally.kills.values())} {kind}: {done}", flush=True)
        chain.finish()
        if len(tally.broken) == broken:
            shutil.rmtree(folder)
    report(tally)
    sys.exit(1 if tally.broken else 0)


def report(tally: Tally) -> None:
    """The figures."""
    kills = sum(tally.kills.values())
    print(f"\n{kills} kills in {tally.chains} runs, {len(tally.broken)} broken")
    print(f"the longest time from a kill to the end of the run was {tally.longest:.0f} s")
    for what, count in sorted(tally.kills.items()):
        print(f"{count:4d}  {what}")
    for what in tally.broken:
        print(f"BROKEN {what}")


if __name__ == "__main__":
    main()
