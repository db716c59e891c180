"""What the configs of one backend share, and when it is ended."""

from __future__ import annotations

from typing import Any

import pytest
from support.inline_worker import InlineWorker

from harness.run.session.shared import Shared


class Server:
    """A server that runs until it is stopped."""

    def __init__(self) -> None:
        self.running = True

    def alive(self) -> bool:
        return self.running

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def filled() -> tuple[Any, Any, Any]:
    shared: Any = Shared("r0-t")
    assert shared.fitting({"A": "1"}) is None
    shared.server = server = Server()
    shared.workers[""] = worker = InlineWorker()
    return shared, server, worker


def test_a_server_of_the_same_environment_goes_on(filled: tuple[Any, Any, Any]) -> None:
    shared, server, worker = filled
    assert shared.fitting({"A": "1"}) is server
    assert worker.alive


def test_one_of_another_environment_is_ended_with_its_workers(
    filled: tuple[Any, Any, Any],
) -> None:
    shared, server, worker = filled
    assert shared.fitting({"A": "2"}) is None
    assert (server.running, worker.alive, shared.workers) == (False, False, {})


def test_a_dead_one_is_not_given_out(filled: tuple[Any, Any, Any]) -> None:
    shared, server, _ = filled
    server.running = False
    assert shared.fitting({"A": "1"}) is None


def test_all_ends_with_the_round(filled: tuple[Any, Any, Any]) -> None:
    shared, server, worker = filled
    with shared:
        pass
    assert (server.running, worker.alive) == (False, False)
    assert shared.server is None
