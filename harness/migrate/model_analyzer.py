"""Model Analyzer 1.58: every key with what becomes of it, and its file as scenarios.

    for draft in translate(text, "config.yaml", directory):
        draft.text()

One scenario a model of `profile_models`, or one for all that are profiled at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from harness.errors import Problem, ScenarioError
from harness.migrate import analyzer_rules as rules
from harness.migrate import analyzer_server as server
from harness.migrate import analyzer_space as space
from harness.migrate import values
from harness.migrate.analyzer_rules import Analysis, ProfileModel, Rule
from harness.migrate.draft import Draft
from harness.migrate.table import BadValueError, Row, Status
from harness.scenario.reading import tree
from harness.scenario.reading.tree import Mark, Node, TreeEntry
from harness.scenario.wording import nearest
from harness.scenario.writing import scenario_name

_ALWAYS = "every measurement is kept in the run directory as soon as it is done"
_REPORT = "`harness report` shows every configuration, and writes HTML, PDF and CSV"
_LISTS = "an end of what is searched; the lists in the scenario are the search space"
_OURS = "the load generator is part of the harness"
_IMAGE = "nvcr.io/nvidia/tritonserver:26.04-py3"


def _row(
    names: str, status: Status, here: str, note: str = "", rule: Rule | None = None
) -> list[Row[Analysis]]:
    """Lines of the table, one a name."""
    return [Row((name,), status, here, note, rule) for name in names.split()]


_LINES = [
    _row("triton_launch_mode", "translated", "backends.server",
         "local: a server that is started; docker; remote: its url", server.launch_mode),
    _row("client_protocol", "translated", "backends.protocol", "", server.client_protocol),
    _row("model_repository", "translated", "backends.server.repository", "", server.repository),
    _row("triton_server_path", "translated", "backends.server.binary",
         "without a path the harness's own tritonserver runs", server.server_path),
    _row("triton_http_endpoint", "translated", "backends.server.url, backends.server.http_port",
         "remote: the url; else the port", server.endpoint("http")),
    _row("triton_grpc_endpoint", "translated", "backends.server.url, backends.server.grpc_port",
         "remote: the url; else the port", server.endpoint("grpc")),
    _row("triton_metrics_url", "translated", "backends.server.metrics_url", "remote",
         server.metrics_url),
    _row("reload_model_disable", "translated", "backends.server.load", "remote",
         server.reload_disable),
    _row("triton_docker_image", "translated", "backends.server.docker.image", "",
         server.docker("image", "triton_docker_image")),
    _row("triton_docker_mounts", "translated", "backends.server.docker.mounts", "",
         server.docker("mounts", "triton_docker_mounts")),
    _row("triton_docker_shm_size", "translated", "backends.server.docker.shm_size", "",
         server.docker("shm_size", "triton_docker_shm_size")),
    _row("triton_docker_labels", "translated", "backends.server.docker.args", "",
         server.docker_labels),
    _row("triton_docker_args", "translated", "backends.server.docker.args",
         "as options of `docker run`", server.docker_args),
    _row("triton_server_flags", "translated", "backends.server.args", "", server.server_flags),
    _row("triton_server_environment", "translated", "backends.env", "", server.environment),
    _row("gpus", "translated", "backends.env, backends.server.docker.gpus",
         "GPUs that the server sees", server.gpus),
    _row("triton_output_path", "not needed", "", "the server's log is in the run directory"),
    _row("triton_install_path", "refused", "", "of c_api, Triton inside the client"),
    # what is profiled
    _row("profile_models", "translated", "model", "a scenario each, or `colocated`"),
    _row("bls_composing_models", "translated", "backends.composing", "", rules.composing),
    _row("ensemble_composing_models", "not needed", "",
         "an ensemble's models are found by themselves; their configurations are not searched"),
    _row("cpu_only_composing_models", "refused", "",
         "write `KIND_CPU` into the composing models' own config.pbtxt"),
    _row("batch_sizes", "translated", "load.batch_sizes", "", rules.numbers),
    _row("concurrency", "translated", "load.concurrency", "", rules.numbers),
    _row("request_rate", "translated", "load.request_rate", "arrivals are constant, as there",
         rules.numbers),
    _row("parameters", "translated", "load", "batch_sizes, concurrency, request_rate",
         rules.parameters),
    _row("model_config_parameters", "translated",
         "backends.instances, backends.max_batch_size, backends.dynamic_batching, backends.config",
         "every combination; nothing behind a url", rules.config_parameters),
    _row("cpu_only", "translated", "backends.config", "instances of the kind KIND_CPU",
         rules.cpu_only),
    _row("model_type", "refused", "", "LLM metrics are not measured", rules.model_type),
    _row("genai_perf_flags", "refused", "", "LLM metrics are not measured"),
    # judgement
    _row("objectives", "translated", "objective", "a list weighs its metrics alike",
         rules.objectives),
    _row("constraints", "translated", "constraints", "MB become MiB", rules.constraints),
    _row("latency_budget", "translated", "constraints.latency_p99_ms", "", rules.budget),
    _row("min_throughput", "translated", "constraints.throughput", "", rules.min_throughput),
    _row("weighting", "translated", "backends.colocated.weight",
         "beside 1 for the measured model", rules.weighting),
    _row("perf_analyzer_flags", "translated", "load, measurement",
         "one by one: see perf_analyzer", rules.perf_flags),
    # search
    _row("run_config_search_mode", "translated", "search.method",
         "brute: grid, quick: quick, optuna: bayesian", rules.search_mode),
    _row("run_config_search_disable", "translated", "backends", "single values and no lists",
         rules.boolean),
    _row("run_config_profile_models_concurrently_enable", "translated", "backends.colocated",
         "the first model is measured, the others run beside it under one load each",
         rules.boolean),
    _row("run_config_search_min_concurrency run_config_search_max_concurrency", "translated",
         "load.concurrency", f"{_LISTS}: powers of two", rules.whole),
    _row("run_config_search_min_request_rate run_config_search_max_request_rate", "translated",
         "load.request_rate, load.find_capacity", _LISTS, rules.whole),
    _row("run_config_search_min_instance_count run_config_search_max_instance_count", "translated",
         "backends.instances", _LISTS, rules.whole),
    _row("run_config_search_min_model_batch_size run_config_search_max_model_batch_size",
         "translated", "backends.max_batch_size", f"{_LISTS}: powers of two", rules.whole),
    _row("request_rate_search_enable", "translated", "load.find_capacity, load.request_rate",
         "with a latency constraint the highest rate that holds it, else powers of two",
         rules.boolean),
    _row("optuna_min_trials optuna_max_trials", "translated", "search.trials",
         "of optuna; one number", rules.of_modes("optuna")),
    _row("num_configs_per_model", "translated", "search.top", "of quick and optuna",
         rules.of_modes("quick", "optuna")),
    _row("run_config_search_max_binary_search_steps", "not needed", "",
         "a capacity search ends at a relative step, `load.find_capacity.precision`"),
    _row("min_percentage_of_search_space max_percentage_of_search_space", "refused", "",
         "a count is plainer: `search.trials`"),
    _row("optuna_early_exit_threshold", "refused", "",
         "`search.trials` and `search.budget` end a search"),
    _row("early_exit_enable", "refused", "", "`search: halving` drops what is clearly worse"),
    _row("use_concurrency_formula concurrency_sweep_disable", "not needed", "",
         "every configuration that is tried is measured at every load of the list"),
    # how it measures
    _row("perf_analyzer_timeout", "not needed", "", "windows end by `measurement.window_max`"),
    _row("perf_analyzer_cpu_util", "not needed", "",
         "a client that is busy makes a point INVALID, and is given more processes before that"),
    _row("perf_analyzer_path", "not needed", "", _OURS),
    _row("perf_analyzer_max_auto_adjusts", "not needed", "", "windows have a time and a count"),
    _row("perf_output perf_output_path", "not needed", "", "`harness explain` shows a point"),
    _row("client_max_retries", "not needed", "", "`backends.server.start_timeout` bounds the wait"),
    _row("duration_seconds monitoring_interval", "not needed", "",
         "readings are taken through every window, at the sensors' own rates"),
    _row("collect_cpu_metrics always_report_gpu_metrics", "not needed", "",
         "what can be read is always measured"),
    _row("dcgm_disable", "not needed", "", "GPUs are read through NVML"),
    # files
    _row("checkpoint_directory", "not needed", "", f"{_ALWAYS}; `harness run --resume`"),
    _row("export_path", "not needed", "", "`harness run --output`"),
    _row("output_model_repository_path override_output_model_repository", "not needed", "",
         "the best configuration is `best/` in the run directory"),
    _row("filename_model_inference filename_model_gpu filename_server_only", "refused", "",
         "the files have Model Analyzer's default names"),
    _row("inference_output_fields gpu_output_fields server_output_fields", "not needed", "",
         "three files have Model Analyzer's columns, `measurements.csv` has everything"),
    _row("num_top_model_configs", "not needed", "", _REPORT),
    _row("skip_summary_reports skip_detailed_reports report_model_configs output_formats",
         "not needed", "", _REPORT),
    _row("plots", "refused", "", "the report's plots are its own, each with its table"),
    _row("config_file mode version quiet verbose", "not needed", "", "of the command line"),
]  # fmt: skip

TABLE: dict[str, Row[Analysis]] = {row.name: row for rows in _LINES for row in rows}
"""Every key, in the order in which they are translated."""
OF_MODEL = frozenset({
    "cpu_only", "objectives", "constraints", "weighting", "parameters", "model_config_parameters",
    "perf_analyzer_flags", "genai_perf_flags", "triton_server_flags", "triton_server_environment",
    "triton_docker_args",
})  # fmt: skip
"""Keys that an entry of `profile_models` may have."""
ONLY_OF_MODEL = frozenset({"cpu_only", "parameters", "model_config_parameters"})
_REPLACED = frozenset({"objectives", "constraints", "weighting"})
"""Keys of a model in whose place those for all models are not read."""


def translate(text: str, file: str, directory: Path) -> list[Draft]:
    """The scenarios of a file, the measured models in its order; mistakes are in `problems`.

    Raises ScenarioError where it is no YAML or names no model.
    """
    root, faults = tree.parse(text, file)
    problems = [Problem(f.mark.file, f.mark.line, f.mark.column, "", f.message) for f in faults]
    if root is None or not isinstance(root.value, dict) or problems:
        nothing = Problem(file, 1, 1, "", "expected a mapping (key: value)")
        raise ScenarioError(problems or [nothing])
    top = root.value
    models = _models(top, file)
    together = values.is_true(_plain(top, "run_config_profile_models_concurrently_enable"))
    groups = [models] if together else [[model] for model in models]
    return [_one(top, group, file, directory) for group in groups]


def _plain(top: Mapping[str, TreeEntry], name: str) -> object:
    return top[name].node.data() if name in top else None


def _models(top: Mapping[str, TreeEntry], file: str) -> list[ProfileModel]:
    entry = top.get("profile_models")
    mark = entry.node.mark if entry else Mark(file, 1, 1)
    try:
        found = rules.read_models(entry.node) if entry else []
        message = "" if found else "name at least one model"
    except BadValueError as error:
        found, message = [], str(error)
    if message:
        raise ScenarioError([Problem(file, mark.line, mark.column, "profile_models", message)])
    return found


def _one(
    top: Mapping[str, TreeEntry], models: list[ProfileModel], file: str, directory: Path
) -> Draft:
    name = f"{scenario_name(models[0].name)}-model-analyzer"[:80]
    analysis = Analysis(Draft(name, directory, file), top, models)
    _defaults(analysis, file)
    for key in TABLE:
        if key in top and key not in ONLY_OF_MODEL:
            replaced = key in _REPLACED and key in analysis.model.settings
            _apply(analysis, key, top[key].key, top[key].node, key, skip=replaced)
        for number, model in enumerate(models):
            if key in model.settings and key in OF_MODEL:
                entry = model.settings[key]
                path = f"profile_models.{model.name}.{key}"
                _apply(analysis, key, entry.key, entry.node, path, skip=number > 0)
    _unknown(analysis)
    space.put_all(analysis)
    analysis.draft.outcomes.sort(key=lambda o: (o.mark.line, o.mark.column))
    return analysis.draft


def _apply(analysis: Analysis, key: str, mark: Mark, node: Node, path: str, *, skip: bool) -> None:
    """`skip`: what a model says itself, and what the co-located models say, is put elsewhere."""
    row = TABLE[key]
    call = partial(row.rule, analysis, node) if row.rule and not skip else None
    analysis.draft.apply(row, path, node.mark if node.mark.line == mark.line else mark, call)


def _unknown(analysis: Analysis) -> None:
    places = [("", analysis.top, frozenset(TABLE) - ONLY_OF_MODEL)]
    places += [(f"profile_models.{m.name}.", m.settings, OF_MODEL) for m in analysis.models]
    for path, settings, known in places:
        for key, entry in settings.items():
            if key not in known and not key.startswith("x-"):
                message = "Model Analyzer has no such key here"
                near = nearest(key, known)
                analysis.draft.problem(entry.key, path + key, message, near)


def _defaults(analysis: Analysis, file: str) -> None:
    """What Model Analyzer does where nothing is said, in the order of the scenario."""
    draft, model = analysis.draft, analysis.model
    launch = str(analysis.plain("triton_launch_mode", "local")).lower()
    analysis.launch = launch if launch in server.LAUNCH_MODES else "local"
    protocol = str(analysis.plain("client_protocol", "grpc")).lower()
    analysis.protocol = protocol if protocol in ("http", "grpc") else "grpc"
    draft.put("scenario", draft.name)
    analysis.put("model.name", scenario_name(model.name), "profile_models", model.mark)
    draft.put("model.source", {"triton": model.name})
    draft.put("backends.kind", "triton")
    draft.put("backends.protocol", analysis.protocol, "its default")
    draft.put("backends.server", {})
    if analysis.launch == "remote":
        draft.put("backends.server.url", f"localhost:{8001 if protocol == 'grpc' else 8000}",
                  "its default")  # fmt: skip
        draft.put("backends.server.load", True, "it loads and unloads models")
        draft.put("backends.server.metrics_url", "localhost:8002", "its default")
    elif "model_repository" not in analysis.top:
        draft.problem(Mark(file, 1, 1), "model_repository", "is missing: the models to be served")
    if analysis.launch == "docker":
        draft.put(
            "backends.server.docker.image", _IMAGE, "its default: write the one you serve with"
        )
    draft.put(
        "measurement.profile", "standard", "five rounds or more; search finds the best soonest"
    )
