"""What may be harmed: only a server that this process started."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stress import loaded

from harness.errors import ServerError
from harness.stress.execute import backend_of
from harness.stress.server import StressServer


def test_a_server_that_is_not_ours_is_never_harmed(tmp_path: Path) -> None:
    scenario = loaded(tmp_path)
    server = StressServer(
        scenario.scenario, backend_of(scenario)[1], base=tmp_path, logs=tmp_path, cache=tmp_path
    )
    for harm in (server.kill, lambda: server.stand_still(True), server.unload):
        with pytest.raises(ServerError, match="only a server that the harness started itself"):
            harm()
    server.close()
