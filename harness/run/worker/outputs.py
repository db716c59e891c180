"""Outputs kept under load, against those of a quiet call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.backends.base import Backend
from harness.errors import HarnessError
from harness.models.inputs import make_inputs
from harness.models.parity import compare, loosest, unlike_itself
from harness.models.tensors import PreparedModel, Tensors
from harness.results.samples import MESSAGE
from harness.scenario.sizes import Kind, Part, label_of
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.model import Parity
from harness.system.credentials import cut

OUTPUTS_CHECKED = 1
"""Distinct requests whose outputs under load are compared, in each measurement."""
Sampled = Sequence[tuple[int, Tensors | bytes]]
"""A request's index and its outputs, or the answer's bytes: `Generator.sampled`."""


class OutputCheck:
    """Of one loaded backend. The quiet call was compared with the reference by the parity check.

    It is made twice: outputs in which the two differ are noise, and not compared.
    """

    def __init__(
        self, backend: Backend, settings: BackendSettings, model: PreparedModel, parity: Parity
    ) -> None:
        self._backend, self._settings = backend, settings
        self._model, self._parity = model, parity
        self._precision = loosest(model.precision, getattr(settings, "precision", "fp32"))
        self._quiet: dict[tuple[int, int, str], tuple[Tensors, list[str]]] = {}

    def __call__(
        self, sampled: Sampled, batch: int, kinds: Sequence[Kind], parts: Sequence[Part]
    ) -> tuple[int, tuple[str, ...]]:
        """How many were compared, and what differed; `kinds` is what each request was."""
        chosen = list(dict(sampled).items())[:OUTPUTS_CHECKED]
        found = []
        for which, outputs in chosen:
            part, variant = kinds[which]
            found.append(self._difference(outputs, batch, variant, parts[part].sizes))
        return len(chosen), tuple(text for text in found if text)

    def _difference(
        self, outputs: Tensors | bytes, batch: int, variant: int, sizes: Mapping[str, int]
    ) -> str:
        if isinstance(outputs, bytes):
            try:
                outputs = self._decoded(outputs)
            except Exception as error:  # whatever a server may send
                if isinstance(error, HarnessError):
                    return error.message
                why = cut(f"{type(error).__name__}: {error}", MESSAGE)
                return f"the server's answer can't be read: {why}"
        expected, unstable = self._expected(batch, variant, sizes)
        shaped = {name: _shaped(array, expected.get(name)) for name, array in outputs.items()}
        return compare(shaped, expected, self._precision, self._parity, unstable).message

    def _decoded(self, answer: bytes) -> Tensors:
        from harness.load.wire.requests import decode_grpc, decode_http

        http = getattr(self._settings, "protocol", "") == "http"
        return decode_http(answer) if http else decode_grpc(answer)

    def _expected(
        self, batch: int, variant: int, sizes: Mapping[str, int]
    ) -> tuple[Tensors, list[str]]:
        """The outputs of a quiet call, and which of them differ in another."""
        key = batch, variant, label_of(sizes)
        if key not in self._quiet:
            inputs = make_inputs(self._model.sized(sizes), batch, variant)
            request = self._backend.prepare(inputs)
            with self._backend.caller() as caller:
                one, two = (_copied(caller.outputs(caller.infer(request))) for _ in range(2))
            self._quiet[key] = one, unlike_itself(one, two, self._precision)
        return self._quiet[key]


def _copied(outputs: Tensors) -> Tensors:
    """Of their own: a caller's next answer may lie in the same memory."""
    return {name: np.array(array) for name, array in outputs.items()}


def _shaped(
    array: NDArray[np.generic], expected: NDArray[np.generic] | None
) -> NDArray[np.generic]:
    """An output in the shape that a quiet call gives it: on the wire it may be flat."""
    if expected is None or np.size(array) != expected.size:
        return array
    return np.reshape(array, expected.shape)
