"""The directory of a profile: a kind of its own, so that nothing of it is taken for a measurement.

manifest.json    as of every run, with `kind: profile`
profile.json     `Profile`: what was found; written again with each backend and each try
traces/BACKEND-bN/*.pt.trace.json.gz   PyTorch Profiler's: Perfetto, chrome://tracing, and
                 TensorBoard with `--logdir traces`
traces/BACKEND-bN/onnxruntime.json     ONNX Runtime's own, for Perfetto
tries/           run directories of the changes that were tried
report.html
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import RunDirectoryError
from harness.profile.result import Profile
from harness.results.line import adapter, first_mistake
from harness.results.store import read_run
from harness.scenario.reading.loader import LoadedScenario, load_text
from harness.system.files import read_bytes, write_text

KIND, SCHEMA = "profile", 1
FILE, TRACES, TRIES = "profile.json", "traces", "tries"


def is_profile(directory: Path) -> bool:
    """Whether it is the directory of a profile."""
    return (directory / FILE).is_file()


def save(directory: Path, profile: Profile) -> None:
    """Write it atomically."""
    write_text(directory / FILE, text_of(profile))


def text_of(profile: Profile) -> str:
    """Its JSON."""
    return adapter(Profile).dump_json(profile, indent=1).decode() + "\n"


def read_profile(directory: Path) -> Profile:
    """Read what `save` wrote. Raises RunDirectoryError."""
    path = directory / FILE
    if not is_profile(directory):
        raise RunDirectoryError(f"{directory} is no directory of `harness profile`")
    try:
        found = adapter(Profile).validate_json(read_bytes(path))
    except ValidationError as error:
        raise RunDirectoryError(f"{path} can't be read: {first_mistake(error)}") from error
    except OSError as error:
        raise RunDirectoryError(f"{path} can't be read: {error.strerror}") from error
    if found.schema > SCHEMA:
        raise RunDirectoryError(f"{path} was written by a newer harness")
    return found


def loaded_of(directory: Path) -> LoadedScenario:
    """The scenario as it was when it was profiled. Raises RunDirectoryError, ScenarioError."""
    manifest = read_run(directory).manifest
    try:
        folder = Path(manifest["scenario_folder"])
        text, name = str(manifest["scenario_text"]), Path(manifest["scenario_path"]).name
        overrides = tuple(manifest["overrides"])
    except (KeyError, TypeError) as error:
        raise RunDirectoryError(f"the manifest of {directory} lacks {error}") from error
    scenario = load_text(text, str(folder / name), folder, overrides)
    return LoadedScenario(scenario, text, folder / name, overrides)
