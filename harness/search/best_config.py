"""The best config of a search as a model directory that is ready to serve.

    RUN/best/resnet50/config.pbtxt     the config, under the model's own name
    RUN/best/resnet50/1/…              its files, copied; nothing links to the run
    RUN/best/detector/…                the co-located models, if the scenario has any
    RUN/best/difference.diff           against the default config
    RUN/best/README.md                 which it is, why, and how to serve it

An ONNX file is copied out of the cache. What `serve: torch` and `serve: tensorrt` run stays there
(weights, the ONNX file that an engine is built from, the engine), and README.md says so. Models
that an ensemble or a `model.py` calls are not copied: they are in the user's repository.

Made from the run directory and the files that it names; `harness report` makes it again.
"""

from __future__ import annotations

import difflib
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.best import INDIFFERENCE, Choice, choose, indifference_of, nearest
from harness.analysis.constraints import Bounds, bounds_of
from harness.analysis.differences import Differences
from harness.analysis.objective import objective_of
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import ServerError
from harness.results.events import Best
from harness.results.store import MANIFEST, RunData
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.files import copy_regular, inside, write_text
from harness.system.text import harness_command
from harness.triton.metadata import proto
from harness.triton.repository.change import CONFIG, read_config
from harness.triton.repository.write import TITLES

BEST, DIFFERENCE, README = "best", "difference.diff", "README.md"
LARGEST = 10_000
"""Files and folders that all models together may have."""
_INSTANCE_FILES = "loaded-*.json"
"""What an instance wrote about itself in the run."""


@dataclass(frozen=True, slots=True)
class Picked:
    """The config that is written, and in words why."""

    row: SummaryRow
    why: str
    tied: tuple[str, ...] = ()
    """Other configs that can't be told apart from it, or that are on the front beside it."""


def write_best(data: RunData, target: Path | None = None, *, own: bool = False) -> Best:
    """Write `best/` below `target` (the run directory); what was written, as the journal has it.

    Only backends that were measured in several configs take part. Where no point holds the
    constraints, nothing is written and `why` says what is nearest. Raises ServerError when the
    files of the model are gone.

    Only the run that makes them (`own`) follows links out of its directory. Later, names and links
    are data: what lies outside is taken from the `best/` that the run has made, or not at all.
    """
    every = summarize(data.measurements, data.failures)
    varied = {row.backend for row in data.loads if "settings" in row.details}
    rows = [r for r in every if r.backend in varied]
    scenario = data.scenario
    bounds, objective = bounds_of(scenario), objective_of(scenario)
    zone = indifference_of(scenario)
    picked = pick(choose(rows, objective, bounds, zone, Differences(every)), zone)
    if picked is None:
        return Best(why=_none(rows, bounds))
    folder = (target or data.path) / BEST
    model = _name_of(scenario.get("model"))
    fresh = folder.with_name(f".{BEST}.new")
    _remove(fresh)
    try:
        env = _fill(fresh, _Files(data, picked.row, own), picked, model)
    except OSError as error:
        raise ServerError(f"{error.filename or fresh} can't be copied: {error.strerror}") from None
    except BaseException:
        _remove(fresh)
        raise
    _remove(folder)
    fresh.rename(folder)
    return Best(
        picked.row.backend, picked.row.config, picked.row.point, f"{BEST}/{model}",
        f"{BEST}/{DIFFERENCE}", picked.tied, picked.why, env,
    )  # fmt: skip


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, files: _Files, picked: Picked, model: str) -> dict[str, str]:
    """Write what belongs into `best/`; the environment that the server needs."""
    difference = ""
    texts = []
    for name, source, default in files.models(model):
        text = files.copy(source, folder / _model_name(name))
        texts.append(text)
        before = _text(read_config(default), name)
        difference += _difference(before, text, picked.row.config, name)
    write_text(folder / DIFFERENCE, difference)
    env = _environment(files.data, picked.row)
    write_text(folder / README, _readme(picked, model, difference, env, texts))
    return env


def pick(choice: Choice, zone: float = INDIFFERENCE) -> Picked | None:
    """The point whose config is written; None without candidates."""
    row = choice.recommended or choice.best
    if row is None:
        return None
    others = tuple(dict.fromkeys(
        _name(r) for r in choice.tied if (r.backend, r.config) != (row.backend, row.config)
    ))  # fmt: skip
    if len({(r.backend, r.config) for r in choice.candidates}) == 1:
        why = "the only config that can be ranked"
    elif choice.is_front:
        why = "on the Pareto front; of its points the best by the geometric mean of the objectives"
    elif not choice.decidable:
        why = "the best value; with one round no difference can be shown"
        others = ()
    elif others:
        near = f" and measured within {100 * zone:g} % of the best"
        those = f"can't be told apart{'' if len(choice.close) == len(choice.tied) else near}"
        why = (
            f"of those that {those}, the cheapest in memory" if len(choice.close) > 1
            else "of those that can't be told apart, the one that measured best"
        )  # fmt: skip
    else:
        why = "better than every other config"
    return Picked(row, why, others)


