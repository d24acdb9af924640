"""`torch.cond`, `while_loop`, `scan` and `map`: If, Loop and Scan, whose bodies are graphs.

What a body takes from outside (operands, parameters) it reads by name, as bodies in the IR do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ir.dtypes import DType
from ir.graph import Graph, Value
from ir.types import TensorType
from layercc.frontends.torch.registry import Refused
from layercc.frontends.torch.translator import Tensor, Translator


class Bodies(Protocol):
    """What the importer knows: how to translate the graph of a body."""

    t: Translator

    def body_of(self, graph_module: Any, operands: Sequence[Any]) -> list[Any]:
        """Translates a body, its placeholders bound to `operands`; what it returns."""

    def placeholders_of(self, graph_module: Any) -> list[Any]:
        """The types of a body's placeholders; None for one that is no tensor."""


#: What is to be emitted once the bodies are there.
Emit = Callable[[], Sequence[Tensor]]


def cond(of: Bodies, condition: Any, then: Any, otherwise: Any, operands: Sequence[Any]) -> Emit:
    if not isinstance(condition, Tensor):
        raise Refused("on a size, which torch.export has to know; on a tensor would fit")
    branches = []
    for number, branch in enumerate((then, otherwise)):
        with of.t.body(f"branch{number}") as graph:
            _end(of.t, graph, of.body_of(branch, operands))
        branches.append(graph)
    count = len(branches[0].outputs)

    def emit() -> Sequence[Tensor]:
        made = of.t.emit(
            "If", condition, outputs=count, then_branch=branches[0], else_branch=branches[1]
        )
        return _listed(made)

    return emit


def while_loop(
    of: Bodies, test: Any, body: Any, carried: Sequence[Any], operands: Sequence[Any] = ()
) -> Emit:
    if not all(isinstance(value, Tensor) for value in carried):
        raise Refused("that carries a number along; a tensor would fit")
    t = of.t
    (start,) = of.body_of(test, [*carried, *operands])
    with t.body("loop") as graph:
        _input(t, graph, "iteration", DType.i64, ())
        _input(t, graph, "goes_on", DType.bool, ())
        states = _inputs(of, graph, body, len(carried))
        made = of.body_of(body, [*states, *operands])
        (goes_on,) = of.body_of(test, [*made, *operands])
        _end(t, graph, [goes_on, *made])
    return lambda: _listed(t.emit("Loop", None, start, *carried, outputs=len(carried), body=graph))


def scan(
    of: Bodies, body: Any, init: Sequence[Any], xs: Sequence[Any], operands: Sequence[Any] = ()
) -> Emit:
    t = of.t
    with t.body("scan") as graph:
        inside = _inputs(of, graph, body, len(init) + len(xs))
        _end(t, graph, of.body_of(body, [*inside, *operands]))
    count = len(graph.outputs)
    return lambda: _listed(
        t.emit("Scan", *init, *xs, outputs=count, body=graph, num_scan_inputs=len(xs))
    )


def map_impl(of: Bodies, body: Any, xs: Sequence[Any], operands: Sequence[Any] = ()) -> Emit:
    return scan(of, body, [], xs, operands)


#: Higher-order op → its translation.
CONTROL_FLOW: dict[str, Callable[..., Emit]] = {
    function.__name__: function for function in (cond, while_loop, scan, map_impl)
}


def _inputs(of: Bodies, graph: Graph, body: Any, count: int) -> list[Tensor]:
    """Inputs of a body for the first of its placeholders."""
    kinds = of.placeholders_of(body)[:count]
    if None in kinds:
        raise Refused("that carries a number along; a tensor would fit")
    return [_input(of.t, graph, "carried", kind.dtype, kind.shape) for kind in kinds]


def _input(t: Translator, graph: Graph, name: str, dtype: DType, shape: Any) -> Tensor:
    kind = TensorType(dtype, tuple(shape))
    tensor = t.add_input(t.names.fresh(f"{graph.name}.{name}"), kind)
    graph.inputs.append(Value(tensor.name, kind))
    return tensor


def _end(t: Translator, graph: Graph, results: Sequence[Any]) -> None:
    """Makes `results` the outputs of a body: what it does not compute itself, as copies."""
    made = {name for node in graph.nodes for name in node.outputs}
    taken: set[str] = set()
    for result in results:
        if not isinstance(result, Tensor):
            raise Refused("that returns a number; a tensor would fit")
        if result.name not in made or result.name in taken:
            t.begin(f"{graph.name}.result")
            result = t.emit("Identity", result)
        taken.add(result.name)
        graph.outputs.append(Value(result.name, result.type))


def _listed(made: Any) -> Sequence[Tensor]:
    return [made] if isinstance(made, Tensor) else list(made)
