"""Memory of real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from harness.stress.memory import HARNESS, MemoryWatch, read_memory


def test_the_server_is_read_by_process_and_everything_else_of_ours_together(
    tmp_path: Path,
) -> None:
    code = "import sys; x = bytearray(30 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        asked: list[int] = []

        def pid() -> int:
            asked.append(time.monotonic_ns())
            return child.pid

        with MemoryWatch(pid, every=60) as watch:
            watch.read()
            watch.read()
        child.communicate()
        watch.read()
    watch.save(tmp_path / "memory.parquet")
    found = {m.name: m for m in read_memory(tmp_path / "memory.parquet")}
    (server,) = [m for name, m in found.items() if name.endswith(f" {child.pid}")]
    assert len(server.t_ns) == 2
    assert server.resident.min() > 30 << 20
    assert len(found[HARNESS].t_ns) == 3
    assert found[HARNESS].t_ns[0] == server.t_ns[0]
    assert (found[HARNESS].t_ns > asked).all(), "what ended while it was read is no reading before"
