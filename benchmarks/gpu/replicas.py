"""`plan --verify` says what a replica needs: do as many hold as fit a card, and one more not?

    PYTHONPATH=. python benchmarks/gpu/replicas.py --output OUT --caps OUT/caps [--seconds 90]
    PYTHONPATH=. python benchmarks/gpu/replicas.py --output OUT --render docs/benchmarks

A trial takes a case that `plan_caps.py` has verified, with the least that works for one replica,
and draws the size of a card, of two to four times that. A process that is no client of MPS takes
all of the GPU but so much. What the plan says fits is started, as clients of a daemon of MPS, one
after another, and put under load at the same time; then one more. They hold where each lives and
answers every request. About 40 s a trial; none is begun that does not fit into `--seconds`. With
--device cpu nothing is taken, to try the script.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gpubench
import numpy as np
from gpubench import Child
from pages import Page, opening, percent, table
from plan_caps import BACKENDS, BATCH, CALLERS, MODELS, TO_MIB, least_of

from harness.load.choose import make_generator
from harness.load.plan import LoadPlan
from harness.models.inputs import make_inputs
from harness.plan.rounding import Need, Rounded
from harness.plan.sizing import fit
from harness.system.limits.gpu import MEMORY, mps

MIB = 2**20
SEED = 20_261_129
FEWEST, MOST = 2.0, 4.0
"""Of the least of a replica, between which the card's size is drawn."""
LOAD_S = 3.0
FILLER = "filler"


def verified(caps: Path) -> list[tuple[str, int]]:
    """The cases without a server whose search has ended, and MiB that a replica needs: the least
    that works and the search's resolution, as below it nothing is known.
    """
    cases = json.loads((caps / "plan-caps.json").read_text("utf-8"))["cases"]
    ended = {case: found for case, found in cases.items() if found.get("ended")}
    known = {case: least_of(found) for case, found in ended.items() if "triton" not in case}
    return [(case, least + TO_MIB) for case, least in known.items() if least is not None]


