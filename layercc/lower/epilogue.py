"""Epilogues: the pointwise ops that a contraction applies to its result on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ir.graph import Graph, Node
from ir.inference import call_for, infer
from ir.registry import Call
from ir.types import TensorType
from layercc.lower.context import Context, Tensor
from layercc.lower.expressions import expression_of

#: Operands that the contraction kernel has room for.
MOST_OPERANDS = 4


@dataclass(frozen=True)
class Operand:
    """A tensor that an epilogue reads besides the sum; strides in elements over the output's
    outer and inner groups, rows and columns (0: the same element for all)."""

    tensor: Tensor
    outer: int
    inner: int
    row: int
    column: int


@dataclass(frozen=True)
class Epilogue:
    """A scalar expression of the sum and the operands; the plain sum if there is none."""

    steps: tuple = ()  # an expression; see `layercc.cpu.expressions`
    operands: tuple[Operand, ...] = ()

    def expression(self, dtype: str) -> tuple:
        """The expression, for a sum of `dtype`."""
        return self.steps or ((dtype,), (), (0,))


@dataclass(frozen=True)
class Group:
    """A contraction and the pointwise nodes behind it, as one thing to lower.

    `anchor` and `rest` read and write names that `types` knows; `output` is what remains outside.
    """

    anchor: Node
    rest: tuple[Node, ...]
    types: Mapping[str, TensorType]
    output: str

    def call(self) -> Call:
        """The anchor as its op's rules see it."""
        return call_for(self.anchor, self.types)


def group_of(context: Context, node: Node) -> Group:
    """A fused contraction taken apart, or a plain op as a group of one."""
    types = context.inference.types
    if "body" not in node.attributes:
        return Group(node, (), types, node.outputs[0])
    body: Graph = node.attributes["body"]
    renamed = dict(zip(body.input_names, node.inputs, strict=True))
    renamed[body.output_names[0]] = node.outputs[0]
    inner = infer(
        body,
        {v.name: context.shape(outer) for v, outer in zip(body.inputs, node.inputs, strict=True)},
        {
            v.name: value
            for v, outer in zip(body.inputs, node.inputs, strict=True)
            if (value := context.inference.values.get(outer)) is not None
        },
    )
    inner.raise_for_errors(str(node))
    known = {**types, **{renamed.get(name, name): kind for name, kind in inner.types.items()}}
    anchor, *rest = (
        replace(
            item,
            inputs=tuple(renamed.get(name, name) for name in item.inputs),
            outputs=tuple(renamed.get(name, name) for name in item.outputs),
        )
        for item in body.nodes
    )
    for name, array in body.constants.items():
        context.bind(name, context.constant(array))
    return Group(anchor, tuple(rest), known, node.outputs[0])


def with_bias(group: Group, bias: str) -> Group:
    """The group with the anchor's own bias vector made the first pointwise node."""
    total = group.anchor.outputs[0]
    plain = f"{total}.sum"
    anchor = replace(group.anchor, outputs=(plain,))
    add = Node("Add", (plain, bias), (total,), name=f"{group.anchor.name}.bias")
    types = {**group.types, plain: group.types[total]}
    return Group(anchor, (add, *group.rest), types, group.output)


def epilogue_of(
    context: Context, group: Group, strides: tuple[int, ...], channels: int = 0
) -> Epilogue:
    """The epilogue of a group whose output has the element `strides` (outer, inner, row, column).

    The strides tell how an element's position in the output is taken apart: an operand that is
    broadcast is followed with stride 0. `channels`: elements of a channel vector between inner
    groups, where these divide the channels. Raises ValueError when an operand cannot be followed.
    """
    if not group.rest:
        return Epilogue()
    total = group.anchor.outputs[0]
    steps, names = expression_of(group.rest, group.types, [total], [group.output], context.value)
    if len(names) > MOST_OPERANDS:
        raise ValueError(f"{len(names)} operands; {MOST_OPERANDS} at most fit")
    shape = context.shape(group.output)
    operands = tuple(_operand(context.tensor(name), shape, strides, channels) for name in names)
    return Epilogue(steps, operands)


def _operand(
    tensor: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], channels: int
) -> Operand:
    if tensor.shape == shape:
        return Operand(tensor, *strides)
    given = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if all(dim == 1 for dim in given[:-1]):  # one value a column, or a single one
        column = int(given[-1] != 1)
        return Operand(tensor, 0, channels * column, 0, column)
    raise ValueError(f"an operand of shape {tensor.shape} does not follow rows of {shape}")
