"""Shape inference: types of all values, and the values of those that shapes are computed from.

One pass in topological order. Problems are collected, not raised; what depends on a faulty node is
left untyped, so that one mistake gives one message.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ir.control_flow import CONTROL_FLOW, WITH_SUBGRAPHS, Changing
from ir.diagnostics import Diagnostic
from ir.dims import Dim, DimTooComplex, SymbolicDim, symbol
from ir.dtypes import dtype_of
from ir.graph import Graph, Node
from ir.inferred import Inference
from ir.registry import Call, Op, OpError, find_op
from ir.signature import check_signature
from ir.symbolic import as_object_array, is_symbolic
from ir.types import TensorType

#: Tensors of up to this many elements are followed by value, when all they depend on is known.
VALUE_LIMIT = 4096
#: Characters up to which dims are kept as they are where a node makes dims too complex to follow.
ABBREVIATED = 40
#: Bytes beyond which a tensor's declared or inferred type is refused as absurd.
TENSOR_BYTES_LIMIT = 1 << 40


def infer(
    graph: Graph,
    shapes: Mapping[str, Iterable[Dim]] | None = None,
    values: Mapping[str, np.ndarray] | None = None,
) -> Inference:
    """Infers the types of all values in `graph`.

    `shapes` replaces the declared shapes of inputs by name (ints give a concrete inference);
    `values` makes the values of inputs known, for inputs that shapes are computed from.
    The graph is not changed.
    """
    result = Inference()
    shapes = shapes or {}
    for value in graph.inputs:
        shape = shapes.get(value.name, value.shape)
        result.types[value.name] = value.type.with_shape(shape)
    for name, array in (values or {}).items():
        result.values[name] = np.asarray(array)
    _Inferrer(result).run(graph)
    return result


def infer_types(graph: Graph) -> Inference:
    """As `infer`, and stores the types found in `graph.types`."""
    result = infer(graph)
    graph.types = result.types
    return result


def extend(known: Inference, nodes: Iterable[Node]) -> None:
    """Adds to what is `known` of a graph what follows for nodes behind it, in order.

    For those who make graphs node by node: front ends, the builder, passes. A node that reads what
    is not known, or that is at fault, remains untyped; problems are in `known.diagnostics`.
    """
    inferrer = _Inferrer(known)
    for node in nodes:
        inferrer.node(node)


def infer_node(
    node: Node,
    types: Mapping[str, TensorType],
    values: Mapping[str, np.ndarray] | None = None,
) -> tuple[TensorType, ...]:
    """Output types of one node, given the types of what it reads. For passes that make nodes.

    Raises ShapeError naming the node when the inputs do not fit.
    """
    result = Inference(dict(types), dict(values or {}))
    extend(result, [node])
    result.raise_for_errors(str(node))
    return tuple(result.types[name] for name in node.outputs if name)


def infer_body(
    graph: Graph,
    outer: Inference,
    types: Mapping[str, TensorType],
    values: Mapping[str, np.ndarray],
) -> Inference:
    """Infers a subgraph in surroundings that `outer` knows; `types` and `values` are those of its
    own inputs. Problems are those of the subgraph only. For passes that unroll loops."""
    return _Inferrer(outer).body(graph, types, values)


class _Inferrer:
    def __init__(self, result: Inference) -> None:
        self.result = result
        self.changing: dict[Node, Changing] = {}  # of loops inferred before, in all of the graph

    def run(self, graph: Graph) -> None:
        for name, array in graph.constants.items():
            self.result.types[name] = TensorType(dtype_of(array), array.shape)
            if array.size <= VALUE_LIMIT:
                self.result.values[name] = array
        for node in graph.nodes:
            self.node(node)

    def fresh_dim(self, hint: str) -> SymbolicDim:
        return symbol(f"{hint}_{next(self.result.numbers)}")

    def node(self, node: Node) -> None:
        types, values = self.result.types, self.result.values
        op = find_op(node.op)
        if op is None:
            hint = "; if a module defines it by @lc.op, import that first" if "." in node.op else ""
            self.report(node, "unsupported-op", f"op {node.op} is not known to layercc{hint}")
            return
        if any(name not in types for name in node.reads()):
            return  # a node before this one is at fault and was reported
        call = Call(
            op,
            node,
            [types[name] if name else None for name in node.inputs],
            [values.get(name) if name else None for name in node.inputs],
            self.fresh_dim,
        )
        try:
            check_signature(call)
            infer_op = self.through_subgraphs if op.name in WITH_SUBGRAPHS else op.infer
            try:
                outputs = tuple(infer_op(call))
            except DimTooComplex:
                abbreviate_dims(call)
                outputs = tuple(infer_op(call))
            call.check_ranges()
            self.check_outputs(call, outputs)
        except OpError as error:
            self.report(node, error.code, str(error))
            return
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            # Attributes of a wrong kind or length in a file, or dims too complex to follow.
            seen = ", ".join("absent" if kind is None else str(kind) for kind in call.types)
            self.report(node, "malformed-node", f"cannot be typed on inputs {seen}: {error}")
            return
        for name, found in zip(node.outputs, outputs, strict=False):
            if name:
                types[name] = found
        self.propagate_values(call, outputs)

    def through_subgraphs(self, call: Call) -> tuple[TensorType, ...]:
        changing = self.changing.setdefault(call.node, set())
        outputs, known, bodies = WITH_SUBGRAPHS[call.op.name](call, self.body, changing)
        self.result.bodies[call.node] = bodies
        for body in bodies:
            self.result.diagnostics.extend(body.diagnostics)
        for name, value in zip(call.node.outputs, known, strict=False):
            if name and value is not None:
                self.result.values[name] = value
        return outputs

    def body(
        self, graph: Graph, types: Mapping[str, TensorType], values: Mapping[str, np.ndarray]
    ) -> Inference:
        """Infers a subgraph, which sees the values around it that it reads, and its own inputs."""
        around, read = self.result, graph.free_names()
        inner = Inference(
            {name: around.types[name] for name in read if name in around.types} | dict(types),
            {name: around.values[name] for name in read if name in around.values} | dict(values),
        )
        inner.numbers = around.numbers
        nested = _Inferrer(inner)
        nested.changing = self.changing
        nested.run(graph)
        return inner

    def check_outputs(self, call: Call, outputs: tuple[TensorType, ...]) -> None:
        if len(call.node.outputs) > len(outputs):
            call.fail(
                f"{len(call.node.outputs)} outputs asked for, the op has {len(outputs)}",
                "bad-arity",
            )
        for found in outputs:
            for dim in found.shape:
                if type(dim) is int and dim < 0:
                    call.fail(f"the output would have the shape {found}, with a negative dim")
            if found.is_static:
                nbytes = math.prod(found.shape) * found.dtype.itemsize  # type: ignore[arg-type]
                if nbytes > TENSOR_BYTES_LIMIT:
                    call.fail(f"the output {found} would take {nbytes:.3g} bytes", "absurd-size")

    def propagate_values(self, call: Call, outputs: tuple[TensorType, ...]) -> None:
        """Runs the reference of a node whose inputs are all known and whose outputs are small."""
        op, node = call.op, call.node
        if op.symbolic_value is not None:
            made = op.symbolic_value(call)  # Shape, Size: known from the type alone
        elif self.can_follow(call, outputs):
            try:
                with np.errstate(all="ignore"):
                    made = op.reference(call, *call.values)
            except (OpError, TypeError, ValueError, IndexError, ArithmeticError, MemoryError):
                return  # not computable on symbols, or not here; running will tell
        else:
            return
        arrays = made if isinstance(made, tuple) else (made,)
        for name, array, kind in zip(node.outputs, arrays, outputs, strict=False):
            if name:
                self.result.values[name] = settle(array, kind)

    def can_follow(self, call: Call, outputs: tuple[TensorType, ...]) -> bool:
        op = call.op
        given = [v for v, kind in zip(call.values, call.types, strict=True) if kind is not None]
        if not op.deterministic or op.name in CONTROL_FLOW or any(v is None for v in given):
            return False
        if not op.symbolic and any(v is not None and v.dtype == object for v in given):
            return False
        return all(t.is_static and math.prod(t.shape) <= VALUE_LIMIT for t in outputs)  # type: ignore[arg-type]

    def report(self, node: Node, code: str, message: str) -> None:
        self.result.diagnostics.append(Diagnostic(code, message, node.name, node.op, node.source))


def abbreviate_dims(call: Call) -> None:
    """Puts symbols for the long dims that a node reads, so that what it makes of them can be told.

    A dim's symbol is named after its text, so that equal dims remain equal, in every inference.
    """

    def short(dim: Any) -> Any:
        if not isinstance(dim, SymbolicDim) or len(dim) <= ABBREVIATED:
            return dim
        return symbol(f"dim_{hashlib.sha256(dim.encode()).hexdigest()[:12]}")

    call.types = [kind and kind.with_shape(map(short, kind.shape)) for kind in call.types]
    values = []
    for value in call.values:
        if value is not None and value.dtype == object:
            items = np.empty(value.size, dtype=object)
            items[:] = [short(item) for item in value.flat]
            value = items.reshape(value.shape)
        values.append(value)
    call.values = values


def settle(made: Any, kind: TensorType) -> np.ndarray:
    """A known value in its own dtype if it holds nothing symbolic, else as an object array."""
    array = as_object_array(made)
    if array.dtype == object and any(map(is_symbolic, array.flat)):
        return array
    return array.astype(kind.dtype.value, copy=False)


def call_for(
    node: Node, types: Mapping[str, TensorType], values: Mapping[str, np.ndarray] | None = None
) -> Call:
    """The `Call` of a node that inference has passed: attributes with defaults, types, outputs.

    Raises KeyError when the op or a type is unknown.
    """
    op: type[Op] | None = find_op(node.op)
    if op is None:
        raise KeyError(node.op)
    values = values or {}
    call = Call(
        op,
        node,
        [types[name] if name else None for name in node.inputs],
        [values.get(name) if name else None for name in node.inputs],
    )
    call.outputs = [types[name] for name in node.outputs if name]
    return call
