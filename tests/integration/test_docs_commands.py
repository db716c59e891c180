"""Every command that no other test stands for, as its page has it, page by page, in one shell each.

In place of the host `gpu-7` stands a real Triton here, minutes of watching become seconds, and `…`
or a date in a run directory's name is the one that was made. Scenarios that a command writes are
run with the short windows of SHORT, and ten rounds become three; nothing else of a command is
changed.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import watched_triton
from support.commands import CHEAP, HERE, PAGES, SHELL, Command, account, commands
from support.paths import ROOT
from support.watched_triton import served

from harness.results.store import read_run
from harness.triton.server.install import default_directory
from harness.triton.server.process import TritonServer

pytestmark = [pytest.mark.slow, pytest.mark.triton, pytest.mark.timeout(900)]
SHORT = (
    "measurement={profile: quick, rounds: 1, rounds_max: 1, warmup: 50ms, warmup_requests: 2, "
    "window: 200ms, window_requests: 20, window_max: 1s}"
)
MINE = f"""
scenario: my
model: {{name: net, source: {{torch: "tutorial_model:make"}}, inputs: [{{name: image, shape: [batch, 3, 64, 64]}}]}}
backends: [{{kind: torch, device: cpu, precision: fp32}}, {{kind: onnxruntime, name: onnx}}]
load: {{batch_sizes: [1], concurrency: [1]}}
{SHORT.replace("=", ": ", 1).replace("rounds: 1, rounds_max: 1", "rounds: 4, rounds_max: 4")}
constraints: {{latency_p99_ms: {{max: 1000}}}}
"""  # noqa: E501
REMOTE = """
scenario: remote
model: {name: my-model, source: {triton: my-model}}
backends:
- kind: triton
  protocol: http
  server: {url: "%s", headers: {Authorization: "Bearer ${TRITON_TOKEN}"}}
load: {batch_sizes: [1], concurrency: [1]}
"""
UNDECIDED = {"run": (0, 4, 5), "plan": (0, 4), "profile": (0, 4), "compare": (0, 1, 4),
             "merge": (0, 4, 5)}  # fmt: skip
"""Exit codes of what a busy machine's rounds may not decide; `merge` says what `run` would."""
Ended = subprocess.CompletedProcess[str]
OTHERS = sorted({c.page for page in PAGES for c in commands(page) if account(c) == HERE})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("docs") / "repository"
    with served(watched_triton.write(repository, ("my-model", "resnet50", "bert"))) as found:
        yield found


class Reader:
    """Somebody who works through one page in a folder of their own."""

    def __init__(self, folder: Path, server: TritonServer) -> None:
        self.folder, self.server = folder, server
        self.shell: list[str] = []
        self.env = {
            **os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "NO_COLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "160",
            "XDG_DATA_HOME": str(folder / "data"), "XDG_CACHE_HOME": str(folder / "cache"),
            "HARNESS_TRITON_DIR": str(default_directory()),  # what is installed
        }  # fmt: skip

    def typed(self, command: Command) -> str:
        """What is typed for it here."""
        text = command.text.replace("http://gpu-7:8000", f"http://{self.server.http}")
        text = text.replace("grpc://gpu-7:8001", f"grpc://{self.server.grpc}")
        if command.words[1] == "monitor":
            text = text.replace(" --", f" --metrics {self.server.metrics} --", 1)
            text = re.sub(r"--duration \S+", "--duration 2s", text)
        for kind in ("run", "profile"):
            found = sorted(self.folder.glob(f"reports/my-{'profile-' * (kind == 'profile')}2*"))
            pattern = r"reports/my-profile-…" if kind == "profile" else r"reports/my-2\d+-\d+"
            if found:
                text = re.sub(pattern, f"reports/{found[-1].name}", text)
        text = text.replace("measurement.rounds=10", "measurement.rounds=3")
        if command.words[1] == "run" and re.search(r"\b(scenario|remote)\.yaml", text):
            text = re.sub(r"(\w+\.yaml)", rf"\1 --set '{SHORT}'", text, count=1)
        return text

    def measure(self, *words: str) -> None:
        """A run that the page's reader has already made."""
        argv = ["harness", "run", *words, "-q"]
        done = subprocess.run(argv, cwd=self.folder, env=self.env, check=False, timeout=400)
        assert done.returncode in UNDECIDED["run"]

    def do(self, command: Command) -> Ended:
        """Type it, and look at how it ends; its exit code and what it said."""
        text = self.typed(command)
        argv = ["bash", "-c", "\n".join([*self.shell, text])]
        ours, theirs = pty.openpty()  # every question is answered by Return
        os.write(ours, b"\n" * 8)
        process = subprocess.Popen(
            argv, cwd=self.folder, env=self.env, text=True, start_new_session=True,
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if command.words[1] == "monitor" and not {"--once", "--duration"} & set(command.words):
            time.sleep(6)  # it is watched until Ctrl-C
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=400)
        os.close(ours)
        os.close(theirs)
        said = f"{command.where}\n{text}\n{out}\n{err}"
        assert process.returncode in UNDECIDED.get(command.words[1], (0,)), said
        assert "Traceback" not in err, said
        return subprocess.CompletedProcess(text, process.returncode, out, err)


