"""Where a compiled model rounds: after each op of the user's, once inside each op.

Under every ISA of the machine `roundings.py` holds single kernels to NumPy's bits; here are whole
graphs, which the passes may rearrange.
"""

# mypy: ignore-errors

import ml_dtypes
import numpy as np
import pytest

from ir.dtypes import ONNX_DTYPES, DType
from ir.graph import Node
from ir.interpreter import interpret
from layercc.passes import run_passes
from tests.cpu.formulas import (
    CHAINS,
    PRODUCTS,
    Ops,
    assert_same_bits,
    graph_of_formulas,
    in_one_kernel,
    operands,
    random_formula,
    reference,
)
from tests.cpu.isas import check_under, isas_of_this_machine
from tests.cpu.test_expressions import one, run
from tests.support import graph_of, named, one_node, run_graph

CODES = {dtype: code for code, dtype in ONNX_DTYPES.items()}
HALVES = (DType.f16, DType.bf16)


_WIDEST, *_OTHERS = isas_of_this_machine()[:2]


_ISAS = [_WIDEST, *(pytest.param(isa, marks=pytest.mark.slow) for isa in _OTHERS)]


@pytest.mark.parametrize("isa", _ISAS)
@pytest.mark.sampled(2)
def test_kernels(isa):
    check_under(isa, "roundings.py")


@pytest.mark.parametrize(
    ("formulas", "dtype"),
    [
        (PRODUCTS, DType.f32),
        (CHAINS, DType.bf16),
        ([random_formula(seed, 24) for seed in range(100, 108)], DType.f64),
    ],
    ids=["products", "chains", "random"],
)
def test_groups_that_the_passes_make(formulas, dtype):
    """Groups of few outputs, in vector code."""
    graph, arrays = graph_of_formulas(formulas, operands(dtype))
    made = run_graph(graph, arrays, passes=True)
    for number, (name, want) in enumerate(reference(graph, arrays).items()):
        assert_same_bits(made[name], want, f"formula {number}")


CONSTANTS = {
    "squares": lambda o: o.Sqrt(o.Sub(o.Pow("a", "two"), o.Mul("b", "b"))),
    "scaled": lambda o: o.Sub(o.Mul("a", "tenth"), o.Mul("b", "tenth")),
    "affine": lambda o: o.Add(o.Mul("x", "tenth"), "four"),
    "halved": lambda o: o.Sub(o.Div(o.Mul("a", "x"), "two"), o.Mul(o.Div("b", "two"), "x")),
    "overflow": lambda o: o.Div(o.Mul("e", "four"), "four"),
    "floor": lambda o: o.Floor(o.Div("e", "tenth")),
}


@pytest.mark.parametrize("dtype", [DType.f32, DType.f16])
def test_constant_operands(dtype):
    arrays = operands(dtype) | {"two": np.array(2, dtype.value)}
    ops = Ops()
    outputs = [formula(ops) for formula in CONSTANTS.values()]
    arrays = {name: arrays[name] for node in ops.nodes for name in node.inputs if name in arrays}
    graph = graph_of(ops.nodes, arrays, outputs, constants=["two", "tenth", "four"])
    inputs = {name: arrays[name] for name in graph.input_names}
    made = run_graph(graph, inputs, passes=True)
    for what, (name, want) in zip(CONSTANTS, reference(graph, inputs).items(), strict=True):
        assert_same_bits(made[name], want, what)


#: Chains behind a contraction whose result is `s`; `r` is the same numbers, `v`, `w` are vectors.
EPILOGUES = {
    "squares": lambda o, s: o.Sqrt(o.Sub(o.Mul(s, s), o.Mul("r", "r"))),
    "affine": lambda o, s: o.Add(o.Mul(s, "v"), "w"),
    "residual": lambda o, s: o.Sub(o.Mul("r", "t"), o.Mul(s, "t")),
    "bias": lambda o, s: o.Sub(o.Mul(o.Add(s, "w"), "t"), "r"),
}
CONTRACTIONS = [
    *(("MatMul", DType.f32, name) for name in EPILOGUES),
    ("MatMul", DType.f64, "affine"),
    ("MatMul", DType.bf16, "bias"),
    ("Conv", DType.f32, "squares"),
    ("Conv", DType.f32, "affine"),
]