def trial(asked: argparse.Namespace, case: str, need_mib: int, card_mib: int) -> dict[str, Any]:
    """As many replicas as the plan puts on a card of so many MiB, and one more."""
    need = Need(need_mib, need_mib, card_mib=card_mib)
    count = fit(Rounded("", need_mib, card_mib // need_mib), need, None, 1).per_card or 0
    gpubench.prepare_model(asked, _model(asked, case), ("torch", "onnx"), (BATCH,))
    tries = []
    for n in (count, count + 1):
        with _card(asked, card_mib) as free, _clients(asked, need_mib):
            tries.append({"count": n, **together(asked, case, n), "free_mib": free})
    return {"case": case, "need_mib": need_mib, "card_mib": card_mib, "tries": tries}


def _model(asked: argparse.Namespace, case: str) -> Mapping[str, Any]:
    return MODELS[case.partition("/")[0]] if asked.device == "cuda" else gpubench.SMALL


@contextlib.contextmanager
def _card(asked: argparse.Namespace, mib: int) -> Iterator[int | None]:
    """All of the GPU but `mib` is taken; what was free then."""
    if asked.device != "cuda":
        yield None
        return
    with Child(__file__, asked, FILLER) as child:
        yield child.ask("fill", mib=mib)["free_mib"]


@contextlib.contextmanager
def _clients(asked: argparse.Namespace, mib: int) -> Iterator[None]:
    """Children that start here are clients of a daemon of MPS, each of so many MiB at the most."""
    if asked.device != "cuda":
        yield
        return
    with mps() as daemon:
        before = dict(os.environ)
        os.environ.update({**daemon.own, MEMORY: f"0={mib}M"})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def together(asked: argparse.Namespace, case: str, count: int) -> dict[str, Any]:
    """So many replicas: loaded one after another, under load at the same time."""
    with contextlib.ExitStack() as stack:
        children, failed, left = [], [], [_free(asked)]
        for _ in range(count):
            child = stack.enter_context(Child(__file__, asked, case.replace("/", ":")))
            try:
                child.ask("load")
                children.append(child)
            except gpubench.ChildError as error:
                failed.append(f"load: {str(error).splitlines()[0][:200]}")
            left.append(_free(asked))
        with ThreadPoolExecutor(max(1, len(children))) as pool:
            answers = [pool.submit(child.ask, "run", 60.0) for child in children]
        said = []
        for answer in answers:
            try:
                said.append(answer.result())
            except gpubench.ChildError as error:
                failed.append(f"under load: {str(error).splitlines()[0][:200]}")
    bad = sum(answer["bad"] for answer in said)
    return {
        "holds": not failed and not bad and len(said) == count, "failed": failed, "bad": bad,
        "requests": sum(answer["requests"] for answer in said), "left_mib": left,
        "p99_ms": max((answer["p99_ms"] for answer in said), default=None),
    }  # fmt: skip


def _free(asked: argparse.Namespace) -> float | None:
    """MiB of the GPU that nobody holds."""
    if asked.device != "cuda":
        return None
    argv = ["nvidia-smi", "-i", "0", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    return float(subprocess.run(argv, text=True, capture_output=True, check=True).stdout)


class Replica:
    """The child's end: one model, loaded and then under load."""

    def __init__(self, asked: argparse.Namespace, case: str) -> None:
        case = case.replace(":", "/")
        self._model = gpubench.read_model(asked, str(_model(asked, case)["name"]))
        settings = gpubench.on_device(BACKENDS[case.partition("/")[2]], asked.device)
        self._backend = gpubench.open_case(self._model, settings, (BATCH,))

    def load(self) -> None:
        """Load it, and make the first requests of every caller: what it needs is taken then."""
        self._backend.load()
        self._run(0.3)

    def run(self) -> dict[str, Any]:
        """Under load."""
        samples = self._run(LOAD_S)
        good = samples.status == 0
        p99 = float(np.quantile((samples.done - samples.sent)[good] / 1e6, 0.99))
        return {"requests": len(good), "bad": int((~good).sum()), "p99_ms": p99}

    def _run(self, seconds: float) -> Any:
        request = self._backend.prepare(make_inputs(self._model, BATCH, 0))
        plan = LoadPlan(concurrency=CALLERS)
        generator = make_generator(self._backend, [request], plan, request_timeout=30.0)
        generator.start()
        time.sleep(seconds)
        samples: Any = generator.stop(30.0)
        if not (samples.status == 0).any():
            raise RuntimeError(f"no request was answered: {samples.messages}")
        return samples


def fill(mib: int) -> dict[str, int]:
    """Take all of the GPU but `mib`, and hold it for as long as the process lives."""
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, place = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ask = (ctypes.byref(free), ctypes.byref(total))
    for name, arguments in (
        ("cuInit", (0,)), ("cuDeviceGet", (ctypes.byref(device), 0)),
        ("cuDevicePrimaryCtxRetain", (ctypes.byref(context), device)),
        ("cuCtxSetCurrent", (context,)), ("cuMemGetInfo_v2", ask),
    ):  # fmt: skip
        _ask(cuda, name, *arguments)
    size = ctypes.c_size_t(free.value - mib * MIB)
    _ask(cuda, "cuMemAlloc_v2", ctypes.byref(place), size)
    _ask(cuda, "cuMemGetInfo_v2", *ask)
    return {"free_mib": free.value // MIB, "total_mib": total.value // MIB}


def _ask(cuda: Any, name: str, *arguments: Any) -> None:
    if status := getattr(cuda, name)(*arguments):
        raise RuntimeError(f"{name}: CUDA error {status}")


def measure(asked: argparse.Namespace) -> None:
    """Trials of each verified case in turn, as long as one more fits."""
    record = gpubench.Record("replicas", asked)
    begin, longest = time.monotonic(), 0.0
    rng = np.random.default_rng(SEED)
    cases = verified(asked.caps)
    for number in range(asked.trials if cases else 0):
        start = time.monotonic()
        if number and start - begin + longest > asked.seconds:
            break
        case, need = cases[number % len(cases)]
        card = int(rng.uniform(FEWEST, MOST) * need)
        record.attempt(f"{number}", partial(trial, asked, case, need, card))
        longest = max(longest, time.monotonic() - start)


def page(data: Mapping[str, Any]) -> Page:
    trials = list(data["cases"].values())
    right = sum(t["tries"][0]["holds"] and not t["tries"][1]["holds"] for t in trials)
    lines = [
        *opening(
            data, "PYTHONPATH=. python benchmarks/gpu/replicas.py --output OUT --caps OUT/caps",
            "PYTHONPATH=. python benchmarks/gpu/replicas.py --output OUT --render docs/benchmarks",
            trial="A trial of the script on the CPU: no card was made small.",
        ),
        "What a replica needs is the least that a search under CUDA MPS found "
        "([page](gpu-plan-caps.md)), and the resolution of\nit. A card's size is drawn, of "
        f"{FEWEST:g} to {MOST:g} times that; another process takes the rest of the GPU. As many "
        "replicas as the plan\nputs on such a card, and one more, are started as clients of one "
        "daemon, each under a cap of what it needs, and put under load together\n"
        f"for {LOAD_S:g} s (batch {BATCH}, {CALLERS} callers each). They hold where each lives "
        "and every request is answered.", "",
        f"**In {right} of {len(trials)} trials ({percent(right / len(trials), 0)}) N held and N + 1"
        " did not.**" if trials else "No trial was made.", "",
        *table(("case", "a replica MiB", "card MiB", "N", "N + 1", "each took MiB", "why"),
               map(_row, trials)),
    ]  # fmt: skip
    lines += [f"- not measured: {why.splitlines()[0]}" for why in data["failures"].values()]
    return Page("replicas", "How many replicas a card holds, on a GPU", lines)


def _row(found: Mapping[str, Any]) -> list[str]:
    shown = [
        f"{t['count']} {'hold' if t['holds'] else 'do not'}"
        + (f", p99 {t['p99_ms']:.0f} ms" if t["p99_ms"] is not None else "")
        for t in found["tries"]
    ]
    why = next((why for t in found["tries"] for why in t["failed"]), "")
    left = found["tries"][-1].get("left_mib") or []
    took = [f"{a - b:,.0f}" for a, b in pairwise(left) if a is not None and b is not None]
    words = [f"{found['need_mib']:,}", f"{found['card_mib']:,}", *shown, ", ".join(took),
             why.replace("|", "/")]  # fmt: skip
    return [f"`{found['case']}`", *words]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--caps", type=Path, help="the output of plan_caps.py")
    parser.add_argument("--seconds", type=float, default=90.0, help="no trial is begun after them")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--render", type=Path, metavar="DIR", help="write the page there, no more")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.output, asked.quick = asked.output.resolve(), False
    path = asked.output / "replicas.json"
    if asked.case == FILLER:
        gpubench.serve({"fill": fill})
    elif asked.case:
        replica = Replica(asked, asked.case)
        gpubench.serve({"load": replica.load, "run": replica.run})
    elif asked.render is None:
        if asked.caps is None:
            parser.error("--caps is needed: the folder that plan_caps.py wrote")
        measure(asked)
    else:
        print(page(json.loads(path.read_text("utf-8"))).write(asked.render))
        (asked.render / "gpu-replicas.json").write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
