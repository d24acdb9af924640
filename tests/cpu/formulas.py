"""Formulas of pointwise ops whose results tell where a value was rounded and where it was not.

Each is exact arithmetic of rounded steps, so a compiled one must give the reference's bits. The
operands: `b` equals `a`, `d` is -a, `q` is a / c rounded, `e` spreads over all exponents and has
NaN, infinities and denormals; `zero`, `one`, `four` and `tenth` are single elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ir.dtypes import DType
from ir.graph import Graph, Node
from ir.interpreter import interpret
from layercc.passes.fusion import group
from tests.support import graph_of


class Ops:
    """Makes nodes: `ops.Mul("a", "b")` adds one and gives its result's name."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def __getattr__(self, op: str) -> Callable[..., str]:
        def add(*inputs: str, **attributes: Any) -> str:
            name = f"v.{len(self.nodes)}"
            self.nodes.append(Node(op, inputs, (name,), attributes))
            return name

        return add


Formula = Callable[[Any], str]

#: Results of zero, of ties and of comparisons that a fused multiply-add would change.
PRODUCTS: tuple[Formula, ...] = (
    lambda o: o.Sqrt(o.Sub(o.Mul("a", "a"), o.Mul("b", "b"))),
    lambda o: o.Sqrt(o.Sub(o.Mul("x", "x"), o.Mul(o.Neg("x"), o.Neg("x")))),
    lambda o: o.Add(o.Mul("a", "x"), o.Mul("d", "x")),
    lambda o: o.Add(o.Mul("d", "x"), o.Mul("x", "a")),
    lambda o: o.Sub(o.Mul("a", "x"), o.Mul("x", "b")),
    lambda o: o.Sub(o.Mul("a", "x"), o.Round(o.Mul("a", "x"))),
    lambda o: o.Sub(o.Mul("a", "x"), o.Floor(o.Mul("x", "b"))),
    lambda o: o.Div("one", o.Sub(o.Mul("a", "x"), o.Mul("b", "x"))),
    lambda o: o.Add(o.Neg(o.Mul("a", "x")), o.Mul("b", "x")),
    lambda o: o.Add(o.Mul("a", "x"), "c"),
    lambda o: o.Sub(o.Mul("a", "x"), "c"),
    lambda o: o.Sub("c", o.Mul("a", "x")),
    lambda o: o.Add("c", o.Neg(o.Mul("a", "x"))),
    lambda o: o.Add(o.Mul("a", "tenth"), o.Mul("d", "tenth")),
    lambda o: o.Add(o.Mul("row", "column"), "a"),
    lambda o: o.Sub(o.Mul("row", "column"), o.Mul("column", "row")),
    lambda o: o.Equal(o.Mul("a", "x"), o.Add(o.Mul("b", "x"), "zero")),
    lambda o: o.Greater(o.Add(o.Mul("a", "x"), "c"), o.Add("c", o.Mul("x", "b"))),
    lambda o: o.Where(o.Less(o.Sub(o.Mul("a", "x"), o.Mul("b", "x")), "zero"), "one", "c"),
    lambda o: o.Sum(o.Mul("a", "x"), o.Mul("d", "x"), "c"),
    lambda o: o.Mean(o.Mul("a", "x"), o.Mul("d", "x")),
    lambda o: o.Max(o.Sub(o.Mul("a", "x"), o.Mul("b", "x")), "zero"),
    lambda o: o.Min(o.Abs(o.Add(o.Mul("a", "x"), o.Mul("d", "x"))), "c"),
    lambda o: o.Sub(o.Mul(o.Mul("a", "x"), "c"), o.Mul(o.Mul("b", "x"), "c")),
    lambda o: o.Sub(o.Mul("x", o.Add("a", "c")), o.Mul("x", o.Add("b", "c"))),
    lambda o: o.Sub(
        o.Sub(o.Mul("a", "a"), o.Mul("x", "x")), o.Mul(o.Sub("a", "x"), o.Add("b", "x"))
    ),
    lambda o: o.IsNaN(o.Sqrt(o.Sub(o.Mul("c", "c"), o.Mul("c", "c")))),
    lambda o: o.Sub(o.PRelu("d", "x"), o.Mul("d", "x")),
    lambda o: o.Add(o.LeakyRelu("a", alpha=0.3), o.Neg(o.LeakyRelu("b", alpha=0.3))),
    lambda o: o.HardSigmoid("x", alpha=0.3, beta=0.1),
    lambda o: o.Sub(o.Clip(o.Mul("a", "x"), "d", "a"), o.Mul("b", "x")),
)  # fmt: skip

