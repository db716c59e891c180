"""The harness and Model Analyzer, side by side over the same configurations of the same models.

    .venv/bin/python benchmarks/model_analyzer.py --output docs/benchmarks

Two models: a Python-backend identity, FP32[16], in 6 configurations and its default at 4
concurrencies; and ResNet-50 through ONNX Runtime on the CPU, in 4 configurations and its default
at 3. Each repeat runs Model Analyzer (brute search, local mode) and the harness three times: with
one round, with as many as give intervals, and with `profile: search` until the best is told
apart; the order alternates. Then a long run of the harness, the judge, measures what either tool
put among its first three.

Everything is kept in a work folder. A step that is finished there is not done again, so a run that
was stopped goes on where it was; `--work` names the folder, and a new measurement needs a new one.
What the harness chose is worked out from its runs each time.

Model Analyzer goes into a virtual environment of its own, in the harness's cache. Its
perf_analyzer is the one of benchmarks/perf_analyzer.py; its server is the embedded tritonserver.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from model_analyzer_page import DECIDED, ONE, THEIRS, TOOLS, Run, page
from perf_analyzer import CACHE, CODE, busy_ns, config_text, cpu_name, perf_analyzer

from harness.analysis.best import choose, order
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow, summarize
from harness.results.store import read_run
from harness.scenario.variants import variants
from harness.system import guard
from harness.triton.client.settings import TritonSettings
from harness.triton.metadata import proto
from harness.triton.server import stub_memory as shm
from harness.triton.server.command import environment
from harness.triton.server.install import find
from harness.triton.server.ports import choose as choose_ports

VERSION = "1.58.0"
ROOT = Path(__file__).resolve().parents[1]
TOP = 3
DEFAULT = "default"


@dataclass(frozen=True)
class Model:
    """A model and the configurations that are searched; batch 1, as Model Analyzer's default."""

    name: str
    title: str
    instances: list[int]
    max_batch_sizes: list[int]
    concurrency: list[int]
    measurement: Mapping[str, Any]
    """Of the harness's runs, besides the rounds."""

    @property
    def space(self) -> str:
        return (
            f"Instances {_words(self.instances)}, max_batch_size {_words(self.max_batch_sizes)}, "
            f"and the default; concurrency {_words(self.concurrency)}; batch 1."
        )


SECONDS = {"profile": "quick", "warmup": "300ms", "window": "1s", "window_requests": 130}
IDENTITY = Model(
    "identity", "Identity, Python backend, FP32[16]", [1, 2], [1, 2, 4], [1, 2, 4, 8], SECONDS
)
RESNET = Model(
    "resnet50_python", "ResNet-50, ONNX Runtime in the Python backend, on the CPU",
    [1, 2], [1, 2], [1, 2, 4],
    {**SECONDS, "warmup_requests": 2, "window": "2s", "window_requests": 30, "window_max": "10s"},
)  # fmt: skip
MODELS = {"identity": IDENTITY, "resnet50": RESNET}


def _words(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))


# ---------------------------------------------------------------------------------------- set up


def model_analyzer() -> Path:
    """The Python that Model Analyzer is installed for; makes its environment the first time."""
    home = CACHE / f"model_analyzer-{VERSION}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            made = Path(folder, "venv")
            subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
            pip = [str(made / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, f"triton-model-analyzer=={VERSION}"], check=True)
            made.rename(home)  # its scripts name the old folder, so they are not used
    return home / "bin" / "python"


def identity_repository(repository: Path) -> None:
    version = repository / IDENTITY.name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(CODE)
    config = f'name: "{IDENTITY.name}"\n{config_text(16, 1)}'
    (version.parent / "config.pbtxt").write_text(config)


def resnet_repository(repository: Path) -> None:
    """What `harness prepare` makes: the ONNX file, the model.py that runs it, the config.pbtxt."""
    scenario = ROOT / "scenarios" / "quickstart.yaml"
    with tempfile.TemporaryDirectory(dir=repository.parent) as folder:
        harness("prepare", str(scenario), "--repository", folder)
        shutil.move(Path(folder, RESNET.name), repository / RESNET.name)


def variant_repository(repository: Path, model: Model, config: str, folder: Path) -> Path:
    """A copy of the model's directory with one configuration of the space, by links."""
    source, made = repository / model.name, folder / config / model.name
    if made.is_dir():
        return made.parent
    made.mkdir(parents=True)
    (made / "1").symlink_to(source / "1")
    message = proto().from_text((source / "config.pbtxt").read_text(), proto().ModelConfig())
    if config != DEFAULT:
        instances, max_batch_size = map(int, re.findall(r"\d+", config))
        message.max_batch_size = max_batch_size
        message.instance_group[0].count = instances
    (made / "config.pbtxt").write_text(proto().text(message))
    return made.parent


