"""A real tritonserver: starting, loading, failing, stopping, being killed."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from harness.errors import ServerError
from harness.system.environment import QUIET, worker_env
from harness.system.paths import PACKAGE
from harness.triton.server import api, ports, process
from harness.triton.server.command import OWN_OPTIONS, environment
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
CONFIG = """
backend: "python"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ count: {count} kind: KIND_CPU }}
"""
IDENTITY = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""


def add(repository: Path, name: str, code: str = IDENTITY, count: int = 1, config: str = CONFIG):
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(textwrap.dedent(code))
    (repository / name / "config.pbtxt").write_text(config.format(count=count))
    return name


def start(repository: Path, log: Path, **kwargs) -> TritonServer:
    repository.mkdir(exist_ok=True)
    return TritonServer.start(find(), repository, log=log, timeout=60, **kwargs)


def regions(server: TritonServer) -> list[str]:
    return [p.name for p in Path("/dev/shm").iterdir() if p.name.startswith(server._prefix)]


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


IMPORTING = (
    IDENTITY
    + """
import colorsys, json, os
import mine
open(mine.WHERE, "w").write(json.dumps(dict(os.environ)))
"""
)


def test_nothing_in_the_working_directory_replaces_a_library(tmp_path, repository, monkeypatch):
    """The stub's own Python has the working directory first, and ignores PYTHONPATH."""
    for name in ("numpy.py", "json.py"):
        (tmp_path / name).write_text("raise ImportError('not the library')")
    seen = tmp_path / "seen"
    add(
        repository,
        "m",
        f"import json, sys\n{IDENTITY}\nopen({str(seen)!r}, 'w').write(repr(sys.path))",
    )
    monkeypatch.chdir(tmp_path)
    with start(repository, tmp_path / "log") as server:
        server.load("m")
    paths = ast.literal_eval(seen.read_text())
    assert "" not in paths
    assert paths[0] == str(PACKAGE.parent)


