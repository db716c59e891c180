"""A tritonserver on this machine, started for one run and never left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psutil

from harness.errors import ServerError
from harness.system import guard
from harness.system.paths import PACKAGE
from harness.triton.server import api
from harness.triton.server import stub_memory as shm
from harness.triton.server.docker import Container
from harness.triton.server.install import TritonInstall, library_path
from harness.triton.server.log import last_error, load_failure, port_in_use
from harness.triton.server.ports import (
    HOST,
    SERVICES,
    asked_in,
    check_free,
    choose,
    in_use,
    listening,
    switched_off,
)

ATTEMPTS = 5
"""Starts with fresh ports: between finding a free port and listening on it, another may take it."""
POLL_S = 0.01
STUB_GRACE_S = 1.0
"""A stub that ended is waited for this long: Triton collects one that was meant to end."""
FINALIZE_S = 10.0
"""What models of the user get to finalize in, before the server is killed."""
METRICS_MS = 250
"""How often the server reads its GPUs for /metrics; its own default, 2 s, is long for a window."""
DYING_S = 0.5
"""How long after its first signs the end of a server may come."""
_ADDRESS = ("--http-address", "--grpc-address", "--metrics-address")


class TritonServer:
    """A running server; a context manager that stops it. Made by `start`."""

    def __init__(
        self, process: guard.GuardedProcess, chosen: Mapping[str, int], log: Path, offset: int,
        prefix: str, grace: float, off: Collection[str] = (),
        find_pid: Callable[[], int | None] | None = None,
    ) -> None:  # fmt: skip
        self._process, self._log, self._offset = process, log, offset
        self._find_pid, self._pid = find_pid, process.child_pid
        self.visible = True
        """Whether its processes can be seen here: not those of a container on another machine."""
        self._prefix, self._grace, self._stopped = prefix, grace, False
        self._wanted = {port for service, port in chosen.items() if service not in off}
        self.http, self.grpc, self.metrics = (f"{HOST}:{chosen[s]}" for s in SERVICES)
        self._stubs: set[int] = set()
        self._stubs_of: dict[str, set[int]] = {}
        self._leaving: set[int] = set()
        """Python processes of models that were unloaded: their end is no loss."""
        self.start_seconds = 0.0
        """From the first start to ready, set by `start`."""

    # -- starting -----------------------------------------------------------------------------

    @classmethod
    def start(
        cls, install: TritonInstall | Container, repository: Path, *, log: Path,
        args: Sequence[str] = (), env: Mapping[str, str] | None = None, timeout: float = 60.0,
        ports: Mapping[str, int] | None = None, prepared: bool = False,
    ) -> Self:  # fmt: skip
        """Start a server over `repository` and wait until it is ready; it has no model loaded.

        `install` is the installation that runs, or the container.
        `args` come after the harness's own; `env` is added to the environment; `ports` maps
        `http`, `grpc` and `metrics` to ports that are wanted. `prepared` says that the repository
        was written by `harness.triton.repository.write`: its configurations are complete, and its
        models have nothing to finalize, so the server starts and stops faster.
        Raises ServerError: a port in use, arguments the server refuses, no answer in time.
        """
        asked = {**asked_in(args), **(ports or {})}
        _check_args(args)
        check_free(asked)
        shm.remove_leftovers()
        began = time.monotonic()
        for _ in range(ATTEMPTS):
            server = cls._spawn(
                install, repository, choose(asked), log, args, env or {}, prepared
            )  # fmt: skip
            with contextlib.ExitStack() as stack:
                stack.callback(server.stop)
                taken = server._wait_ready(began + timeout)
                if taken is None:
                    stack.pop_all()
                    server.start_seconds = time.monotonic() - began
                    return server
            for service, port in asked.items():
                if port == taken:
                    raise in_use(service, port)
        raise ServerError(f"Triton found its ports taken {ATTEMPTS} times in a row")

    @classmethod
    def _spawn(
        cls, install: TritonInstall | Container, repository: Path, chosen: Mapping[str, int],
        log: Path, args: Sequence[str], env: Mapping[str, str], prepared: bool,
    ) -> Self:  # fmt: skip
        prefix = shm.new_prefix()
        own = [*_options(prefix, prepared), *args]
        afterwards: Sequence[str] = ()
        find_pid = None
        if isinstance(install, Container):
            name = install.new_name()
            command = install.run(name, repository, chosen, list(env), own)
            variables = {**os.environ, **env}
            afterwards, find_pid = install.removal(name), partial(install.pid, name)
        else:
            command = [*_command(install, repository, chosen), *own]
            variables = environment(install, env)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            offset = output.tell()
            process = _spawn(command, output, variables, afterwards)
        grace = 0.0 if prepared else FINALIZE_S
        return cls(process, chosen, log, offset, prefix, grace, switched_off(args), find_pid)

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
            return self._wanted <= listening(self.pid) and api.is_ready(self.http)
        if not api.is_ready(self.http) or not self.alive():
            return False
        found = self._find_pid()
        self._pid, self.visible = found or self._pid, found is not None
        return True

    def version(self) -> str:
        """Of tritonserver, as it says itself, e.g. `2.51.0`."""
        return str(json.loads(api.call(self.http, "GET", "/v2")[1])["version"])

    # -- models -------------------------------------------------------------------------------

    def load(self, name: str, *, timeout: float = 60.0) -> float:
        """Load a model of the repository and wait until it is ready; the seconds it took.

        Raises ServerError with the server's own reason when it can't be loaded.
        """
        began, offset = time.monotonic(), len(self._text())
        self._leaving &= set(children(self.pid))  # others are gone, and their numbers free
        stubs, before = _DeadStubs(self.pid, self._leaving), self._running_stubs()
        try:
            status, body = api.call(
                self.http, "POST", f"/v2/repository/models/{quote(name)}/load", {},
                timeout=timeout, waiting=lambda: self._check_loading(stubs),
            )  # fmt: skip
        except TimeoutError:
            self._grace = 0.0  # it waits for the model and would not end before
            raise self._not_loaded(
                name, f"not in {timeout:g} s; {self._last(offset)}",
                fix="give it longer: server: {start_timeout: 300s}",
            ) from None  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            raise self._not_loaded(name, self._gone(error)) from None
        except _StubEndedError:
            self._grace = 0.0
            why = self._last(offset)
            raise self._not_loaded(name, f"its Python process ended; {why}") from None
        if status != 200:
            text = load_failure(api.error_text(body), self._text()[offset:])
            raise self._not_loaded(name, text)
        if not api.is_ready(self.http, name):
            raise self._not_loaded(name, f"it is not ready after loading; {self._last(offset)}")
        running = self._running_stubs()
        self._stubs_of[name] = running - before
        self._stubs = running - self._leaving
        return time.monotonic() - began

    def unload(self, name: str, *, timeout: float = 60.0, at_once: bool = False) -> None:
        """Unload a model and wait until its memory is free. Raises ServerError.

        `at_once` kills its Python processes, which Triton would take a second each to end: right
        for models that have nothing to finalize.
        """
        try:
            status, body = api.call(
                self.http, "POST", f"/v2/repository/models/{quote(name)}/unload", {},
                timeout=timeout,
            )  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            raise self._not_unloaded(name, self._gone(error)) from None
        if status != 200:
            raise self._not_unloaded(name, api.error_text(body))
        stubs = self._stubs_of.pop(name, set())
        self._stubs -= stubs  # they are meant to end
        self._leaving |= stubs
        if at_once:
            for pid in stubs:
                # it may be gone, and in a container it is another user's
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        self._await_unloaded(name, stubs, time.monotonic() + timeout)

    def _await_unloaded(self, name: str, stubs: set[int], deadline: float) -> None:
        """Triton answers before the model is gone: wait until it says so, or its processes are.

        Triton's own clearing up after a Python process sleeps for a second; it needs no waiting.
        """
        path = "/v2/repository/index"
        while time.monotonic() < deadline:
            if stubs and all(map(has_ended, stubs)):
                return
            try:
                status, body = api.call(self.http, "POST", path, {})
            except (OSError, http.client.HTTPException) as error:
                raise self._not_unloaded(name, self._gone(error)) from None
            if status != 200:
                raise self._not_unloaded(name, api.error_text(body))
            states = [m.get("state") for m in json.loads(body) if m.get("name") == name]
            if not {"READY", "UNLOADING"} & set(states):
                return
            time.sleep(POLL_S)
        raise ServerError(f"Triton did not unload '{name}' in time; {self._last()}")

    def _running_stubs(self) -> set[int]:
        return {pid for pid in children(self.pid) if not has_ended(pid)}

    def _check_loading(self, stubs: _DeadStubs) -> None:
        if stubs.found():
            raise _StubEndedError

    def _not_loaded(self, name: str, why: str, fix: str | None = None) -> ServerError:
        return ServerError(
            f"Triton could not load '{name}': {why.rstrip('. ;')}; log: {self._log}", fix=fix
        )

    def _not_unloaded(self, name: str, why: str) -> ServerError:
        return ServerError(f"Triton could not unload '{name}': {why}")

    def _gone(self, error: Exception) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):  # the connection breaks first
            self._process.wait(DYING_S)
        return f"the server {self.exit_reason()}" if not self.alive() else str(error)

    # -- life ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of tritonserver itself; the processes below it are the Python backend's stubs.

        For a container: of its first process, or of the client where that can't be seen.
        """
        return self._pid

    def alive(self) -> bool:
        """Whether the server and the Python processes of its loaded models run.

        Triton does not replace a Python process that died: its model answers with errors only.
        """
        return self._process.poll() is None and not self._lost()

    def _lost(self) -> list[int]:
        return [pid for pid in self._stubs if has_ended(pid)]

    def exit_reason(self) -> str:
        """How it ended, as in `the Triton server was killed by signal 9 (SIGKILL)`."""
        if self._stopped:
            return "was stopped"
        lost = self._lost()
        if lost:  # with the server, perhaps, whose end is reported a moment later
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(DYING_S)
        status = self._process.poll()
        if status is None:
            return f"lost a Python process of its model (pid {lost[0]})" if lost else "is running"
        if status < 0:
            return f"was killed by signal {-status} ({_signal_name(-status)})"
        return f"ended with exit code {status}; {self._last()}"

    def stop(self) -> None:
        """End the server and its stubs, and free their shared memory. May be called again."""
        if not self._stopped:
            self._process.terminate(0.0 if self._lost() else self._grace)
            self._stopped = True
            shm.remove(self._prefix)

    def __enter__(self) -> Self:
        return self

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


