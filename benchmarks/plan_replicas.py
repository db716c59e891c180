"""`harness plan` says how many replicas: do so many hold, and one fewer, or one more, not?

    python benchmarks/plan_replicas.py [--trials 10] [--lanes 1] [--most 400] [--output DIR]

It writes DIR/plan-replicas.md (docs/benchmarks by default) after each trial. `--lanes` trials go on
at a time (a delay line takes little CPU: two cores for each), and none is begun after `--most`
seconds.

A replica is a delay line with memory: requests take `SERVICE_MS` each, `SLOTS` of them at a time,
and each slot keeps `SLOT_MIB` MiB once it was used. The harness measures one with all slots
busy; a plan counts the lower end of its throughput. Sessions under a control group find the least
host memory that it works in. In each trial a rate and a card's size are drawn.
The plan's arithmetic (`harness.plan.sizing`) says how many replicas carry the rate, and how many
fit the card. Then processes are started, all at once, each with Poisson arrivals at its share of
the rate:

* as many as are planned for the rate, without headroom, and one fewer, without a cap;
* as many as fit the card, and one more, in one control group of the card's size, each with the load
  that a plan with the usual headroom gives it: memory decides there.

They hold where each one lives, answers all of its requests, and all answers together keep p99.
Those that lived and were late are tried up to twice more, whether they are to hold or not: what
else the machine does makes them late, and never early.

What a run leaves open is no trial: a rate is drawn again where the two ends of the capacity's
interval ask for different numbers, or where one fewer would be overloaded by so little that p99
would not show it within the load's time (a queue that is overloaded by a share s delays what comes
after t seconds by s·t, so s has to be at least the target over that time). So is a card on which
one more would have more than the largest size that failed, and less than the least that held.
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
SERVICE_MS, SLOTS, SLOT_MIB, TARGET_MS = 12.5, 4, 60, 400.0
MODEL = {"name": "delay", "source": {"fake": {}}}
BACKEND = {"kind": "fake", "service_time_ms": SERVICE_MS, "cache_mib": SLOT_MIB}
STEP_MIB, TO_MIB = 16, 6
"""The first step of the search for the least, and how near it comes."""
HEADROOM = 0.2
"""The plan's own, where memory is to decide."""
ATTEMPTS = 3
"""How often those that were late are tried."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the harness says of one replica."""

    rate: float
    """The lower end of its capacity, requests a second."""
    rate_high: float
    """The upper end."""
    least_mib: int
    """Of host memory: what was found, and the resolution of the search, as no more is known of it.
    A card that was drawn within that of a whole number of replicas would be left to luck.
    """
    failed_mib: int
    """The largest in which it did not work."""
    peak_mib: float
    text: str
    """What the search saw."""


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
    drawn: int = 1
    """Rates that were drawn until one was decided."""
    cards: int = 1
    """Cards, too."""


def scenario(rounds: int, mib: int | None) -> str:
    """One replica, all its slots busy; under a cap of so many MiB."""
    limits = {} if mib is None else {"limits": {"host_memory": f"{mib}MiB"}}
    return json.dumps({
        "scenario": "replica", "model": MODEL, "backends": [{**BACKEND, **limits}],
        "load": {"batch_sizes": [1], "concurrency": [SLOTS]},
        "constraints": {"host_memory_mib": {"max": 10_000_000}},
        "measurement": {
            "profile": "quick", "rounds": rounds, "rounds_max": rounds, "warmup": "1s",
            "warmup_requests": 20, "window": "1s" if mib else "4s", "window_requests": 1,
        },
    })  # fmt: skip


