"""The server under stress: started, checked, harmed on purpose and started again; or elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import psutil

from harness.backends.base import ServerAddress
from harness.errors import HarnessError, ServerError
from harness.load.plan import plan_colocated
from harness.models.inputs import make_inputs
from harness.models.tensors import PreparedModel, Tensors
from harness.results.rows import ParityRow
from harness.results.samples import Samples
from harness.run.limited import Limited
from harness.run.session.preparing import Prepared, prepare, prepared_model
from harness.run.session.served_model import Folders, ServedModel
from harness.run.session.watch import gpu_place
from harness.run.worker.messages import DescribeModel
from harness.run.worker.process import WorkerProcess
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.environment import worker_env
from harness.telemetry.locate import server_pid
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import Served, Sharing
from harness.triton.server.process import TritonServer
from harness.triton.server.start import start_server


class StressServer:
    """A context manager; `open` does the work. Nothing but its own processes is ever harmed."""

    def __init__(
        self, scenario: Scenario, spec: TritonSettings, *, base: Path, logs: Path, cache: Path
    ) -> None:
        self._scenario, self._spec, self._stack = scenario, spec, contextlib.ExitStack()
        self._limited = Limited()
        self._elsewhere: int | None = None
        self._folders = Folders(base, logs, cache, "stress")
        self.model: PreparedModel | None = None
        """As it is served, inputs and all; known after `open`."""
        self.parity: list[ParityRow] = []
        self.colocated: list[ServedModel] = []
        """Other models of the server, each with a worker of its own that makes its load."""
        self._served: Served | None = None
        self._server: TritonServer | None = None

    @property
    def batch(self) -> int:
        """Items in a request."""
        return self._scenario.load.batch_sizes[0]

    def open(self) -> None:
        """Prepare the model, start the server, load, and compare outputs once.

        All runtimes run in workers that have ended when this returns.
        """
        alone = self._scenario.model_copy(update={"backends": (self._spec,)})
        folders, measurement = self._folders, self._scenario.measurement
        prepared = prepare(alone, base=folders.base, logs=folders.logs, cache=folders.cache)
        served = ServedModel(
            self._spec, prepared_model(prepared, ""), self._scenario.model.parity, (self.batch,),
            measurement, folders, lambda: None, label=str(self._spec.name), limited=self._limited,
        )  # fmt: skip
        self._stack.enter_context(self._limited)
        self._limited.enforce(self._spec, gpu_place(self._spec), worker_env(folders.base))
        others = self._spec.colocated
        self._served = found = served.launch(Sharing(DEFAULT_CONFIG, None) if others else None)
        self._stack.callback(found.release)
        self._server = found.server
        self._open_colocated(prepared)
        with WorkerProcess(folders.log(), env=worker_env(folders.base)) as worker:
            served.worker = worker
            self.model = prepared_model(prepared, "").model
            if self.model.source.get("triton"):
                there = worker.ask(
                    DescribeModel(self._spec, found.address),
                    deadline=measurement.load_timeout,
                )  # fmt: skip
                self.model = replace(
                    self.model, inputs=self.model.inputs or there.inputs, outputs=there.outputs,
                    max_batch_size=there.max_batch_size,
                )  # fmt: skip
            served.load(self.batch, lambda _: None)
            self.parity[:0] = served.compare([self.batch], lambda _: None)
        if url := self._spec.server.url:
            self._elsewhere = server_pid(str(url))  # once: it asks about every socket here

    def _open_colocated(self, prepared: Prepared) -> None:
        """Load the other models, and compare the outputs of each once."""
        for other in self._spec.colocated:
            made = prepared_model(prepared, f"{self._spec.name}/{other.name}")
            model = ServedModel(
                self._spec.alone(other), made, other.spec.parity, (other.load.batch_size,),
                self._scenario.measurement,
                self._folders, lambda: None, other, f"{self._spec.name}+{other.name}",
                self._limited,
            )  # fmt: skip
            served = model.launch(Sharing(DEFAULT_CONFIG, self._server))
            self._stack.callback(served.release)
            log = self._folders.log(f"-colocated-{other.name}")
            worker = WorkerProcess(log, env=worker_env(self._folders.base))
            self._stack.callback(worker.kill)
            model.worker = worker
            model.load(other.load.batch_size, lambda _: None)
            self.parity += model.compare([other.load.batch_size], lambda _: None)
            self.colocated.append(model)

    def begin_others(self, longest: float) -> None:
        """Put each co-located model under its load, which goes on for `longest` s at most."""
        seed = self._scenario.measurement.seed
        for index, model in enumerate(self.colocated):
            assert model.colocated is not None
            load = model.colocated.load
            model.start(load.batch_size, plan_colocated(load, seed, 0, index, longest))

    def end_others(self, folder: Path) -> Iterator[tuple[str, Samples | HarnessError]]:
        """End those loads: what each model was asked, or why that is not known."""
        for model in self.colocated:
            path = folder / f"{model.name}.npz"
            try:
                model.stop(path)
                yield model.name, Samples.load(path)
            except HarnessError as error:
                yield model.name, error

    @property
    def address(self) -> ServerAddress:
        """Where it is."""
        assert self._served is not None, "open() comes first"
        return self._served.address

    @property
    def pid(self) -> int | None:
        """Of the server, where it can be seen here."""
        if self._server is not None:
            return self._server.pid if self._server.visible else None
        return self._elsewhere

    def inputs(self) -> Sequence[Tensors]:
        """The tensors of every distinct request."""
        assert self.model is not None, "open() comes first"
        count = self._scenario.measurement.distinct_inputs
        return [make_inputs(self.model, self.batch, variant) for variant in range(count)]

    # -- harm -----------------------------------------------------------------------------------

    def _ours(self) -> TritonServer:
        """The server, if it is a descendant of this process. Raises ServerError."""
        server = self._server
        parents: list[int] = []
        if server is not None:
            with contextlib.suppress(psutil.Error):
                parents = [p.pid for p in psutil.Process(server.pid).parents()]
        if server is None or os.getpid() not in parents:
            raise ServerError("only a server that the harness started itself is harmed")
        return server

    def kill(self) -> None:
        """SIGKILL the server; its guard ends what it left behind."""
        os.kill(self._ours().pid, signal.SIGKILL)

    def stand_still(self, still: bool) -> None:
        """Stop the server where it is, or let it go on."""
        os.kill(self._ours().pid, signal.SIGSTOP if still else signal.SIGCONT)

    def restart(self) -> None:
        """Start a server that was killed again: same ports, same model. Raises ServerError."""
        assert self._server is not None
        assert self._served is not None
        old, served = self._server, self._served
        old.stop()
        keys = {"http_port": old.http, "grpc_port": old.grpc, "metrics_port": old.metrics}
        ports = {key: int(address.rpartition(":")[2]) for key, address in keys.items()}
        settings = self._spec.server.model_copy(update=ports)
        assert served.directory is not None
        new = start_server(
            self._spec.model_copy(update={"server": settings}), served.directory.parent,
            base=self._folders.base, log=self._folders.log("-server"),
            env=self._spec.variables, prepared=bool(served.config),
            cache=self._folders.cache, prefix=self._limited.prefix,
        )  # fmt: skip
        self._server = new
        self.reload()

    def unload(self) -> None:
        """Unload the model. Raises ServerError."""
        self._ours().unload(self.address.name)

    def reload(self) -> None:
        """Load it again. Raises ServerError."""
        assert self._server is not None
        timeout = self._scenario.measurement.load_timeout
        for name in (*self._spec.composing, self.address.name):
            self._server.load(name, timeout=timeout)

    def close(self) -> None:
        """Stop the server, if it is ours."""
        if self._server is not None:
            self._server.stop()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
