"""What a Triton server of a scenario needs, looked at now: an address, ports, Docker, backends."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from harness.errors import ModelRefusedError, SetupError
from harness.models import prepare
from harness.scenario.points import takes
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import DockerSettings, access_of
from harness.system.network import split_address
from harness.triton.client.backend import fetch
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import served_names
from harness.triton.metadata import Description
from harness.triton.repository.able import NO_BACKEND, why_not
from harness.triton.repository.change import CONFIG
from harness.triton.server.docker import Container
from harness.triton.server.ports import asked_in, check_free
from harness.triton.server.start import asked_ports, what_runs
from harness.validate.served import check_model

WAIT_S = 2.0
"""For each answer of a server that runs already."""
ENGINE_S = 10.0


def not_now(scenario: Scenario, spec: TritonSettings, base: Path) -> Iterator[str]:
    """Why a run would fail at this moment: a server at a url that does not answer as it must, a
    port that is taken.

    Raises what `check_model` does where the model of a server that runs does not fit the scenario.
    """
    server, name, batches = (
        spec.server,
        scenario.model.source.triton or "",
        scenario.load.batch_sizes,
    )
    model = prepare.check(scenario.model, batches, base=base)
    try:
        access = access_of(server)
    except SetupError:  # a variable, which is noted already
        return
    asks: list[Callable[[], object]] = [
        partial(check_free, {**asked_in(server.args), **asked_ports(server)}),
        *([partial(_telemetry, server.telemetry.url)] if server.telemetry else []),
    ]
    for one in served_names(spec, name) if server.url else ():
        version = str(spec.version or "") if one == name else ""
        asks.append(partial(fetch, spec.protocol, str(server.url), one, access, WAIT_S, version))
    for ask in asks:
        try:
            found = ask()
        except SetupError as error:
            loaded_then = server.load and type(error) is ModelRefusedError
            yield from () if loaded_then else [error.message]
        else:
            if isinstance(found, Description) and found.name == name:
                check_model(found, model, [b for b in batches if takes(spec, b)])


def _telemetry(address: str) -> None:
    """Raise SetupError where nobody listens."""
    try:
        socket.create_connection(split_address(address), WAIT_S).close()
    except OSError as error:
        raise SetupError(f"the telemetry at {address} can't be reached: {error}") from None


def not_here(spec: TritonSettings, base: Path, model: str) -> Iterator[str]:
    """What a server that the harness is to start has not got on this machine."""
    server = spec.server
    try:
        install = None if server.url else what_runs(spec, base)
    except SetupError as error:
        yield error.message
        return
    if isinstance(install, Container):
        yield from _engine(install.settings)
    elif install is not None and server.repository is not None and server.binary is None:
        for name in served_names(spec, model):
            config = base / server.repository / name / CONFIG
            if config.exists() and (why := why_not(config)):
                yield f"{name}: {why}"
    elif install is not None:
        wanted = "onnxruntime" if server.uses_native else "python"
        if spec.serve and not (install.backends / wanted).is_dir():
            yield NO_BACKEND.format(server.binary or "the embedded server", wanted)


def _engine(docker: DockerSettings) -> Iterator[str]:
    """Why no container can be started."""
    try:
        done = subprocess.run(
            [docker.command, "ps"], capture_output=True, text=True, timeout=ENGINE_S, check=False
        )
        if done.returncode:
            yield f"{docker.command} starts no container: {done.stderr.strip()}"
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"{docker.command} can't be run: {error}"
