"""The start of a session: what loading cost, and whether the outputs are right."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import ParityError
from harness.measure.readings import MIB, gpu_readings, gpu_stages, host_readings
from harness.results.details import LoadedDetails
from harness.results.rows import LoadedRow, ParityRow, ServerOnlyRow
from harness.results.series import Quantity, Readings, SeriesKey
from harness.run.session.session import Session
from harness.run.state import RunState
from harness.scenario.points import takes
from harness.scenario.spec.scenario import Parity, Scenario
from harness.scenario.variants import settings
from harness.telemetry.client import Telemetry


def open_session(
    session: Session, scenario: Scenario, state: RunState, telemetry: Telemetry, round_: int, *,
    varied: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Load, note what it cost, and check parity once; flags that every point then carries.

    `varied` says that the backend has several configs. Raises HarnessError.
    """
    spec = session.spec
    batches = [b for b in scenario.load.batch_sizes if takes(spec, b)]
    loaded = session.open(min(batches), state.notify)
    for text in session.notes if round_ == 0 else ():
        state.note(f"{spec.name}/{session.config}: {text}")
    readings = telemetry.read()
    memory = readings.get(SeriesKey(Quantity.HOST_BYTES))
    host = float(memory.value[-1]) / MIB if memory is not None else None
    times = [s.t_ns for s in readings.values() if s.t_ns.size]
    gpu = gpu_readings(readings, int(times[0][0]), int(times[0][-1]) + 1) if times else {}
    ends = dict(loaded["details"].get("stages_ns", {}))
    if session.remote:  # the server has loaded before the client begins
        ends = {**session.stages_ns, "warm": ends["warm"]}
    stages = gpu_stages(readings, ends)
    if session.empty_ns is not None:
        state.empty.add(spec.name)
        state.add(server_only_row(spec.name, round_, readings, session.empty_ns))
    details: LoadedDetails = {
        **loaded["details"], "stages_ns": ends,
        "telemetry": session.telemetry_file, **({"gpu_stages": stages} if stages else {}),
        **({"config": c} if (c := session.server_config) else {}),
        **(_about(session, scenario, state) if varied else {}),
    }  # fmt: skip
    state.add(LoadedRow(
        spec.name, round_, loaded["seconds"], loaded["first_call_ms"], loaded["bytes_on_disk"],
        host, gpu.get("gpu_memory_mib"), details, session.config,
    ))  # fmt: skip
    return _parity(session, scenario, state, batches)


def _about(session: Session, scenario: Scenario, state: RunState) -> LoadedDetails:
    """What tells this config from others, and where its model directory is."""
    if session.spec.kind != "triton":
        return {}
    found: LoadedDetails = {"settings": settings(session.spec, max(scenario.load.batch_sizes))}
    directory = session.model_directory
    if directory is not None and directory.is_relative_to(state.store.path):
        found["model_directory"] = str(directory.relative_to(state.store.path))
    return found


def _parity(
    session: Session, scenario: Scenario, state: RunState, batches: list[int]
) -> tuple[str, ...]:
    """Compare the outputs of what was not compared yet, and judge all of it."""
    known = state.parity[session.spec.name]
    if unchecked := [b for b in batches if b not in {row.batch_size for row in known}]:
        rows = session.parity(unchecked, state.notify)
        known += rows
        for row in rows:
            state.add(row)
    colocated = _colocated_parity(session, state)
    rows = [r for r in known if r.batch_size in batches]
    return judge(rows, scenario.model.parity) or colocated


def _colocated_parity(session: Session, state: RunState) -> tuple[str, ...]:
    """Of the co-located models, each once."""
    flags: tuple[str, ...] = ()
    for other in session.colocated:
        name = f"{session.spec.name}+{other.name}"
        if not state.parity[name]:
            state.parity[name] = session.colocated_parity(other, state.notify)
            for row in state.parity[name]:
                state.add(row)
        flags = judge(state.parity[name], other.other.spec.parity, other.name) or flags
    return flags


def judge(rows: Iterable[ParityRow], parity: Parity, colocated: str = "") -> tuple[str, ...]:
    """Raise ParityError if outputs disagree, unless the scenario says to measure anyway."""
    bad = [row for row in rows if row.status == "disagrees"]
    if not bad:
        return ()
    if parity.on_mismatch == "measure":
        return ("parity",)
    others = [str(row.batch_size) for row in bad[1:]]
    raise ParityError(
        (f"{colocated}, " if colocated else "")
        + f"batch {bad[0].batch_size}: {bad[0].message}"
        + (f"; also at batch {', '.join(others)}" if others else ""),
        fix="see the parity table; `parity: {on_mismatch: measure}` times it anyway",
    )


EMPTY_S = 1.0
"""How long an empty server is watched: 20 readings of the host, 200 of GPU memory."""


def server_only_row(
    backend: str, round_: int, telemetry: Readings, span_ns: tuple[int, int]
) -> ServerOnlyRow:
    """The readings of `span_ns` (monotonic ns) as a row."""
    begin, end = span_ns
    host = host_readings(telemetry, begin, end)
    gpu = gpu_readings(telemetry, begin, end)
    return ServerOnlyRow(
        backend, round_, (end - begin) / 1e9, host["host_memory_mib"], host["cpu_percent"],
        gpu.get("gpu_memory_mib"), gpu.get("gpu_memory_scope", ""),
        gpu.get("gpu_utilization_percent"), gpu.get("gpu_power_w"),
    )  # fmt: skip