def measure(folder: Path, rounds: int) -> Measured:
    """One replica by the harness itself: what it carries, and the least that it works in."""
    from capped import Sessions, search

    from harness.analysis.summary import summarize
    from harness.report.model.decision import with_margin
    from harness.results.store import read_run
    from harness.scenario.reading.loader import load_text

    (folder / "scenario.yaml").write_text(scenario(rounds, None))
    words = ("run", "scenario.yaml", "-o", "run", "-q", "--no-report")
    subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=folder, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (row,) = summarize(read_run(folder / "run").measurements)
    rate, peak = row.throughput, row.host_memory_mib
    if rate is None or rate.low is None or rate.high is None or peak is None:
        raise SystemExit("one replica could not be measured")
    said, failed = [], [0]
    with Sessions(
        lambda mib: load_text(scenario(1, mib), "scenario.yaml", folder), folder, folder
    ) as sessions:

        def holds(mib: int) -> bool:
            found = sessions.tried(mib)
            said.append(f"{mib} MiB {found['outcome']}")
            print(f"{said[-1]}: {found['why']}", flush=True)
            failed.extend([mib] if found["outcome"] == "fails" else [])
            return found["outcome"] == "holds"

        least = search(round(peak), with_margin(peak), holds, step=STEP_MIB, to=TO_MIB)
    if least is None:
        raise SystemExit("one replica held under no cap")
    most = max(mib for mib in failed if mib < least)
    return Measured(rate.low, rate.high, least + TO_MIB, most, peak, ", ".join(said))


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
    """So many replicas at once; where all live and are late, up to twice more."""
    for attempt in range(ATTEMPTS):
        found = _together(count, rate, seconds, seed + 1000 * attempt, prefix)
        if found.holds or found.ended:
            break
    return found


def _together(count: int, rate: float, seconds: float, seed: int, prefix: Sequence[str]) -> Seen:
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

    rate, drawn = 0.0, 0
    while not rate or not decided(one, rate, seconds):
        rate, drawn = float(rng.uniform(1, 4)) * one.rate, drawn + 1
    card, cards = 0, 0
    while not card or card // one.least_mib != card // one.failed_mib:
        card, cards = int(rng.uniform(2, 4) * one.least_mib), cards + 1
    count = replicas(rate, one.rate)
    need = Need(one.least_mib, one.least_mib, card_mib=card)
    found = fit(Rounded("", one.least_mib, card // one.least_mib), need, None, count)
    on_card, each = found.per_card or 0, one.rate * (1 - HEADROOM)
    seed = int(rng.integers(1 << 30))
    carries = tuple(together(n, rate, seconds, seed) for n in (count, count - 1) if n)
    fits = []
    for n in (on_card, on_card + 1):
        with host_memory(card) as limit:
            fits.append(together(n, each * n, seconds, seed, limit.prefix))
    return Trial(rate, card, (carries[0], carries[-1]), (fits[0], fits[1]), drawn, cards)


def decided(one: Measured, rate: float, seconds: float) -> bool:
    """Whether the run says how many carry it, and p99 could show within the time that one fewer
    does not.
    """
    from harness.plan.sizing import replicas

    shows = one.rate_high * (1 + TARGET_MS / 1e3 / seconds)
    return replicas(rate, one.rate) == replicas(rate, shows)


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
        f"keeps {SLOT_MIB} MiB. By the harness one\ncarries {one.rate:.1f} to {one.rate_high:.1f} "
        f"requests a second (a closed loop). Sessions under a cap of host memory: {one.text}.\n\n"
        "In each trial the plan's arithmetic says how many replicas carry a rate that was drawn, "
        "and how many fit a card\nwhose size was drawn, by the least that was found and the "
        f"resolution of its search, {one.least_mib} MiB, without headroom or\nmargin, which would "
        "only let one more or fewer hold too; on the card each has the load that is left with the "
        f"usual headroom of {HEADROOM:.0%}.\nReal processes are started together, with Poisson "
        f"arrivals for {seconds:g} s, on the card in one control group of its size. They\nhold "
        "where all live, every request is answered, and p99 is within the target; those that were "
        "late are tried up to twice more.\n\n"
        f"Of {sum(t.drawn for t in trials)} rates that were drawn {len(trials)} are tried: for "
        "the others the two ends of the capacity's interval ask for different\nnumbers, or one "
        "fewer would be overloaded by too little to show in p99 within that time (less than the "
        f"target over the time). So it is of {sum(t.cards for t in trials)} cards: on the others "
        "one more replica would have what is between\nthe largest size that failed and the least "
        "that held.\n\n"
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
        "--seconds", type=float, default=12.0, help="of load in each part of a trial"
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
    with host_memory(1024) as card:
        if not card.whole_tree:
            raise SystemExit(
                "a card is a control group, and none can be made here (root is needed)"
            )
    end = time.monotonic() + args.most
    with tempfile.TemporaryDirectory() as folder:
        one = measure(Path(folder), args.rounds)
    print(asdict(one), flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    trials: list[Trial] = []

    def one_trial(seed: np.random.SeedSequence) -> None:
        if time.monotonic() > end - 9 * args.seconds:
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
