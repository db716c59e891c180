"""The scenario's environments: virtual environments made by pip, once for the same requirements.

One lies in the cache folder under `environments/KEY`, where the key is made from what it depends
on: this Python, the requirements, where they are looked for, and the wheels that lie there. It
counts once its `lock.json` is there, which is written last; what a kill left half made is made
anew. A worker finds the harness by a folder that holds a link to it and nothing else, so that no
package of the harness's own environment is ever imported into another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.errors import HarnessError, InterpreterError
from harness.models.cache import file_hash, locked, text_hash
from harness.scenario.spec.environment import Environment
from harness.scenario.spec.scenario import Scenario
from harness.system import credentials
from harness.system.environment import PACKAGE_IN
from harness.system.files import write_text
from harness.system.guard import spawn
from harness.system.paths import PACKAGE

Tell = Callable[[str], object]
"""Is told what goes on, in words."""
LAST_LINES = 6
"""Of the installer, that the message of a failure has."""
LOOK_S = 120.0
"""How long an interpreter may take to say what it has."""
OLDEST = (3, 11)
LOCK = "lock.json"
_ASK = """
import importlib.metadata as m, json, sys
known = reversed([*m.distributions()])  # of a name the first on the path, which is imported
packages = {d.metadata["Name"].lower(): {"version": d.version} for d in known}
print(json.dumps({"version": list(sys.version_info[:3]), "packages": packages}))
"""
_NOISE = ("WARNING:", "Looking in")
_LIKE_URL = re.compile(r"[a-z+]+://|\S+\s*@\s*\S+")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python in which a worker can be started, and what is installed there."""

    python: str
    version: str
    packages: Mapping[str, Mapping[str, str]]
    """Name → its `version` and, where pip said them, `sha256` and `url`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of its workers."""

    def to_json(self) -> dict[str, object]:
        """As the manifest has it: the lock."""
        return {key: value for key, value in asdict(self).items() if key != "env"}


Interpreters = Mapping[str, Interpreter | HarnessError]
"""Name of an environment → its Python, or why there is none."""


def find_python(name: str, written: str, base: Path) -> str:
    """The path of an environment's interpreter, which a name without a slash is looked up for.

    Raises InterpreterError.
    """
    path = base / Path(written).expanduser() if os.sep in written else None
    found = str(path) if path is not None and path.is_file() else shutil.which(written)
    if found is None:
        raise InterpreterError(f"environment {name}: there is no {path or written}")
    return found


def make_environments(
    scenario: Scenario, base: Path, cache: Path, log: Path, tell: Tell
) -> dict[str, Interpreter | HarnessError]:
    """Every environment that a backend names, made where it is not there yet.

    One that can't be made is a failure of the backends that name it, not of the others.
    """
    needs: dict[str, set[str]] = {}
    for spec in scenario.backends:
        if spec.environment:
            needs.setdefault(spec.environment, set()).update(spec.worker_needs)
    found: dict[str, Interpreter | HarnessError] = {}
    for name, wanted in needs.items():
        try:
            making = _Making(name, scenario.environments[name], sorted(wanted), base, cache, log)
            found[name] = making.interpreter(tell)
        except HarnessError as error:
            found[name] = error
    return found


