"""What a word on the command line is: a server, a repository, a file or a factory; then asked."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.init.found import Found
from harness.init.triton import Choose, Written
from harness.models.tensors import TensorSpec
from harness.scenario.writing import scenario_name
from harness.triton.client.url import is_url, parse_url

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
KINDS = "a Triton URL, a model repository, an ONNX file, an exported program or module:function"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the scenario is to be about, and where it will lie."""

    source: str
    folder: Path
    """Of the scenario: its paths are relative to it."""
    model: str = ""
    inputs: Sequence[TensorSpec] = ()
    access: Written = field(default_factory=Written)


def examine(subject: Subject, choose: Choose) -> Found:
    """Look at the model. Raises UsageError for what is none of `KINDS`, and what each raises."""
    source, path = subject.source, Path(subject.source)
    if is_url(source):
        return _server(subject, choose)
    if path.is_dir():
        from harness.init.triton import examine_repository

        return examine_repository(path, _relative(subject, path), subject.model, choose)
    if path.is_file():
        return _file(subject, path)
    if _FACTORY.fullmatch(source):
        from harness.init.torch import examine_factory

        name = subject.model or source.partition(":")[2]
        return examine_factory(source, scenario_name(name), Path.cwd(), subject.inputs)
    raise UsageError(f"'{source}' is not there, and is neither a URL nor module:function",
                     fix=f"give {KINDS}")  # fmt: skip


def _server(subject: Subject, choose: Choose) -> Found:
    from harness.init.triton import examine_server

    access = subject.access
    url = parse_url(subject.source, access.headers, access.ca or None, verify=access.verify)
    return examine_server(url, access, subject.model, choose)


def _file(subject: Subject, path: Path) -> Found:
    written, name = _relative(subject, path), scenario_name(subject.model or path.stem)
    if path.suffix.lower() == ".onnx":
        from harness.init.onnx import examine as examine_onnx

        return examine_onnx(path, written, name)
    if zipfile.is_zipfile(path):
        from harness.init.torch import examine_program

        return examine_program(path, written, name)
    engine = path.suffix in (".plan", ".engine", ".trt")
    hint = "write its scenario by hand: source: {engine: …}" if engine else f"give {KINDS}"
    raise UsageError(f"{path} is neither an ONNX file nor an exported program", fix=hint)


def _relative(subject: Subject, path: Path) -> str:
    return str(path) if path.is_absolute() else os.path.relpath(path, subject.folder)
