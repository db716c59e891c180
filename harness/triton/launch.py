"""The server a Triton backend asks for: embedded with our model, over a repository, or by URL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.backends.base import ServerAddress
from harness.errors import ServerError
from harness.models.tensors import PreparedModel
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.files import require_regular_below
from harness.triton.client.errors import no_model
from harness.triton.client.settings import TritonSettings
from harness.triton.repository import change
from harness.triton.server.ports import switched_off
from harness.triton.server.process import TritonServer


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where the model is served; `server` is None when it is not ours to stop."""

    address: ServerAddress
    server: TritonServer | None
    config: str = ""
    """The config.pbtxt that the harness wrote; empty for models that were already there."""
    engine: Mapping[str, object] = field(default_factory=dict)
    """What an instance said about the TensorRT engine it loaded."""
    directory: Path | None = None
    """The model's directory; for a model in the user's repository, theirs where it is not changed.
    """
    notes: tuple[str, ...] = ()
    """What was served differently than it was asked for."""
    load_seconds: float | None = None
    """From the load request to the model being ready, where it was the harness that asked."""
    release: Callable[[], None] = nothing
    """What is to be done at the end with a server that is not ours: unload the model."""

    @property
    def engine_bytes(self) -> int | None:
        """The engine's size on disk, where it is known."""
        size = self.engine.get("engine_bytes")
        return size if isinstance(size, int) else None


@dataclass(frozen=True, slots=True)
class Sharing:
    """One of several configs of a backend that are served one after another by one server."""

    config: str
    server: TritonServer | None
    """The server that runs already; None for the first."""


def launch(
    spec: TritonSettings, model: PreparedModel, *, max_batch_size: int, base: Path, log: Path,
    repository: Path, cache: Path | None = None, load_timeout: float = 180.0,
    sharing: Sharing | None = None, before_load: Callable[[TritonServer], None] = lambda _: None,
    prefix: Sequence[str] = (),
) -> Served:  # fmt: skip
    """Start (or find) the server and load the model; `spec` holds no lists. Raises ServerError.

    A model, with an engine built into `cache`, may take `load_timeout` seconds. A server given in
    `sharing` goes on when the model can't be loaded. `before_load` is told of ours, whose command
    begins with `prefix`.
    """
    name = str(model.source.get("triton") or model.name)
    if spec.server.url is not None:
        return _elsewhere(spec, spec.server.url, name, load_timeout)
    from harness.triton.server.start import start_server

    config = sharing.config if sharing is not None else DEFAULT_CONFIG
    if spec.server.repository is None:
        served = change.served_name(name, config)
        written, prepared = _write(repository, model, spec, max_batch_size, cache, served), True
    else:
        written = _vary(repository, name, spec, base, None if sharing is None else config)
        prepared = sharing is not None and _plain(spec, base, name)
    running = None if sharing is None else sharing.server
    server = running or start_server(
        spec, written.repository, base=base, log=log, env=spec.variables, prepared=prepared,
        cache=cache, prefix=prefix,
    )  # fmt: skip
    try:
        before_load(server)
        seconds, engine = _load(server, spec, written, load_timeout, alone=running is None)
    except BaseException:
        if running is None:
            server.stop()
        raise
    return Served(
        _address(spec, server, written.name), server, written.config, engine, written.directory,
        written.notes, seconds,
    )  # fmt: skip


def _address(spec: TritonSettings, server: TritonServer, name: str) -> ServerAddress:
    metrics = None if "metrics" in switched_off(spec.server.args) else server.metrics
    return ServerAddress(server.http, server.grpc, name, metrics, server.trace)


@dataclass(frozen=True, slots=True)
class _Written:
    """A repository that is ready to be served, and the model's place in it."""

    repository: Path
    name: str
    changed: bool = True
    """Whether the harness wrote the model's directory."""
    notes: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        return self.repository / self.name

    @property
    def config(self) -> str:
        """The text of its configuration where the harness wrote that."""
        return (self.directory / change.CONFIG).read_text(encoding="utf-8") if self.changed else ""


