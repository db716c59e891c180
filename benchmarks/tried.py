"""What was tried where: docs/tried.md, made from manifests, benchmarks and test logs.

    PYTHONPATH=. python benchmarks/tried.py                         writes the page anew
    PYTHONPATH=. python benchmarks/tried.py --record JUNIT.xml      adds a test log of this machine

Records are the runs in reports/ and tests/data/runs, every docs/benchmarks/*.json that names its
machine and packages (and may list subjects under `shows`), and docs/tried.json: logs of tests, and
what was tried by hand. Between the marks
`<!-- tried: … -->` of README.md, docs/tensorrt.md and docs/triton.md stands what no record shows.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE, STORE = ROOT / "docs" / "tried.md", ROOT / "docs" / "tried.json"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """Something that the harness says it can do, where it is described, and what stands for it."""

    name: str
    instead: str = ""
    pages: tuple[str, ...] = ()


SUBJECTS = {
    "torch/cpu": Subject("Eager PyTorch, CPU"),
    "torch/cuda": Subject("Eager PyTorch, CUDA"),
    "compile/cpu": Subject("torch.compile, CPU"),
    "compile/cuda": Subject("torch.compile, CUDA"),
    "onnxruntime/cpu": Subject("ONNX Runtime, CPU"),
    "onnxruntime/cuda": Subject("ONNX Runtime, CUDA"),
    "tensorrt-rtx": Subject("TensorRT-RTX"),
    "tensorrt-rtx/build": Subject("TensorRT-RTX, engines built without a GPU"),
    "prepare": Subject("`harness prepare`, an engine compared with the reference on its GPU"),
    "tensorrt": Subject(
        "full TensorRT 10 and 11", "only TensorRT-RTX has run, by the same code", ("tensorrt",)
    ),
    "graphs": Subject("CUDA graphs"),
    "triton/python/cpu": Subject("Triton 2.51 (embedded), Python backend, CPU"),
    "triton/python/cuda": Subject("Triton 2.51 (embedded), Python backend, GPU"),
    "triton/onnxruntime": Subject(
        "Triton's own ONNX Runtime backend",
        "its config.pbtxt is written, and checked by tests against a stand-in", ("triton",),
    ),
    "triton/tensorrt": Subject(
        "Triton's own TensorRT backend",
        "its repository is written (`harness prepare --repository`); no server here has loaded it",
        ("triton", "tensorrt"),
    ),
    "docker": Subject(
        "a Docker engine",
        "the embedded tritonserver behind a stand-in for the engine runs in tests", ("triton",),
    ),
    "cuda_shared_memory": Subject("Triton, CUDA shared memory"),
    "profile/cuda": Subject("`harness profile` on CUDA", "tests on traces that are made up"),
    "mps": Subject("GPU memory limits by CUDA MPS", "tests against stand-ins for its commands"),
    "mig": Subject("MIG devices", "names of devices are read from made-up answers of NVML"),
    "gpus": Subject("several GPUs at once (`--devices`)",
        "lanes of processors (`cpus:2`) run in tests",),
    "r615": Subject(
        "driver limits of r615 (`NVIDIA_GPU_MEMORY_LIMIT`)", "only files are written for it"
    ),
    "h100": Subject("NVIDIA H100"),
    "h200": Subject("NVIDIA H200"),
    "gpus/other": Subject("GPUs other than H100 and H200", "", ("tensorrt", "triton")),
}  # fmt: skip
TESTS = {
    "tests/gpu/test_torch.py": ("torch/cuda",),
    "tests/gpu/test_onnxruntime.py": ("onnxruntime/cuda",),
    "tests/gpu/test_tensorrt.py": ("tensorrt-rtx",),
    "tests/gpu/test_triton.py": ("triton/python/cuda",),
    "tests/gpu/test_triton_shared_memory.py": ("cuda_shared_memory",),
    "tests/gpu/test_profile.py": ("profile/cuda",),
    "tests/gpu/test_limits.py": ("mps",),
    "tests/integration/test_torch_compile.py": ("compile/cpu",),
    "tests/integration/test_scenarios.py": ("torch/cpu", "onnxruntime/cpu", "triton/python/cpu"),
    "tests/integration/test_tensorrt.py": ("tensorrt-rtx/build",),
    "tests/integration/test_triton_backends.py": ("triton/python/cpu",),
}
"""What a passed test of a file shows; the TensorRT of the GPU tests is that of the record."""
PACKAGES = {
    "torch": ("torch",), "compile": ("torch",), "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "tensorrt-rtx": ("tensorrt", "tensorrt-rtx-cu13", "tensorrt_rtx"),
    "profile": ("torch",),
}  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """A subject that ran: its version, on what, how and when; `source` is from the root."""

    subject: str
    version: str
    machine: str
    how: str
    date: str
    source: str


# ---------------------------------------------------------------------------------- the records


def machine_text(machine: Json) -> str:
    """The GPUs with their driver, else the CPU."""
    gpus = machine.get("gpus") or []
    if gpus:
        first = gpus[0]
        count = f"{len(gpus)} × " if len(gpus) > 1 else ""
        return f"{count}{first['name']}, driver {first['driver']}, CUDA {first['cuda']}"
    cpu = machine.get("cpu") or {}
    return f"CPU: {cpu.get('model')}, {cpu.get('usable')} cores"


def of_settings(settings: Json, details: Json) -> Iterator[tuple[str, str]]:
    """(subject, version) of one backend that was loaded."""
    kind = settings.get("kind")
    text = " ".join(str(settings.get(k) or "") for k in ("device", "provider"))
    place = "cuda" if "cuda" in text.lower() else "cpu"
    if kind == "torch":
        name = "compile" if settings.get("compile") else "torch"
        yield f"{name}/{place}", str(details.get("torch", ""))
    if kind == "onnxruntime":
        yield f"onnxruntime/{place}", str(details.get("onnxruntime", ""))
    if details.get("flavor") in ("tensorrt", "tensorrt-rtx"):
        yield str(details["flavor"]), str(details.get("tensorrt", ""))
    if settings.get("cuda_graphs") is True and details:
        yield "graphs", ""
    if kind == "triton":
        yield from _of_triton(settings, str(details.get("server_version") or ""), place)


def _of_triton(settings: Json, version: str, place: str) -> Iterator[tuple[str, str]]:
    server = settings.get("server") or {}
    docker, native = bool(server.get("docker")), server.get("native")
    if docker:
        yield "docker", version
    own = docker if native is None else native
    yield f"triton/{settings.get('serve')}" if own else f"triton/python/{place}", version
    if settings.get("io") == "cuda_shared_memory":
        yield "cuda_shared_memory", version


def of_gpus(machine: Json) -> Iterator[str]:
    """What a machine itself shows."""
    for gpu in machine.get("gpus") or []:
        name = str(gpu["name"])
        known = (key for key in ("H100", "H200") if key in name)
        yield next(known, "gpus/other").lower()
        if gpu.get("mig") is True:
            yield "mig"


def of_run(folder: Path) -> Iterator[Sighting]:
    """What a run directory shows: what was loaded in it, and its machine."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    specs = {s["name"]: s for s in manifest["scenario"]["backends"]}
    seen = {(subject, "") for subject in of_gpus(manifest["machine"])}
    for line in (folder / "journal.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        if event.get("event") == "loaded" and event["backend"] in specs:
            seen |= set(of_settings(specs[event["backend"]], event["details"]))
        if event.get("event") == "lane":
            seen.add(("gpus", ""))
    yield from _sightings(seen, manifest, "a run", manifest["created"], folder / "manifest.json")


def of_benchmark(path: Path) -> Iterator[Sighting]:
    """What the JSON of a benchmark shows that names its machine and its packages."""
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict) or not {"machine", "packages", "started"} <= set(data):
        return
    if data.get("device") == "cpu":  # a script that was tried, not a measurement
        return
    seen = {(subject, "") for subject in of_gpus(data["machine"])}
    if data.get("benchmark") == "lanes" and len(data["machine"]["gpus"]) > 1:
        seen.add(("gpus", ""))
    cases = data.get("cases") or {}
    for case in cases.values() if isinstance(cases, dict) else cases:
        if isinstance(case, dict):
            details = case.get("details") or {}
            if isinstance(details, dict):
                seen |= set(of_settings(case.get("settings") or {}, details))
            if isinstance(version := case.get("tensorrt"), str):  # TensorRT-RTX counts from 1
                seen.add(("tensorrt-rtx" if version.startswith("1.") else "tensorrt", version))
    seen |= {(subject, "") for subject in data.get("shows", ())}
    yield from _sightings(seen, data, "a benchmark", data["started"], path)