@dataclass(frozen=True, slots=True)
class _Making:
    name: str
    spec: Environment
    needs: Sequence[str]
    base: Path
    cache: Path
    log: Path

    def interpreter(self, tell: Tell) -> Interpreter:
        """The Python with its packages. Raises InterpreterError, SetupError."""
        env = {PACKAGE_IN: str(package_alone(self.cache))}
        if self.spec.python is not None:
            python = find_python(self.name, self.spec.python, self.base)
            return Interpreter(python, *self._able(python), env)
        folder = self.cache / "environments" / self._key()
        with locked(folder.with_suffix(".lock")):  # another process waits while one makes it
            if not (folder / LOCK).is_file():
                tell(f"environment {self.name}: making it in {folder}")
                self._make(folder, tell)
            version, packages = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return Interpreter(str(folder / "bin" / "python"), version, packages, env)

    def _ask(self, python: str) -> tuple[str, dict[str, dict[str, str]]]:
        """Version and packages of an interpreter. Raises InterpreterError: it can't run, is old."""
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        try:
            done = subprocess.run(
                [python, "-I", "-c", _ASK], capture_output=True, text=True, check=True,
                timeout=LOOK_S, env=env,
            )  # fmt: skip
            said = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise InterpreterError(
                f"environment {self.name}: {python} is no Python that runs: {error}"
            ) from error
        version = ".".join(map(str, said["version"]))
        if tuple(said["version"]) < OLDEST:
            raise InterpreterError(
                f"environment {self.name}: {python} is Python {version}; a worker needs 3.11"
            )
        return version, said["packages"]

    def _able(self, python: str) -> tuple[str, dict[str, dict[str, str]]]:
        """The same of one that we don't fill. Raises InterpreterError: a worker can't run there."""
        version, packages = self._ask(python)
        if lacks := [n for n in ("numpy", "pydantic") if n not in packages]:
            raise InterpreterError(
                f"environment {self.name}: {python} has no {' and no '.join(lacks)}",
                fix=shlex.join([python, "-m", "pip", "install", *lacks]),
            )
        return version, packages

    @property
    def _requirements(self) -> list[str]:
        """What was written, paths made absolute, and what the worker needs beside it."""
        written = [self._located(text) for text in self.spec.packages]
        names = {re.split(r"[^A-Za-z0-9._-]", text)[0].lower() for text in self.spec.packages}
        return [*written, *(n for n in self.needs if re.split("[>=]", n)[0] not in names)]

    def _located(self, text: str) -> str:
        """A requirement or place of wheels; a path is seen from the scenario's folder."""
        path = self.base / Path(text).expanduser()
        return str(path.resolve()) if not _LIKE_URL.match(text) and path.exists() else text

    @property
    def _folders(self) -> list[Path]:
        """Local ones that hold wheels."""
        return [p for text in self.spec.find_links if (p := Path(self._located(text))).is_dir()]

    def _key(self) -> str:
        """Names the environment by its content."""
        files = [Path(r) for r in self._requirements if Path(r).is_file()]
        files += [p for folder in self._folders for p in sorted(folder.glob("*.whl"))]
        about = {
            "python": [sys.version, sys.base_prefix], "requirements": self._requirements,
            "from": self.spec.model_dump(mode="json", include={"index", "extra_index"}),
            "find_links": [self._located(text) for text in self.spec.find_links],
            "files": [(p.name, file_hash(p)) for p in files],
        }  # fmt: skip
        return text_hash(about)[:24]

    def _make(self, folder: Path, tell: Tell) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._run([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)], tell)
        report = folder / "report.json"
        install = [
            *self._pip(), "--python", str(folder / "bin" / "python"), "install",
            "--progress-bar", "off", "--no-compile", "--report", str(report),
            *map(credentials.expand, self._requirements),
        ]  # fmt: skip
        local = [f"--find-links={folder}" for folder in self._folders]
        if not local or not self._offline([*install, "--no-index", *local], tell):
            self._run([*install, *self._places()], tell)
        version, packages = self._ask(str(folder / "bin" / "python"))
        for name, facts in _hashes(report).items():
            packages.setdefault(name, {}).update(facts)
        write_text(folder / LOCK, json.dumps([version, packages], indent=1))

    def _offline(self, command: Sequence[str], tell: Tell) -> bool:
        """Whether local folders hold all of it: then no index is asked."""
        with contextlib.suppress(InterpreterError):
            self._run(command, tell)
            return True
        return False

    def _pip(self) -> list[str]:
        options = ["--disable-pip-version-check", "--no-input"]
        return [sys.executable, "-I", "-m", "pip", *options]

    def _places(self) -> list[str]:
        spec, expand = self.spec, credentials.expand
        found = [] if spec.index is None else [f"--index-url={expand(spec.index)}"]
        found += [f"--extra-index-url={expand(url)}" for url in spec.extra_index]
        return [*found, *(f"--find-links={expand(self._located(p))}" for p in spec.find_links)]

    def _run(self, command: Sequence[str], tell: Tell) -> None:
        """Run it to its end, told line by line. Raises InterpreterError with its last lines."""
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        lines: list[str] = []
        read, write = os.pipe()
        try:
            process = spawn(command, stdout=write, stderr=write, env=env)
        finally:
            os.close(write)
        try:
            with open(read, encoding="utf-8", errors="replace") as said, self.log.open("a") as log:  # noqa: PTH123
                for written in map(credentials.redact, said):
                    log.write(written)
                    if line := written.strip():
                        lines.append(line)
                    if line and not line.startswith(_NOISE):
                        tell(f"environment {self.name}: {credentials.cut(line, 100)}")
            status = process.wait()
        finally:
            process.kill()
        if status:
            last = " | ".join(lines[-LAST_LINES:])
            raise InterpreterError(
                f"environment {self.name} could not be made; the installer ended with: {last}",
                fix=f"see {self.log}; check the requirements and whether the index can be reached",
            )


def _hashes(report: Path) -> dict[str, dict[str, str]]:
    """Name → where pip had it from and its SHA-256, as its report says."""
    found = {}
    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        info = item["download_info"]
        facts = {"url": credentials.redact(info["url"])}
        if sha256 := info.get("archive_info", {}).get("hashes", {}).get("sha256"):
            facts["sha256"] = sha256
        found[item["metadata"]["name"].lower()] = facts
    return found


def package_alone(cache: Path) -> Path:
    """A folder with a link to this harness, and nothing else."""
    digest = text_hash(str(PACKAGE))[:12]
    folder = cache / "environments" / f"harness-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / PACKAGE.name).symlink_to(PACKAGE, target_is_directory=True)
    return folder