def _load(
    server: TritonServer, spec: TritonSettings, written: _Written, load_timeout: float, *,
    alone: bool,
) -> tuple[float, Mapping[str, object]]:  # fmt: skip
    """Load the model and, on a server that is its own, what it is made of; the seconds that took,
    and facts of its engine.
    """
    models = [*(spec.composing if alone else ()), written.name]
    seconds = sum(server.load(name, timeout=load_timeout) for name in models)
    if spec.serve != "tensorrt":
        return seconds, {}
    from harness.triton.repository.engine import check_engine

    return seconds, check_engine(written.directory)


def _elsewhere(spec: TritonSettings, url: str, name: str, load_timeout: float) -> Served:
    """A server that is not ours: what it needs is there, and the model is loaded if asked for."""
    from harness.scenario.spec.server import access_of

    access_of(spec.server)  # a variable that is not set is said now
    release, seconds = nothing, None
    if spec.server.load:
        from harness.triton.client.control import load_remote

        began = time.monotonic()
        release = load_remote(spec, name, load_timeout)
        seconds = time.monotonic() - began
    http, grpc = (url, None) if spec.protocol == "http" else (None, url)
    address = ServerAddress(http, grpc, name, spec.server.metrics_url)
    return Served(address, None, load_seconds=seconds, release=release)


def _write(
    repository: Path, model: PreparedModel, spec: TritonSettings, largest: int, cache: Path | None,
    name: str,
) -> _Written:  # fmt: skip
    """Put the prepared model into the harness's repository, as `spec` wants it served."""
    from harness.triton.repository.native import write_native
    from harness.triton.repository.write import write_model

    repository.mkdir(parents=True, exist_ok=True)
    largest = spec.max_batch or largest
    if spec.server.uses_native:
        file = model.file(*spec.formats)
        write_native(repository, model, spec, largest, name=name, file=file)
    else:
        write_model(repository, model, spec, largest, cache, name)
    return _Written(repository, name)


def _plain(spec: TritonSettings, base: Path, model: str) -> bool:
    """Whether a server over a user's models may do without what only some models need: Triton's
    completing of the configuration, which takes a second a load, and its waiting at the end.
    """
    repository = base / str(spec.server.repository)
    names = served_names(spec, model)
    return not spec.composing and all(change.is_plain(repository / name) for name in names)


def served_names(spec: TritonSettings, model: str) -> list[str]:
    """The models of a repository that are loaded, as they are called there."""
    others = (other.spec for other in spec.colocated)
    colocated = (getattr(other.source, "triton", None) or other.name for other in others)
    return [model, *colocated, *spec.composing]


def find_models(repository: Path, spec: TritonSettings, model: str) -> None:
    """Raise ServerError where there is no such repository, UnknownModelError where it lacks one of
    the models that are loaded, what `require_regular_below` does for a file that never ends.
    """
    if not repository.is_dir():
        raise ServerError(f"{repository} is not a model repository: no such directory")
    for name in served_names(spec, model):
        if not (repository / name).is_dir():
            there = sorted(path.name for path in repository.iterdir() if path.is_dir())
            raise no_model(f"the repository {repository}", name, there)
        require_regular_below(repository / name)  # or Triton would wait for a pipe, without an end


def _vary(
    output: Path, name: str, spec: TritonSettings, base: Path, config: str | None
) -> _Written:
    """A model of the user's repository as `spec` wants it served.

    Where nothing is to be changed, that is the user's own repository; else `output`, where the
    changed model lies beside links to all the others. `config` is None for a server that it does
    not share.
    """
    users = base / str(spec.server.repository)
    find_models(users, spec, name)
    if config is None and not spec.changes_model:
        return _Written(users, name, changed=False)
    change.link_models(output, users)
    config = config or DEFAULT_CONFIG
    if not spec.changes_model and config == DEFAULT_CONFIG:
        return _Written(output, name, changed=False)
    changed = change.served_name(name, config)
    notes = change.write_variant(output, users / name, changed, spec)
    return _Written(output, changed, notes=tuple(notes))
