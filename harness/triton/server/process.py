"""A tritonserver on this machine, started for one run and never left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

from harness.errors import ModelRefusedError, PortInUseError, ServerError, translate
from harness.system.child import describe_status
from harness.system.scratch import temporary_folder
from harness.triton.server import api
from harness.triton.server import ports as net
from harness.triton.server import stub_memory as shm
from harness.triton.server.command import Command, check_args, command
from harness.triton.server.docker import Container
from harness.triton.server.install import TritonInstall
from harness.triton.server.log import last_error, load_failure, port_in_use
from harness.triton.server.stubs import StubEndedError, Stubs, has_ended

ATTEMPTS = 5
"""Starts with fresh ports: between finding a free port and listening on it, another may take it."""
POLL_S = 0.01
FINALIZE_S = 10.0
"""What models of the user get to finalize in, before the server is killed."""
DYING_S = 0.5
"""How long after its first signs the end of a server may come."""


class TritonServer(contextlib.AbstractContextManager["TritonServer"]):
    """A running server; a context manager that stops it. Made by `start`."""

    def __init__(
        self, run: Command, chosen: Mapping[str, int], log: Path, prefix: str, grace: float,
        off: Collection[str] = (),
    ) -> None:  # fmt: skip
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log, self._offset = log, output.tell()
            self._process = run.spawn(output)
        self._find_pid, self._stubs = run.find_pid, Stubs(self._process.child_pid)
        self.visible = True
        """Whether its processes can be seen here: not those of a container on another machine."""
        self._prefix, self._grace, self._stopped, self.trace = prefix, grace, False, run.trace
        self._wanted = {port for service, port in chosen.items() if service not in off}
        self.http, self.grpc, self.metrics = (f"{net.HOST}:{chosen[s]}" for s in net.SERVICES)
        self.start_seconds = 0.0
        """From the first start to ready."""

    # -- starting -----------------------------------------------------------------------------

    @classmethod
    def start(
        cls, install: TritonInstall | Container, repository: Path, *, log: Path,
        args: Sequence[str] = (), env: Mapping[str, str] | None = None, timeout: float = 60.0,
        ports: Mapping[str, int] | None = None, prepared: bool = False, before: Sequence[str] = (),
        traced: bool = False,
    ) -> Self:  # fmt: skip
        """Start a server over `repository` and wait until it is ready; it has no model loaded.

        `install` is the installation that runs, or the container. `args` come after the harness's
        own, `before` before the command; `env` is added to the environment; `ports` maps `http`,
        `grpc` and `metrics` to ports that are wanted. `prepared` says that the repository was
        written by `harness.triton.repository.write`: its configurations are complete, and its
        models have nothing to finalize, so the server starts and stops faster. `traced`: the
        embedded server can be told to trace requests, of which it may die (docs/gap.md).
        Raises ServerError: a port in use, arguments the server refuses, no answer in time.
        """
        asked = {**net.asked_in(args), **(ports or {})}
        check_args(args)
        net.check_free(asked)
        shm.remove_leftovers()
        began = time.monotonic()
        for _ in range(ATTEMPTS):
            prefix, chosen = shm.new_prefix(), net.choose(asked)
            run = command(
                install, repository, chosen, prefix, args=args, env=env or {}, prepared=prepared,
                before=before, log=log if traced else None,
            )  # fmt: skip
            grace = 0.0 if prepared else FINALIZE_S
            server = cls(run, chosen, log, prefix, grace, net.switched_off(args))
            with contextlib.ExitStack() as stack:
                stack.callback(server.stop)
                taken = server._wait_ready(began + timeout)
                if taken is None:
                    server.check_loopback()
                    stack.pop_all()
                    server.start_seconds = time.monotonic() - began
                    return server
            for service in (s for s, port in asked.items() if port == taken):
                raise net.in_use(service, asked[service])
        raise PortInUseError(f"Triton found its ports taken {ATTEMPTS} times in a row")

    def _wait_ready(self, deadline: float) -> int | None:
        """Wait; the port that was taken when the server gave up for that, None when it is ready."""
        while not self._ready():
            if not self.alive():
                taken = port_in_use(self._text())
                if taken is not None:
                    return taken
                raise ServerError(f"the Triton server {self.exit_reason()}; log: {self._log}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"the Triton server was not ready in time; {self._last()}; log: {self._log}",
                    fix="give it longer: server: {start_timeout: 120s}",
                )
            time.sleep(POLL_S)
        return None

    def _ready(self) -> bool:
        """Whether every service listens, and is this server's: another may have our port.

        The engine keeps a container's ports for it, and refuses to start one whose port is taken.
        """
        if self._find_pid is None:
            listening = {port for _, port in net.listeners(self.pid)}
            return self._wanted <= listening and api.is_ready(self.http)
        if not api.is_ready(self.http) or not self.alive():
            return False
        found = self._find_pid()
        self._stubs.server, self.visible = found or self.pid, found is not None
        return True

    def check_loopback(self) -> None:
        """Raise ServerError where it listens to other machines; of a container, its engine does."""
        if self._find_pid is None:
            net.check_loopback(self.pid)

    def version(self) -> str:
        """Of tritonserver, as it says itself, e.g. `2.51.0`."""
        return str(json.loads(api.call(self.http, "GET", "/v2")[1])["version"])

    # -- models -------------------------------------------------------------------------------

    def load(self, name: str, *, timeout: float = 60.0) -> float:
        """Load a model; the seconds until it was ready.

        Raises ModelRefusedError with the server's reason, ServerError when the server ended.
        """
        began, offset = time.monotonic(), len(self._text())
        try:
            self._post(f"models/{quote(name)}/load", timeout, self._stubs.loading())
        except (TimeoutError, KeyboardInterrupt) as error:
            self._grace = 0.0  # it waits for the model and would not end before
            if isinstance(error, KeyboardInterrupt):
                raise
            why = f"not in {timeout:g} s; {self._last(offset)}"
            slow = "give it longer: measurement: {load_timeout: %gs}" % (2 * timeout)
            raise self._not_loaded(name, why, slow) from None
        except StubEndedError:
            self._grace = 0.0
            why = f"its Python process ended; {self._last(offset)}"
            raise self._not_loaded(name, why) from None
        except _RefusedError as error:
            why = load_failure(str(error), self._text()[offset:])
            raise self._not_loaded(name, why, translate(why).fix) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(self._not_loaded(name, self._gone(error)).message) from None
        if not api.is_ready(self.http, name):
            raise self._not_loaded(name, f"it is not ready after loading; {self._last(offset)}")
        self._stubs.loaded(name)
        self.check_loopback()
        return time.monotonic() - began

    def unload(self, name: str, *, timeout: float = 60.0, at_once: bool = False) -> None:
        """Unload a model and wait until its memory is free. Raises ServerError.

        `at_once` kills its Python processes, which Triton would take a second each to end: right
        for models that have nothing to finalize.
        """
        try:
            self._post(f"models/{quote(name)}/unload", timeout)
            stubs = self._stubs.unloaded(name, kill=at_once)
            unloaded = self._await_unloaded(name, stubs, time.monotonic() + timeout)
        except (_RefusedError, OSError, http.client.HTTPException) as error:
            why = error if isinstance(error, _RefusedError) else self._gone(error)
            raise ServerError(f"Triton could not unload '{name}': {why}") from None
        if not unloaded:
            raise ServerError(f"Triton did not unload '{name}' in time; {self._last()}")

    def _await_unloaded(self, name: str, stubs: set[int], deadline: float) -> bool:
        """Triton answers before the model is gone: wait until it says so, or its processes are.

        Triton's own clearing up after a Python process sleeps for a second; it needs no waiting.
        """
        while time.monotonic() < deadline:
            if stubs and all(map(has_ended, stubs)):
                return True
            models = json.loads(self._post("index"))
            states = {m.get("state") for m in models if m.get("name") == name}
            if not {"READY", "UNLOADING"} & states:
                return True
            time.sleep(POLL_S)
        return False

    def _post(
        self, path: str, timeout: float = 5.0, waiting: Callable[[], None] = lambda: None
    ) -> bytes:
        """Ask about the server's repository. Raises _RefusedError, and what `api.call` does."""
        path = f"/v2/repository/{path}"
        status, body = api.call(self.http, "POST", path, {}, timeout=timeout, waiting=waiting)
        if status != 200:
            raise _RefusedError(api.error_text(body))
        return body

    def _not_loaded(self, name: str, why: str, fix: str | None = None) -> ModelRefusedError:
        return ModelRefusedError(
            f"Triton could not load '{name}': {why.rstrip('. ;')}; log: {self._log}", fix=fix
        )

    def _gone(self, error: Exception) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):  # the connection breaks first
            self._process.wait(DYING_S)
        return f"the server {self.exit_reason()}" if not self.alive() else str(error)

    # -- life ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of tritonserver, above the Python backend's stubs; a container's first, if seen here."""
        return self._stubs.server

    def alive(self) -> bool:
        """Whether the server and the Python processes of its loaded models run, none stopped.

        Triton does not replace a Python process that died: its model answers with errors only.
        """
        return self._process.poll() is None and not self._stubs.trouble()

    def exit_reason(self) -> str:
        """How it ended, as in `the Triton server was killed by signal 9 (SIGKILL)`."""
        if self._stopped:
            return "was stopped"
        if trouble := self._stubs.trouble():  # the server's own end is reported a moment later
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(DYING_S)
        status = self._process.poll()
        if status is None:
            return trouble or "is running"
        if status < 0:
            return f"was killed by signal {-status} ({describe_status(status).split()[-1]})"
        return f"ended with exit code {status}; {self._last()}"

    def stop(self) -> None:
        """End the server and its stubs, and free their shared memory. May be called again."""
        if not self._stopped:
            self._process.terminate(0.0 if self._stubs.trouble() else self._grace)
            self._stopped = True
            shm.remove(self._prefix)

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- log ----------------------------------------------------------------------------------

    def _text(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._offset)
            return file.read().decode("utf-8", "replace")

    def _last(self, offset: int = 0) -> str:
        """The log's last words, as the end of a sentence."""
        words = last_error(self._text()[offset:])
        return f"its log ends: {words}" if words else "its log says nothing"


class _RefusedError(Exception):
    """The server's own words about what it would not do."""


def try_out(install: TritonInstall) -> tuple[str, float]:
    """Start the server once over an empty repository: its version, and the seconds to ready.

    Raises ServerError when it does not start.
    """
    with temporary_folder() as folder:
        (repository := folder / "repository").mkdir()
        with TritonServer.start(
            install, repository, log=folder / "triton.log", timeout=30, prepared=True
        ) as server:
            return server.version(), server.start_seconds