@pytest.fixture
def reader(tmp_path: Path, server: TritonServer) -> Reader:
    for name in ("scenarios", "docs/images"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "scenarios/tutorial_model.py", tmp_path)
    shutil.copy(ROOT / "scenarios/models/tiny-mlp.onnx", tmp_path / "net.onnx")
    shutil.copytree(ROOT / "reports/sample", tmp_path / "reports" / "sample")
    (tmp_path / "my.yaml").write_text(MINE)
    (tmp_path / ".triton-token").write_text("a-token-of-many-characters")
    return Reader(tmp_path, server)


def analyzer(reader: Reader) -> None:
    """The Model Analyzer file of the page, and the repository that it names."""
    page = (ROOT / "docs/from-model-analyzer.md").read_text("utf-8")
    example = re.search(r"<!-- example -->\n```yaml\n(.*?)^```$", page, re.M | re.S)
    assert example is not None
    (reader.folder / "config.yaml").write_text(example[1])
    watched_triton.write(reader.folder / "models", ("resnet50",))
    config = reader.folder / "models" / "resnet50" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 4", "max_batch_size: 8"))


def two_runs(names: tuple[str, str]) -> Callable[[Reader], None]:
    """Runs of my.yaml on two days."""

    def prepare(reader: Reader) -> None:
        for name in names:
            reader.measure("my.yaml", "-o", f"reports/{name}")

    return prepare


def a_run(reader: Reader) -> None:
    reader.measure("my.yaml", "-o", "reports/my")


def the_other_shards(reader: Reader) -> None:
    for k in (2, 3):
        reader.measure("my.yaml", "--shard", f"{k}/4", "-o", f"shards/{k}")


def planned(reader: Reader) -> None:
    (reader.folder / "reports" / "run").symlink_to("sample")


def remote(reader: Reader) -> None:
    (reader.folder / "scenario.yaml").write_text(REMOTE % reader.server.http)


BEFORE: dict[str, Callable[[Reader], None]] = {
    "docs/from-model-analyzer.md": analyzer,
    "docs/many-gpus.md": the_other_shards,
    "docs/plan.md": planned,
    "docs/servers.md": remote,
    "docs/compare.md": two_runs(("nightly-1", "nightly-2")),
    "docs/howto/versions.md": two_runs(("monday", "tuesday")),
    "docs/profile.md": a_run,
}
"""What a page's reader has already."""
LEFT = {
    "README.md": ("reports/my/report.html", "bert.trace"),
    "docs/compare.md": ("history.html",),
    "docs/first-steps.md": ("reports/net-*/report.html", "reports/my-model-*/report.html"),
    "docs/from-model-analyzer.md": ("results/report.html", "results/summary.csv"),
    "docs/many-gpus.md": ("run/report.html", "reports/my-*/report.html"),
    "docs/monitor.md": ("traffic.jsonl", "monday.trace"),
    "docs/plan.md": ("deploy/arena/*",),
    "docs/profile.md": ("reports/my-profile-*/profile.json",),
    "docs/servers.md": ("reports/remote-*/report.html",),
    "docs/howto/ci-gate.md": ("events.jsonl", "reports/gate/report.html"),
    "docs/howto/remote-triton.md": ("remote.yaml", "reports/remote/report.html"),
    "docs/howto/versions.md": ("data/inference-harness/history.sqlite",),
}
"""What must be there when a page has been worked through."""


def the_files_or_why_there_are_none(reader: Reader, ended: dict[str, Ended]) -> None:
    """README's plan has files where its point used a GPU, else the one sentence in their place."""
    plan, folder = ended["plan"], reader.folder / "deploy"
    if plan.returncode == 4:
        assert "the run does not say whether a point holds p99" in plan.stderr
        assert not folder.exists()
        return
    chosen = re.match(r"\d+ replicas? of ([\w/.-]+)", plan.stdout)
    assert chosen is not None, plan.stdout
    rows = [r for r in read_run(reader.folder / "reports/my").measurements if r.point == chosen[1]]
    assert rows
    if any(row.gpu_memory_mib for row in rows):
        assert "No files" not in plan.stdout
        assert [*folder.glob("arena/*.sh")]
    else:
        why = (
            f"No files: of {chosen[1]} no GPU memory was measured, so there is none to ask for; "
            "plan from a run of a backend on a GPU.\n"
        )
        assert plan.stdout.count(why) == 2  # instead of the table, and at the end
        assert not folder.exists()


AFTER: dict[str, Callable[[Reader, dict[str, Ended]], None]] = {
    "README.md": the_files_or_why_there_are_none,
}
"""What else is looked at then."""


def test_each_page_says_what_it_leaves() -> None:
    assert sorted(LEFT) == OTHERS


@pytest.mark.parametrize("page", OTHERS)
def test_the_commands_of_a_page(reader: Reader, page: str) -> None:
    BEFORE.get(page, lambda _: None)(reader)
    ended: dict[str, Ended] = {}
    for command in commands(ROOT / page):
        how = account(command)
        if how == SHELL and "activate" not in command.text:
            reader.shell.append(command.text)
        if how == HERE or (how == CHEAP and page != "README.md"):
            ended[command.words[1]] = reader.do(command)
    for pattern in LEFT[page]:
        assert [*reader.folder.glob(pattern)], pattern
    AFTER.get(page, lambda *_: None)(reader, ended)
    for path in reader.folder.glob("reports/*/manifest.json"):
        if "profile" not in path.parent.name and path.parent.name != "sample":
            assert not read_run(path.parent).failures
