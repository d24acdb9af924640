"""What callers are told: wrong Python types, malformed values, and run-time errors.

No error comes bare from the inside, and none names what only the compiler knows of.
"""

# mypy: ignore-errors

from __future__ import annotations

import re

import numpy as np
import pytest
from onnx import helper

import layercc as lc

GRAPH = "graph g(x: f32[N, 4], k: i64[2]) -> (y, z) { y = Neg(x)\n z = Reshape(x, k) }"
X, K = np.ones((2, 4), np.float32), np.array([4, 2])


class Refuses:
    def __array__(self, *_, **__):
        raise RuntimeError("not today")


class RefusesDlpack:
    def __dlpack__(self, *_, **__):
        raise BufferError("not today")

    def __dlpack_device__(self):
        return 2, 0


#: Values of every wrong type.
WRONG = [
    None, 1, 1.5, "x", "", b"x", [], [X], (), {}, {"x": 1}, set(), object(), np.ones(3), X,
    Refuses(), RefusesDlpack(), len, int, True, float("nan"), [[1, 2], [3]], [None],
    np.array(["a"]), np.array([None]), {"x": None}, {None: 1}, {"x": "1388"}, {1: 2},
    {"x": [1, [2]]}, {"x": X}, {"x": (1, "N*")}, {"x": (1 << 80, 4)}, {"x": ("N" * 5000, 4)},
    {"x": (True, 4)}, {"x": (1, 4.0)}, {"x": (b"N", 4)}, {"x": 5}, {"x": {1, 4}},
    {"x": (np.int64(3), 4)}, {"x": (None, 4)}, {"x": ("", 4)}, {"x": (np.ones(2), 4)},
    {"x": np.ones((2, 2))}, [("x", (1, 4))],
]  # fmt: skip


@pytest.fixture(scope="module")
def fn():
    return lc.compile(lc.parse_graph(GRAPH), threads=1)


GIVEN = {
    "check": lambda fn, v: lc.check(v),
    "check inputs": lambda fn, v: lc.check(fn.graph, v),
    "compile": lambda fn, v: lc.compile(v),
    "threads": lambda fn, v: lc.compile(fn.graph, threads=v),
    "precision": lambda fn, v: lc.compile(fn.graph, precision=v),
    "target": lambda fn, v: lc.compile(fn.graph, target=v),
    "from_onnx": lambda fn, v: lc.from_onnx(v),
    "to_onnx": lambda fn, v: lc.to_onnx(v),
    "opset": lambda fn, v: lc.to_onnx(fn.graph, opset=v),
    "call": lambda fn, v: fn(v),
    "call x": lambda fn, v: fn(v, K),
    "call k": lambda fn, v: fn(X, v),
    "run": lambda fn, v: fn.run(v),
    "run x": lambda fn, v: fn.run({"x": v, "k": K}),
    "run k": lambda fn, v: fn.run({"x": X, "k": v}),
    "plan": lambda fn, v: fn.plan(v),
    "plan x": lambda fn, v: fn.plan({"x": v, "k": (2,)}),
    "plan values": lambda fn, v: fn.plan({"x": (2, 4), "k": (2,)}, v),
    "interpret": lambda fn, v: lc.interpret(v, {"x": X}),
    "interpret inputs": lambda fn, v: lc.interpret(fn.graph, v),
    "interpret x": lambda fn, v: lc.interpret(fn.graph, {"x": v, "k": K}),
    "interpret k": lambda fn, v: lc.interpret(fn.graph, {"x": X, "k": v}),
    "parse_graph": lambda fn, v: lc.parse_graph(v),
    "weights": lambda fn, v: lc.parse_graph(
        'graph g(x: f32[20]) -> (y) { const x: f32[20] = @weights("x")\n y = Neg(x) }', weights=v
    ),
    "print_graph": lambda fn, v: lc.print_graph(v),
    "inputs": lambda fn, v: lc.check(lc.Graph("g", v)),
    "outputs": lambda fn, v: lc.check(lc.Graph("g", [], v)),
    "nodes": lambda fn, v: lc.check(lc.Graph("g", [], [], v)),
    "constants": lambda fn, v: lc.check(lc.Graph("g", [], [], [], v)),
    "type of an input": lambda fn, v: lc.check(lc.Graph("g", [lc.Value("x", v)])),
    "name of an output": lambda fn, v: lc.compile(
        lc.Graph("g", [], [lc.Value(v, lc.TensorType(lc.DType.f32, ()))])
    ),
    "inputs of a node": lambda fn, v: lc.check(lc.Graph("g", [], [], [lc.Node("Neg", v, ("y",))])),
    "benchmark": lambda fn, v: lc.benchmark(v, X, seconds=0),
}