class _StubEndedError(Exception):
    """The process in which a model was being loaded has ended; Triton would wait for ever."""


class _DeadStubs:
    """Watches for children that ended and that Triton does not collect."""

    def __init__(self, pid: int, leaving: Collection[int]) -> None:
        self._pid, self._leaving = pid, leaving
        self._since: dict[int, float] = {}

    def found(self) -> bool:
        """Whether a child has been a zombie for longer than `STUB_GRACE_S`."""
        now = time.monotonic()
        ended = {pid for pid in children(self._pid) if has_ended(pid)} - set(self._leaving)
        self._since = {pid: self._since.get(pid, now) for pid in ended}
        return any(now - since > STUB_GRACE_S for since in self._since.values())


def children(pid: int) -> list[int]:
    """Pids of a process's children, those that ended and were not collected included."""
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie; one small read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"


def _check_args(args: Sequence[str]) -> None:
    for argument in args:
        if argument.partition("=")[0] in _ADDRESS:
            raise ServerError(
                f"server.args has {argument.partition('=')[0]}: a server that the harness starts "
                f"listens on {HOST} only",
                fix="leave it out, or start the server yourself and give server: {url: host:port}",
            )


def _spawn(
    command: Sequence[str], output: IO[bytes], env: Mapping[str, str], afterwards: Sequence[str]
) -> guard.GuardedProcess:
    try:
        return guard.spawn(command, stdout=output, stderr=output, env=env, afterwards=afterwards)
    except OSError as error:
        raise ServerError(
            f"{command[0]} can't be run: {error.strerror}",
            fix="install Docker, or give the program in server.docker.command"
            if afterwards else "check server.binary",
        ) from None  # fmt: skip


