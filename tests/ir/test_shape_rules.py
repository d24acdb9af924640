"""Properties of shape rules: what is inferred is what is computed, symbolically as well."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import ir.ops  # noqa: F401  fills the registry
from ir.diagnostics import LayerccError
from ir.dims import Dim, evaluate, symbol, symbols
from ir.graph import Graph
from ir.inference import Inference, infer
from ir.interpreter import interpret
from tests.ir.single_node import one_node, tensor

SIZES = st.integers(1, 5)
N, M = symbol("N"), symbol("M")


def check(graph: Graph, bindings: dict[str, int] | None = None) -> None:
    """Runs the graph at `bindings` and compares shapes; a refusal must come from both sides."""
    bindings = bindings or {}
    arrays = {}
    for value in graph.inputs:
        shape = [evaluate(dim, bindings) for dim in value.shape]
        arrays[value.name] = np.arange(math.prod(shape)).reshape(shape).astype(value.dtype.value)
    concrete = infer(graph, {name: array.shape for name, array in arrays.items()})
    try:
        made = interpret(graph, arrays)
    except LayerccError:
        assert concrete.errors
        return
    concrete.raise_for_errors()
    symbolic = infer(graph)
    symbolic.raise_for_errors()
    for name, array in made.items():
        assert concrete.types[name].shape == array.shape
        assert _at(symbolic, name, bindings, array.shape) == array.shape


def _at(
    found: Inference, name: str, bindings: dict[str, int], actual: tuple[int, ...]
) -> tuple[int, ...]:
    """The inferred shape at `bindings`; a dim with other symbols may be anything."""
    shape = found.types[name].shape
    assert len(shape) == len(actual)
    return tuple(
        evaluate(dim, bindings) if symbols(dim) <= bindings.keys() else size
        for dim, size in zip(shape, actual, strict=True)
    )


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_broadcasting(data: st.DataObject) -> None:
    """Add of shapes made from one by dropping leading dims and setting others to 1."""
    full = data.draw(st.lists(st.sampled_from([1, 2, 3, N, M, N + 1, 2 * M]), max_size=4))
    shapes = []
    for _ in range(2):
        kept = full[data.draw(st.integers(0, len(full))) :]
        shapes.append([1 if data.draw(st.booleans()) else dim for dim in kept])
    graph = one_node("Add", [tensor(shape) for shape in shapes])
    check(graph, {"N": data.draw(SIZES), "M": data.draw(SIZES)})


@given(st.lists(SIZES, max_size=3), st.lists(SIZES, max_size=3))
@settings(max_examples=100, deadline=None)
def test_broadcasting_refuses_what_numpy_refuses(a: list[int], b: list[int]) -> None:
    check(one_node("Mul", [tensor(a), tensor(b)]))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_reshape(data: st.DataObject) -> None:
    """Dims of a product regrouped at random, one perhaps -1, some copied by 0."""
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, N, 2 * N, M]), max_size=4))
    sizes = {"N": data.draw(SIZES), "M": data.draw(SIZES)}
    concrete = [evaluate(dim, sizes) for dim in shape]
    total = math.prod(concrete)
    target = []
    for axis in range(data.draw(st.integers(0, 3))):
        divisors = [d for d in range(1, total + 1) if total % d == 0]
        size = data.draw(st.sampled_from(divisors))
        if axis < len(concrete) and total % concrete[axis] == 0 and data.draw(st.booleans()):
            target.append(0)
            size = concrete[axis]
        else:
            target.append(size)
        total //= size
    target.append(data.draw(st.sampled_from([-1, total])))
    graph = one_node("Reshape", [tensor(shape)], [np.array(target, np.int64)])
    with_symbols = infer(graph)
    assume(not with_symbols.errors)  # a fixed size may fit no other N: then only at these sizes
    check(graph, sizes)


@given(st.lists(SIZES, max_size=3), st.lists(st.integers(-2, 6), max_size=3))
@settings(max_examples=100, deadline=None)
def test_reshape_refuses_what_does_not_fit(shape: list[int], target: list[int]) -> None:
    check(one_node("Reshape", [tensor(shape)], [np.array(target, np.int64)]))


POSITIONS = st.one_of(
    st.integers(-9, 9), st.sampled_from([2**31 - 1, 2**63 - 1, -(2**63), -(2**31)])
)


@given(POSITIONS, POSITIONS, st.integers(-3, 3).filter(bool), SIZES, st.integers(0, 1))
@settings(max_examples=400, deadline=None)
def test_slice(start: int, end: int, step: int, size: int, axis: int) -> None:
    values = [np.array([v], np.int64) for v in (start, end, axis - 2, step)]
    check(one_node("Slice", [tensor([N, N])], values), {"N": size})


@given(st.lists(st.sampled_from([1, 2, N, M, N + M]), min_size=1, max_size=4), SIZES, SIZES)
@settings(max_examples=100, deadline=None)
def test_concat(dims: list[Dim], n: int, m: int) -> None:
    inputs = [tensor([M, dim]) for dim in dims]
    check(one_node("Concat", inputs, axis=-1), {"N": n, "M": m})


@given(
    st.lists(st.lists(SIZES, min_size=2, max_size=2), min_size=1, max_size=3), st.integers(-2, 2)
)
@settings(max_examples=60, deadline=None)
def test_concat_refuses_what_numpy_refuses(shapes: list[list[int]], axis: int) -> None:
    check(one_node("Concat", [tensor(shape) for shape in shapes], axis=axis))


@given(
    SIZES,
    st.lists(st.integers(-2, 3), min_size=4, max_size=4),
    st.sampled_from(["constant", "edge", "wrap", "reflect"]),
)
@settings(max_examples=150, deadline=None)
def test_pad(size: int, pads: list[int], mode: str) -> None:
    graph = one_node("Pad", [tensor([N, N])], [np.array(pads, np.int64)], mode=mode)
    check(graph, {"N": size})


@given(st.integers(1, 12), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_split_into_equal_parts(size: int, parts: int) -> None:
    graph = one_node("Split", [tensor([N, 2])], outputs=parts, num_outputs=parts)
    assume(size - -(-size // parts) * (parts - 1) >= 0)
    check(graph, {"N": size})


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_split_by_sizes(sizes: list[int]) -> None:
    graph = one_node("Split", [tensor([N])], [np.array(sizes, np.int64)], outputs=len(sizes))
    check(graph, {"N": sum(sizes)})


@given(st.permutations([0, 1, 2]), SIZES)
def test_transpose(perm: list[int], size: int) -> None:
    check(one_node("Transpose", [tensor([N, 2, N + 1])], perm=tuple(perm)), {"N": size})


REDUCTIONS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]


@pytest.mark.parametrize("kind", REDUCTIONS)
@given(st.sets(st.integers(-3, 2), max_size=3), st.booleans(), st.booleans(), SIZES)
@settings(max_examples=25, deadline=None)
def test_reductions(kind: str, axes: set[int], keep: bool, noop: bool, size: int) -> None:
    attributes = {"keepdims": int(keep), "noop_with_empty_axes": int(noop)}
    chosen = np.array(sorted(axes), np.int64)
    check(one_node(f"Reduce{kind}", [tensor([N, 2, M])], [chosen], **attributes),
          {"N": size, "M": 3})  # fmt: skip


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", ([N, 3], [3, M])),
        ("bhqd,bhkd->bhqk", ([N, 2, M, 4], [N, 2, M, 4])),
        ("...ij, ...jk", ([2, N, 3], [1, 3, M])),
        ("ii->i", ([N, N],)),
        ("ij->", ([N, M],)),
        ("b...", ([N, 2, M],)),
    ],
)
def test_einsum(equation: str, shapes: tuple[list[Dim], ...]) -> None:
    graph = one_node("Einsum", [tensor(shape) for shape in shapes], equation=equation)
    check(graph, {"N": 3, "M": 5})
