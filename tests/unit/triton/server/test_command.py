"""The command line and the environment of a server."""

import os
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import harness
from harness.errors import ServerError
from harness.scenario.spec.server import DockerSettings
from harness.system.environment import QUIET
from harness.triton.server.command import OWN_OPTIONS, Command, check_args, command, environment
from harness.triton.server.docker import Container
from harness.triton.server.install import TritonInstall

PORTS = {"http": 1, "grpc": 2, "metrics": 3}


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where links are made: a run has a folder for them that it removes."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def installed(tmp_path):
    backends = tmp_path / "backends"
    stub = backends / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.symlink_to("/bin/true")
    return TritonInstall(tmp_path, Path("/bin/true"), backends, "0.7.0")


def test_the_stub_finds_this_python_first(installed, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    env = environment(installed, {})
    assert env["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert env["LD_LIBRARY_PATH"].split(":")[0] == str(installed.libraries)
    assert (Path(env["PYTHONPATH"].split(":")[0]) / "harness" / "__init__.py").is_file()


def test_extra_variables_are_added_and_paths_are_joined(installed):
    paths = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
    env = environment(installed, {"CUDA_VISIBLE_DEVICES": "1", **dict.fromkeys(paths, "/mine")})
    assert env["CUDA_VISIBLE_DEVICES"] == "1"
    assert [env[name].split(":")[-1] for name in paths] == ["/mine"] * 3
    assert [env[name].split(":")[0] for name in paths] == [
        str(Path(sys.executable).parent), str(installed.libraries),
        str(Path(harness.__file__).parents[1]),
    ]  # fmt: skip
    assert env["HOME"] == os.environ["HOME"]


@pytest.mark.parametrize("prepared", [False, True])
def test_an_installation_runs_with_its_own_backends_on_loopback(installed, tmp_path, prepared):
    made = command(
        installed, tmp_path, PORTS, "mine-", args=["--log-verbose=1"], env={"A": "b"},
        prepared=prepared,
    )  # fmt: skip
    assert made.argv[0] == str(installed.binary) and made.argv[-1] == "--log-verbose=1"
    assert f"--backend-directory={installed.backends}" in made.argv
    assert f"--cache-directory={installed.caches}" in made.argv
    for service, port in PORTS.items():
        assert f"--{service}-port={port}" in made.argv
        assert f"--{service}-address=127.0.0.1" in made.argv
    assert "--backend-config=python,shm-region-prefix-name=mine-" in made.argv
    assert ("--disable-auto-complete-config" in made.argv) == prepared
    assert made.env["A"] == "b" and made.find_pid is None
    assert made.afterwards[-1] == "/dev/shm/mine-"


def test_the_embedded_server_can_be_told_to_trace(installed, tmp_path):
    def made(install=installed, args=()):
        return command(
            install, tmp_path, PORTS, "mine-", args=args, env={}, prepared=True,
            log=tmp_path / "t.log",
        )  # fmt: skip

    traces = made()
    assert traces.trace == tmp_path / "t.log-trace"
    assert f"--trace-config=triton,file={traces.trace}" in traces.argv
    assert "--trace-config=level=OFF" in traces.argv
    other = TritonInstall(tmp_path, Path("/bin/true"), installed.backends, "")
    for silent in (made(other), made(args=["--trace-config=rate=1"])):
        assert silent.trace is None and not any("file=" in a for a in silent.argv)


def test_a_container_is_removed_by_its_name_whatever_happens(tmp_path):
    container = Container(DockerSettings(image="triton:1"), tmp_path)
    made = command(container, tmp_path, PORTS, "mine-", args=[], env={"A": "b"}, prepared=True)
    name = made.argv[made.argv.index("--name") + 1]
    assert made.afterwards[-1] == name and "rm" in made.afterwards
    given = [b for a, b in pairwise(made.argv) if a == "--env"]
    assert given == [*QUIET, "A"], "their values show in no list"
    assert made.env.items() >= QUIET.items(), "a container inherits nothing"
    assert made.env["A"] == "b" and made.find_pid is not None


@pytest.mark.parametrize(("find", "fix"), [(None, "server.binary"), (lambda: 1, "Docker")])
def test_a_program_that_is_not_there_is_said_with_the_way_out(tmp_path, find, fix):
    with (tmp_path / "log").open("wb") as output, pytest.raises(ServerError) as caught:
        Command(["/no/such/program"], {}, [], find).spawn(output)
    assert "/no/such/program can't be run" in caught.value.message
    assert fix in str(caught.value.fix)


@pytest.mark.parametrize("args", [["--grpc-address="], ["--metrics-address", "0.0.0.0"]])
def test_an_address_in_any_form_is_refused(args):
    with pytest.raises(ServerError, match="listens on"):
        check_args(["--log-verbose=1", *args])
    check_args(["--http-port=8000", "--http-thread-count=2", "--backend-config=a,b=c"])


@pytest.mark.parametrize("option", OWN_OPTIONS)
def test_what_is_short_for_an_option_of_ours_is_refused(option):
    for end in range(3, len(option) + 1):
        with pytest.raises(ServerError, match=r"server\.args has"):
            check_args([f"{option[:end]}=x"])


@pytest.mark.parametrize("argument", ["--http-po=8000", "--allow-met=false"])
def test_what_the_harness_reads_is_written_out(argument):
    with pytest.raises(ServerError, match="write it out"):
        check_args([argument])


def test_no_variable_opens_a_port(installed, monkeypatch):
    monkeypatch.setenv("AIP_MODE", "PREDICTION")
    assert "AIP_MODE" not in environment(installed, {"AIP_MODE": "PREDICTION"})


def test_the_server_works_where_nothing_is_and_finds_the_users_files(
    installed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("key.pem").touch()
    args = ["--grpc-server-key=key.pem", "--log-file=new.log", "--log-verbose=1", "--model=key"]
    run = command(installed, tmp_path, PORTS, "p", args=args, env={}, prepared=True)
    assert run.cwd == installed.backends
    assert f"--grpc-server-key={tmp_path}/key.pem" in run.argv
    assert f"--log-file={tmp_path}/new.log" in run.argv
    assert {"--log-verbose=1", "--model=key"} <= set(run.argv)


@pytest.mark.parametrize("contained", [False, True])
def test_paths_that_a_shell_would_take_apart_go_by_links(installed, tmp_path, contained):
    (odd := tmp_path / "my $(models)").mkdir()
    backends = installed.backends.rename(tmp_path / "back ends")
    install = TritonInstall(tmp_path, installed.binary, backends, "0.7.0")
    container = Container(DockerSettings(image="i"), tmp_path, None, ())
    ran = container if contained else install
    made = command(ran, odd, PORTS, "mine-", args=[], env={}, prepared=True)
    options = dict(a.split("=", 1) for a in made.argv if "=" in a and a.startswith("--"))
    repository = options["--model-repository"]
    assert Path(repository).resolve() == odd and " " not in repository
    if contained:
        assert f"target={repository}" in " ".join(made.argv)
    else:
        assert Path(options["--backend-directory"]).resolve() == backends
        assert " " not in options["--backend-directory"]
