"""A stress run from its beginning to its end: server, load, faults, readings, answers."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, ServerError, UsageError
from harness.results.events import RunEnded, RunStarted
from harness.results.manifest import make_manifest, utc_now
from harness.results.samples import Samples
from harness.results.series import write_parquet
from harness.results.store import RunStore
from harness.run.execute import default_directory
from harness.run.interruption import Interruption
from harness.run.session.loading import judge
from harness.run.session.watch import gpu_of
from harness.scenario.reading.loader import LoadedScenario
from harness.scenario.variants import variants
from harness.stress import store as files
from harness.stress.abort import Watcher
from harness.stress.faults import FaultRecord, Faults
from harness.stress.memory import MemoryWatch
from harness.stress.proxy import HOST, Proxy
from harness.stress.server import StressServer
from harness.swarm import shapes
from harness.swarm.generator import Generator, Where
from harness.swarm.plan import make_plan
from harness.swarm.progress import read_records
from harness.swarm.recorder import merge
from harness.swarm.settings import Stress
from harness.system.files import write_text
from harness.system.network import is_loopback, split_address
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.telemetry.client import Telemetry
from harness.triton.client.settings import TritonSettings
from harness.triton.counters.scrape import EVERY_S, Scraper

Tell = Callable[[Mapping[str, Any]], None]
OVERTIME_S = 120.0
"""So long at least the co-located models' arrivals go on where their end is awaited."""
MOST_READINGS = 1000
"""Of Triton's /metrics, which are kept as text (some 4 KB each beside eight GPUs): a longer run
reads them less often than once a second, so that the harness does not grow with a soak.
"""
AFTER_FAULT_S = 10.0
"""So long after a fault nothing that grows is taken for hopeless."""


def backend_of(loaded: LoadedScenario) -> tuple[Stress, TritonSettings]:
    """The section, and the backend that is stressed. Raises UsageError."""
    scenario = loaded.scenario
    if scenario.stress is None:
        raise UsageError(f"{loaded.path} has no `stress`", fix="docs/stress.md says what it holds")
    served = [b for b in scenario.backends if isinstance(b, TritonSettings)]
    wanted = scenario.stress.backend
    found = next((b for b in served if wanted in (None, b.name)), None)
    if found is None:
        raise UsageError("`harness stress` needs a Triton backend")
    if len(variants(found)) > 1:
        raise UsageError(
            f"backend '{found.name}' holds lists; one config is stressed at a time",
            fix="give single values, with --set or in a scenario of its own",
        )
    return scenario.stress, found


def reached_from_elsewhere(address: str, master: str) -> str:
    """Where a proxy must listen so that the workers of `master` reach the server at `address`;
    empty where they reach it themselves. Raises UsageError where that is not known.
    """
    host = split_address(master)[0] if master else HOST
    if is_loopback(host) or not is_loopback(split_address(address)[0]):
        return ""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - is compared
        raise UsageError(
            f"the server that the harness starts answers on this host alone, and --master {master} "
            "does not say at which address of it workers elsewhere may ask a proxy",
            fix="give the address: --master 10.0.0.1:5557; or `server: {url: …}`",
        )
    return host


def between_readings(stress: Stress) -> float:
    """Seconds from one reading of Triton's /metrics to the next."""
    return max(EVERY_S, shapes.duration(stress.shape.chosen) / MOST_READINGS)


