"""What a profile says in sentences, for the terminal and the report alike."""

from __future__ import annotations

from collections.abc import Iterator

from harness.profile.neighbours import OTHERS_TOOK
from harness.profile.result import BackendProfile, BatchProfile, Finding, Profile
from harness.profile.trying import words
from harness.report.model.labels import listed
from harness.results.grouping import grouped
from harness.scenario.wording import signed

NO_TIMING = (
    "A profile is no measurement: the profiler slows what it watches, and nothing was repeated in "
    "fresh processes or kept from being disturbed. Shares and evidence are its results; `harness "
    "run` has the times."
)
DISTURBED = (
    "Where other processes took processors, operators on the CPU take longer than they need, and "
    "shares and findings are off: end them, and profile again."
)
CUT_SHORT = "It was interrupted before its end: backends or batch sizes are missing."
OVERLAP = "The bounds overlap: they don't add up, and a change may do more than what they count."
NOT_COLD = "another batch size ran in this process before"


def of_profile(profile: Profile) -> Iterator[str]:
    """First what bounds each backend at each batch size, then what would save most."""
    for backend in profile.backends:
        if backend.failure:
            yield f"{backend.name} could not be profiled: {backend.failure}"
        for batch in backend.batches:
            noted = (f" {note[:1].upper()}{note[1:]}." for note in batch.notes)
            yield f"{backend.name} at batch {batch.batch}: {batch.bound.words}{''.join(noted)}"
    if any(n.startswith(OTHERS_TOOK) for b in profile.backends for x in b.batches for n in x.notes):
        yield DISTURBED
    if profile.findings:
        yield headline(profile.findings[0])
    elif any(b.batches for b in profile.backends):
        yield "Nothing was found that would save 2 % of the time or more."


def left_out(profile: Profile) -> Iterator[str]:
    """The backends that were not profiled, a sentence a reason."""
    for why, names in grouped(profile.skipped, lambda name: profile.skipped[name]).items():
        yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} left out: {why}."


def headline(finding: Finding) -> str:
    """The first finding."""
    return (
        f"What could save most: {finding.title} ({finding.backend}, batch {finding.batch}), at "
        f"most {finding.saving:.0%} of the time, {finding.factor:.3g} times the throughput."
    )


def starting(backend: BackendProfile, batch: BatchProfile) -> str:
    """The first call against the steady state."""
    if not batch.calls_ms or not batch.steady_ms:
        return ""
    first, steady = batch.calls_ms[0], batch.steady_ms
    settled = next(
        (n for n in range(len(batch.calls_ms)) if max(batch.calls_ms[n:]) <= 1.1 * steady), None
    )
    after = f"within 10 % of that from call {settled + 1} on" if settled is not None else (
        f"not within 10 % of that in the first {len(batch.calls_ms)}"
    )  # fmt: skip
    cold = "" if backend.batches[0].batch == batch.batch else f" ({NOT_COLD})"
    return (
        f"{backend.name} at batch {batch.batch}: the first call took {first:.3g} ms{cold}, "
        f"{first / steady:.3g} times the later ones' median of {steady:.3g} ms; {after}."
    )


def overhead(backend: BackendProfile, batch: BatchProfile) -> str:
    """What the profiler costs."""
    if not batch.steady_ms:
        return ""
    more = batch.profiled_ms / batch.steady_ms - 1
    return (
        f"{backend.name} at batch {batch.batch}: {batch.requests} requests were profiled, of "
        f"{batch.profiled_ms:.3g} ms against {batch.steady_ms:.3g} ms without the profiler "
        f"({signed(more, '.0%')})."
    )


def tried_text(finding: Finding) -> str:
    """What was measured of a finding, or how to measure it."""
    return words(finding) or f"--try {finding.number}"
