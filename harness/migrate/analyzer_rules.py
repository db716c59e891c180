"""How each key of a Model Analyzer file becomes keys of a scenario; the table is in
`model_analyzer`.

A rule gets the analysis and the node of the key's value. What several keys decide together, the
search space and the loads, is in `analyzer_space`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import did_you_mean
from harness.migrate import perf_analyzer, values
from harness.migrate.arguments import Given
from harness.migrate.command import Command
from harness.migrate.draft import Draft
from harness.migrate.table import BadValueError, Outcome, Said, done, not_needed, refused
from harness.scenario.reading.tree import Mark, Node, TreeEntry
from harness.scenario.wording import nearest

MOST = 65_536
"""Larger ends of a search space are a slip: their lists would have no end."""
SEARCHES = {"brute": "grid", "quick": "quick", "optuna": "bayesian"}
_TOKENS = "tokens of language models are not measured"
METRICS = {
    "perf_throughput": ("throughput", ""),
    "perf_latency_avg": ("latency_p50_ms", "the median stands for the mean"),
    "perf_latency_p90": ("latency_p90_ms", ""),
    "perf_latency_p95": ("latency_p95_ms", ""),
    "perf_latency_p99": ("latency_p99_ms", ""),
    "perf_latency": ("latency_p99_ms", "its p99"),
    "gpu_used_memory": ("gpu_memory_mib", "of the server's processes, in MiB"),
    "gpu_free_memory": ("gpu_memory_mib", "what is not used is free"),
    "cpu_used_ram": ("host_memory_mib", "of the server's processes, in MiB"),
    "cpu_free_ram": ("host_memory_mib", "what is not used is free"),
    "cpu_available_ram": ("host_memory_mib", "what is not used is available"),
    "gpu_power_usage": ("", "power alone favours idleness; `joules_per_inference` is an objective"),
    "gpu_utilization": ("", "reported, but no objective: a busy GPU is no aim"),
    "gpu_total_memory": ("", "of the device, the same for every configuration"),
    **{f"perf_{name}": ("", "reported, but no objective") for name in (
        "client_response_wait", "client_send_recv", "server_queue", "server_compute_infer",
        "server_compute_input", "server_compute_output")},
    "output_token_throughput": ("", _TOKENS),
    **{f"{name}_{part}": ("", _TOKENS) for name in ("inter_token_latency", "time_to_first_token")
       for part in ("avg", "min", "max", *(f"p{p}" for p in (25, 50, 75, 90, 95, 99)))},
}  # fmt: skip
"""Metric → key of `objective` and `constraints` ("" for none), and what to know or why not."""


@dataclass(frozen=True, slots=True)
class ProfileModel:
    """An entry of `profile_models` or of the composing models."""

    name: str
    mark: Mark
    settings: Mapping[str, TreeEntry] = field(default_factory=dict)


@dataclass
class Analysis:
    """One scenario's translation: the file's keys, its models, and where the keys go."""

    draft: Draft
    top: Mapping[str, TreeEntry]
    models: Sequence[ProfileModel]
    """The measured one, then those that are profiled at the same time."""
    launch: str = "local"
    protocol: str = "grpc"
    searched: set[str] = field(default_factory=set)
    """What is searched between two ends, like `concurrency`."""

    @property
    def model(self) -> ProfileModel:
        """The measured one."""
        return self.models[0]

    def plain(self, name: str, default: object = None) -> object:
        """A top-level key's value."""
        return self.top[name].node.data() if name in self.top else default

    def flag(self, name: str) -> bool:
        """Whether a top-level key is true; a value that is neither is said where it stands."""
        return values.is_true(self.plain(name, False))

    @property
    def mode(self) -> str:
        """brute, or quick where several models are involved, unless it is said."""
        several = len(self.models) > 1 or any(
            self.plain(f"{kind}_composing_models") for kind in ("bls", "ensemble")
        )
        said = str(self.plain("run_config_search_mode", "quick" if several else "brute")).lower()
        return said if said in SEARCHES else "brute"

    def put(self, path: str, value: object, name: str, mark: Mark) -> None:
        """Set a key with the place it comes from as its comment."""
        self.draft.put(path, value, f"{name}, line {mark.line}")