#: What Python itself says where a value is used that nobody has looked at.
INSIDE = re.compile(
    "not iterable|object has no|unsupported operand|truth value|not supported between|loop with"
    "|incompatible function|expected string or bytes|inhomogeneous"
)
SAID = re.compile("would (fit|do)|is one of|is an integer|at least 1")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", GIVEN)
def test_no_error_comes_from_the_inside(fn, what):
    """TypeError and ValueError are raised on purpose, or an error of layercc is."""
    for value in WRONG:
        try:
            GIVEN[what](fn, value)
        except (lc.LayerccError, OSError):
            continue
        except (TypeError, ValueError) as error:
            assert SAID.search(str(error)) and not INSIDE.search(str(error)), (value, error)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda fn: fn.run([X]), lc.InputError, "a list was given; arrays by input name"),
        (lambda fn: fn.run(X), lc.InputError, "a ndarray was given; arrays by input name"),
        (lambda fn: fn.run(None), lc.InputError, "a NoneType was given"),
        (lambda fn: fn.plan([(2, 4)]), lc.InputError, "shapes by input name"),
        (lambda fn: fn.plan({"x": "24", "k": (2,)}), lc.InputError, "'24' is no shape"),
        (lambda fn: fn.plan({"x": (2, -4), "k": (2,)}), lc.InputError, "is no shape"),
        (lambda fn: lc.check(None), TypeError, "a Graph would fit; None (NoneType) was given"),
        (lambda fn: lc.check("m.onnx"), TypeError, "a Graph would fit; 'm.onnx' (str) was given"),
        (lambda fn: lc.check(fn.graph, [4]), TypeError, "dims by input name would fit; a list"),
        (lambda fn: lc.to_onnx(None), TypeError, "a Graph would fit"),
        (lambda fn: lc.to_onnx(fn.graph, opset="21"), TypeError, "opset: an integer or None"),
        (lambda fn: lc.compile(fn.graph, threads="2"), TypeError, "threads is an integer or None"),
        (lambda fn: lc.compile(fn.graph, threads=1.5), TypeError, "threads is an integer or None"),
        (lambda fn: lc.interpret(None, {}), TypeError, "graph: a Graph would fit"),
        (lambda fn: lc.interpret(fn.graph, [X]), TypeError, "arrays by input name would fit"),
        (lambda fn: lc.from_onnx(None), TypeError, "the path of an ONNX file or a ModelProto"),
        (lambda fn: lc.parse_graph(b"graph"), TypeError, "text: the text form of a graph, a str,"),
        (
            lambda fn: lc.check(lc.Graph("g", [], ["y"])),
            TypeError,
            "graph 'g': outputs[0]: a Value with a TensorType would fit; 'y' (str) was given",
        ),
        (
            lambda fn: lc.check(lc.Graph("g", constants={"w": [1.0]})),
            TypeError,
            "graph 'g': constants: 'w': a NumPy array",
        ),
    ],
)
def test_wrong_types(fn, call, error, said):
    with pytest.raises(error, match=re.escape(said)):
        call(fn)


@pytest.mark.parametrize(
    ("dims", "said"),
    [
        ("1388", "'1388' (str) given; dims in a tuple would fit"),
        (b"14", "(bytes) given"),
        ({1, 4}, "a set given"),
        ({0: 1, 1: 4}, "a dict given"),
        (5, "5 (int) given"),
        (None, "None (NoneType) given"),
        ((True, 4), "True is no dim"),
        (("", 4), "'' is no dim"),
        ((1, 4.0), "'float' object"),
        ((None, 4), "'NoneType' object"),
        (("N" * 5000, 4), "longer than"),
        (([1], 4), "'list' object"),
    ],
)
def test_dims_that_are_none(fn, dims, said):
    report = lc.check(fn.graph, {"x": dims})
    assert [found.code for found in report.errors] == ["bad-dim"]
    assert "input 'x'" in report.errors[0].message and said in report.errors[0].message


@pytest.mark.parametrize("name", [None, 1, "xx", ("x",)])
def test_names_that_are_none(fn, name):
    report = lc.check(fn.graph, {name: (1, 4)})
    assert [found.code for found in report.errors] == ["unknown-input"]


@pytest.mark.parametrize(
    "equation",
    [
        "ij->ii", "ij->iji", "ij->jij", "ii->ii", "i1->i", "i_->i", "ij->i$", "ij->ij->i",
        "i.j->ij", "ij->i..j", "......ij->ij", "...i...->i", "éj->j", "ij->-ij", ">ij",
        "ij-", "ij->j.",
        "ij->ji,", "...i->i", "i...->i", "ij->k", "ij->iJ", "->", "", "ijk->i", "ij,jk->ik",
        "(ij)->ij", "ij->i j i",
    ],
)  # fmt: skip
def test_malformed_equations(equation):
    """onnxruntime refuses all of these too, or never ends."""
    graph = lc.Graph(
        "g",
        [lc.Value("x", lc.TensorType(lc.DType.f32, (2, 2)))],
        [lc.Value("y", lc.TensorType.open_rank(lc.DType.f32))],
        [lc.Node("Einsum", ("x",), ("y",), {"equation": equation})],
    )
    (problem,) = lc.check(graph).errors
    assert problem.node == "y" and repr(equation) in problem.message
    with pytest.raises(lc.ShapeError, match="Einsum 'y'"):
        lc.compile(graph)