def of_tests(record: Json) -> Iterator[Sighting]:
    """What a test log shows, by the files in which something passed."""
    files = record.get("files") or log_files((ROOT / record["log"]).read_text("utf-8"))
    passed = [name for name, counts in files.items() if counts["passed"]]
    seen = {(subject, "") for name in passed for subject in TESTS.get(name, ())}
    if record.get("tensorrt") == "tensorrt":
        seen = {("tensorrt" if s == "tensorrt-rtx" else s, v) for s, v in seen}
    seen |= {(subject, "") for subject in of_gpus(record.get("machine") or {})}
    source = ROOT / record.get("log", "docs/tried.json")
    yield from _sightings(seen, record, "tests", record["date"], source)


def of_hand(record: Json) -> Iterator[Sighting]:
    """What somebody tried, and wrote down."""
    for subject, version in record["shows"].items():
        machine, source = record["machine"], record.get("source", "docs/tried.json")
        yield Sighting(subject, version, machine, "by hand", record["date"], source)


def _sightings(
    seen: set[tuple[str, str]], record: Json, how: str, date: str, source: Path
) -> Iterator[Sighting]:  # fmt: skip
    machine = machine_text(record.get("machine") or {})
    for subject, version in sorted(seen):
        names = PACKAGES.get(subject.partition("/")[0], ())
        packages = record.get("packages") or {}
        found = version or next((packages[n] for n in names if packages.get(n)), "")
        place = str(source.relative_to(ROOT))
        yield Sighting(subject, found, machine, how, date[:10], place)