# ----------------------------------------------------------------------------------------- steps


@dataclass(frozen=True)
class Timed:
    seconds: float
    foreign: float
    """Cores that other processes used meanwhile."""
    output: str


def timed(command: Sequence[str], *, log: Path, cwd: Path, codes: Iterable[int] = (0,)) -> Timed:
    """Run to the end; nothing of it stays behind if this process is stopped.

    Raises SystemExit with the log's name on another exit code.
    """
    before, mine, began = busy_ns(), children_s(), time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        log.open("wb") as file,
        guard.spawn(command, stdout=file, stderr=file, env=env, cwd=cwd) as process,
    ):
        code = process.wait()
        wall = time.monotonic() - began
    if code not in codes:
        raise SystemExit(f"{command[0]} ended with {code}; see {log}")
    others = max(0.0, (busy_ns() - before) / 1e9 - (children_s() - mine))
    return Timed(wall, others / wall, log.read_text())


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def harness(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=ROOT, check=True)


def analyzer_config(model: Model, repository: Path, folder: Path) -> dict[str, Any]:
    """What Model Analyzer's YAML file holds (JSON is YAML)."""
    install = find()
    binary, _ = perf_analyzer(install)
    served = environment(install, {})
    ports = choose_ports({})
    # perf_analyzer gets the server's environment too, and needs its own libraries in it
    served["LD_LIBRARY_PATH"] += f":{binary.parent}"
    return {
        "model_repository": str(repository), "checkpoint_directory": str(folder / "checkpoints"),
        "export_path": str(folder / "export"), "triton_launch_mode": "local",
        "output_model_repository_path": str(folder / "repository"),
        "triton_server_path": str(install.binary), "triton_output_path": str(folder / "triton.log"),
        "triton_server_flags": {
            "backend-directory": str(install.backends),
            # by this name the harness finds, and removes, what a killed server leaves in /dev/shm
            "backend-config": f"python,shm-region-prefix-name={shm.new_prefix()}",
        },
        "triton_server_environment":
            {key: served[key] for key in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")},
        "triton_http_endpoint": f"localhost:{ports['http']}",
        "triton_grpc_endpoint": f"localhost:{ports['grpc']}",
        "triton_metrics_url": f"http://localhost:{ports['metrics']}/metrics",
        "perf_analyzer_path": str(binary), "client_protocol": "grpc", "collect_cpu_metrics": True,
        "profile_models": {model.name: {
            "cpu_only": True,
            "parameters": {"batch_sizes": [1], "concurrency": model.concurrency},
            "model_config_parameters": {
                "instance_group": [[{"kind": "KIND_CPU", "count": n}] for n in model.instances],
                "max_batch_size": model.max_batch_sizes,
            },
        }},
    }  # fmt: skip


def theirs(model: Model, repository: Path, folder: Path, repeat: int) -> Run:
    """Model Analyzer over the space."""
    for name in ("checkpoints", "export"):
        (folder / name).mkdir()
    config = folder / "config.yaml"
    config.write_text(json.dumps(analyzer_config(model, repository, folder), indent=1) + "\n")
    done = timed(
        [str(model_analyzer()), "-m", "model_analyzer.entrypoint", "profile", "-f", str(config)],
        log=folder / "log", cwd=folder,
    )  # fmt: skip
    table = folder / "export" / "results" / "metrics-model-inference.csv"
    return read_theirs(table.read_text(), done, repeat)


def read_theirs(table: str, done: Timed, repeat: int) -> Run:
    """A run of Model Analyzer from its CSV file and its log."""
    rows = list(csv.DictReader(table.splitlines()))
    names = {row["Model Config Path"]: their_name(row) for row in rows}
    first = re.search(r"best configurations ([^:\s]+):", done.output)
    if first is None:
        raise SystemExit("Model Analyzer's log does not name its best configurations")
    best = [path for path in first[1].split(",") if path][:TOP]
    rate = "Throughput (infer/sec)"
    top = max((r for r in rows if r["Model Config Path"] == best[0]), key=lambda r: float(r[rate]))
    return Run(
        THEIRS, repeat, done.seconds, len(names), len(rows), [names[path] for path in best],
        concurrency=int(top["Concurrency"]), foreign=done.foreign,
        retries=done.output.count("request count is too small"),
    )  # fmt: skip


def their_name(row: Mapping[str, str]) -> str:
    """`i2-mb4` of a row whose instance group is `2:CPU` and whose max batch size is 4."""
    if row["Model Config Path"].endswith("_config_default"):
        return DEFAULT
    return f"i{row['Instance Group'].partition(':')[0]}-mb{row['Max Batch Size']}"


def scenario(
    model: Model, backends: Sequence[Mapping[str, Any]], concurrency: Iterable[int],
    measurement: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    return {
        "scenario": model.name, "model": {"name": model.name, "source": {"triton": model.name}},
        "backends": list(backends), "load": {"batch_sizes": 1, "concurrency": list(concurrency)},
        "measurement": {**model.measurement, **measurement}, "objective": "throughput",
    }  # fmt: skip


def searched(model: Model, repository: Path) -> dict[str, Any]:
    return {
        "kind": "triton", "name": "triton", "protocol": "grpc",
        "instances": model.instances, "max_batch_size": model.max_batch_sizes,
        "server": {"repository": str(repository)},
    }  # fmt: skip


def our_names(model: Model, repository: Path) -> dict[str, str]:
    """Our config → its name here, which says both settings."""
    found = variants(TritonSettings.model_validate(searched(model, repository)))
    return {
        name: DEFAULT if name == DEFAULT else f"i{spec.instances}-mb{spec.max_batch_size}"
        for name, spec in found.items()
    }


def run_harness(spec: Mapping[str, Any], folder: Path) -> Timed:
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(spec, indent=1) + "\n")
    command = [sys.executable, "-m", "harness", "run", str(path), "--output", str(folder / "run")]
    # 1: a point failed; 4: one is invalid, e.g. no steady state. Neither is chosen.
    return timed([*command, "--quiet"], log=folder / "log", cwd=folder, codes=(0, 1, 4))


def ours(
    model: Model, repository: Path, folder: Path, repeat: int, *, tool: str, rounds: int
) -> Run:
    """The harness over the space, each configuration at each load; until told apart with the
    profile for that, and what is clearly worse after two rounds left out of the third.
    """
    counts: dict[str, Any] = {"rounds": rounds, "rounds_max": rounds}
    search = {"method": "grid", "rounds_max": 1}
    if tool == DECIDED:
        model, counts = replace(model, measurement={}), {"profile": "search"}
        search = {"method": "halving", "rounds_max": 6}
    spec = scenario(model, [searched(model, repository)], model.concurrency, counts)
    spec["search"] = search
    done = run_harness(spec, folder)
    return chosen(
        model, repository, folder, Run(tool, repeat, done.seconds, 0, 0, [], foreign=done.foreign)
    )


def chosen(model: Model, repository: Path, folder: Path, run: Run) -> Run:
    """What the harness chooses from the run in `folder`: a function of its journal alone."""
    names, data = our_names(model, repository), read_run(folder / "run")
    rows = summarize(data.measurements, data.failures)
    choice = choose(rows, THROUGHPUT, {})
    point = choice.recommended or choice.best
    if point is None:
        raise SystemExit(f"nothing valid was measured; see {folder / 'run'}")
    ranked = dict.fromkeys(names[row.config] for row in order(rows, THROUGHPUT))
    mine = names[point.config]
    tied = dict.fromkeys(names[row.config] for row in choice.tied) if choice.decidable else {}
    return replace(
        run, configs=len({row.config for row in rows}), points=len(rows),
        best=[mine, *(name for name in ranked if name != mine)][:TOP], tied=list(tied),
        concurrency=point.concurrency or 0, failures=len(data.failures),
    )  # fmt: skip


def to_judge(runs: Sequence[Run]) -> tuple[list[str], list[int]]:
    """The configurations that some run put among its first, and the concurrencies chosen."""
    return sorted({name for run in runs for name in run.best}), sorted(
        {run.concurrency for run in runs}
    )


def judged(
    model: Model, repository: Path, folder: Path, *, runs: Sequence[Run], rounds: int, window: str
) -> list[dict[str, Any]]:
    """The long run: each candidate served from a repository of its own, as several backends."""
    candidates, concurrency = to_judge(runs)
    backends = [
        {
            "kind": "triton", "name": name, "protocol": "grpc",
            "server": {
                "repository":
                    str(variant_repository(repository, model, name, folder / "repositories")),
            },
        }
        for name in candidates
    ]  # fmt: skip
    counts = {
        "rounds": rounds, "rounds_max": rounds, "warmup": "1s", "window": window,
        "window_max": "60s",
    }  # fmt: skip
    run_harness(scenario(model, backends, concurrency, counts), folder)
    data = read_run(folder / "run")
    return [
        judged_point(row) for row in summarize(data.measurements, data.failures) if row.measurements
    ]


def judged_point(row: SummaryRow) -> dict[str, Any]:
    return {
        "config": row.backend, "concurrency": row.concurrency, "valid": row.valid,
        "throughput": [m.throughput for m in row.measurements], "flags": list(row.flags),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------ main


def kept(folder: Path, work: Callable[[Path], Any]) -> Any:
    """What `work` returned for a fresh folder, now or when it was done before."""
    result = folder / "result.json"
    if not result.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"{time.strftime('%H:%M:%S')} {folder} …", flush=True)
        text = json.dumps(work(folder), indent=1)
        result.write_text(text)
        print(f"{time.strftime('%H:%M:%S')} {text[:600]}", flush=True)
    return json.loads(result.read_text())


def measure(model: Model, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All runs of one model, and the judge's points."""
    repository = work / "repository"
    if not repository.is_dir():
        making = work / "repository.making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        (identity_repository if model.name == IDENTITY.name else resnet_repository)(making)
        making.rename(repository)

    def step(tool: str, repeat: int, folder: Path) -> dict[str, Any]:
        if tool == THEIRS:
            return asdict(theirs(model, repository, folder, repeat))
        rounds = 1 if tool == ONE else options.rounds
        return asdict(ours(model, repository, folder, repeat, tool=tool, rounds=rounds))

    runs: list[Run] = []
    for repeat in range(options.repeats):
        tools = [tool for tool in TOOLS if tool in options.tools]
        for tool in tools if repeat % 2 == 0 else reversed(tools):
            folder = work / f"{tool}-{repeat}"
            run = Run(**kept(folder, partial(step, tool, repeat)))
            runs.append(run if tool == THEIRS else chosen(model, repository, folder, run))
    judge = partial(
        judged, model, repository, runs=runs, rounds=options.judge_rounds,
        window=options.judge_window,
    )  # fmt: skip
    candidates, concurrency = to_judge(runs)
    asked = [*candidates, *map(str, concurrency), str(options.judge_rounds), options.judge_window]
    points = kept(work / f"judge-{'-'.join(asked)}", judge)
    return {
        "title": model.title, "space": model.space,
        "runs": [asdict(run) for run in runs], "judge": points,
    }  # fmt: skip


def quick(model: Model) -> Model:
    """Four configurations and the default, at one concurrency."""
    measurement = {**model.measurement, "window": "500ms"}
    return replace(
        model, max_batch_sizes=model.max_batch_sizes[:2], concurrency=[2], measurement=measurement
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="of the harness's run with intervals")
    parser.add_argument("--judge-rounds", type=int, default=5)
    parser.add_argument("--judge-window", default="8s")
    parser.add_argument("--work", type=Path, default=CACHE / "benchmark-model-analyzer")
    parser.add_argument("--output", type=Path, help="folder for model-analyzer.json and .md")
    parser.add_argument("--quick", action="store_true", help="a try: small spaces, one repeat")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.rounds, options.judge_rounds = 1, 2, 3
        options.judge_window, options.work = "1s", options.work / "quick"
    model_analyzer()  # not part of any timing, as the harness's own installation is not
    perf_analyzer(find())
    models = {}
    for name in options.models:
        model = quick(MODELS[name]) if options.quick else MODELS[name]
        models[name] = measure(model, options.work.resolve() / name, options)
    data = {"about": about(options), "models": models}
    text = page(data)
    print(f"\n{text}")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "model-analyzer.json").write_text(json.dumps(data, indent=1) + "\n")
        (options.output / "model-analyzer.md").write_text(text)


def about(options: argparse.Namespace) -> dict[str, Any]:
    freeze = subprocess.run(
        [str(model_analyzer()), "-m", "pip", "freeze"], check=True, capture_output=True, text=True
    )
    command = (
        f".venv/bin/python benchmarks/model_analyzer.py --repeats {options.repeats} "
        f"--judge-rounds {options.judge_rounds} "
        f"--judge-window {options.judge_window} --output docs/benchmarks"
    )
    if options.tools != list(TOOLS):
        command += f" --tools {' '.join(options.tools)}"
    return {
        "model_analyzer": VERSION, "repeats": options.repeats, "rounds": options.rounds,
        "judge_rounds": options.judge_rounds, "judge_window": options.judge_window,
        "cpus": os.cpu_count(), "cpu": cpu_name(), "python": platform.python_version(),
        "command": command, "packages": sorted(freeze.stdout.split()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