Rule = Callable[[Analysis, Node], Said | None]


def mapping(node: Node) -> dict[str, TreeEntry]:
    """The entries of a mapping; nothing stands for an empty one. Raises BadValueError."""
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise BadValueError("expected a mapping (key: value)")
    return node.value


def text(node: Node) -> str:
    """A value that is text or a number. Raises BadValueError."""
    if not isinstance(node.value, str | int | float) or node.value == "":
        raise BadValueError("expected text")
    return str(node.value)


def boolean(analysis: Analysis, node: Node) -> None:
    """Only checked: used where the key matters, or not at all."""
    values.boolean(node.value)


def whole(analysis: Analysis, node: Node) -> None:
    """Only checked."""
    if values.integer(node.value, 0) > MOST:
        raise BadValueError(f"must be at most {MOST}, found {node.value}")


def numbers(analysis: Analysis, node: Node) -> None:
    """Only checked: loads take them up."""
    values.several(node.data())


def parameters(analysis: Analysis, node: Node) -> None:
    """Only checked: `analyzer_space` takes them up, with those for all models."""
    for name, entry in mapping(node).items():
        if name not in ("batch_sizes", "concurrency", "request_rate"):
            raise BadValueError(f"has batch_sizes, concurrency and request_rate, not {name}")
        values.several(entry.node.data())


def config_parameters(analysis: Analysis, node: Node) -> Said | None:
    """Taken up by `analyzer_space`."""
    if analysis.launch == "remote":
        return refused("behind a url nothing of a model's configuration can be set")
    mapping(node)
    return None


def cpu_only(analysis: Analysis, node: Node) -> Said | None:
    """Taken up by `analyzer_space`."""
    if not values.boolean(node.value):
        return not_needed("false is the default")
    if analysis.launch == "remote":
        return refused("behind a url nothing of a model's configuration can be set")
    return None


def weighting(analysis: Analysis, node: Node) -> Said | None:
    """Taken up by `analyzer_space`."""
    values.integer(node.value)
    return not_needed("one model is profiled alone") if len(analysis.models) == 1 else None


def search_mode(analysis: Analysis, node: Node) -> None:
    """Taken up by `analyzer_space`."""
    values.word(node.value, tuple(SEARCHES))


def of_modes(*modes: str) -> Rule:
    """A whole number that these search modes read."""

    def rule(analysis: Analysis, node: Node) -> Said | None:
        values.integer(node.value)
        if analysis.mode not in modes:
            return not_needed(f"of {' and '.join(modes)}, and this is {analysis.mode}")
        return None

    return rule


def model_type(analysis: Analysis, node: Node) -> Said | None:
    """Generic models only."""
    if values.word(node.value, ("generic", "llm")) == "generic":
        return not_needed("generic is what is measured")
    return None


def read_models(node: Node) -> list[ProfileModel]:
    """Names with commas, a list of names or mappings, or a mapping. Raises BadValueError."""
    found: list[ProfileModel] = []
    for item in node.value if isinstance(node.value, list) else [node]:
        if isinstance(item.value, dict):
            for name, entry in item.value.items():
                found.append(ProfileModel(name, entry.key, mapping(entry.node)))
        else:
            found += [ProfileModel(name, item.mark) for name in values.words(text(item))]
    return found


# -------------------------------------------------------------------------------------- judgement


