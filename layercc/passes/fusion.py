"""Making fused groups: shared by the passes that do so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ir.graph import Graph, Node, Value
from ir.types import TensorType
from layercc.passes.editor import definition

FUSED = "layercc.Fused"
#: No shape is longer.
MAX_RANK = 64


def is_pointwise(node: Node) -> bool:
    """Whether each element of the node's only output depends on one element of each input."""
    op = definition(node)
    return op is not None and op.scalar is not None and len(node.outputs) == 1


def group(
    types: Mapping[str, TensorType], kind: str, nodes: Sequence[Node], outputs: Sequence[str]
) -> Node:
    """The fused node of `nodes` (in order), which returns `outputs`; named after the last node.

    Its inputs are what the group reads from outside, in order of first use; in the body they have
    the names that they have outside.
    """
    inside = {name for node in nodes for name in node.outputs if name}
    reads = dict.fromkeys(name for node in nodes for name in node.reads())
    inputs = [name for name in reads if name not in inside]
    body = Graph(
        name=nodes[-1].name,
        inputs=[Value(name, types[name]) for name in inputs],
        outputs=[Value(name, types[name]) for name in outputs],
        nodes=list(nodes),
        types={name: types[name] for name in (*inputs, *sorted(inside))},
    )
    last = nodes[-1]
    return Node(
        FUSED,
        tuple(inputs),
        tuple(outputs),
        {"kind": kind, "body": body},
        name=last.name,
        source=last.source,
    )


def plan_time_values(graph: Graph) -> set[str]:
    """Scalars and short vectors computed from shapes alone: known once the input shapes are.

    Their nodes stay outside of groups, so that planning can evaluate them one by one.
    """
    found: set[str] = set()
    for node in graph.nodes:
        if node.op in ("Shape", "Size") or (
            any(name in found for name in node.inputs)
            and all(name in found or name in graph.constants for name in node.inputs if name)
        ):
            found.update(name for name in node.outputs if name and _is_small(graph.types[name]))
    return found


def _is_small(kind: TensorType) -> bool:
    """Whether a value of this type can be a shape, or part of one."""
    return all(isinstance(dim, int) and dim <= MAX_RANK for dim in kind.shape) and kind.rank <= 1
