"""What several keys of a Model Analyzer file decide together: loads, search space, other models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from harness.migrate import model_configs, values
from harness.migrate.analyzer_rules import MOST, SEARCHES, Analysis, ProfileModel, bounds
from harness.migrate.table import BadValueError
from harness.scenario.reading.tree import TreeEntry
from harness.scenario.spec.colocated import SHARED
from harness.scenario.writing import scenario_name

_BOUNDS = {
    "instance_count": (1, 5), "model_batch_size": (1, 128), "concurrency": (1, 1024),
    "request_rate": (16, 8192),
}  # fmt: skip
"""Model Analyzer's own ends of what it searches by itself."""


def put_all(analysis: Analysis) -> None:
    """The loads, the search space, the models at the same time, and the search method."""
    draft, model = analysis.draft, analysis.model
    _loads(analysis, model)
    for key, value in configs(analysis, model).items():
        analysis.put(f"backends.{key}", value, "configurations of", model.mark)
    others = [_colocated(analysis, other) for other in analysis.models[1:]]
    if others:
        draft.put("backends.colocated", others)
    keys = ("instances", "max_batch_size", "dynamic_batching", "config")
    backend = draft.get("backends")
    assert isinstance(backend, dict)
    if any(isinstance(holder.get(key), list) for holder in (backend, *others) for key in keys):
        draft.put("search", _search(analysis), f"{analysis.mode} there")
    _idle(analysis)


def _idle(analysis: Analysis) -> None:
    """Say of what was to steer a search that there is none."""
    outcomes = analysis.draft.outcomes
    for number, outcome in enumerate(outcomes):
        what = re.fullmatch("run_config_search_(?:min|max)_(.*)", outcome.option)
        idle = what is not None and what[1] in _BOUNDS and what[1] not in analysis.searched
        if not analysis.draft.get("search"):
            idle |= outcome.here in ("search.method", "search.top", "search.trials")
        if idle:
            note = "the values that are tried are written, or can't be changed"
            outcomes[number] = replace(outcome, status="not needed", here="", note=note)


def _search(analysis: Analysis) -> object:
    method = SEARCHES[analysis.mode]
    made: dict[str, object] = {"method": method}
    trials = analysis.plain("optuna_max_trials") or analysis.plain("optuna_min_trials")
    if method == "bayesian" and isinstance(trials, int) and trials > 0:
        made["trials"] = trials
    top = analysis.plain("num_configs_per_model")
    if method != "grid" and isinstance(top, int) and top > 0:
        made["top"] = top
    return made if len(made) > 1 else method


def _ends(analysis: Analysis, what: str) -> tuple[int, int]:
    """The bounds that are written, else Model Analyzer's; a bad one is said at its key."""
    analysis.searched.add(what)
    found = []
    for side, default in zip(("min", "max"), _BOUNDS[what], strict=True):
        name = f"run_config_search_{side}_{what}"
        try:
            found.append(min(values.integer(analysis.plain(name, default)), MOST))
        except BadValueError:
            found.append(default)
    return found[0], max(found)


def _parameter(
    analysis: Analysis, model: ProfileModel, name: str
) -> tuple[list[int | float], str, TreeEntry] | None:
    """A parameter's values, of the model or of all, with its name and place."""
    own = model.settings.get("parameters")
    entries = own.node.value if own is not None and isinstance(own.node.value, dict) else {}
    entry = entries.get(name) or analysis.top.get(name)
    if entry is None:
        return None
    try:
        return values.several(entry.node.data()), name, entry
    except BadValueError as error:
        analysis.draft.problem(entry.node.mark, name, str(error))
        return None


def _loads(analysis: Analysis, model: ProfileModel) -> None:
    draft = analysis.draft
    draft.put("load.batch_sizes", [1], "its default")
    if sizes := _parameter(analysis, model, "batch_sizes"):
        analysis.put("load.batch_sizes", sizes[0], "batch_sizes", sizes[2].key)
    if rates := _parameter(analysis, model, "request_rate"):
        analysis.put("load.request_rate", rates[0], "request_rate", rates[2].key)
        draft.put("load.arrivals", "constant", "its default")
        return
    if analysis.flag("request_rate_search_enable"):
        _rate_search(analysis)
        return
    if callers := _parameter(analysis, model, "concurrency"):
        analysis.put("load.concurrency", callers[0], "concurrency", callers[2].key)
    elif _fixed(analysis, model):
        draft.put("load.concurrency", [1], "its default without a search")
    else:
        start, end = _ends(analysis, "concurrency")
        draft.put("load.concurrency", values.doubling(start, end), "searched there: powers of two")