def objectives(analysis: Analysis, node: Node) -> Said | None:
    """One metric, or weights; a list weighs its metrics alike."""
    weights: dict[str, float] = {}
    left = []
    if isinstance(node.value, dict):
        asked = [(name, e.node.data(), e.key) for name, e in node.value.items()]
    else:
        asked = [(name, 1, node.mark) for name in values.words(node.data())]
    for name, weight, mark in asked:
        here = _metric(name)
        if here:
            weights[here] = weights.get(here, 0) + values.number(weight)
        else:
            left.append(f"{name} ({METRICS[name][1]})")
        analysis.draft.origins.setdefault("objective", f"objectives, line {mark.line}")
    weights = {key: weight for key, weight in weights.items() if weight}
    if weights:
        value = next(iter(weights)) if len(weights) == 1 else weights
        analysis.put("objective", value, "objectives", node.mark)
    notes = [METRICS[name][1] for name, _, _ in asked if METRICS[name][0] and METRICS[name][1]]
    if left and not weights:
        return refused(f"the objective stays throughput: {'; '.join(left)}")
    return done("; ".join([*notes, *(f"without {name}" for name in left)]))


def _metric(name: str) -> str:
    if name not in METRICS:
        hint = did_you_mean(nearest(name, METRICS))
        raise BadValueError(f"Model Analyzer has no metric '{name}'{hint}")
    return METRICS[name][0]


def bounds(node: Node) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Constraints as the scenario writes them, and what has no counterpart with its reason."""
    found: dict[str, dict[str, float]] = {}
    left = []
    for name, entry in mapping(node).items():
        here = _metric(name)
        if not here:
            left.append(f"{name} ({METRICS[name][1]})")
            continue
        for side, bound in mapping(entry.node).items():
            side = values.word(side, ("min", "max"))  # noqa: PLW2901
            limit = values.number(bound.node.data())
            if side != ("min" if here == "throughput" else "max"):
                raise BadValueError(f"{name} takes {'min' if side == 'max' else 'max'}, not {side}")
            if here.endswith("_mib"):
                limit = round(limit * 1e6 / 2**20)
            found[here] = {side: limit}
    return found, left


def constraints(analysis: Analysis, node: Node) -> Said | None:
    """Bounds; MB of 10^6 bytes become MiB."""
    found, left = bounds(node)
    for key, bound in found.items():
        analysis.put(f"constraints.{key}", bound, "constraints", node.mark)
    if left and not found:
        return refused("; ".join(left))
    return done(f"without {'; '.join(left)}") if left else None


def budget(analysis: Analysis, node: Node) -> None:
    """`latency_budget`, in ms."""
    bound = {"max": values.number(node.value)}
    analysis.put("constraints.latency_p99_ms", bound, "latency_budget", node.mark)


def min_throughput(analysis: Analysis, node: Node) -> None:
    """Inferences a second."""
    bound = {"min": values.number(node.value)}
    analysis.put("constraints.throughput", bound, "min_throughput", node.mark)


def composing(analysis: Analysis, node: Node) -> Said | None:
    """Models that a BLS model calls."""
    found = read_models(node)
    if not found:
        return not_needed("there are none")
    names = [m.name for m in found]
    analysis.put("backends.composing", names, "bls_composing_models", node.mark)
    searched = any("model_config_parameters" in m.settings for m in found)
    return done("their own configurations are not searched: vary them in the repository"
                if searched else "their times are shown")  # fmt: skip


def perf_flags(analysis: Analysis, node: Node) -> Said | None:
    """perf_analyzer's options by their names there, one by one."""
    command = Command(
        analysis.draft, protocol=analysis.protocol, remote=analysis.launch == "remote",
        mode="count_windows",
    )  # fmt: skip
    for written, entry in mapping(node).items():
        spelled, mark = f"perf_analyzer_flags.{written}", entry.node.mark
        name = written.removeprefix("extra-") if written == "extra-verbose" else written
        if name not in perf_analyzer.TABLE:
            near = nearest(name.replace("_", "-"), perf_analyzer.TABLE)
            analysis.draft.problem(entry.key, spelled, "perf_analyzer has no such flag", near)
            continue
        data = entry.node.data()
        takes = perf_analyzer.TAKES_VALUE[name]
        if not takes and str(data).lower() not in ("true", "1", "none", ""):
            off = Outcome(mark, spelled, "not needed", "", "a switch that is off")
            analysis.draft.outcomes.append(off)
            continue
        items = data if isinstance(data, list) else [data]
        command.given[name] = [Given(name, spelled, str(item), mark) for item in items]
    perf_analyzer.apply(command)
    return None
