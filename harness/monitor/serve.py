"""`harness triton serve`: the embedded server over a repository, until somebody stops it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from harness.errors import ServerError, UsageError
from harness.system.environment import worker_env
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.system.text import harness_command
from harness.triton.repository.able import split_models
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

LOAD_S = 600.0
POLL_S = 0.2


def serve(
    repository: Path, ports: Mapping[str, int], only: Collection[str], say: Callable[[str], None]
) -> None:
    """Start, load every model that can be loaded, and wait for Ctrl-C or SIGTERM.

    Raises UsageError when there is nothing to serve, ServerError when the server ends by itself.
    The server's log lies in the cache, until the next start with the same port.
    """
    models = _choose(repository, only, say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log = cache_directory() / f"triton-{ports['http']}-server.log"
    log.unlink(missing_ok=True)
    env = worker_env(Path.cwd())
    with (
        temporary_folder(),
        TritonServer.start(find(), repository, log=log, ports=ports, env=env) as server,
    ):
        loaded = _load(server, models, say)
        with contextlib.suppress(KeyboardInterrupt):
            say(f"Triton serves {', '.join(loaded)}: http {server.http}, grpc {server.grpc}, "
                f"metrics http://{server.metrics}/metrics; Ctrl-C stops it")  # fmt: skip
            _wait(server, log)


def _choose(repository: Path, only: Collection[str], say: Callable[[str], None]) -> list[str]:
    if not repository.is_dir():
        raise UsageError(f"{repository} is not a model repository: no such directory")
    able, unable = split_models(repository)
    if unknown := set(only) - {*able, *unable}:
        raise UsageError(f"{repository} has no model {', '.join(sorted(unknown))}")
    for name, reason in unable.items():
        if not only or name in only:
            say(f"left out: {name}: {reason}")
    models = [name for name in able if not only or name in only]
    if not models:
        raise UsageError(
            f"{repository} holds no model that the embedded server can run",
            fix=harness_command("prepare", "--repository", repository),
        )
    return models


def _load(server: TritonServer, models: list[str], say: Callable[[str], None]) -> list[str]:
    """The models that could be loaded; raises the last reason when none could."""
    loaded, reason = [], None
    for name in models:
        try:
            seconds = server.load(name, timeout=LOAD_S)
        except ServerError as error:
            say(f"left out: {error.message}")
            reason = error
        else:
            say(f"loaded: {name} in {seconds:.2f} s")
            loaded.append(name)
    if not loaded and reason is not None:
        raise reason
    return loaded


def _wait(server: TritonServer, log: Path) -> None:
    while server.alive():
        time.sleep(POLL_S)
    raise ServerError(f"the Triton server {server.exit_reason()}; log: {log}")