@pytest.mark.parametrize(("op", "dtype", "epilogue"), CONTRACTIONS)
def test_epilogues(op, dtype, epilogue):
    """Behind products with the identity matrix, whose sums are exact."""
    size = 7
    rng = np.random.default_rng(3)
    # channels-first images of one line; rows of a matrix
    rows = (13, size) if op == "MatMul" else (2, size, 1, 13)
    vector = (size,) if op == "MatMul" else (size, 1, 1)
    eye = np.eye(size) if op == "MatMul" else np.eye(size)[:, :, None, None]
    x = rng.standard_normal(rows)
    arrays = {"x": x, "eye": eye, "r": x, "t": rng.standard_normal(())}
    arrays |= {name: rng.standard_normal(vector) for name in "vw"}
    arrays = {name: array.astype(dtype.value) for name, array in arrays.items()}
    ops = Ops()
    result = EPILOGUES[epilogue](ops, getattr(ops, op)("x", "eye"))
    read = {name for node in ops.nodes for name in node.inputs}
    arrays = {name: array for name, array in arrays.items() if name in read}
    graph = graph_of(ops.nodes, arrays, [result])
    if dtype not in HALVES:  # else a Cast stands between
        fused = [node for node in run_passes(graph).nodes if node.attributes.get("kind")]
        assert any(node.attributes["kind"] == "contraction" for node in fused)
    made = run_graph(graph, arrays, passes=True)
    assert_same_bits(made[result], reference(graph, arrays)[result])


def affine(x):
    """A user's function that can be traced."""
    return x * 0.1 + 0.3


def affine_by_branch(x):
    """A user's function that cannot, and calls another."""
    if x > 0:
        return _product(x, _SLOPE) + _OFFSET
    return x * _SLOPE - _OFFSET


def _product(a, b):
    return a * b


_SLOPE, _OFFSET = np.float32(0.1), np.float32(0.3)


@pytest.mark.parametrize("function", [affine, affine_by_branch])
def test_functions_of_users(function):
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    want = np.array([function(value) for value in x], np.float32)
    name = f"{function.__module__}:{function.__qualname__}"
    assert_same_bits(run(one(name, "f32"), x)[0], want)


def test_rounded_where_it_is_read_not_where_it_ends():
    """What leaves a group is rounded in being stored, and only there."""
    steps = (("multiply", (0, 0), (), "f16"), ("negative", (1,), (), "f16"))
    expression = (("f16",), steps, (1, 2))
    x = np.linspace(-300, 300, 1001).astype(np.float16)
    with np.errstate(over="ignore"):
        square = x * x
    for got, want in zip(run(expression, x), (square, -square), strict=True):
        assert_same_bits(got, want)


# --- every value of a half-precision type

UNARY = ("Floor", "Ceil", "Round", "Neg", "Abs", "Sqrt", "Sign", "Reciprocal", "IsNaN",
         "IsInf", "Softsign", "HardSigmoid", "HardSwish", "LeakyRelu")  # fmt: skip
TARGETS = (DType.f16, DType.bf16, DType.f32, DType.f64, DType.bool)


@pytest.mark.parametrize("dtype", HALVES)
def test_every_value(dtype):
    """Ops of steps that are rounded exactly, on all 65,536 bit patterns."""
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype.value)
    nodes = [Node(op, ("x",), (f"y{i}",)) for i, op in enumerate(UNARY)]
    nodes += [Node("Cast", ("x",), (f"to_{to}",), {"to": CODES[to]}) for to in TARGETS]
    graph = graph_of(nodes, {"x": x}, [node.outputs[0] for node in nodes])
    made = run_graph(in_one_kernel(graph), {"x": x})
    for node, (name, want) in zip(nodes, reference(graph, {"x": x}).items(), strict=True):
        assert_same_bits(made[name], want, node)


# --- running totals


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", ["CumSum", "CumProd"])
@pytest.mark.parametrize("exclusive", [0, 1])
def test_running_totals(dtype, op, exclusive):
    """In float32 one after the other, each rounded where it is stored."""
    rng = np.random.default_rng(4)
    for shape in ((1,), (7, 13, 3), (300, 259), (3, 0, 2)):
        x = (rng.standard_normal(shape) + 0.5).astype(dtype.value)
        for axis in range(-1, len(shape)):
            for reverse in (0, 1):
                for constants in ([1], []):
                    arrays = [x, np.array(axis, np.int64)]
                    settings = {"exclusive": exclusive, "reverse": reverse}
                    graph = one_node(op, arrays, settings, constants=constants)
                    given = {name: named(arrays)[name] for name in graph.input_names}
                    with np.errstate(all="ignore"):
                        (want,) = interpret(graph, given).values()
                    (got,) = run_graph(graph, given).values()
                    assert_same_bits(got, want, (shape, axis, reverse, constants))