def log_files(log: str) -> dict[str, dict[str, int]]:
    """Passed and failed tests a file, of what pytest printed."""
    found: dict[str, dict[str, int]] = {}
    for name, dots in re.findall(r"^(tests/\S+\.py) ([.FEsxX]+)", log, re.M):
        failed = dots.count("F") + dots.count("E")
        found[name] = {"passed": dots.count("."), "failed": failed, "skipped": dots.count("s")}
    return found


def junit_files(path: Path) -> dict[str, dict[str, int]]:
    """Passed, failed and skipped tests a file, of pytest's JUnit XML."""
    found: dict[str, dict[str, int]] = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        parts = case.attrib["classname"].split(".")
        name = next((i for i, p in enumerate(parts) if p.startswith("test_")), len(parts) - 1)
        file = "/".join(parts[: name + 1]) + ".py"
        tags = {child.tag for child in case}
        how = "skipped" if "skipped" in tags else "passed"
        how = "failed" if tags & {"failure", "error"} else how  # fmt: skip
        if not file.startswith("tests/"):  # a fault of pytest itself
            continue
        counts = found.setdefault(file, {"passed": 0, "failed": 0, "skipped": 0})
        counts[how] += 1
    return dict(sorted(found.items()))


def sightings() -> list[Sighting]:
    """Everything that the committed records show."""
    found: list[Sighting] = []
    versions = sorted((ROOT / "reports" / "tensorrt-versions").glob("*/"))
    earlier = sorted((ROOT / "tests/data/runs").glob("h200-*"))
    for folder in (*earlier, ROOT / "reports" / "sample", *versions):
        found += of_run(folder)
    found += [s for p in sorted((ROOT / "docs/benchmarks").glob("*.json")) for s in of_benchmark(p)]
    store = json.loads(STORE.read_text("utf-8"))
    found += [s for record in store["tests"] for s in of_tests(record)]
    return found + [s for record in store["by_hand"] for s in of_hand(record)]


# ---------------------------------------------------------------------------------- the page


def never(found: Sequence[Sighting]) -> dict[str, Subject]:
    """The subjects that no record shows."""
    seen = {s.subject for s in found}
    return {key: subject for key, subject in SUBJECTS.items() if key not in seen}


