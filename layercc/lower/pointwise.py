"""Lowering of pointwise ops, alone or in groups, to one loop nest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ir.graph import Graph, Node
from ir.inference import infer
from ir.registry import all_ops, find_op
from ir.types import TensorType
from layercc.cpu.expressions import Expression, Step
from layercc.cpu.kernels.pointwise import pointwise as pointwise_kernel
from layercc.lower.context import Context, Tensor
from layercc.lower.expressions import expression_of
from layercc.lower.movement import strided_copy
from layercc.lower.registry import lowering

#: Elements of a task: cheap expressions are bound by memory, costly ones by arithmetic.
_CHEAP_TASK, _COSTLY_TASK = 1 << 15, 1 << 13
_COSTLY_FLOPS = 8  # an element
#: Rows shorter than the first are made up to the second long, if there are enough elements.
_SHORT_ROW, _LONG_ROW, _WORTH_LENGTHENING = 64, 1024, 1 << 13


def row_major_strides(shape: Sequence[int], rank: int) -> list[int]:
    """Element strides of a dense tensor broadcast to `rank` dims; 0 where it is broadcast."""
    strides = [0] * rank
    step = 1
    for axis in range(1, len(shape) + 1):
        if shape[-axis] != 1:
            strides[-axis] = step
        step *= shape[-axis]
    return strides


def collapse(
    shape: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Fewer, longer dims: those that every operand walks as if they were one are merged.

    `strides[k]` are the element strides of operand k over `shape`. At least one dim remains.
    """
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        steps = [operand[axis] for operand in strides]
        if sizes and all(
            walked[-1] == step * size for walked, step in zip(merged, steps, strict=True)
        ):
            sizes[-1] *= size
            for walked, step in zip(merged, steps, strict=True):
                walked[-1] = step
            continue
        sizes.append(size)
        for walked, step in zip(merged, steps, strict=True):
            walked.append(step)
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, merged


