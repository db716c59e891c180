"""What is measured of a sharing scenario: cells, and what each is there for.

A cell is a mode with the tenants that run under it at the same time, each with its load. Cells with
the same mode and the same tenants are seated together: their processes are started once a round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from harness.results.grouping import grouped
from harness.tenants.settings import DEDICATED, Mode, Replicas, Sharing, Target, Tenant, TenantLoad

ALONE = Mode(kind=DEDICATED)


@dataclass(frozen=True, slots=True)
class Seat:
    """A tenant, or one of its replicas, under a load."""

    name: str
    """`vision`, and its second replica `vision#2`."""
    tenant: str
    load: TenantLoad

    @property
    def id(self) -> str:
        """`vision@c4`, `text@r50b8`."""
        load = self.load
        found = f"c{load.concurrency}" if load.concurrency else f"r{load.request_rate or 0:g}"
        return f"{self.name}@{found}" + (f"b{load.batch_size}" if load.batch_size > 1 else "")


@dataclass(frozen=True, slots=True)
class Cell:
    """What runs at the same time."""

    mode: Mode
    seats: tuple[Seat, ...]
    resident: tuple[Seat, ...] = ()
    """Those whose processes are there: these and others, which are not under load."""

    @property
    def id(self) -> str:
        """The name of its row, of all tenants together: `time_slicing/vision@c4+text@r50`."""
        return f"{self.mode.id}/{'+'.join(seat.id for seat in self.seats)}"

    def of(self, seat: Seat) -> str:
        """The name of one tenant's row; that of a tenant alone is the cell's own."""
        return self.id if len(self.seats) == 1 else f"{self.id}/{seat.name}"

    @property
    def seated(self) -> tuple[str, tuple[str, ...]]:
        """What cells share that are measured with the same processes."""
        return self.mode.id, tuple(seat.name for seat in self.started)

    @property
    def started(self) -> tuple[Seat, ...]:
        """Whose processes are started for it."""
        return self.resident or self.seats


@dataclass(frozen=True, slots=True)
class TableCell:
    """A row of the sharing table: so many replicas beside one tenant with the same load."""

    count: int
    load: str
    """Of the device."""
    cell: Cell
    dedicated: Cell


@dataclass(frozen=True, slots=True)
class Fit:
    """So many replicas, each under the tenant's own load."""

    count: int
    cell: Cell


@dataclass(frozen=True, slots=True)
class Design:
    """All cells of a scenario, by what they are there for."""

    alone: dict[str, Cell] = field(default_factory=dict)
    """By tenant; none where they are alone in `probed`."""
    together: dict[str, Cell] = field(default_factory=dict)
    """All tenants, by the mode's id; none of one tenant."""
    pairs: dict[tuple[str, str, str], Cell] = field(default_factory=dict)
    """By mode and two tenants, in the scenario's order."""
    table: list[TableCell] = field(default_factory=list)
    fits: dict[str, list[Fit]] = field(default_factory=dict)
    """By mode, from one replica on."""
    probes: dict[tuple[str, str, str], Cell] = field(default_factory=dict)
    """By mode, tenant or stressor, and stressor: the two under load at the same time."""
    probed: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """By mode and tenant or stressor: alone under load, among the same processes."""

    def alone_in(self, mode: Mode, name: str) -> Cell:
        """What a tenant or stressor is compared with in a mode: itself alone."""
        return self.probed.get((mode.id, name)) or self.alone[name]

    @property
    def cells(self) -> list[Cell]:
        """Each once, in the order above."""
        found: list[Cell] = [*self.alone.values(), *self.together.values(), *self.pairs.values()]
        for row in self.table:
            found += [row.dedicated, row.cell]
        found += [fit.cell for fits in self.fits.values() for fit in fits]
        found += [*self.probed.values(), *self.probes.values()]
        return list({cell.id: cell for cell in found}.values())

    @property
    def seatings(self) -> list[list[Cell]]:
        """The cells by what is started for them."""
        return list(grouped(self.cells, lambda cell: cell.seated).values())


def design(sharing: Sharing, stressors: Sequence[Tenant] = ()) -> Design:
    """What is to be measured; with stressors, from which pairs are predicted."""
    alone = () if stressors else sharing.tenants  # these are alone among the same processes
    found = Design({t.name: Cell(ALONE, (_seat(t),)) for t in alone})
    for mode in sharing.shared:
        _mix(found, mode, sharing)
        _probe(found, mode, sharing, stressors)
        if sharing.replicas is not None:
            found.table.extend(_table(mode, sharing.replicas, sharing))
        if sharing.target is not None:
            found.fits[mode.id] = list(_fits(mode, sharing.target, sharing))
    return found