def page(found: Sequence[Sighting]) -> str:
    """The page: what has never run first, then what ran, a row a version and machine."""
    lines = [
        "# What was tried where", "",
        "Made by `benchmarks/tried.py` from run directories, benchmarks and test logs that are",
        "part of the project; a test keeps this page equal to what it makes. What is not here",
        "was not recorded.", "",
        "## What has never run", "", "| | what there is instead |", "|---|---|",
        *(f"| {s.name} | {s.instead or '–'} |" for s in never(found).values()), "",
        "`harness doctor` and the report say so where one of these is used.", "",
        "## What ran", "",
        "| what | version | on | how | when | record |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for key, subject in SUBJECTS.items():
        rows: dict[tuple[str, str], list[Sighting]] = {}
        for s in found:
            if s.subject == key:
                rows.setdefault((s.version, s.machine), []).append(s)
        for (version, machine), group in rows.items():
            how = ", ".join(dict.fromkeys(s.how for s in group))
            dates = sorted({s.date for s in group})
            when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            links = dict.fromkeys(s.source for s in group)
            shown = ", ".join(f"[{Path(s).name}]({_link(s)})" for s in links)
            row = (subject.name, version or "–", machine, how, when, shown)
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, *_test_lines(), ""])


def _test_lines() -> Iterator[str]:
    yield from ("", "## Test logs", "", "| when | on | Python | passed | failed | skipped |",
                "|---|---|---|---|---|---|")  # fmt: skip
    for record in json.loads(STORE.read_text("utf-8"))["tests"]:
        files = record.get("files") or log_files((ROOT / record["log"]).read_text("utf-8"))
        sums = [sum(f[k] for f in files.values()) for k in ("passed", "failed", "skipped")]
        machine = record["machine"]
        row = (record["date"], machine_text(machine), machine.get("python", "–"), *map(str, sums))
        yield f"| {' | '.join(row)} |"


def _link(source: str) -> str:
    return source.removeprefix("docs/") if source.startswith("docs/") else f"../{source}"


def passages(found: Sequence[Sighting]) -> dict[Path, str]:
    """What stands between the marks of other pages."""
    absent = never(found)
    texts = {}
    for name in ("tensorrt", "triton"):
        listed = [s for s in absent.values() if name in s.pages]
        texts[ROOT / f"docs/{name}.md"] = "\n".join([
            "**Never run yet** ([what was tried where](tried.md)):", "",
            *(f"- {s.name}{f': {s.instead}' if s.instead else ''}" for s in listed),
        ])  # fmt: skip
    names = "; ".join(s.name for s in absent.values())
    texts[ROOT / "README.md"] = f"Never run yet: {names} ([what was tried where](docs/tried.md))."
    return texts


def filled(text: str, passage: str) -> str:
    """The page with the passage between its marks. Raises ValueError without them."""
    begin, end = "<!-- tried: made by benchmarks/tried.py -->", "<!-- tried: end -->"
    head, mark, rest = text.partition(begin)
    _, other, tail = rest.partition(end)
    if not (mark and other):
        raise ValueError(f"no {begin} … {end}")
    return f"{head}{begin}\n{passage}\n{end}{tail}"


def made() -> dict[Path, str]:
    """Every page, as it should be."""
    found = sightings()
    pages = {path: filled(path.read_text("utf-8"), t) for path, t in passages(found).items()}
    return {PAGE: page(found), **pages}


def record(logs: Sequence[Path]) -> None:
    """Add a test log of this machine, in one or more files, to the store."""
    from datetime import UTC, datetime

    from harness.scenario.spec.backend import packages
    from harness.system.machine import describe_machine, package_versions

    machine = describe_machine()
    kept = {k: machine[k] for k in ("os", "kernel", "architecture", "python", "cpu", "gpus")}
    versions = package_versions(packages())
    names = ("torch", "onnx", "onnxruntime", "onnxruntime-gpu", "tritonclient", "nvidia-pytriton",
             "tensorrt-rtx-cu13", "tensorrt")  # fmt: skip
    store = json.loads(STORE.read_text("utf-8"))
    store["tests"].append({
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": kept,
        "packages": {n: versions[n] for n in names if n in versions},
        "files": {k: v for log in logs for k, v in junit_files(log).items()},
    })  # fmt: skip
    STORE.write_text(json.dumps(store, indent=1) + "\n", "utf-8")


def main() -> None:
    """Write the pages; with --record, after adding a log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, nargs="+", metavar="JUNIT.xml")
    asked = parser.parse_args()
    if asked.record:
        record(asked.record)
    for path, text in made().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
