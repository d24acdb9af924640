"""The reference interpreter over values that come and go: in float64, or as the model says.

Unlike `ir.interpret`, it keeps a value only until its last reader, so that networks whose values
would not fit into memory together can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from ir.diagnostics import InputError, LayerccError
from ir.dtypes import DTYPE_SETS
from ir.graph import Graph, Node
from ir.interpreter import run_node

Arrays = Mapping[str, np.ndarray]

_NARROW = {kind.value for kind in DTYPE_SETS["float"] if kind.bits < 64}


def widened(array: np.ndarray) -> np.ndarray:
    """Floats of 16 and 32 bits as float64; all else as it is."""
    return array.astype(np.float64) if array.dtype in _NARROW else array


#: What becomes of a value, by its name, before others read it.
Change = Callable[[str, np.ndarray], np.ndarray]


def evaluate(
    graph: Graph, given: Arrays, *, exact: bool, change: Change | None = None
) -> dict[str, np.ndarray]:
    """The outputs of a graph by name; with `exact`, floats are computed in float64.

    Raises as `ir.interpret` does.
    """
    outputs = set(graph.output_names)
    found: dict[str, np.ndarray] = {}
    for name, array in walk(graph, given, outputs, exact=exact, change=change):
        found.setdefault(name, array)
    return found


def walk(
    graph: Graph,
    given: Arrays,
    wanted: Collection[str],
    *,
    exact: bool,
    change: Change | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """The wanted values, name and array, as they are made; inputs and constants come first."""
    scope = {**graph.defaults, **graph.constants, **given}
    missing = [name for name in graph.input_names if name not in scope]
    if missing:
        raise InputError(f"graph {graph.name!r}: no array given for input(s) {', '.join(missing)}")
    yield from ((name, scope[name]) for name in wanted if name in scope)
    last: dict[str, Node] = {}
    for node in graph.nodes:
        last.update(dict.fromkeys(node.reads(), node))
    for node in graph.nodes:
        outputs = run_exact(node, scope) if exact else _run(node, scope)
        for name, array in zip(node.outputs, outputs, strict=False):
            if change is not None:
                array = change(name, array)
            if name in wanted:
                yield name, array
            if name in last:
                scope[name] = array
        for name in node.reads():
            if last[name] is node:
                scope.pop(name, None)


def _run(node: Node, scope: Arrays) -> tuple[np.ndarray, ...]:
    with np.errstate(all="ignore"):
        return run_node(node, scope)


def run_exact(node: Node, scope: Arrays) -> tuple[np.ndarray, ...]:
    """Outputs of one node, floats among its inputs widened. A Cast to a narrow type rounds, as the
    model asks; nothing else does. Ops that do not take float64 are run on float32.
    """
    scope = {name: widened(scope[name]) for name in node.reads()}

    def run_body(graph: Graph, given: Arrays) -> tuple[np.ndarray, ...]:
        around = {name: scope[name] for name in graph.free_names()}
        inner = evaluate(graph, {**around, **given}, exact=True)
        return tuple(inner[name] for name in graph.output_names)

    with np.errstate(all="ignore"):
        try:
            made = run_node(node, scope, run_body)
        except InputError:
            raise
        except LayerccError:
            narrow = {
                name: array.astype(np.float32) if array.dtype == np.float64 else array
                for name, array in ((name, scope[name]) for name in node.reads())
            }
            made = run_node(node, narrow)
    return tuple(widened(array) for array in made)
