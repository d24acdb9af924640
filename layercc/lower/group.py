"""Contractions and what is fused behind them, as one thing to lower.

An op that pointwise nodes can be fused behind is lowered by a function of a `Group`, registered
with `anchor`: it serves the plain op and the fused one alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ir.graph import Graph, Node
from ir.inference import call_for
from ir.inlining import open_group
from ir.registry import Call
from ir.types import TensorType
from layercc.lower.context import Context
from layercc.lower.registry import find_lowering, lowering


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
    if "body" not in node.attributes:
        return Group(node, (), context.inference.types, node.outputs[0])
    (anchor, *rest), types = opened(context, node)
    return Group(anchor, tuple(rest), types, node.outputs[0])


def opened(context: Context, node: Node) -> tuple[list[Node], dict[str, TensorType]]:
    """The nodes of a fused group, and the types of what they read and make, under names that the
    graph around does not have; constants of the group become values of the context."""
    prefix = node.outputs[0]
    part = Graph()
    names = open_group(part, node, lambda name: f"{prefix}/{name}")
    for name, array in part.constants.items():
        context.bind(name, context.constant(array))
    (inner,) = context.inference.bodies[node]
    types = {names[name]: kind for name, kind in inner.types.items()}
    return part.nodes, types | {name: context.inference.types[name] for name in node.outputs}


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
    find_lowering(group.anchor)  # imports what registers it
    _ANCHORS[group.anchor.op](context, group)
