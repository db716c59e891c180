"""The memory limits of a session: in force and tried before what they hold for is started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from harness.errors import HarnessError, OutOfMemoryError
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.limits import MIB
from harness.scenario.spec.served import ServedSettings
from harness.system.limits.gpu import gpu_memory
from harness.system.limits.host import host_memory
from harness.system.limits.limit import Limit, Quantity


class Limited(contextlib.AbstractContextManager["Limited"]):
    """A context manager: the limits are there as long as it is entered."""

    def __init__(self, outer: Sequence[str] = ()) -> None:
        """`outer` comes before every command too: how a GPU is shared, say."""
        self._outer = outer
        self.limits: tuple[Limit, ...] = ()
        self.seen: dict[str, dict[str, object]] = {}
        """Quantity → what is in force, and what the control saw."""
        self._counted: dict[Quantity, int] = {}
        """Processes that each has ended, by the last look."""
        self._stack = contextlib.ExitStack()

    def enforce(self, spec: AnyBackend, device: int, env: Mapping[str, str]) -> None:
        """Put a backend's in force, once, and try them; `device` is the GPU's place, `env` what
        its processes have in their environment. Raises LimitError.
        """
        limits = spec.limits
        if self.limits:
            return
        if isinstance(spec, ServedSettings) and limits.gpu_memory is not None:
            from harness.triton.repository.write import device_env

            env = {**env, **device_env(spec.device)}
        made = []
        if limits.host_memory is not None:
            made.append(self._stack.enter_context(host_memory(_mib(limits.host_memory))))
        if limits.gpu_memory is not None:
            made.append(self._stack.enter_context(gpu_memory(_mib(limits.gpu_memory), device)))
        for limit in made:
            self.seen[limit.quantity] = {
                "mib": limit.mib, "how": limit.how, "whole_tree": limit.whole_tree,
                "control": limit.tried(env),
            }  # fmt: skip
        self.limits = tuple(made)
        self._counted = {limit.quantity: limit.kills() for limit in made}

    @property
    def prefix(self) -> list[str]:
        """Comes before the command of what is limited."""
        return [*self._outer, *(word for limit in self.limits for word in limit.prefix)]

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Raise OutOfMemoryError where a limit has ended a process since the last look: why."""
        try:
            yield
        except HarnessError as error:
            self._struck(f"; {error.message}")
            raise
        self._struck("")

    def _struck(self, then: str) -> None:
        for limit in self.limits:
            more = limit.kills() - self._counted[limit.quantity]
            self._counted[limit.quantity] += more
            if more > 0:
                who = "a process was" if more == 1 else f"{more} processes were"
                raise OutOfMemoryError(f"{who} ended at the limit of {limit}{then}") from None

    def __exit__(self, *_: object) -> None:
        self.limits = ()
        self._stack.close()


def _mib(size: int) -> int:
    return max(1, size // MIB)
