"""The `environments` of a scenario: Python interpreters with packages of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from harness.scenario.rules.base import Broken, remove
from harness.scenario.spec import fields as of
from harness.scenario.spec.fields import Model

PINNED = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?(\s*==\s*[^\s*,;]+|\s*@\s*\S+)|\S+\.(whl|tar\.gz)"
)
"""A requirement that means one version: `NAME==VERSION`, `NAME @ URL`, or a wheel's path or URL."""
PASSWORD = re.compile(r"//[^/@]*:(?!\$\{)[^/@]+@")
OF_PIP = ("index", "extra_index", "find_links")


class Environment(Model):
    """A Python whose packages are not those of the harness; a backend names it as `environment`.

    `packages` makes a virtual environment, once for the same requirements; `python` takes one that
    is there. The worker needs numpy and pydantic beside the runtime: a virtual environment gets
    them without being asked.
    """

    packages: of.Many[Annotated[str, Field(min_length=1)]] = Field(
        (),
        description="requirements for pip, each pinned: `name==version`, `name @ URL`, or the path "
        "of a wheel",
    )
    python: str | None = Field(
        None, min_length=1, description="an interpreter that is there, in place of `packages`"
    )
    index: str | None = Field(
        None,
        description="pip's `--index-url`; `${NAME}` stands for an environment variable. Default: "
        "as pip is configured",
    )
    extra_index: of.Words = Field((), description="pip's `--extra-index-url`")
    find_links: of.Words = Field(
        (),
        description="folders or pages with wheels, pip's `--find-links`; where the folders hold "
        "all that is needed no index is asked",
    )

    def _broken(self) -> Iterator[Broken]:
        if self.python is not None:
            if self.packages:
                yield remove("packages", "goes without `python`: an interpreter has its packages")
            yield from self.idle("goes with `packages`, not with `python`", *OF_PIP)
        elif not self.packages:
            yield Broken((), "write `packages` or `python`", lacks=("packages", "python"))
        for key in (*OF_PIP, "packages"):
            if any(PASSWORD.search(str(text)) for text in of.as_tuple(getattr(self, key)) or ()):
                message = "holds a password; write `${NAME}` and set that environment variable"
                yield Broken((key,), message)
        for index, text in enumerate(self.packages):
            if not PINNED.fullmatch(text.partition(";")[0].strip()):
                message = f"'{text}' is not pinned; write one version, like `onnxruntime==1.23.2`"
                yield Broken(("packages", index), message)
