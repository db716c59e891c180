"""`harness plan` says how many replicas: do so many hold, and one fewer, or one more, not?

    python benchmarks/plan_replicas.py [--trials 10] [--lanes 1] [--most 400] [--output DIR]

It writes DIR/plan-replicas.md (docs/benchmarks by default) after each trial. `--lanes` trials go on
at a time (a delay line takes little CPU: two cores for each), and none is begun after `--most`
seconds.

A replica is a delay line with memory: requests take `SERVICE_MS` each, `SLOTS` of them at a time,
and each slot keeps `SLOT_MIB` MiB once it was used. The harness measures one with all slots
busy; `harness plan` counts the lower end of its throughput, and `--verify` finds the least host
memory that it works in, under a control group. In each trial a rate and a card's size are drawn.
The plan's arithmetic (`harness.plan.sizing`) says how many replicas carry the rate, and how many
fit the card. Then processes are started, all at once, each with Poisson arrivals at its share of
the rate:

* as many as are planned for the rate, and one fewer, without a cap;
* as many as fit the card, and one more, in one control group of the card's size.

They hold where each one lives, answers all of its requests, and all answers together keep p99.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.system.guard import spawn
from harness.system.limits.host import host_memory

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "benchmarks"
PAGE = "plan-replicas.md"
SEED = 20_261_129
SERVICE_MS, SLOTS, SLOT_MIB, TARGET_MS = 25.0, 4, 60, 400.0
PLAN = ("--slo-p99", f"{TARGET_MS:g}ms", "--margin", "0%", "--verify", "--json")
MODEL = {"name": "delay", "source": {"fake": {}}}
BACKEND = {"kind": "fake", "service_time_ms": SERVICE_MS, "cache_mib": SLOT_MIB}
TRIES = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What the harness says of one replica."""

    rate: float
    """The lower end of its capacity, requests a second."""
    least_mib: int
    """Of host memory: what `--verify` found, and the resolution of its search, as no more is known
    of it. A card that was drawn within that of a whole number of replicas would be left to luck.
    """
    peak_mib: float
    text: str
    """The proof's sentence."""


@dataclass(frozen=True, slots=True)
class Seen:
    """So many replicas, tried together."""

    count: int
    holds: bool
    p99_ms: float | None
    ended: int
    """Processes that did not live to their end."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate and one card."""

    rate: float
    card_mib: int
    carries: tuple[Seen, Seen]
    """The planned number, and one fewer."""
    fits: tuple[Seen, Seen]
    """The planned number, and one more."""


def measure(folder: Path, rounds: int) -> Measured:
    """One replica by the harness itself, all its slots busy: what it carries, and the least."""
    scenario = {
        "scenario": "replica", "model": MODEL, "backends": [BACKEND],
        "load": {"batch_sizes": [1], "concurrency": [SLOTS]},
        "measurement": {
            "profile": "quick", "rounds": rounds, "rounds_max": rounds, "warmup": "1s",
            "warmup_requests": 20, "window": "3s", "window_requests": 700, "window_max": "14s",
        },
    }  # fmt: skip
    (folder / "scenario.yaml").write_text(json.dumps(scenario))
    for run in map(str, range(TRIES)):  # on a busy machine a run may decide nothing
        _harness(folder, "run", "scenario.yaml", "-o", run, "-q", "--no-report")
        # the headroom is for the trials of memory: others may use the machine
        text = _harness(folder, "plan", run, "--rate", "1", "--headroom", "95%", *PLAN)
        plan = json.loads(text or "{}")
        if plan and plan["proof"].get("verified"):
            proof, choice = plan["proof"], plan["choice"]
            least = proof["smallest_mib"] + proof["resolution_mib"]
            peak = choice["host_mib"]
            return Measured(choice["rate_low"], least, peak, proof["text"])
    raise SystemExit("one replica was not verified: the machine is too busy")


