"""The start of a session: what loading cost, and whether the outputs are right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from harness.errors import ParityError
from harness.measure.readings import MIB, gpu_readings, gpu_stages, host_readings
from harness.results.details import LoadedColocated, LoadedDetails
from harness.results.rows import LoadedRow, ParityRow, ServerOnlyRow
from harness.results.series import Quantity, Readings, SeriesKey
from harness.run.session.served_model import ServedModel
from harness.run.session.session import Session
from harness.run.state import RunState
from harness.scenario.points import takes
from harness.scenario.spec.model import Parity
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import settings
from harness.telemetry.client import Telemetry


def open_session(
    session: Session, scenario: Scenario, state: RunState, telemetry: Telemetry, round_: int, *,
    varied: bool,
) -> None:  # fmt: skip
    """Load, note what it cost, and compare outputs once; flags of the models are set by that.

    `varied` says that the backend has several configs. Raises HarnessError.
    """
    spec, watch = session.spec, session.watch
    batches = [b for b in scenario.load.batch_sizes if takes(spec, b)]
    session.open(min(batches), state.notify)
    for text in session.notes if round_ == 0 else ():
        state.note(f"{spec.name}/{session.config}: {text}")
    readings = telemetry.read()
    if watch.empty_ns is not None:
        state.empty.add(spec.name)
        state.add(server_only_row(spec.name, round_, readings, watch.empty_ns))
    about = _about(session, scenario) if varied else {}
    state.add(_loaded_row(session, round_, readings, about))
    compare_outputs(session.measured, batches, state)
    for other in session.colocated:
        compare_outputs(other, other.batch_sizes, state)


def _loaded_row(
    session: Session, round_: int, readings: Readings, about: LoadedDetails
) -> LoadedRow:
    """What loading cost: seconds, memory by stage, and what is known of every model."""
    memory = readings.get(SeriesKey(Quantity.HOST_BYTES))
    host = float(memory.value[-1]) / MIB if memory is not None else None
    times = [s.t_ns for s in readings.values() if s.t_ns.size]
    gpu = gpu_readings(readings, int(times[0][0]), int(times[0][-1]) + 1) if times else {}
    model, loaded = session.measured, session.measured.loaded
    assert loaded is not None
    ends = loaded.stages_ns
    if session.remote:  # the server has loaded before the client begins
        ends = {**session.watch.stages_ns, "warm": ends["warm"]}
    stages = gpu_stages(readings, ends)
    details = {
        **session.watch.server_host, **loaded.details, "stages_ns": ends,
        "telemetry": session.telemetry_file, **({"gpu_stages": stages} if stages else {}),
        **({"config": model.config} if model.config else {}), **about,
        **({"limits": session.limited.seen} if session.limited.seen else {}),
    }  # fmt: skip
    if others := {other.name: _facts(other) for other in session.colocated}:
        details["colocated"] = others
    return LoadedRow(
        session.spec.name, round_, loaded.seconds, loaded.first_call_ms, loaded.bytes_on_disk,
        host, gpu.get("gpu_memory_mib"), cast(LoadedDetails, details), session.config,
    )  # fmt: skip


def _facts(other: ServedModel) -> LoadedColocated:
    """What loading a co-located model cost, and how it is served."""
    assert other.loaded is not None
    assert other.served is not None
    facts = {
        "seconds": other.loaded.seconds, "first_call_ms": other.loaded.first_call_ms,
        "config": other.config, "served_name": other.served.address.name, **other.served.engine,
        **({"model_directory": d} if (d := other.directory) else {}),
    }  # fmt: skip
    return cast(LoadedColocated, facts)


def _about(session: Session, scenario: Scenario) -> LoadedDetails:
    """What tells this config from others, and where its model directory is."""
    if not isinstance(session.spec, ServedSettings):
        return {}
    found: LoadedDetails = {"settings": settings(session.spec, max(scenario.load.batch_sizes))}
    if directory := session.measured.directory:
        found["model_directory"] = directory
    return found


def compare_outputs(model: ServedModel, batches: Sequence[int], state: RunState) -> None:
    """Compare the outputs of what was not compared yet, and judge all of it; sets its flags."""
    known = state.parity[model.label]
    if unchecked := [b for b in batches if b not in {row.batch_size for row in known}]:
        rows = model.compare(unchecked, state.notify)
        known += rows
        for row in rows:
            state.add(row)
    model.flags = judge((r for r in known if r.batch_size in batches), model.rule, model.name)


def judge(rows: Iterable[ParityRow], parity: Parity, colocated: str = "") -> tuple[str, ...]:
    """Raise ParityError if outputs disagree, unless the scenario says to measure anyway."""
    bad = [row for row in rows if row.status == "disagrees"]
    if not bad:
        return ()
    if parity.on_mismatch == "measure":
        return ("parity",)
    first, *others = (", ".join(filter(None, (str(r.batch_size), r.sizes))) for r in bad)
    raise ParityError(
        (f"{colocated}, " if colocated else "")
        + f"batch {first}: {bad[0].message}"
        + (f"; also at batch {'; '.join(others)}" if others else ""),
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