def test_server_and_stub_are_quiet_and_the_scenarios_folder_comes_last(
    repository, tmp_path, monkeypatch
):
    for name in QUIET:  # what this process has is not what is looked for
        monkeypatch.delenv(name)
    (tmp_path / "mine.py").write_text(f"WHERE = {str(tmp_path / 'env')!r}")
    (tmp_path / "colorsys.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    add(repository, "one", IMPORTING)
    with start(repository, tmp_path / "log", env=worker_env(tmp_path)) as server:
        server.load("one")
        environ = Path(f"/proc/{server._process.child_pid}/environ").read_text()
    assert json.loads((tmp_path / "env").read_text()).items() >= QUIET.items()
    assert {f"{name}={value}" for name, value in QUIET.items()} <= set(environ.split("\0"))
    assert not (tmp_path / "ran").exists()


def test_it_listens_on_loopback_only(repository, tmp_path):
    with start(repository, tmp_path / "log") as server:
        found = psutil.Process(server.pid).net_connections("tcp")
        hosts = {c.laddr.ip.removeprefix("::ffff:") for c in found if c.status == "LISTEN"}
        numbers = {c.laddr.port for c in found if c.status == "LISTEN"}
        assert hosts == {"127.0.0.1"}
        assert numbers == {
            api.split_address(a)[1] for a in (server.http, server.grpc, server.metrics)
        }
        status, body = api.call(server.metrics, "GET", "/metrics")
        assert status == 200
        assert b"nv_cpu_memory_used_bytes" in body


def test_the_options_that_open_a_server_are_those_it_has():
    install = find()
    env = environment(install, {})
    done = subprocess.run(
        [install.binary, "--help"], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    options = re.findall(r"^\s+(--[a-z0-9-]+) <", done.stdout + done.stderr, re.M)
    opening = re.compile(
        r"-address$|^--(allow|reuse)-|-port|-directory$|^--model-(repo|store|contr)"
    )
    harmless = re.compile(r"^--(allow-(http|grpc|metrics|.pu-metrics)|(http|grpc|metrics)-port)$")
    found = {o for o in options if opening.search(o) and not harmless.search(o)}
    assert len(options) > 50
    assert found == set(OWN_OPTIONS)


def test_a_server_that_listens_to_others_is_refused(repository, tmp_path, monkeypatch):
    """Whatever opened it: here an option that is not looked for."""
    monkeypatch.setattr(process, "check_args", lambda args: None)
    with pytest.raises(ServerError, match=r"listens on 0\.0\.0\.0:\d+, for other machines"):
        start(repository, tmp_path / "log", args=["--http-addr=0.0.0.0"])
    ours = [p.info for p in psutil.process_iter(["ppid", "name"]) if p.info["ppid"] == os.getpid()]
    assert not [info for info in ours if "triton" in info["name"]]


def test_stopping_leaves_nothing(repository, tmp_path):
    add(repository, "identity", count=2)
    server = start(repository, tmp_path / "log", prepared=True)
    server.load("identity")
    tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(tree) == 3
    assert len(regions(server)) == 2
    server.stop()
    server.stop()
    assert not any(p.is_running() for p in tree)
    assert regions(server) == []
    assert not server.alive()
    assert server.exit_reason() == "was stopped"


def test_models_of_the_user_may_finalize(repository, tmp_path):
    code = (
        IDENTITY
        + f"""
    def finalize(self):
        open({str(tmp_path / "finalized")!r}, "w").close()
"""
    )
    add(repository, "identity", code)
    with start(repository, tmp_path / "log") as server:
        server.load("identity")
    assert (tmp_path / "finalized").exists()


def test_servers_side_by_side(repository, tmp_path):
    add(repository, "identity")
    with (
        start(repository, tmp_path / "a.log", prepared=True) as one,
        start(repository, tmp_path / "b.log", prepared=True) as two,
    ):
        one.load("identity")
        two.load("identity")
        assert one.http != two.http
        one.stop()
        assert api.is_ready(two.http, "identity")
        assert len(regions(two)) == 1


def test_load_and_unload(repository, tmp_path):
    add(repository, "identity")
    with start(repository, tmp_path / "log", prepared=True) as server:
        assert server.version().count(".") == 2
        assert not api.is_ready(server.http, "identity")
        assert 0 < server.load("identity") < 60
        assert api.is_ready(server.http, "identity")
        server.unload("identity")
        assert not api.is_ready(server.http, "identity")
    with pytest.raises(ServerError, match="could not unload 'identity': the server was stopped"):
        server.unload("identity")


RAISES = "def initialize(self, args): raise RuntimeError('no such GPU here')"
BROKEN = {
    "import": ("import not_installed_anywhere\n", "No module named 'not_installed_anywhere'"),
    "raise": (f"class TritonPythonModel:\n    {RAISES}\n", "no such GPU here"),
    "die": ("import os\nos.kill(os.getpid(), 11)\n", "its Python process ended"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_model_that_does_not_load(repository, tmp_path, kind):
    code, words = BROKEN[kind]
    add(repository, "broken", code)
    add(repository, "identity")
    with start(repository, tmp_path / "log", prepared=kind != "die") as server:
        with pytest.raises(ServerError, match="could not load 'broken'") as caught:
            server.load("broken", timeout=30)
        assert words in caught.value.message
        assert str(tmp_path / "log") in caught.value.message
        assert "\n" not in caught.value.message
        if kind != "die":  # Triton waits for the dead process for ever
            server.load("identity")


def test_a_model_without_a_directory_or_with_a_wrong_config(repository, tmp_path):
    add(repository, "wrong", config=CONFIG + "no_such_field: {count}\n")
    with start(repository, tmp_path / "log") as server:
        with pytest.raises(ServerError, match=r"'wrong': .*config\.pbtxt"):
            server.load("wrong")
        with pytest.raises(ServerError, match=r"'missing': .*not found"):
            server.load("missing")


def test_a_model_that_takes_too_long(repository, tmp_path):
    add(repository, "slow", "import time\ntime.sleep(60)\n")
    with start(repository, tmp_path / "log", prepared=True) as server:
        with pytest.raises(ServerError, match=r"'slow': not in 0\.5 s") as caught:
            server.load("slow", timeout=0.5)
        assert "load_timeout: 1s" in (caught.value.fix or "")


def test_an_interrupt_does_not_wait_for_a_model_that_loads(repository, tmp_path):
    add(repository, "hangs", "import time\ntime.sleep(600)\n")

    def interrupted(*_):
        raise KeyboardInterrupt

    with start(repository, tmp_path / "log") as server:
        old = signal.signal(signal.SIGALRM, interrupted)
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        try:
            with pytest.raises(KeyboardInterrupt):
                server.load("hangs", timeout=60.0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        began = time.monotonic()
    assert time.monotonic() - began < 5.0


def test_a_server_killed_while_loading(repository, tmp_path):
    code = f"import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n{IDENTITY}"
    add(repository, "murderer", code)
    with start(repository, tmp_path / "log", prepared=True) as server:
        with pytest.raises(ServerError, match=r"killed by signal 9 \(SIGKILL\)"):
            server.load("murderer", timeout=30)
        assert not server.alive()


def test_a_port_in_use_is_not_taken_from_its_owner(repository, tmp_path):
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        for asked in ({"ports": {"grpc": port}}, {"args": [f"--grpc-port={port}"]}):
            with pytest.raises(ServerError, match=rf"port {port} \(grpc\) is in use"):
                start(repository, tmp_path / "log", **asked)


def test_a_port_that_was_asked_for_is_used(repository, tmp_path):
    chosen = ports.choose({})
    with start(repository, tmp_path / "log", ports={"http": chosen["http"]}) as server:
        assert server.http == f"127.0.0.1:{chosen['http']}"
        assert api.is_ready(server.http)


def test_metrics_may_be_turned_off(repository, tmp_path):
    with start(repository, tmp_path / "log", args=["--allow-metrics=false"]) as server:
        assert api.is_ready(server.http)


def test_a_free_port_that_is_taken_meanwhile_is_replaced(repository, tmp_path, monkeypatch):
    choose, taken = ports.choose, []
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()

        def race(asked):
            found = choose(asked)
            if not taken:
                found["metrics"] = thief.getsockname()[1]
            taken.append(found)
            return found

        monkeypatch.setattr(ports, "choose", race)
        with start(repository, tmp_path / "log") as server:
            assert api.is_ready(server.http)
    assert len(taken) == 2


def test_arguments_that_the_server_refuses(repository, tmp_path):
    with pytest.raises(ServerError, match="unrecognized option '--no-such-thing=1'"):
        start(repository, tmp_path / "log", args=["--no-such-thing=1"])


def test_arguments_of_the_user_are_heard(repository, tmp_path):
    with start(repository, tmp_path / "log", args=["--id=of-the-user"]):
        pass
    assert "of-the-user" in (tmp_path / "log").read_text()


def test_nothing_outlives_a_harness_that_is_killed(repository, tmp_path):
    add(repository, "identity")
    script = f"""
import time
from pathlib import Path
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer
server = TritonServer.start(
    find(), Path({str(repository)!r}), log=Path({str(tmp_path / "log")!r}), prepared=True)
server.load("identity")
print(server.pid, server._prefix, flush=True)
time.sleep(600)
"""
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    pid, prefix = harness.stdout.readline().split()
    tree = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
    assert len(tree) == 2
    # looked at before: a harness that other tests start meanwhile removes what this one leaves
    assert [p.name for p in Path("/dev/shm").iterdir() if p.name.startswith(prefix)] != []
    os.kill(harness.pid, signal.SIGKILL)
    harness.wait()
    _, alive = psutil.wait_procs(tree, timeout=10)
    assert alive == []
    with start(repository, tmp_path / "next.log"):
        assert [p.name for p in Path("/dev/shm").iterdir() if p.name.startswith(prefix)] == []


def test_ready_and_loaded_soon(repository, tmp_path):
    add(repository, "identity")
    began = time.monotonic()
    with start(repository, tmp_path / "log", prepared=True) as server:
        seconds = server.load("identity")
        assert 0 < server.start_seconds + seconds <= time.monotonic() - began


def test_the_command_line_checks_the_installation(run_cli):
    done = run_cli("triton", "install", "--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Triton 2.")
    missing = run_cli("triton", "install", "--check", "--directory", "/nowhere/triton")
    if "pytriton" not in done.stdout:
        assert missing.returncode == 3
        assert "fix: harness triton install" in missing.stderr