def _fixed(analysis: Analysis, model: ProfileModel) -> bool:
    """Whether Model Analyzer searches nothing by itself for the loads."""
    manual = analysis.mode == "brute" and "parameters" in model.settings
    return analysis.flag("run_config_search_disable") or manual


def _rate_search(analysis: Analysis) -> None:
    """The highest rate that holds a latency constraint; without one, powers of two."""
    draft = analysis.draft
    start, end = _ends(analysis, "request_rate")
    draft.put("load.arrivals", "constant", "its default")
    found = draft.get("constraints")
    for percentile in ("p99", "p95", "p90", "p50"):
        key = f"latency_{percentile}_ms"
        limit = found.get(key) if isinstance(found, dict) else None
        if isinstance(limit, dict):
            target = {key: limit["max"], "max_rate": end}
            draft.put("load.find_capacity", target, "request_rate_search_enable")
            return
    rates = values.doubling(start, end)
    draft.put("load.request_rate", rates, "request_rate_search_enable, without a latency bound")


def configs(analysis: Analysis, model: ProfileModel) -> dict[str, object]:
    """The configurations that are tried, as keys of a backend or of a co-located model."""
    if analysis.launch == "remote":
        return {}
    cpu = model.settings.get("cpu_only")
    cpu_only = cpu is not None and values.is_true(cpu.node.data())
    written = model.settings.get("model_config_parameters")
    made: dict[str, object] = {}
    if written is not None:
        try:
            made = model_configs.keys_of(written.node.data(), cpu_only=cpu_only)
        except BadValueError as error:
            analysis.draft.problem(written.node.mark, "model_config_parameters", str(error))
            return {}
    searched = not _fixed(analysis, model) and (analysis.mode != "brute" or written is None)
    if searched:
        _automatic(analysis, made, cpu_only)
    elif cpu_only and "instances" not in made and "config" not in made:
        made["config"] = model_configs.on_cpu([1])
    return made


def _automatic(analysis: Analysis, made: dict[str, object], cpu_only: bool) -> None:
    """The axes that Model Analyzer searches by itself, where the file says nothing of them."""
    least, most = _ends(analysis, "instance_count")
    counts = list(range(least, most + 1))
    if cpu_only:
        made.setdefault("config", model_configs.on_cpu(counts))
    elif "config" not in made or "instance_group" not in str(made["config"]):
        made.setdefault("instances", model_configs.single(list(counts)))
    sizes = values.doubling(*_ends(analysis, "model_batch_size"))
    made.setdefault("max_batch_size", model_configs.single(list(sizes)))
    made.setdefault("dynamic_batching", True)


def _colocated(analysis: Analysis, model: ProfileModel) -> dict[str, object]:
    """A model that is profiled at the same time, under its largest load."""
    batches = _parameter(analysis, model, "batch_sizes")
    largest = values.integer(max(batches[0])) if batches else 1
    load: dict[str, object] = {"batch_size": largest}
    if rates := _parameter(analysis, model, "request_rate"):
        load |= {"request_rate": max(rates[0]), "arrivals": "constant"}
    else:
        callers = _parameter(analysis, model, "concurrency")
        load["concurrency"] = max(callers[0]) if callers else 1
    made: dict[str, object] = {"name": scenario_name(model.name)}
    if made["name"] != model.name:
        made["model"] = {"source": {"triton": model.name}}
    made |= configs(analysis, model)
    limits = made.get("max_batch_size")
    if isinstance(limits, list):
        made["max_batch_size"] = [size for size in limits if size >= largest] or [largest]
    made["load"] = load
    if found := _bounds(analysis, model):
        made["constraints"] = found
    own, first = (_weight(analysis, m) for m in (model, analysis.model))
    made["weight"] = values.plain(round(own / first, 6))
    return made


def _bounds(analysis: Analysis, model: ProfileModel) -> Mapping[str, object]:
    """Its constraints; those on the whole server go to the scenario."""
    entry = model.settings.get("constraints") or analysis.top.get("constraints")
    if entry is None:
        return {}
    try:
        found, _ = bounds(entry.node)
    except BadValueError as error:
        analysis.draft.problem(entry.node.mark, "constraints", str(error))
        return {}
    for key in [key for key in found if key in SHARED]:
        analysis.draft.put(f"constraints.{key}", found.pop(key), "of the whole server")
    return found


def _weight(analysis: Analysis, model: ProfileModel) -> float:
    entry = model.settings.get("weighting") or analysis.top.get("weighting")
    try:
        return values.integer(entry.node.data()) if entry else 1
    except BadValueError:
        return 1