#: Results that change where a value of f16 or bf16 goes on as float32.
CHAINS: tuple[Formula, ...] = (
    lambda o: o.Div(o.Mul("e", "four"), "four"),
    lambda o: o.Mul(o.Mul("e", "tenth"), o.Reciprocal("tenth")),
    lambda o: o.Sub(o.Add("e", "four"), "four"),
    lambda o: o.Sub(o.Add("e", "c"), "e"),
    lambda o: o.Floor(o.Div("e", "tenth")),
    lambda o: o.Ceil(o.Div("e", "tenth")),
    lambda o: o.Round(o.Mul("e", "x")),
    lambda o: o.Equal(o.Div("a", "c"), "q"),
    lambda o: o.Less(o.Div("a", "c"), "q"),
    lambda o: o.GreaterOrEqual(o.Mul("e", "tenth"), o.Div("e", "c")),
    lambda o: o.Greater(o.Add("e", "one"), "e"),
    lambda o: o.Not(o.LessOrEqual(o.Add("e", "one"), "e")),
    lambda o: o.Cast(o.Mul("x", "four"), to=6),
    lambda o: o.Cast(o.Cast(o.Div("e", "c"), to=1), to=11),
    lambda o: o.IsInf(o.Mul("e", o.Mul("four", "four"))),
    lambda o: o.IsNaN(o.Sub(o.Mul("e", "four"), o.Mul("e", "four"))),
    lambda o: o.Sqrt(o.Mul("e", "e")),
    lambda o: o.Reciprocal(o.Reciprocal("e")),
    lambda o: o.Where(o.Less(o.Mul("e", "tenth"), "c"), o.Mul("e", "c"), o.Neg(o.Div("e", "c"))),
    lambda o: o.Max(o.Mul("e", "x"), o.Mul("x", "c"), "d"),
    lambda o: o.Sub(o.Min(o.Mul("e", "x"), "c"), "x"),
    lambda o: o.Abs(o.Sub(o.Neg(o.Mul("e", "x")), "x")),
    lambda o: o.Sign(o.Sub(o.Add("e", "tenth"), "e")),
    lambda o: o.Relu(o.Sub(o.Mul("e", "x"), "c")),
    lambda o: o.Add(o.Clip(o.Mul("e", "x"), "d", "a"), "tenth"),
    lambda o: o.Sub(o.Sum("e", "x", "c"), o.Add(o.Add("e", "x"), "c")),
    lambda o: o.Sub(o.Mean("x", "c", "e"), "x"),
    lambda o: o.Softsign(o.Add("e", "c")),
    lambda o: o.ThresholdedRelu(o.Mul("e", "tenth"), alpha=0.25),
    lambda o: o.Add(o.Shrink(o.Mul("x", "c"), bias=0.1, lambd=0.3), "x"),
)  # fmt: skip


