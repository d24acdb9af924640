"""Graphs of any size in the shapes that networks have, and in some that they rarely have.

A shape says how values flow: chains, fans, skips, nests, many inputs, outputs or constants. A unit
says what stands at each place of it: a node or a few that passes rewrite in one way or another.
Tensors are tiny: what such a graph costs is compiling it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node, Value
from ir.types import TensorType

#: The type of nearly all values: batch, channels, width.
ROW = TensorType(DType.f32, (1, 4, 8))
_FLAG = TensorType(DType.bool, ())
_COUNT = TensorType(DType.i64, ())


class Builder:
    """A graph with one input `x`, to which nodes are added."""

    def __init__(self, name: str) -> None:
        self.graph = Graph(name, [Value("x", ROW)])
        self._numbers = itertools.count()

    def input(self, name: str, type: TensorType) -> str:
        """Adds an input to the graph."""
        self.graph.inputs.append(Value(name, type))
        return name

    def constant(self, array: object, dtype: type = np.float32) -> str:
        """Adds a constant."""
        name = f"c{len(self.graph.constants)}"
        self.graph.constants[name] = np.asarray(array, dtype)
        return name

    def node(self, op: str, *inputs: str, outputs: int = 0, **attributes: object) -> str:
        """Adds a node; gives the name of its output, or what several outputs begin with."""
        name = f"v{next(self._numbers)}"
        names = tuple(f"{name}.{i}" for i in range(outputs)) or (name,)
        self.graph.nodes.append(Node(op, inputs, names, attributes))
        return name

    def body(self, make: Callable[[], str], inputs: Sequence[Value] = (), keep: str = "") -> Graph:
        """A subgraph of the nodes that `make` adds; it gives `keep`, if there is one, and what
        `make` gives."""
        outside, self.graph.nodes = self.graph.nodes, []
        made = make()
        nodes, self.graph.nodes = self.graph.nodes, outside
        results = [Value(keep, _FLAG)] if keep else []
        return Graph(f"{made}.body", list(inputs), [*results, Value(made, ROW)], nodes)

    def loop(self, trips: str, x: str, make: Callable[[str], str]) -> str:
        """A Loop that carries `x` along."""
        number, goes_on, carried = (f"{name}{next(self._numbers)}" for name in "tgx")
        own = [Value(number, _COUNT), Value(goes_on, _FLAG), Value(carried, ROW)]
        return self.node("Loop", trips, "", x, body=self.body(lambda: make(carried), own, goes_on))

    def finish(self, *names: str, type: TensorType = ROW) -> Graph:
        """The graph, which returns these values."""
        self.graph.outputs = [Value(name, type) for name in names]
        return self.graph


#: Adds nodes that make of a value another of the same type; the number tells copies apart.
Unit = Callable[[Builder, str, int], str]


def _relu(b: Builder, x: str, i: int) -> str:
    return b.node("Relu" if i % 2 else "Sigmoid", x)


def _add(b: Builder, x: str, i: int) -> str:
    return b.node("Add", x, b.constant([i]))


def _equal(b: Builder, x: str, i: int) -> str:
    return b.node("Softmax", x, axis=-1)


def _identity(b: Builder, x: str, i: int) -> str:
    return b.node("Identity", b.node("Add", x, b.constant([0.5])))


def _matmul(b: Builder, x: str, i: int) -> str:
    product = b.node("MatMul", x, b.constant(np.full((8, 8), i)))
    return b.node("Relu", b.node("Add", product, b.constant(np.arange(8))))


def _conv(b: Builder, x: str, i: int) -> str:
    y = b.node("Conv", x, b.constant(np.full((4, 4, 1), i)), b.constant(np.arange(4)))
    scale = [b.constant(np.full(4, value)) for value in (1.5, 0, 0, 1)]
    return b.node("Relu", b.node("BatchNormalization", y, *scale))


def _reshape(b: Builder, x: str, i: int) -> str:
    """As exporters flatten and restore: dims are taken from the Shape."""
    dims = b.node("Shape", x)
    first = b.node("Gather", dims, b.constant([0], np.int64))
    flat = b.node("Reshape", x, b.node("Concat", first, b.constant([-1], np.int64), axis=0))
    return b.node("Reshape", b.node("Tanh", flat), dims)


def _transposes(b: Builder, x: str, i: int) -> str:
    y = b.node("Transpose", x, perm=(0, 2, 1))
    return b.node("Transpose", b.node("Softmax", y, axis=-1), perm=(0, 2, 1))


def _gelu(b: Builder, x: str, i: int) -> str:
    y = b.node("Erf", b.node("Div", x, b.constant(np.sqrt(2))))
    y = b.node("Add", y, b.constant(1))
    return b.node("Mul", b.node("Mul", x, y), b.constant(0.5))


def _layer_normalization(b: Builder, x: str, i: int) -> str:
    centred = b.node("Sub", x, b.node("ReduceMean", x, b.constant([-1], np.int64)))
    square = b.node("Pow", centred, b.constant(2))
    variance = b.node("ReduceMean", square, b.constant([-1], np.int64))
    deviation = b.node("Sqrt", b.node("Add", variance, b.constant(1e-5)))
    return b.node("Div", centred, deviation)


def _half(b: Builder, x: str, i: int) -> str:
    y = b.node("MatMul", b.node("Cast", x, to=10), b.constant(np.full((8, 8), i), np.float16))
    return b.node("Cast", y, to=1)


def _dropped(b: Builder, x: str, i: int) -> str:
    """A node that the result does not depend on, and one that does nothing."""
    b.node("Exp", x)
    return b.node("Dropout", b.node("Relu", x))


def _folded(b: Builder, x: str, i: int) -> str:
    weight = b.node("Mul", b.constant([i]), b.constant([0.5]))
    return b.node("Mul", x, b.node("Add", weight, b.constant([1])))


def _split_joined(b: Builder, x: str, i: int) -> str:
    parts = b.node("Split", x, outputs=2, axis=1, num_outputs=2)
    return b.node("Concat", f"{parts}.1", f"{parts}.0", axis=1)


def _known_if(b: Builder, x: str, i: int) -> str:
    """An If that passes decide."""
    branches = [b.body(lambda op=op: b.node(op, x)) for op in ("Relu", "Neg")]  # type: ignore[misc]
    flag = b.constant(i % 2, np.bool_)
    return b.node("If", flag, then_branch=branches[0], else_branch=branches[1])


def _if(b: Builder, x: str, i: int) -> str:
    """An If that only running decides."""
    branches = [b.body(lambda op=op: b.node(op, x)) for op in ("Relu", "Neg")]  # type: ignore[misc]
    flag = b.node("Greater", b.node("ReduceMax", x, keepdims=0), b.constant(0))
    return b.node("If", flag, then_branch=branches[0], else_branch=branches[1])


def _loop(b: Builder, x: str, i: int) -> str:
    """A Loop of a known number of trips."""
    return b.loop(b.constant(2, np.int64), x, lambda carried: b.node("Tanh", carried))


def _undecided(b: Builder, x: str, i: int) -> str:
    """A node whose result's shape hangs on values: it runs apart from those around it."""
    found = b.node("NonZero", b.node("Relu", x))
    return b.node("Add", x, b.node("Cast", b.node("ReduceSum", found, keepdims=0), to=1))


