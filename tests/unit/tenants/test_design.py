"""Which cells a scenario makes, and which of them share processes."""

from __future__ import annotations

from support.shared import full, scenario

from harness.tenants.design import design
from harness.tenants.settings import Sharing
from harness.tenants.stressors import stressors


def sharing_of(**changes: object) -> Sharing:
    found = scenario(**changes).sharing
    assert found is not None
    return found


def test_two_tenants_make_a_matrix_with_a_diagonal() -> None:
    found = design(sharing_of())
    assert [cell.id for cell in found.cells] == [
        "dedicated/a@c2", "dedicated/b@c1", "time_slicing/a@c2+b@c1", "time_slicing/a@c2+a#2@c2",
        "time_slicing/b@c1+b#2@c1",
    ]  # fmt: skip
    assert found.pairs["time_slicing", "a", "b"] == found.together["time_slicing"]
    assert not design(sharing_of(pairs=False)).pairs


def test_a_count_that_does_not_divide_the_callers_has_no_row() -> None:
    found = design(sharing_of(replicas={"counts": (2, 4), "concurrency": (2, 8)}))
    assert [(row.count, row.load) for row in found.table] == [
        (2, "2 callers"), (2, "8 callers"), (4, "8 callers"),
    ]  # fmt: skip


def test_rows_of_the_table_have_the_same_load_of_the_device() -> None:
    sharing = full().sharing
    assert sharing is not None
    for row in design(sharing).table:
        callers = [seat.load.concurrency or 0 for seat in row.cell.seats]
        (base,) = row.dedicated.seats
        assert len(callers) == row.count
        assert sum(callers) == base.load.concurrency
        assert row.load == f"{base.load.concurrency} callers"


def test_rates_are_shared_out_too() -> None:
    found = design(sharing_of(replicas={"counts": (3,), "request_rate": (30.0,)}))
    (row,) = found.table
    assert [seat.load.request_rate for seat in row.cell.seats] == [10.0] * 3
    assert row.load == "30 requests/s"


def test_one_replica_under_time_slicing_is_the_tenant_alone() -> None:
    sharing = full().sharing
    assert sharing is not None
    fits = design(sharing).fits["time_slicing"]
    assert [fit.cell.mode.kind for fit in fits] == ["dedicated", "time_slicing", "time_slicing"]
    assert [len(fit.cell.seats) for fit in fits] == [1, 2, 3]


def test_cells_of_the_same_processes_are_seated_together_and_none_is_there_twice() -> None:
    sharing = full().sharing
    assert sharing is not None
    found = design(sharing)
    ids = [cell.id for cells in found.seatings for cell in cells]
    assert sorted(ids) == sorted({cell.id for cell in found.cells})
    for cells in found.seatings:
        assert len({cell.seated for cell in cells}) == 1
    assert len(found.seatings) == len({cell.seated for cell in found.cells})
    names = [cell.of(seat) for cell in found.cells for seat in cell.seats]
    assert len(names) == len(set(names))


def test_with_stressors_every_cell_of_a_mode_is_among_the_same_processes() -> None:
    found = scenario(predict=True)
    assert found.sharing is not None
    made = design(found.sharing, stressors(found))
    (cells,) = made.seatings
    assert [seat.name for seat in cells[0].started] == [
        "a", "b", "stress-compute", "stress-compute#2", "stress-memory", "stress-memory#2",
    ]  # fmt: skip
    assert not made.alone
    assert made.alone_in(made.together["time_slicing"].mode, "a").id == "time_slicing/a@c2"
    assert len(made.probed) == 4
    assert len(made.probes) == 2 * 2 + 3  # each tenant beside each, and the stressors' own pairs
    assert list(made.pairs) == [("time_slicing", "a", "b")]
    assert len({cell.id for cell in cells}) == len(cells) == 4 + 7 + 1


def test_what_is_measured_grows_with_the_number_of_tenants_and_not_of_pairs() -> None:
    def cells(count: int) -> int:
        tenants = tuple({"name": f"t{i}", "load": {"concurrency": 1}} for i in range(count))
        found = scenario(tenants=tenants, predict=True, pairs=False)
        assert found.sharing is not None
        return len(design(found.sharing, stressors(found)).cells)

    assert cells(9) - cells(8) == cells(5) - cells(4) == 3  # alone, and beside two stressors
