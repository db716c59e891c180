"""What a scenario may say of environments, and what it is told of its mistakes."""

from __future__ import annotations

import re

import pytest
from support.paths import ROOT

from harness.errors import ScenarioError
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.backend import all_settings

TEXT = """\
scenario: s
model: {{name: m, source: {{fake: {{}}}}}}
environments:
  new: {environment}
backends:
  - {{kind: fake, service_time_ms: 1{named}}}
"""


def problems(environment: str, named: str = ", environment: new") -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_text(TEXT.format(environment=environment, named=named))
    return [f"{p.line}:{p.column} {p.path}: {p.message}" for p in caught.value.problems]


@pytest.mark.parametrize(
    "package",
    [
        "onnxruntime==1.23.2", "torch[opt] == 2.6.0+cpu", "a @ https://x/y.whl", "../b-1.0.whl",
        "c==1.0; python_version > '3'",
    ],
)  # fmt: skip
def test_pinned_requirements(package: str) -> None:
    text = TEXT.format(environment=f'{{packages: ["{package}"]}}', named=", environment: new")
    scenario = load_text(text)
    assert scenario.environments["new"].packages == (package,)
    assert scenario.backends[0].name == "fake-new"


@pytest.mark.parametrize("package", ["onnxruntime", "torch>=2", "a==1.*", "b==1,!=2"])
def test_a_requirement_that_may_mean_several_versions(package: str) -> None:
    (said,) = problems(f"{{packages: ['{package}']}}")
    assert said.startswith("4:20 environments.new.packages[0]: ")
    assert f"'{package}' is not pinned" in said


def test_what_does_not_go_together() -> None:
    assert problems("{python: /x, packages: [a==1], find_links: [y]}") == [
        "4:21 environments.new.packages: goes without `python`: an interpreter has its packages; "
        "remove it",
        "4:39 environments.new.find_links: goes with `packages`, not with `python`; remove it",
    ]
    assert problems("{}") == ["4:8 environments.new: write `packages` or `python`"]


def test_a_password_belongs_into_a_variable() -> None:
    (said,) = problems("{packages: [a==1], index: 'https://me:secret@host/simple'}")
    assert "holds a password; write `${NAME}`" in said
    (said,) = problems('{packages: ["a @ https://me:secret@host/a.whl"]}')
    assert "packages: holds a password; write `${NAME}`" in said
    text = TEXT.format(
        environment="{packages: [a==1], index: 'https://me:${TOKEN}@host/simple'}", named=""
    )
    assert load_text(text).environments["new"].index == "https://me:${TOKEN}@host/simple"


def test_a_name_that_is_none() -> None:
    (said,) = problems("{packages: [a==1]}", ", environment: old")
    assert said.endswith("backends[0].environment: 'old' is none of `environments`")


def test_a_server_has_packages_of_its_own() -> None:
    text = TEXT.format(environment="{packages: [a==1]}", named="").replace(
        "kind: fake, service_time_ms: 1",
        "kind: triton, protocol: http, serve: onnxruntime, environment: new",
    )
    with pytest.raises(ScenarioError, match="a server has packages of its own; remove it"):
        load_text(text)


def test_what_workers_need_is_what_the_package_asks_for() -> None:
    wanted = set(re.findall(r'"([^"]+)"', (ROOT / "pyproject.toml").read_text()))
    assert {n for s in all_settings().values() for n in s.worker_needs} <= wanted