def _name(row: SummaryRow) -> str:
    return f"{row.backend}/{row.config}"


def _none(rows: list[SummaryRow], bounds: Bounds) -> str:
    found = nearest(rows, bounds)
    if found is None:
        return "no point of a searched backend can be ranked"
    parts = []
    for miss in found.misses:
        limit = "at most" if bounds[miss.metric].get("max") is not None else "at least"
        value, how = "n/a", ""
        if miss.found is not None:
            value = f"{miss.found.value:.6g}"
            how = f" ({miss.missed}{'' if miss.by else ' by the value, which is not enough'})"
        parts.append(f"{miss.metric} {value}, where {limit} {miss.bound:g} is asked{how}")
    return f"no point is shown to hold every constraint; the nearest, {found.row.point}, " \
           f"has {', '.join(parts)}"  # fmt: skip


def _name_of(model: object) -> str:
    """What a model is called on the server. Raises ServerError where the manifest does not say."""
    entry = model if isinstance(model, Mapping) else {}
    source = entry.get("source")
    known = source.get("triton") if isinstance(source, Mapping) else None
    if not (name := known or entry.get("name")):
        raise ServerError(f"{MANIFEST} does not say what the model is called")
    return str(name)


def _environment(data: RunData, row: SummaryRow) -> dict[str, str]:
    loads = [x for x in data.loads if (x.backend, x.config) == (row.backend, row.config)]
    env = loads[-1].details.get("settings", {}).get("env") if loads else None
    return {str(k): str(v) for k, v in env.items()} if isinstance(env, Mapping) else {}


def _model_name(name: str) -> str:
    """The name as that of a folder. Raises ServerError for one that leads elsewhere."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ServerError(f"a model can't be called '{name}'")
    return name


class _Files:
    """The files of a config's models in a run directory."""

    def __init__(self, data: RunData, row: SummaryRow, own: bool) -> None:
        self.data, self._row, self._own = data, row, own
        self._root = data.path.resolve()
        earlier = data.rows(Best)[-1:]
        same = bool(earlier) and earlier[0].backend == row.backend
        self._left = LARGEST
        self._earlier = self._root / BEST if same else None
        """What the run has made of the same backend, with files that its links led to."""

    def models(self, model: str) -> list[tuple[str, Path, Path]]:
        """The measured model and those beside it: name, directory of the config, of the default."""
        backends = self.data.scenario.get("backends") or ()
        spec: Mapping[str, Any] = next(
            (b for b in backends if b.get("name") == self._row.backend), {}
        )
        found = {model: ""}
        for other in spec.get("colocated") or ():
            found[_name_of(other.get("model") or other)] = other["name"]
        return [
            (
                name, self._directory(self._row.config, colocated, name),
                self._directory(DEFAULT_CONFIG, colocated, name),
            )
            for name, colocated in found.items()
        ]  # fmt: skip

    def _directory(self, config: str, colocated: str, name: str) -> Path:
        """The directory that served a config, or then the model `colocated`, in the latest round.

        Raises ServerError.
        """
        backend = self._row.backend
        for row in reversed(self.data.loads):
            if (row.backend, row.config) != (backend, config):
                continue
            facts = row.details.get("colocated", {}).get(colocated, {}) if colocated \
                else row.details  # fmt: skip
            path = self._root / str(facts.get("model_directory", ""))
            if "model_directory" in facts and path.is_dir():
                if self._may(path) and self._may(path / CONFIG):
                    return path
                return self._again(Path(_model_name(name)), path)
        what = f"{colocated} beside {backend}/{config}" if colocated else f"{backend}/{config}"
        raise ServerError(f"the model directory of {what} is not in {self.data.path}")

    def _may(self, path: Path) -> bool:
        return self._own or inside(self._root, path) is not None

    def _again(self, name: Path, found: Path) -> Path:
        """A file or folder of the earlier `best/`, in place of `found`. Raises ServerError."""
        path = self._earlier / name if self._earlier else None
        parts = [] if path is None else [path, *path.rglob("*")]
        if path is None or not path.exists() or any(inside(self._root, p) is None for p in parts):
            raise ServerError(f"{found} leads out of {self.data.path}")
        return path

    def copy(self, source: Path, directory: Path) -> str:
        """Copy a model directory with what its links lead to; the config.pbtxt it then has."""
        ours = shutil.ignore_patterns(_INSTANCE_FILES, CONFIG, "__pycache__")
        away: list[Path] = []

        def ignore(folder: str, names: list[str]) -> set[str]:
            left_out = set(ours(folder, names))
            self._left -= len(names)
            if self._left < 0:
                raise ServerError(f"{source} has too many files, or links in a circle")
            outside = {n for n in names if n not in left_out and not self._may(Path(folder, n))}
            away.extend(Path(folder, n).relative_to(source) for n in outside)
            return left_out | outside

        try:
            shutil.copytree(source, directory, ignore=ignore, copy_function=copy_regular)
        except shutil.Error as error:
            gone = error.args[0][0][0] if error.args and error.args[0] else source
            raise ServerError(f"{gone} can't be copied: {error}") from None
        for part in away:
            found = self._again(directory.name / part, source / part)
            if found.is_dir():
                shutil.copytree(found, directory / part, copy_function=copy_regular)
            else:
                copy_regular(found, directory / part)
        config = read_config(source)
        self._localise(config, directory)
        text = _text(config, directory.name)
        write_text(directory / CONFIG, text)
        return text

    def _localise(self, config: Any, directory: Path) -> None:
        """Put the ONNX file that the harness's model.py runs beside it, out of the cache."""
        from harness.models.cache import parts
        from harness.triton.repository.native import place

        if "onnx" not in config.parameters or not (directory / "1" / "model.py").exists():
            return
        file = Path(config.parameters["onnx"].string_value)
        if file.is_absolute():
            if not self._may(file):
                file = self._again(directory.name / Path("1", "model.onnx"), file)
                if not all(map(self._may, parts(file))):
                    raise ServerError(f"the data of {file} lies outside of {self.data.path}")
            place(file, directory / "1" / "model.onnx")
            config.parameters["onnx"].string_value = "model.onnx"


