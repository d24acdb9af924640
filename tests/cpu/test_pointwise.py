"""Pointwise ops and groups, compiled, against their NumPy references."""

# mypy: ignore-errors

import numpy as np
import pytest

import ir.ops  # noqa: F401  registers the ops
from ir.dtypes import DTYPE_SETS, DType
from ir.graph import Graph, Node, Value
from ir.interpreter import interpret
from ir.registry import all_ops
from ir.types import TensorType
from layercc.jobs.pointwise import collapse, row_major_strides
from tests.support import graph_of, one_node, reference_node, run_graph, run_node

pytestmark = pytest.mark.every_isa

OPS = {op.name: op for op in all_ops() if op.scalar is not None}
#: Attributes without default, and those worth a second look.
ATTRIBUTES = {
    "Cast": [{"to": 6}],
    "BitShift": [{"direction": "LEFT"}, {"direction": "RIGHT"}],
    "Gelu": [{}, {"approximate": "tanh"}],
    "IsInf": [{}, {"detect_negative": 0}, {"detect_positive": 0}],
}
#: Domains outside of which a function is NaN or infinite anyway.
POSITIVE_BASE = ("Pow",)
TOLERANCE = {"f32": 2e-6, "f64": 1e-14, "f16": 2e-3, "bf16": 1e-2}


def dtype_for(op, parameter):
    """The first of a few element types that the parameter takes."""
    allowed = DTYPE_SETS[op.constraints.get(parameter.type, parameter.type)]
    return next(DType[name] for name in ("f32", "u8", "bool") if DType[name] in allowed)


def data(dtype, shape, random):
    if dtype is DType.bool:
        return random.random(shape) < 0.5
    if dtype.value.kind in "iu":
        return random.integers(0, 100, shape).astype(dtype.value)
    x = (random.standard_normal(shape) * 3).astype(dtype.value)
    x.reshape(-1)[:6] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]
    return x


def inputs_of(op, shape=(3, 37)):
    random = np.random.default_rng(len(op.name))
    parameters = list(op.input_parameters)
    if parameters[-1].variadic:
        parameters = parameters * 3
    arrays = [data(dtype_for(op, parameter), shape, random) for parameter in parameters]
    if op.name == "Clip":
        arrays[1:] = [np.float32(-0.5), np.float32(1.5)]
    return arrays


def assert_close(got, want, dtype="f32"):
    assert got.shape == want.shape
    if got.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want)
        return
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance / 10
    )


@pytest.mark.parametrize("name", OPS)
def test_every_op(name):
    op = OPS[name]
    arrays = inputs_of(op)
    for attributes in ATTRIBUTES.get(name, [{}]):
        (got,) = run_node(name, arrays, attributes)
        with np.errstate(all="ignore"):
            (exact,) = reference_node(name, arrays, attributes)
            (plain,) = reference_node(name, arrays, attributes, exact=False)
        assert got.dtype == plain.dtype
        if plain.dtype.kind == "f":
            # where float64 is finite and float32 overflows, float32 is right
            exact = np.where(np.isfinite(plain), exact, plain)
        assert_close(got, exact if plain.dtype.kind == "f" else plain)


BROADCASTS = [
    ((5, 7, 11), (5, 7, 11)),
    ((5, 7, 11), (11,)),
    ((5, 7, 11), (7, 1)),
    ((5, 1, 11), (1, 7, 1)),
    ((2, 3, 4, 5, 6), (3, 1, 5, 1)),
    ((1,), (7, 1, 3)),
    ((), (3,)),
    ((), ()),
    ((4, 0, 3), (3,)),
    ((0,), (1,)),
    ((2, 40000), (2, 1)),
    ((70001,), (70001,)),
    ((5000, 3), (3,)),  # short rows, several of which are made one
    ((4, 3000, 5), (4, 1, 5)),
    ((4, 3000, 5), (1, 1, 1)),
    ((4, 3000, 5), (3000, 1)),
    ((2, 4001, 3), (2, 1, 3)),  # 4001 is a prime
]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("a", "b"), BROADCASTS)
def test_broadcasting(a, b, threads):
    random = np.random.default_rng(1)
    x, y = (random.standard_normal(shape).astype(np.float32) for shape in (a, b))
    np.testing.assert_array_equal(run_node("Sub", [x, y], threads=threads)[0], x - y)