def start(loaded: LoadedScenario, output: Path | None, where: Where, tell: Tell) -> Path:
    """Run it; the run directory. Raises HarnessError where it can't begin.

    What goes wrong once load is made is noted in the directory, and does not raise.
    """
    backend_of(loaded)
    directory = output or default_directory(loaded.scenario.scenario)
    manifest = make_manifest(loaded.scenario, loaded.text, loaded.path, list(loaded.overrides))
    store = RunStore.create(directory, {**manifest, "kind": files.KIND})
    with store, temporary_folder(), Interruption() as interruption:
        store.append(RunStarted(utc_now()))
        run = _Run(loaded, directory, where, tell, interruption)
        run.outcome.save(directory)
        interruption.armed = True
        try:
            run.go()
        except KeyboardInterrupt:
            run.outcome.status = "interrupted"
        except HarnessError as error:
            run.outcome.status, run.outcome.why = "failed", error.message
            if not run.outcome.start_ns:
                raise
        finally:
            interruption.armed = False
            run.outcome.save(directory)
            status = run.outcome.status
            store.append(RunEnded("complete" if status == "complete" else "interrupted", utc_now()))
    return directory


@dataclass(slots=True)
class _Run:
    """What goes on."""

    loaded: LoadedScenario
    directory: Path
    where: Where
    tell: Tell
    interruption: Interruption
    outcome: files.Outcome = field(default_factory=files.Outcome)
    faulty_until: float = 0.0
    watch: Callable[[bool], None] = lambda keep: None
    """Has telemetry read the server as it is now, and keep what it has read."""

    def go(self) -> None:
        """Bring everything up, make the load, and keep what came of it."""
        stress, spec = backend_of(self.loaded)
        base, logs = self.loaded.path.resolve().parent, self.directory / "logs"
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(StressServer(
                self.loaded.scenario, spec, base=base, logs=logs, cache=cache_directory()
            ))  # fmt: skip
            self.tell({"event": "preparing"})
            server.open()
            self._note_server(server)
            proxy = self._proxy(stack, stress, spec, server, logs)
            assert server.model is not None
            plan = make_plan(self.loaded, spec, server.model, server.address, self.where.workers)
            telemetry = stack.enter_context(
                Telemetry(self.directory / "telemetry.raw", logs / "telemetry.log")
            )
            self.watch = lambda keep: telemetry.watch(
                [p for p in [server.pid] if p], gpu_of(spec), itself=True, keep=keep
            )
            self.watch(False)
            faults = Faults(stress.faults, server, proxy, self._fault_done)
            stack.callback(faults.stop)
            memory = stack.enter_context(MemoryWatch(lambda: server.pid))
            scraper = stack.enter_context(
                Scraper(server.address.metrics, every=between_readings(stress))
            ) if server.address.metrics else None  # fmt: skip
            generator = stack.enter_context(Generator(
                plan if proxy is None else plan.at(proxy.address), server.inputs(), self.where,
                folder=self.directory / files.SAMPLES, logs=logs, base=base,
            ))  # fmt: skip
            try:
                self._load(stress, generator, faults, scraper, server)
            finally:
                self.interruption.armed = False
                faults.stop()
                self._keep(memory, telemetry, scraper)
                self._keep_others(server)

    def _note_server(self, server: StressServer) -> None:
        self.outcome.served_name, self.outcome.batch_size = server.address.name, server.batch
        self.outcome.workers = self.where.workers
        self.outcome.parity = [row.outward() for row in server.parity]
        self.outcome.save(self.directory)
        judge(server.parity, self.loaded.scenario.model.parity)

    def _proxy(
        self, stack: contextlib.ExitStack, stress: Stress, spec: TritonSettings,
        server: StressServer, logs: Path,
    ) -> Proxy | None:  # fmt: skip
        address = str(server.address.of(spec.protocol))
        elsewhere = reached_from_elsewhere(address, self.where.master)
        if not elsewhere and not any(fault.network for fault in stress.faults):
            return None
        self.outcome.notes.append("all requests went through the harness's own proxy, which can "
                                  "be slow; it adds some 0.1 ms also where it is not")  # fmt: skip
        return stack.enter_context(Proxy(address, logs / "proxy.log", elsewhere or HOST))

    def _fault_done(self, record: FaultRecord) -> None:
        self.outcome.faults.append(files.Fault(**asdict(record)))  # type: ignore[typeddict-item]
        self.outcome.save(self.directory)
        self.faulty_until = record.end + AFTER_FAULT_S
        if record.kind == "kill":  # the server is another process now
            self.watch(True)
        self.tell({"event": "fault", **asdict(record)})

    # -- the load -------------------------------------------------------------------------------

    def _load(
        self, stress: Stress, generator: Generator, faults: Faults, scraper: Scraper | None,
        server: StressServer | None = None,
    ) -> None:  # fmt: skip
        watcher = Watcher(stress, self.loaded.scenario.measurement.seed)
        ending = False
        for event in generator.events():
            kind = event.get("event")
            if kind == "started":
                self.outcome.start_ns, self.outcome.status = event["at_ns"], "running"
                self.outcome.save(self.directory)
                faults.start(event["at_ns"])
                if server is not None:
                    server.begin_others(2 * shapes.duration(stress.shape.chosen) + OVERTIME_S)
                if scraper is not None:
                    scraper.mark()
            elif kind == "progress" and not ending and self.outcome.status == "running":
                why = watcher.look(event, self._disturbed(stress, event["t"]))
                if why:
                    ending, self.outcome.status, self.outcome.why = True, "aborted", why
                    generator.stop()
            elif kind:
                self._note(kind, event)
            if kind:
                self.tell(event)
        if self.outcome.status == "running":
            self.outcome.status = "complete"

    def _disturbed(self, stress: Stress, t: float) -> bool:
        if t < self.faulty_until:
            return True
        return any(f.at - 1 <= t <= f.at + f.lasts + AFTER_FAULT_S for f in stress.faults)

    def _note(self, kind: str, event: Mapping[str, Any]) -> None:
        """Keep what the generator says of its workers and its end."""
        if kind == "done":
            self.outcome.seconds = float(event["seconds"])
        elif kind == "joined":
            self.outcome.joined.append(files.Joined(
                worker=event["worker"], host=event["host"], pid=event["pid"],
                clock_error_ns=event["clock_error_ns"],
            ))  # fmt: skip
        elif kind == "worker_lost":
            at = (event["at_ns"] - self.outcome.start_ns) / 1e9
            self.outcome.lost.append({"worker": event["worker"], "at": round(at, 3)})
        elif kind == "refused":
            if not self.where.master:
                raise ServerError(f"a worker can't work: {event['why']}")
            self.outcome.notes.append(f"refused {event['host']}: {event['why']}")
        self.outcome.save(self.directory)

    def _keep_others(self, server: StressServer) -> None:
        if not self.outcome.start_ns:
            return
        with tempfile.TemporaryDirectory(prefix="harness-stress-") as folder:
            for name, found in server.end_others(Path(folder)):
                if isinstance(found, Samples):
                    files.write_colocated(self.directory, name, found)
                else:
                    words = f"what {name} was asked beside is not known: {found.message}"
                    self.outcome.notes.append(words)

    # -- what came of it ------------------------------------------------------------------------

    def _keep(self, memory: MemoryWatch, telemetry: Telemetry, scraper: Scraper | None) -> None:
        """Put everything that was read into files that the report reads."""
        if scraper is not None:
            scraper.mark()
            write_text(self.directory / files.METRICS, json.dumps(scraper.finish()))
        memory.save(self.directory / files.MEMORY)
        write_parquet(self.directory / files.TELEMETRY, telemetry.read())
        if self.outcome.start_ns and not self.outcome.seconds:
            elapsed = (time.monotonic_ns() - self.outcome.start_ns) / 1e9
            longest = shapes.duration(backend_of(self.loaded)[0].shape.chosen)
            self.outcome.seconds = min(elapsed, longest)
        merged = merge(read_records(self.directory / files.SAMPLES))
        files.write_requests(self.directory, merged, {"clock": "monotonic", "workers":
                                                str(asdict(self.where)["workers"])})  # fmt: skip
