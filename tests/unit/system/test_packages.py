"""What a missing package's error tells the user to do, and that it would help."""

import ast
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import ROOT

from harness.errors import MissingPackageError, SetupError
from harness.system.packages import (
    ONNXRUNTIME_GPU,
    REQUIREMENTS,
    how_to_install,
    install_command,
    missing_package,
    onnxruntime_gpu_command,
    require,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = [
    Requirement(text) for group in (PROJECT["dependencies"], *EXTRAS.values()) for text in group
]
ALWAYS = {
    "click", "jinja2", "markupsafe", "matplotlib", "numpy", "pandas", "plotly", "psutil", "pyarrow",
    "pydantic", "pydantic_core", "rich", "scipy", "typing_extensions",
}  # fmt: skip
"""Import names of packages that can't be missing: those of the core, and what they bring."""
IN_TRITON = {"triton_python_backend_utils", "c_python_backend_utils"}


@pytest.mark.parametrize("text", [*REQUIREMENTS.values(), ONNXRUNTIME_GPU])
def test_what_a_missing_package_asks_for_is_what_pyproject_asks_for(text):
    assert Requirement(text) in ASKED


class RunTimeOnly(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        typing_only = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if typing_only else self.generic_visit(node)


def foreign_imports():
    """Top-level names that the package imports or `require`s, but for the standard library's."""
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(RunTimeOnly().visit(ast.parse(path.read_text()))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "require", "install_command",
            ):  # fmt: skip
                yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def test_every_package_that_can_be_missing_has_a_requirement():
    names = {name.partition(".")[0] for name in foreign_imports()}
    foreign = names - set(sys.stdlib_module_names) - {"harness"} - ALWAYS - IN_TRITON
    assert {"torch", "tritonclient", "PIL", "plutoprint"} <= foreign
    assert foreign - set(REQUIREMENTS) == set()
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert {canonicalize_name(n) for n in ALWAYS} - core == {
        "markupsafe", "pydantic-core", "typing-extensions",
    }  # fmt: skip


def test_no_error_names_a_distribution_that_is_on_no_index():
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr | ast.Constant)
        and ("install 'inference-harness" in ast.unparse(node) or "; pip " in ast.unparse(node))
    ]
    assert wrong == []


def test_install_command_is_for_this_python():
    start = f"{sys.executable} -m pip install "
    assert install_command("tritonclient.http") == start + "'tritonclient[all]>=2.50'"
    assert missing_package(ModuleNotFoundError(name="PIL.Image")).fix == start + "'pillow>=10'"


def test_nothing_is_guessed_of_a_module_that_may_be_the_users_own():
    fix = how_to_install("my_models.resnet")
    assert "provides 'my_models'" in fix
    assert "pip install" not in fix


def test_the_build_with_cuda_takes_the_place_of_the_one_without():
    first, second = onnxruntime_gpu_command().split(" && ")
    assert first == f"{sys.executable} -m pip uninstall --yes onnxruntime"
    assert second == f"{sys.executable} -m pip install '{ONNXRUNTIME_GPU}'"


def test_a_missing_package_comes_with_the_command_that_installs_it():
    with pytest.raises(MissingPackageError) as caught:
        require("no_such_runtime")
    assert caught.value.message == "no_such_runtime is not installed"
    assert "install the package that provides 'no_such_runtime'" in caught.value.fix
    assert sys.executable in caught.value.fix


def test_a_package_whose_own_import_fails_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import something_it_needs\n")
    (tmp_path / "no_library.py").write_text("raise ImportError('libcudart.so.13 not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, reason in (("half_there", "something_it_needs"), ("no_library", "libcudart")):
        with pytest.raises(Exception, match=f"{name} can't be imported: .*{reason}") as caught:
            require(name)
        assert not isinstance(caught.value, MissingPackageError)


def test_a_package_that_lacks_its_own_extra_comes_with_the_command_too(tmp_path, monkeypatch):
    (tmp_path / "like_tritonclient.py").write_text(
        "try:\n    import a_protocol_of_it\n"
        "except ModuleNotFoundError as error:\n    raise RuntimeError('not included') from error\n"
    )
    (tmp_path / "confused.py").write_text("raise RuntimeError('no such platform')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match="a_protocol_of_it") as caught:
        require("like_tritonclient")
    assert "install the package that provides 'like_tritonclient'" in caught.value.fix
    with pytest.raises(SetupError, match="confused can't be imported: no such platform") as other:
        require("confused")
    assert not isinstance(other.value, MissingPackageError)


@pytest.mark.parametrize("module", ["torch", "onnxruntime"])
def test_a_backend_without_its_package_says_so_when_it_is_opened(module):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from harness.errors import MissingPackageError\n"
        f"try:\n    import harness.backends.{module}.backend\n"
        "except MissingPackageError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{module} is not installed" in done.stdout
    assert f"fix: {install_command(module)}" in done.stdout