def _lengthen_rows(
    context: Context, sizes: list[int], walks: list[list[int]], operands: Sequence[Tensor]
) -> tuple[list[int], list[list[int]], list[Tensor]]:
    """Makes rows of few elements longer, where that is possible: several rows become one.

    Operands that are the same for all of these rows (a bias of three channels) are repeated in
    scratch memory. Takes and gives sizes, strides and tensors of the operands.
    """
    *_, rows, inner = (1, *sizes)
    if inner == 0:
        return sizes, walks, list(operands)
    steps = [(0, *walk)[-2:] for walk in walks]
    repeats = next((d for d in range(_LONG_ROW // inner, 1, -1) if rows % d == 0), 1)
    if (
        repeats * inner < _SHORT_ROW
        or math.prod(sizes) < _WORTH_LENGTHENING
        or any(step not in ((inner, 1), (0, 1), (0, 0)) for step in steps)
    ):
        return sizes, walks, list(operands)
    sizes = [*sizes[:-2], rows // repeats, repeats * inner]
    longer, tensors = [], []
    for walk, step, tensor in zip(walks, steps, operands, strict=True):
        if step == (0, 1):
            periods = tensor.size // inner
            repeated = context.scratch(tensor.dtype, (periods, repeats, inner))
            strided_copy(
                context, tensor, repeated, repeated.shape,
                (inner, 0, 1), (repeats * inner, inner, 1),
            )  # fmt: skip
            tensor = repeated
            walk = [*(stride * repeats for stride in walk[:-2]), 0, 1]
        elif step == (inner, 1):
            walk = [*walk[:-2], repeats * inner, 1]
        tensors.append(tensor)
        longer.append(walk)
    return sizes, longer, tensors


def emit_pointwise(
    context: Context,
    expression: tuple,
    operands: Sequence[Tensor],
    outputs: Sequence[Tensor],
    shape: tuple[int, ...],
    flops: int = 0,
) -> None:
    """Appends the call that computes `expression` of broadcast `operands` into dense `outputs`.

    `flops` are the operations for one element.
    """
    rank = len(shape)
    dense = row_major_strides(shape, rank)
    walks = [row_major_strides(tensor.shape, rank) for tensor in operands]
    sizes, merged = collapse(shape, [*walks, dense])
    merged.pop()  # the outputs
    if sizes[-1] < _SHORT_ROW and len(sizes) > 1:
        sizes, merged, operands = _lengthen_rows(context, sizes, merged, operands)
    *outer, inner = sizes
    rows = math.prod(outer)
    chunk = _COSTLY_TASK if flops >= _COSTLY_FLOPS else _CHEAP_TASK
    inner_block = inner if inner < 2 * chunk else chunk
    row_block = max(1, chunk // max(inner_block, 1))
    arguments: dict[str, int | Tensor] = {
        **{f"x{k}": tensor for k, tensor in enumerate(operands)},
        **{f"y{k}": tensor for k, tensor in enumerate(outputs)},
        "rows": rows,
        "row_block": row_block,
        "inner": inner,
        "inner_block": max(inner_block, 1),
    }
    for d, size in enumerate(outer):
        arguments[f"size{d}"] = size
        for k, walk in enumerate(merged):
            arguments[f"x{k}_stride{d}"] = walk[d]
    strides = tuple(walk[-1] for walk in merged)
    tasks = -(-rows // row_block) * -(-inner // max(inner_block, 1))
    context.call(
        pointwise_kernel.key(expression, strides, len(outer)),
        tasks=tasks,
        flops=flops * rows * inner,
        **arguments,
    )


class ExpressionBuilder:
    """An expression written step by step, for lowerings that need arithmetic of their own.

    Values are numbered: first the operands, then the results of steps.
    """

    def __init__(self, operands: int) -> None:
        self._operands = operands
        self._steps: list[Step] = []

    def __call__(self, function: str, *operands: int, dtype: str, **attributes: float) -> int:
        """Adds a step that applies a function of `ir.scalar`; the number of its value."""
        self._steps.append((function, operands, tuple(attributes.items()), dtype))
        return self._operands + len(self._steps) - 1

    def constant(self, value: float, dtype: str) -> int:
        """A number; its value's number."""
        return self("constant", dtype=dtype, value=value)

    def emit(
        self,
        context: Context,
        operands: Sequence[Tensor],
        outputs: Sequence[Tensor],
        values: Sequence[int],
    ) -> None:
        """Appends the call that writes `values`, of broadcast operands, to dense outputs."""
        expression: Expression = (
            tuple(str(tensor.dtype) for tensor in operands), tuple(self._steps), tuple(values),
        )  # fmt: skip
        flops = sum(name not in ("identity", "constant") for name, *_ in self._steps)
        emit_pointwise(context, expression, operands, outputs, outputs[0].shape, flops)


def _lower_nodes(
    context: Context,
    nodes: Sequence[Node],
    types: dict[str, TensorType],
    results: Sequence[str],
) -> None:
    """Lowers pointwise nodes whose free names and `results` the context knows."""
    expression, names = expression_of(nodes, types, [], results, context.value)
    operands = [context.tensor(name) for name in names]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, name in enumerate(results):
        by_shape.setdefault(context.shape(name), []).append(index)
    for shape, indices in by_shape.items():
        reuse = None
        if len(by_shape) == 1:
            reuse = _reusable(operands, context, results[indices[0]])
        outputs = [
            context.output(results[i], reuse=reuse if i == indices[0] else None) for i in indices
        ]
        inputs, steps, values = expression
        part = (inputs, steps, tuple(values[i] for i in indices))
        emit_pointwise(context, part, operands, outputs, shape, _flops(nodes))


def _reusable(operands: Sequence[Tensor], context: Context, result: str) -> Tensor | None:
    """An operand that the first output may overwrite: of its shape and type, its only view."""
    shape, dtype = context.shape(result), context.dtype(result)
    for tensor in operands:
        views = sum(other.buffer is tensor.buffer for other in operands)
        if tensor.shape == shape and tensor.dtype == dtype and views == 1:
            return tensor
    return None


@lowering("layercc.Fused:pointwise")
def fused(context: Context, node: Node) -> None:
    """A group of pointwise ops: one kernel."""
    body: Graph = node.attributes["body"]
    renamed = dict(zip(body.input_names, node.inputs, strict=True))
    renamed.update(zip(body.output_names, node.outputs, strict=True))
    prefix = f"{node.outputs[0]}/"  # keeps names of the body apart from the graph's

    def outer(name: str) -> str:
        return renamed.get(name) or (prefix + name if name else "")

    found = infer(body, {i.name: context.shape(renamed[i.name]) for i in body.inputs})
    types = {outer(name): kind for name, kind in found.types.items()}
    for name, array in body.constants.items():
        context.bind(outer(name), context.constant(array))
    nodes = [
        replace(
            item, inputs=tuple(map(outer, item.inputs)), outputs=tuple(map(outer, item.outputs))
        )
        for item in body.nodes
    ]
    _lower_nodes(context, nodes, types, node.outputs)


@lowering(*(op.name for op in all_ops() if op.scalar is not None))
def single(context: Context, node: Node) -> None:
    """One pointwise op."""
    names = [name for name in (*node.inputs, *node.outputs) if name]
    types = {name: context.inference.types[name] for name in names}
    _lower_nodes(context, [node], types, node.outputs)


def _flops(nodes: Sequence[Node]) -> int:
    """Operations for one element."""
    return sum(getattr(find_op(node.op), "flops_per_element", 1) for node in nodes)
