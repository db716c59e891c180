"""Predicted interference as tables and in words, for terminal and report."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.model import blocks as b
from harness.report.model.numbers import significant
from harness.scenario.wording import signed
from harness.tenants.prediction import STRESSORS, Prediction
from harness.tenants.stressors import resource
from harness.tenants.tables import heat

NOTE = (
    "Predicted: how many times longer the row's requests take on average while the column runs "
    "beside it than alone, from what each did beside stressors of one resource each. The intervals "
    "of what was measured do not hold for it; where pairs ran together, the table of errors says "
    "how far off it is."
)


def predicted_matrix(found: Prediction) -> b.Table:
    """The heat map: row slowed down beside column; what was measured shows on hovering."""
    names = list(found.mixtures)
    rows = [[b.word(row), *(_cell(found, row, column) for column in names)] for row in names]
    return b.table(["predicted slow-down of ↓ beside →", *names], rows)


def _cell(found: Prediction, row: str, column: str) -> b.Cell:
    value, measured = found.by[STRESSORS][row, column], found.measured.get((row, column))
    note = "" if measured is None else f"measured: {significant(measured)}"
    return b.Cell(significant(value), note=note, number=True, heat=heat(value))


def errors_table(found: Prediction) -> b.Table:
    """Each pair that ran together too: what was measured, and what each method says."""
    rows = [
        [b.word(pair[0]), b.word(pair[1]), b.number_cell(truth),
         *(_off(predicted[pair], truth) for predicted in found.by.values())]
        for pair, truth in found.measured.items()
    ]  # fmt: skip
    return b.table(["requests of", "beside", "measured", *found.by], rows)


def _off(predicted: float, truth: float) -> b.Cell:
    return b.figure(f"{significant(predicted)} ({signed(predicted / truth - 1, '.0%')})")


def mixtures_table(found: Prediction) -> b.Table:
    """What each tenant acts like."""
    names = list(next(iter(found.mixtures.values())))
    rows = [
        [b.word(tenant), *(b.number_cell(parts[name], ".2f") for name in names)]
        for tenant, parts in found.mixtures.items()
    ]
    return b.table(["acts like so much of", *(resource(name) for name in names)], rows)


def parts(found: Prediction) -> Iterator[tuple[str, b.Table]]:
    """Every table of one mode, with its title."""
    yield "Predicted interference", predicted_matrix(found)
    if found.measured:
        yield "Predicted and measured", errors_table(found)
    yield "What each tenant acts like", mixtures_table(found)


def words(found: Prediction) -> Iterator[str]:
    """What it comes to, a sentence or two."""
    worst, slow = max(found.by[STRESSORS].items(), key=lambda item: item[1])
    yield (f"{found.mode.words}, predicted: most slowed down is {worst[0]} beside {worst[1]}: its "
           f"requests take {significant(slow)} times as long.")  # fmt: skip
    known = {name: error for name, error in found.error.items() if error is not None}
    if known:
        each = "; ".join(f"{name} {error:.1%}" for name, error in known.items())
        yield (f"{found.mode.words}: of {len(found.measured)} slow-downs that no prediction had "
               f"seen the mean error is: {each}.")  # fmt: skip
