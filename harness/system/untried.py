"""What had never run when this version was made: `doctor` and the report say it where it is used.

The records behind it are in docs/tried.md, made by benchmarks/tried.py; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

RAN_ON = ("NVIDIA H100", "NVIDIA H200")
"""GPUs that some of it ran on; names begin like that."""
NEVER = "had never run with the harness when this version was made: docs/tried.md"
TENSORRT, NATIVE = f"TensorRT 10 and 11 {NEVER}", f"Triton's own backend for this {NEVER}"
DOCKER, MIG = f"a server in a container {NEVER}", f"a MIG device {NEVER}"


def noted(text: str, never: str) -> str:
    """A text of `doctor` with what has never run behind it, if anything."""
    return f"{text}; {never}" if never else text


def of_flavor(name: str) -> str:
    """Of TensorRT's packages only TensorRT-RTX has run."""
    return TENSORRT if name == "tensorrt" else ""


def of_gpu(gpu: Mapping[str, object]) -> str:
    """What to add where this GPU is named, or nothing."""
    known = str(gpu.get("name")).startswith(RAN_ON)
    return MIG if gpu.get("mig") is True else "" if known else f"the {gpu.get('name')} {NEVER}"


def of_run(
    flavors: Collection[str], backends: Iterable[Mapping[str, object]],
    gpus: Iterable[Mapping[str, object]],
) -> Iterator[str]:  # fmt: skip
    """Of the flavours of TensorRT, the resolved backends and the GPUs of a run: a sentence each."""
    found = [*map(of_flavor, flavors), *map(of_gpu, gpus)]
    for server in (spec.get("server") for spec in backends):
        if isinstance(server, Mapping):
            docker, native = bool(server.get("docker")), server.get("native")
            found += [DOCKER] * docker + [NATIVE] * bool(docker if native is None else native)
    yield from (f"{text[0].upper()}{text[1:]}." for text in dict.fromkeys(found) if text)