def _text(config: Any, name: str) -> str:
    config.name = name
    return str(proto().text(config))


def _difference(default: str, best: str, config: str, model: str) -> str:
    """A unified diff; the file that a model runs may lie elsewhere without being another."""
    lines = difflib.unified_diff(
        _settings(default), _settings(best), f"{DEFAULT_CONFIG}/{model}", f"{config}/{model}",
        lineterm="",
    )  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def _settings(text: str) -> list[str]:
    """Lines of a configuration with the path of the ONNX file cut to what every copy has."""
    config = proto().from_text(text, proto().ModelConfig())
    if "onnx" in config.parameters:
        config.parameters["onnx"].string_value = "model.onnx"
    return str(proto().text(config)).splitlines()


def _readme(
    picked: Picked, model: str, difference: str, env: Mapping[str, str], configs: Sequence[str]
) -> str:
    variables = "".join(f"{k}={shlex.quote(v)} " for k, v in env.items())
    tied = f"Can't be told apart from it: {', '.join(picked.tied)}.\n" if picked.tied else ""
    shown = f"```diff\n{difference}```" if difference else "It is the default configuration."
    return (
        f"# {model}: {_name(picked.row)}\n\n"
        f"Its best point is {picked.row.point}: {picked.why}.\n{tied}\n"
        f"{_serving(variables, configs)}\n\n"
        f"Against the default configuration:\n\n{shown}\n"
    )


def _serving(variables: str, configs: Sequence[str]) -> str:
    """How the directory is served, and what it needs besides itself."""
    message = proto()
    found = [message.from_text(text, message.ModelConfig()) for text in configs]
    serves = {c.parameters["serve"].string_value for c in found if "serve" in c.parameters}
    server = f'`{variables}tritonserver --model-repository="$PWD"/{BEST}`'
    lines = [f"Serve it from this folder's parent with a Triton of the same version: {server}."]
    if all((c.backend or c.platform) in ("python", "ensemble") for c in found):
        lines = [
            "Serve it from this folder's parent:\n",
            f"    {variables}{harness_command('triton', 'serve', '--repository', BEST)}\n",
            f"or with any Triton of the same version: {server}.",
        ]
    if "onnxruntime" in serves:
        lines.append("The `model.py` that runs ONNX Runtime needs Python with `onnxruntime`.")
    if away := sorted(serves & {"torch", "tensorrt"}):
        lines.append(
            f"The `model.py` that runs {' or '.join(TITLES[a] for a in away)} needs Python with "
            "`inference-harness`, and files of the harness's cache: `1/prepared.json` and\n"
            "`config.pbtxt` say where they lie. So it serves on this machine only."
        )
    if any(c.HasField("ensemble_scheduling") for c in found):
        lines.append("The ensemble's steps are not here: copy them from your repository.")
    return "\n".join(lines)
