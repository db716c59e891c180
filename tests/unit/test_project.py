import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.paths import ROOT

import harness

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_INSTALLED = {
    "onnxruntime-gpu", "pycuda", "pytools", "ray", "siphash24", "mlflow-skinny", "wandb",
}  # fmt: skip

made_by_make = pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="not the environment that `make setup` makes"
)


def requirements(*groups):
    return [Requirement(text) for group in groups for text in group]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in found.items()}


# ---------------------------------------------------------------------------------- dependencies


@pytest.mark.parametrize(
    "requirement", requirements(PROJECT["dependencies"], *EXTRAS.values()), ids=str
)
def test_every_requirement_has_a_pin_that_satisfies_it(requirement):
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


@made_by_make
def test_what_is_installed_is_what_is_pinned():
    wrong = {}
    for name, pin in pins().items():
        if name in NOT_INSTALLED:
            continue
        version = Version(importlib.metadata.version(name))
        if version.public != pin.public:
            wrong[name] = f"installed {version}, pinned {pin}"
    assert wrong == {}


@made_by_make
def test_everything_the_harness_pulls_in_is_pinned():
    """Follow the requirements of the extras that `make setup` installs, as pip does."""
    makefile = (ROOT / "Makefile").read_text()
    extras = re.search(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)[1].split(",")
    assert set(extras) <= set(EXTRAS)
    todo = requirements(PROJECT["dependencies"], *(EXTRAS[extra] for extra in extras))
    seen = set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for text in importlib.metadata.requires(requirement.name) or []:
            needed = Requirement(text)
            wanted = requirement.extras or {""}
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted):
                todo.append(needed)
    assert {name for name, _ in seen} - set(pins()) == set()


@made_by_make
def test_no_cuda_wheels_where_torch_is_a_cpu_build():
    if "+cpu" not in importlib.metadata.version("torch"):
        pytest.skip("this torch is a CUDA build")
    names = {canonicalize_name(d.name) for d in importlib.metadata.distributions()}
    assert {n for n in names if n.startswith("nvidia-")} == {"nvidia-ml-py"}


# --------------------------------------------------------------------------------------- package


def test_every_file_in_the_package_is_installed_with_it():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["harness"]
    package = ROOT / "harness"
    covered = {path for pattern in patterns for path in package.glob(pattern)}
    data = {
        path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert data - covered == set()


@pytest.mark.parametrize("path", sorted((ROOT / "harness").rglob("*.py")), ids=str)
def test_every_module_has_a_docstring(path):
    if path != ROOT / "harness" / "__main__.py" and "templates" not in path.parts:
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_every_module_can_be_imported_but_for_packages_that_are_optional():
    code = (
        "import importlib, pkgutil, harness\n"
        "for module in pkgutil.walk_packages(harness.__path__, 'harness.'):\n"
        "    try:\n"
        "        'templates' in module.name or importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missing = {name.partition(".")[0] for name in done.stdout.split()}
    assert missing <= {"pycuda", "cuda", "tensorrt", "tensorrt_rtx"}


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys; old = set(sys.modules); import harness; print(*(set(sys.modules) - old))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name for name in done.stdout.split() if name.partition(".")[0] == "harness"}
    assert new == {
        "harness", "harness.errors", "harness.backends", "harness.backends.registry",
        "harness.scenario", "harness.scenario.kinds",
        "harness.system", "harness.system.paths", "harness.system.environment",
    }  # fmt: skip
    others = {name.partition(".")[0] for name in done.stdout.split()} - {"harness"}
    assert others <= set(sys.stdlib_module_names)


@made_by_make
def test_the_console_script_and_the_module_are_the_same_program(run_cli):
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="harness")
    assert script.value == PROJECT["scripts"]["harness"] == "harness.cli.main:main"
    by_script = subprocess.run(
        [Path(sys.executable).with_name("harness"), "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert by_script.stdout == run_cli("--version").stdout


# ----------------------------------------------------------------------------------------- files


def test_the_pre_commit_configuration_is_valid():
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"],
        check=True,
    )


@made_by_make
def test_every_tool_that_make_and_pre_commit_name_is_in_the_environment():
    text = (ROOT / "Makefile").read_text() + (ROOT / ".pre-commit-config.yaml").read_text()
    tools = set(re.findall(r"(?:\$\(BIN\)|\.venv/bin)/([\w-]+)", text))
    assert {"ruff", "mypy", "harness", "python"} <= tools
    assert [t for t in tools if not Path(sys.executable).with_name(t).exists()] == []


def test_links_in_the_documents_lead_somewhere():
    link = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for target in link.findall(document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def test_the_changelog_has_an_unreleased_section_and_this_version_or_none():
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d[^\]]*)\]", text, re.MULTILINE)
    assert "## [Unreleased]" in text
    assert released[:1] in ([], [harness.__version__])