INTEGER_CASES = [
    ("Div", "i32", {}),
    ("Div", "u8", {}),
    ("Mod", "i8", {}),
    ("Mod", "i64", {"fmod": 1}),
    ("Mod", "u16", {}),
    ("Pow", "i32", {}),
    ("Max", "i8", {}),
    ("BitShift", "u32", {"direction": "LEFT"}),
    ("Less", "u64", {}),
]


@pytest.mark.parametrize(("op", "dtype", "attributes"), INTEGER_CASES)
def test_integers(op, dtype, attributes):
    numpy = DType[dtype].value
    limits = np.iinfo(numpy)
    values = np.array([0, 1, 2, 3, 7, limits.max, limits.min, limits.max - 1], numpy)
    if limits.min < 0:
        values = np.append(values, np.array([-1, -2, -7], numpy))
    a, b = (v.ravel() for v in np.meshgrid(values, values))
    if op == "Pow":
        keep = (b >= 0) & (b < 8)
        a, b = a[keep], b[keep]
    with np.errstate(all="ignore"):
        (want,) = reference_node(op, [a, b], attributes, exact=False)
    np.testing.assert_array_equal(run_node(op, [a, b], attributes)[0], want)


@pytest.mark.parametrize("dtype", ["f64", "f16", "bf16"])
def test_other_float_types(dtype):
    x = data(DType[dtype], (3, 37), np.random.default_rng(2))
    for op in ("Tanh", "Add", "Gelu"):
        arrays = [x, x[0]] if op == "Add" else [x]
        with np.errstate(all="ignore"):
            (want,) = reference_node(op, arrays)
        (got,) = run_node(op, arrays)
        assert got.dtype == x.dtype
        assert_close(got, want, dtype)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
def test_constant_exponents(exponent):
    """Written as products and roots, they keep the special cases of pow."""
    x = np.float32([0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 1e30, np.inf, -np.inf, np.nan])
    power = np.float32(exponent)
    graph = one_node("Pow", [x, power], constants=[1])
    (got,) = run_graph(graph, {"x0": x}).values()
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), np.full(x.shape, exponent))
        np.testing.assert_allclose(got, want.astype(np.float32), rtol=2e-7)


def body_of(nodes, inputs, outputs, constants=()):
    """A body graph over inputs of given types."""
    kinds = {name: TensorType(dtype, shape) for name, (dtype, shape) in inputs.items()}
    graph = Graph(
        inputs=[Value(name, kind) for name, kind in kinds.items()],
        nodes=nodes,
        constants=dict(constants),
    )
    graph.outputs = [Value(name, kinds["x"]) for name in outputs]
    return graph


def test_group_with_several_outputs_in_place():
    """x dies in the group; both of its results are read, and so is the operand twice."""
    shape = (3, 41)
    nodes = [
        Node("Mul", ("x", "x"), ("square",)),
        Node("Add", ("square", "row"), ("a",)),
        Node("Mul", ("a", "half"), ("b",)),
    ]
    inputs = {"x": (DType.f32, shape), "row": (DType.f32, (41,))}
    body = body_of(nodes, inputs, ["a", "b"], {"half": np.array(0.5, np.float32)})
    group = Node(
        "layercc.Fused", ("n", "row"), ("a", "b"), {"kind": "pointwise", "body": body}
    )  # fmt: skip
    first = Node("Neg", ("x",), ("n",))  # so that the group's input lies in the arena
    last = Node("Sub", ("a", "b"), ("y",))
    random = np.random.default_rng(3)
    arrays = {
        "x": random.standard_normal(shape).astype(np.float32),
        "row": random.standard_normal(41).astype(np.float32),
    }
    graph = graph_of([first, group, last], arrays, ["y"])
    got = run_graph(graph, arrays)["y"]
    np.testing.assert_allclose(got, interpret(graph, arrays)["y"], rtol=1e-6, atol=1e-6)


def test_same_result_on_any_number_of_threads():
    x = np.random.default_rng(4).standard_normal((3, 100003)).astype(np.float32)
    alone, shared = (run_node("Gelu", [x], threads=threads)[0] for threads in (1, 2))
    np.testing.assert_array_equal(alone, shared)


def test_collapse():
    shape = (2, 3, 4, 5)
    dense = row_major_strides(shape, 4)
    assert collapse(shape, [dense]) == ([120], [[1]])
    row = row_major_strides((4, 5), 4)
    assert collapse(shape, [dense, row]) == ([6, 20], [[20, 1], [0, 1]])
    assert collapse((1, 1), [[0, 0]]) == ([1], [[0]])