def _harness(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=folder, text=True, check=False,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout


# ---------------------------------------------------------------------------------- one replica


def replica(rate: float, seconds: float, seed: int) -> None:
    """Serve Poisson arrivals when the parent says so, and say how it went; a worker's imports."""
    import harness.run.worker.worker  # noqa: F401 - of which the memory is a part
    from harness.backends.base import BackendContext
    from harness.backends.registry import open_backend, parse_spec
    from harness.load.choose import make_generator
    from harness.load.plan import LoadPlan
    from harness.load.schedule import Segment
    from harness.models.prepare import prepare
    from harness.scenario.spec.model import ModelSpec

    with tempfile.TemporaryDirectory() as folder:
        spec = ModelSpec.model_validate_json(json.dumps(MODEL))
        model, _ = prepare(spec, (), (1,), Path(folder), base=Path(folder))
        context = BackendContext(model, cache=Path(folder), batch_sizes=(1,))
        with open_backend(parse_spec(dict(BACKEND)), context) as backend:
            backend.load()
            request = backend.prepare({})
            warm = make_generator(backend, [request], LoadPlan(SLOTS), request_timeout=60.0)
            warm.start()  # every slot has had its memory then
            while warm.completed() < 5 * SLOTS:
                time.sleep(0.05)
            warm.stop(60.0)
            plan = LoadPlan(
                segments=(Segment(rate, rate, seconds),), arrivals="poisson", seed=seed,
                max_outstanding=SLOTS,
            )  # fmt: skip
            generator = make_generator(backend, [request], plan, request_timeout=60.0)
            print("ready", flush=True)
            sys.stdin.readline()
            generator.start()
            time.sleep(seconds)
            samples = generator.stop(60.0)
    latency = (samples.done - samples.scheduled) / 1e6
    answer = {"ms": latency.round(2).tolist(), "bad": int((samples.status != 0).sum())}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # no thread of the generator holds the process


def together(
    count: int, rate: float, seconds: float, seed: int, prefix: Sequence[str] = ()
) -> Seen:
    """So many replicas at once, each at its share of the rate; one after another they load."""
    children = []
    try:
        for i in range(count):
            argv = [sys.executable, __file__, "--replica", str(rate / count), str(seconds),
                    str(seed + i)]  # fmt: skip
            theirs, ours = os.pipe(), os.pipe()
            children.append((spawn([*prefix, *argv], stdin=theirs[0], stdout=ours[1],
                                   env={**os.environ, "PYTHONPATH": str(ROOT)}),
                             os.fdopen(theirs[1], "w"), os.fdopen(ours[0])))  # fmt: skip
            os.close(theirs[0])
            os.close(ours[1])
            children[-1][2].readline()  # ready, or ended
        for _, told, _ in children:
            with contextlib.suppress(OSError):
                told.write("go\n")
                told.flush()
        answers = [json.loads(line) for _, _, said in children if (line := said.readline())]
    finally:
        for process, told, said in children:
            process.kill()
            for pipe in (told, said):
                with contextlib.suppress(OSError):
                    pipe.close()
    return judge(count, answers)


def judge(count: int, answers: Sequence[Mapping[str, Any]]) -> Seen:
    """Of what those say that lived."""
    ms = np.array([value for answer in answers for value in answer["ms"]])
    p99 = float(np.percentile(ms, 99)) if ms.size else None
    lived = len(answers) == count and not any(answer["bad"] for answer in answers)
    return Seen(count, lived and p99 is not None and p99 <= TARGET_MS, p99, count - len(answers))


# -------------------------------------------------------------------------------------- trials


def trial(one: Measured, rng: np.random.Generator, seconds: float) -> Trial:
    """A rate that takes two to four replicas, and a card that holds two or three."""
    # here, as a replica is this script too: what a worker does not import would be in its memory
    from harness.plan.rounding import Need, Rounded
    from harness.plan.sizing import fit, replicas

    rate = float(rng.uniform(1, 4)) * one.rate
    card = int(rng.uniform(2, 4) * one.least_mib)
    count = replicas(rate, one.rate)
    need = Need(one.least_mib, one.least_mib, card_mib=card)
    found = fit(Rounded("", one.least_mib, card // one.least_mib), need, None, count)
    on_card, each, seed = found.per_card or 0, rate / count, int(rng.integers(1 << 30))
    carries = tuple(together(n, rate, seconds, seed) for n in (count, count - 1) if n)
    fits = []
    for n in (on_card, on_card + 1):
        with host_memory(card) as limit:
            fits.append(together(n, each * n, seconds, seed, limit.prefix))
    return Trial(rate, card, (carries[0], carries[-1]), (fits[0], fits[1]))


def page(one: Measured, trials: Sequence[Trial], seconds: float) -> str:
    rows = [
        f"| {t.rate:.0f} | {_seen(t.carries[0])} | {_seen(t.carries[1])} | {t.card_mib} "
        f"| {_seen(t.fits[0])} | {_seen(t.fits[1])} |"
        for t in trials
    ]
    said = []
    for name, pairs in (
        ("for the rate: N hold and N − 1 don't", [t.carries for t in trials]),
        ("on the card: N hold and N + 1 don't", [t.fits for t in trials]),
    ):
        right = sum(a.holds and not b.holds for a, b in pairs)
        held, failed = sum(a.holds for a, _ in pairs), sum(not b.holds for _, b in pairs)
        said.append(f"| {name} | {right} of {len(pairs)} | {held} | {failed} "
                    f"| {_range(right, len(pairs))} |")  # fmt: skip
    return (
        "# How many replicas: do so many hold, and others not?\n\n"
        f"Written by `python benchmarks/plan_replicas.py` (seed {SEED}), on a machine that others "
        "may have used.\n\n"
        f"A replica is a delay line: {SERVICE_MS:g} ms a request, {SLOTS} at a time, each of which "
        f"keeps {SLOT_MIB} MiB. By the harness one\ncarries {one.rate:.1f} requests a second "
        f"(the lower end; a closed loop), and `--verify` says: {one.text}\n\n"
        "In each trial the plan's arithmetic says how many replicas carry a rate that was drawn, "
        "and how many fit a card\nwhose size was drawn, by the least that `--verify` found and the "
        f"resolution of its search, {one.least_mib} MiB, without headroom or\nmargin, which would "
        "only let one more or fewer hold too. Real processes are "
        "started together, with Poisson arrivals "
        f"for {seconds:g} s, on the card in one control group\nof its size. They hold where all "
        "live, every request is answered, and p99 is within the target.\n\n"
        "| | right | N hold | the other does not | 95 % range of right |\n|---|---|---|---|---|\n"
        + "\n".join(said)
        + "\n\n| rate | N: p99 | N − 1 | card MiB | N on it | N + 1 |\n"
        "|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nReplicas of a service on one card also slow each other down, which a delay line "
        "does not: [sharing.md](../sharing.md)\nhas what tenants do.\n"
    )


def _seen(found: Seen) -> str:
    word = "holds" if found.holds else f"{found.ended} ended" if found.ended else "too slow"
    return f"{found.count}: {word}, {'–' if found.p99_ms is None else f'{found.p99_ms:.0f}'} ms"


def _range(right: int, of: int) -> str:
    from scipy.stats import binomtest

    found = binomtest(right, of).proportion_ci()  # Clopper and Pearson's
    return f"{found.low:.0%} to {found.high:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="of load in each part of a trial"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lanes", type=int, default=1, help="trials at a time")
    parser.add_argument("--most", type=float, default=3600.0, help="seconds for all of it")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the page")
    parser.add_argument("--replica", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.replica:
        rate, seconds, seed = args.replica
        replica(float(rate), float(seconds), int(seed))
        return
    end = time.monotonic() + args.most
    with tempfile.TemporaryDirectory() as folder:
        one = measure(Path(folder), args.rounds)
    print(asdict(one), flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    trials: list[Trial] = []

    def one_trial(seed: np.random.SeedSequence) -> None:
        if time.monotonic() > end - 6 * args.seconds:
            return
        found = trial(one, np.random.default_rng(seed), args.seconds)
        trials.append(found)
        print(asdict(found), flush=True)
        text = page(one, list(trials), args.seconds)
        (args.output / PAGE).write_text(text, encoding="utf-8")

    with ThreadPoolExecutor(args.lanes) as pool:
        list(pool.map(one_trial, np.random.SeedSequence(SEED).spawn(args.trials)))


if __name__ == "__main__":
    main()
