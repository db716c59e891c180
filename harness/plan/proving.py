"""Whether a plan's request works, and the smallest that does: trials under a cap, by bisection.

A trial answers for one size: `holds`, `fails` or `undecided`. More memory never makes it fail, but
for chance. The peak from which the request was made is the first guess; from there sizes go down in
steps that treble until one fails, and what lies between is bisected to a resolution.
Trials on the way are short, and one that decides nothing is made once more. What is called the
smallest has held in two full trials: where one does not, the next size up is tried, so that what
held by chance does not stand (docs/benchmarks/plan-verify.md has its error rates).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.errors import LimitError
from harness.system.limits.limit import Quantity

Outcome = Literal["holds", "fails", "undecided"]
RESOLUTION = 0.02
"""Of the request: to which the smallest is found, and at least `LEAST_MIB`."""
LEAST_MIB = 4
STEPS_UP = 8
"""How many sizes above a smallest that did not stand are tried."""
GROWS = 3
"""By how much the steps down grow."""
STANDS = 2
"""Full trials in which the smallest has to hold."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The point, measured again under a cap."""

    mib: int
    outcome: Outcome
    why: str
    """What came out, in words: a p99 that holds, or what failed."""
    full: bool
    """With as many rounds as the plan's run; else one short one."""
    run: str = ""
    """The run directory."""
    control: str = ""
    """What the control of the cap saw."""
    how: str = ""
    """What enforced it."""


Try = Callable[[int, bool], Trial]
"""MiB, and whether the trial is to be full → what came of it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The request tried, and how much less would do."""

    quantity: Quantity
    request_mib: int
    per_process: bool
    """Whether each process may hold as much."""
    trials: tuple[Trial, ...]
    """In the order they were made."""
    resolution_mib: int
    predicted_mib: int | None = None
    """What the plan takes the smallest to be: the peak without the margin."""
    partial: bool = False
    """Whether the cap is an allocator's own, which counts no context and no library: it verifies
    nothing."""

    @property
    def requested(self) -> Trial:
        """The trial of the request itself."""
        tries = (trial for trial in self.trials[:2] if trial.mib == self.request_mib)
        return max(tries, key=lambda trial: trial.outcome != "undecided")

    @property
    def held(self) -> bool:
        """Whether the point held its objective under the cap that is asked for."""
        return self.requested.outcome == "holds"

    @property
    def verified(self) -> bool:
        """Whether it did under a cap on all of it, which a control has shown to be in force."""
        return self.held and not self.partial

    @property
    def smallest(self) -> Trial | None:
        """The least that held in `STANDS` full trials, else the request; None where that failed."""
        if not self.held:
            return None
        held = [t for t in self.trials if t.full and t.outcome == "holds"]
        sizes = Counter(trial.mib for trial in held)
        stood = [t for t in held if sizes[t.mib] >= STANDS]
        return min(stood, key=lambda t: t.mib, default=self.requested)

    @property
    def below(self) -> Trial | None:
        """The largest below the smallest that did not hold, in any trial."""
        least = self.smallest
        failed = [t for t in self.trials if least and t.mib < least.mib and t.outcome != "holds"]
        return max(failed, key=lambda t: t.mib, default=None)


def resolution(request_mib: int) -> int:
    """To how many MiB the smallest is found."""
    return max(LEAST_MIB, round(request_mib * RESOLUTION))


def prove(
    quantity: Quantity, request_mib: int, try_: Try, *, per_process: bool,
    guess: int | None = None, partial: bool = False,
) -> Proof:  # fmt: skip
    """Try the request, then search for the smallest size that holds, from `guess` on.

    `try_` raises LimitError where the cap is not in force: then nothing is proven. Of a size below
    one that held under its cap, that size alone is undecided.
    """
    step = resolution(request_mib)
    trials: list[Trial] = []

    def holds(size: int, full: bool = False) -> bool:
        trials.append(_tried(try_, size, full, sure=bool(trials)))
        if trials[-1].outcome == "undecided":
            trials.append(_tried(try_, size, full, sure=bool(trials)))
        return trials[-1].outcome == "holds"

    if holds(request_mib, full=True):
        low, high = 0, request_mib
        next_, gap, skipped = (guess or request_mib // 2), 2 * step, False
        while high - low > step:
            down = low == 0 and 0 < next_ < high
            middle = next_ if down else (low + high) // 2
            if holds(middle):
                high = middle
            elif down and not skipped and trials[-1].outcome == "undecided":
                skipped = True  # further down it may hold: what is not known ends no search
            else:
                low = middle
            next_, gap = middle - gap, GROWS * gap
        for size in range(high, min(request_mib, high + step * STEPS_UP), step):
            if all(holds(size, full=True) for _ in range(STANDS)):
                break
    return Proof(quantity, request_mib, per_process, tuple(trials), step, guess, partial)


def _tried(try_: Try, size: int, full: bool, *, sure: bool) -> Trial:
    """A trial; where the cap is known to work (`sure`), one that can't be shown decides nothing."""
    try:
        return try_(size, full)
    except LimitError as error:
        if not sure:
            raise
        return Trial(size, "undecided", f"the cap was not shown to be in force ({error})", full)


def sentence(proof: Proof) -> str:
    """The proof in one sentence, for page and JSON."""
    what = "of GPU memory" if proof.quantity == "gpu_memory" else "of host memory"
    each = " a process" if proof.per_process else ""
    asked, least, below = proof.requested, proof.smallest, proof.below
    if not proof.held:
        word = "fails" if asked.outcome == "fails" else "decides nothing"
        return f"Not verified: under {asked.mib:,} MiB {what}{each} the point {word}: {asked.why}."
    how = f"Not verified, as the cap is partial ({asked.how})" if proof.partial else (
        f"Verified under {asked.how}"
    )  # fmt: skip
    said = f"{how}: {asked.mib:,} MiB {what}{each} holds {asked.why}"
    if least is None or least.mib == asked.mib:
        return f"{said}; nothing smaller stood."
    said += f". The smallest that works is {least.mib:,} MiB (to {proof.resolution_mib} MiB)"
    if below is None:
        return f"{said}."
    verb = "fails" if below.outcome == "fails" else "decides nothing"
    return f"{said}; {below.mib:,} MiB {verb}: {below.why}."
