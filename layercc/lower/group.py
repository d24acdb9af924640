"""Contractions and what is fused behind them, as one thing to lower.

An op that pointwise nodes can be fused behind is lowered by a function of a `Group`, registered
with `anchor`: it serves the plain op and the fused one alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ir.graph import Graph, Node
from ir.inference import call_for, infer
from ir.registry import Call
from ir.types import TensorType
from layercc.lower.context import Context
from layercc.lower.registry import lowering


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
    known = {renamed.get(name, name): kind for name, kind in inner.types.items()}
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


AnchorLowering = Callable[[Context, Group], None]

_ANCHORS: dict[str, AnchorLowering] = {}


def anchor(name: str) -> Callable[[AnchorLowering], AnchorLowering]:
    """Decorator: the function emits the kernel calls of groups around the op `name`."""

    def register(function: AnchorLowering) -> AnchorLowering:
        _ANCHORS[name] = function
        lowering(name)(lambda context, node: function(context, group_of(context, node)))
        return function

    return register


@lowering("layercc.Fused:contraction")
def fused(context: Context, node: Node) -> None:
    """A contraction with its epilogue, lowered by its anchor."""
    group = group_of(context, node)
    _ANCHORS[group.anchor.op](context, group)
