"""The co-located models, each called by a worker process of its own.

A co-located model is loaded on the session's server and checked like the measured one. Its load
starts before a point's warm-up and ends after the point's window, so that window and load have
nothing to do with each other; what of its requests counts is cut out afterwards
(`harness.run.colocated_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.backends.registry import message_of
from harness.load.plan import asked
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.rows import ParityRow
from harness.run.worker.process import Check, Listener, WorkerProcess
from harness.scenario.spec.scenario import ColocatedModel, Measurement
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import Served

SLACK_S = 30.0
"""What a deadline allows beyond the lengths the scenario sets: preparing inputs, saving samples."""


@dataclass(slots=True)
class Companion:
    """One co-located model, served, and the worker that calls it."""

    other: ColocatedModel
    spec: TritonSettings
    """As the backend that it would be alone."""
    model: PreparedModel
    reference: str
    served: Served
    worker: WorkerProcess
    index: int
    """Its place among those of the backend."""

    @property
    def name(self) -> str:
        """As the scenario says it."""
        return self.other.name

    def open(
        self, measurement: Measurement, cache: Path, listener: Listener, check: Check
    ) -> dict[str, Any]:
        """Bind the worker to the model and make the first call; facts for the `loaded` row.

        Raises what the worker reports, ServerDiedError by `check`.
        """
        address = {
            "server_http": self.served.http, "server_grpc": self.served.grpc,
            "served_name": self.served.name,
        }  # fmt: skip
        config, timeout = self.served.config, measurement.load_timeout
        if self.model.source.get("triton"):
            answer = self.worker.ask(
                "describe", deadline=timeout, check=check,
                url=address[f"server_{self.spec.protocol}"], protocol=self.spec.protocol,
                name=self.served.name, backend=message_of(self.spec),
            )  # fmt: skip
            self.model, config = described(self.model, answer), str(answer["config"])
        loaded = self.worker.ask(
            "load", deadline=timeout, listener=listener, check=check,
            backend=message_of(self.spec), first_batch=self.other.load.batch_size,
            context={
                "model": self.model.to_json(), "cache": str(cache), **address,
                "request_timeout": measurement.request_timeout,
                "batch_sizes": [self.other.load.batch_size],
            },
        )  # fmt: skip
        return {
            "seconds": loaded["seconds"], "first_call_ms": loaded["first_call_ms"],
            "config": config, "served_name": self.served.name, **dict(self.served.loaded),
        }  # fmt: skip

    def parity(self, timeout: float, listener: Listener, check: Check) -> list[ParityRow]:
        """Compare its outputs with its own reference."""
        answer = self.worker.ask(
            "parity", deadline=timeout, listener=listener, check=check,
            parity=self.other.spec.parity.model_dump(),
            batch_sizes=[self.other.load.batch_size], reference=self.reference,
        )  # fmt: skip
        return [ParityRow.from_event(row) for row in answer["rows"]]

    def start(self, measurement: Measurement, round_: int, longest: float, check: Check) -> None:
        """Begin its load, which may go on for `longest` seconds; returns when requests flow."""
        self.worker.ask(
            "start", deadline=SLACK_S + measurement.request_timeout, check=check,
            load=asked(self.other.load, measurement.seed, round_, self.index, longest),
            batch_size=self.other.load.batch_size, input_seed=0,
            distinct_inputs=measurement.distinct_inputs,
            request_timeout=measurement.request_timeout,
        )  # fmt: skip

    def stop(self, measurement: Measurement, samples: Path, check: Check) -> dict[str, Any]:
        """End its load; raw samples go to the .npz file `samples`, the worker's answer comes back.

        Raises what ended the load early.
        """
        return self.worker.ask(
            "stop", deadline=SLACK_S + 3 * measurement.request_timeout, check=check,
            samples=str(samples),
        )  # fmt: skip


def described(model: PreparedModel, answer: Mapping[str, Any]) -> PreparedModel:
    """The model with what a `described` answer says of it; inputs of the scenario stay."""
    inputs, outputs = (
        tuple(TensorSpec(t["name"], t["dtype"], tuple(t["shape"])) for t in answer[key])
        for key in ("inputs", "outputs")
    )
    return replace(
        model, inputs=model.inputs or inputs, outputs=outputs,
        max_batch_size=answer["max_batch_size"],
    )  # fmt: skip


def all_alive(companions: Sequence[Companion]) -> bool:
    """Whether every worker can still be asked."""
    return all(c.worker.alive for c in companions)