# --- ops that passes write as several


def _ulps(got, exact, dtype):
    """The greatest error in units in the last place of `dtype`; infinities must agree."""
    digits, least = (10, -24) if dtype is DType.f16 else (7, -133)
    got = got.astype(np.float64)
    with np.errstate(divide="ignore"):
        unit = 2.0 ** np.maximum(np.floor(np.log2(np.abs(exact))) - digits, least)
    return np.max(np.abs(got - exact) / unit)


COMPOUNDS = {
    "Gemm": ("Gemm", {"alpha": 0.37, "beta": 1.7, "transB": 1}, [(9, 5), (7, 5), (7,)]),
    "alpha": ("Gemm", {"alpha": 0.37}, [(9, 5), (5, 7)]),
    "bias": ("Gemm", {}, [(9, 5), (5, 7), (9, 1)]),
    "normalization": ("BatchNormalization", {}, [(2, 5, 31), (5,), (5,), (5,), (5,)]),
    "FusedMatMul": ("com.microsoft.FusedMatMul", {"alpha": 0.37}, [(9, 5), (5, 7)]),
    "BiasGelu": ("com.microsoft.BiasGelu", {}, [(9, 31), (31,)]),
    "three factors": ("Einsum", {"equation": "ij,ij,ij->ij"}, [(9, 7)] * 3),
    "a sum first": ("Einsum", {"equation": "ijm,jk->ik"}, [(9, 5, 4), (5, 7)]),
}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", COMPOUNDS)
def test_compound_ops_round_once(name, dtype):
    op, settings, shapes = COMPOUNDS[name]
    rng = np.random.default_rng(5)
    arrays = [(rng.random(shape) + 0.5).astype(dtype.value) for shape in shapes]
    graph = one_node(op, arrays, settings, constants=range(1, len(arrays)))
    (got,) = run_graph(graph, {"x0": arrays[0]}, passes=True).values()
    wide = [array.astype(np.float64) for array in arrays]
    (exact,) = interpret(one_node(op, wide, settings), named(wide)).values()
    assert _ulps(got, exact, dtype) < 0.51


@pytest.mark.parametrize("factor", [4.0, 1e-4])
@pytest.mark.parametrize("op", ["Conv", "MatMul"])
def test_scales_behind_a_contraction_are_ops_of_their_own(op, factor):
    """In f16 the scaled result may overflow or lose digits, which folded weights would not show."""
    shape = (1, 1, 1, 5) if op == "Conv" else (5, 1)
    x = np.array([6e4, -6e4, 1.0, 0.1, np.nan], np.float16).reshape(shape)
    one_weight = np.ones((1, 1, 1, 1) if op == "Conv" else (1, 1), np.float16)
    nodes = [
        Node(op, ("x", "w"), ("s",)),
        Node("Mul", ("s", "f"), ("m",)),
        Node("Div", ("m", "f"), ("y",)),
    ]
    arrays = {"x": x, "w": one_weight, "f": np.array(factor, np.float16)}
    graph = graph_of(nodes, arrays, ["y"], constants=["w", "f"])
    (got,) = run_graph(graph, {"x": x}, passes=True).values()
    assert_same_bits(got, reference(graph, {"x": x})["y"])


def test_reference_rounds_once():
    """ml_dtypes makes bfloat16 and float8 by way of float32."""
    x = np.array([1 + 2**-8 + 2**-40, 1 + 2**-4 + 2**-40, 1 + 2**-3 + 2**-50])
    for dtype, want in (
        (DType.bf16, [1 + 2**-7, 1 + 2**-4, 1 + 2**-3]),
        (DType.f8e4m3fn, [1, 1 + 2**-3, 1 + 2**-3]),
        (DType.f8e5m2, [1, 1, 1.25]),
        (DType.f8e8m0fnu, [2, 2, 2]),
    ):
        (made,) = interpret(one_node("Cast", [x], {"to": CODES[dtype]}), {"x0": x}).values()
        np.testing.assert_array_equal(made.astype(np.float64), want, str(dtype))
    x = np.array([2**40 + 2**32 + 1, -(2**62) - 2**54 - 1, 2**53 + 2**45 + 1])
    (made,) = interpret(one_node("Cast", [x], {"to": CODES[DType.bf16]}), {"x0": x}).values()
    want = np.array([2**40 + 2**33, -(2**62) - 2**55, 2**53 + 2**46], np.float64)
    np.testing.assert_array_equal(made, want.astype(ml_dtypes.bfloat16))
