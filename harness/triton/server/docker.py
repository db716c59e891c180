"""A tritonserver in a container: the `docker run` command line, and what to do when it is over.

The client runs in the foreground under a guard, so the server's log is its output and its exit
code is the server's. The engine would not notice if the client were killed: therefore the guard
removes the container, by its name, whatever ends the client.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.scenario.spec.server import DockerSettings
from harness.triton.server.ports import HOST, SERVICES

INSPECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Container:
    """What `TritonServer.start` runs instead of an installation on this machine."""

    settings: DockerSettings
    base: Path
    """Where the HOST part of a mount starts from, if it begins with a dot."""
    gpus: str | None = None
    """For `--gpus`, unless the settings say it."""
    folders: tuple[Path, ...] = ()
    """Mounted besides the repository, at the same path, and at the one that it is a link to: what
    the repository's links and models refer to.
    """
    written: bool = False
    """Whether the models write to these folders, as TensorRT's do that build their engines."""

    def new_name(self) -> str:
        """A name that no other container has."""
        return f"harness-triton-{os.getpid()}-{secrets.token_hex(4)}"

    def removal(self, name: str) -> list[str]:
        """The command that ends a container, whatever it is doing, and leaves nothing of it."""
        return [self.settings.command, "rm", "--force", "--volumes", name]

    def run(
        self, name: str, repository: Path, ports: Mapping[str, int], env: Sequence[str],
        server_args: Sequence[str],
    ) -> list[str]:  # fmt: skip
        """The whole command line.

        The repository has the same path inside. Values of the variables `env` come from the
        environment of the client, so that they show in no list of processes.
        """
        settings = self.settings
        command = [settings.command, "run", "--rm", "--name", name]
        if gpus := settings.gpus or self.gpus:
            command += ["--gpus", gpus]
        own_ipc = all(arg.partition("=")[0] != "--ipc" for arg in settings.args)
        if settings.shm_size is not None and own_ipc:
            command += ["--shm-size", str(settings.shm_size)]
        if settings.network is not None:
            command += ["--network", settings.network]
        if settings.network != "host":
            for port in ports.values():
                command += ["--publish", f"{HOST}:{port}:{port}"]
        targets = [repository]
        for folder in self.folders:
            targets += [folder.resolve(), Path(os.path.abspath(folder))]  # noqa: PTH100 - links stay
        for target in dict.fromkeys(targets):
            command += ["--mount", _bind(target, read_only=not self.written)]
        for mount in settings.mounts:
            command += ["--volume", _volume(mount, self.base)]
        for variable in env:
            command += ["--env", variable]
        inside = HOST if settings.network == "host" else "0.0.0.0"
        addresses = [
            word for s in SERVICES for word in (f"--{s}-address={inside}", f"--{s}-port={ports[s]}")
        ]
        return [
            *command, *settings.args, settings.image, "tritonserver",
            f"--model-repository={repository}", *addresses, *server_args,
        ]  # fmt: skip

    def pid(self, name: str) -> int | None:
        """Pid of the container's first process, as this machine counts; None if it can't be seen.

        An engine on another machine, or in a virtual one, tells a pid that means nothing here.
        """
        command = [self.settings.command, "inspect", "--format", "{{.State.Pid}}", name]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSPECT_S, check=False
            )
            pid = int(done.stdout)
            return pid if pid > 0 and _runs_triton(pid) else None
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None


def _runs_triton(pid: int) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return any(p.name() == "tritonserver" for p in (process, *process.children(recursive=True)))
    except psutil.Error:
        return False


def _bind(target: Path, *, read_only: bool) -> str:
    """A mount at the same path; the option is a line of CSV."""
    line = io.StringIO()
    fields = ["type=bind", f"source={target.resolve()}", f"target={target}"]
    csv.writer(line, lineterminator="").writerow([*fields, *(["readonly"] if read_only else [])])
    return line.getvalue()


def _volume(mount: str, base: Path) -> str:
    """The mount with a HOST that begins with `.` or `~` made absolute; a bare name is a volume."""
    host, _, rest = mount.partition(":")
    if host.startswith("."):
        host = str((base / host).resolve())
    elif host.startswith("~"):
        host = str(Path(host).expanduser())
    return f"{host}:{rest}"