def operands(dtype: DType, rows: int = 3, columns: int = 211, seed: int = 0) -> dict[str, Any]:
    """Arrays for the names in formulas."""
    rng = np.random.default_rng(seed)
    shape = (rows, columns)
    made = {name: rng.standard_normal(shape) for name in "axc"}
    made["a"] = np.abs(made["a"])
    made["e"] = rng.standard_normal(shape) * 2.0 ** rng.integers(-30, 18, shape)
    made["e"][0, :9] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 6e4, -6e4, 1e-7, 1e-40]
    made["row"], made["column"] = rng.standard_normal(columns), rng.standard_normal((rows, 1))
    made |= {"zero": np.zeros(1), "one": np.ones(()), "four": np.full(1, 4.0)}
    made["tenth"] = np.full((), 0.1)
    with np.errstate(all="ignore"):
        first = np.float64 if dtype is DType.f64 else np.float32
        arrays = {name: x.astype(first).astype(dtype.value) for name, x in made.items()}
        arrays |= {"b": arrays["a"].copy(), "d": -arrays["a"]}
        arrays["q"] = (arrays["a"] / arrays["c"]).astype(dtype.value)
    return arrays


def graph_of_formulas(
    formulas: Sequence[Formula], arrays: dict[str, Any]
) -> tuple[Graph, dict[str, Any]]:
    """A graph that has the result of each formula as an output, and its inputs.

    Each formula has copies of the operands to itself: a product that two of them shared would not
    be fused with a sum.
    """
    ops = Ops()
    outputs = []
    given = {}
    for number, formula in enumerate(formulas):
        first = len(ops.nodes)
        outputs.append(formula(ops))
        for index, node in enumerate(ops.nodes[first:], start=first):
            own = {name: f"{name}{number}" for name in node.inputs if name in arrays}
            given |= {copy: arrays[name] for name, copy in own.items()}
            names = tuple(own.get(name, name) for name in node.inputs)
            ops.nodes[index] = replace(node, inputs=names)
    return graph_of(ops.nodes, given, outputs), given


def in_one_kernel(graph: Graph) -> Graph:
    """The same graph as one pointwise group, however many outputs it has."""
    grouped = graph.copy()
    grouped.nodes = [group(graph.types, "pointwise", graph.nodes, graph.output_names)]
    return grouped


def reference(graph: Graph, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """What NumPy makes of the graph, op by op."""
    with np.errstate(all="ignore"):
        return interpret(graph, arrays)


def assert_same_bits(got: np.ndarray, want: np.ndarray, what: object = "") -> None:
    """Equal to the bit, signs of zeros too; any NaN is like any other."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape), what
    if want.dtype.kind not in "fV":
        np.testing.assert_array_equal(got, want, str(what))
        return
    bits = f"u{want.dtype.itemsize}"
    differ = np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(want).view(bits)
    with np.errstate(invalid="ignore"):
        differ &= ~(np.isnan(got.astype(np.float64)) & np.isnan(want.astype(np.float64)))
    if differ.any():
        place = tuple(np.argwhere(differ)[0])
        values = f"{got[place]} not {want[place]}"
        raise AssertionError(f"{what}: {differ.sum()} differ; at {place} {values}")


#: What random formulas are made of, with the number of operands.
_RANDOM_OPS = {
    "Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Neg": 1, "Abs": 1, "Sqrt": 1, "Min": 2, "Max": 2,
}  # fmt: skip
_COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")


def random_formula(seed: int, nodes: int = 16) -> Formula:
    """A formula drawn at random, whose result depends on all its nodes."""
    rng = np.random.default_rng(seed)

    def formula(o: Any) -> str:
        values = list("abcdxe")
        unread: list[str] = []

        def pick() -> str:
            # often what was made last, so that products meet sums
            if unread and rng.random() < 0.6:
                return unread.pop()
            return values[rng.integers(len(values))]

        names = [*_RANDOM_OPS, "Mul", "Mul", "Add", "Sub", "Where"]
        for _ in range(nodes):
            op = names[rng.integers(len(names))]
            if op == "Where":
                test = _COMPARISONS[rng.integers(len(_COMPARISONS))]
                made = o.Where(getattr(o, test)(pick(), pick()), pick(), pick())
            else:
                made = getattr(o, op)(*(pick() for _ in range(_RANDOM_OPS[op])))
            values.append(made)
            unread.append(made)
        while len(unread) > 1:
            unread.insert(0, o.Sub(unread.pop(), unread.pop()))
        return unread[0]

    return formula
