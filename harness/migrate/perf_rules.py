"""How options of perf_analyzer become `model` and `backends`; the table is in `perf_analyzer`.

A rule gets the command and the option as given. It puts keys into the draft and may say that this
one is not needed or refused; a bad value is a `BadValueError`.
"""

from __future__ import annotations

from harness.migrate import values
from harness.migrate.arguments import Given
from harness.migrate.command import Command, Rule
from harness.migrate.table import BadValueError, Said, done, not_needed, refused
from harness.scenario.writing import scenario_name
from harness.system.credentials import is_hidden, is_sensitive
from harness.system.text import harmless

KINDS = ("triton", "openai", "tfserving", "torchserve", "triton_c_api", "dynamic_grpc")


def protocol(command: Command, given: Given) -> None:
    """`-i`: any case."""
    command.protocol = values.word(given.value, ("http", "grpc"))
    command.put("backends.protocol", command.protocol, given)


def service_kind(command: Command, given: Given) -> Said | None:
    """Only Triton over a network can be called."""
    kind = values.word(given.value, KINDS)
    if kind == "triton":
        return None
    if kind == "triton_c_api" and command.value("model-repository"):
        return done("over HTTP or gRPC, as an application sees it, not inside the client's process")
    if kind == "triton_c_api":
        raise BadValueError("triton_c_api needs --model-repository, whose server is then started")
    raise BadValueError(f"a server of the kind {kind} can't be called; only triton can")


def model(command: Command, given: Given) -> None:
    """`-m`."""
    if not given.value:
        raise BadValueError("expected a model's name, found nothing")
    command.put("model.name", scenario_name(given.value), given)
    command.draft.put("model.source", {"triton": given.value})


def version(command: Command, given: Given) -> None:
    """`-x`."""
    command.put("backends.version", values.integer(given.value), given)


def url(command: Command, given: Given) -> Said | None:
    """`-u`: host:port, for HTTP also with its scheme."""
    scheme, mark, rest = given.value.partition("://")
    address = (rest if mark else scheme).rstrip("/")
    if mark and scheme not in ("http", "https", "grpc", "grpcs"):
        raise BadValueError(f"expected host:port, found a {scheme} address")
    if "@" in address:
        raise BadValueError("a password does not stand in a scenario; give host:port alone")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not host or "/" in address:
        raise BadValueError(f"expected host:port, found '{given.value}'")
    if not command.remote:
        return not_needed("the harness starts the server, on free ports")
    command.put("backends.server.url", address, given)
    if scheme in ("https", "grpcs"):
        command.put("backends.server.tls", _tls(command), given)
    return None


def repository(command: Command, given: Given) -> Said | None:
    """`--model-repository`: only for the C API, where no server runs."""
    if command.remote and command.value("service-kind").lower() != "triton_c_api":
        return not_needed("perf_analyzer reads it with --service-kind=triton_c_api only")
    command.draft.drop("backends.server.url")
    command.put("backends.server.repository", command.draft.relative(given.value), given)
    command.remote = False
    return None


def batch(command: Command, given: Given) -> None:
    """`-b`."""
    command.put("load.batch_sizes", [values.integer(given.value)], given)


# ----------------------------------------------------------------------------------------- inputs


def input_data(command: Command, given: Given) -> Said | None:
    """Random is the default; zeros and files need the inputs to be written out."""
    if given.value == "random":
        return not_needed("random data is the default")
    what = "data: zeros" if given.value == "zero" else "data: {files: [one.npy]}"
    why = "" if given.value == "zero" else "perf_analyzer's JSON and raw files are not read; "
    return refused(f"{why}write `model.inputs` with name, dtype, shape and `{what}`")


def shape(command: Command, given: Given) -> Said | None:
    """Sizes of the dynamic dimensions; the server names them INPUT_AXIS, the batch axis being 0."""
    name, colon, sizes = given.value.rpartition(":")
    if not colon or not name:
        raise BadValueError(f"expected name:1,2,3; found '{given.value}'")
    known = command.draft.get("model.dynamic")
    axes = {f"{name}_{axis}": values.integer(size)
            for axis, size in enumerate(sizes.split(","), 1)}  # fmt: skip
    command.put("model.dynamic", {**(known if isinstance(known, dict) else {}), **axes}, given)
    return done("axes are counted with the batch axis as 0; a model without it begins at 0: rename")


