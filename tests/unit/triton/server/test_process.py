import contextlib
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import ServerError
from harness.triton.server import stubs as stubs_module
from harness.triton.server.install import TritonInstall
from harness.triton.server.process import TritonServer


@pytest.fixture
def installed(tmp_path):
    backends = tmp_path / "backends"
    stub = backends / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.symlink_to("/bin/true")
    return TritonInstall(tmp_path, Path("/bin/true"), backends, "0.7.0")


@pytest.mark.parametrize("argument", ["--http-address=0.0.0.0", "--grpc-address"])
def test_addresses_are_not_for_the_user(installed, tmp_path, argument):
    with pytest.raises(ServerError, match=r"listens on 127\.0\.0\.1 only"):
        TritonServer.start(installed, tmp_path, log=tmp_path / "log", args=[argument])
    assert not (tmp_path / "log").exists()


def test_a_server_that_ends_at_once(installed, tmp_path):
    with pytest.raises(ServerError, match="ended with exit code 0; its log says nothing"):
        TritonServer.start(installed, tmp_path, log=tmp_path / "log", timeout=10)


# --------------------------------------------------------------------------------------- unloading


class Running:
    """Stands for the server's process: it runs on."""

    child_pid = os.getpid()

    def poll(self):
        return None

    def wait(self, timeout):
        raise subprocess.TimeoutExpired("tritonserver", timeout)


@contextlib.contextmanager
def unloading(tmp_path, index):
    """A server that unloads at once and says of its models `index` (None: it hangs up)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            status, body = index if self.path.endswith("/index") else (200, b"")
            if status is None:
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as peer:
        thread = threading.Thread(target=peer.serve_forever, args=(0.01,))
        thread.start()
        command = SimpleNamespace(spawn=lambda _: Running(), find_pid=None, trace=None)
        chosen = {"http": peer.server_port, "grpc": 1, "metrics": 2}
        yield TritonServer(command, chosen, tmp_path / "log", "prefix", 0.0)
        peer.shutdown()
        thread.join()


@pytest.mark.parametrize(("index", "words"), [
    ((503, b"not now"), "not now"),
    ((404, b'{"error": "no such thing"}'), "no such thing"),
    ((None, b""), "Remote end closed connection"),
])  # fmt: skip
def test_a_server_that_does_not_say_what_is_loaded_could_not_unload(tmp_path, index, words):
    refused = pytest.raises(ServerError, match=f"could not unload 'm': .*{words}")
    with unloading(tmp_path, index) as server, refused:
        server.unload("m")


def test_a_python_process_that_may_not_be_killed_is_waited_for(tmp_path, monkeypatch):
    def refuse(pid, signal):
        raise PermissionError

    monkeypatch.setattr(stubs_module.os, "kill", refuse)
    with unloading(tmp_path, (200, b'[{"name": "m", "state": "UNAVAILABLE"}]')) as server:
        server._stubs.of_model["m"] = {os.getpid()}
        server.unload("m", at_once=True)
