"""Rewrites an fp32 ONNX graph in a 16-bit type: weights, constants, casts, and all between them.

Every fp32 value becomes a 16-bit one of the same name. What an operator's schema says is fp32 and
nothing else (the scales of Resize, a threshold of NonMaxSuppression) stays so, and so do operators
that lose by it (`KEPT`) and nodes named by the caller; casts stand where the two meet. Inputs and
outputs of the model keep their types, so every precision answers the same requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TypeProto
    from onnx.defs import OpSchema

FLOAT = TensorProto.FLOAT
KEPT = frozenset({
    "NonMaxSuppression", "TopK", "RoiAlign", "Resize", "Upsample", "Range", "CumSum", "Min", "Max",
    "RandomUniformLike",
})  # fmt: skip
"""Operators that runtimes lack in 16 bits, or that count and compare coordinates."""
TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype")
"""Attributes that name the type of an output."""
ToHalf = Callable[[TensorProto], TensorProto]


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside an If, Loop or Scan node."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else []
        yield from attribute.graphs


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside its nodes, at any depth."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def name_nodes(model: ModelProto) -> None:
    """Give every node a name of its own, so that what a runtime refuses can be found."""
    seen: set[str] = set()
    for graph in graphs(model.graph):
        for node in graph.node:
            if not node.name or node.name in seen:
                node.name = f"{node.name or node.op_type}_{len(seen)}"
            seen.add(node.name)


def value_types(model: ModelProto) -> dict[str, int]:
    """Value → type of its elements, as full type inference finds it; 0 for what is no tensor.

    Types behind operators that ONNX does not know stay open.
    """
    found: dict[str, int] = {}
    for graph in graphs(onnx.shape_inference.infer_shapes(model).graph):
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.WhichOneof("value"):
                found[value.name] = value.type.tensor_type.elem_type
        found |= {t.name: t.data_type for t in graph.initializer}
    return found


@dataclass
class _Scope:
    """A graph on its way: under which names its values exist as fp32 and in 16 bits."""

    fp32: dict[str, str] = field(default_factory=dict)
    half: dict[str, str] = field(default_factory=dict)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    """As they were: never rounded for an operator that takes fp32."""
    nodes: list[NodeProto] = field(default_factory=list)


class Rewriter:
    """Rewrites one model, in place."""

    def __init__(
        self, model: ModelProto, types: Mapping[str, int], half: int, to_half: ToHalf,
        keep: Collection[str],
    ) -> None:  # fmt: skip
        self.graph, self.types, self.half, self.to_half = model.graph, {**types}, half, to_half
        self.keep = keep
        self.kept: set[str] = set()
        """Operators that had something to keep in fp32."""
        self._opsets = {o.domain: o.version for o in model.opset_import}
        weights = {t.name for t in self.graph.initializer}
        inputs = [v for v in self.graph.input if v.name not in weights]  # older files list both
        del self.graph.input[:]
        self.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 4)
        self._inputs = [v.name for v in inputs if self._is_float(v.name)]
        self._fixed = {*self._inputs, *(v.name for v in self.graph.output)}
        self._taken = {*self.types}

    def run(self) -> None:
        """Rewrite it."""
        scope = _Scope(fp32={name: name for name in self._inputs})
        self._fill(self.graph, scope)
        for value in self.graph.output:
            if self._is_float(value.name) and scope.fp32.get(value.name) != value.name:
                self._cast(scope.half[value.name], value.name, FLOAT, scope)
        _set_nodes(self.graph, scope)
        read = {n for g in graphs(self.graph) for node in g.node for n in node.input}
        read |= {value.name for g in graphs(self.graph) for value in g.output}
        for graph in graphs(self.graph):
            for weight in [t for t in graph.initializer if t.name not in read]:
                graph.initializer.remove(weight)

    def _is_float(self, name: str) -> bool:
        return self.types.get(name) == FLOAT

    def _fill(self, graph: GraphProto, scope: _Scope) -> None:
        """Put the graph's nodes, rewritten, into `scope`, and its weights in 16 bits in place."""
        del graph.value_info[:]
        weights = list(graph.initializer)
        del graph.initializer[:]
        for tensor in weights:
            made = tensor if tensor.data_type != FLOAT else self._weight(tensor.name, tensor, scope)
            graph.initializer.append(made)
        for node in graph.node:
            self._node(node, scope)

    def _weight(self, name: str, tensor: TensorProto, scope: _Scope) -> TensorProto:
        """Remember a weight or constant; what it is in 16 bits."""
        self.types[name] = FLOAT
        scope.weights[name] = deepcopy(tensor)
        made = self.to_half(tensor)
        made.name = scope.half[name] = self._half_name(name)
        return made

    def _half_name(self, name: str) -> str:
        return self._unique(f"{name}_half") if name in self._fixed else name

    def _unique(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _get(self, name: str, scope: _Scope, *, fp32: bool) -> str:
        """The name of a value in the type, made by a cast where nobody made it before."""
        known, other = (scope.fp32, scope.half) if fp32 else (scope.half, scope.fp32)
        if name not in known:
            known[name] = self._unique(f"{name}_{'fp32' if fp32 else 'half'}")
            if fp32 and name in scope.weights:
                self.graph.initializer.append(scope.weights[name])
                self.graph.initializer[-1].name = known[name]
            else:
                self._cast(other[name], known[name], FLOAT if fp32 else self.half, scope)
        return known[name]

    def _cast(self, source: str, target: str, to: int, scope: _Scope) -> None:
        name = self._unique(f"Cast_{target}")
        scope.nodes.append(helper.make_node("Cast", [source], [target], name=name, to=to))

    def _node(self, node: NodeProto, scope: _Scope) -> None:
        for graph in subgraphs(node):
            self._inner(graph, scope)
        schema = self._schema(node)
        whole = node.op_type in KEPT or node.name in self.keep
        floats = any(map(self._is_float, node.input))
        for i, name in enumerate(node.input):
            if self._is_float(name):
                fp32 = whole or (schema is not None and _only_fp32(schema.inputs, i))
                node.input[i] = self._get(name, scope, fp32=fp32)
                self.kept |= {node.op_type} if fp32 else set()
        if not whole:
            self._attributes(node, scope)
        scope.nodes.append(node)
        for i, name in enumerate(node.output):
            # behind an operator that ONNX does not know: a float of floats
            if not name or self.types.setdefault(name, FLOAT if floats else 0) != FLOAT:
                continue
            if whole or (schema is not None and _only_fp32(schema.outputs, i)):
                self.kept.add(node.op_type)
                scope.fp32[name] = name
            elif name not in scope.half:  # a constant has its name
                scope.half[name] = self._half_name(name)
            node.output[i] = scope.fp32.get(name) or scope.half[name]

    def _schema(self, node: NodeProto) -> OpSchema | None:
        """None for a runtime's own operator, which is taken to work in every float."""
        version = self._opsets.get(node.domain, 0)
        known = onnx.defs.has(node.op_type, version, node.domain)
        return onnx.defs.get_schema(node.op_type, version, node.domain) if known else None

    def _attributes(self, node: NodeProto, scope: _Scope) -> None:
        """Types that attributes name, and tensors in them."""
        for attribute in node.attribute:
            if attribute.name in TYPE_ATTRIBUTES and attribute.i == FLOAT:
                attribute.i = self.half
            if attribute.name in ("value_float", "value_floats"):
                values = attribute.f if attribute.name == "value_float" else attribute.floats[:]
                tensor = numpy_helper.from_array(np.asarray(values, np.float32))
                attribute.CopyFrom(helper.make_attribute("value", tensor))
            if attribute.HasField("t") and attribute.t.data_type == FLOAT:
                made = self.to_half(attribute.t)
                if node.op_type == "Constant":
                    made = self._weight(node.output[0], attribute.t, scope)
                attribute.t.CopyFrom(made)

    def _inner(self, graph: GraphProto, outer: _Scope) -> None:
        """A body or branch, which sees all of `outer`: what goes in and out is in 16 bits."""
        scope = _Scope({**outer.fp32}, {**outer.half}, {**outer.weights})
        for value in graph.input:
            _retype(value.type, self.half)
            if self._is_float(value.name):
                scope.half[value.name] = value.name
        self._fill(graph, scope)
        for value in graph.output:
            if self._is_float(value.name):
                value.name = self._get(value.name, scope, fp32=False)
            _retype(value.type, self.half)
        _set_nodes(graph, scope)


def _only_fp32(parameters: Sequence[OpSchema.FormalParameter], index: int) -> bool:
    """Whether an input or output can't be 16-bit, by its operator's schema.

    For bf16 too by what fp16 may be: bfloat16 came to many schemas only in opset 22, and TensorRT
    takes it in older ones.
    """
    last = len(parameters) - 1  # which may stand for any number
    return "tensor(float16)" not in parameters[min(index, last)].types


def _set_nodes(graph: GraphProto, scope: _Scope) -> None:
    del graph.node[:]
    graph.node.extend(scope.nodes)


def _retype(kind: TypeProto, half: int) -> None:
    """Make fp32 tensors, and sequences and optionals of them, 16-bit ones."""
    word = kind.WhichOneof("value")
    if word == "tensor_type" and kind.tensor_type.elem_type == FLOAT:
        kind.tensor_type.elem_type = half
    elif word in ("sequence_type", "optional_type"):
        _retype(getattr(kind, word).elem_type, half)