UNITS: dict[str, Unit] = {
    unit.__name__.strip("_"): unit
    for unit in (
        _relu, _add, _equal, _identity, _matmul, _conv, _reshape, _transposes, _gelu,
        _layer_normalization, _half, _dropped, _folded, _split_joined, _known_if, _if, _loop,
        _undecided,
    )
}  # fmt: skip


def chain(n: int, unit: Unit = _relu) -> Graph:
    """One after the other."""
    b = Builder("chain")
    return b.finish(_linked(b, "x", n, unit))


def fan(n: int, unit: Unit = _add) -> Graph:
    """All read one value, and what they make is joined."""
    b = Builder("fan")
    made = [unit(b, "x", i) for i in range(n)]
    return b.finish(b.node("Concat", *made, axis=1), type=ROW.with_shape((1, 4 * n, 8)))


def summed(n: int, unit: Unit = _add) -> Graph:
    """As a fan, but one pointwise node reads all."""
    b = Builder("summed")
    return b.finish(b.node("Sum", *[unit(b, "x", i) for i in range(n)]))


def outputs(n: int, unit: Unit = _add) -> Graph:
    """All read one value, and the graph returns what each makes."""
    b = Builder("outputs")
    return b.finish(*[unit(b, "x", i) for i in range(n)])