def _command(install: TritonInstall, repository: Path, chosen: Mapping[str, int]) -> list[str]:
    command = [
        str(install.binary),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={install.backends}",
    ]
    for service in SERVICES:
        command += [f"--{service}-address={HOST}", f"--{service}-port={chosen[service]}"]
    return command


def _options(prefix: str, prepared: bool) -> list[str]:
    """What every server is told, wherever it runs."""
    options = [
        "--model-control-mode=explicit",
        f"--metrics-interval-ms={METRICS_MS}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]
    return [*options, "--disable-auto-complete-config"] if prepared else options


def environment(install: TritonInstall, extra: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: this one, with what makes a stub run in this Python.

    The stub takes its packages from the first `python3` on PATH, so this interpreter's folder
    comes first; PYTHONPATH lets models import the harness. `extra` wins, but for PATH,
    LD_LIBRARY_PATH and PYTHONPATH: there it comes behind what is set here.
    """
    inherited = {**os.environ, **extra}
    own = {
        "PATH": str(Path(sys.executable).parent),
        "LD_LIBRARY_PATH": library_path(install),
        "PYTHONPATH": str(PACKAGE.parent),
    }
    joined = {
        key: os.pathsep.join(filter(None, (value, inherited.get(key))))
        for key, value in own.items()
    }
    return {**inherited, **joined}