@pytest.mark.parametrize("equation", ["i j -> j i", "ij", "iJ->Ji", "...i->...", "ij->", "ii->i"])
def test_equations_that_are_well_formed(equation):
    graph = lc.parse_graph(
        f'graph g(x: f32[2, 2]) -> (y) {{ y = Einsum(x) {{equation="{equation}"}} }}'
    )
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    expected = np.einsum(equation.replace(" ", ""), x)
    np.testing.assert_array_equal(lc.compile(graph, threads=1)(x), expected)


# Models that make nothing


def model_of(nodes, outputs):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, ["N", 4])], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    ("nodes", "outputs", "said"),
    [
        ([helper.make_node("Relu", ["x"], ["y"])], [], "the graph has no outputs"),
        ([], [], "the graph has no outputs"),
        ([helper.make_node("Relu", ["x"], ["y"])], [""], "output '' is not defined"),
        ([helper.make_node("Relu", ["x"], [])], ["x"], "Relu 'Relu': makes no value"),
        ([helper.make_node("Relu", ["x"], [""])], ["x"], "Relu 'Relu': makes no value"),
        ([helper.make_node("Split", ["x"], ["", ""], axis=1)], ["x"], "Split 'Split': makes no"),
        ([helper.make_node("Relu", ["x"], [""])], [""], "output '' is not defined"),
    ],
)
def test_models_that_make_nothing(nodes, outputs, said):
    made = [helper.make_tensor_value_info(name, 1, ["N", 4]) for name in outputs]
    for call in (lc.from_onnx, lc.compile):
        with pytest.raises(lc.InvalidModelError, match=re.escape(said)):
            call(model_of(nodes, made))


@pytest.mark.parametrize("outputs", [(), ("",), ("", "")])
def test_nodes_that_make_nothing(outputs):
    graph = lc.parse_graph("graph g(x: f32[2]) -> (y) { y = Neg(x) }")
    graph.nodes.append(lc.Node("Relu", ("x",), outputs, name="lost"))
    report = lc.check(graph)
    assert "no-output" in [found.code for found in report.errors] and "lost" in str(report)
    with pytest.raises(lc.InvalidModelError, match="Relu 'lost': makes no value"):
        lc.compile(graph)


# Errors when a model runs


#: Graph, arrays that do not fit it → the node and op at fault, sizes that the message says.
AT_RUN_TIME = {
    "Add in a group": (
        "x: f32[N, K], y: f32[M, L] | a = Relu(x)\n s = Add(a, y)\n z = Neg(s)",
        [(2, 3), (2, 4)], "Add 's'", "[2, 3] and [2, 4]"),
    "chain": (
        "x: f32[N, K], y: f32[M, L] | a = Exp(x)\n b = Exp(y)\n c = Mul(a, b)\n z = Tanh(c)",
        [(5, 3), (2, 3)], "Mul 'c'", "[5, 3] and [2, 3]"),
    "MatMul in front": (
        "x: f32[N, K], y: f32[M, L] | m = MatMul(x, y)\n z = Relu(m)",
        [(2, 3), (2, 4)], "MatMul 'm'", "f32[2, 3] and B is f32[2, 4]"),
    "sum behind MatMul": (
        "x: f32[N, K], y: f32[K, L], r: f32[A, B] | m = MatMul(x, y)\n z = Add(m, r)",
        [(2, 3), (3, 4), (2, 5)], "Add 'z'", "[2, 4] and [2, 5]"),
    "sum behind Conv": (
        "x: f32[N, 3, H, W], w: f32[4, 3, K, K], r: f32[A, B, C, D]"
        " | c = Conv(x, w)\n t = Relu(c)\n z = Add(t, r)",
        [(2, 3, 8, 8), (4, 3, 3, 3), (2, 4, 5, 5)], "Add 'z'", "[2, 4, 6, 6] and [2, 4, 5, 5]"),
    "channels of Conv": (
        "x: f32[N, C, H, W], w: f32[4, 3, 3, 3] | c = Conv(x, w)\n z = Relu(c)",
        [(2, 5, 8, 8), (4, 3, 3, 3)], "Conv 'c'", "5"),
    "pooling": (
        "x: f32[N, 3, H, W], r: f32[A, B, C, D] | p = MaxPool(x) {kernel_shape=[2, 2]}\n"
        " q = Relu(p)\n z = Mul(q, r)",
        [(1, 3, 5, 5), (1, 3, 5, 5)], "Mul 'z'", "[1, 3, 4, 4] and [1, 3, 5, 5]"),
    "bias": (
        "x: f32[N, 8], b: f32[K] | s = Add(x, b)\n z = Sigmoid(s)",
        [(2, 8), (7,)], "Add 's'", "[2, 8] and [7]"),
    "Where": (
        "x: f32[N], y: f32[M] | c = Greater(x, y)\n z = Where(c, x, y)",
        [(3,), (4,)], "Greater 'c'", "[3] and [4]"),
    "Gemm": (
        "x: f32[N, K], w: f32[4, 5], b: f32[L] | g = Gemm(x, w, b)\n z = Relu(g)",
        [(2, 3), (4, 5), (5,)], "Gemm 'g'", "3"),
    "normalization": (
        "x: f32[N, C], s: f32[K], b: f32[K] | n = LayerNormalization(x, s, b)\n z = Relu(n)",
        [(2, 6), (5,), (5,)], "LayerNormalization 'n'", "6"),
    "Concat": (
        "x: f32[N, K], y: f32[M, L] | a = Relu(x)\n c = Concat(a, y) {axis=0}\n z = Neg(c)",
        [(2, 3), (2, 4)], "Concat 'c'", "4"),
    "Transpose before": (
        "x: f32[A, B, C], y: f32[D, E, F] | t = Transpose(x) {perm=[0, 2, 1]}\n s = Add(t, y)\n"
        " z = Neg(s)",
        [(2, 3, 4), (2, 3, 4)], "Add 's'", "[2, 4, 3] and [2, 3, 4]"),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_RUN_TIME)
