"""The shell commands of the documentation, and which test stands for each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT

PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/howto").glob("*.md")),
)  # fmt: skip
FENCE = re.compile(r"^( *)```(?:sh|bash|shell|console)\n(.*?)^\1```$", re.M | re.S)
NEEDS_GPU = "needs a GPU"
CHEAP, HERE, SHELL = "run in every run of the tests", "run by make slow", "sets up the shell"
CI = ".ci/run"


class Command(NamedTuple):
    """One command of a page, as written; `line` is where it stands."""

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """Without its comment, what it is sent to the background by, and where its output goes."""
        return shlex.split(self.text.removesuffix("&").partition(" > ")[0], comments=True)

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}: {self.text}"


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page, one a line; a line that ends in a backslash goes on."""
    text = page.read_text("utf-8")
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start(2)) + 1
        for command in block[2].replace("\\\n", " ").splitlines():
            if command.strip() and not command.strip().startswith("#"):
                yield Command(str(page.relative_to(ROOT)), line, command.strip())
            line += 1


ACCOUNTS: tuple[tuple[str, str, str], ...] = (
    ("README.md", "harness export",
     "tests/integration/test_export_stores.py::test_a_run_is_in_mlflow"),
    ("docs/export.md", "harness export",
     "tests/integration/test_export_stores.py::test_a_run_is_in_mlflow"),
    ("docs/export.md", "pip install", "tests/support/packaged.py"),
    # page, how the command begins, and what runs it: a test, a script, CI, or a word from above
    ("README.md", "make demo",
     "tests/integration/test_scenarios.py::test_a_short_form_runs"),
    ("README.md", "make test", CI),
    ("README.md", "source ", SHELL),
    ("README.md", "harness validate", CHEAP),
    ("README.md", "harness run my.yaml --dry-run", CHEAP),
    ("README.md", "harness import", CHEAP),
    ("README.md", "harness run scenarios/triton-search.yaml",
     "tests/integration/test_scenarios.py::test_a_short_form_runs"),
    ("README.md", "harness stress",
     "tests/integration/test_scenarios.py::test_a_stress_in_a_short_form"),
    ("README.md", "harness compare",
     "tests/integration/test_compare_versions.py::test_two_versions_from_scenario_to_verdict"),
    ("README.md", "harness ", HERE),
    ("CONTRIBUTING.md", "make lint", CI),
    ("CONTRIBUTING.md", "make test", CI),
    ("CONTRIBUTING.md", "make setup", CI),  # what both need
    ("CONTRIBUTING.md", "make package", "tests/support/packaged.py"),
    ("CONTRIBUTING.md", ".venv/bin/pre-commit",
     "tests/unit/test_project.py::test_the_pre_commit_configuration_is_valid"),
    ("docs/compare.md", "harness compare",
     "tests/integration/test_compare_versions.py::test_two_versions_from_scenario_to_verdict"),
    ("docs/compare.md", "harness history", HERE),
    ("docs/first-steps.md", "harness init", HERE),
    ("docs/first-steps.md", "harness run scenario.yaml --dry-run", CHEAP),
    ("docs/first-steps.md", "harness run", HERE),
    ("docs/first-steps.md", "harness infer scenario.yaml",
     "tests/integration/test_infer.py::test_an_image_has_the_classes_that_the_runtime_alone_gives"),
    ("docs/first-steps.md", "harness infer",
     "tests/integration/test_infer.py::test_values_to_a_server"),
    ("docs/from-model-analyzer.md", "harness import", CHEAP),
    ("docs/from-model-analyzer.md", "harness validate", CHEAP),
    ("docs/from-model-analyzer.md", "harness run scenario.yaml --dry-run", CHEAP),
    ("docs/from-model-analyzer.md", "harness run", HERE),
    ("docs/gap.md", "harness explain",
     "tests/integration/test_docs_tutorial.py"),
    ("docs/import.md", "harness import", CHEAP),
    ("docs/many-gpus.md", "harness ", HERE),
    ("docs/monitor.md", "harness monitor", HERE),
    ("docs/own-backend.md", "python ",
     "tests/integration/test_own_backend.py::test_its_commands_measure_it"),
    ("docs/plan.md", "harness plan", HERE),
    ("docs/profile.md", "harness ", HERE),
    ("docs/reliability.md", "make assault", "tests/assault/assault.py"),
    ("docs/servers.md", "export ", SHELL),
    ("docs/servers.md", "harness run", HERE),
    ("docs/servers.md", "harness telemetry serve",
     "tests/integration/test_remote_telemetry.py::test_the_same_memory_as_a_local_run"),
    ("docs/stress.md", "pip install", "tests/support/packaged.py"),
    ("docs/stress.md", "harness stress scenarios/",
     "tests/integration/test_scenarios.py::test_a_stress_in_a_short_form"),
    ("docs/stress.md", "harness stress",
     "tests/integration/test_stress_hosts.py::test_the_worker_joins_from_there_with_its_own_copy_of_the_scenario"),
    ("docs/sharing.md", "harness share scenarios/",
     "tests/integration/test_scenarios.py::test_tenants_in_a_short_form"),
    ("docs/sharing.md", "harness share --resume",
     "tests/unit/tenants/test_execute.py::test_a_run_that_was_cut_off_is_finished_with_what_is_missing"),
    ("docs/sharing.md", "harness share reports/",
     "tests/unit/tenants/test_command.py::test_a_run_directory_is_shown_again"),
    ("docs/tutorial.md", "",
     "tests/integration/test_docs_tutorial.py::test_every_command_works_in_the_order_of_the_page"),
    ("docs/howto/ci-gate.md", "harness compare",
     "tests/integration/test_compare_versions.py::test_two_versions_from_scenario_to_verdict"),
    ("docs/howto/ci-gate.md", "harness run", HERE),
    ("docs/howto/gpumemory.md", "harness plan reports/sample", CHEAP),
    ("docs/howto/gpumemory.md", "harness plan",
     "tests/integration/test_docs_tutorial.py"),
    ("docs/howto/notebook.md", "pip install", "tests/support/packaged.py"),
    ("docs/howto/remote-triton.md", "harness ", HERE),
    ("docs/howto/versions.md", "harness compare upgrade.yaml",
     "tests/integration/test_compare_versions.py::test_two_versions_from_scenario_to_verdict"),
    ("docs/howto/versions.md", "harness calibrate",
     "tests/integration/test_capacity_calibrate_explain.py::test_calibration_is_kept_and_stands_in_the_next_report"),
    ("docs/howto/versions.md", "harness ", HERE),
)  # fmt: skip


def account(command: Command) -> str | None:
    """What runs it: a test's node id, a script, CI, one of the words above; None: nothing known."""
    if NEEDS_GPU in command.text:
        return NEEDS_GPU
    found = (
        how for page, begins, how in ACCOUNTS
        if page == command.page and command.text.startswith(begins)
    )  # fmt: skip
    return next(found, None)
