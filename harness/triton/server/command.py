"""What is run to start a tritonserver: the command line, its environment, what to do at the end."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from harness.errors import ServerError
from harness.system import guard
from harness.system.environment import QUIET
from harness.system.paths import PACKAGE
from harness.triton.server import stub_memory as shm
from harness.triton.server.docker import Container
from harness.triton.server.install import TritonInstall, library_path
from harness.triton.server.ports import HOST, SERVICES

METRICS_MS = 250
"""How often the server reads its GPUs for /metrics; its own default, 2 s, is long for a window."""
OWN_OPTIONS = (
    *(f"--{service}-address" for service in SERVICES), "--reuse-http-port", "--reuse-grpc-port",
    "--allow-sagemaker", "--sagemaker-port", "--sagemaker-safe-port-range", "--allow-vertex-ai",
    "--vertex-ai-port", "--model-repository", "--model-store", "--model-control-mode",
    "--backend-directory", "--repoagent-directory", "--cache-directory",
)  # fmt: skip
"""What opens a server, or what it runs, is not the user's to give."""
_READ_OPTIONS = tuple(f"--{name}" for s in SERVICES for name in (f"{s}-port", f"allow-{s}"))
"""What the harness reads in the arguments."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, ready to run under the guard."""

    argv: Sequence[str]
    env: Mapping[str, str]
    afterwards: Sequence[str]
    """Removes the container and the shared memory, whatever ended the server or the harness."""
    find_pid: Callable[[], int | None] | None = None
    """For a container: the pid of the server, as this machine counts."""
    trace: Path | None = None
    """The file of its trace, which begins switched off; None where it has none."""
    cwd: Path | None = None
    """Where it works; the Python backend's stubs look there first for what they import."""

    def spawn(self, output: IO[bytes]) -> guard.GuardedProcess:
        """Start it. Raises ServerError."""
        try:
            return guard.spawn(
                self.argv, stdout=output, stderr=output, env=self.env, cwd=self.cwd,
                afterwards=self.afterwards,
            )  # fmt: skip
        except OSError as error:
            raise ServerError(
                f"{self.argv[0]} can't be run: {error.strerror}",
                fix="install Docker, or give the program in server.docker.command"
                if self.find_pid else "check server.binary",
            ) from None  # fmt: skip


def command(
    install: TritonInstall | Container, repository: Path, ports: Mapping[str, int], prefix: str, *,
    args: Sequence[str], env: Mapping[str, str], prepared: bool, before: Sequence[str] = (),
    log: Path | None = None,
) -> Command:  # fmt: skip
    """The command for a server over `repository`: see `TritonServer.start`.

    `prefix` begins the names of the Python backend's shared memory. With a `log`, the embedded
    server writes a trace beside it, and begins with that off; what other versions take is not
    known.
    """
    options = [
        "--model-control-mode=explicit", f"--metrics-interval-ms={METRICS_MS}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        *(["--disable-auto-complete-config"] if prepared else []), *args,
    ]  # fmt: skip
    env = {**QUIET, **env}  # a container inherits nothing
    repository = _plain(repository.resolve())
    if isinstance(install, Container):
        name = install.new_name()
        argv = install.run(name, repository, ports, list(env), options)
        find_pid = partial(install.pid, name)
        afterwards = shm.removal(prefix, install.removal(name))
        return Command(argv, {**os.environ, **env}, afterwards, find_pid)
    own = [
        str(install.binary.absolute()), f"--model-repository={repository}",
        f"--backend-directory={_plain(install.backends.absolute())}",
        f"--cache-directory={install.caches.absolute()}",
        *(f"--{s}-{what}" for s in SERVICES for what in (f"address={HOST}", f"port={ports[s]}")),
    ]  # fmt: skip
    trace = None
    if log is not None and install.version and "trace" not in str(args):
        trace = log.with_name(f"{log.name}-trace").resolve()
        own += [f"--trace-config=triton,file={trace}", "--trace-config=level=OFF"]
    return Command(
        [*before, *own, *map(_absolute, options)], environment(install, env), shm.removal(prefix),
        trace=trace, cwd=install.backends.absolute(),
    )  # fmt: skip


def _plain(path: Path) -> Path:
    """The path, or where a shell would take it apart a link to it: Triton's Python backend starts
    its stubs by `bash -c`, and quotes nothing.
    """
    if shlex.quote(str(path)) == str(path):
        return path
    link = Path(tempfile.mkdtemp(prefix="harness-"), "link")
    link.symlink_to(path)
    return link


def _absolute(option: str) -> str:
    """An option that names a file of this working directory, which is not the server's."""
    name, equals, value = option.partition("=")
    here = Path(value)
    ours = equals and value and (name == "--log-file" or here.is_file()) and not here.is_absolute()
    return f"{name}={here.absolute()}" if ours else option


def check_args(args: Sequence[str]) -> None:
    """Raise ServerError for arguments that are not the user's to give."""
    for name in (argument.partition("=")[0] for argument in args):
        whole = [o for o in (*OWN_OPTIONS, *_READ_OPTIONS) if o.startswith(name) and len(name) > 2]
        if any(option in OWN_OPTIONS for option in whole):
            raise ServerError(
                f"server.args has {name}: a server that the harness starts listens on {HOST} only, "
                "and has the models and folders that the scenario names",
                fix="leave it out, or start the server yourself and give server: {url: host:port}",
            )
        if whole and name not in whole:  # tritonserver takes what is short for one option
            raise ServerError(f"server.args has {name}: write it out, {' or '.join(whole)}")


def environment(install: TritonInstall, extra: Mapping[str, str]) -> dict[str, str]:
    """The server's environment: this one, with what makes a stub run in this Python.

    The stub takes its packages from the first `python3` on PATH, so this interpreter's folder
    comes first; PYTHONPATH, which `install.PATHS` has it read, lets models import the harness.
    `extra` wins, but for PATH, LD_LIBRARY_PATH and PYTHONPATH: there it comes behind what is set
    here.
    """
    inherited = {**os.environ, **extra}
    inherited.pop("AIP_MODE", None)  # with it, Triton opens a port for Vertex AI
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
