"""A model that Triton has already: asked of the server, which is started for a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, ServerError, UsageError
from harness.init import found as of
from harness.init.found import Found
from harness.models.batch import read_batch
from harness.scenario.writing import scenario_name
from harness.system.network import split_address
from harness.system.scratch import temporary_folder
from harness.triton.client.url import ServerUrl
from harness.triton.counters.scrape import Scraper
from harness.triton.metadata import Description
from harness.triton.repository.able import split_models

Choose = Callable[[str, Sequence[str]], str]
"""Asks which of several is meant; raises UsageError where nobody can be asked."""


@dataclass(frozen=True, slots=True)
class Written:
    """How the scenario says what `ServerUrl` was made from: with names of variables."""

    headers: Sequence[str] = ()
    ca: str = ""
    verify: bool = True

    def server(self, url: ServerUrl) -> dict[str, object]:
        """The `server` of a backend."""
        made: dict[str, object] = {"url": url.address}
        if url.access.tls is not None:
            tls = {"ca": self.ca} if self.ca else {} if self.verify else {"verify": False}
            made["tls"] = tls
        if self.headers:
            pairs = (header.partition(":") for header in self.headers)
            made["headers"] = {name.strip(): value.strip() for name, _, value in pairs}
        return made


def examine_server(url: ServerUrl, written: Written, model: str, choose: Choose) -> Found:
    """A model on a server that runs. Raises ServerError, UsageError for one that it has not."""
    with url.connect() as connection:
        ready = connection.ready()
    if not ready:
        raise ServerError(f"{url.text} has no model ready", fix="load one, or give its repository")
    name = _chosen(model, ready, url.text, choose)
    with url.connect(name) as connection:
        description = connection.describe()
    server = written.server(url)
    if url.metrics is not None and Scraper(url.metrics).page() is not None:
        server["metrics_url"] = url.metrics
    entry = {"kind": "triton", "protocol": url.protocol, "server": server}
    return _found(description, name, [entry])


def examine_repository(path: Path, written: str, model: str, choose: Choose) -> Found:
    """A model in a repository, as the embedded server describes it when it has loaded it.

    Raises ServerError where there is no server, or it can't load the model.
    """
    from harness.system.environment import worker_env
    from harness.triton.server.install import find
    from harness.triton.server.process import TritonServer

    able, unable = split_models(path)
    if not able:
        whys = "; ".join(f"{name}: {why}" for name, why in unable.items())
        raise UsageError(
            f"{path} has no model that the embedded server can run{whys and ': ' + whys}",
            fix="give the URL of a server that serves it",
        )
    if model in unable:
        raise UsageError(f"{model} in {path}: {unable[model]}")
    name = _chosen(model, able, str(path), choose)
    env = worker_env(Path.cwd())
    with (
        temporary_folder() as folder,
        TritonServer.start(find(), path, log=folder / "triton.log", env=env) as server,
    ):
        server.load(name)
        with ServerUrl("http", *split_address(server.http)).connect(name) as connection:
            description = connection.describe()
    entries = [
        {"kind": "triton", "protocol": protocol, "server": {"repository": written}}
        for protocol in ("http", "grpc")
    ]
    return _found(description, name, entries)


def _chosen(model: str, there: Sequence[str], where: str, choose: Choose) -> str:
    if model and model not in there:
        raise UsageError(f"{where} has no model '{model}'; it has {', '.join(there)}")
    if model or len(there) == 1:
        return model or there[0]
    return choose(f"{where} has several models", there)


def _found(said: Description, name: str, servers: Sequence[Mapping[str, object]]) -> Found:
    before = tuple(i for i in said.signature.inputs if i.name not in said.optional)
    inputs, notes = before, list(_notes(said))
    if not said.max_batch_size:
        try:
            reading = read_batch(name, before, said.signature.outputs, None, {})
        except HarnessError as error:
            notes.append(error.message)
        else:
            inputs = reading.inputs
            notes += [reading.words] if reading.guessed else []
    specs = of.usable(inputs)
    return Found(
        "triton", {"triton": name}, scenario_name(name), tuple(of.holding(s) for s in specs),
        of.sizes(specs), of.fixed_batch(before, inputs), said.max_batch_size or None,
        notes=tuple(notes), servers=servers,
    )  # fmt: skip


def _notes(said: Description) -> Iterator[str]:
    if said.max_batch_size:
        yield f"max_batch_size is {said.max_batch_size}"
    if said.optional:
        yield f"optional inputs are left out: {', '.join(sorted(said.optional))}"
    if said.steps:
        yield f"an ensemble of {', '.join(said.steps)}"