def _seat(tenant: Tenant, replica: int = 1, load: TenantLoad | None = None) -> Seat:
    name = tenant.name if replica == 1 else f"{tenant.name}#{replica}"
    return Seat(name, tenant.name, load or tenant.load)


def replicas_of(tenant: Tenant, count: int, load: TenantLoad | None = None) -> tuple[Seat, ...]:
    """So many of a tenant, each under the load."""
    return tuple(_seat(tenant, number, load) for number in range(1, count + 1))


def _mix(found: Design, mode: Mode, sharing: Sharing) -> None:
    """The tenants together, and each two of them; a tenant beside a second one of itself too."""
    tenants: Sequence[Tenant] = sharing.tenants
    if len(tenants) == 1:
        return
    found.together[mode.id] = Cell(mode, tuple(map(_seat, tenants)))
    if not sharing.pairs:
        return
    for a, b in combinations_with_replacement(tenants, 2):
        seats = replicas_of(a, 2) if a is b else (_seat(a), _seat(b))
        found.pairs[mode.id, a.name, b.name] = Cell(mode, seats)


def _probe(found: Design, mode: Mode, sharing: Sharing, stressors: Sequence[Tenant]) -> None:
    """Each tenant beside each stressor, the stressors beside one another and themselves; all among
    the same processes, so that none is started again for it. Of the pairs, those of two different
    tenants are measured there too.
    """
    if not stressors:
        return
    twice = [seat for stressor in stressors for seat in replicas_of(stressor, 2)]
    resident = (*map(_seat, sharing.tenants), *twice)
    for tenant in (*sharing.tenants, *stressors):
        found.probed[mode.id, tenant.name] = Cell(mode, (_seat(tenant),), resident)
    for tenant in sharing.tenants:
        for stressor in stressors:
            seats = (_seat(tenant), _seat(stressor))
            found.probes[mode.id, tenant.name, stressor.name] = Cell(mode, seats, resident)
    for a, b in combinations_with_replacement(stressors, 2):
        seats = (_seat(a), _seat(b, 2 if a is b else 1))
        found.probes[mode.id, a.name, b.name] = Cell(mode, seats, resident)
    for key, cell in list(found.pairs.items()):
        if key[0] == mode.id:
            del found.pairs[key]
            if key[1] != key[2]:
                found.pairs[key] = Cell(mode, cell.seats, resident)
    if mode.id in found.together:
        found.together[mode.id] = Cell(mode, found.together[mode.id].seats, resident)


def _table(mode: Mode, asked: Replicas, sharing: Sharing) -> Iterator[TableCell]:
    tenant = sharing.tenant(asked.tenant)
    for load in _loads(asked, tenant.load):
        dedicated = Cell(ALONE, (_seat(tenant, load=load),))
        for count in asked.counts:
            if (load.concurrency or 0) % count:
                continue
            seats = replicas_of(tenant, count, _shared(load, count))
            yield TableCell(count, load_text(load), Cell(mode, seats), dedicated)


def _loads(asked: Replicas, own: TenantLoad) -> Iterator[TenantLoad]:
    """The loads of the whole device."""
    for callers in asked.concurrency or ():
        yield own.model_copy(update={"concurrency": callers, "request_rate": None})
    for rate in asked.request_rate or ():
        yield own.model_copy(update={"concurrency": None, "request_rate": rate})


def _shared(load: TenantLoad, count: int) -> TenantLoad:
    """What each of so many has of it."""
    if load.concurrency is not None:
        return load.model_copy(update={"concurrency": load.concurrency // count})
    return load.model_copy(update={"request_rate": (load.request_rate or 0.0) / count})


def load_text(load: TenantLoad) -> str:
    """`16 callers`, `50 requests/s of 8`."""
    batch = f" of {load.batch_size}" if load.batch_size > 1 else ""
    if load.concurrency is not None:
        callers = "1 caller" if load.concurrency == 1 else f"{load.concurrency} callers"
        return callers + batch
    return f"{load.request_rate or 0:g} requests/s{batch}"


def _fits(mode: Mode, target: Target, sharing: Sharing) -> Iterator[Fit]:
    """One replica under time-slicing is the tenant alone; under MPS it has the mode's share."""
    tenant = sharing.tenant(target.tenant)
    for count in range(1, target.most + 1):
        plain = count == 1 and mode.kind == "time_slicing"
        yield Fit(count, Cell(ALONE if plain else mode, replicas_of(tenant, count)))
