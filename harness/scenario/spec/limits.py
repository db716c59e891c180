"""Memory that the processes of a backend may hold at most, as a deployment would have it."""

from __future__ import annotations

from pydantic import Field

from harness.scenario.spec.fields import Model
from harness.scenario.units import Size

MIB = 2**20


class Limits(Model):
    """Caps on what runs the model; a control shows that they hold before anything is measured."""

    host_memory: Size | None = Field(
        None,
        description="of all its processes together, by a control group; without the right to make "
        "one, of each process (RLIMIT_DATA), and the run says so",
    )
    gpu_memory: Size | None = Field(
        None,
        description="of each of its processes, their contexts included, by CUDA MPS with a daemon "
        "of the harness's own; on cuda only",
    )

    @property
    def tag(self) -> str:
        """Part of a backend's name; empty without a limit."""
        known = ((self.host_memory, ""), (self.gpu_memory, "gpu"))
        return "-".join(f"{what}{size // MIB}MiB" for size, what in known if size is not None)