def shared_memory(command: Command, given: Given) -> Said | None:
    """`--shared-memory`."""
    kind = values.word(given.value, ("none", "system", "cuda"))
    if kind == "none":
        return not_needed("none is the default")
    io = "shared_memory" if kind == "system" else "cuda_shared_memory"
    command.put("backends.io", io, given)
    return None


def tensor_format(command: Command, given: Given) -> Said | None:
    """Binary, as here."""
    if values.word(given.value, ("binary", "json")) == "binary":
        return not_needed("binary is how tensors always travel")
    return refused("tensors travel in binary; JSON would measure its parser")


def compression(command: Command, given: Given) -> Said | None:
    """None, as here."""
    if values.word(given.value, ("none", "gzip", "deflate")) == "none":
        return not_needed("none is how it always is")
    return refused("requests and answers are not compressed")


def composing(command: Command, given: Given) -> Said | None:
    """Models that a BLS model calls, perhaps with versions."""
    found = values.words(given.value)
    names = [name.partition(":")[0] for name in found]
    command.put("backends.composing", names, given)
    return done("their versions are the server's choice") if names != found else None


# ----------------------------------------------------------------------------------------- server


def header(command: Command, given: Given) -> Said | None:
    """`-H Name:Value`; a secret becomes an environment variable."""
    name, colon, value = given.value.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not name:
        raise BadValueError("expected Header:Value")
    if not command.remote:
        return refused("headers go with a server that already runs")
    known = command.draft.get("backends.server.headers")
    secret = is_sensitive(name, value) and not is_hidden(value)
    variable = "".join(c if c.isalnum() else "_" for c in name).upper()
    kept = f"${{{variable}}}" if secret else harmless(value)
    headers = {**(known if isinstance(known, dict) else {}), name: kept}
    command.put("backends.server.headers", headers, given)
    return done(f"secrets don't stand in files: export {variable}") if secret else None


def _tls(command: Command) -> dict[str, object]:
    found = command.draft.get("backends.server.tls")
    return dict(found) if isinstance(found, dict) else {}


def tls(key: str, of: str) -> Rule:
    """The rule of a TLS option that `of` (http or grpc) reads: `key` of `server.tls`, a file."""

    def rule(command: Command, given: Given) -> Said | None:
        if not command.remote:
            return refused("TLS goes with a server that already runs")
        if command.protocol != of:
            return not_needed(f"perf_analyzer reads it with -i {of} only")
        found = _tls(command)
        if key == "verify":
            if values.integer(given.value, 0) == 0:
                found["verify"] = False
                found.pop("ca", None)
        elif key and not (key == "ca" and found.get("verify") is False):
            found[key] = command.draft.relative(given.value)
        command.put("backends.server.tls", found, given)
        return None

    return rule


def pem(command: Command, given: Given) -> Said | None:
    """PEM, as here."""
    if values.word(given.value, ("pem", "der")) == "pem":
        return not_needed("PEM is what is read")
    return refused("only PEM is read: `openssl x509 -inform der` converts a certificate")


def metrics_url(command: Command, given: Given) -> Said | None:
    """Where the server's metrics are."""
    if not command.remote:
        return not_needed("the harness starts the server and knows where its metrics are")
    command.put("backends.server.metrics_url", given.value, given)
    return None


def collect_metrics(command: Command, given: Given) -> Said | None:
    """At its default place, where none is written."""
    if command.remote and not command.given.get("metrics-url"):
        host = str(command.draft.get("backends.server.url") or "localhost:8000")
        address = f"{host.rpartition(':')[0]}:8002"
        if not command.value("url"):
            address = "localhost:8002"
        command.put("backends.server.metrics_url", address, given)
        return done("at the default port", "backends.server.metrics_url")
    return None


def trace(command: Command, given: Given) -> Said | None:
    """Triton's own traces."""
    if given.name == "trace-level" and given.value.upper() == "OFF":
        return not_needed("OFF is the default")
    return None
