"""Takes values that a Loop or Scan carries along unchanged out of what it carries.

Exporters hand weights to loops like this. Matches a carried value that the body gives back as it
got it; makes the body read the value before the loop, which is what comes out of the loop, too.
Sound because a body may read the values of the graph around it, unless it has one of that name.
"""

from __future__ import annotations

from dataclasses import replace

from ir.graph import Graph, Node
from ir.inference import infer_types
from ir.renaming import rename
from layercc.passes.infrastructure import graph_pass


@graph_pass("simplify")
def hoist_loop_invariants(graph: Graph) -> Graph:
    """Read what a loop carries unchanged from outside."""
    result = graph.copy()
    result.nodes = [made for node in graph.nodes for made in _hoisted(node)]
    if result.nodes == graph.nodes:
        return graph
    infer_types(result).raise_for_errors(f"graph {graph.name!r}")
    return result


def _hoisted(node: Node) -> list[Node]:
    """The node, and an Identity for each value that it need not carry."""
    if node.op == "Loop":
        first, before = 2, 1  # the body takes trip and condition, and gives a condition, first
        carried = max(len(node.inputs) - first, 0)
    elif node.op == "Scan":
        first, before = 0, 0
        carried = len(node.inputs) - node.attributes["num_scan_inputs"]  # type: ignore[operator]
    else:
        return [node]
    body: Graph = node.attributes["body"]  # type: ignore[assignment]
    own = body.value_names() - set(body.free_names())
    source = {item.outputs[0]: item.inputs[0] for item in body.nodes if item.op == "Identity"}
    outside: dict[str, str] = {}  # input of the body → value around the loop
    kept = []
    for index in range(carried):
        inner, outer = body.input_names[first + index], node.inputs[first + index]
        name = body.output_names[before + index]
        while name in source:
            name = source[name]
        if name == inner and outer not in own:
            outside[inner] = outer
        else:
            kept.append(index)
    if not outside:
        return [node]

    def remaining(items: list, start: int) -> list:
        behind = items[start + carried :]
        return [*items[:start], *(items[start + index] for index in kept), *behind]

    inner_graph = body.copy()
    inner_graph.inputs = remaining(body.inputs, first)
    inner_graph.outputs = [
        replace(value, name=outside.get(value.name, value.name))
        for value in remaining(body.outputs, before)
    ]
    inner_graph.nodes = [rename(item, outside) for item in body.nodes]
    inner_graph.types = {}
    outputs = [*node.outputs, *[""] * (carried - len(node.outputs))]
    through = [
        Node("Identity", (node.inputs[first + index],), (outputs[index],), source=node.source)
        for index in range(carried)
        if index not in kept and outputs[index]
    ]
    changed = replace(
        node,
        inputs=tuple(remaining(list(node.inputs), first)),
        outputs=tuple(remaining(outputs, 0)),
        attributes={**node.attributes, "body": inner_graph},
    )
    return [changed, *through]
