"""The text form: what is printed, what is read, what is refused, and the way there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir.ops  # noqa: F401  (fills the registry)
from ir.diagnostics import InvalidModelError, Source
from ir.dims import symbol
from ir.dtypes import DType
from ir.equality import graph_differences, graphs_equal
from ir.graph import Graph, Node, Value
from ir.literals import format_array, random_array
from ir.parser import parse_graph, parse_type
from ir.storage import load_text, save_text
from ir.text import print_graph, print_with_weights
from ir.types import TensorType

SMALL = """\
graph small(x: f32[N, 2*K]) -> (y: f32[N, 2*K]) {
  const w: f32[2] = [1.0, -0.5]
  a: f32[N, 2*K], _ = Split(x, _, w) {axis=1, pads=[1, 2], names=["a\\n", "b"]} @"odd \\"name"
  "a b": f32[N, 2*K] = com.microsoft.Gelu(a)
  y: f32[N, 2*K] = layercc.Fused("a b", x) {kind="p"} body (p: f32[N], q: f32[N]) -> (r: f32[N]) {
    const b: f32[] = 2.5
    s: f32[N] = Add(p, q)
    r: f32[N] = Add(s, b)
  }
}
"""


def test_canonical_text_comes_back_unchanged() -> None:
    assert print_graph(parse_graph(SMALL)) == SMALL


def test_parts_of_a_parsed_graph() -> None:
    graph = parse_graph(SMALL, file="small.graph")
    split, _, fused = graph.nodes
    assert graph.inputs == [Value("x", TensorType(DType.f32, (symbol("N"), 2 * symbol("K"))))]
    assert (split.op, split.name) == ("Split", 'odd "name')
    assert split.inputs == ("x", "", "w")
    assert split.outputs == ("a", "")
    assert split.attributes == {"axis": 1, "pads": (1, 2), "names": ("a\n", "b")}
    assert split.source == Source("small.graph", 3)
    assert fused.name == "y"
    assert [node.op for node in fused.attributes["body"].nodes] == ["Add", "Add"]
    assert graph.constants["w"].dtype == np.float32


def test_types_left_out_are_inferred() -> None:
    graph = parse_graph(
        """
        graph short(x: f32[N, 4]) -> (y) {
          const w: f32[4] = random(0)     # as good as any
          a = Add(x, w)
          y = layercc.Fused(a) {kind="pointwise"} body (p) -> (q) { q = Relu(p) }
        }
        """
    )
    assert str(graph.outputs[0].type) == str(graph.types["a"]) == "f32[N, 4]"
    assert str(graph.nodes[1].attributes["body"].outputs[0]) == "q: f32[N, 4]"


def test_an_output_that_cannot_be_typed_is_named() -> None:
    with pytest.raises(InvalidModelError, match="output 'y' is left out"):
        parse_graph("graph g(x: f32[N]) -> (y) { y = NoSuchOp(x) }")


def test_made_constants() -> None:
    text = """graph g() -> () {
      const a: f32[2, 3] = fill(0.5)
      const b: i8[100] = random(7)
      const c: f32[1000] = random(7, 0.01)
    }"""
    one, two = parse_graph(text), parse_graph(text)
    assert (one.constants["a"] == 0.5).all()
    assert graphs_equal(one, two)
    assert 0.005 < one.constants["c"].std() < 0.02


def test_big_constants_are_references() -> None:
    array = np.arange(17, dtype=np.float32)
    body = Graph("body", constants={"w": array + 1})
    graph = Graph("g", constants={"w": array}, nodes=[Node("If", (), (), {"then_branch": body})])
    text, weights = print_with_weights(graph)
    assert text == print_graph(graph)
    assert list(weights) == ["w", "w#1"]
    assert graphs_equal(parse_graph(text, weights=weights), graph)
    with pytest.raises(InvalidModelError, match="no weights are given under the key 'w'"):
        parse_graph(text)
    with pytest.raises(InvalidModelError, match=r"weights 'w' are f32\[3\], not f32\[17\]"):
        parse_graph(text, weights={"w": np.zeros(3, np.float32)})


@pytest.mark.parametrize("dtype", DType)
def test_every_dtype_inline_and_stored(dtype: DType, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    small = random_array(TensorType(dtype, (2, 3)), generator)
    scalar = random_array(TensorType(dtype, ()), generator)
    empty = np.zeros((0, 3), dtype.value)
    graph = Graph("g", constants={"small": small, "scalar": scalar, "empty": empty})
    assert list(graph_differences(parse_graph(print_graph(graph)), graph)) == []
    save_text(graph, tmp_path)
    assert list(graph_differences(load_text(tmp_path), graph)) == []
    graph.constants["big"] = random_array(TensorType(dtype, (5, 2, 7)), generator)
    graph.constants["transposed"] = graph.constants["big"].T
    save_text(graph, tmp_path)
    assert list(graph_differences(load_text(tmp_path), graph)) == []


@pytest.mark.parametrize("dtype", [d for d in DType if d.itemsize <= 2 and "f" in d.name])
def test_every_value_of_a_small_float_dtype(dtype: DType) -> None:
    bits = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")[:: 97 ** (dtype.itemsize - 1)]
    if dtype is DType.f4e2m1fn:
        bits = bits[:16]
    array = bits.view(dtype.value)
    text = f"graph g() -> () {{ const c: {dtype}[{array.size}] = {format_array(array)} }}"
    assert parse_graph(text).constants["c"].tobytes() == array.tobytes()


def test_unusual_bits_of_wide_floats() -> None:
    array = np.array([0x7FC00001, 0xFFC00000, 0x7F800000, 0x80000000, 1], np.uint32).view(
        np.float32
    )
    assert format_array(array) == "[bits(0x7fc00001), bits(0xffc00000), inf, -0.0, 1e-45]"
    text = print_graph(Graph("g", constants={"c": array, "d": array.astype(np.float64)}))
    back = parse_graph(text).constants
    assert back["c"].tobytes() == array.tobytes()


def test_weights_that_do_not_fit_the_text(tmp_path: Path) -> None:
    save_text(Graph("g", constants={"c": np.zeros(20, np.float32)}), tmp_path)
    file = tmp_path / "model.safetensors"
    good = file.read_bytes()
    for bad in (good[:-4], good[:20], b"", b"\xff" * 64):
        file.write_bytes(bad)
        with pytest.raises(InvalidModelError, match="cannot read the graph"):
            load_text(tmp_path)


GRAPH = "graph g(x: f32[N]) -> (y: f32[N]) {"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: expected 'graph', found the end"),
        ("graph g(x: f32[N]", "line 1, column 18: expected '\\)' or ',', found the end"),
        (
            "graph g(x: f99[N]) -> () {}",
            "column 12: expected an element type such as f32, found 'f99",
        ),
        ("graph g(x: f32[N+]) -> () {}", "column 16: cannot read dimension 'N\\+'"),
        ("graph g(x: f32[-1]) -> () {}", "column 16: dim -1 is negative"),
        ("graph g(x: f32[]) -> () {} more", "expected the end of the text, found 'more'"),
        (
            f"{GRAPH}\n  y = Relu x\n}}",
            "line 2, column 12: expected '\\(' and the inputs, found 'x'",
        ),
        (f"{GRAPH}\n  y = Relu(x,,)\n}}", "line 2, column 14: expected an input, or _ for none"),
        (f"{GRAPH}\n  y = Relu(x) {{a=}}\n}}", "column 18: expected a number, a string, a list"),
        (f"{GRAPH}\n  y = Relu(x) {{a=1, a=2}}\n}}", "attribute 'a' is given twice"),
        (f"{GRAPH}\n  y = Relu(x) {{a=import}}\n}}", "expected a number"),
        (f'{GRAPH}\n  "y = Relu(x)\n}}', "line 2, column 3: expected a node's output"),
        (
            f"{GRAPH}\n  const c: f32[2] = [1, 2, 3]\n}}",
            "shape \\[3\\] does not fit the type f32\\[2\\]",
        ),
        (f"{GRAPH}\n  const c: f32[2, 2] = [[1, 2], [3]]\n}}", "rows differ in length"),
        (f"{GRAPH}\n  const c: i8[1] = [128]\n}}", "128 is no i8 value \\(-128..127\\)"),
        (f"{GRAPH}\n  const c: i8[1] = [1.0]\n}}", "1.0 is no i8 value"),
        (f"{GRAPH}\n  const c: bool[1] = [2]\n}}", "2 is no bool value"),
        (f"{GRAPH}\n  const c: f32[N] = fill(1)\n}}", "a dim that is no integer"),
        (f"{GRAPH}\n  const c: f32[99999999999] = fill(1)\n}}", "would take 399999999996 bytes"),
        (f"{GRAPH}\n  const c: f32[1] = random(-1)\n}}", "random takes a seed"),
        (f"{GRAPH}\n  const c: f32[] = 1 const c: f32[] = 1\n}}", "constant 'c' is defined twice"),
        (f"{GRAPH}\n  const c: f32[] = {'[' * 10000}\n}}", "lists nest deeper than 32"),
        (f"{GRAPH}\n  y = A() {{a={'[' * 10000}}}\n}}", "lists nest deeper than 32"),
        (GRAPH + "y = A() b () -> () {" * 10000, "graphs nest deeper than 16"),
        (f"graph g(x: f32[{'(' * 10000}) -> () {{}}", "cannot read dimension|is longer than"),
    ],
)
def test_errors_say_where_and_what_would_fit(text: str, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        parse_graph(text)


def test_a_graph_needs_no_line_breaks_and_a_comma_may_end_a_list() -> None:
    graph = parse_graph("graph g(x: f32[N],) -> (y,) { a = Relu(x) {b=[1, 2,],} y = Relu(a,) }")
    assert [node.name for node in graph.nodes] == ["a", "y"]
    assert graph.nodes[0].attributes["b"] == (1, 2)


def test_parse_type() -> None:
    assert parse_type(" f32[N, floor((H + 1)/2), max(A, B), 3] ") == TensorType(
        DType.f32,
        (symbol("N"), symbol("floor((H+1)/2)"), symbol("max(A, B)"), 3),
    )
    assert parse_type('u8["batch size"]').shape == (symbol("batch size"),)
    with pytest.raises(InvalidModelError):
        parse_type("f32[3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[1.0, -0.5]", "[1.0, 0.5]"), "constant 'w'"),
        (("axis=1", "axis=1.0"), "attribute 'axis': 1 against 1.0"),
        (("Add(p, q)", "Add(q, p)"), "attribute 'body': Add 's': inputs"),
        (("graph small", "graph big"), "name: small against big"),
        (('@"odd \\"name"', ""), "name"),
        (('{kind="p"}', ""), "attribute 'kind' is only in the first"),
        (('"a b": f32[N, 2*K] =', '"a b": f32[N, 3*K] ='), "type of 'a b'"),
    ],
)
def test_differences(change: tuple[str, str], said: str) -> None:
    assert change[0] in SMALL
    found = list(graph_differences(parse_graph(SMALL), parse_graph(SMALL.replace(*change))))
    assert any(said in text for text in found), found


# --- random graphs

names = st.one_of(
    st.from_regex(r"[A-Za-z_/][A-Za-z0-9_./]{0,6}", fullmatch=True),
    st.sampled_from(["const", "graph", "_", "nan", "true", "0", "a-b", 'a"b', "#", "x y", "fill"]),
    st.text(min_size=1, max_size=5),
)
dims = st.one_of(st.integers(0, 5), st.sampled_from(["N", "2*N + 1", "floor(H/2)"]).map(symbol))
types = st.builds(TensorType, st.sampled_from(DType), st.lists(dims, max_size=3).map(tuple))
scalars = st.one_of(
    st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=8), st.sampled_from(DType)
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    kind = TensorType(draw(st.sampled_from(DType)), shape)
    return random_array(kind, np.random.default_rng(draw(st.integers(0, 99))))


@st.composite
def graphs(draw: st.DrawFn, depth: int = 2) -> Graph:
    def pick(pool: list[str], **limits: int) -> list[str]:
        return draw(st.lists(st.sampled_from(pool), **limits)) if pool else []

    pool = draw(st.lists(names, unique=True, max_size=8))
    count = draw(st.integers(0, len(pool)))
    values = [Value(name, draw(types)) for name in pool[:count]]
    constants = {name: draw(arrays()) for name in pool[count : count + 2]}
    known = {value.name: value.type for value in values}
    kinds = [scalars, st.lists(scalars, max_size=3).map(tuple), arrays()]
    if depth:
        kinds.append(graphs(depth=depth - 1))
    nodes = []
    for name in pool[count + 2 :]:
        outputs = draw(st.permutations([name, *draw(st.sampled_from([[], [""]]))]))
        inputs = pick([*pool, ""], max_size=3)
        attributes = draw(st.dictionaries(names, st.one_of(kinds), max_size=2))
        title = draw(st.sampled_from(["", "a title", '"']))
        nodes.append(Node(draw(names), tuple(inputs), tuple(outputs), attributes, title))
        if draw(st.booleans()):
            known[name] = draw(types)
    outputs = [Value(name, draw(types)) for name in pick(pool, max_size=2)]
    return Graph(draw(names), values, outputs, nodes, constants, known)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_random_graphs_come_back_equal(graph: Graph) -> None:
    text, weights = print_with_weights(graph)
    back = parse_graph(text, weights=weights, infer=False)
    assert list(graph_differences(graph, back)) == []
    assert print_graph(back) == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=SMALL + "#@%\\0", max_size=60), st.integers(0, len(SMALL)))
def test_damaged_text_gives_a_graph_or_one_clear_error(noise: str, position: int) -> None:
    try:
        parse_graph(SMALL[:position] + noise + SMALL[position + len(noise) :])
    except InvalidModelError as error:
        assert str(error)