def test_errors_name_the_authors_node_and_sizes(name):
    text, shapes, node, sizes = AT_RUN_TIME[name]
    inputs, nodes = text.split(" | ")
    fn = lc.compile(lc.parse_graph(f"graph g({inputs}) -> (z) {{ {nodes} }}"), threads=1)
    with pytest.raises(lc.ShapeError) as raised:
        fn(*(np.ones(shape, np.float32) for shape in shapes))
    text = str(raised.value)
    assert node in text and sizes in text, text
    assert "layercc." not in text and "group" not in text
    assert [f"{found.op} {found.node!r}" for found in raised.value.diagnostics] == [node]


@pytest.mark.filterwarnings("ignore:.*NumPy runs what cannot be compiled")
def test_errors_between_nodes_that_numpy_runs():
    """Sections of a model have no names that its author would know."""
    fn = lc.compile(
        lc.parse_graph(
            """graph g(x: f32[N], y: f32[M]) -> (z: f32[A, B]) {
  k = NonZero(x)
  f = Cast(k) {to=1}
  s = Add(f, y)
  z = Exp(s)
}"""
        ),
        threads=1,
    )
    x, y = np.ones(3, np.float32), np.ones(4, np.float32)
    with pytest.raises(
        lc.ShapeError, match=r"^graph 'g' at .* has 1 error.*\n.*Add 's'.*3 against 4"
    ):
        fn(x, y)


@pytest.mark.parametrize(
    ("mode", "pads", "said"),
    [
        ("reflect", (0, -4, 0, 3), "reflection by 3 needs 4 elements in dim 1 of f32[1, 6], of"
         " which pads -4 and 3 leave 2"),
        ("reflect", (0, 3, 0, -4), "of which pads 3 and -4 leave 2"),
        ("reflect", (0, 6, 0, 0), "reflection by 6 needs 7 elements in dim 1 of f32[1, 6]"),
        ("edge", (0, -6, 0, 1), "no element to repeat in dim 1 of f32[1, 6], of which pads -6 and 1"
         " leave 0"),
        ("wrap", (0, 2, 0, -6), "of which pads 2 and -6 leave 0"),
        ("constant", (0, -4, 0, -3), "pads -4 and -3 take more than dim 1 of f32[1, 6] has"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("constant", [True, False])
def test_padding_after_a_crop(mode, pads, said, constant):
    inputs = "x: f32[1, 6]" if constant else "x: f32[1, 6], p: i64[4]"
    const = f"const p: i64[4] = {list(pads)}\n" if constant else ""
    text = f'graph g({inputs}) -> (y: f32[A, B]) {{ {const} y = Pad(x, p) {{mode="{mode}"}} }}'
    arrays = [np.ones((1, 6), np.float32), *([] if constant else [np.array(pads)])]
    kind = lc.ShapeError if constant else lc.InputError
    with pytest.raises(kind, match=re.escape(said)):
        lc.compile(lc.parse_graph(text), threads=1)(*arrays)