def inputs(n: int, unit: Unit = _relu) -> Graph:
    """As many inputs, added up one after the other."""
    b = Builder("inputs")
    last = "x"
    for i in range(n):
        last = b.node("Add", last, unit(b, b.input(f"x{i}", ROW), i))
    return b.finish(last)


def residual(n: int, unit: Unit = _matmul) -> Graph:
    """A skip around each."""
    b = Builder("residual")
    last = "x"
    for i in range(n):
        last = b.node("Add", unit(b, last, i), last)
    return b.finish(last)


def long_skips(n: int, unit: Unit = _relu) -> Graph:
    """A U: what the first half makes is read in the second half, the last value first."""
    b = Builder("long_skips")
    names = ["x"]
    for i in range(n // 2):
        names.append(unit(b, names[-1], i))
    last = names[-1]
    for name in reversed(names):
        last = b.node("Add", unit(b, last, 0), name)
    return b.finish(last)


def split(n: int, unit: Unit = _relu) -> Graph:
    """One node gives as many values, and they are joined again."""
    b = Builder("split")
    whole = ROW.with_shape((1, 4 * n, 8))
    b.graph.inputs = [Value("x", whole)]
    parts = b.node("Split", "x", outputs=n, axis=1, num_outputs=n)
    made = [unit(b, f"{parts}.{i}", i) for i in range(n)]
    return b.finish(b.node("Concat", *made, axis=1), type=whole)


def nested_ifs(n: int, unit: Unit = _relu, depth: int = 20) -> Graph:
    """An If inside an If, and so on, with a chain on each level and in each other branch."""
    b = Builder("nested_ifs")
    each = max(n // (2 * depth), 1)

    def level(at: int, x: str) -> str:
        x = _linked(b, x, each, unit)
        if at == depth:
            return x
        return b.node(
            "If",
            b.input(f"flag{at}", _FLAG),
            then_branch=b.body(lambda: level(at + 1, x)),
            else_branch=b.body(lambda: _linked(b, x, each, unit)),
        )

    return b.finish(level(0, "x"))


def nested_loops(n: int, unit: Unit = _relu, depth: int = 20) -> Graph:
    """A Loop inside a Loop, and so on, with a chain on each level."""
    b = Builder("nested_loops")
    b.input("trips", _COUNT)
    each = max(n // depth, 1)

    def level(at: int, x: str) -> str:
        x = _linked(b, x, each, unit)
        return x if at == depth else b.loop("trips", x, lambda carried: level(at + 1, carried))

    return b.finish(level(0, "x"))


def _linked(b: Builder, x: str, n: int, unit: Unit) -> str:
    for i in range(n):
        x = unit(b, x, i)
    return x


#: By name; each takes the number of units, and the unit.
SHAPES: dict[str, Callable[..., Graph]] = {
    shape.__name__: shape
    for shape in (
        chain, fan, summed, outputs, inputs, residual, long_skips, split, nested_ifs, nested_loops,
    )
}  # fmt: skip
