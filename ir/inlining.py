"""Subgraphs become part of the graph around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ir.graph import Graph, Node
from ir.renaming import rename


def inline(
    result: Graph, body: Graph, fresh: Callable[[str], str], given: Mapping[str, str]
) -> dict[str, str]:
    """Appends the nodes and constants of `body` to `result`; returns the names of its values there.

    `given` names values of `result` that stand for values of `body`, its inputs to begin with. All
    others get names that `fresh` makes of theirs. Nodes keep their own names. What `body` reads
    from outside is not in the names returned.
    """
    names = dict(given)
    made = [name for node in body.nodes for name in node.outputs if name]
    for name in (*made, *body.constants):
        if name not in names:
            names[name] = fresh(name)
    result.constants |= {names[name]: array for name, array in body.constants.items()}
    result.nodes += [rename(node, names) for node in body.nodes]
    return names


def open_group(result: Graph, node: Node, fresh: Callable[[str], str]) -> dict[str, str]:
    """Appends the nodes that a fused group stands for, as `inline` does.

    They read the inputs of the group and make its outputs; an output that no node in it makes, or
    that is given twice, is an Identity.
    """
    body: Graph = node.attributes["body"]
    given = dict(zip(body.input_names, node.inputs, strict=True))
    makers = body.producers()
    for inner, outer in zip(body.output_names, node.outputs, strict=True):
        if outer and inner in makers:
            given.setdefault(inner, outer)
    names = inline(result, body, fresh, given)
    for inner, outer in zip(body.output_names, node.outputs, strict=True):
        if outer and names[inner] != outer:
            result.nodes.append(Node("Identity", (names[inner],), (outer,)))
    return names
